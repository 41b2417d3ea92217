//! Replaces the operating system's randomness in this program, so that the hashers of the standard
//! library, and what tokio draws from them, are the same in every run of a seed.
#![expect(
    unsafe_code,
    reason = "getrandom(2) is a C function, which the standard library lets programs replace"
)]

use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on randomness follows from `seed`.
pub(crate) fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
}

// SAFETY: the symbol is glibc's own, with its signature; the standard library calls it through a weak reference.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    let rng = skald_runtime::Rng::seeded(STATE.fetch_add(1, Ordering::SeqCst));
    for i in 0..length {
        let byte = rng.next_u64().to_le_bytes()[0];
        // SAFETY: the caller owns `length` bytes at `buffer`.
        unsafe { buffer.cast::<u8>().add(i).write(byte) };
    }
    isize::try_from(length).unwrap_or(0)
}
