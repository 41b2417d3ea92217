//! `info`: gives series the data labels of the info series that describe the same target.
//!
//! The second argument is a selector of info series whose name matchers were completed when the
//! query was lowered; it stands at the time of the first argument's first selector.

use std::collections::{BTreeMap, HashMap, HashSet};

use skald_model::{Labels, LabelsBuilder, Matcher};
use skald_vector::{Column, Grid, Matrix};

use super::Evaluator;
use super::select::Pick;
use crate::QueryError;
use crate::expr::{Expr, Selector};

/// The labels that name a target.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Info series with what tells them apart.
struct InfoSeries<'a> {
    labels: &'a Labels,
    /// The times of its samples, in seconds, per step.
    times: &'a Column,
    signature: usize,
}

/// Signatures (a metric name and the identifying labels that are there) by number.
#[derive(Default)]
struct Signatures(HashMap<(String, Vec<Option<String>>), usize>);

impl Signatures {
    fn key(name: &str, labels: &Labels) -> (String, Vec<Option<String>>) {
        let values = IDENTIFYING.iter().map(|l| labels.get(l).map(str::to_owned)).collect();
        (name.to_owned(), values)
    }

    fn add(&mut self, name: &str, labels: &Labels) -> usize {
        let next = self.0.len();
        *self.0.entry(Self::key(name, labels)).or_insert(next)
    }
}

impl Evaluator {
    pub(super) fn info(&mut self, args: &[Expr], grid: Grid) -> Result<Matrix, QueryError> {
        let [first, Expr::Selector(selector)] = args else {
            return Err(QueryError::Execution("info without a selector".to_owned()));
        };
        let base = self.vector(first, grid)?;
        let (names, data): (Vec<&Matcher>, Vec<&Matcher>) =
            selector.matchers.iter().partition(|m| m.name == Labels::NAME);
        let is_info = |labels: &Labels| {
            let name = labels.metric_name().unwrap_or("");
            names.iter().all(|m| m.matches(name))
        };
        let times = self.info_times(selector, grid, &base, is_info)?;
        let mut signatures = Signatures::default();
        let mut infos: Vec<InfoSeries<'_>> = Vec::with_capacity(times.columns.len());
        for times in &times.columns {
            self.ctx.check()?;
            let labels = &times.labels;
            let signature = signatures.add(labels.metric_name().unwrap_or(""), labels);
            infos.push(InfoSeries { labels, times, signature });
        }
        let newest = self.newest(&infos, signatures.0.len(), grid)?;
        let metrics: HashSet<&str> =
            infos.iter().map(|i| i.labels.metric_name().unwrap_or("")).collect();
        let mut metrics: Vec<&str> = metrics.into_iter().collect();
        metrics.sort_unstable();
        let mut out = Matrix::new(grid);
        for column in &base.columns {
            self.ctx.check()?;
            if is_info(&column.labels) {
                out.push(column.clone());
                continue;
            }
            let own: Vec<usize> = metrics
                .iter()
                .filter_map(|m| signatures.0.get(&Signatures::key(m, &column.labels)).copied())
                .collect();
            enrich(column, &own, &newest, &infos, &data, &mut out)?;
        }
        Ok(out.merge_same_labels(&self.ctx)?)
    }

    /// The times of the samples of info series that share a target with a series of `base`.
    fn info_times(
        &mut self,
        selector: &Selector,
        grid: Grid,
        base: &Matrix,
        is_info: impl Fn(&Labels) -> bool,
    ) -> Result<Matrix, QueryError> {
        let described = base.columns.iter().map(|c| &c.labels).filter(|l| !is_info(l));
        let mut values: [HashSet<&str>; 2] = Default::default();
        for labels in described {
            self.ctx.check()?;
            for (name, values) in IDENTIFYING.iter().zip(&mut values) {
                values.extend(labels.get(name));
            }
        }
        if values.iter().all(HashSet::is_empty) {
            return Ok(Matrix::new(grid));
        }
        let relevant = |labels: &Labels| {
            IDENTIFYING.iter().zip(&values).all(|(name, values)| {
                values.is_empty() || values.contains(labels.get(name).unwrap_or(""))
            })
        };
        let samples = self.pick_latest(selector, grid, Pick::Sample)?;
        if samples.columns.iter().any(|c| c.has_histograms() && relevant(&c.labels)) {
            return Err(QueryError::Execution("info sample should be float".to_owned()));
        }
        let mut times = self.pick_latest(selector, grid, Pick::Time)?;
        times.columns.retain(|c| relevant(&c.labels));
        Ok(times)
    }

    /// Per step and signature, the info series with the newest sample.
    #[expect(clippy::float_cmp, reason = "times are exact")]
    fn newest(
        &self,
        infos: &[InfoSeries<'_>],
        n_signatures: usize,
        grid: Grid,
    ) -> Result<Vec<Vec<Option<usize>>>, QueryError> {
        self.check_slots(grid, n_signatures)?;
        let mut out: Vec<Vec<Option<usize>>> = vec![vec![None; grid.n]; n_signatures];
        for (k, info) in infos.iter().enumerate() {
            self.ctx.check()?;
            for i in info.times.present.ones() {
                let slot = &mut out[info.signature][i];
                let time = info.times.values[i];
                match slot.map(|other| (&infos[other], infos[other].times.values[i])) {
                    Some((_, before)) if before > time => {}
                    Some((other, before)) if before == time => {
                        let ms = (time * 1000.0).round();
                        return Err(QueryError::Execution(format!(
                            "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                            other.labels, info.labels
                        )));
                    }
                    _ => *slot = Some(k),
                }
            }
        }
        Ok(out)
    }
}

/// Appends what `column` becomes: one column for each set of info series it meets.
fn enrich(
    column: &Column,
    signatures: &[usize],
    newest: &[Vec<Option<usize>>],
    infos: &[InfoSeries<'_>],
    data: &[&Matcher],
    out: &mut Matrix,
) -> Result<(), QueryError> {
    let needs_match = data.iter().any(|m| !m.matches(""));
    let mut by_infos: BTreeMap<Vec<usize>, Column> = BTreeMap::new();
    for (i, _) in column.samples() {
        let met: Vec<usize> = signatures.iter().filter_map(|s| newest[*s][i]).collect();
        if met.is_empty() && needs_match {
            continue;
        }
        if !by_infos.contains_key(&met) {
            let mut enriched = column.cleared();
            enriched.labels = labels(&column.labels, &met, infos, data)?;
            by_infos.insert(met.clone(), enriched);
        }
        if let Some(enriched) = by_infos.get_mut(&met) {
            enriched.set_from(i, column);
        }
    }
    by_infos.into_values().for_each(|c| out.push(c));
    Ok(())
}

/// The labels of a series and of the info series that describe it.
fn labels(
    own: &Labels,
    met: &[usize],
    infos: &[InfoSeries<'_>],
    data: &[&Matcher],
) -> Result<Labels, QueryError> {
    let mut added: HashMap<&str, &str> = HashMap::new();
    let mut out: LabelsBuilder = own.to_builder();
    for info in met {
        for (name, value) in infos[*info].labels {
            let wanted = data.is_empty() || data.iter().any(|m| m.name == name);
            if name == Labels::NAME || !wanted {
                continue;
            }
            if added.get(name).is_some_and(|v| *v != value) {
                return Err(QueryError::Execution(format!("conflicting label: {name}")));
            }
            if own.get(name).is_none() {
                added.insert(name, value);
                out.set(name, value);
            }
        }
    }
    Ok(out.build())
}
