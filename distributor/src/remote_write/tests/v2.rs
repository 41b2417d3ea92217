use prost::Message;
use skald_limits::Limits;
use skald_proto::public::prometheus_v2 as pb;

use crate::testing::{Answer, Cluster, Mode, NOW_MS, snappy};
use skald_model::ErrorKind;

const V2: (&str, &str) =
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
const UP_TEXT: &str = r#"{__name__="up", job="x"}"#;

fn symbols() -> Vec<String> {
    [
        "",
        "__name__",
        "up",
        "job",
        "x",
        "help text",
        "seconds",
        "trace_id",
        "abc",
        "req_count",
        "big",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn sample(ts: i64) -> pb::Sample {
    pb::Sample { value: 1.0, timestamp: ts, start_timestamp: NOW_MS - 5 }
}

fn up(samples: Vec<pb::Sample>) -> pb::TimeSeries {
    pb::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples,
        created_timestamp: NOW_MS - 9,
        ..pb::TimeSeries::default()
    }
}

fn histogram() -> pb::Histogram {
    pb::Histogram {
        count: Some(pb::histogram::Count::CountInt(1)),
        positive_spans: vec![pb::BucketSpan { offset: 0, length: 1 }],
        positive_deltas: vec![1],
        timestamp: NOW_MS,
        start_timestamp: 7,
        ..pb::Histogram::default()
    }
}

async fn push(cluster: &Cluster, timeseries: Vec<pb::TimeSeries>) -> Answer {
    let body = pb::Request { symbols: symbols(), timeseries }.encode_to_vec();
    cluster.post("/api/v1/write", &[V2, ("content-encoding", "snappy")], snappy(&body)).await
}

#[tokio::test]
async fn success_says_what_was_written() {
    let cluster = Cluster::one(Limits::default());
    let exemplar = pb::Exemplar { labels_refs: vec![7, 8], value: 3.0, timestamp: NOW_MS };
    let mut floats = up(vec![sample(NOW_MS), sample(NOW_MS + 1)]);
    floats.exemplars = vec![exemplar];
    let histograms = pb::TimeSeries {
        labels_refs: vec![1, 9, 3, 4],
        histograms: vec![histogram()],
        ..pb::TimeSeries::default()
    };
    let answer = push(&cluster, vec![floats, histograms]).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(answer.written(), "2/1/1");
    let data = cluster.data();
    assert_eq!(data.floats[UP_TEXT], [(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]);
    assert_eq!(data.exemplars[UP_TEXT][0].labels.get("trace_id"), Some("abc"));
    assert_eq!(data.histograms[r#"{__name__="req_count", job="x"}"#].len(), 1);
}

#[tokio::test]
async fn start_timestamps_go_along_with_the_samples_that_are_taken() {
    let cluster = Cluster::one(Limits::default());
    let at = |timestamp, start_timestamp| pb::Sample { value: 1.0, timestamp, start_timestamp };
    let far = NOW_MS + 100 * 86_400_000;
    let samples = vec![at(NOW_MS, 0), at(far, 2), at(NOW_MS + 1, 3), at(NOW_MS + 2, 0)];
    let histograms = pb::TimeSeries {
        labels_refs: vec![1, 9, 3, 4],
        histograms: vec![histogram()],
        ..pb::TimeSeries::default()
    };
    assert_eq!(push(&cluster, vec![up(samples), histograms]).await.status, 400);
    let data = cluster.data();
    assert_eq!(data.floats[UP_TEXT].len(), 3);
    assert_eq!(data.starts[UP_TEXT], [0, 3, 0]);
    assert_eq!(data.starts[r#"{__name__="req_count", job="x"}"#], [7]);
}

#[tokio::test]
async fn both_versions_mean_the_same_series() {
    use skald_proto::public::prometheus as v1;
    let cluster = Cluster::one(Limits::default());
    assert_eq!(push(&cluster, vec![up(vec![sample(NOW_MS)])]).await.status, 204);
    let label = |n: &str, v: &str| v1::Label { name: n.into(), value: v.into() };
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "up"), label("job", "x")],
        samples: vec![v1::Sample { value: 2.0, timestamp: NOW_MS + 1 }],
        ..v1::TimeSeries::default()
    };
    let body = v1::WriteRequest { timeseries: vec![series], metadata: vec![] }.encode_to_vec();
    assert_eq!(cluster.post("/api/v1/push", &[], snappy(&body)).await.status, 204);
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 2);
}

#[tokio::test]
async fn labels_are_sent_once_and_again_when_asked_for() {
    let cluster = Cluster::one(Limits::default());
    for ts in 0..3 {
        assert_eq!(push(&cluster, vec![up(vec![sample(NOW_MS + ts)])]).await.status, 204);
    }
    assert_eq!(cluster.data().n_items_with_labels, 1);
    cluster.ingesters[0].forget();
    let answer = push(&cluster, vec![up(vec![sample(NOW_MS + 9)])]).await;
    assert_eq!((answer.status.as_u16(), answer.written().as_str()), (204, "1/0/0"));
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 4);
}

/// The key is of the symbols' text, not of their numbers.
#[tokio::test]
async fn other_symbols_with_the_same_numbers_are_another_series() {
    let cluster = Cluster::one(Limits::default());
    for name in ["up", "down", "up"] {
        let mut symbols = symbols();
        symbols[2] = name.to_owned();
        let body = pb::Request { symbols, timeseries: vec![up(vec![sample(NOW_MS)])] };
        let answer = cluster.post("/api/v1/push", &[V2], snappy(&body.encode_to_vec())).await;
        assert_eq!(answer.status, 204);
    }
    assert_eq!(cluster.data().floats.len(), 2);
}

#[tokio::test]
async fn a_partial_write_says_what_was_written() {
    let cluster = Cluster::one(Limits::default());
    let with_refs = |labels_refs: Vec<u32>| pb::TimeSeries {
        labels_refs,
        samples: vec![sample(NOW_MS)],
        ..pb::TimeSeries::default()
    };
    let mixed = pb::TimeSeries { histograms: vec![histogram()], ..up(vec![sample(NOW_MS)]) };
    let cases = [
        (with_refs(vec![1, 2, 3]), "err-skald-label-invalid", "odd number"),
        (with_refs(vec![1, 99]), "err-skald-label-invalid", "beyond the symbols"),
        (with_refs(vec![3, 4]), "err-skald-missing-metric-name", "__name__"),
        (with_refs(vec![1, 2, 3, 4, 3, 8]), "err-skald-duplicate-label-names", "job"),
        (with_refs(vec![1, 2, 0, 4]), "err-skald-label-invalid", "empty"),
        (with_refs(vec![]), "err-skald-missing-metric-name", "__name__"),
        (up(vec![]), "err-skald-series-without-samples", "needs samples"),
        (mixed, "err-skald-series-mixes-floats-and-histograms", "in one series"),
        (up(vec![sample(i64::MAX)]), "err-skald-too-far-in-future", "creation_grace_period"),
    ];
    for (bad, id, text) in cases {
        let answer = push(&cluster, vec![bad, up(vec![sample(NOW_MS)])]).await;
        assert_eq!(answer.status, 400, "{id}");
        assert!(answer.text.starts_with(id) && answer.text.contains(text), "{}", answer.text);
        assert_eq!(answer.written(), "1/0/0", "{id}");
    }
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 9);
}

#[tokio::test]
async fn the_first_symbol_must_be_empty() {
    let cluster = Cluster::one(Limits::default());
    for symbols in [vec!["x".to_owned()], vec![]] {
        let body = pb::Request { symbols, timeseries: vec![up(vec![sample(NOW_MS)])] };
        let answer = cluster.post("/api/v1/push", &[V2], snappy(&body.encode_to_vec())).await;
        assert_eq!((answer.status.as_u16(), answer.written().as_str()), (400, "0/0/0"));
        assert!(answer.text.contains("first symbol"), "{}", answer.text);
    }
}

#[tokio::test]
async fn written_headers_are_there_on_every_answer() {
    let cluster = Cluster::one(Limits::default());
    let answer = push(&cluster, vec![]).await;
    assert_eq!((answer.status.as_u16(), answer.written().as_str()), (204, "0/0/0"));
    let answer = cluster.post("/api/v1/push", &[V2], b"no snappy".to_vec()).await;
    assert_eq!((answer.status.as_u16(), answer.written().as_str()), (400, "0/0/0"));
    let answer = cluster.post("/api/v1/push", &[V2, ("content-encoding", "gzip")], vec![]).await;
    assert_eq!((answer.status.as_u16(), answer.written().as_str()), (415, "0/0/0"));
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let answer = push(&cluster, vec![up(vec![sample(NOW_MS)])]).await;
    assert_eq!((answer.status.as_u16(), answer.written().as_str()), (503, "0/0/0"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn metadata_is_sent_when_new_or_changed() {
    let cluster = Cluster::one(Limits::default());
    let with = |help_ref, kind: i32| pb::TimeSeries {
        metadata: Some(pb::Metadata { r#type: kind, help_ref, unit_ref: 6 }),
        ..up(vec![sample(NOW_MS)])
    };
    let counter = pb::metadata::MetricType::Counter.into();
    for help in [5, 5, 10, 10] {
        assert_eq!(push(&cluster, vec![with(help, counter)]).await.status, 204);
    }
    let stored = cluster.data().metadata.clone();
    let helps: Vec<_> = stored.iter().map(|m| m.help.as_str()).collect();
    assert_eq!(helps, ["help text", "big"]);
    let first = &stored[0];
    let fields = (first.name.as_str(), first.kind.as_str(), first.unit.as_str());
    assert_eq!(fields, ("up", "counter", "seconds"));
    let far = push(&cluster, vec![with(4_000_000_000, counter)]).await;
    assert_eq!(far.status, 204, "a reference that leads nowhere costs only the text");
}

#[tokio::test]
async fn unpacked_references_and_late_symbols_are_read() {
    let cluster = Cluster::one(Limits::default());
    let sample = sample(NOW_MS).encode_to_vec();
    let mut series = vec![8, 1, 8, 2, 0x0a, 2, 3, 4, 0x12, u8::try_from(sample.len()).unwrap()];
    series.extend(&sample);
    let mut message = vec![0x2a, u8::try_from(series.len()).unwrap()];
    message.extend(series);
    for symbol in symbols() {
        message.extend([0x22, u8::try_from(symbol.len()).unwrap()]);
        message.extend(symbol.bytes());
    }
    for _ in 0..2 {
        cluster.ingesters[0].forget();
        let answer = cluster.post("/api/v1/push", &[V2], snappy(&message)).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 2);
}
