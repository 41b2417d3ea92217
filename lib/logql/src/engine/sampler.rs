//! Takes samples from entries while a source reads them.
//!
//! Each thread that brings entries works on a set of samples of its own; the sets are united at the
//! end. Memory is that of the samples, whatever the lines were.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::{Labels, StreamEntries};
use skald_vector::CancelFlag;

use super::extract::{Extraction, SampleSet, Windows, too_many};
use crate::error::QueryError;
use crate::source::{EntrySink, without_content};

/// The sink of one range aggregation.
#[derive(Debug)]
pub(super) struct Sampler {
    pub(super) extraction: Arc<Extraction>,
    pub(super) windows: Windows,
    pub(super) cancel: CancelFlag,
    pub(super) max_samples: usize,
    pub(super) state: Mutex<State>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Sets that no thread works on.
    idle: Vec<SampleSet>,
    /// Samples of all sets, as many as there were when they were last given back.
    n_samples: usize,
    error: Option<QueryError>,
    /// How often the source began anew; what older threads bring back is void.
    round: usize,
}

// === impl Sampler ===

impl Sampler {
    /// All samples; call it when nobody brings entries any more.
    pub(super) fn finish(&self) -> Result<SampleSet, QueryError> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let mut sets = std::mem::take(&mut state.idle).into_iter();
        drop(state);
        let mut all = sets.next().unwrap_or_default();
        for set in sets {
            all.unite(set, self.max_samples)?;
        }
        Ok(all)
    }
}

impl EntrySink for Sampler {
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()> {
        self.add(|set| {
            set.add(&self.extraction, &streams, self.windows, &self.cancel, self.max_samples)
        })
    }

    fn take_times(&self, streams: Vec<(Labels, Vec<i64>)>) -> ControlFlow<()> {
        if !self.extraction.takes_times() {
            return self.take(streams.into_iter().map(without_content).collect());
        }
        self.add(|set| {
            set.add_times(&self.extraction, &streams, self.windows, &self.cancel, self.max_samples)
        })
    }

    fn reset(&self) {
        let mut state = self.state.lock();
        let round = state.round + 1;
        *state = State { round, ..State::default() };
    }
}

impl Sampler {
    /// Adds to a set that no other thread works on meanwhile.
    fn add(&self, add: impl FnOnce(&mut SampleSet) -> Result<(), QueryError>) -> ControlFlow<()> {
        let mut state = self.state.lock();
        if state.error.is_some() {
            return ControlFlow::Break(());
        }
        let (mut set, round) = (state.idle.pop().unwrap_or_default(), state.round);
        drop(state);
        let (max, before) = (self.max_samples, set.n_samples);
        let added = add(&mut set);
        let mut state = self.state.lock();
        if state.round != round {
            return ControlFlow::Break(());
        }
        state.n_samples = (state.n_samples + set.n_samples).saturating_sub(before);
        let all = if state.n_samples > max { Err(too_many(max)) } else { Ok(()) };
        match added.and(all) {
            Ok(()) => {
                state.idle.push(set);
                ControlFlow::Continue(())
            }
            Err(error) => {
                state.error.get_or_insert(error);
                ControlFlow::Break(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use skald_model::LogEntry;

    use super::*;
    use crate::ast::{Expr, MetricExpr};
    use crate::engine::extract::Group;
    use crate::engine::{MS, Steps};

    #[test]
    fn samples_that_other_threads_hold_count() {
        let query = r#"first_over_time({a="b"} | logfmt | unwrap n [1m])"#;
        let Ok(Expr::Metric(MetricExpr::Range(agg))) = crate::parse(query) else { panic!() };
        let extraction = Extraction::new(agg.op, &agg.range, Group::All).unwrap();
        let windows = Windows {
            steps: Steps { start_ns: 1_000, step_ns: 1, n: 1 },
            interval_ns: agg.range.interval_ns,
            offset_ns: 0,
        };
        let sampler = Sampler {
            extraction: Arc::new(extraction),
            windows,
            cancel: CancelFlag::default(),
            max_samples: 100,
            state: Mutex::new(State { n_samples: 30, ..State::default() }),
        };
        let line = Bytes::from_static(b"n=1");
        let entry = |t| LogEntry { timestamp_ns: t, line: line.clone(), metadata: Labels::empty() };
        let entries = (0..40).map(entry).collect();
        let streams = vec![StreamEntries { labels: Labels::from_pairs([("a", "b")]), entries }];
        // 40 samples, and a series that costs about eight more.
        assert!(sampler.take(streams.clone()).is_continue());
        assert!(sampler.take(streams).is_break());
        assert!(sampler.finish().unwrap_err().to_string().contains("max_samples"));
    }

    fn found(query: &str, fill: impl FnOnce(&Sampler) -> ControlFlow<()>) -> Vec<String> {
        let parsed = crate::parse(query);
        let Ok(Expr::Metric(MetricExpr::Range(agg))) = parsed else { panic!("{parsed:?}") };
        let group = Group::By(vec!["app".to_owned(), "zone".to_owned()]);
        let extraction = Extraction::new(agg.op, &agg.range, group).unwrap();
        assert!(extraction.takes_times() && extraction.metadata().is_some(), "{query}");
        let sampler = Sampler {
            extraction: Arc::new(extraction),
            windows: Windows {
                steps: Steps { start_ns: 1_000 * MS, step_ns: 700 * MS, n: 20 },
                interval_ns: agg.range.interval_ns,
                offset_ns: agg.range.offset_ns,
            },
            cancel: CancelFlag::default(),
            max_samples: 100_000,
            state: Mutex::default(),
        };
        assert!(fill(&sampler).is_continue());
        let mut all = sampler.finish().unwrap();
        all.finish();
        let stats = [all.stats.lines_processed, all.stats.post_filter_lines];
        let series = all.series.iter().map(|s| format!("{stats:?} {s:?}"));
        let mut series: Vec<String> = series.collect();
        series.sort();
        series
    }

    #[test]
    fn times_alone_count_as_entries_do() {
        let streams: Vec<(Labels, Vec<i64>)> = (0..9i64)
            .map(|s| {
                let app = format!("a{}", s % 3);
                let labels = Labels::from_pairs([("app", app), ("pod", s.to_string())]);
                let mut times: Vec<i64> =
                    (0..500).map(|i| (i * i * 31 + s * 97) % 16_000 * MS).collect();
                times.sort_unstable();
                (labels, times)
            })
            .collect();
        for query in [
            r#"count_over_time({a="b"}[700ms])"#,
            r#"count_over_time({a="b"}[300ms])"#,
            r#"rate({a="b"}[1000ms] offset 50ms)"#,
            r#"count_over_time({a="b"} | pod != "4" | drop zone [700ms])"#,
            r#"count_over_time({a="b"} | zone="z" [700ms])"#,
        ] {
            let times = found(query, |s| s.take_times(streams.clone()));
            let entries = || streams.iter().cloned().map(without_content).collect();
            assert_eq!(times, found(query, |s| s.take(entries())), "{query}");
            assert_eq!(times.is_empty(), query.contains("zone="));
        }
    }
}
