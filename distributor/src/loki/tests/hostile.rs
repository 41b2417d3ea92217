//! Bytes that no honest client sends: an error or success, never a panic, never much memory.

use proptest::prelude::*;
use prost::Message;
use skald_limits::Limits;
use skald_proto::public::loki as pb;

use super::super::{decode_json, decode_proto};
use crate::remote_write::Context;
use crate::testing::{Cluster, NOW_NS, context, snappy};

const GOOD_JSON: &str =
    r#"{"streams":[{"stream":{"app":"x"},"values":[["1767225600000000000","line",{"a":"b"}]]}]}"#;

fn good_proto() -> Vec<u8> {
    let pair = pb::LabelPairAdapter { name: "a".into(), value: "b".into() };
    let entry = pb::EntryAdapter {
        timestamp: Some(pb::Timestamp { seconds: NOW_NS / 1_000_000_000, nanos: 5 }),
        line: "line".into(),
        structured_metadata: vec![pair],
    };
    let stream = pb::StreamAdapter { labels: "{app=\"x\"}".into(), entries: vec![entry], hash: 1 };
    pb::PushRequest { streams: vec![stream] }.encode_to_vec()
}

fn survives(ctx: &Context, bytes: &[u8]) {
    let _ = decode_proto(ctx, bytes.to_vec());
    let _ = decode_json(ctx, bytes.to_vec());
}

#[test]
fn every_truncation_is_survived() {
    let ctx = context(Limits::default());
    assert!(decode_proto(&ctx, good_proto()).is_ok());
    for n in 0..good_proto().len() {
        survives(&ctx, &good_proto()[..n]);
    }
    assert!(decode_json(&ctx, GOOD_JSON.as_bytes().to_vec()).is_ok());
    for n in 0..GOOD_JSON.len() {
        assert!(decode_json(&ctx, GOOD_JSON.as_bytes()[..n].to_vec()).is_err(), "{n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&context(Limits::default()), &bytes);
    }

    #[test]
    fn flipped_bytes_are_survived(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let ctx = context(Limits::default());
        for mut bytes in [good_proto(), GOOD_JSON.as_bytes().to_vec()] {
            for (at, with) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            survives(&ctx, &bytes);
        }
    }

    #[test]
    fn any_label_text_is_survived(text in r#"[{}a="'`\\xu0-9, ]{0,40}"#) {
        if let Ok(pairs) = super::super::text::parse(&text) {
            prop_assert!(pairs.iter().all(|(n, _)| super::super::labels::is_name(n)));
        }
    }
}

#[tokio::test]
async fn deep_json_is_refused() {
    let cluster = Cluster::one(Limits::default());
    for body in [
        "[".repeat(100_000),
        format!("{{\"streams\":{}", "[".repeat(100_000)),
        format!("{{\"streams\":[{{\"stream\":{}", "{\"a\":".repeat(100_000)),
        format!("{{\"x\":{}", "[".repeat(100_000)),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = cluster.post("/loki/api/v1/push", &headers, body.into_bytes()).await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn gzip_bombs_are_413() {
    use std::io::Write;
    let cluster = Cluster::one(Limits::default());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..65 {
        gz.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = gz.finish().unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = cluster.post("/loki/api/v1/push", &headers, bomb).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
}

#[tokio::test]
async fn label_texts_of_many_megabytes_are_413() {
    let cluster = Cluster::one(Limits::default());
    let entry = pb::EntryAdapter { line: "x".into(), ..pb::EntryAdapter::default() };
    let labels = format!("{{a=\"{}\"}}", "x".repeat(17 << 20));
    let stream = pb::StreamAdapter { labels, entries: vec![entry], hash: 0 };
    let body = pb::PushRequest { streams: vec![stream] }.encode_to_vec();
    let answer = cluster.post("/loki/api/v1/push", &[], snappy(&body)).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
}
