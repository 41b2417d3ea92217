//! Log blocks: one row per line, sorted by stream and time; lines in packs behind the row groups, or in
//! a plain string column.
//!
//! ```text
//! l_<hot label>*  l_rest?  stream_id  timestamp  m_<frequent metadata>*  m_rest?  line?
//! ```
//!
//! Beside the row groups lies a stream directory (labels, row range, times, bytes of each stream),
//! so that our own reader finds the rows of a stream without decoding label columns; the columns
//! are for everybody else. Behind it lie gram filters, by which a search for a text skips rows. `docs/formats/log-block.md`.

mod directory;
mod early;
mod entries;
mod grams;
mod needles;
mod ordered;
mod packed;
mod packs;
mod read;
mod rows;
mod scan;
mod times;
mod whole;
mod write;

pub(crate) use self::directory::Stream;
pub(crate) use self::grams::Grams;
pub use self::ordered::OrderedLogWriter;
pub(crate) use self::packs::Pack;
pub use self::read::{LogReader, LogSelect, LogStats, Metadata};
pub use self::rows::LogRows;
pub use self::scan::{Early, EntryTest, FieldTest, LogSearch, LogSpan, Streams, Test};
pub use self::whole::{DamagedPack, LogPiece, PackedEntries};
pub use self::write::LogBlockWriter;
