//! Which segment files exist, shared by appends, the writer, truncation and replay.
//!
//! Invariant: the newest file is never deleted, because its name says where numbers go on after a restart.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;
use skald_runtime::crash_point;

use crate::directory::Directory;
use crate::{Error, Metrics};

/// All segment files by their first sequence number.
#[derive(Debug)]
pub(crate) struct Segments {
    files: Mutex<BTreeMap<u64, Segment>>,
    metrics: Metrics,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// No record in the file has a larger number; below the first one if the file has no records.
    pub(crate) last_seq: u64,
    pub(crate) bytes: u64,
}

// === impl Segments ===

impl Segments {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { files: Mutex::default(), metrics }
    }

    pub(crate) fn set(&self, first_seq: u64, segment: Segment) {
        let mut files = self.files.lock();
        files.insert(first_seq, segment);
        self.publish(&files);
    }

    pub(crate) fn set_bytes(&self, first_seq: u64, bytes: u64) {
        let mut files = self.files.lock();
        if let Some(segment) = files.get_mut(&first_seq) {
            segment.bytes = bytes;
        }
        self.publish(&files);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.lock().values().map(|s| s.bytes).sum()
    }

    /// Whether the newest file has records and all of them have numbers below `seq`.
    pub(crate) fn newest_is_obsolete(&self, seq: u64) -> bool {
        let files = self.files.lock();
        files.last_key_value().is_some_and(|(first, s)| s.last_seq >= *first && s.last_seq < seq)
    }

    /// Deletes files whose records all have numbers below `seq`, oldest first, never the newest.
    pub(crate) fn delete_before(&self, dir: &Directory, seq: u64) -> Result<u64, Error> {
        let obsolete: Vec<u64> = {
            let files = self.files.lock();
            let older = files.iter().take(files.len().saturating_sub(1));
            older.take_while(|(_, s)| s.last_seq < seq).map(|(first, _)| *first).collect()
        };
        for first_seq in &obsolete {
            let path = dir.segment(*first_seq);
            crash_point!("wal.remove");
            match dir.fs.remove(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, e));
                }
                _ => {}
            }
            crash_point!("wal.removed");
            let mut files = self.files.lock();
            files.remove(first_seq);
            self.publish(&files);
        }
        Ok(obsolete.len() as u64)
    }

    fn publish(&self, files: &BTreeMap<u64, Segment>) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.segments.set(gauge(files.len() as u64));
        self.metrics.size_bytes.set(gauge(files.values().map(|s| s.bytes).sum()));
    }
}
