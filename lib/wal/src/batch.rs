//! Records that are written at one go: small ones in one buffer, large payloads where they are.

use std::sync::Arc;

use bytes::Bytes;

use crate::{File, Kept};

/// Payloads that are smaller are copied: a call of the operating system costs more.
const WORTH_A_WRITE: usize = 32 << 10;

/// Encoded records in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Everything but the payloads that stand in `pieces`.
    pub(crate) bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Of the pieces that `bytes` does not hold.
    piece_bytes: usize,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) n_records: u64,
}

/// A payload that somebody wants to read again.
#[derive(Debug)]
struct Piece {
    kept: Arc<Kept>,
    /// Where in the batch it begins.
    offset: usize,
    /// How much of `bytes` comes before it.
    after: usize,
    /// `None` when `bytes` holds it.
    payload: Option<Bytes>,
}

// === impl Batch ===

impl Batch {
    /// An empty one that fills `spare`.
    pub(crate) fn reusing(spare: Vec<u8>) -> Self {
        Self { bytes: spare, ..Self::default() }
    }

    /// Bytes that the batch takes in the file.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.piece_bytes
    }

    /// Counts a record, whose bytes follow.
    pub(crate) fn begin(&mut self, seq: u64) {
        if self.n_records == 0 {
            self.first_seq = seq;
        }
        self.last_seq = seq;
        self.n_records += 1;
    }

    /// Adds the payload of a record whose head stands in `bytes`.
    pub(crate) fn keep(&mut self, kept: Arc<Kept>, payload: Bytes) {
        let (offset, after) = (self.len(), self.bytes.len());
        let payload = if payload.len() < WORTH_A_WRITE {
            self.bytes.extend_from_slice(&payload);
            None
        } else {
            self.piece_bytes += payload.len();
            Some(payload)
        };
        self.pieces.push(Piece { kept, offset, after, payload });
    }

    /// What to write, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let large = self.pieces.iter().filter_map(|p| Some((p.after, p.payload.as_ref()?)));
        let mut from = 0;
        let parts = large.flat_map(move |(after, payload)| {
            let before = self.bytes.get(from..after).unwrap_or_default();
            from = after;
            [before, &payload[..]]
        });
        let last = self.pieces.iter().rev().find(|p| p.payload.is_some()).map_or(0, |p| p.after);
        let rest = self.bytes.get(last..).unwrap_or_default();
        parts.chain([rest]).filter(|part| !part.is_empty())
    }

    /// Whether somebody wants to read from the file.
    pub(crate) fn is_kept(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// The batch is in `file` from `base` on.
    pub(crate) fn settle(&mut self, file: &Arc<dyn File>, base: u64) {
        for piece in self.pieces.drain(..) {
            piece.kept.settle(file, base + piece.offset as u64);
        }
    }
}
