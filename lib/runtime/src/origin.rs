//! Where bytes came from: marks between those who read objects and whoever keeps copies of them.

/// In the extensions of an answer that a cache gave without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromCache;

/// In the extensions of a request: what a cache has is damaged, the store must be asked, and the cache is to keep that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anew;
