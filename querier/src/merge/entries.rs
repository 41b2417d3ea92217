//! Entries of one stream from several sources: each identity (time, line, metadata) once.

use std::collections::HashSet;

use skald_model::{LogEntry, StreamEntries};

/// Groups of entries with one timestamp up to this size are compared pair by pair.
const SMALL: usize = 16;

/// Merges parts with equal labels. Each part is sorted by time and has no entry twice.
pub(super) fn unite(mut parts: Vec<StreamEntries>) -> StreamEntries {
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    parts.sort_by_key(|p| p.entries.first().map_or(i64::MAX, |e| e.timestamp_ns));
    let mut parts = parts.into_iter();
    let mut out = parts.next().unwrap_or_default();
    for part in parts {
        add(&mut out.entries, part.entries);
    }
    out
}

/// Adds a sorted part that does not begin before `out` does.
fn add(out: &mut Vec<LogEntry>, part: Vec<LogEntry>) {
    let Some(first) = part.first().map(|e| e.timestamp_ns) else { return };
    let from = out.partition_point(|e| e.timestamp_ns < first);
    if from == out.len() {
        out.extend(part);
        return;
    }
    if out.get(from..from + part.len()) == Some(&part[..]) {
        return;
    }
    let mut old = out.split_off(from).into_iter().peekable();
    let mut new = part.into_iter().peekable();
    out.reserve(old.len() + new.len());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        let t = a.timestamp_ns.min(b.timestamp_ns);
        let group = out.len();
        while let Some(e) = old.next_if(|e| e.timestamp_ns == t) {
            out.push(e);
        }
        if out.len() == group {
            while let Some(e) = new.next_if(|e| e.timestamp_ns == t) {
                out.push(e);
            }
        } else {
            add_missing(out, group, std::iter::from_fn(|| new.next_if(|e| e.timestamp_ns == t)));
        }
    }
    out.extend(old);
    out.extend(new);
}

/// Appends those of `new` that `out[group..]` does not have.
fn add_missing(out: &mut Vec<LogEntry>, group: usize, new: impl Iterator<Item = LogEntry>) {
    let end = out.len();
    if end - group <= SMALL {
        for e in new {
            if !out[group..end].contains(&e) {
                out.push(e);
            }
        }
        return;
    }
    let seen: HashSet<Identity> = out[group..end].iter().map(identity).collect();
    let missing: Vec<LogEntry> = new.filter(|e| !seen.contains(&identity(e))).collect();
    out.extend(missing);
}

/// What makes an entry the same entry, within one stream and timestamp.
pub(crate) type Identity = (bytes::Bytes, skald_model::Labels);

pub(crate) fn identity(e: &LogEntry) -> Identity {
    (e.line.clone(), e.metadata.clone())
}
