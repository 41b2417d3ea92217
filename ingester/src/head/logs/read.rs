//! Reading entries: parts are shared or copied under the lock; sorting, removing repetitions and searching happen outside.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem::Finder;
use skald_model::{Labels, LogEntry, Matcher, StreamEntries, TimeRange};
use skald_rpc::ingester::{SelectEntries, StreamStats};

use super::data::{Batches, Entry, StreamData};
use super::{LogsHead, LogsSnapshot};
use crate::index::Ref;

/// Runs of equal times longer than this are searched for repetitions by hash.
const LONG_RUN: usize = 16;

/// Streams picked under the lock, with everything their entries point into.
#[derive(Debug)]
pub(crate) struct Selection {
    streams: Vec<Picked>,
    batches: Batches,
    snapshot: Option<Arc<LogsSnapshot>>,
    pub(crate) manifest_version: u64,
}

#[derive(Debug)]
struct Picked {
    labels: Labels,
    r: Ref,
    own: StreamData,
}

/// An entry with its batch.
#[derive(Clone, Copy)]
struct Hit<'a> {
    ts: i64,
    batch: &'a Bytes,
    line: &'a [u8],
    metadata: &'a [u8],
}

impl LogsHead {
    /// The streams to pick from, with the snapshot and commit number of this moment.
    pub(crate) fn begin(&self, matchers: &[Matcher]) -> (Vec<Ref>, Selection) {
        let selection = Selection {
            streams: Vec::new(),
            batches: Batches::default(),
            snapshot: self.flushing.clone(),
            manifest_version: self.manifest_version,
        };
        (self.index.select(matchers), selection)
    }

    /// Takes along what these streams have in `range`, and all batches so far.
    pub(crate) fn pick(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let Some(own) = self.data.get(r as usize) else { continue };
            if own.overlaps(range) || into.old(r).is_some_and(|d| d.overlaps(range)) {
                let labels = self.index.labels(r);
                into.streams.push(Picked { labels, r, own: own.within(range) });
            }
        }
        into.batches = self.batches.clone();
    }

    /// As [`Self::pick`], but labels only.
    pub(crate) fn pick_labels(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let Some(own) = self.data.get(r as usize) else { continue };
            if own.overlaps(range) || into.old(r).is_some_and(|d| d.overlaps(range)) {
                let (labels, own) = (self.index.labels(r), StreamData::default());
                into.streams.push(Picked { labels, r, own });
            }
        }
    }
}

impl StreamData {
    fn overlaps(&self, range: TimeRange) -> bool {
        (!self.open.is_empty() && range.overlaps(self.min, self.max))
            || self.full.iter().any(|p| range.overlaps(p.min, p.max))
    }

    /// Shares the full parts in `range` and copies the open one.
    fn within(&self, range: TimeRange) -> Self {
        let full = self.full.iter().filter(|p| range.overlaps(p.min, p.max)).cloned().collect();
        let open = self.open.iter().filter(|e| range.contains(e.timestamp_ns)).copied().collect();
        Self { full, open, min: self.min, max: self.max, unordered: self.unordered }
    }

    fn entries(&self, range: TimeRange) -> impl Iterator<Item = &Entry> {
        let full = self.full.iter().filter(move |p| range.overlaps(p.min, p.max));
        full.flat_map(|p| p.entries.iter())
            .chain(&self.open)
            .filter(move |e| range.contains(e.timestamp_ns))
    }
}

impl Selection {
    /// What the snapshot has of a stream.
    fn old(&self, r: Ref) -> Option<&StreamData> {
        self.snapshot.as_ref()?.data.get(r as usize)
    }

    /// The label sets.
    pub(crate) fn labels(self) -> Vec<Labels> {
        self.streams.into_iter().map(|p| p.labels).collect()
    }

    /// The entries that contain all needles, each once, sorted; enough of them for the limit.
    pub(crate) fn entries(&self, request: &SelectEntries) -> Vec<StreamEntries> {
        let needles: Vec<Finder<'_>> = request.needles.iter().map(Finder::new).collect();
        let wanted = |hit: &Hit<'_>| needles.iter().all(|n| n.find(hit.line).is_some());
        let mut found: Vec<(&Labels, Vec<Hit<'_>>)> = Vec::new();
        for picked in &self.streams {
            let mut hits = self.hits(picked, request.range, wanted);
            shorten(&mut hits, request);
            if !hits.is_empty() {
                found.push((&picked.labels, hits));
            }
        }
        limit(&mut found, request);
        found
            .into_iter()
            .map(|(labels, hits)| StreamEntries {
                labels: labels.clone(),
                entries: hits.iter().map(Hit::entry).collect(),
            })
            .collect()
    }

    /// Counts what [`Self::entries`] would return without needles and limit.
    pub(crate) fn stats(&self, range: TimeRange) -> StreamStats {
        let mut stats = StreamStats::default();
        for picked in &self.streams {
            let hits = self.hits(picked, range, |_| true);
            if hits.is_empty() {
                continue;
            }
            stats.streams += 1;
            stats.chunks += 1;
            stats.entries += hits.len() as u64;
            stats.bytes += hits.iter().map(|h| h.line.len() as u64).sum::<u64>();
        }
        stats
    }

    fn hits<'a>(
        &'a self,
        picked: &'a Picked,
        range: TimeRange,
        wanted: impl Fn(&Hit<'_>) -> bool,
    ) -> Vec<Hit<'a>> {
        let mut hits = Vec::new();
        let mut unordered = picked.own.unordered;
        if let Some(snapshot) = &self.snapshot
            && let Some(old) = snapshot.data.get(picked.r as usize)
        {
            hits.extend(
                old.entries(range).filter_map(|e| Hit::of(e, &snapshot.batches)).filter(&wanted),
            );
            unordered |= old.unordered || !hits.is_empty();
        }
        hits.extend(
            picked.own.entries(range).filter_map(|e| Hit::of(e, &self.batches)).filter(&wanted),
        );
        if unordered {
            sort(&mut hits);
        }
        hits
    }
}

impl<'a> Hit<'a> {
    fn of(entry: &Entry, batches: &'a Batches) -> Option<Self> {
        let batch = batches.get(entry.batch)?;
        let slice = |at: u32, len: u32| batch.get(at as usize..at as usize + len as usize);
        Some(Self {
            ts: entry.timestamp_ns,
            batch,
            line: slice(entry.line, entry.line_len)?,
            metadata: slice(entry.metadata, entry.metadata_len)?,
        })
    }

    fn entry(&self) -> LogEntry {
        let metadata = if self.metadata.is_empty() {
            Labels::empty()
        } else {
            // Validated when the batch was taken.
            Labels::from_bytes(self.batch.slice_ref(self.metadata)).unwrap_or_default()
        };
        LogEntry { timestamp_ns: self.ts, line: self.batch.slice_ref(self.line), metadata }
    }

    fn content(&self) -> (&'a [u8], &'a [u8]) {
        (self.line, self.metadata)
    }
}

/// All entries of a stream in a snapshot, sorted, each once.
pub(crate) fn entries_of(data: &StreamData, batches: &Batches) -> Vec<LogEntry> {
    let all = data.full.iter().flat_map(|p| p.entries.iter()).chain(&data.open);
    let mut hits: Vec<Hit<'_>> = all.filter_map(|e| Hit::of(e, batches)).collect();
    if data.unordered {
        sort(&mut hits);
    }
    hits.iter().map(Hit::entry).collect()
}

/// Sorts by time, equal times as written, and drops repetitions.
fn sort(hits: &mut Vec<Hit<'_>>) {
    hits.sort_by_key(|h| h.ts);
    if hits.windows(2).all(|w| w[0].ts < w[1].ts) {
        return;
    }
    let mut kept: Vec<Hit<'_>> = Vec::with_capacity(hits.len());
    for run in hits.chunk_by(|a, b| a.ts == b.ts) {
        if run.len() > LONG_RUN {
            let mut seen = HashSet::with_capacity(run.len());
            kept.extend(run.iter().filter(|h| seen.insert(h.content())));
            continue;
        }
        let from = kept.len();
        for hit in run {
            if !kept[from..].iter().any(|k| k.content() == hit.content()) {
                kept.push(*hit);
            }
        }
    }
    *hits = kept;
}

/// Keeps of one stream as many as could be wanted, and those of the same time.
fn shorten(hits: &mut Vec<Hit<'_>>, request: &SelectEntries) {
    let n = request.limit;
    if n == 0 || hits.len() <= n {
        return;
    }
    if request.backward {
        let oldest = hits[hits.len() - n].ts;
        let from = hits.partition_point(|h| h.ts < oldest);
        hits.drain(..from);
    } else {
        let newest = hits[n - 1].ts;
        hits.truncate(hits.partition_point(|h| h.ts <= newest));
    }
}

/// Drops what is farther than the `limit`th entry over all streams.
fn limit(found: &mut Vec<(&Labels, Vec<Hit<'_>>)>, request: &SelectEntries) {
    let total: usize = found.iter().map(|(_, hits)| hits.len()).sum();
    let n = request.limit;
    if n == 0 || total <= n {
        return;
    }
    let mut times: Vec<i64> = found.iter().flat_map(|(_, h)| h.iter().map(|h| h.ts)).collect();
    if request.backward {
        let oldest = *times.select_nth_unstable_by_key(n - 1, |t| Reverse(*t)).1;
        found.iter_mut().for_each(|(_, hits)| hits.retain(|h| h.ts >= oldest));
    } else {
        let newest = *times.select_nth_unstable(n - 1).1;
        found.iter_mut().for_each(|(_, hits)| hits.retain(|h| h.ts <= newest));
    }
    found.retain(|(_, hits)| !hits.is_empty());
}
