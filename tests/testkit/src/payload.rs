//! Bodies as clients send them.

pub mod exact;

use bytes::Bytes;
use prost::Message;
use serde_json::json;
use skald_proto::public::{loki, prometheus, prometheus_v2};

/// Headers of a remote write 1.0 request.
pub const REMOTE_WRITE_V1: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// Headers of a remote write 2.0 request.
pub const REMOTE_WRITE_V2: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "2.0.0"),
];

/// Label pairs in any order.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// One series: labels and (ms, value) pairs.
pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> prometheus::TimeSeries {
    prometheus::TimeSeries {
        labels: sorted(labels),
        samples: samples
            .iter()
            .map(|(timestamp, value)| prometheus::Sample { value: *value, timestamp: *timestamp })
            .collect(),
        ..Default::default()
    }
}

fn sorted(labels: &[(&str, &str)]) -> Vec<prometheus::Label> {
    let mut labels: Vec<_> = labels.to_vec();
    labels.sort_unstable();
    let label =
        |(n, v): (&str, &str)| prometheus::Label { name: n.to_owned(), value: v.to_owned() };
    labels.into_iter().map(label).collect()
}

/// A snappy remote write 1.0 body.
pub fn write_v1(timeseries: Vec<prometheus::TimeSeries>) -> Bytes {
    snappy(&prometheus::WriteRequest { timeseries, metadata: Vec::new() })
}

/// A snappy remote write 2.0 body with one float per series.
pub fn write_v2(series: &[(Pairs<'_>, i64, f64)]) -> Bytes {
    let mut request =
        prometheus_v2::Request { symbols: vec![String::new()], timeseries: Vec::new() };
    for (labels, timestamp, value) in series {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let mut refs = Vec::new();
        for text in labels.into_iter().flat_map(|(n, v)| [n, v]) {
            refs.push(u32::try_from(request.symbols.len()).expect("few symbols"));
            request.symbols.push(text.to_owned());
        }
        let sample =
            prometheus_v2::Sample { value: *value, timestamp: *timestamp, start_timestamp: 0 };
        request.timeseries.push(prometheus_v2::TimeSeries {
            labels_refs: refs,
            samples: vec![sample],
            ..Default::default()
        });
    }
    snappy(&request)
}

/// A snappy remote write 2.0 body of one counter: (ms, value, start in ms).
pub fn write_v2_started(labels: Pairs<'_>, samples: &[(i64, f64, i64)]) -> Bytes {
    let sample = |&(timestamp, value, start_timestamp): &(i64, f64, i64)| prometheus_v2::Sample {
        value,
        timestamp,
        start_timestamp,
    };
    let samples = samples.iter().map(sample).collect();
    one_v2(labels, prometheus_v2::TimeSeries { samples, ..Default::default() })
}

/// A snappy remote write 2.0 body of one native histogram with a single bucket: (ms, count, start in ms).
pub fn write_v2_started_histograms(labels: Pairs<'_>, samples: &[(i64, u32, i64)]) -> Bytes {
    use prometheus_v2::histogram::Count;
    let histogram =
        |&(timestamp, count, start_timestamp): &(i64, u32, i64)| prometheus_v2::Histogram {
            timestamp,
            start_timestamp,
            count: Some(Count::CountInt(count.into())),
            sum: count.into(),
            positive_spans: vec![prometheus_v2::BucketSpan { offset: 0, length: 1 }],
            positive_deltas: vec![count.into()],
            ..Default::default()
        };
    let histograms = samples.iter().map(histogram).collect();
    one_v2(labels, prometheus_v2::TimeSeries { histograms, ..Default::default() })
}

fn one_v2(labels: Pairs<'_>, series: prometheus_v2::TimeSeries) -> Bytes {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    let texts = labels.into_iter().flat_map(|(n, v)| [n.to_owned(), v.to_owned()]);
    let symbols: Vec<String> = std::iter::once(String::new()).chain(texts).collect();
    let labels_refs = (1..).take(symbols.len() - 1).collect();
    let timeseries = vec![prometheus_v2::TimeSeries { labels_refs, ..series }];
    snappy(&prometheus_v2::Request { symbols, timeseries })
}

/// Labels of a stream and its (ns, line) pairs.
pub type StreamOf<'a> = (Pairs<'a>, &'a [(i64, &'a str)]);

/// A JSON push body: streams of (ns, line).
pub fn loki_json(streams: &[StreamOf<'_>]) -> Bytes {
    let stream = |(labels, entries): &StreamOf<'_>| {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        let values: Vec<_> =
            entries.iter().map(|(ts, line)| json!([ts.to_string(), line])).collect();
        json!({ "stream": labels, "values": values })
    };
    let streams: Vec<_> = streams.iter().map(stream).collect();
    json!({ "streams": streams }).to_string().into()
}

/// A snappy protobuf push body with one stream.
pub fn loki_proto(labels: &str, entries: &[(i64, &str)]) -> Bytes {
    let entry = |(ns, line): &(i64, &str)| loki::EntryAdapter {
        timestamp: Some(loki::Timestamp {
            seconds: ns.div_euclid(1_000_000_000),
            nanos: i32::try_from(ns.rem_euclid(1_000_000_000)).expect("below 1e9"),
        }),
        line: (*line).to_owned(),
        structured_metadata: Vec::new(),
    };
    let stream = loki::StreamAdapter {
        labels: labels.to_owned(),
        entries: entries.iter().map(entry).collect(),
        hash: 0,
    };
    snappy(&loki::PushRequest { streams: vec![stream] })
}

/// Encodes a message.
pub fn proto(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Encodes and compresses a message.
pub fn snappy(message: &impl Message) -> Bytes {
    let compressed = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec());
    compressed.expect("snappy").into()
}
