//! Where bytes came from: a mark that whoever keeps copies of objects puts on what it answers with.

/// In the extensions of an answer that a cache gave without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromCache;
