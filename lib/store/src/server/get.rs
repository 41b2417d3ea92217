//! Sends an object or a range of it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, Result};
use skald_proto::storage as pb;
use tonic::Status;

use super::{Inner, key};
use crate::error::{corrupt, other, to_status};
use crate::wire::{FRAME_BYTES, meta_to_wire, some};

pub(super) type Frames = BoxStream<'static, Result<pb::GetResponse, Status>>;
type Chunks = BoxStream<'static, Result<Bytes>>;

/// Smaller chunks of the backend are joined up to this size.
const JOIN_BYTES: usize = 256 << 10;

pub(super) async fn open(inner: &Inner, request: pb::GetRequest) -> Result<Frames, Status> {
    let key = key(&request.key)?;
    let head_only = request.head_only;
    let options = GetOptions {
        if_match: some(request.if_match),
        if_none_match: some(request.if_none_match),
        version: some(request.version),
        range: request.range.map(range).transpose()?,
        head: head_only,
        ..Default::default()
    };
    let got = inner.store.get_opts(&key, options).await.map_err(|e| to_status(&e))?;
    let (start, end) = (got.range.start, got.range.end);
    let header = pb::GetHeader { meta: Some(meta_to_wire(&got.meta)), start, end };
    let header = pb::GetResponse { part: Some(pb::get_response::Part::Header(header)) };
    let body = if head_only { stream::empty().boxed() } else { body(got, key.to_string()) };
    let frames = body.map_ok(frame).map_err(|e| to_status(&e));
    Ok(stream::once(std::future::ready(Ok(header))).chain(frames).boxed())
}

fn range(range: pb::Range) -> Result<GetRange, Status> {
    match range.kind {
        Some(pb::range::Kind::Bounded(b)) if b.start < b.end => {
            Ok(GetRange::Bounded(b.start..b.end))
        }
        Some(pb::range::Kind::From(from)) => Ok(GetRange::Offset(from)),
        Some(pb::range::Kind::Suffix(n)) if n > 0 => Ok(GetRange::Suffix(n)),
        _ => Err(Status::invalid_argument("an empty range")),
    }
}

fn frame(data: Bytes) -> pb::GetResponse {
    let crc32c = crc32c::crc32c(&data);
    pb::GetResponse { part: Some(pb::get_response::Part::Data(pb::Data { data, crc32c })) }
}

/// The bytes of the range in frames, and an error when there are fewer.
fn body(got: GetResult, key: String) -> Chunks {
    let expected = got.range.end.saturating_sub(got.range.start);
    let chunks = match got.payload {
        GetResultPayload::File(file, _) => read_file(file, got.range.start, expected),
        GetResultPayload::Stream(chunks) => joined(chunks),
    };
    let state = (chunks, expected, key);
    stream::try_unfold(state, |(mut chunks, left, key)| async move {
        match chunks.try_next().await? {
            None if left > 0 => Err(corrupt(&key, format!("{left} bytes are missing"))),
            None => Ok(None),
            Some(data) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                Ok(Some((data, (chunks, left.saturating_sub(length), key))))
            }
        }
    })
    .boxed()
}

/// Reads an open file in whole frames, off the I/O threads.
fn read_file(file: File, start: u64, length: u64) -> Chunks {
    stream::try_unfold((file, start, length), |(mut file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(FRAME_BYTES);
        let read = skald_runtime::spawn_blocking(move || {
            let mut data = BytesMut::zeroed(n);
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut data)?;
            std::io::Result::Ok((data.freeze(), file))
        });
        let (data, file) = read.await?.map_err(other)?;
        let n = u64::try_from(n).unwrap_or(left);
        Ok(Some((data, (file, at + n, left - n))))
    })
    .boxed()
}

/// Cuts large chunks and joins small ones.
fn joined(chunks: Chunks) -> Chunks {
    stream::try_unfold((chunks, Bytes::new()), |(mut chunks, mut held)| async move {
        if held.is_empty() {
            let mut small = BytesMut::new();
            while let Some(chunk) = chunks.try_next().await? {
                if small.is_empty() && chunk.len() >= JOIN_BYTES {
                    held = chunk;
                    break;
                }
                small.extend_from_slice(&chunk);
                if small.len() >= JOIN_BYTES {
                    break;
                }
            }
            if !small.is_empty() {
                held = small.freeze();
            }
        }
        if held.is_empty() {
            return Ok(None);
        }
        let data = held.split_to(held.len().min(FRAME_BYTES));
        Ok(Some((data, (chunks, held))))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_are_joined_and_cut_but_never_changed() {
        let sizes = [0, 10, 0, JOIN_BYTES, 3, FRAME_BYTES * 2 + 5, 1];
        let chunks: Vec<Bytes> = (1u8..).zip(sizes).map(|(i, n)| Bytes::from(vec![i; n])).collect();
        let whole: Vec<u8> = chunks.iter().flatten().copied().collect();
        let out: Vec<Bytes> =
            joined(stream::iter(chunks.into_iter().map(Ok)).boxed()).try_collect().await.unwrap();
        assert!(out.iter().all(|c| !c.is_empty() && c.len() <= FRAME_BYTES));
        assert_eq!(out.concat(), whole);
    }
}
