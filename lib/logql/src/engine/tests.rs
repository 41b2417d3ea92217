mod beyond;
mod bounds;
mod errors;
mod searches;
mod series;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::{ErrorKind, Labels, LogEntry, Matcher, StreamEntries, TimeRange};

use super::{Engine, EngineOptions, InstantParams, RangeParams};
use crate::error::QueryError;
use crate::result::{QueryResult, Value, merged_streams};
use crate::source::{Direction, EntrySink, EntrySource, SelectEntries, SourceError};

const S: i64 = 1_000_000_000;
const T0: i64 = 1_700_000_000 * S;

#[derive(Debug, Default)]
struct Memory {
    streams: Vec<StreamEntries>,
    asked: Mutex<Vec<TimeRange>>,
}

#[async_trait]
impl EntrySource for Memory {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        self.asked.lock().push(req.range);
        if req.matchers.iter().any(|m| m.value == "broken") {
            return Err(SourceError { kind: ErrorKind::Unavailable, message: "away".to_owned() });
        }
        let cut = |s: &StreamEntries| StreamEntries {
            labels: s.labels.clone(),
            entries: s
                .entries
                .iter()
                .filter(|e| req.range.contains(e.timestamp_ns))
                .cloned()
                .collect(),
        };
        Ok(self
            .streams
            .iter()
            .filter(|s| Matcher::all(&req.matchers, &s.labels))
            .map(cut)
            .collect())
    }
}

fn stream(labels: &[(&str, &str)], lines: &[(i64, &str)]) -> StreamEntries {
    let entry = |(seconds, line): &(i64, &str)| LogEntry {
        timestamp_ns: T0 + seconds * S,
        line: Bytes::copy_from_slice(line.as_bytes()),
        metadata: Labels::empty(),
    };
    StreamEntries {
        labels: Labels::from_pairs(labels.iter().copied()),
        entries: lines.iter().map(entry).collect(),
    }
}

fn one(lines: &[(i64, &str)]) -> Memory {
    Memory { streams: vec![stream(&[("app", "a")], lines)], ..Memory::default() }
}

async fn instant_with(
    engine: &Engine,
    source: &Memory,
    query: &str,
) -> Result<QueryResult, QueryError> {
    engine.query_instant(source, &InstantParams { query: query.to_owned(), time_ns: T0 }).await
}

/// The instant answer at `T0` as text.
async fn instant(source: &Memory, query: &str) -> String {
    match instant_with(&Engine::default(), source, query).await {
        Err(e) => e.to_string(),
        Ok(QueryResult { value: Value::Scalar { value, .. }, .. }) => value.to_string(),
        Ok(QueryResult { value: Value::Vector { samples, timestamp_ms }, .. }) => {
            assert_eq!(timestamp_ms, T0 / 1_000_000);
            let text = |s: &crate::VectorSample| format!("{} {}", s.labels, s.value);
            samples.iter().map(text).collect::<Vec<_>>().join("; ")
        }
        Ok(other) => format!("{:?}", other.value),
    }
}

fn range_params(query: &str, direction: Direction, limit: usize) -> RangeParams {
    RangeParams {
        query: query.to_owned(),
        start_ns: T0,
        end_ns: T0 + 3_600 * S,
        step_ns: 60 * S,
        interval_ns: 0,
        limit,
        direction,
    }
}

/// The lines of a log query, in order of time over all streams.
async fn lines(source: &Memory, params: &RangeParams) -> Vec<String> {
    let out = Engine::default().query_range(source, params).await.unwrap();
    let Value::Streams(streams) = &out.value else { panic!("{:?}", out.value) };
    let merged = merged_streams(streams);
    let all = merged.iter().flat_map(|s| &s.entries);
    let text = |(_, l): &(i64, Bytes)| String::from_utf8(l.to_vec()).unwrap();
    all.map(text).collect()
}

#[tokio::test]
async fn windows_are_open_at_their_start() {
    let source = one(&[(-30, "a"), (-10, "b"), (0, "c")]);
    assert_eq!(instant(&source, r#"count_over_time({app="a"}[30s])"#).await, r#"{app="a"} 2"#);
    assert_eq!(
        instant(&source, r#"rate({app="a"}[30s])"#).await,
        r#"{app="a"} 0.06666666666666667"#
    );
    assert_eq!(
        instant(&source, r#"count_over_time({app="a"}[30s] offset 10s)"#).await,
        r#"{app="a"} 2"#
    );
    assert_eq!(
        instant(&source, r#"bytes_over_time({app="a"} | line_format "xyz" [1m])"#).await,
        r#"{app="a"} 9"#
    );
}

#[tokio::test]
async fn values_of_labels_are_aggregated() {
    let source =
        one(&[(-4, "v=10 d=1m"), (-3, "v=1 d=1.5s"), (-2, "v=20 d=x"), (-1, "v=2"), (0, "w=")]);
    let run = |call: &'static str| {
        let source = &source;
        async move { instant(source, &call.replace("SEL", r#"{app="a"} | logfmt | keep v, d"#)).await }
    };
    assert_eq!(run("quantile_over_time(0.5, SEL | drop d | unwrap v [1m])").await, "{} 6");
    assert_eq!(run("quantile_over_time(2, SEL | drop d | unwrap v [1m])").await, "{} inf");
    assert_eq!(run("first_over_time(SEL | drop d | unwrap v [1m])").await, "{} 10");
    assert_eq!(run("avg_over_time(SEL | drop d | unwrap v [1m])").await, "{} 8.25");
    assert_eq!(run("rate_counter(SEL | v=10 | drop d | unwrap v [1m])").await, "{} 0");
    assert_eq!(
        run(r#"sum_over_time(SEL | drop v | unwrap duration(d) | __error__="" [1m])"#).await,
        "{} 61.5"
    );
    assert!(
        run("sum_over_time(SEL | drop v | unwrap duration(d) [1m])")
            .await
            .starts_with("pipeline error: 'SampleExtractionErr' for series: '{")
    );
    assert_eq!(
        run("max_over_time(SEL | unwrap v [1m]) by (v)").await,
        r#"{v="1"} 1; {v="10"} 10; {v="2"} 2; {v="20"} 20"#
    );
}

#[tokio::test]
async fn numbers_follow_logql_not_promql() {
    let source = Memory::default();
    for (query, want) in [
        ("vector(1)/0", "{} NaN"),
        ("2 > vector(1)", "{} 1"),
        ("vector(1) > bool 2", "{} 0"),
        ("vector(1) + vector(1)", "{} 2"),
        ("vector(3) % 2", "{} 1"),
        ("1 + 1", "2"),
        (r#"label_replace(vector(1), "a", "x$1", "b", "()")"#, r#"{a="x"} 1"#),
        ("vector(1) and vector(2)", "{} 1"),
        ("vector(1) unless vector(2)", ""),
        ("vector(1) or vector(2)", "{} 1"),
        ("topk(1, vector(1))", "{} 1"),
    ] {
        assert_eq!(instant(&source, query).await, want, "{query}");
    }
}

#[tokio::test]
async fn absence_knows_its_labels() {
    let source = Memory::default();
    let run = |q: &'static str| instant(&source, q);
    assert_eq!(run(r#"absent_over_time({app="a"}[1m])"#).await, r#"{app="a"} 1"#);
    assert_eq!(run(r#"absent_over_time({app="a",app="b",env=~"p"}[1m])"#).await, "{} 1");
    assert_eq!(instant(&one(&[(0, "x")]), r#"absent_over_time({app="a"}[1m])"#).await, "");
}

#[tokio::test]
async fn broken_lines_fail_a_metric_query_only_when_they_matter() {
    let source = one(&[(-1, r#"{"a":1,"b":"#)]);
    let run = |q: &'static str| instant(&source, q);
    assert_eq!(run(r#"sum(count_over_time({app="a"}|json[1m]))"#).await, "{} 1");
    assert_eq!(run(r#"sum by (a) (count_over_time({app="a"}|json[1m]))"#).await, r#"{a="1"} 1"#);
    let text = run(r#"max(count_over_time({app="a"}|json[1m]))"#).await;
    assert!(
        text.starts_with(
            "pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\""
        ),
        "{text}"
    );
    assert!(text.contains("\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"JSONParserErr\").\nTo skip all"), "{text}");
    assert_eq!(run(r#"max(count_over_time({app="a"}|json|__error__=""[1m]))"#).await, "");
    assert_eq!(
        run(r#"sum(count_over_time({app="a"}| line_format "{{div 1 0}}" [1m]))"#).await,
        "{} 1"
    );
    assert_eq!(
        run(r#"sum by (__error__) (count_over_time({app="a"}|json[1m]))"#)
            .await
            .matches("JSONParserErr")
            .count(),
        1
    );
}

#[tokio::test]
async fn matching_follows_its_rules() {
    let source = Memory {
        streams: vec![
            stream(&[("app", "a"), ("l", "x")], &[(0, "1")]),
            stream(&[("app", "a"), ("l", "y")], &[(0, "1"), (0, "2")]),
        ],
        ..Memory::default()
    };
    let run = |q: &'static str| instant(&source, q);
    let many = r#"count_over_time({app="a"}[1m]) / on (app) group_left sum by (app) (count_over_time({app="a"}[1m]))"#;
    assert_eq!(
        run(many).await,
        r#"{app="a", l="x"} 0.3333333333333333; {app="a", l="y"} 0.6666666666666666"#
    );
    let text = run(r#"count_over_time({app="a"}[1m]) / on (app) sum by (app) (count_over_time({app="a"}[1m]))"#).await;
    assert!(text.contains("many-to-one matching must be explicit"), "{text}");
    let text = run(r#"sum by (app) (count_over_time({app="a"}[1m])) / on (app) count_over_time({app="a"}[1m])"#).await;
    assert!(
        text.contains("found duplicate series") && text.contains("on the right hand-side"),
        "{text}"
    );
    assert_eq!(run(r#"topk(1, count_over_time({app="a"}[1m]))"#).await, r#"{app="a", l="y"} 2"#);
    assert_eq!(
        run(r#"sort_desc(count_over_time({app="a"}[1m]))"#).await,
        r#"{app="a", l="y"} 2; {app="a", l="x"} 1"#
    );
    assert_eq!(run(r#"sum without (l) (count_over_time({app="a"}[1m]))"#).await, r#"{app="a"} 3"#);
    assert_eq!(
        run(r#"avg by (app) (count_over_time({app="a"}[1m])) == 1.5"#).await,
        r#"{app="a"} 1.5"#
    );
}

#[tokio::test]
async fn a_range_query_has_gaps_where_windows_are_empty() {
    let source = one(&[(0, "a"), (60, "b"), (200, "c")]);
    let params = range_params(r#"count_over_time({app="a"}[30s])"#, Direction::Forward, 1);
    let out = Engine::default().query_range(&source, &params).await.unwrap();
    let Value::Matrix(series) = out.value else { panic!() };
    let ms = T0 / 1_000_000;
    assert_eq!(series[0].points, [(ms, 1.0), (ms + 60_000, 1.0)]);
    assert_eq!(out.stats.lines_processed, 2);
}

#[tokio::test]
async fn counts_are_kept_by_cell_not_by_line() {
    let many: Vec<(i64, &str)> = (0..3_600).map(|i| (i, "x")).collect();
    let mut source = one(&many);
    source.streams.push(stream(&[("app", "a"), ("n", "2")], &many));
    let engine = Engine::new(EngineOptions { max_samples: 300, ..EngineOptions::default() });
    let query = r#"sum(count_over_time({app="a"}[90s]))"#;
    let mut params = range_params(query, Direction::Forward, 1);
    params.start_ns += 7 * S;
    let out = engine.query_range(&source, &params).await.unwrap();
    let Value::Matrix(series) = out.value else { panic!() };
    let values: Vec<f64> = series[0].points.iter().map(|(_, v)| *v).collect();
    assert_eq!(&values[..4], [16.0, 136.0, 180.0, 180.0]);
    assert_eq!(values.len(), 60);
}

#[tokio::test]
async fn limits_are_named() {
    let names: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    let source = Memory {
        streams: names.iter().map(|n| stream(&[("app", "a"), ("n", n)], &[(0, "x")])).collect(),
        ..Memory::default()
    };
    let engine = Engine::new(EngineOptions { max_series: 10, ..EngineOptions::default() });
    let err = instant_with(&engine, &source, r#"rate({app="a"}[1m])"#).await.unwrap_err();
    assert!(
        err.to_string().starts_with(
            "maximum number of series (10) reached for a single query; consider reducing"
        ),
        "{err}"
    );
    assert!(instant_with(&engine, &source, r#"sum(rate({app="a"}[1m]))"#).await.is_ok());
    let engine = Engine::new(EngineOptions { max_samples: 10, ..EngineOptions::default() });
    let err = instant_with(&engine, &source, r#"sum(sum_over_time({app="a"} | unwrap n [1m]))"#)
        .await
        .unwrap_err();
    assert!(err.to_string().contains("max_samples"), "{err}");
    let params = range_params(r#"{app="a"}"#, Direction::Forward, 5_001);
    let err = Engine::default().query_range(&source, &params).await.unwrap_err();
    assert!(err.to_string().starts_with("max entries limit per query exceeded"), "{err}");
    assert_eq!(err.kind(), ErrorKind::Invalid);
    let err = instant_with(&Engine::default(), &source, r#"{app="a"}"#).await.unwrap_err();
    assert!(
        err.to_string().starts_with("log queries are not supported as an instant query type"),
        "{err}"
    );
    let mut params = range_params("vector(1)", Direction::Forward, 1);
    params.step_ns = 1;
    assert!(
        Engine::default()
            .query_range(&source, &params)
            .await
            .unwrap_err()
            .to_string()
            .starts_with("exceeded maximum resolution")
    );
    let err =
        instant_with(&Engine::default(), &source, r#"rate({app="broken"}[1m])"#).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn lines_come_in_direction_and_ties_turn_around() {
    let source = one(&[(1, "a"), (2, "b1"), (2, "b2"), (3, "c"), (3_600, "end")]);
    let forward = range_params(r#"{app="a"}"#, Direction::Forward, 10);
    assert_eq!(lines(&source, &forward).await, ["a", "b1", "b2", "c"]);
    let backward = range_params(r#"{app="a"}"#, Direction::Backward, 10);
    assert_eq!(lines(&source, &backward).await, ["c", "b2", "b1", "a"]);
    let limited = range_params(r#"{app="a"}"#, Direction::Backward, 2);
    assert_eq!(lines(&source, &limited).await, ["c", "b2"]);
    let mut spaced = range_params(r#"{app="a"}"#, Direction::Forward, 10);
    spaced.interval_ns = 2 * S;
    assert_eq!(lines(&source, &spaced).await, ["a", "c"]);
}

#[tokio::test]
async fn a_met_limit_ends_the_walk() {
    let many: Vec<(i64, &str)> = (0..3_600).map(|i| (i, "x")).collect();
    let source = one(&many);
    let out = lines(&source, &range_params(r#"{app="a"}"#, Direction::Backward, 5)).await;
    assert_eq!(out.len(), 5);
    assert_eq!(source.asked.lock().len(), 1);
    source.asked.lock().clear();
    let none = lines(&source, &range_params(r#"{app="a"} |= "y""#, Direction::Backward, 5)).await;
    assert!(none.is_empty());
    let asked = source.asked.lock().clone();
    assert_eq!((asked[0].end, asked[asked.len() - 1].start), (T0 + 3_600 * S, T0));
    assert!(asked.windows(2).all(|w| w[0].start == w[1].end), "{asked:?}");
    assert!(asked.len() < 10);
}

#[tokio::test]
async fn metric_queries_ask_once_or_in_slices() {
    let source = one(&[(-7_000, "a"), (-10, "b")]);
    assert_eq!(instant(&source, r#"count_over_time({app="a"}[2h])"#).await, r#"{app="a"} 2"#);
    assert_eq!(source.asked.lock().len(), 1);
    let hours = EngineOptions { metric_slice_ns: 3_600 * S, ..EngineOptions::default() };
    for (range, most) in [("2h", 2), ("100y", 1_001)] {
        source.asked.lock().clear();
        let query = format!(r#"count_over_time({{app="a"}}[{range}])"#);
        let out = instant_with(&Engine::new(hours.clone()), &source, &query).await.unwrap();
        let Value::Vector { samples, .. } = out.value else { panic!() };
        assert!((samples[0].value - 2.0).abs() < f64::EPSILON);
        assert!((2..=most).contains(&source.asked.lock().len()));
    }
}

/// Hands on entries one by one from several threads, after it began anew once.
#[derive(Debug)]
struct Pieces(Memory);

#[async_trait]
impl EntrySource for Pieces {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        self.0.select(req).await
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let streams = self.select(req).await?;
        assert!(sink.take(streams.clone()).is_continue());
        sink.reset();
        std::thread::scope(|scope| {
            for stream in &streams {
                for entry in &stream.entries {
                    let labels = stream.labels.clone();
                    let piece = StreamEntries { labels, entries: vec![entry.clone()] };
                    scope.spawn(|| sink.take(vec![piece]));
                }
            }
        });
        Ok(())
    }
}

#[tokio::test]
async fn pieces_in_any_order_make_the_same_answer() {
    let lines: Vec<(i64, String)> = (0..300).map(|i| (-i, format!("v={}", i % 7))).collect();
    let lines: Vec<(i64, &str)> = lines.iter().rev().map(|(t, l)| (*t, l.as_str())).collect();
    let streams = vec![stream(&[("app", "a")], &lines), stream(&[("app", "b")], &lines[100..])];
    let whole = Memory { streams, ..Memory::default() };
    let pieces = Pieces(Memory { streams: whole.streams.clone(), ..Memory::default() });
    for query in [
        r#"sum by (app) (count_over_time({app=~".+"} |= "v=3" [1m]))"#,
        r#"rate({app=~".+"}[1m])"#,
        r#"first_over_time({app=~".+"} | logfmt | unwrap v [1m]) by (app)"#,
        r#"sum by (v) (count_over_time({app="a"} | logfmt [40s]))"#,
    ] {
        let mut params = range_params(query, Direction::Forward, 10);
        (params.start_ns, params.end_ns, params.step_ns) = (T0 - 300 * S, T0, 20 * S);
        let engine = Engine::default();
        let expected = engine.query_range(&whole, &params).await.unwrap();
        let got = engine.query_range(&pieces, &params).await.unwrap();
        assert_eq!(got.value, expected.value, "{query}");
        assert_eq!(got.stats, expected.stats, "{query}");
    }
}

#[tokio::test]
async fn lines_in_pieces_make_the_answer_of_the_whole() {
    let lines: Vec<(i64, String)> =
        (0..1_500).map(|i| (-i / 2, format!("v={} n={i}", i % 7))).collect();
    let lines: Vec<(i64, &str)> = lines.iter().rev().map(|(t, l)| (*t, l.as_str())).collect();
    let streams = vec![stream(&[("app", "b")], &lines), stream(&[("app", "a")], &lines[100..])];
    // In one piece for each stream, or one entry after the other.
    let source = Memory { streams, ..Memory::default() };
    let whole = |stages: &str| format!(r#"{{app=~".+"}} {stages}"#);
    for direction in [Direction::Forward, Direction::Backward] {
        for limit in [1, 7, 4_999] {
            for (lazy, plain) in [
                ("| logfmt | v=`3`", "|~ `v=3 ` | logfmt"),
                ("| logfmt | n > 0", "!~ `n=0$` | logfmt"),
                (
                    "| logfmt | v=`3` | line_format `{{.n}}`",
                    "|= `v=3 ` | logfmt | line_format `{{.n}}`",
                ),
                ("| logfmt | v=`9`", "|= `v=9` | logfmt"),
            ] {
                let answer = async |source: &dyn EntrySource, stages| {
                    let mut params = range_params(&whole(stages), direction, limit);
                    (params.start_ns, params.end_ns) = (T0 - 4_000 * S, T0 + S);
                    Engine::default().query_range(source, &params).await.unwrap().value
                };
                let expected = answer(&source, plain).await;
                assert_eq!(answer(&source, lazy).await, expected, "{lazy} {limit}");
                let pieces =
                    InTurn(Memory { streams: source.streams.clone(), ..Memory::default() });
                assert_eq!(answer(&pieces, lazy).await, expected, "{lazy} {limit} in pieces");
            }
        }
    }
}

/// Gives no metadata that nobody asks for.
#[derive(Debug)]
struct Frugal(Memory);

#[async_trait]
impl EntrySource for Frugal {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let mut streams = self.0.select(req).await?;
        if let Some(wanted) = &req.metadata {
            for entry in streams.iter_mut().flat_map(|s| &mut s.entries) {
                let pairs = entry.metadata.iter().filter(|(n, _)| wanted.iter().any(|w| w == n));
                entry.metadata = Labels::from_pairs(pairs);
            }
        }
        Ok(streams)
    }
}

#[tokio::test]
async fn metadata_that_is_not_asked_for_changes_no_answer() {
    let metadata = [("id", "7"), ("level", "warn"), ("__preserve_error__", "true")];
    let lines =
        [(1, r#"{"level":"info","n":"3","id_extracted":"x"}"#), (2, r#"{"level":"#), (3, "x")];
    for n in 0..=metadata.len() {
        let mut source = one(&lines);
        for entry in &mut source.streams[0].entries {
            entry.metadata = Labels::from_pairs(metadata[..n].iter().copied());
        }
        let frugal = Frugal(Memory { streams: source.streams.clone(), ..Memory::default() });
        for query in [
            r#"sum(count_over_time({app="a"}[1m]))"#,
            r#"sum by (level) (count_over_time({app="a"}[1m]))"#,
            r#"sum by (level_extracted) (count_over_time({app="a"} | json [1m]))"#,
            r#"sum by (level) (count_over_time({app="a"} | json | __error__="" [1m]))"#,
            r#"sum by (app) (count_over_time({app="a"} | id="7" | level!="info" [1m]))"#,
            r#"sum by (app) (count_over_time({app="a"} | level > 3 [1m]))"#,
            r#"sum by (v) (count_over_time({app="a"} | label_format v="{{.id}}" [1m]))"#,
            r#"sum(sum_over_time({app="a"} | json | unwrap n [1m]))"#,
            r#"sum by (id_extracted) (rate({app="a"} | json | drop __error__, __error_details__ [1m]))"#,
        ] {
            let answer = async |source: &dyn EntrySource| {
                let params = InstantParams { query: query.to_owned(), time_ns: T0 + 10 * S };
                let out = Engine::default().query_instant(source, &params).await;
                format!("{:?}", out.map(|out| out.value))
            };
            assert_eq!(answer(&frugal).await, answer(&source).await, "{n} {query}");
        }
    }
}

/// Hands on a few entries at a time, streams one after the other, after it began anew once.
#[derive(Debug)]
struct InTurn(Memory);

#[async_trait]
impl EntrySource for InTurn {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        self.0.select(req).await
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let streams = self.select(req).await?;
        assert!(sink.take(streams.clone()).is_continue());
        sink.reset();
        for stream in &streams {
            for entries in stream.entries.chunks(3) {
                let labels = stream.labels.clone();
                let piece = StreamEntries { labels, entries: entries.to_vec() };
                assert!(sink.take(vec![piece]).is_continue());
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn structured_metadata_and_parsed_labels_stay_apart() {
    let mut source = one(&[(1, "k=v")]);
    source.streams[0].entries[0].metadata = Labels::from_pairs([("id", "7")]);
    let params = range_params(r#"{app="a"} | logfmt"#, Direction::Forward, 10);
    let out = Engine::default().query_range(&source, &params).await.unwrap();
    assert_eq!(out.stats.entries_returned, 1);
    let Value::Streams(streams) = out.value else { panic!() };
    assert_eq!(streams[0].stream_labels.to_string(), r#"{app="a"}"#);
    assert_eq!(streams[0].entries[0].structured_metadata.to_string(), r#"{id="7"}"#);
    assert_eq!(streams[0].entries[0].parsed.to_string(), r#"{k="v"}"#);
    assert_eq!(merged_streams(&streams)[0].labels.to_string(), r#"{app="a", id="7", k="v"}"#);
}

#[tokio::test]
async fn label_replace_makes_no_endless_values() {
    let mut query =
        r#"label_replace(sum(count_over_time({app="a"}[1m])), "x", "12345678", "", ".*")"#
            .to_owned();
    for _ in 0..30 {
        query = format!(r#"label_replace({query}, "x", "$1$1", "x", "(.*)")"#);
    }
    let params = InstantParams { query, time_ns: T0 + S };
    let engine = Engine::new(EngineOptions::default());
    let err = engine.query_instant(&one(&[(0, "line")]), &params).await.unwrap_err();
    assert!(matches!(&err, QueryError::Limit(text) if text.contains("label_replace()")), "{err}");
}
