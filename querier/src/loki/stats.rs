//! `index/stats` and `index/volume`: how much there is, without reading lines.

use std::sync::Arc;

use skald_logql::ast::LogExpr;
use skald_logql::{
    Engine, EngineOptions, Expr, MatrixSeries, QueryResult, RangeParams, Stats, Value,
    VectorSample, units,
};
use skald_model::{Labels, LabelsBuilder, MatchOp, Matcher};
use tokio::time::Instant;

use super::result::{Cost, Form, write};
use super::{Bounds, count, counted, query, selector, source};
use crate::fanout::Grouping;
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

const DEFAULT_LIMIT: usize = 100;
/// Series of volumes over time that are compared to find the largest.
const MAX_SERIES: usize = 10_000;

pub(super) async fn stats(querier: Querier, call: Call) -> Result<Answer, Error> {
    let matchers: Arc<[Matcher]> = matchers_of(&call)?.into();
    let range = Bounds::of(&call.params, querier.now_ns())?.inclusive();
    let by_stream = Grouping::Series(Vec::new());
    let mut s = querier.fanout().stats(&call.scope, &matchers, range).await?;
    if let Some(c) = counted::count(&querier, &call.scope, &matchers, range, &by_stream).await? {
        s.streams = c.groups.len() as u64;
        s.bytes = c.groups.values().sum();
        s.entries = c.entries;
    }
    Ok(Answer::json(96, move |json| {
        json.raw(r#"{"streams":"#).uint(s.streams).raw(r#","chunks":"#).uint(s.chunks);
        json.raw(r#","bytes":"#).uint(s.bytes).raw(r#","entries":"#).uint(s.entries).raw("}");
    }))
}

/// Bytes per group of streams, the largest first, as an instant vector.
pub(super) async fn volume(querier: Querier, call: Call) -> Result<Answer, Error> {
    let asked = Asked::of(&call)?;
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let begun = Instant::now();
    let matchers: Arc<[Matcher]> = asked.matchers.into();
    let (range, grouping) = (bounds.inclusive(), Arc::new(asked.grouping));
    let groups = match counted::count(&querier, &call.scope, &matchers, range, &grouping).await? {
        Some(counted) => counted.groups,
        None => querier.fanout().volumes(&call.scope, &matchers, range, &grouping).await?,
    };
    let mut groups: Vec<(Labels, u64)> = groups.into_iter().collect();
    groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    groups.truncate(asked.limit);
    let sample = |(labels, bytes): (Labels, u64)| {
        #[expect(clippy::cast_precision_loss, reason = "volumes are estimates")]
        let value = bytes as f64;
        VectorSample { labels: shown(&grouping, &labels), value }
    };
    let samples = groups.into_iter().map(sample).collect();
    let value = Value::Vector { timestamp_ms: bounds.end.div_euclid(1_000_000), samples };
    let result =
        QueryResult { value, stats: Stats::default(), warnings: call.scope.partial.warnings() };
    Ok(write(result, Cost::of(&call, begun.elapsed()), Form::default()))
}

/// Bytes per group of streams and step, as a matrix: what `bytes_over_time` says.
pub(super) async fn volumes(querier: Querier, call: Call) -> Result<Answer, Error> {
    let asked = Asked::of(&call)?;
    if asked.matchers.is_empty() {
        return Err(Error::Invalid("volumes over time need a selector or targetLabels".into()));
    }
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    query::check_length(&call.scope, bounds.end.saturating_sub(bounds.start))?;
    let step_ns = query::step_ns(&call.params, bounds)?;
    let begun = Instant::now();
    let mut series: Vec<MatrixSeries> = Vec::new();
    let mut stats = Stats::default();
    for (by, matchers) in asked.questions()? {
        let request = RangeParams {
            query: bytes_over_time(&by, matchers, step_ns),
            start_ns: bounds.start,
            end_ns: bounds.end,
            step_ns,
            interval_ns: 0,
            limit: 1,
            direction: skald_logql::Direction::Backward,
        };
        let source = source(&querier, &call.scope).await?;
        let options = EngineOptions { max_series: MAX_SERIES, ..query::options(&call.scope) };
        let result = Engine::new(options).query_range(source.as_ref(), &request).await;
        let result = result.map_err(query::of_engine)?;
        stats.lines_processed += result.stats.lines_processed;
        stats.bytes_processed += result.stats.bytes_processed;
        stats.selects += result.stats.selects;
        let Value::Matrix(found) = result.value else { continue };
        series.extend(found.into_iter().map(|mut s| {
            if let Grouping::Names(_) = asked.grouping {
                s.labels = named(by.first().map_or("", String::as_str));
            }
            s
        }));
    }
    let total = |s: &MatrixSeries| s.points.iter().map(|(_, v)| *v).sum::<f64>();
    series.sort_by(|a, b| total(b).total_cmp(&total(a)).then_with(|| a.labels.cmp(&b.labels)));
    series.truncate(asked.limit);
    let warnings = call.scope.partial.warnings();
    let result = QueryResult { value: Value::Matrix(series), stats, warnings };
    Ok(write(result, Cost::of(&call, begun.elapsed()), Form::default()))
}

/// Labels to group by, and what streams must have.
type Question = (Vec<String>, Vec<Matcher>);

/// What a request for volumes wants.
struct Asked {
    matchers: Vec<Matcher>,
    grouping: Grouping,
    limit: usize,
}

// === impl Asked ===

impl Asked {
    fn of(call: &Call) -> Result<Self, Error> {
        let limit = count(&call.params, "limit", DEFAULT_LIMIT)?;
        let mut matchers = matchers_of(call)?;
        let targets = call.params.get("targetLabels").unwrap_or("");
        let targets: Vec<String> =
            targets.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let grouping = match call.params.get("aggregateBy") {
            None | Some("series") if targets.is_empty() => {
                let mut names: Vec<String> = matchers.iter().map(|m| m.name.clone()).collect();
                names.sort_unstable();
                names.dedup();
                Grouping::Series(names)
            }
            None | Some("series") => Grouping::Series(targets.clone()),
            Some("labels") => Grouping::Names(targets.clone()),
            Some(_) => {
                let text = "invalid aggregation option; it must be 'series' or 'labels'";
                return Err(Error::Invalid(text.to_owned()));
            }
        };
        // Only streams that have the labels count.
        for target in targets {
            if !matchers.iter().any(|m| m.name == target) {
                matchers.push(present(&target)?);
            }
        }
        Ok(Self { matchers, grouping, limit })
    }

    /// One query each.
    fn questions(&self) -> Result<Vec<Question>, Error> {
        match &self.grouping {
            Grouping::Series(names) => Ok(vec![(names.clone(), self.matchers.clone())]),
            Grouping::Names(names) => {
                let mut names = names.clone();
                if names.is_empty() {
                    names.extend(self.matchers.iter().map(|m| m.name.clone()));
                    names.sort_unstable();
                    names.dedup();
                }
                let one = |name: String| {
                    let mut matchers = self.matchers.clone();
                    matchers.push(present(&name)?);
                    Ok((vec![name], matchers))
                };
                names.into_iter().map(one).collect()
            }
        }
    }
}

/// The group as clients see it: a name alone has an empty value.
fn shown(grouping: &Grouping, group: &Labels) -> Labels {
    match grouping {
        Grouping::Series(_) => group.clone(),
        Grouping::Names(_) => named(group.iter().next().map_or("", |(name, _)| name)),
    }
}

fn named(name: &str) -> Labels {
    LabelsBuilder::from_sorted_with_empty([(name, "")]).unwrap_or_default()
}

fn present(name: &str) -> Result<Matcher, Error> {
    Matcher::new(MatchOp::Regex, name, ".+").map_err(|e| Error::Internal(e.to_string()))
}

fn bytes_over_time(by: &[String], matchers: Vec<Matcher>, step_ns: i64) -> String {
    let log = LogExpr { matchers, stages: Vec::new(), span: Default::default() };
    let (log, range) = (Expr::Log(log), units::format_duration(step_ns.max(1)));
    format!("sum by ({}) (bytes_over_time({log}[{range}]))", by.join(","))
}

/// The selector of the query; nothing and `{}` select all.
fn matchers_of(call: &Call) -> Result<Vec<Matcher>, Error> {
    match call.params.get("query") {
        None | Some("{}") => Ok(Vec::new()),
        Some(text) => selector(text),
    }
}
