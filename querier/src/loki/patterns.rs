//! `patterns`: what the lines of a selector have in common, found when asked.
//!
//! ```text
//! range in slices ─newest lines of each─▶ tokens ─Drain, one per level─▶ pattern, level, counts per step
//! ```
//!
//! So many lines are looked at, whatever there is: of a slice with more, the newest stand for all and
//! count accordingly.

mod drain;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skald_logql::ast::LogExpr;
use skald_logql::{
    Direction, Engine, EngineOptions, EntrySource, Expr, RangeParams, ResultEntry, ResultStream,
    Value,
};
use skald_model::{Labels, Matcher, TimeRange};

use self::drain::Drain;
use super::query::{check_length, of_engine, options, query_text, step_ns};
use super::{Bounds, NS_PER_S, count, source};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// Lines that one request looks at.
const MAX_LINES: usize = 50_000;
const SLICES: i64 = 50;
/// Patterns of one answer.
const MAX_PATTERNS: usize = 300;
/// Counts are not given for shorter times.
const MIN_STEP_NS: i64 = 10 * NS_PER_S;
const MAX_STEPS: i64 = 11_000;
const LEVEL: &str = "detected_level";

pub(super) async fn patterns(querier: Querier, call: Call) -> Result<Answer, Error> {
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let length = bounds.end.saturating_sub(bounds.start);
    check_length(&call.scope, length)?;
    let step_ns = step_ns(&call.params, bounds)?.max(MIN_STEP_NS);
    if length / step_ns > MAX_STEPS {
        return Err(Error::Invalid(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter".to_owned(),
        ));
    }
    let limit = count(&call.params, "limit", MAX_PATTERNS)?.min(MAX_PATTERNS);
    let matchers = matchers(&query_text(&call.params)?)?;
    let sampler = Sampler::new(&querier, &call, matchers, bounds).await?;
    let mut found = Found { step_ns, drains: HashMap::new() };
    for slice in slices(bounds) {
        let (streams, weight) = sampler.slice(slice).await?;
        let work = move || {
            found.add(&streams, weight);
            found
        };
        found = querier.cpu().run(work).await.map_err(|e| Error::Internal(e.to_string()))?;
    }
    let mut patterns = found.finish();
    patterns.truncate(limit);
    Ok(write(patterns))
}

/// The selector of the query; stages say nothing about patterns.
fn matchers(query: &str) -> Result<Vec<Matcher>, Error> {
    match skald_logql::parse(query).map_err(|e| Error::Invalid(e.to_string()))? {
        Expr::Log(log) => Ok(log.matchers),
        Expr::Metric(_) => {
            Err(Error::Invalid("patterns are found by a log query, not by a metric query".into()))
        }
    }
}

/// The range in equal parts.
fn slices(bounds: Bounds) -> Vec<TimeRange> {
    let length = bounds.end.saturating_sub(bounds.start);
    let each = (length / SLICES).saturating_add(1).max(NS_PER_S);
    let mut out = Vec::new();
    let mut start = bounds.start;
    while start < bounds.end {
        let end = start.saturating_add(each).min(bounds.end);
        out.push(TimeRange::new(start, end));
        start = end;
    }
    out
}

/// Reads lines of slices, all or some.
struct Sampler {
    querier: Querier,
    source: Box<dyn EntrySource>,
    scope: crate::scope::Scope,
    engine: Engine,
    query: String,
    matchers: Arc<[Matcher]>,
    /// Lines read of each slice.
    limit: usize,
}

// === impl Sampler ===

impl Sampler {
    async fn new(
        querier: &Querier,
        call: &Call,
        matchers: Vec<Matcher>,
        bounds: Bounds,
    ) -> Result<Self, Error> {
        let log =
            LogExpr { matchers: matchers.clone(), stages: Vec::new(), span: Default::default() };
        let query = Expr::Log(log).to_string();
        let matchers: Arc<[Matcher]> = matchers.into();
        let scope = call.scope.clone();
        let all = querier.fanout().stats(&scope, &matchers, bounds.inclusive()).await?;
        let some = MAX_LINES / usize::try_from(SLICES).unwrap_or(1);
        let limit = if all.entries <= MAX_LINES as u64 { MAX_LINES } else { some };
        let engine = Engine::new(EngineOptions { max_entries: usize::MAX, ..options(&scope) });
        let source = source(querier, &scope).await?;
        Ok(Self { querier: querier.clone(), source, scope, engine, query, matchers, limit })
    }

    /// Lines of a slice, and how many lines each of them stands for.
    async fn slice(&self, range: TimeRange) -> Result<(Vec<ResultStream>, f64), Error> {
        let request = RangeParams {
            query: self.query.clone(),
            start_ns: range.start,
            end_ns: range.end,
            step_ns: NS_PER_S,
            interval_ns: 0,
            limit: self.limit,
            direction: Direction::Backward,
        };
        let result =
            self.engine.query_range(self.source.as_ref(), &request).await.map_err(of_engine)?;
        let Value::Streams(streams) = result.value else { return Ok((Vec::new(), 1.0)) };
        let n_lines: usize = streams.iter().map(|s| s.entries.len()).sum();
        if n_lines < self.limit {
            return Ok((streams, 1.0));
        }
        let all = self.querier.fanout().stats(&self.scope, &self.matchers, range).await?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let weight = (all.entries as f64 / n_lines as f64).max(1.0);
        Ok((streams, weight))
    }
}

/// Patterns by level.
struct Found {
    step_ns: i64,
    drains: HashMap<String, Drain>,
}

/// A pattern with its counts by second.
#[derive(Clone, Debug, PartialEq)]
struct Pattern {
    pattern: String,
    level: String,
    samples: BTreeMap<i64, f64>,
}

// === impl Found ===

impl Found {
    fn add(&mut self, streams: &[ResultStream], weight: f64) {
        for stream in streams {
            for entry in &stream.entries {
                let text = String::from_utf8_lossy(&entry.line);
                let Some(line) = tokens::split(&text) else { continue };
                let step = entry.timestamp_ns.div_euclid(self.step_ns) * self.step_ns;
                let level = level(&stream.stream_labels, entry);
                let drain = match self.drains.get_mut(level) {
                    Some(drain) => drain,
                    None => self.drains.entry(level.to_owned()).or_default(),
                };
                drain.add(&line, step.div_euclid(NS_PER_S), weight);
            }
        }
    }

    /// All patterns, the most frequent first.
    fn finish(self) -> Vec<Pattern> {
        let mut all: HashMap<(String, String), BTreeMap<i64, f64>> = HashMap::new();
        for (level, drain) in self.drains {
            for (pattern, samples) in drain.patterns() {
                let known = all.entry((level.clone(), pattern)).or_default();
                for (time, n) in samples {
                    *known.entry(time).or_default() += n;
                }
            }
        }
        let pattern = |((level, pattern), samples)| Pattern { pattern, level, samples };
        let mut patterns: Vec<Pattern> = all.into_iter().map(pattern).collect();
        let total = |p: &Pattern| p.samples.values().sum::<f64>();
        patterns.sort_by(|a, b| {
            let names = || (&a.level, &a.pattern).cmp(&(&b.level, &b.pattern));
            total(b).total_cmp(&total(a)).then_with(names)
        });
        patterns
    }
}

/// How severe a line is said to be.
fn level<'a>(stream: &'a Labels, entry: &'a ResultEntry) -> &'a str {
    let known = entry.structured_metadata.get(LEVEL).or_else(|| stream.get(LEVEL));
    known.or_else(|| stream.get("level")).unwrap_or("unknown")
}

fn write(patterns: Vec<Pattern>) -> Answer {
    let size = |p: &Pattern| 2 * p.pattern.len() + 24 * p.samples.len() + 64;
    Answer::json(patterns.iter().map(size).sum(), move |json| {
        json.raw(r#"{"status":"success","data":["#);
        let mut first = true;
        for p in &patterns {
            json.sep(&mut first).raw(r#"{"pattern":"#).html_string(&p.pattern);
            json.raw(r#","level":"#).string(&p.level).raw(r#","samples":["#);
            let mut first = true;
            for (seconds, n) in &p.samples {
                json.sep(&mut first).raw("[").int(*seconds).raw(",").number(n.round()).raw("]");
            }
            json.raw("]}");
        }
        json.raw("]}");
    })
}
