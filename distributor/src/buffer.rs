//! Buffers that are used again: for what a body unpacks to and for the batch that is made of it.
//!
//! A fresh buffer of a mebibyte costs more than filling it: the kernel clears its pages one by one as
//! they are touched.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// Buffers that are kept at most, and how large each may be.
const MAX_KEPT: usize = 8;
const MAX_SIZE: usize = 4 << 20;
/// What needs less is not worth it.
const MIN_SIZE: usize = 64 << 10;

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// Bytes that return their memory when dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// May be longer than what it holds: what was once set need not be set again.
    bytes: Vec<u8>,
    len: usize,
    home: Weak<Buffers>,
}

// === impl Buffers ===

impl Buffers {
    /// A vector with anything in it; to be given back by [`Buffer::new`] on dropping.
    pub(crate) fn take(&self, size: usize) -> Vec<u8> {
        if size < MIN_SIZE {
            return Vec::new();
        }
        self.0.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, bytes: Vec<u8>) {
        if !(MIN_SIZE..=MAX_SIZE).contains(&bytes.capacity()) {
            return;
        }
        let mut kept = self.0.lock();
        if kept.len() < MAX_KEPT {
            kept.push(bytes);
        }
    }
}

// === impl Buffer ===

impl Buffer {
    /// The first `len` of `bytes`, whose memory goes to `home` in the end.
    pub(crate) fn new(bytes: Vec<u8>, len: usize, home: &Arc<Buffers>) -> Self {
        Self { len: len.min(bytes.len()), bytes, home: Arc::downgrade(home) }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes, home: Weak::new() }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_its_old_bytes_are_not_seen() {
        let home = Arc::new(Buffers::default());
        let mut bytes = home.take(MIN_SIZE);
        assert_eq!(bytes.capacity(), 0);
        bytes.resize(MIN_SIZE, 7);
        let at = bytes.as_ptr();
        let shared = Buffer::new(bytes, 3, &home).into_bytes();
        let part = shared.slice(1..);
        drop(shared);
        assert_eq!(home.0.lock().len(), 0, "a part is in use");
        assert_eq!(part[..], [7, 7]);
        drop(part);
        assert_eq!(home.take(1).capacity(), 0, "small ones are not worth it");
        let again = home.take(MIN_SIZE);
        assert_eq!(again.as_ptr(), at);
    }

    #[test]
    fn few_and_no_large_buffers_are_kept() {
        let home = Arc::new(Buffers::default());
        drop(Buffer::new(vec![0; MAX_SIZE + 1], 1, &home));
        assert_eq!(home.0.lock().len(), 0);
        let many: Vec<Buffer> = std::iter::repeat_with(|| Buffer::new(vec![0; MIN_SIZE], 1, &home))
            .take(MAX_KEPT + 1)
            .collect();
        drop(many);
        assert_eq!(home.0.lock().len(), MAX_KEPT);
    }
}
