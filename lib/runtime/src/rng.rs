//! Seeded randomness for ids and jitter. Not for secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A shared splitmix64 generator. Clones draw from the same sequence.
#[derive(Clone, Debug)]
pub struct Rng(Arc<AtomicU64>);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Seeds from the hasher keys that the standard library takes from the operating system.
    pub fn from_entropy() -> Self {
        use std::hash::{BuildHasher, Hasher};
        Self::seeded(std::hash::RandomState::new().build_hasher().finish())
    }

    pub fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The modulo bias is negligible for our uses.
    pub fn below(&self, n: u64) -> u64 {
        self.next_u64().checked_rem(n).unwrap_or(0)
    }
}
