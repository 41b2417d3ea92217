//! `detected_fields`: which fields lines have, found in a sample of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use skald_logql::pipeline::labels::{ERROR, ERROR_DETAILS};
use skald_logql::{Direction, Expr, Pipeline, RangeParams, ResultStream, Value, Work, units};
use skald_model::{Labels, LogEntry, StreamEntries};

use super::query::{engine, of_engine, query_text};
use super::{Bounds, NS_PER_S, count};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::source::LogSource;
use crate::{Error, Querier};

const DEFAULT_LINES: usize = 100;
const DEFAULT_FIELDS: usize = 1000;

pub(super) async fn detected(querier: Querier, call: Call) -> Result<Answer, Error> {
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let field_limit = count(&call.params, "limit", DEFAULT_FIELDS)?;
    let request = RangeParams {
        query: query_text(&call.params)?,
        start_ns: bounds.start,
        end_ns: bounds.end,
        step_ns: NS_PER_S,
        interval_ns: 0,
        limit: count(&call.params, "line_limit", DEFAULT_LINES)?,
        direction: Direction::Backward,
    };
    let source = LogSource::new(querier.fanout().clone(), call.scope.clone());
    let result = engine(&call.scope).query_range(&source, &request).await.map_err(of_engine)?;
    let Value::Streams(streams) = result.value else {
        return Err(Error::Invalid("detected_fields needs a log query".to_owned()));
    };
    let detect = move || detect(&streams);
    let found = querier.cpu().run(detect).await.map_err(|e| Error::Internal(e.to_string()))??;
    Ok(Answer::json(found.len() * 96, move |json| {
        json.raw(r#"{"fields":["#);
        let mut first = true;
        for (name, field) in found.iter().take(field_limit) {
            json.sep(&mut first).raw(r#"{"label":"#).string(name);
            json.raw(r#","type":"#).string(field.kind.map_or("string", Kind::as_str));
            json.raw(r#","cardinality":"#).uint(field.values.len() as u64);
            json.raw(r#","parsers":"#);
            if field.parsers.is_empty() {
                json.raw("null");
            } else {
                json.strings(&field.parsers);
            }
            json.raw("}");
        }
        json.raw(r#"],"limit":"#).uint(field_limit as u64).raw("}");
    }))
}

/// What the values of a field look like, the narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

#[derive(Debug, Default)]
struct Field {
    kind: Option<Kind>,
    values: HashSet<String>,
    /// Empty for structured metadata.
    parsers: BTreeSet<&'static str>,
}

// === impl Kind ===

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    fn of(value: &str) -> Self {
        if value.parse::<i64>().is_ok() {
            Self::Int
        } else if value.parse::<f64>().is_ok() {
            Self::Float
        } else if value == "true" || value == "false" {
            Self::Boolean
        } else if units::go_duration(value).is_some() {
            Self::Duration
        } else if units::humanize_bytes(value).is_some() {
            Self::Bytes
        } else {
            Self::String
        }
    }

    /// The kind that covers both.
    fn with(self, other: Self) -> Self {
        match (self.min(other), self.max(other)) {
            (a, b) if a == b => a,
            (Self::Int, Self::Float) => Self::Float,
            _ => Self::String,
        }
    }
}

// === impl Field ===

impl Field {
    fn add(&mut self, value: &str, parser: Option<&'static str>) {
        let kind = Kind::of(value);
        self.kind = Some(self.kind.map_or(kind, |k| k.with(kind)));
        if !self.values.contains(value) {
            self.values.insert(value.to_owned());
        }
        self.parsers.extend(parser);
    }
}

fn detect(streams: &[ResultStream]) -> Result<BTreeMap<String, Field>, Error> {
    let parsers = [("json", parser("json")?), ("logfmt", parser("logfmt")?)];
    let mut work = Work::default();
    let mut found: BTreeMap<String, Field> = BTreeMap::new();
    for entry in streams.iter().flat_map(|s| &s.entries) {
        for (name, value) in &entry.structured_metadata {
            found.entry(name.to_owned()).or_default().add(value, None);
        }
        for (parser, pipeline) in &parsers {
            let parsed = parse(pipeline, &mut work, &entry.line);
            if parsed.is_empty() || parsed.get(ERROR).is_some() {
                continue;
            }
            for (name, value) in parsed.iter().filter(|(n, _)| *n != ERROR_DETAILS) {
                found.entry(name.to_owned()).or_default().add(value, Some(parser));
            }
            break;
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_widen_until_they_cover_all_values() {
        let kind = |values: &[&str]| {
            let mut field = Field::default();
            values.iter().for_each(|v| field.add(v, None));
            field.kind.unwrap().as_str()
        };
        assert_eq!(kind(&["1", "-2"]), "int");
        assert_eq!(kind(&["1", "2.5"]), "float");
        assert_eq!(kind(&["true", "false"]), "boolean");
        assert_eq!(kind(&["3ms", "1.5s"]), "duration");
        assert_eq!(kind(&["3KiB", "5 MB"]), "bytes");
        assert_eq!(kind(&["3ms", "4"]), "string");
        assert_eq!(kind(&["x", "4"]), "string");
    }
}
