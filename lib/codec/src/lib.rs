//! How samples, histograms, lines and label sets are written as bytes, and how foreign bytes are unpacked safely.
//!
//! Requirements: pure (no I/O), lossless to the bit, every format versioned and described in
//! `docs/formats/`, and no input, however hostile, panics or allocates more than it declares in bytes.

pub mod batch;
pub mod bits;
pub mod chunk;
pub mod compress;
pub mod encoded;
pub mod histogram;
pub mod lines;
pub mod wire;
