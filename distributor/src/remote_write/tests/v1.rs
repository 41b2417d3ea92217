use prost::Message;
use skald_limits::Limits;
use skald_model::{BucketCounts, Labels, ResetHint, stale_nan};
use skald_proto::public::prometheus as pb;

use crate::testing::{Answer, Cluster, NOW_MS, snappy};

fn label(name: &str, value: &str) -> pb::Label {
    pb::Label { name: name.into(), value: value.into() }
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> pb::TimeSeries {
    pb::TimeSeries {
        labels: labels.iter().map(|(n, v)| label(n, v)).collect(),
        samples: samples.iter().map(|(t, v)| pb::Sample { value: *v, timestamp: *t }).collect(),
        ..pb::TimeSeries::default()
    }
}

fn request(timeseries: Vec<pb::TimeSeries>) -> Vec<u8> {
    snappy(&pb::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec())
}

async fn push(cluster: &Cluster, timeseries: Vec<pb::TimeSeries>) -> Answer {
    cluster.post("/api/v1/push", &[], request(timeseries)).await
}

const UP: [(&str, &str); 2] = [("__name__", "up"), ("job", "x")];
const UP_TEXT: &str = r#"{__name__="up", job="x"}"#;

#[tokio::test]
async fn samples_arrive_bit_exact() {
    let cluster = Cluster::one(Limits::default());
    let odd = f64::from_bits(0x7ff8_0000_0000_0001);
    let samples = [(NOW_MS, 1.5), (NOW_MS + 1, stale_nan()), (NOW_MS - 1, odd), (0, 0.0)];
    let answer = push(&cluster, vec![series(&UP, &samples)]).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(answer.text, "");
    assert_eq!(answer.written(), "-/-/-", "version 1 has no written headers");
    let bits = |v: &[(i64, f64)]| v.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(&cluster.data().floats[UP_TEXT]), bits(&samples));
}

#[tokio::test]
async fn all_paths_take_remote_write() {
    let cluster = Cluster::one(Limits::default());
    for path in ["/api/v1/push", "/api/v1/write", "/api/prom/push"] {
        let body = request(vec![series(&UP, &[(NOW_MS, 1.0)])]);
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
        assert_eq!(cluster.post(path, &headers, body).await.status, 204);
    }
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 3);
}

#[tokio::test]
async fn labels_are_sent_once_and_again_when_asked_for() {
    let cluster = Cluster::one(Limits::default());
    for ts in 0..3 {
        assert_eq!(push(&cluster, vec![series(&UP, &[(NOW_MS + ts, 1.0)])]).await.status, 204);
    }
    assert_eq!(cluster.data().n_items_with_labels, 1);
    cluster.ingesters[0].forget();
    assert_eq!(push(&cluster, vec![series(&UP, &[(NOW_MS + 9, 1.0)])]).await.status, 204);
    assert_eq!(cluster.data().n_items_with_labels, 2);
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 4);
    assert!(cluster.metrics().contains("skald_distributor_label_resends_total 1"));
}

#[tokio::test]
async fn tenants_do_not_share_what_is_known() {
    let cluster = Cluster::one(Limits::default());
    let body = request(vec![series(&UP, &[(NOW_MS, 1.0)])]);
    for tenant in ["a", "b", "a"] {
        let answer = cluster.post_as(tenant, "/api/v1/push", &[], body.clone()).await;
        assert_eq!(answer.status, 204);
    }
    assert_eq!(cluster.data().n_items_with_labels, 2);
}

#[tokio::test]
async fn unsorted_labels_are_sorted_and_empty_values_dropped() {
    let cluster = Cluster::one(Limits::default());
    let labels = [("job", "x"), ("gone", ""), ("__name__", "up")];
    assert_eq!(push(&cluster, vec![series(&labels, &[(NOW_MS, 1.0)])]).await.status, 204);
    assert_eq!(cluster.data().floats.keys().collect::<Vec<_>>(), [UP_TEXT]);
}

#[tokio::test]
async fn utf8_names_are_taken() {
    let cluster = Cluster::one(Limits::default());
    let labels = [("__name__", "http.requests"), ("größe", "ü")];
    assert_eq!(push(&cluster, vec![series(&labels, &[(NOW_MS, 1.0)])]).await.status, 204);
}

/// Each line: what is wrong, and the id of the answer.
#[tokio::test]
async fn invalid_series_are_refused_beside_valid_ones() {
    let limits = Limits {
        max_label_names_per_series: 3,
        max_label_name_length: 20,
        max_label_value_length: 10,
        ..Limits::default()
    };
    let long_name = "n".repeat(21);
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (&[("job", "x")], "err-skald-missing-metric-name", "__name__"),
        (
            &[("__name__", "up"), (&long_name, "x")],
            "err-skald-label-name-too-long",
            "21 bytes exceeds the limit of 20 (setting max_label_name_length)",
        ),
        (
            &[("__name__", "up"), ("a", "01234567890")],
            "err-skald-label-value-too-long",
            "11 bytes exceeds the limit of 10 (setting max_label_value_length)",
        ),
        (
            &[("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")],
            "err-skald-max-label-names-per-series",
            "4 labels exceed the limit of 3 (setting max_label_names_per_series)",
        ),
        (
            &[("__name__", "up"), ("a", "1"), ("a", "2")],
            "err-skald-duplicate-label-names",
            "\"a\" appears twice",
        ),
        (&[("__name__", "up"), ("", "1")], "err-skald-label-invalid", "empty"),
        (&[], "err-skald-missing-metric-name", "__name__"),
    ];
    for (labels, id, text) in cases {
        let cluster = Cluster::one(limits.clone());
        let bad = series(labels, &[(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]);
        for _ in 0..2 {
            let answer = push(&cluster, vec![bad.clone(), series(&UP, &[(NOW_MS, 1.0)])]).await;
            assert_eq!(answer.status, 400, "{id}");
            assert!(answer.text.starts_with(id), "{}", answer.text);
            assert!(
                answer.text.contains(text) && answer.text.contains("2 of 3 samples refused"),
                "{}",
                answer.text
            );
            assert!(answer.text.contains("tenant t"), "{}", answer.text);
        }
        assert_eq!(cluster.data().floats.len(), 1);
        assert_eq!(cluster.data().floats[UP_TEXT].len(), 2, "{id}: the valid series is stored");
        let reason = id.trim_start_matches("err-skald-").replace('-', "_");
        let metric = format!("skald_discarded_samples_total{{reason=\"{reason}\",tenant=\"t\"}} 4");
        assert!(cluster.metrics().contains(&metric), "{}", cluster.metrics());
    }
}

#[tokio::test]
async fn invalid_utf8_is_refused() {
    let cluster = Cluster::one(Limits::default());
    let mut message =
        pb::WriteRequest { timeseries: vec![series(&UP, &[(NOW_MS, 1.0)])], metadata: vec![] }
            .encode_to_vec();
    let at = message.windows(2).position(|w| w == b"up").unwrap();
    message[at] = 0xff;
    let answer = cluster.post("/api/v1/push", &[], snappy(&message)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.starts_with("err-skald-label-invalid"), "{}", answer.text);
}

#[tokio::test]
async fn samples_out_of_time_are_refused_one_by_one() {
    let limits = Limits { reject_old_samples: true, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let minute = 60_000;
    let week = 7 * 24 * 60 * minute;
    let samples = [
        (NOW_MS + 10 * minute, 1.0),
        (NOW_MS + 10 * minute + 1, 2.0),
        (NOW_MS - week, 3.0),
        (NOW_MS - week - 1, 4.0),
        (i64::MAX, 5.0),
        (i64::MIN, 6.0),
    ];
    for _ in 0..2 {
        // The second time the series is known and its name is read for the message all the same.
        let answer = push(&cluster, vec![series(&UP, &samples)]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains("err-skald-too-far-in-future: 2 of 6"), "{}", answer.text);
        assert!(answer.text.contains("err-skald-too-far-in-past: 2 of 6"), "{}", answer.text);
        assert!(answer.text.contains("__name__=\"up\""), "{}", answer.text);
        assert!(
            answer.text.contains("limit of 10m (setting creation_grace_period)"),
            "{}",
            answer.text
        );
    }
    assert_eq!(cluster.data().floats[UP_TEXT][..2], [samples[0], samples[2]]);
}

#[tokio::test]
async fn series_without_samples_are_ignored() {
    let cluster = Cluster::one(Limits::default());
    assert_eq!(push(&cluster, vec![series(&UP, &[])]).await.status, 204);
    assert_eq!(push(&cluster, vec![]).await.status, 204);
    assert_eq!(cluster.data().n_pushes, 0);
}

#[tokio::test]
async fn exemplars_and_metadata_are_kept() {
    let cluster = Cluster::one(Limits::default());
    let exemplar = |value: &str| pb::Exemplar {
        labels: vec![label("trace_id", value)],
        value: 2.5,
        timestamp: NOW_MS,
    };
    let mut with = series(&UP, &[(NOW_MS, 1.0)]);
    with.exemplars = vec![exemplar("abc"), exemplar(&"x".repeat(121))];
    let metadata = pb::MetricMetadata {
        r#type: pb::metric_metadata::MetricType::Counter.into(),
        metric_family_name: "up".into(),
        help: "Whether it is up".into(),
        unit: "bool".into(),
    };
    let nameless = pb::MetricMetadata::default();
    let body = pb::WriteRequest { timeseries: vec![with], metadata: vec![metadata, nameless] };
    let answer = cluster.post("/api/v1/push", &[], snappy(&body.encode_to_vec())).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("err-skald-exemplar-labels-too-long"), "{}", answer.text);
    assert!(answer.text.contains("129 characters exceed the limit of 128"), "{}", answer.text);
    assert!(answer.text.contains("err-skald-metadata-missing-metric-name"), "{}", answer.text);
    let data = cluster.data();
    assert_eq!(data.exemplars[UP_TEXT].len(), 1);
    assert_eq!(data.exemplars[UP_TEXT][0].labels, Labels::from_pairs([("trace_id", "abc")]));
    assert_eq!(
        (data.metadata[0].kind.as_str(), data.metadata[0].unit.as_str()),
        ("counter", "bool")
    );
}

#[tokio::test]
async fn metadata_alone_is_a_push() {
    let cluster = Cluster::new(4, 1, Limits::default(), crate::Config::default());
    let metadata = |n: u32| pb::MetricMetadata {
        metric_family_name: format!("m{n}"),
        r#type: 99,
        ..pb::MetricMetadata::default()
    };
    let body = pb::WriteRequest { timeseries: vec![], metadata: (0..50).map(metadata).collect() };
    let answer = cluster.post("/api/v1/push", &[], snappy(&body.encode_to_vec())).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let all: Vec<_> =
        cluster.ingesters.iter().flat_map(|i| i.data.lock().metadata.clone()).collect();
    assert_eq!(all.len(), 50, "each name has one home");
    assert!(all.iter().all(|m| m.kind == "unknown"));
}

fn span(offset: i32, length: u32) -> pb::BucketSpan {
    pb::BucketSpan { offset, length }
}

fn integer() -> pb::Histogram {
    pb::Histogram {
        count: Some(pb::histogram::Count::CountInt(12)),
        sum: 18.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(pb::histogram::ZeroCount::ZeroCountInt(2)),
        negative_spans: vec![span(-2, 1)],
        negative_deltas: vec![3],
        positive_spans: vec![span(0, 2), span(1, 1)],
        positive_deltas: vec![1, 2, -0],
        reset_hint: pb::histogram::ResetHint::Gauge.into(),
        timestamp: NOW_MS,
        ..pb::Histogram::default()
    }
}

fn float() -> pb::Histogram {
    pb::Histogram {
        count: Some(pb::histogram::Count::CountFloat(1.5)),
        zero_count: Some(pb::histogram::ZeroCount::ZeroCountFloat(0.25)),
        negative_deltas: vec![],
        negative_counts: vec![0.5],
        positive_deltas: vec![],
        positive_counts: vec![0.25, 0.5, 0.0],
        ..integer()
    }
}

fn custom() -> pb::Histogram {
    pb::Histogram {
        count: Some(pb::histogram::Count::CountInt(3)),
        sum: 4.0,
        schema: -53,
        positive_spans: vec![span(0, 1), span(1, 1)],
        positive_deltas: vec![1, 1],
        custom_values: vec![0.5, 1.0],
        timestamp: NOW_MS,
        ..pb::Histogram::default()
    }
}

async fn push_histograms(cluster: &Cluster, histograms: Vec<pb::Histogram>) -> Answer {
    push(cluster, vec![pb::TimeSeries { histograms, ..series(&UP, &[]) }]).await
}

#[tokio::test]
async fn histograms_of_all_kinds_are_kept_losslessly() {
    let cluster = Cluster::one(Limits::default());
    let stale = pb::Histogram { sum: stale_nan(), timestamp: NOW_MS, ..pb::Histogram::default() };
    let all = vec![integer(), float(), custom(), stale];
    let answer = push_histograms(&cluster, all).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let data = cluster.data();
    let stored = &data.histograms[UP_TEXT];
    let h = &stored[0].1;
    assert_eq!((stored[0].0, h.schema, h.reset_hint), (NOW_MS, 1, ResetHint::Gauge));
    assert_eq!((h.negative_spans[0].offset, h.positive_spans.len()), (-2, 2));
    let want = BucketCounts::Integer {
        count: 12,
        zero_count: 2,
        positive: vec![1, 2, 0],
        negative: vec![3],
    };
    assert_eq!(h.counts, want);
    let want = BucketCounts::Float {
        count: 1.5,
        zero_count: 0.25,
        positive: vec![0.25, 0.5, 0.0],
        negative: vec![0.5],
    };
    assert_eq!(stored[1].1.counts, want);
    assert_eq!((stored[2].1.schema, stored[2].1.custom_values.clone()), (-53, vec![0.5, 1.0]));
    assert!(stored[3].1.is_stale());
}

async fn each_is_refused(cases: impl IntoIterator<Item = (pb::Histogram, &str)>) {
    for (histogram, id) in cases {
        let cluster = Cluster::one(Limits::default());
        let answer = push_histograms(&cluster, vec![histogram, integer()]).await;
        assert_eq!(answer.status, 400, "{id}");
        let text = format!("err-skald-{id}: 1 of 2");
        assert!(answer.text.starts_with(&text), "{id}: {}", answer.text);
        assert_eq!(cluster.data().histograms[UP_TEXT].len(), 1, "{id}");
    }
}

#[tokio::test]
async fn impossible_exponential_histograms_are_refused() {
    let int = |n| Some(pb::histogram::Count::CountInt(n));
    each_is_refused([
        (pb::Histogram { schema: 9, ..integer() }, "invalid-native-histogram-schema"),
        (pb::Histogram { schema: -5, ..integer() }, "invalid-native-histogram-schema"),
        (pb::Histogram { schema: i32::MIN, ..integer() }, "invalid-native-histogram-schema"),
        (pb::Histogram { count: int(11), ..integer() }, "native-histogram-count-mismatch"),
        (
            pb::Histogram { count: int(11), sum: f64::NAN, ..integer() },
            "native-histogram-count-not-big-enough",
        ),
        (
            pb::Histogram { positive_deltas: vec![1, -2, 0], ..integer() },
            "native-histogram-negative-bucket-count",
        ),
        (
            pb::Histogram { positive_deltas: vec![i64::MAX, 1, 0], ..integer() },
            "native-histogram-negative-bucket-count",
        ),
        (
            pb::Histogram { positive_counts: vec![0.25, -0.5, 0.0], ..float() },
            "native-histogram-negative-bucket-count",
        ),
        (
            pb::Histogram { positive_deltas: vec![1], ..integer() },
            "native-histogram-spans-buckets-mismatch",
        ),
        (
            pb::Histogram { positive_spans: vec![span(0, u32::MAX); 3], ..integer() },
            "native-histogram-spans-buckets-mismatch",
        ),
        (
            pb::Histogram { positive_spans: vec![span(0, 2), span(-1, 1)], ..integer() },
            "native-histogram-span-negative-offset",
        ),
        (
            pb::Histogram { custom_values: vec![1.0], ..integer() },
            "native-histogram-custom-buckets-mismatch",
        ),
    ])
    .await;
}

#[tokio::test]
async fn impossible_custom_bucket_histograms_are_refused() {
    use pb::histogram::ZeroCount;
    each_is_refused([
        (
            pb::Histogram { custom_values: vec![1.0, 0.5], ..custom() },
            "native-histogram-custom-buckets-invalid",
        ),
        (
            pb::Histogram { custom_values: vec![0.5, 0.5], ..custom() },
            "native-histogram-custom-buckets-invalid",
        ),
        (
            pb::Histogram { custom_values: vec![0.5, f64::INFINITY], ..custom() },
            "native-histogram-custom-buckets-infinite",
        ),
        (
            pb::Histogram { custom_values: vec![0.5, f64::NAN], ..custom() },
            "native-histogram-custom-buckets-infinite",
        ),
        (
            pb::Histogram { custom_values: vec![0.5], ..custom() },
            "native-histogram-custom-buckets-mismatch",
        ),
        (
            pb::Histogram { zero_count: Some(ZeroCount::ZeroCountInt(1)), ..custom() },
            "native-histogram-custom-buckets-mismatch",
        ),
        (
            pb::Histogram {
                negative_spans: vec![span(0, 1)],
                negative_deltas: vec![0],
                ..custom()
            },
            "native-histogram-custom-buckets-mismatch",
        ),
    ])
    .await;
}

#[tokio::test]
async fn too_many_buckets_are_refused() {
    let limits = Limits { max_native_histogram_buckets: 3, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let answer = push_histograms(&cluster, vec![integer(), custom()]).await;
    assert!(
        answer.text.contains(
            "4 histogram buckets exceed the limit of 3 (setting max_native_histogram_buckets)"
        ),
        "{}",
        answer.text
    );
    assert_eq!(cluster.data().histograms[UP_TEXT].len(), 1);
}

#[tokio::test]
async fn many_histograms_of_one_series_all_arrive() {
    let cluster = Cluster::one(Limits::default());
    let big = pb::Histogram {
        count: Some(pb::histogram::Count::CountInt(0)),
        positive_spans: vec![span(0, 60_000)],
        positive_deltas: vec![0; 60_000],
        timestamp: NOW_MS,
        ..pb::Histogram::default()
    };
    let all = (0..20).map(|i| pb::Histogram { timestamp: NOW_MS + i, ..big.clone() }).collect();
    let answer = push_histograms(&cluster, all).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(cluster.data().histograms[UP_TEXT].len(), 20);
    assert!(cluster.data().n_items > 1, "not held in memory all at once");
}

/// Protobuf allows fields in any order, even labels between samples.
#[tokio::test]
async fn labels_in_pieces_are_the_same_series() {
    let cluster = Cluster::one(Limits::default());
    let field = |number: u8, bytes: &[u8]| {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let labels: Vec<Vec<u8>> =
        UP.iter().map(|(n, v)| field(1, &label(n, v).encode_to_vec())).collect();
    let sample = field(2, &pb::Sample { value: 1.0, timestamp: NOW_MS }.encode_to_vec());
    for order in [
        [&labels[0], &sample, &labels[1]],
        [&sample, &labels[0], &labels[1]],
        [&labels[0], &labels[1], &sample],
    ] {
        let message = field(1, &order.map(|p| p.clone()).concat());
        for _ in 0..2 {
            cluster.ingesters[0].forget();
            let answer = cluster.post("/api/v1/push", &[], snappy(&message)).await;
            assert_eq!(answer.status, 204, "{}", answer.text);
        }
    }
    assert_eq!(cluster.data().floats.len(), 1);
    assert_eq!(cluster.data().floats[UP_TEXT].len(), 6);
}
