//! Range aggregations of a query: fetched, extracted and evaluated, one after the other.

use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::{Labels, MatchOp, Matcher, TimeRange};
use skald_vector::{CancelFlag, Column, Matrix};

use super::extract::{Extraction, Group, SampleSet, Windows};
use super::metric::{check_values, grid};
use super::sampler::Sampler;
use super::shift::{Place, spread};
use super::window::{RangeFn, evaluate};
use super::{CancelOnDrop, EngineOptions, blocking};
use crate::ast::{Grouping, RangeAgg, RangeOp};
use crate::error::QueryError;
use crate::result::Stats;
use crate::source::{Direction, EntrySink, EntrySource, SelectEntries};

/// A range aggregation with the grouping of a `sum` that was pushed down into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    pub(super) agg: &'a RangeAgg,
    pub(super) sum: Option<Option<&'a Grouping>>,
    /// Where its value is wanted; `@` may have it looked for elsewhere.
    pub(super) place: Place,
}

impl Leaf<'_> {
    fn group(&self) -> Group {
        match self.sum {
            // `sum` without grouping keeps no label.
            Some(None) => Group::By(Vec::new()),
            Some(grouping) => Group::new(grouping),
            // Only whether there is a line matters: no label is looked at, and none can be broken.
            None if self.agg.op == RangeOp::Absent => Group::By(Vec::new()),
            None => Group::new(self.agg.grouping.as_ref()),
        }
    }

    /// The values of all series, in no order.
    pub(super) async fn run(
        &self,
        options: &EngineOptions,
        source: &dyn EntrySource,
        stats: &mut Stats,
    ) -> Result<Matrix, QueryError> {
        let agg = self.agg;
        let wanted = self.place.steps;
        let steps = self.place.at(agg.range.at);
        let windows =
            Windows { steps, interval_ns: agg.range.interval_ns, offset_ns: agg.range.offset_ns };
        let extraction = Arc::new(Extraction::new(agg.op, &agg.range, self.group())?);
        let guard = CancelOnDrop::default();
        let sampling = Sampling { extraction, windows, options, cancel: guard.flag() };
        let some = sampling.extraction.metadata();
        let mut samples = match sampling.run(source, agg, some.clone(), stats).await {
            // The error shows all labels of the line.
            Err(QueryError::Pipeline(_)) if some.is_some() => {
                sampling.run(source, agg, None, stats).await?
            }
            other => other?,
        };
        stats.add(&samples.stats);
        let range_fn = RangeFn {
            op: agg.op,
            param: agg.param.unwrap_or(0.0),
            unwrapped: agg.range.unwrap.is_some(),
        };
        // What is looked at once may be wanted at many steps.
        let n_steps = steps.n.max(wanted.n);
        check_values(samples.series.len().saturating_mul(n_steps), options.max_samples)?;
        let absent = (agg.op == RangeOp::Absent).then(|| absent_labels(&agg.range.log.matchers));
        let (flag, is_fixed) = (guard.flag(), agg.range.at.is_some());
        blocking(move || {
            samples.finish();
            let mut matrix = Matrix::new(grid(steps));
            for series in &samples.series {
                matrix.push(evaluate(series, windows, range_fn, &flag)?);
            }
            let matrix = match absent {
                Some(labels) => invert(labels, &matrix),
                None => matrix,
            };
            Ok(if is_fixed { spread(matrix, wanted) } else { matrix })
        })
        .await
    }
}

/// How the samples of a leaf are taken.
struct Sampling<'a> {
    extraction: Arc<Extraction>,
    windows: Windows,
    options: &'a EngineOptions,
    cancel: CancelFlag,
}

// === impl Sampling ===

impl Sampling<'_> {
    /// All samples, of entries with this metadata.
    async fn run(
        &self,
        source: &dyn EntrySource,
        agg: &RangeAgg,
        metadata: Option<Arc<[String]>>,
        stats: &mut Stats,
    ) -> Result<SampleSet, QueryError> {
        let extraction = &self.extraction;
        let sampler = Arc::new(Sampler {
            extraction: Arc::clone(extraction),
            windows: self.windows,
            cancel: self.cancel.clone(),
            max_samples: self.options.max_samples,
            state: Mutex::default(),
        });
        for range in slices(self.windows, self.options.metric_slice_ns) {
            let req = SelectEntries {
                matchers: agg.range.log.matchers.clone(),
                range,
                needles: extraction.pipeline.needles().to_vec(),
                direction: Direction::Forward,
                limit_hint: None,
                // Lengths are lines too; and statistics count bytes.
                needs_line: extraction.needs_line(),
                // As with metadata: the text of an error shows more.
                fields: if metadata.is_some() { extraction.fields() } else { None },
                metadata: metadata.clone(),
                early: None,
                useful: None,
                needles_decide: extraction.takes_times(),
            };
            stats.selects += 1;
            source.scan(&req, Arc::clone(&sampler) as Arc<dyn EntrySink>).await?;
        }
        blocking(move || sampler.finish()).await
    }
}

/// Gaps between windows that are not asked for.
const LARGE_GAP_NS: i64 = 3_600_000_000_000;
/// Most pieces one range is asked for in.
const MAX_SLICES: i64 = 1_000;
/// Most windows that are asked for one by one: so many steps a query may have, give or take one.
const MAX_WINDOWS: usize = 11_001;

/// 1 where no series has a value.
pub(super) fn invert(labels: Labels, matrix: &Matrix) -> Matrix {
    let mut out = Matrix::new(matrix.grid);
    let mut column = Column::full(labels, vec![1.0; matrix.grid.n]);
    column.present.subtract(&matrix.any_present());
    out.push(column);
    out
}

/// The labels that exactly one matcher names, and that with `=`.
pub(super) fn absent_labels(matchers: &[Matcher]) -> Labels {
    let once = |m: &&Matcher| matchers.iter().filter(|other| other.name == m.name).count() == 1;
    let equal = matchers.iter().filter(|m| m.op == MatchOp::Equal).filter(once);
    Labels::from_pairs(equal.map(|m| (&m.name, &m.value)))
}

/// The time that windows cover, in bounded pieces; large gaps between windows are left out.
fn slices(windows: Windows, longest_ns: i64) -> Vec<TimeRange> {
    let mut out = Vec::new();
    // Absurd ranges are not asked for in millions of pieces.
    let range = windows.range();
    let longest_ns = longest_ns.max(range.end.saturating_sub(range.start) / MAX_SLICES).max(1);
    let mut cut = |range: TimeRange| {
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(longest_ns).min(range.end);
            out.push(TimeRange::new(start, end));
            start = end;
        }
    };
    // One request per step pays only when the gaps are large.
    if windows.steps.step_ns.saturating_sub(windows.interval_ns) > LARGE_GAP_NS.min(longest_ns) {
        // Those of a subquery are many: then some gaps are read too.
        let n = windows.steps.n;
        let together = n.div_ceil(MAX_WINDOWS).max(1);
        for i in (0..n).step_by(together) {
            let last = (i + together).min(n) - 1;
            let start = windows.steps.at(i).saturating_sub(windows.offset_ns);
            let start = start.saturating_sub(windows.interval_ns);
            let end = windows.steps.at(last).saturating_sub(windows.offset_ns);
            cut(TimeRange::new(start.saturating_add(1), end.saturating_add(1)));
        }
    } else {
        cut(windows.range());
    }
    out
}
