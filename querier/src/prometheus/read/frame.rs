//! The stream of an answer in chunks: one frame after the other, each with length and checksum.
//!
//! ```text
//! length of the message (varint) │ its CRC-32C (4 bytes, big endian) │ ChunkedReadResponse
//! ```
//!
//! A frame is about one series; a series may need several, which follow each other.

use std::collections::VecDeque;

use crc32c::crc32c;
use prost::Message;
use skald_promql::SeriesSet;
use skald_proto::public::prometheus as pb;

use super::chunk::chunks;
use super::labels;
use crate::Error;
use crate::http::body::PIECE;
use crate::source::found::Found;

/// Bytes of a frame at most, unless one sample alone needs more.
const MAX_FRAME: usize = 1 << 20;
/// Keys and lengths of a chunk within a message, at most.
const CHUNK_OVERHEAD: usize = 48;

/// Series that are encoded when their turn comes, query by query.
#[derive(Debug)]
pub(super) struct Frames(VecDeque<Answer>);

/// What is left to say to one query.
#[derive(Debug)]
struct Answer {
    query_index: i64,
    found: Found,
    /// Series in the order of their labels, the next one last.
    left: Vec<usize>,
}

// === impl Frames ===

impl Frames {
    pub(super) fn new(found: Vec<Found>) -> Self {
        let answer = |(query_index, found): (i64, Found)| {
            let mut left: Vec<usize> = (0..found.len()).collect();
            left.sort_by_cached_key(|i| std::cmp::Reverse(found.labels(*i)));
            Answer { query_index, found, left }
        };
        Self((0..).zip(found).map(answer).collect())
    }

    /// Appends frames until there are enough for a piece; answers whether there are more.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        while let Some(answer) = self.0.front_mut() {
            if let Some(i) = answer.left.pop() {
                series(answer.query_index, &answer.found.series(i)?, out)?;
            } else {
                self.0.pop_front();
            }
            if out.len() >= PIECE {
                break;
            }
        }
        Ok(!self.0.is_empty())
    }
}

/// The frames of one series; none when it has no samples.
fn series(query_index: i64, s: &skald_model::Series, out: &mut Vec<u8>) -> Result<(), Error> {
    let labels = labels(&s.labels);
    let base: usize = labels.iter().map(|l| l.encoded_len() + 4).sum();
    let mut message = |chunks: Vec<pb::Chunk>| {
        let chunked_series = vec![pb::ChunkedSeries { labels: labels.clone(), chunks }];
        frame(&pb::ChunkedReadResponse { chunked_series, query_index }, out);
    };
    let (mut now, mut size) = (Vec::new(), base);
    for chunk in chunks(s)? {
        let len = chunk.data.len() + CHUNK_OVERHEAD;
        if size + len > MAX_FRAME && !now.is_empty() {
            message(std::mem::take(&mut now));
            size = base;
        }
        size += len;
        now.push(chunk);
    }
    if !now.is_empty() {
        message(now);
    }
    Ok(())
}

fn frame(message: &pb::ChunkedReadResponse, out: &mut Vec<u8>) {
    let bytes = message.encode_to_vec();
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(&crc32c(&bytes).to_be_bytes());
    out.extend_from_slice(&bytes);
}
