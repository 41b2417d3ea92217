//! Where both versions of remote write pour their series: resolves labels, checks samples, fills batches.

use std::sync::Arc;

use skald_codec::batch::{MetricsBuilder, Starts};
use skald_model::{Exemplar, Histogram, Labels, MetricMetadata, SeriesId};
use xxhash_rust::xxh3::xxh3_64;

use super::histogram;
use super::labels::{Fault, Pairs, Shown, canonical, labels_v1, labels_v2};
use super::{Context, Counts};
use crate::batches::{Item, Memory, Part, Parts};
use crate::cache::{Domain, Key, Seed, tag_of};
use crate::ha::{MAX_VALUE, Names, Tracker, Verdict, Wanted};
use crate::rejects::{Rejects, ids};
use crate::wire::Malformed;

/// Samples of one series in one push; more is no honest client.
pub(super) const MAX_SAMPLES_PER_SERIES: usize = 1 << 20;
/// Decoded histograms held before they are written to the batch.
const MAX_HELD_HISTOGRAM_BYTES: usize = 4 << 20;
const NS_PER_MS: i64 = 1_000_000;
const LONG_PAIR: &str = "label of cluster or replica is longer than 1024 bytes";

/// The samples of one series as they stand in the body.
#[derive(Debug, Default)]
pub(super) struct Raw<'a> {
    pub(super) floats: Vec<(i64, f64)>,
    /// Start timestamps of the floats, 0 = unknown; empty when none is known.
    starts: Vec<i64>,
    pub(super) histograms: Vec<&'a [u8]>,
    pub(super) exemplars: Vec<&'a [u8]>,
}

/// A series whose labels are valid.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) id: SeriesId,
    pub(super) key: Key,
    pub(super) item: Item,
    /// To be sent along; `None` when a quorum of the owning partition knows them.
    pub(super) labels: Option<Labels>,
}

#[derive(Debug)]
pub(super) struct Sink<'c> {
    pub(super) ctx: &'c Context,
    pub(super) seed: Seed,
    tag: u32,
    pub(super) parts: Parts<MetricsBuilder>,
    pub(super) counts: Counts,
    pub(super) rejects: Rejects,
    pub(super) spill: Vec<u8>,
    histograms: Vec<(i64, Histogram)>,
    histogram_starts: Vec<i64>,
    pub(super) exemplars: Vec<Exemplar>,
    body: &'c [u8],
    /// Only in version 2.
    symbols: Option<&'c [(u32, u32)]>,
    min_ms: i64,
    max_ms: i64,
    ha: Option<Replicas<'c>>,
    wanted: Wanted,
}

/// The high-availability pairs of the tenant, and what was said of the last one asked for.
#[derive(Debug)]
struct Replicas<'c> {
    tracker: &'c Tracker,
    names: Names<'c>,
    cluster: String,
    replica: String,
    verdict: Option<Verdict>,
}

// === impl Raw ===

impl<'a> Raw<'a> {
    pub(super) fn clear(&mut self) {
        self.floats.clear();
        self.starts.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }

    /// Samples and histograms.
    pub(super) fn n_samples(&self) -> u64 {
        (self.floats.len() + self.histograms.len()) as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_samples() == 0 && self.exemplars.is_empty()
    }

    pub(super) fn push_float(&mut self, ts: i64, value: f64, start: i64) -> Result<(), Malformed> {
        if self.floats.len() >= MAX_SAMPLES_PER_SERIES {
            return Err(Malformed("more than 1048576 samples of one series"));
        }
        if start != 0 || !self.starts.is_empty() {
            self.starts.resize(self.floats.len(), 0);
            self.starts.push(start);
        }
        self.floats.push((ts, value));
        Ok(())
    }

    /// Keeps the floats whose time passes `check`.
    fn retain_floats(&mut self, mut check: impl FnMut(i64) -> bool) {
        let kept: Vec<bool> = self.floats.iter().map(|(ts, _)| check(*ts)).collect();
        let mut keep = kept.iter().copied();
        self.floats.retain(|_| keep.next().unwrap_or(true));
        let mut keep = kept.iter().copied();
        self.starts.retain(|_| keep.next().unwrap_or(true));
    }
}

// === impl Sink ===

impl<'c> Sink<'c> {
    pub(super) fn new(
        ctx: &'c Context,
        domain: Domain,
        body: &'c [u8],
        symbols: Option<&'c [(u32, u32)]>,
    ) -> Self {
        let limits = &ctx.limits;
        let now_ms = ctx.now_ns / NS_PER_MS;
        let grace = limits.creation_grace_period;
        let max_ms =
            if grace.is_zero() { i64::MAX } else { now_ms.saturating_add(grace.as_millis()) };
        let age = limits.reject_old_samples_max_age.as_millis();
        let min_ms = if limits.reject_old_samples { now_ms.saturating_sub(age) } else { i64::MIN };
        let ha = ctx.ha.as_deref().map(|tracker| Replicas {
            tracker,
            names: Names::of(limits),
            cluster: String::new(),
            replica: String::new(),
            verdict: None,
        });
        let numbers = [
            limits.max_label_names_per_series,
            limits.max_label_name_length,
            limits.max_label_value_length,
        ];
        let fingerprint = numbers
            .iter()
            .fold(0, |h, n| xxh3_64(&[u64::to_le_bytes(h), (*n as u64).to_le_bytes()].concat()));
        // What an entry is the id of depends on which label is left out.
        let fingerprint = ha.as_ref().map_or(fingerprint, |ha| {
            [ha.names.cluster, ha.names.replica].iter().fold(!fingerprint, |h, name| {
                xxh3_64(&[&h.to_le_bytes(), name.as_bytes()].concat())
            })
        });
        Self {
            ctx,
            seed: ctx.cache.seed(domain, ctx.tenant.as_str(), fingerprint),
            tag: tag_of(&ctx.view),
            parts: Parts::new(
                ctx.tenant.clone(),
                Arc::clone(&ctx.view),
                limits.ingestion_tenant_shard_size,
                now_ms,
                Memory::default(),
            ),
            counts: Counts::default(),
            rejects: Rejects::default(),
            spill: Vec::new(),
            histograms: Vec::new(),
            histogram_starts: Vec::new(),
            exemplars: Vec::new(),
            body,
            symbols,
            min_ms,
            max_ms,
            ha,
            wanted: Wanted::default(),
        }
    }

    /// The labels of pairs, where the tenant has some.
    #[inline]
    pub(super) fn ha_names(&self) -> Option<Names<'c>> {
        self.ha.as_ref().map(|ha| ha.names)
    }

    /// Whether a series of this cluster and replica is to be written. If not, it was counted.
    pub(super) fn admits(&mut self, pair: Option<(&str, &str)>, raw: &Raw<'_>) -> bool {
        let (Some((cluster, replica)), Some(ha)) = (pair, self.ha.as_mut()) else { return true };
        let verdict = match ha.verdict {
            Some(verdict) if ha.cluster == cluster && ha.replica == replica => verdict,
            _ if cluster.len().max(replica.len()) > MAX_VALUE => {
                self.refuse(Fault::Invalid(LONG_PAIR), &Pairs::new(), raw);
                return false;
            }
            _ => {
                let (ctx, now_ms) = (self.ctx, self.ctx.now_ns / NS_PER_MS);
                let verdict = ha.tracker.judge(&ctx.tenant, &ctx.limits, cluster, replica, now_ms);
                // The memory is used again.
                for (place, value) in [(&mut ha.cluster, cluster), (&mut ha.replica, replica)] {
                    place.clear();
                    place.push_str(value);
                }
                ha.verdict = Some(verdict);
                verdict
            }
        };
        match verdict {
            Verdict::Accept => return true,
            Verdict::Drop => {
                let dropped = &mut self.counts.duplicates;
                dropped.samples += raw.floats.len() as u64;
                dropped.histograms += raw.histograms.len() as u64;
                dropped.exemplars += raw.exemplars.len() as u64;
            }
            // The push is decoded again after the election.
            Verdict::Elect => self.wanted.add(cluster, replica),
            Verdict::TooMany => {
                self.count(raw);
                let max = self.ctx.limits.ha_max_clusters;
                self.rejects.add(ids::MAX_HA_CLUSTERS, raw.n_samples().max(1), || {
                    format!(
                        "cluster {:?} would be one more than the limit of {max} (setting ha_max_clusters)",
                        &cluster[..cluster.floor_char_boundary(64)]
                    )
                });
            }
        }
        false
    }

    /// The series of `key`: from the cache, or by reading, checking and remembering its labels.
    ///
    /// `flags` is kept with the entry; an entry with other flags counts as not announced.
    #[inline]
    pub(super) fn resolve<'a>(
        &self,
        key: Key,
        item: Item,
        flags: u8,
        pairs: &mut Pairs<'a>,
        read: impl FnOnce(&mut Pairs<'a>) -> Result<(), Fault<'a>>,
    ) -> Result<Resolved, Fault<'a>> {
        let hit = self.ctx.cache.get(key);
        if let Some(hit) = hit
            && hit.tag == self.tag
            && hit.flags == flags
        {
            return Ok(Resolved { id: hit.id, key, item, labels: None });
        }
        read(pairs)?;
        if let Some(names) = self.ha_names() {
            names.strip(pairs);
        }
        let labels = canonical(pairs, &self.ctx.limits)?;
        let id = labels.id();
        if hit.is_none_or(|hit| hit.flags != flags) {
            self.ctx.cache.insert(key, id, flags);
        }
        Ok(Resolved { id, key, item, labels: Some(labels) })
    }

    /// Notes that a whole series is refused for its labels.
    pub(super) fn refuse(&mut self, fault: Fault<'_>, pairs: &Pairs<'_>, raw: &Raw<'_>) {
        self.count(raw);
        let limits = &self.ctx.limits;
        self.rejects.add(fault.id(), raw.n_samples().max(1), || fault.describe(limits, pairs));
    }

    /// Counts what was received, stored or not.
    pub(super) fn count(&mut self, raw: &Raw<'_>) {
        self.counts.samples += raw.floats.len() as u64;
        self.counts.histograms += raw.histograms.len() as u64;
        self.counts.exemplars += raw.exemplars.len() as u64;
    }

    /// Checks the samples of a series and writes what is left of them. `self.exemplars` holds its exemplars.
    pub(super) fn write(&mut self, series: &Resolved, raw: &mut Raw<'_>) -> Result<(), Malformed> {
        self.count(raw);
        if !raw.floats.iter().all(|(ts, _)| self.is_in_time(*ts)) {
            raw.retain_floats(|ts| self.check_time(series, ts));
        }
        let mut exemplars = std::mem::take(&mut self.exemplars);
        exemplars.retain(|e| self.check_time(series, e.timestamp_ms));
        let ctx = self.ctx;
        let mut held = 0;
        for bytes in &raw.histograms {
            let histogram::Stamped { ts, start, histogram: h } =
                match histogram::read(bytes, &ctx.limits)? {
                    Ok(read) => read,
                    Err(bad) => {
                        self.reject(bad.id(), series, || bad.describe(&ctx.limits));
                        continue;
                    }
                };
            if !self.check_time(series, ts) {
                continue;
            }
            held += h.size_bytes();
            self.histograms.push((ts, h));
            self.histogram_starts.push(start);
            if held > MAX_HELD_HISTOGRAM_BYTES {
                self.flush(series, &raw.floats, &raw.starts, &exemplars);
                raw.floats.clear();
                raw.starts.clear();
                exemplars.clear();
                held = 0;
            }
        }
        self.flush(series, &raw.floats, &raw.starts, &exemplars);
        // Its memory is used again by the next series.
        exemplars.clear();
        self.exemplars = exemplars;
        Ok(())
    }

    fn flush(
        &mut self,
        series: &Resolved,
        floats: &[(i64, f64)],
        starts: &[i64],
        exemplars: &[Exemplar],
    ) {
        if floats.is_empty() && exemplars.is_empty() && self.histograms.is_empty() {
            return;
        }
        let part = self.parts.of(series.id);
        let labels = series.labels.as_ref();
        part.items.push(series.item);
        if labels.is_some() {
            part.fresh.push(series.key);
        }
        let starts = Starts { floats: starts, histograms: &self.histogram_starts };
        let floats = floats.iter().copied();
        part.builder.series_iter(series.id, labels, floats, &self.histograms, exemplars, starts);
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    /// Sends `metadata` to the partition of its name.
    pub(super) fn metadata(&mut self, metadata: &MetricMetadata) {
        let home = SeriesId(xxhash_rust::xxh3::xxh3_128(metadata.name.as_bytes()));
        self.parts.of(home).builder.metadata(metadata);
        self.counts.metadata += 1;
    }

    #[inline]
    fn is_in_time(&self, ts: i64) -> bool {
        self.min_ms <= ts && ts <= self.max_ms
    }

    /// Whether `ts` is acceptable; if not, it is counted as refused.
    #[inline]
    fn check_time(&mut self, series: &Resolved, ts: i64) -> bool {
        let in_time = self.is_in_time(ts);
        if !in_time {
            self.reject_time(series, ts);
        }
        in_time
    }

    #[cold]
    fn reject_time(&mut self, series: &Resolved, ts: i64) {
        let limits = &self.ctx.limits;
        let (id, word, setting, limit) = if ts > self.max_ms {
            let limit = limits.creation_grace_period;
            (ids::TOO_FAR_IN_FUTURE, "future", "creation_grace_period", limit)
        } else {
            let limit = limits.reject_old_samples_max_age;
            (ids::TOO_FAR_IN_PAST, "past", "reject_old_samples_max_age", limit)
        };
        let now_ms = self.ctx.now_ns / NS_PER_MS;
        self.reject(id, series, || {
            format!(
                "timestamp {ts} lies further in the {word} of {now_ms} than the limit of {limit} \
                 (setting {setting})"
            )
        });
    }

    /// Counts one refused sample, histogram or exemplar of a series.
    pub(super) fn reject(
        &mut self,
        id: &'static str,
        series: &Resolved,
        what: impl FnOnce() -> String,
    ) {
        // Formatted only for the first of its kind.
        let message = if self.rejects.has(id) {
            String::new()
        } else {
            format!("{}; series {}", what(), self.name_of(series))
        };
        self.rejects.add(id, 1, || message);
    }

    fn name_of(&self, series: &Resolved) -> String {
        let read = || {
            let raw = series.item.of(self.body, &self.spill)?;
            match self.symbols {
                None => labels_v1(raw, self.ha_names()),
                Some(symbols) => labels_v2(raw, symbols, self.body, self.ha_names()),
            }
        };
        let labels = series.labels.clone().or_else(read).unwrap_or_default();
        Shown(&labels.iter().collect::<Vec<_>>()).to_string()
    }

    pub(super) fn finish(self) -> (Vec<Part>, Counts, Rejects, Wanted, Vec<u8>) {
        (self.parts.finish(), self.counts, self.rejects, self.wanted, self.spill)
    }
}
