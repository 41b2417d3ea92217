//! `detected_fields` and the values of one: which fields lines have, found in a sample of them.
//!
//! Structured metadata counts as it is; a line is tried as JSON, then as logfmt.

mod json_path;
mod kind;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use skald_logql::pipeline::labels::{ERROR, ERROR_DETAILS};
use skald_logql::{Direction, Expr, Pipeline, RangeParams, ResultStream, Value, Work};
use skald_model::{Labels, LogEntry, StreamEntries};

use self::kind::Kind;
use super::query::{engine, of_engine, query_text};
use super::{Bounds, NS_PER_S, count, source};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

const DEFAULT_LINES: usize = 100;
const DEFAULT_FIELDS: usize = 1000;
/// Distinct values of one field that are kept; more are not counted.
const MAX_VALUES: usize = 10_000;

pub(super) async fn detected(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = count(&call.params, "limit", DEFAULT_FIELDS)?;
    let found = sample(&querier, &call, limit).await?;
    Ok(Answer::json(found.len() * 128, move |json| {
        json.raw(r#"{"fields":["#);
        let mut first = true;
        for (name, field) in &found {
            json.sep(&mut first).raw(r#"{"label":"#).string(name);
            json.raw(r#","type":"#).string(field.kind.map_or("string", Kind::as_str));
            json.raw(r#","cardinality":"#).uint(field.values.len() as u64);
            json.raw(r#","parsers":"#);
            if field.parsers.is_empty() {
                json.raw("null");
            } else {
                json.strings(&field.parsers);
            }
            if !field.path.is_empty() {
                json.raw(r#","jsonPath":"#).strings(&field.path);
            }
            json.raw("}");
        }
        json.raw(r#"],"limit":"#).uint(limit as u64).raw("}");
    }))
}

/// The values of one field, as many as `limit`.
pub(super) async fn values(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = count(&call.params, "limit", DEFAULT_FIELDS)?;
    let name = call.label_name()?;
    let mut found = sample(&querier, &call, usize::MAX).await?;
    let values = found.remove(&name).unwrap_or_default().values;
    let size = values.iter().map(|v| v.len() + 8).sum::<usize>() + 64;
    Ok(Answer::json(size, move |json| {
        json.raw(r#"{"values":"#).strings(values.iter().take(limit));
        json.raw(r#","limit":"#).uint(limit as u64).raw("}");
    }))
}

/// The fields of the newest lines that the query finds, at most `limit` of them.
async fn sample(
    querier: &Querier,
    call: &Call,
    limit: usize,
) -> Result<BTreeMap<String, Field>, Error> {
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let request = RangeParams {
        query: query_text(&call.params)?,
        start_ns: bounds.start,
        end_ns: bounds.end,
        step_ns: NS_PER_S,
        interval_ns: 0,
        limit: count(&call.params, "line_limit", DEFAULT_LINES)?,
        direction: Direction::Backward,
    };
    let source = source(querier, &call.scope).await?;
    let result =
        engine(&call.scope).query_range(source.as_ref(), &request).await.map_err(of_engine)?;
    let Value::Streams(streams) = result.value else {
        return Err(Error::Invalid(
            "fields are found by a log query, not by a metric query".into(),
        ));
    };
    let detect = move || detect(&streams, limit);
    querier.cpu().run(detect).await.map_err(|e| Error::Internal(e.to_string()))?
}

#[derive(Debug, Default)]
struct Field {
    kind: Option<Kind>,
    values: BTreeSet<String>,
    /// Empty for structured metadata.
    parsers: BTreeSet<&'static str>,
    path: Vec<String>,
}

// === impl Field ===

impl Field {
    fn add(&mut self, value: &str, parser: Option<&'static str>) {
        let kind = Kind::of(value);
        self.kind = Some(self.kind.map_or(kind, |k| k.with(kind)));
        if self.values.len() < MAX_VALUES && !self.values.contains(value) {
            self.values.insert(value.to_owned());
        }
        self.parsers.extend(parser);
    }
}

/// Fields found so far; no more than `limit` are begun.
struct Fields {
    found: BTreeMap<String, Field>,
    limit: usize,
}

// === impl Fields ===

impl Fields {
    fn get(&mut self, name: &str) -> Option<&mut Field> {
        if !self.found.contains_key(name) {
            if self.found.len() >= self.limit {
                return None;
            }
            self.found.insert(name.to_owned(), Field::default());
        }
        self.found.get_mut(name)
    }
}

fn detect(streams: &[ResultStream], limit: usize) -> Result<BTreeMap<String, Field>, Error> {
    let parsers = [("json", parser("json")?), ("logfmt", parser("logfmt")?)];
    let mut work = Work::default();
    let mut fields = Fields { found: BTreeMap::new(), limit };
    for entry in streams.iter().flat_map(|s| &s.entries) {
        for (name, value) in &entry.structured_metadata {
            if let Some(field) = fields.get(name) {
                field.add(value, None);
            }
        }
        for (parser, pipeline) in &parsers {
            let parsed = parse(pipeline, &mut work, &entry.line);
            if parsed.is_empty() || parsed.get(ERROR).is_some() {
                continue;
            }
            for (name, value) in parsed.iter().filter(|(n, _)| *n != ERROR_DETAILS) {
                if let Some(field) = fields.get(name) {
                    field.add(value, Some(parser));
                }
            }
            if *parser == "json" {
                add_paths(&mut fields.found, &entry.line);
            }
            break;
        }
    }
    Ok(fields.found)
}

fn add_paths(found: &mut BTreeMap<String, Field>, line: &[u8]) {
    json_path::collect(line, |name, path| {
        if let Some(field) = found.get_mut(name)
            && field.path.is_empty()
        {
            field.path = path.to_vec();
        }
    });
}

/// A pipeline that does nothing but parse.
fn parser(name: &str) -> Result<Pipeline, Error> {
    let internal = |e: skald_logql::ParseError| Error::Internal(e.to_string());
    match skald_logql::parse(&format!(r#"{{a="b"}} | {name}"#)).map_err(internal)? {
        Expr::Log(log) => Pipeline::compile(&log).map_err(internal),
        Expr::Metric(_) => Err(Error::Internal("a parser is a log query".to_owned())),
    }
}

fn parse(pipeline: &Pipeline, work: &mut Work, line: &Bytes) -> Labels {
    let entry = LogEntry { timestamp_ns: 0, line: line.clone(), metadata: Labels::empty() };
    let stream = StreamEntries { labels: Labels::empty(), entries: vec![entry] };
    let mut out = pipeline.run(work, &stream);
    let entry = out.pop().and_then(|mut s| s.entries.pop());
    entry.map(|e| e.parsed).unwrap_or_default()
}
