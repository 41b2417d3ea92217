//! Bytes that no honest client sends: an error or success, never a panic, never much memory.

use proptest::prelude::*;
use prost::Message;
use skald_limits::Limits;
use skald_proto::public::otlp as pb;

use super::super::{decode_json, decode_proto};
use crate::remote_write::Context;
use crate::testing::{Cluster, context};

const GOOD_JSON: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"intValue":1}}]},
    "scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":{"arrayValue":{"values":[{"bytesValue":"AA=="}]}}}]}]}]}"#;

fn good_proto() -> Vec<u8> {
    let text = pb::any_value::Value::StringValue("x".into());
    let value = || Some(pb::AnyValue { value: Some(text.clone()) });
    let pair = || pb::KeyValue { key: "a".into(), value: value() };
    let list = pb::any_value::Value::ArrayValue(pb::ArrayValue { values: vec![value().unwrap()] });
    let record = pb::LogRecord {
        time_unix_nano: 5,
        flags: 1,
        trace_id: vec![7; 16].into(),
        body: Some(pb::AnyValue { value: Some(list) }),
        attributes: vec![pair()],
        ..pb::LogRecord::default()
    };
    let scope_logs = pb::ScopeLogs { log_records: vec![record], ..pb::ScopeLogs::default() };
    let resource = pb::Resource { attributes: vec![pair()], dropped_attributes_count: 0 };
    let resource_logs = vec![pb::ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        schema_url: String::new(),
    }];
    pb::ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn survives(ctx: &Context, bytes: &[u8]) {
    let _ = decode_proto(ctx, bytes);
    let _ = decode_json(ctx, bytes);
}

/// `inner` within `n` lists.
fn nested_proto(n: usize) -> Vec<u8> {
    let mut body = b"\x0a\x01x".to_vec();
    for _ in 0..n {
        // AnyValue { array_value: ArrayValue { values: [ … ] } }
        for tag in [0x0a, 0x2a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            outer.append(&mut body);
            body = outer;
        }
    }
    for tag in [0x2a, 0x12, 0x12, 0x0a] {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(body.len() as u64, &mut outer);
        outer.append(&mut body);
        body = outer;
    }
    body
}

#[test]
fn every_truncation_is_survived() {
    let ctx = context(Limits::default());
    assert_eq!(decode_proto(&ctx, &good_proto()).unwrap().counts.lines, 1);
    assert_eq!(decode_json(&ctx, GOOD_JSON.as_bytes()).unwrap().counts.lines, 1);
    for n in 0..good_proto().len() {
        survives(&ctx, &good_proto()[..n]);
    }
    for n in 0..GOOD_JSON.len() {
        assert!(decode_json(&ctx, &GOOD_JSON.as_bytes()[..n]).is_err(), "{n}");
    }
}

#[test]
fn deep_values_are_refused() {
    let ctx = context(Limits::default());
    assert_eq!(decode_proto(&ctx, &nested_proto(20)).unwrap().counts.lines, 1);
    assert!(decode_proto(&ctx, &nested_proto(2_000)).is_err());
    let deep = |n: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(n);
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{}}}]}}]}}]}}"#,
            "]}}".repeat(n)
        )
    };
    assert!(decode_json(&ctx, deep(20).as_bytes()).is_ok());
    assert!(decode_json(&ctx, deep(100_000).as_bytes()).is_err());
}

/// A message with `body` in field `number`.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

#[test]
fn values_that_take_many_times_their_bytes_are_refused() {
    let ctx = context(Limits::default());
    // Pairs, and elements of lists, of two or three bytes each.
    let pairs = field(6, b"").repeat(70_000);
    let list = field(5, &field(5, &field(1, b"").repeat(70_000)));
    for record in [pairs, list] {
        let body = field(1, &field(2, &field(2, &record)));
        assert!(decode_proto(&ctx, &body).is_err());
    }
    let resource = field(1, &field(1, b"").repeat(70_000));
    let body = field(1, &[resource, field(2, &field(2, b""))].concat());
    assert!(decode_proto(&ctx, &body).is_err());
    for element in ["{},", "[],"] {
        let list = format!("[{}{{}}]", element.repeat(70_000));
        let record = format!(r#""scopeLogs":[{{"logRecords":[{{"attributes":{list}}}]}}]"#);
        let body = format!(r#"{{"resourceLogs":[{{{record}}}]}}"#);
        assert!(decode_json(&ctx, body.as_bytes()).is_err());
        let resource = format!(r#""resource":{{"attributes":{list}}}"#);
        let logs = r#""scopeLogs":[{"logRecords":[{}]}]"#;
        let body = format!(r#"{{"resourceLogs":[{{{resource},{logs}}}]}}"#);
        assert!(decode_json(&ctx, body.as_bytes()).is_err());
    }
}

#[test]
fn what_many_records_share_is_not_repeated_without_end() {
    let ctx = context(Limits::default());
    let value = field(2, &field(1, &[b'x'; 60_000]));
    let resource = field(1, &field(1, &[field(1, b"a"), value].concat()));
    let body = field(1, &[resource, field(2, &field(2, b"").repeat(4000))].concat());
    let decoded = decode_proto(&ctx, &body).unwrap();
    assert_eq!(decoded.counts.lines, 4000);
    assert!(decoded.counts.line_bytes < 130 << 20, "{}", decoded.counts.line_bytes);
    let reject = decoded.rejects.iter().next().unwrap();
    assert!(reject.count > 1000 && reject.message.contains("send fewer at once"), "{reject:?}");
}

#[test]
fn objects_with_long_names_are_not_taken_apart() {
    let ctx = context(Limits::default());
    let inner = field(1, &field(1, b"k")).repeat(1000);
    let map = field(2, &field(6, &inner));
    let record = field(6, &[field(1, &vec![b'n'; 1 << 20]), map].concat());
    let body = field(1, &field(2, &field(2, &record)));
    let decoded = decode_proto(&ctx, &body).unwrap();
    let reject = decoded.rejects.iter().next().unwrap();
    assert!(reject.message.contains("metadata too large: '10"), "about a megabyte: {reject:?}");
}

#[tokio::test]
async fn bombs_are_refused_before_they_are_unpacked() {
    let cluster = Cluster::one(Limits::default());
    let zeros = vec![0u8; 80 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let gzip = gzip.finish().unwrap();
    for (path, encoding, body) in [
        ("/v1/logs", "gzip", gzip),
        ("/v1/logs", "snappy", vec![0x80, 0x80, 0x80, 0x80, 0x04]),
        // A zstd frame that declares a gigabyte.
        ("/v1/logs", "zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0]),
    ] {
        let answer = cluster.post(path, &[("content-encoding", encoding)], body).await;
        assert!(matches!(answer.status.as_u16(), 400 | 413), "{encoding}: {}", answer.status);
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
}
