//! Puts the answers of pieces together to the answer of the whole.

use std::collections::BTreeMap;

use skald_model::Labels;
use skald_promql::{Annotations, MatrixSeries, QueryResult, Stats, Value};

const LIMIT_WARNING: &str = "results truncated due to limit";

/// What the pieces so far, in the order of time, answer together.
#[derive(Debug, Default)]
pub(super) struct Joined {
    series: BTreeMap<Labels, MatrixSeries>,
    annotations: Annotations,
    stats: Stats,
    /// Points of all series.
    pub(super) n_points: usize,
}

/// The pieces do not say what the whole would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

// === impl Joined ===

impl Joined {
    pub(super) fn push(&mut self, piece: QueryResult) -> Result<(), Unclear> {
        let QueryResult { value: Value::Matrix(series), annotations, stats, .. } = piece else {
            return Err(Unclear);
        };
        // Which of several places is named depends on the order in which the whole comes by.
        if !self.annotations.agrees_with(&annotations) {
            return Err(Unclear);
        }
        self.annotations.append(&annotations);
        self.add_stats(&stats);
        self.append(series);
        Ok(())
    }

    fn append(&mut self, series: Vec<MatrixSeries>) {
        for s in series {
            self.n_points += s.points.len() + s.histograms.len();
            let all = self.series.entry(s.labels.clone()).or_insert_with(|| MatrixSeries {
                labels: s.labels.clone(),
                ..MatrixSeries::default()
            });
            all.points.extend(s.points);
            all.histograms.extend(s.histograms);
        }
    }

    /// Series whose points follow each other in time, made one.
    pub(super) fn series_of(parts: [Vec<MatrixSeries>; 3]) -> Vec<MatrixSeries> {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.append(part));
        all.series.into_values().collect()
    }

    /// A piece that is known without evaluation.
    pub(super) fn of(series: Vec<MatrixSeries>, annotations: Annotations) -> QueryResult {
        QueryResult {
            value: Value::Matrix(series),
            warnings: Vec::new(),
            infos: Vec::new(),
            annotations,
            stats: Stats::default(),
        }
    }

    fn add_stats(&mut self, s: &Stats) {
        let all = &mut self.stats;
        all.samples_read += s.samples_read;
        all.samples_total += s.samples_total;
        all.samples_decoded += s.samples_decoded;
        all.series_read += s.series_read;
        all.selects += s.selects;
        all.fetch_us += s.fetch_us;
        all.eval_us += s.eval_us;
        all.peak_samples = all.peak_samples.max(s.peak_samples);
    }

    /// The answer to `query`, cut at `limit` series.
    pub(super) fn finish(self, query: &str, limit: Option<usize>) -> QueryResult {
        let Self { series, annotations, stats, .. } = self;
        let mut warnings = annotations.warnings(query);
        let mut series: Vec<_> = series.into_values().collect();
        if let Some(limit) = limit.filter(|limit| *limit > 0 && series.len() > *limit) {
            series.truncate(limit);
            warnings.push(LIMIT_WARNING.to_owned());
        }
        let infos = annotations.infos(query);
        QueryResult { value: Value::Matrix(series), warnings, infos, annotations, stats }
    }
}

/// About how much memory an answer takes.
pub(super) fn size_bytes(result: &QueryResult) -> usize {
    let Value::Matrix(series) = &result.value else { return 0 };
    series.iter().map(series_bytes).sum()
}

pub(super) fn series_bytes(s: &MatrixSeries) -> usize {
    let histogram = |h: &skald_promql::FloatHistogram| {
        size_of_val(h) + 16 * (h.positive.len() + h.negative.len() + 1)
    };
    let histograms: usize = s.histograms.iter().map(|(_, h)| histogram(h)).sum();
    2 * s.labels.as_bytes().len() + 128 + 16 * s.points.len() + histograms
}
