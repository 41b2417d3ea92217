//! Bytes that no honest client sends: an error or success, never a panic, never much memory.

use proptest::prelude::*;
use prost::Message;
use skald_limits::Limits;
use skald_proto::public::{prometheus as v1, prometheus_v2 as v2};

use super::super::{Context, decode_v1, decode_v2};
use crate::testing::{Cluster, NOW_MS, snappy};

fn context() -> Context {
    crate::testing::context(Limits::default())
}

fn good_v1() -> Vec<u8> {
    let label = |n: &str, v: &str| v1::Label { name: n.into(), value: v.into() };
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "up"), label("job", "x")],
        samples: vec![v1::Sample { value: 2.0, timestamp: NOW_MS }],
        exemplars: vec![v1::Exemplar { labels: vec![label("a", "b")], value: 1.0, timestamp: 1 }],
        histograms: vec![v1::Histogram {
            positive_spans: vec![v1::BucketSpan { offset: 1, length: 2 }],
            positive_deltas: vec![0, 0],
            custom_values: vec![1.0],
            ..v1::Histogram::default()
        }],
    };
    let metadata = v1::MetricMetadata { metric_family_name: "up".into(), ..Default::default() };
    v1::WriteRequest { timeseries: vec![series], metadata: vec![metadata] }.encode_to_vec()
}

fn good_v2() -> Vec<u8> {
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![v2::Sample { value: 2.0, timestamp: NOW_MS, start_timestamp: 1 }],
        exemplars: vec![v2::Exemplar { labels_refs: vec![1, 2], value: 1.0, timestamp: 1 }],
        metadata: Some(v2::Metadata { r#type: 1, help_ref: 1, unit_ref: 2 }),
        ..v2::TimeSeries::default()
    };
    let symbols = ["", "__name__", "up"].map(str::to_owned).to_vec();
    v2::Request { symbols, timeseries: vec![series] }.encode_to_vec()
}

#[test]
fn every_truncation_is_survived() {
    let ctx = context();
    for n in 0..good_v1().len() {
        let _ = decode_v1(&ctx, good_v1()[..n].to_vec());
    }
    for n in 0..good_v2().len() {
        let _ = decode_v2(&ctx, good_v2()[..n].to_vec());
    }
    assert!(decode_v1(&ctx, good_v1()[..9].to_vec()).is_err(), "a cut series is malformed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let ctx = context();
        let _ = decode_v1(&ctx, bytes.clone());
        let _ = decode_v2(&ctx, bytes);
    }

    #[test]
    fn flipped_bytes_are_survived(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let ctx = context();
        for mut bytes in [good_v1(), good_v2()] {
            for (at, with) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            let _ = decode_v1(&ctx, bytes.clone());
            let _ = decode_v2(&ctx, bytes);
        }
    }

    /// Whatever prost reads, we read to the same samples.
    #[test]
    fn agrees_with_prost(values in prop::collection::vec((0i64..NOW_MS, any::<f64>()), 1..20), name in "[a-z]{1,8}", value in "\\PC{1,8}") {
        let ctx = context();
        let label = |n: &str, v: &str| v1::Label { name: n.into(), value: v.into() };
        let series = v1::TimeSeries {
            labels: vec![label("__name__", &name), label("zz", &value)],
            samples: values.iter().map(|(t, v)| v1::Sample { value: *v, timestamp: *t }).collect(),
            ..v1::TimeSeries::default()
        };
        let body = v1::WriteRequest { timeseries: vec![series], metadata: vec![] }.encode_to_vec();
        // Protobuf has no -0: prost itself says what was sent.
        let sent = v1::WriteRequest::decode(body.as_slice()).unwrap();
        let sent = &sent.timeseries[0].samples;
        let values: Vec<_> = sent.iter().map(|s| (s.timestamp, s.value)).collect();
        let decoded = decode_v1(&ctx, body).unwrap();
        let mut batch = skald_codec::batch::Batch::parse(&decoded.parts[0].batch).unwrap();
        let mut samples = skald_codec::batch::Samples::default();
        batch.next_series().unwrap().unwrap().decode(&mut samples).unwrap();
        let bits = |v: &[(i64, f64)]| v.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(bits(&samples.floats), bits(&values));
    }
}

/// A varint length before that many bytes that are not there.
#[test]
fn lengths_that_lie_are_malformed() {
    let ctx = context();
    for tag in [0x0a, 0x1a, 0x22, 0x2a] {
        let lie = vec![tag, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3];
        assert!(decode_v1(&ctx, lie.clone()).is_err());
        assert!(decode_v2(&ctx, lie).is_err());
    }
}

#[tokio::test]
async fn a_million_labels_are_refused() {
    let cluster = Cluster::one(Limits { max_label_names_per_series: 0, ..Limits::default() });
    let label = v1::Label { name: "a".into(), value: "b".into() }.encode_to_vec();
    let mut series = Vec::new();
    for _ in 0..1_000_000 {
        series.extend([0x0a, u8::try_from(label.len()).unwrap()]);
        series.extend(&label);
    }
    series.extend([0x12, 0]);
    let mut body = vec![0x0a];
    skald_model::labels::put_uvarint(&mut body, series.len() as u64);
    body.extend(series);
    let answer = cluster.post("/api/v1/push", &[], snappy(&body)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.starts_with("err-skald-max-label-names-per-series"), "{}", answer.text);
    assert!(answer.text.contains("1000000 labels"), "{}", answer.text);
}

#[tokio::test]
async fn a_million_empty_series_are_nothing() {
    let cluster = Cluster::one(Limits::default());
    let body: Vec<u8> = [0x0a, 0].repeat(1_000_000);
    assert_eq!(cluster.post("/api/v1/push", &[], snappy(&body)).await.status, 204);
    assert_eq!(cluster.data().n_pushes, 0);
}

#[tokio::test]
async fn millions_of_samples_of_one_series_are_refused() {
    let cluster = Cluster::one(Limits::default());
    let series: Vec<u8> = [0x12, 0].repeat((1 << 20) + 1);
    let mut body = vec![0x0a];
    skald_model::labels::put_uvarint(&mut body, series.len() as u64);
    body.extend(series);
    let answer = cluster.post("/api/v1/push", &[], snappy(&body)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.starts_with("err-skald-malformed-request"), "{}", answer.text);
}

#[test]
fn millions_of_symbols_are_refused() {
    let body: Vec<u8> = [0x22, 0].repeat((1 << 20) + 1);
    assert!(decode_v2(&context(), body).is_err());
}
