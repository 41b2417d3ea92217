//! Results in Loki's JSON: envelope, streams in both encodings, samples, and the stats block.

use std::time::Duration;

use skald_blocks::StatsSnapshot;
use skald_logql::{
    MatrixSeries, MergedStream, QueryResult, ResultEntry, ResultStream, Stats, Value, VectorSample,
    merged_streams,
};
use skald_model::Labels;

use crate::http::reply::Answer;
use crate::json::Json;
use crate::scope::Touched;

/// What a query took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) elapsed: Duration,
    pub(super) queued: Duration,
    pub(super) touched: Touched,
    pub(super) reads: StatsSnapshot,
}

/// The whole answer to a query.
pub(super) fn write(result: QueryResult, cost: Cost, categorize: bool) -> Answer {
    Answer::json(size(&result.value) + 2048, move |json| {
        json.raw(r#"{"status":"success","#);
        if !result.warnings.is_empty() {
            json.key("warnings").strings(&result.warnings).raw(",");
        }
        json.raw(r#""data":{"resultType":"#);
        value(json, &result.value, categorize);
        json.raw(r#","stats":"#);
        stats(json, &result.stats, &cost);
        json.raw("}}");
    })
}

fn size(value: &Value) -> usize {
    let labels = |l: &Labels| 2 * l.as_bytes().len() + 32;
    match value {
        Value::Streams(streams) => {
            let entry =
                |e: &ResultEntry| e.line.len() + labels(&e.structured_metadata) + labels(&e.parsed);
            let entries = |s: &ResultStream| s.entries.iter().map(entry).sum::<usize>();
            streams.iter().map(|s| labels(&s.stream_labels) + entries(s)).sum()
        }
        Value::Matrix(series) => {
            series.iter().map(|s| labels(&s.labels) + 32 * s.points.len()).sum()
        }
        Value::Vector { samples, .. } => samples.iter().map(|s| labels(&s.labels) + 32).sum(),
        Value::Scalar { .. } => 64,
    }
}

/// The type's name and what follows it.
fn value(json: &mut Json, value: &Value, categorize: bool) {
    match value {
        Value::Streams(streams) if categorize => {
            json.raw(r#""streams","encodingFlags":["categorize-labels"],"result":["#);
            list(json, streams, categorized);
        }
        Value::Streams(streams) => {
            json.raw(r#""streams","result":["#);
            list(json, &merged_streams(streams), merged);
        }
        Value::Matrix(series) => {
            json.raw(r#""matrix","result":["#);
            list(json, series, matrix);
        }
        Value::Vector { timestamp_ms, samples } => {
            json.raw(r#""vector","result":["#);
            list(json, samples, |json, s| vector(json, *timestamp_ms, s));
        }
        Value::Scalar { timestamp_ms, value } => {
            // Loki's own quirk: the time of a scalar is in milliseconds.
            json.raw(r#""scalar","result":["#).int(*timestamp_ms).raw(",\"");
            json.plain_value(*value).raw("\"");
        }
    }
    json.raw("]");
}

fn list<T>(json: &mut Json, items: &[T], mut write: impl FnMut(&mut Json, &T)) {
    let mut first = true;
    for item in items {
        json.sep(&mut first);
        write(json, item);
    }
}

pub(super) fn categorized(json: &mut Json, stream: &ResultStream) {
    json.raw(r#"{"stream":"#).labels(&stream.stream_labels).raw(r#","values":["#);
    list(json, &stream.entries, |json, e| {
        line(json, e.timestamp_ns, &e.line);
        json.raw(",{");
        let mut first = true;
        for (key, labels) in [("structuredMetadata", &e.structured_metadata), ("parsed", &e.parsed)]
        {
            if !labels.is_empty() {
                json.sep(&mut first).key(key).labels(labels);
            }
        }
        json.raw("}]");
    });
    json.raw("]}");
}

pub(super) fn merged(json: &mut Json, stream: &MergedStream) {
    json.raw(r#"{"stream":"#).labels(&stream.labels).raw(r#","values":["#);
    list(json, &stream.entries, |json, (timestamp_ns, text)| {
        line(json, *timestamp_ns, text);
        json.raw("]");
    });
    json.raw("]}");
}

/// `["<ns>","<line>"`, without the closing bracket.
fn line(json: &mut Json, timestamp_ns: i64, text: &[u8]) {
    json.raw("[\"").int(timestamp_ns).raw("\",");
    json.html_string(&String::from_utf8_lossy(text));
}

fn matrix(json: &mut Json, series: &MatrixSeries) {
    json.raw(r#"{"metric":"#).labels(&series.labels).raw(r#","values":["#);
    list(json, &series.points, |json, (t, v)| sample(json, *t, *v));
    json.raw("]}");
}

fn vector(json: &mut Json, timestamp_ms: i64, s: &VectorSample) {
    json.raw(r#"{"metric":"#).labels(&s.labels).raw(r#","value":"#);
    sample(json, timestamp_ms, s.value);
    json.raw("}");
}

fn sample(json: &mut Json, timestamp_ms: i64, value: f64) {
    json.raw("[").short_time_ms(timestamp_ms).raw(",\"").plain_value(value).raw("\"]");
}

/// Caches that the peers have and report on; readers expect every key.
const CACHES: [&str; 8] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
];

fn stats(json: &mut Json, s: &Stats, cost: &Cost) {
    let seconds = cost.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let rate = |n: u64| if seconds > 0.0 { (n as f64 / seconds).round() } else { 0.0 };
    json.raw(r#"{"summary":{"bytesProcessedPerSecond":"#).number(rate(s.bytes_processed));
    json.raw(r#","linesProcessedPerSecond":"#).number(rate(s.lines_processed));
    for (key, n) in [
        ("totalBytesProcessed", s.bytes_processed),
        ("totalLinesProcessed", s.lines_processed),
        ("subqueries", 0),
        ("totalEntriesReturned", s.entries_returned),
        ("splits", s.selects),
        ("shards", 0),
        ("totalPostFilterLines", s.post_filter_lines),
        ("totalStructuredMetadataBytesProcessed", s.structured_metadata_bytes_processed),
    ] {
        json.raw(",").key(key).uint(n);
    }
    json.raw(r#","execTime":"#).number(seconds);
    json.raw(r#","queueTime":"#).number(cost.queued.as_secs_f64());
    json.raw(r#"},"querier":{"store":"#);
    store(json, s, cost);
    json.raw(r#"},"ingester":{"totalReached":"#).uint(cost.touched.heads);
    json.raw(r#","totalChunksMatched":0,"totalBatches":0,"totalLinesSent":0,"store":"#);
    store(json, &Stats::default(), &Cost::default());
    json.raw(r#"},"cache":{"#);
    let mut first = true;
    for cache in CACHES {
        json.sep(&mut first).key(cache).raw(
            r#"{"entriesFound":0,"entriesRequested":0,"entriesStored":0,"bytesReceived":0,"bytesSent":0,"requests":0,"downloadTime":0,"queryLengthServed":0}"#,
        );
    }
    json.raw(
        r#"},"index":{"totalChunks":0,"postFilterChunks":0,"shardsDuration":0,"usedBloomFilters":false}}"#,
    );
}

fn store(json: &mut Json, s: &Stats, cost: &Cost) {
    json.raw(r#"{"totalChunksRef":"#).uint(cost.touched.blocks);
    json.raw(r#","totalChunksDownloaded":"#).uint(cost.touched.blocks);
    json.raw(r#","chunksDownloadTime":0,"queryReferencedStructuredMetadata":false,"chunk":{"#);
    json.raw(r#""headChunkBytes":0,"headChunkLines":0,"decompressedBytes":"#)
        .uint(s.bytes_processed);
    json.raw(r#","decompressedLines":"#).uint(s.lines_processed);
    json.raw(r#","compressedBytes":"#).uint(cost.reads.bytes);
    json.raw(r#","totalDuplicates":0,"postFilterLines":"#).uint(s.post_filter_lines);
    json.raw(r#","headChunkStructuredMetadataBytes":0,"decompressedStructuredMetadataBytes":"#);
    json.uint(s.structured_metadata_bytes_processed).raw("}}");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn stream() -> ResultStream {
        ResultStream {
            stream_labels: Labels::from_pairs([("app", "x")]),
            entries: vec![
                ResultEntry {
                    timestamp_ns: 2,
                    line: Bytes::from_static(b"<b> \"q\""),
                    structured_metadata: Labels::from_pairs([("trace", "1")]),
                    parsed: Labels::from_pairs([("level", "info")]),
                },
                ResultEntry {
                    timestamp_ns: 1,
                    line: Bytes::from_static(b"plain"),
                    structured_metadata: Labels::empty(),
                    parsed: Labels::empty(),
                },
            ],
        }
    }

    fn text(v: &Value, categorize: bool) -> String {
        let mut json = Json::default();
        value(&mut json, v, categorize);
        String::from_utf8(json.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn streams_keep_their_labels_apart_or_merge_them() {
        let streams = Value::Streams(vec![stream()]);
        assert_eq!(
            text(&streams, true),
            r#""streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"x"},"values":[["2","\u003cb\u003e \"q\"",{"structuredMetadata":{"trace":"1"},"parsed":{"level":"info"}}],["1","plain",{}]]}]"#
        );
        assert_eq!(
            text(&streams, false),
            r#""streams","result":[{"stream":{"app":"x"},"values":[["1","plain"]]},{"stream":{"app":"x","level":"info","trace":"1"},"values":[["2","\u003cb\u003e \"q\""]]}]"#
        );
    }

    #[test]
    fn samples_have_short_times_and_plain_values() {
        let labels = Labels::from_pairs([("a", "b")]);
        let matrix = Value::Matrix(vec![MatrixSeries {
            labels: labels.clone(),
            points: vec![(1500, 0.5), (2000, f64::NAN)],
        }]);
        assert_eq!(
            text(&matrix, false),
            r#""matrix","result":[{"metric":{"a":"b"},"values":[[1.5,"0.5"],[2,"NaN"]]}]"#
        );
        let samples = vec![VectorSample { labels, value: f64::INFINITY }];
        assert_eq!(
            text(&Value::Vector { timestamp_ms: 4000, samples }, false),
            r#""vector","result":[{"metric":{"a":"b"},"value":[4,"+Inf"]}]"#
        );
        assert_eq!(
            text(&Value::Scalar { timestamp_ms: 4000, value: 2.0 }, false),
            r#""scalar","result":[4000,"2"]"#
        );
        assert_eq!(text(&Value::Streams(Vec::new()), false), r#""streams","result":[]"#);
    }

    #[test]
    fn stats_have_every_key_that_readers_expect() {
        let mut json = Json::default();
        let s = Stats { bytes_processed: 10, lines_processed: 2, ..Stats::default() };
        let cost = Cost { elapsed: Duration::from_secs(2), ..Cost::default() };
        stats(&mut json, &s, &cost);
        let v: serde_json::Value = serde_json::from_slice(&json.into_vec()).unwrap();
        assert_eq!(v["summary"]["bytesProcessedPerSecond"], 5);
        assert_eq!(v["summary"]["totalLinesProcessed"], 2);
        for key in
            ["execTime", "queueTime", "subqueries", "totalEntriesReturned", "splits", "shards"]
        {
            assert!(v["summary"][key].is_number(), "{key}");
        }
        for side in ["querier", "ingester"] {
            assert!(v[side]["store"]["chunk"]["decompressedBytes"].is_number());
        }
        for cache in CACHES {
            assert_eq!(v["cache"][cache]["requests"], 0);
        }
    }
}
