//! Reading entries: runs are shared or copied under the lock; reading the log, sorting, removing
//! repetitions and searching happen outside.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use memchr::memmem::Finder;
use skald_model::{Labels, Matcher, StreamEntries, TimeRange};
use skald_rpc::ingester::{SelectEntries, StreamStats};

use super::data::{Batches, Run, StreamData};
use super::fetch::{Hit, Hits, ReadError};
use super::{LogsHead, LogsSnapshot};
use crate::index::Ref;

/// Runs of equal times longer than this are searched for repetitions by hash.
const LONG_RUN: usize = 16;

/// Streams picked under the lock, with everything their runs lie in.
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
    pub(crate) fn entries(&self, request: &SelectEntries) -> Result<Vec<StreamEntries>, ReadError> {
        let needles: Vec<Finder<'_>> = request.needles.iter().map(Finder::new).collect();
        let wanted = |line: &[u8]| needles.iter().all(|n| n.find(line).is_some());
        let mut found: Vec<(&Labels, Hits)> = Vec::new();
        let mut best = Best::new(request);
        for picked in &self.streams {
            let mut hits = self.hits(picked, request.range, &best, wanted)?;
            shorten(&mut hits.list, request);
            if !hits.list.is_empty() {
                best.add(&hits.list);
                found.push((&picked.labels, hits));
            }
        }
        limit(&mut found, request);
        let entries = |(labels, hits): (&Labels, Hits)| StreamEntries {
            labels: labels.clone(),
            entries: hits.into_entries(),
        };
        Ok(found.into_iter().map(entries).collect())
    }

    /// Counts what [`Self::entries`] would return without needles and limit.
    pub(crate) fn stats(&self, range: TimeRange) -> Result<StreamStats, ReadError> {
        let mut stats = StreamStats::default();
        for picked in &self.streams {
            let (entries, bytes) = self.count(picked, range)?;
            let any = u64::from(entries > 0);
            stats.streams += any;
            stats.chunks += any;
            stats.entries += entries;
            stats.bytes += bytes;
        }
        Ok(stats)
    }

    /// Entries of a stream and bytes of their lines.
    fn count(&self, picked: &Picked, range: TimeRange) -> Result<(u64, u64), ReadError> {
        let (runs, unordered) = self.runs(picked, range);
        let is_whole =
            |run: &Run| range.contains(run.min) && range.contains(run.max) && !run.unordered;
        if !unordered && runs.iter().all(|(_, run, _)| is_whole(run)) {
            // Nothing can be there twice.
            let sum =
                |of: fn(&Run) -> u32| runs.iter().map(|(_, r, _)| u64::from(of(r))).sum::<u64>();
            return Ok((sum(|r| r.n), sum(|r| r.line_bytes)));
        }
        let hits = self.hits(picked, range, &Best::unlimited(), |_| true)?;
        let bytes = hits.list.iter().map(|h| hits.content(h).0.len() as u64).sum();
        Ok((hits.list.len() as u64, bytes))
    }

    /// The runs of a stream that have anything in `range`, numbered in the order of the pushes, with the
    /// batches that they lie in; and whether their entries must be sorted.
    fn runs<'a>(&'a self, picked: &'a Picked, range: TimeRange) -> (Vec<Numbered<'a>>, bool) {
        let meets = |run: &&Run| range.overlaps(run.min, run.max);
        let mut numbers = 0u32..;
        let mut numbered = |run, batches| (numbers.next().unwrap_or(u32::MAX), run, batches);
        let mut runs: Vec<Numbered<'_>> = Vec::new();
        let mut unordered = picked.own.unordered;
        if let (Some(snapshot), Some(old)) = (&self.snapshot, self.old(picked.r)) {
            runs.extend(old.runs().filter(meets).map(|run| numbered(run, &snapshot.batches)));
            unordered |= old.unordered || !runs.is_empty();
        }
        runs.extend(picked.own.runs().filter(meets).map(|run| numbered(run, &self.batches)));
        (runs, unordered)
    }

    fn hits(
        &self,
        picked: &Picked,
        range: TimeRange,
        best: &Best,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Hits, ReadError> {
        let (mut runs, mut unordered) = self.runs(picked, range);
        if best.n > 0 {
            // What is wanted most comes first. Entries are sorted afterwards.
            runs.sort_by_key(|(_, run, _)| Reverse(best.rank_of_run(run)));
            unordered = true;
        }
        let mut hits = Hits::default();
        let mut floor = best.floor;
        let mut look_at = best.n;
        for run in runs {
            if floor.is_some_and(|floor| best.rank_of_run(run.1) < floor) {
                break;
            }
            let is_wanted =
                |ts, line: &[u8]| floor.is_none_or(|f| best.rank(ts) >= f) && wanted(line);
            hits.read(run, range, is_wanted)?;
            if best.n > 0 && hits.list.len() >= look_at {
                // Repetitions do not count towards the limit.
                sort(&mut hits);
                floor = best.nth(&hits.list).max(floor);
                look_at = hits.list.len().saturating_mul(2).max(best.n);
            }
        }
        if unordered {
            sort(&mut hits);
        }
        Ok(hits)
    }
}

/// A run, the number of its push, and the batches that it lies in.
type Numbered<'a> = (u32, &'a Run, &'a Batches);

/// Which entries can still be among those of the limit: of all streams those that rank highest.
struct Best {
    /// 0 = no limit.
    n: usize,
    backward: bool,
    /// Ranks found so far, at most twice the limit.
    ranks: Vec<i64>,
    /// Nothing of a lower rank is wanted.
    floor: Option<i64>,
}

impl Best {
    fn new(request: &SelectEntries) -> Self {
        Self { n: request.limit, backward: request.backward, ranks: Vec::new(), floor: None }
    }

    fn unlimited() -> Self {
        Self { n: 0, backward: false, ranks: Vec::new(), floor: None }
    }

    /// Higher for what is wanted more.
    fn rank(&self, ts: i64) -> i64 {
        if self.backward { ts } else { !ts }
    }

    fn rank_of_run(&self, run: &Run) -> i64 {
        self.rank(if self.backward { run.max } else { run.min })
    }

    /// The rank of the last of the limit among `hits`, if there are so many.
    fn nth(&self, hits: &[Hit]) -> Option<i64> {
        let mut ranks: Vec<i64> = hits.iter().map(|h| self.rank(h.ts)).collect();
        nth(&mut ranks, self.n)
    }

    /// Notes what a stream has, sorted and each once.
    fn add(&mut self, hits: &[Hit]) {
        if self.n == 0 {
            return;
        }
        let ranks: Vec<i64> = hits.iter().map(|h| self.rank(h.ts)).collect();
        self.ranks.extend(ranks);
        if let Some(rank) = nth(&mut self.ranks, self.n) {
            self.floor = self.floor.max(Some(rank));
            self.ranks.truncate(self.n);
        }
    }
}

/// The `n`th largest; moves the larger ones before it.
fn nth(ranks: &mut [i64], n: usize) -> Option<i64> {
    if ranks.len() < n {
        return None;
    }
    let at = n.checked_sub(1)?;
    Some(*ranks.select_nth_unstable_by_key(at, |r| Reverse(*r)).1)
}

/// Sorts by time, equal times as written, and drops repetitions.
fn sort(hits: &mut Hits) {
    hits.list.sort_by_key(|h| (h.ts, h.push));
    if hits.list.windows(2).all(|w| w[0].ts < w[1].ts) {
        return;
    }
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.list.len());
    for run in hits.list.chunk_by(|a, b| a.ts == b.ts) {
        if run.len() > LONG_RUN {
            let mut seen = HashSet::with_capacity(run.len());
            kept.extend(run.iter().filter(|h| seen.insert(hits.content(h))));
            continue;
        }
        let from = kept.len();
        for hit in run {
            let content = hits.content(hit);
            if !kept[from..].iter().any(|k| hits.content(k) == content) {
                kept.push(*hit);
            }
        }
    }
    hits.list = kept;
}

/// Keeps of one stream as many as could be wanted, and those of the same time.
fn shorten(hits: &mut Vec<Hit>, request: &SelectEntries) {
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
fn limit(found: &mut Vec<(&Labels, Hits)>, request: &SelectEntries) {
    let total: usize = found.iter().map(|(_, hits)| hits.list.len()).sum();
    let n = request.limit;
    if n == 0 || total <= n {
        return;
    }
    let mut times: Vec<i64> = found.iter().flat_map(|(_, h)| h.list.iter().map(|h| h.ts)).collect();
    if request.backward {
        let oldest = *times.select_nth_unstable_by_key(n - 1, |t| Reverse(*t)).1;
        found.iter_mut().for_each(|(_, hits)| hits.list.retain(|h| h.ts >= oldest));
    } else {
        let newest = *times.select_nth_unstable(n - 1).1;
        found.iter_mut().for_each(|(_, hits)| hits.list.retain(|h| h.ts <= newest));
    }
    found.retain(|(_, hits)| !hits.list.is_empty());
}
