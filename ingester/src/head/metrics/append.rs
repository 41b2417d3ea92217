//! Taking samples: in order, repeated, late, or refused.

use skald_codec::histogram;
use skald_model::{Exemplar, Histogram, SeriesId};
use xxhash_rust::xxh3::xxh3_64;

use super::tail::Last;
use super::{Kind, MetricsHead, Stamp};
use crate::index::Ref;

/// How far behind a series' newest sample a sample may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// Milliseconds; 0 = strictly in order.
    Ms(i64),
    /// Replay: what is in the WAL was accepted.
    Any,
}

/// A sender gives a request up, or has sent it again, within this time.
pub(super) const RETRY_MS: i64 = 10 * 60_000;

/// Why a sample is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Conflict {
    /// The timestamp is taken by another value, which is shown if it is a float.
    DuplicateTimestamp { stored: Option<f64> },
    /// Older than the newest, and the window is 0.
    OutOfOrder { newest: i64 },
    /// Older than the newest by more than the window.
    TooOld { newest: i64 },
}

/// What to do with a sample.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Newest,
    /// Stored already.
    Repeated,
    Late,
}

impl MetricsHead {
    /// Touches what appending to these series will need.
    ///
    /// A series is five cache lines in as many places. Appending waits for one after another, since each
    /// depends on what is in the last; here the processor waits for those of many series at once.
    pub(crate) fn warm(&self, ids: impl Iterator<Item = SeriesId>) {
        let touched = ids.filter_map(|id| self.index.find(id)).fold(0, |sum, r| {
            let newest = self.newest[r as usize].ts;
            sum ^ newest ^ i64::from(self.data[r as usize].newest_byte())
        });
        std::hint::black_box(touched);
    }

    /// Stores a float. A repetition counts as stored.
    pub(crate) fn append(
        &mut self,
        r: Ref,
        stamp: impl Into<Stamp>,
        value: f64,
        window: Window,
    ) -> Result<(), Conflict> {
        let stamp = stamp.into();
        let ts = stamp.ts;
        let bits = value.to_bits();
        let place = self.place(r, ts, Kind::Float, bits, window)?;
        self.span.note(ts);
        match place {
            Place::Newest => {
                let newest = self.newest[r as usize];
                let data = &mut self.data[r as usize];
                let last = match newest.kind {
                    _ if !data.has_tail() => None,
                    Kind::Float => {
                        Some(Last { ts: newest.ts, bits: newest.bits, step: newest.step })
                    }
                    // A histogram came in between.
                    Kind::Nothing | Kind::Histogram => data.tail().last(),
                };
                let last = if stamp.start != 0 || data.starts().is_some() {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let last = self.sized(r, |data| data.push(stamp, value, last, &mut scratch));
                    self.scratch = scratch;
                    last
                } else {
                    let before = data.capacity();
                    let last = data.push(stamp, value, last, &mut self.scratch);
                    let after = data.capacity();
                    self.data_bytes = (self.data_bytes + after).saturating_sub(before);
                    last
                };
                let newest = &mut self.newest[r as usize];
                (newest.ts, newest.bits, newest.step) = (ts, bits, last.step);
                newest.kind = Kind::Float;
            }
            Place::Late => self.sized(r, |data| data.insert_late(stamp, value)),
            Place::Repeated => {}
        }
        Ok(())
    }

    /// Stores a histogram. A repetition counts as stored.
    pub(crate) fn append_histogram(
        &mut self,
        r: Ref,
        stamp: impl Into<Stamp>,
        h: &Histogram,
        window: Window,
    ) -> Result<(), Conflict> {
        let stamp = stamp.into();
        let ts = stamp.ts;
        let bits = hash(h, &mut self.scratch.bytes);
        let place = self.place(r, ts, Kind::Histogram, bits, window)?;
        self.span.note(ts);
        match place {
            Place::Newest => {
                let newest = &mut self.newest[r as usize];
                (newest.ts, newest.bits, newest.kind) = (ts, bits, Kind::Histogram);
                let mut scratch = std::mem::take(&mut self.scratch);
                self.sized(r, |data| data.push_histogram(stamp, h, &mut scratch));
                self.scratch = scratch;
            }
            Place::Late => self.sized(r, |data| data.insert_late_histogram(stamp, h)),
            Place::Repeated => {}
        }
        Ok(())
    }

    /// Keeps the newest `max` exemplars of a series, each once.
    pub(crate) fn append_exemplar(&mut self, r: Ref, e: &Exemplar, max: usize) {
        self.span.note(e.timestamp_ms);
        self.sized(r, |data| {
            data.add_exemplar(e, max);
        });
    }

    fn place(
        &mut self,
        r: Ref,
        ts: i64,
        kind: Kind,
        bits: u64,
        window: Window,
    ) -> Result<Place, Conflict> {
        let newest = self.newest[r as usize];
        if newest.kind == Kind::Nothing || ts > newest.ts {
            return Ok(Place::Newest);
        }
        let same = |(k, b): (Kind, u64)| {
            if (k, b) == (kind, bits) {
                return Ok(Place::Repeated);
            }
            let stored = (k == Kind::Float).then(|| f64::from_bits(b));
            Err(Conflict::DuplicateTimestamp { stored })
        };
        if ts == newest.ts {
            return same((newest.kind, newest.bits));
        }
        if let Some(found) = self.find(r, ts) {
            return same(found);
        }
        match window {
            Window::Any => Ok(Place::Late),
            Window::Ms(_) if self.may_be_flushed(r, ts, newest.ts) => Ok(Place::Late),
            Window::Ms(0) => Err(Conflict::OutOfOrder { newest: newest.ts }),
            Window::Ms(ms) if ts < newest.ts.saturating_sub(ms) => {
                Err(Conflict::TooOld { newest: newest.ts })
            }
            Window::Ms(_) => Ok(Place::Late),
        }
    }

    /// Whether a recent sample may lie in a block already, where it cannot be compared with.
    ///
    /// A push whose answer was lost is sent again, and a flush may have come in between. It must
    /// succeed; taking the sample once more is harmless, for readers see each timestamp once.
    fn may_be_flushed(&self, r: Ref, ts: i64, newest: i64) -> bool {
        let snapshot = self.flushing.as_ref().and_then(|s| s.data.get(r as usize));
        let in_snapshot = u8::from(snapshot.is_some_and(|d| !d.is_empty()));
        // Only where `find` does not see what was cut.
        self.newest[r as usize].cuts > in_snapshot
            && newest.saturating_sub(ts) <= RETRY_MS
            && self.data[r as usize].oldest_in_order().is_none_or(|oldest| ts < oldest)
    }

    /// Changes a series' buffers and keeps the sum of their sizes.
    fn sized<T>(&mut self, r: Ref, change: impl FnOnce(&mut super::SeriesData) -> T) -> T {
        let data = &mut self.data[r as usize];
        let before = data.heap_bytes();
        let answer = change(data);
        self.data_bytes = (self.data_bytes + data.heap_bytes()).saturating_sub(before);
        answer
    }
}

/// Stands for a histogram in comparisons: a hash of its bytes.
pub(super) fn hash(h: &Histogram, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    histogram::encode(h, scratch);
    xxh3_64(scratch)
}
