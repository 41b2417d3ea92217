//! `explain`: runs a query, throws its result away, and answers what it asked for and what that cost.
//!
//! What is pushed down is what the engine asked its source for, and the figures are those that reads
//! count anyway, here for each block: nothing is reckoned twice.

mod watched;

use std::time::Duration;

use skald_blocks::StatsSnapshot;
use skald_logql::ast::LogExpr;
use skald_logql::{Direction, Expr, InstantParams, QueryResult, RangeParams, Value};
use tokio::time::Instant;

use self::watched::{Asked, Watched};
use super::query::{self, DEFAULT_LIMIT, engine, of_engine, query_text};
use super::{Bounds, count, parse_time, source};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::json::Json;
use crate::scope::{BlockReads, Touched};
use crate::{Error, Querier};

pub(super) async fn explain(querier: Querier, mut call: Call) -> Result<Answer, Error> {
    call.scope = call.scope.by_block();
    let text = query_text(&call.params)?;
    let expr = skald_logql::parse(&text).map_err(|e| Error::Invalid(e.to_string()))?;
    let source = Watched::new(source(&querier, &call.scope).await?);
    let begun = Instant::now();
    let is_instant = call.params.get("time").is_some();
    let result = if is_instant {
        instant(&call, text, &source).await?
    } else {
        range(&querier, &call, text, &source).await?
    };
    let explained = Explained {
        query: expr.to_string(),
        is_metric: matches!(expr, Expr::Metric(_)),
        is_instant,
        asked: source.into_asked(),
        touched: call.scope.touched(),
        blocks: call.scope.block_reads(),
        queued: call.queued,
        elapsed: begun.elapsed(),
        memory: call.scope.memory.peak(),
        result,
    };
    Ok(Answer::json(4096, move |json| explained.write(json)))
}

async fn range(
    querier: &Querier,
    call: &Call,
    query: String,
    source: &Watched,
) -> Result<QueryResult, Error> {
    let params = &call.params;
    let bounds = Bounds::of(params, querier.now_ns())?;
    query::check_length(&call.scope, bounds.end.saturating_sub(bounds.start))?;
    let request = RangeParams {
        query,
        start_ns: bounds.start,
        end_ns: bounds.end,
        step_ns: query::step_ns(params, bounds)?,
        interval_ns: query::interval_ns(params)?,
        limit: count(params, "limit", DEFAULT_LIMIT)?,
        direction: query::direction(params, Direction::Backward)?,
    };
    engine(&call.scope).query_range(source, &request).await.map_err(of_engine)
}

async fn instant(call: &Call, query: String, source: &Watched) -> Result<QueryResult, Error> {
    let time_ns = parse_time("time", call.params.get("time").unwrap_or(""))?;
    let request = InstantParams { query, time_ns };
    engine(&call.scope).query_instant(source, &request).await.map_err(of_engine)
}

/// What the answer says.
struct Explained {
    query: String,
    is_metric: bool,
    is_instant: bool,
    asked: Vec<Asked>,
    touched: Touched,
    blocks: BlockReads,
    queued: Duration,
    elapsed: Duration,
    memory: u64,
    result: QueryResult,
}

// === impl Explained ===

impl Explained {
    fn write(&self, json: &mut Json) {
        json.raw(r#"{"status":"success","data":{"query":"#).string(&self.query);
        json.raw(r#","type":"#).string(if self.is_metric { "metric" } else { "log" });
        json.raw(r#","evaluation":"#).string(if self.is_instant { "instant" } else { "range" });
        json.raw(r#","pushed_down":["#);
        let mut first = true;
        for asked in &self.asked {
            pushed_down(json.sep(&mut first), asked);
        }
        json.raw("]");
        let total = self.blocks.total();
        self.write_blocks(json);
        object(
            json,
            "row_groups",
            &[
                ("considered", total.row_groups),
                ("skipped", total.row_groups.saturating_sub(total.row_groups_left)),
                ("read", total.row_groups_left),
            ],
        );
        object(json, "rows", &rows(&total));
        object(
            json,
            "bytes",
            &[("fetched", total.bytes), ("requests", total.gets), ("decoded", total.decoded_bytes)],
        );
        object(json, "heads", &[("answers", self.touched.heads)]);
        self.write_result(json);
        self.write_seconds(json);
        json.raw("}}");
    }

    fn write_blocks(&self, json: &mut Json) {
        let (mut labels, mut time, mut text, mut read) = (0, 0, 0, 0);
        let opened = &self.blocks.opened;
        for block in opened {
            match block {
                b if b.rows_of_streams == 0 => labels += 1,
                b if b.rows_in_time == 0 => time += 1,
                b if b.rows_with_text == 0 => text += 1,
                _ => read += 1,
            }
        }
        let n_opened = opened.len() as u64;
        object(
            json,
            "blocks",
            &[
                ("considered", self.blocks.considered),
                ("outside_time", self.blocks.considered.saturating_sub(n_opened)),
                ("opened", n_opened),
                ("skipped_by_labels", labels),
                ("skipped_by_time", time),
                ("skipped_by_text", text),
                ("read", read),
            ],
        );
    }

    fn write_result(&self, json: &mut Json) {
        let stats = &self.result.stats;
        object(
            json,
            "lines",
            &[
                ("processed", stats.lines_processed),
                ("passed", stats.post_filter_lines),
                ("bytes", stats.bytes_processed),
                ("structured_metadata_bytes", stats.structured_metadata_bytes_processed),
            ],
        );
        let (kind, n_groups, n_values) = match &self.result.value {
            Value::Streams(s) => ("streams", s.len(), s.iter().map(|s| s.entries.len()).sum()),
            Value::Matrix(s) => ("matrix", s.len(), s.iter().map(|s| s.points.len()).sum()),
            Value::Vector { samples, .. } => ("vector", samples.len(), samples.len()),
            Value::Scalar { .. } => ("scalar", 0, 1),
        };
        json.raw(r#","result":{"type":"#).string(kind);
        json.raw(r#","groups":"#).uint(n_groups as u64);
        json.raw(r#","values":"#).uint(n_values as u64).raw("}");
    }

    fn write_seconds(&self, json: &mut Json) {
        let reading: Duration = self.asked.iter().map(|a| a.elapsed).sum();
        json.raw(r#","memory":{"peak":"#).uint(self.memory).raw("}");
        json.raw(r#","seconds":{"queued":"#).number(self.queued.as_secs_f64());
        json.raw(r#","reading":"#).number(reading.as_secs_f64());
        json.raw(r#","total":"#).number(self.elapsed.as_secs_f64()).raw("}");
    }
}

fn pushed_down(json: &mut Json, asked: &Asked) {
    let matchers = asked.matchers.clone();
    let selector = LogExpr { matchers, stages: Vec::new(), span: Default::default() };
    json.raw(r#"{"selector":"#).string(&Expr::Log(selector).to_string());
    json.raw(r#","start":""#).rfc3339_ns(asked.range.start);
    json.raw(r#"","end":""#).rfc3339_ns(asked.range.end);
    json.raw(r#"","text":"#);
    json.strings(asked.needles.iter().map(|n| String::from_utf8_lossy(n)));
    let mut columns = vec!["timestamp"];
    if asked.metadata.as_ref().is_none_or(|names| !names.is_empty()) {
        columns.push("structured_metadata");
    }
    if asked.needs_line || !asked.needles.is_empty() {
        columns.push("line");
    }
    json.raw(r#","columns":"#).strings(columns);
    if let Some(names) = &asked.metadata {
        json.raw(r#","metadata":"#).strings(names.iter());
    }
    json.raw(r#","streamed":"#).raw(if asked.is_scan { "true" } else { "false" });
    json.raw(r#","reads":"#).uint(asked.reads).raw("}");
}

fn rows(total: &StatsSnapshot) -> [(&'static str, u64); 5] {
    [
        ("considered", total.rows_searched),
        ("skipped_by_labels", total.rows_searched.saturating_sub(total.rows_of_streams)),
        ("skipped_by_time", total.rows_of_streams.saturating_sub(total.rows_in_time)),
        ("skipped_by_text", total.rows_in_time.saturating_sub(total.rows_with_text)),
        ("decoded", total.rows),
    ]
}

/// `,"name":{…}` of numbers.
fn object(json: &mut Json, name: &str, numbers: &[(&str, u64)]) {
    json.raw(",").key(name).raw("{");
    let mut first = true;
    for (key, n) in numbers {
        json.sep(&mut first).key(key).uint(*n);
    }
    json.raw("}");
}
