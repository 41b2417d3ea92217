//! Results in Loki's JSON: envelope, streams in both encodings and samples, written piece by piece.

mod pieces;
mod stats;

use skald_logql::{
    MatrixSeries, MergedStream, QueryResult, ResultEntry, ResultStream, Value, VectorSample,
    merged_streams,
};
use skald_model::Labels;

use self::pieces::{Group, Groups};
pub(super) use self::stats::Cost;
use crate::http::reply::Answer;
use crate::json::Json;

/// How an answer is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// Stream labels, structured metadata and parsed labels apart.
    pub(super) categorize: bool,
    /// Where the next page begins; only for those who page.
    pub(super) next_cursor: Option<String>,
}

/// The whole answer to a query.
pub(super) fn write(result: QueryResult, cost: Cost, form: Form) -> Answer {
    let QueryResult { value, stats, warnings } = result;
    let (size, mut data) = (size(&value) + 2048, data(value, form.categorize));
    let mut begun = false;
    Answer::json_pieces(size, move |json| {
        if !std::mem::replace(&mut begun, true) {
            json.raw(r#"{"status":"success","#);
            if !warnings.is_empty() {
                json.key("warnings").strings(&warnings).raw(",");
            }
            json.raw(r#""data":{"resultType":"#);
        }
        if data(json) {
            return true;
        }
        if let Some(cursor) = &form.next_cursor {
            json.raw(r#","nextCursor":"#).string(cursor);
        }
        json.raw(r#","stats":"#);
        stats::write(json, &stats, &cost);
        json.raw("}}");
        false
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

/// Writes the type's name and what follows it, piece by piece.
fn data(value: Value, categorize: bool) -> Box<dyn FnMut(&mut Json) -> bool + Send> {
    match value {
        Value::Streams(streams) if categorize => {
            let head = r#""streams","encodingFlags":["categorize-labels"],"result":["#;
            let group = |s: ResultStream| Group { labels: s.stream_labels, items: s.entries };
            Groups::new(head, "stream", streams.into_iter().map(group), entry).boxed()
        }
        Value::Streams(streams) => {
            let group = |s: MergedStream| Group { labels: s.labels, items: s.entries };
            let merged = merged_streams(&streams);
            drop(streams);
            let line = |json: &mut Json, (t, text): &(i64, bytes::Bytes)| {
                line(json, *t, text);
                json.raw("]");
            };
            let head = r#""streams","result":["#;
            Groups::new(head, "stream", merged.into_iter().map(group), line).boxed()
        }
        Value::Matrix(series) => {
            let group = |s: MatrixSeries| Group { labels: s.labels, items: s.points };
            let point = |json: &mut Json, (t, v): &(i64, f64)| sample(json, *t, *v);
            let head = r#""matrix","result":["#;
            Groups::new(head, "metric", series.into_iter().map(group), point).boxed()
        }
        Value::Vector { timestamp_ms, samples } => {
            let one = move |json: &mut Json, s: &VectorSample| vector(json, timestamp_ms, s);
            pieces::list(r#""vector","result":["#, samples, one)
        }
        Value::Scalar { timestamp_ms, value } => Box::new(move |json| {
            // Loki's own quirk: the time of a scalar is in milliseconds.
            json.raw(r#""scalar","result":["#).int(timestamp_ms).raw(",\"");
            json.plain_value(value).raw("\"]");
            false
        }),
    }
}

fn list<T>(json: &mut Json, items: &[T], mut write: impl FnMut(&mut Json, &T)) {
    let mut first = true;
    for item in items {
        write(json.sep(&mut first), item);
    }
}

/// A stream in one piece, for frames of a tail.
pub(super) fn categorized(json: &mut Json, stream: &ResultStream) {
    json.raw(r#"{"stream":"#).labels(&stream.stream_labels).raw(r#","values":["#);
    list(json, &stream.entries, entry);
    json.raw("]}");
}

/// As [`categorized`], with all labels in one set.
pub(super) fn merged(json: &mut Json, stream: &MergedStream) {
    json.raw(r#"{"stream":"#).labels(&stream.labels).raw(r#","values":["#);
    list(json, &stream.entries, |json, (timestamp_ns, text)| {
        line(json, *timestamp_ns, text);
        json.raw("]");
    });
    json.raw("]}");
}

/// A line with what is known of its labels by category.
fn entry(json: &mut Json, e: &ResultEntry) {
    line(json, e.timestamp_ns, &e.line);
    json.raw(",{");
    let mut first = true;
    for (key, labels) in [("structuredMetadata", &e.structured_metadata), ("parsed", &e.parsed)] {
        if !labels.is_empty() {
            json.sep(&mut first).key(key).labels(labels);
        }
    }
    json.raw("}]");
}

/// `["<ns>","<line>"`, without the closing bracket.
fn line(json: &mut Json, timestamp_ns: i64, text: &[u8]) {
    json.raw("[\"").int(timestamp_ns).raw("\",");
    json.html_string(&String::from_utf8_lossy(text));
}

pub(super) fn vector(json: &mut Json, timestamp_ms: i64, s: &VectorSample) {
    json.raw(r#"{"metric":"#).labels(&s.labels).raw(r#","value":"#);
    sample(json, timestamp_ms, s.value);
    json.raw("}");
}

fn sample(json: &mut Json, timestamp_ms: i64, value: f64) {
    json.raw("[").short_time_ms(timestamp_ms).raw(",\"").plain_value(value).raw("\"]");
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

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
        let mut data = data(v.clone(), categorize);
        while data(&mut json) {}
        String::from_utf8(json.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn streams_keep_their_labels_apart_or_merge_them() {
        let streams = Value::Streams(vec![stream()]);
        assert_eq!(
            text(&streams, true),
            r#""streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"x"},"values":[["2","\u003cb\u003e \"q\"",{"structuredMetadata":{"trace":"1"},"parsed":{"level":"info"}}],["1","plain",{}]]}]"#
        );
        // In the order of the labels as text, as Loki has it.
        assert_eq!(
            text(&streams, false),
            r#""streams","result":[{"stream":{"app":"x","level":"info","trace":"1"},"values":[["2","\u003cb\u003e \"q\""]]},{"stream":{"app":"x"},"values":[["1","plain"]]}]"#
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
}
