//! Functions of histograms, native and classic.

use std::collections::HashMap;

use skald_model::Labels;
use skald_vector::function::{format_float, format_g, sort};
use skald_vector::histogram::QuantileNote;
use skald_vector::histogram::classic::{ClassicBucket, Raised, fraction, parse_bound, quantile};
use skald_vector::{Column, Context, Detail, Grid, Matrix, NameRemoval, Sample, VectorError};

use super::Evaluator;
use crate::QueryError;
use crate::expr::{Expr, Function, HistogramStat, Places};

/// The `le` columns of one classic histogram, lowest bound first, and its native twin.
#[derive(Debug, Default)]
struct Family {
    buckets: Vec<(f64, usize)>,
    native: Vec<usize>,
    drop_name: bool,
    /// How remarks end that name the metric, while it has its name.
    of_metric: String,
}

/// What to compute of each histogram.
enum Ask<'a> {
    Quantile(&'a [f64]),
    Fraction(&'a [f64], &'a [f64]),
}

impl Evaluator {
    pub(super) fn histogram_stat(
        &mut self,
        stat: HistogramStat,
        input: Matrix,
    ) -> Result<Matrix, QueryError> {
        let mut out = Matrix::new(input.grid);
        for column in &input.columns {
            self.ctx.check()?;
            let mut result = column.cleared();
            for (i, sample) in column.samples() {
                let Sample::Histogram(h) = sample else { continue };
                result.set(
                    i,
                    match stat {
                        HistogramStat::Avg => h.avg(),
                        HistogramStat::Count => h.count,
                        HistogramStat::Sum => h.sum,
                        HistogramStat::Stddev => h.stddev(),
                        HistogramStat::Stdvar => h.variance(),
                    },
                );
            }
            self.ctx.drop_name(&mut result);
            out.push(result);
        }
        Ok(out.merge_same_labels(&self.ctx)?)
    }

    pub(super) fn histogram_call(
        &mut self,
        func: Function,
        args: &[Expr],
        places: &Places,
        grid: Grid,
    ) -> Result<Matrix, QueryError> {
        match func {
            Function::HistogramFraction => {
                let (low, high) = (self.scalar(&args[0], grid)?, self.scalar(&args[1], grid)?);
                let input = self.vector(&args[2], grid)?;
                self.at(places.arg(2));
                self.each_family(&input, &Ask::Fraction(&low, &high), None)
            }
            Function::HistogramQuantiles => {
                let label = self.text(&args[1])?;
                let input = self.vector(&args[0], grid)?;
                let mut out = Matrix::new(grid);
                for (i, arg) in args.iter().enumerate().skip(2) {
                    let phi = self.scalar(arg, grid)?;
                    self.at(places.arg(i));
                    self.warn_about_quantiles(&phi);
                    self.at(places.arg(0));
                    let ask = Ask::Quantile(&phi);
                    out.columns.extend(self.each_family(&input, &ask, Some(label))?.columns);
                }
                Ok(out.merge_same_labels(&self.ctx)?)
            }
            _ => {
                let phi = self.scalar(&args[0], grid)?;
                let input = self.vector(&args[1], grid)?;
                self.at(places.arg(0));
                self.warn_about_quantiles(&phi);
                self.at(places.arg(1));
                self.each_family(&input, &Ask::Quantile(&phi), None)
            }
        }
    }

    fn warn_about_quantiles(&mut self, phi: &[f64]) {
        for phi in phi.iter().filter(|p| !(0.0..=1.0).contains(*p)) {
            self.ctx
                .annotations
                .warn(&format!("quantile value should be between 0 and 1, got {}", format_g(*phi)));
        }
    }

    fn each_family(
        &mut self,
        input: &Matrix,
        ask: &Ask<'_>,
        quantile_label: Option<&str>,
    ) -> Result<Matrix, QueryError> {
        let mut out = Matrix::new(input.grid);
        let mut scratch = Vec::new();
        for (labels, family) in families(input, &mut self.ctx)? {
            self.ctx.check()?;
            let mut column = Column::absent(labels, input.grid.n);
            column.drop_name = family.drop_name;
            for i in 0..input.grid.n {
                if let Some(v) = family.at(i, input, ask, &mut scratch, &mut self.ctx) {
                    column.set(i, v);
                }
            }
            self.ctx.drop_name(&mut column);
            if let (Some(label), Ask::Quantile(phi)) = (quantile_label, ask) {
                let mut labels = column.labels.to_builder();
                labels.set(label, &phi.first().map_or(String::new(), |p| quantile_text(*p)));
                column.labels = labels.build();
            }
            out.push(column);
        }
        Ok(out.merge_same_labels(&self.ctx)?)
    }
}

/// Collects [`Family`]s in order of first appearance.
#[derive(Debug, Default)]
struct Families {
    index: HashMap<Labels, usize>,
    found: Vec<(Labels, Family)>,
}

impl Families {
    fn entry(&mut self, labels: Labels, column: &Column, ctx: &Context) -> &mut Family {
        let found = &mut self.found;
        let at = *self.index.entry(labels).or_insert_with_key(|labels| {
            let family = Family {
                drop_name: column.drop_name,
                of_metric: of_metric(&column.labels, ctx),
                ..Family::default()
            };
            found.push((labels.clone(), family));
            found.len() - 1
        });
        &mut found[at].1
    }
}

/// Columns by histogram.
fn families(input: &Matrix, ctx: &mut Context) -> Result<Vec<(Labels, Family)>, VectorError> {
    let mut families = Families::default();
    for (at, column) in input.columns.iter().enumerate() {
        ctx.check()?;
        if column.has_histograms() {
            families.entry(column.labels.clone(), column, ctx).native.push(at);
        }
        if column.present.ones().all(|i| column.histogram(i).is_some()) {
            continue;
        }
        let le = column.labels.get("le").unwrap_or("");
        let Some(bound) = parse_bound(le) else {
            let of = of_metric(&column.labels, ctx);
            ctx.annotations.warn(&format!(
                "bucket label \"le\" is missing or has a malformed value of {le:?}{of}"
            ));
            continue;
        };
        let labels = column.labels.filter(|n| n != "le");
        families.entry(labels, column, ctx).buckets.push((bound, at));
    }
    let mut found = families.found;
    for (_, family) in &mut found {
        sort(&mut family.buckets, ctx, |a, b| a.0.total_cmp(&b.0))?;
    }
    Ok(found)
}

/// Names the metric for a remark; nothing where names are removed at once, as Prometheus does.
fn of_metric(labels: &Labels, ctx: &Context) -> String {
    match labels.metric_name() {
        Some(name) if ctx.names == NameRemoval::Delayed && !name.is_empty() => {
            format!(" for metric name {name:?}")
        }
        _ => String::new(),
    }
}

/// A quantile as a label value: with a point, as exposition formats write it.
fn quantile_text(phi: f64) -> String {
    let text = format_float(phi);
    if phi.is_finite() && !text.contains('.') { text + ".0" } else { text }
}

impl Family {
    /// The answer for step `i`, if there is a histogram.
    fn at(
        &self,
        i: usize,
        input: &Matrix,
        ask: &Ask<'_>,
        scratch: &mut Vec<ClassicBucket>,
        ctx: &mut Context,
    ) -> Option<f64> {
        scratch.clear();
        scratch.extend(self.buckets.iter().filter_map(|(upper, at)| {
            let count = input.columns[*at].float(i)?;
            Some(ClassicBucket { upper: *upper, count })
        }));
        let native = self.native.iter().find_map(|at| input.columns[*at].histogram(i));
        match (native, scratch.is_empty()) {
            (None, true) => None,
            (Some(_), false) => {
                ctx.annotations.warn(&format!(
                    "vector contains a mix of classic and native histograms{}",
                    self.of_metric
                ));
                None
            }
            (Some(h), true) => Some(match ask {
                Ask::Quantile(phi) => {
                    let (v, note) = h.quantile(phi[i]);
                    self.note(note, ctx);
                    v
                }
                Ask::Fraction(low, high) => {
                    if h.sum.is_nan() {
                        ctx.annotations.info(&format!(
                            "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                            self.of_metric
                        ));
                    }
                    h.fraction(low[i], high[i])
                }
            }),
            (None, false) => Some(match ask {
                Ask::Quantile(phi) => {
                    let (v, raised) = quantile(phi[i], scratch);
                    if let Some(raised) = raised {
                        self.note_raised(raised, input.grid.time(i), ctx);
                    }
                    v
                }
                Ask::Fraction(low, high) => fraction(low[i], high[i], scratch),
            }),
        }
    }

    fn note(&self, note: Option<QuantileNote>, ctx: &mut Context) {
        let what = match note {
            None => return,
            Some(QuantileNote::ResultIsNan) => "result is NaN",
            Some(QuantileNote::SkewedHigher) => "result is skewed higher",
        };
        ctx.annotations.info(&format!(
            "input to histogram_quantile has NaN observations, {what}{}",
            self.of_metric
        ));
    }

    fn note_raised(&self, raised: Raised, time_ms: i64, ctx: &mut Context) {
        let text = format!(
            "input to histogram_quantile needed to be fixed for monotonicity \
             (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            self.of_metric
        );
        let detail = Detail::monotonicity(time_ms, raised.bounds, raised.max_diff);
        ctx.annotations.info_in_detail(&text, detail);
    }
}
