//! Log lines in columns: what lines have in common is kept once, what differs in columns by kind.
//!
//! Requirements: lossless to the byte; each line can be had without those before it; a text can be
//! looked for, and a field of JSON or logfmt read, without building the lines.
//!
//! ```text
//! lines   := version:u8 = 1  n_rows  text_len  (raw_len  stored_len){4}  meta  ids  strings  packed
//! meta    := n_templates  template*  raw column, when lines have no template
//! template:= n_rows  len  key  column, one per 0x00 in the key
//! ```
//!
//! A *template* is a line with each variable part (a word with digits, a quoted text, a value of JSON
//! or logfmt, a time) replaced by 0x00. `docs/formats/lines.md`.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lines and their bytes are bounded far below 2^32, digits and widths below 2^8"
)]

mod column;
mod decode;
mod digits;
mod encode;
mod fields;
mod search;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod times;
mod value;
mod verdicts;

pub use self::decode::Lines;
pub use self::encode::{LinesEncoder, TooMany};
pub use self::fields::{Fields, Reduced, Syntax};
pub use self::search::{Known, Matches};

pub use crate::wire::WireError;

/// Bytes of lines that are encoded together at best: what reading one of them unpacks.
pub const TARGET_BYTES: usize = 1 << 20;
/// Most lines and bytes of lines encoded together.
pub const MAX_ROWS: usize = 1 << 17;
pub const MAX_BYTES: usize = 64 << 20;

const VERSION: u8 = 1;
/// Stands for a variable in keys; lines that have it are kept as they are.
const SLOT: u8 = 0;
const N_SECTIONS: usize = 4;
/// Behind packed values, so that each can be read as a whole word.
const PADDING: usize = 8;
