//! Hashing of what is a hash already: series ids and hashes of label pairs.
//!
//! One multiplication with a number drawn at start mixes all bits, so that nobody outside can choose
//! ids that share a bucket.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use skald_runtime::Rng;

/// Makes [`Mix`]es with the process's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixer(u64);

/// Folds the words written into one.
#[derive(Debug)]
pub(super) struct Mix {
    multiplier: u64,
    state: u64,
}

impl Mixer {
    /// The process's number, odd.
    pub(super) fn multiplier() -> u64 {
        static NUMBER: OnceLock<u64> = OnceLock::new();
        *NUMBER.get_or_init(|| Rng::from_entropy().next_u64() | 1)
    }
}

impl Default for Mixer {
    fn default() -> Self {
        Self(Self::multiplier())
    }
}

impl BuildHasher for Mixer {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix { multiplier: self.0, state: 0 }
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded")]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.multiplier);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }

    /// The length of an array that is always equally long.
    fn write_usize(&mut self, _len: usize) {}
}
