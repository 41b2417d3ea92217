use std::io::Write;

use prost::Message;
use skald_limits::Limits;
use skald_proto::public::loki as pb;
use skald_runtime::ByteSize;

use crate::testing::{Answer, Cluster, NOW_NS, snappy};

const PATH: &str = "/loki/api/v1/push";
const JSON: (&str, &str) = ("content-type", "application/json");
const APP: &str = r#"{app="x", service_name="x"}"#;

fn entry(ts: i64, line: &str, metadata: &[(&str, &str)]) -> pb::EntryAdapter {
    let pair =
        |(n, v): &(&str, &str)| pb::LabelPairAdapter { name: (*n).into(), value: (*v).into() };
    pb::EntryAdapter {
        timestamp: Some(pb::Timestamp {
            seconds: ts.div_euclid(1_000_000_000),
            nanos: i32::try_from(ts.rem_euclid(1_000_000_000)).unwrap(),
        }),
        line: line.into(),
        structured_metadata: metadata.iter().map(pair).collect(),
    }
}

fn stream(labels: &str, entries: Vec<pb::EntryAdapter>) -> pb::StreamAdapter {
    pb::StreamAdapter { labels: labels.into(), entries, hash: 0 }
}

fn message(streams: Vec<pb::StreamAdapter>) -> Vec<u8> {
    pb::PushRequest { streams }.encode_to_vec()
}

async fn push(cluster: &Cluster, streams: Vec<pb::StreamAdapter>) -> Answer {
    let headers = [("content-type", "application/x-protobuf")];
    cluster.post(PATH, &headers, snappy(&message(streams))).await
}

async fn push_json(cluster: &Cluster, body: &str) -> Answer {
    cluster.post(PATH, &[JSON], body.as_bytes().to_vec()).await
}

/// `line metadata` of all entries of a stream.
fn lines(cluster: &Cluster, stream: &str) -> Vec<String> {
    let data = cluster.data();
    let lines = data.lines.get(stream).map_or(&[][..], Vec::as_slice);
    lines.iter().map(|l| format!("{} {} {}", l.ts - NOW_NS, l.line, l.metadata)).collect()
}

#[tokio::test]
async fn protobuf_lines_arrive_with_their_metadata() {
    let cluster = Cluster::one(Limits::default());
    let entries = vec![
        entry(
            NOW_NS + 5,
            "one",
            &[("trace_id", "abc"), ("Bad-Name.1", "x"), ("9", "y"), ("e", "")],
        ),
        entry(NOW_NS, "level=warn two", &[]),
        entry(NOW_NS, "", &[("severity", "ERROR"), ("a", "1"), ("a", "2")]),
    ];
    let answer = push(&cluster, vec![stream(r#"{app="x"}"#, entries)]).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(
        lines(&cluster, APP),
        [
            r#"5 one {Bad_Name_1="x", _9="y", detected_level="unknown", trace_id="abc"}"#,
            r#"0 level=warn two {detected_level="warn"}"#,
            r#"0  {a="2", detected_level="error", severity="ERROR"}"#,
        ]
    );
}

#[tokio::test]
async fn json_means_the_same_as_protobuf() {
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"x","gone":""}},"values":[["{NOW_NS}","on\"e\u00e4"],["{}","two",{{"k":"v"}}]]}}],"more":[1,{{}}]}}"#,
        NOW_NS + 1
    );
    let want =
        [r#"0 on"eä {detected_level="unknown"}"#, r#"1 two {detected_level="unknown", k="v"}"#];
    let cluster = Cluster::one(Limits::default());
    assert_eq!(push_json(&cluster, &body).await.status, 204);
    assert_eq!(lines(&cluster, APP), want);
    // `values` may stand first.
    let cluster = Cluster::one(Limits::default());
    let swapped =
        format!(r#"{{"streams":[{{"values":[["{NOW_NS}","x"]],"stream":{{"app":"x"}}}}]}}"#);
    assert_eq!(push_json(&cluster, &swapped).await.status, 204);
    assert_eq!(lines(&cluster, APP).len(), 1);
}

#[tokio::test]
async fn all_encodings_are_read() {
    let cluster = Cluster::one(Limits::default());
    let json = format!(r#"{{"streams":[{{"stream":{{"app":"x"}},"values":[["{NOW_NS}","x"]]}}]}}"#);
    let proto = message(vec![stream(r#"{app="x"}"#, vec![entry(NOW_NS, "x", &[])])]);
    let gzip = |bytes: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    };
    let deflate = |bytes: &[u8]| {
        let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    };
    let enc = |e| ("content-encoding", e);
    let cases = [
        (vec![JSON], json.clone().into_bytes()),
        (vec![JSON, enc("gzip")], gzip(json.as_bytes())),
        (vec![JSON, enc("deflate")], deflate(json.as_bytes())),
        (vec![JSON, enc("snappy")], snappy(json.as_bytes())),
        (vec![("content-type", "application/json; charset=utf-8")], json.clone().into_bytes()),
        (vec![], snappy(&proto)),
        (vec![enc("snappy")], snappy(&proto)),
        (vec![("content-type", "text/plain")], snappy(&proto)),
        (vec![enc("gzip")], gzip(&snappy(&proto))),
    ];
    let n = cases.len();
    for (headers, body) in cases {
        let answer = cluster.post(PATH, &headers, body).await;
        assert_eq!(answer.status, 204, "{headers:?}: {}", answer.text);
    }
    assert_eq!(lines(&cluster, APP).len(), n);
    let answer = cluster.post(PATH, &[enc("zstd")], vec![]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text, "Content-Encoding \"zstd\" not supported\n");
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_400() {
    let cluster = Cluster::one(Limits::default());
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}x",
        r#"{"streams":1}"#,
        r#"{"streams":[1]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[1767225600000000000,"ts is a number"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["x","no time"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"k":1}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x","y"]]}]}"#,
        r#"{"streams":[{"stream":{"a":1},"values":[["1","x"]]}]}"#,
    ] {
        let answer = push_json(&cluster, body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
    }
    assert_eq!(cluster.post(PATH, &[], b"junk".to_vec()).await.status, 400);
    assert_eq!(cluster.post(PATH, &[], snappy(b"\x0a\x7fjunk")).await.status, 400);
    assert_eq!(cluster.data().n_pushes, 0);
}

#[tokio::test]
async fn a_push_without_entries_is_422() {
    let cluster = Cluster::one(Limits::default());
    let text = "error at least one valid stream is required for ingestion\n";
    for body in [r#"{}"#, r#"{"streams":[]}"#, r#"{"streams":[{"stream":{"a":"b"},"values":[]}]}"#]
    {
        let answer = push_json(&cluster, body).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (422, text), "{body}");
    }
    let answer = push(&cluster, vec![stream("{a=\"b\"}", vec![])]).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (422, text));
}

/// The texts that operators of Loki know, and that what is valid is stored beside.
#[tokio::test]
async fn invalid_streams_are_refused_beside_valid_ones() {
    let limits = Limits {
        max_label_names_per_stream: 3,
        max_label_name_length: 12,
        max_label_value_length: 8,
        ..Limits::default()
    };
    let cases = [
        ("{}", "missing_labels", "error at least one label pair is required per stream"),
        (r#"{a=""}"#, "missing_labels", "error at least one label pair is required per stream"),
        ("{a=b}", "invalid_labels", "error parsing labels '{a=b}' with error: 1:4: parse error"),
        ("", "invalid_labels", "error parsing labels '' with error: "),
        (
            r#"{a="1",b="2",c="3",d="4"}"#,
            "max_label_names_per_series",
            r#"entry for stream '{a="1",b="2",c="3",d="4"}' has 4 label names; limit 3"#,
        ),
        (
            r#"{abcdefghijklm="1"}"#,
            "label_name_too_long",
            r#"stream '{abcdefghijklm="1"}' has label name too long: 'abcdefghijklm'"#,
        ),
        (
            r#"{a="123456789"}"#,
            "label_value_too_long",
            r#"stream '{a="123456789"}' has label value too long: '123456789'"#,
        ),
        (
            r#"{a="1",a="2"}"#,
            "duplicate_label_names",
            r#"stream '{a="1",a="2"}' has duplicate label name: 'a'"#,
        ),
    ];
    for (labels, reason, text) in cases {
        let cluster = Cluster::one(limits.clone());
        let bad = stream(labels, vec![entry(NOW_NS, "a", &[]), entry(NOW_NS, "b", &[])]);
        let good = stream(r#"{app="x"}"#, vec![entry(NOW_NS, "c", &[])]);
        let answer = push(&cluster, vec![bad, good]).await;
        assert_eq!(answer.status, 400, "{labels}");
        assert!(answer.text.starts_with(text), "{}", answer.text);
        let id = format!("err-skald-{}", reason.replace('_', "-"));
        assert!(answer.text.contains(&id), "{}", answer.text);
        assert!(answer.text.contains("total ignored: 2 out of 3"), "{}", answer.text);
        assert_eq!(lines(&cluster, APP).len(), 1, "{labels}: the valid stream is stored");
        let metric = format!("skald_discarded_samples_total{{reason=\"{reason}\",tenant=\"t\"}} 2");
        assert!(cluster.metrics().contains(&metric), "{}", cluster.metrics());
    }
}

#[tokio::test]
async fn invalid_json_label_names_are_refused() {
    let cluster = Cluster::one(Limits::default());
    let body =
        format!(r#"{{"streams":[{{"stream":{{"k8s.pod":"x"}},"values":[["{NOW_NS}","x"]]}}]}}"#);
    let answer = push_json(&cluster, &body).await;
    assert_eq!(answer.status, 400);
    let text = r#"error parsing labels '{k8s.pod="x"}' with error: invalid label name"#;
    assert!(answer.text.starts_with(text), "{}", answer.text);
}

#[tokio::test]
async fn invalid_entries_are_refused_one_by_one() {
    let limits = Limits {
        reject_old_samples: true,
        max_line_size: ByteSize(10),
        max_structured_metadata_size: ByteSize(6),
        max_structured_metadata_entries_count: 2,
        ..Limits::default()
    };
    let cluster = Cluster::one(limits);
    let minute = 60_000_000_000;
    let entries = vec![
        entry(NOW_NS - 8 * 24 * 60 * minute, "old", &[]),
        entry(NOW_NS + 11 * minute, "new", &[]),
        entry(NOW_NS, "01234567890", &[]),
        entry(NOW_NS, "x", &[("abc", "defg")]),
        entry(NOW_NS, "y", &[("a", "1"), ("b", "2"), ("c", "3")]),
        entry(NOW_NS, "0123456789", &[("ab", "cd"), ("e", "f")]),
        entry(i64::MIN, "", &[]),
        entry(i64::MAX, "", &[]),
    ];
    let labels = r#"{app="x"}"#;
    for _ in 0..2 {
        let answer = push(&cluster, vec![stream(labels, entries.clone())]).await;
        assert_eq!(answer.status, 400);
        for text in [
            "entry for stream '{app=\"x\"}' has timestamp too old: 2025-12-24T00:00:00Z, oldest acceptable timestamp is: 2025-12-25T00:00:00Z (err-skald-greater-than-max-sample-age",
            "entry for stream '{app=\"x\"}' has timestamp too new: 2026-01-01T00:11:00Z (err-skald-too-far-in-future",
            "max entry size '10' bytes exceeded for stream '{app=\"x\"}' while adding an entry with length '11' bytes (err-skald-line-too-long, setting max_line_size)",
            "stream '{app=\"x\"}' has structured metadata too large: '7' bytes, limit: '6' bytes",
            "stream '{app=\"x\"}' has too many structured metadata labels: '3', limit: '2'",
            "user 't', total ignored: 7 out of 8",
        ] {
            assert!(answer.text.contains(text), "{text}\n{}", answer.text);
        }
    }
    assert_eq!(lines(&cluster, APP).len(), 2);
}

#[tokio::test]
async fn long_lines_are_cut_when_the_tenant_wants_that() {
    let limits =
        Limits { max_line_size: ByteSize(5), max_line_size_truncate: true, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let entries = vec![entry(NOW_NS, "12345678", &[]), entry(NOW_NS, "1234ä", &[])];
    assert_eq!(push(&cluster, vec![stream(r#"{app="x"}"#, entries)]).await.status, 204);
    let data = cluster.data();
    let lines: Vec<_> = data.lines[APP].iter().map(|l| l.line.as_str()).collect();
    assert_eq!(lines, ["12345", "1234"]);
}

#[tokio::test]
async fn service_name_is_taken_from_the_first_label_there_is() {
    let limits = Limits { max_label_names_per_stream: 2, ..Limits::default() };
    let cluster = Cluster::one(limits);
    for labels in [
        r#"{job="j", app="a"}"#,
        r#"{service="s", app="a"}"#,
        r#"{other="o"}"#,
        r#"{service_name="mine", app="a"}"#,
    ] {
        let answer = push(&cluster, vec![stream(labels, vec![entry(NOW_NS, "x", &[])])]).await;
        assert_eq!(answer.status, 204, "the added label is not counted: {}", answer.text);
    }
    let streams: Vec<_> = cluster.data().lines.keys().cloned().collect();
    assert_eq!(
        streams,
        [
            r#"{app="a", job="j", service_name="a"}"#,
            r#"{app="a", service="s", service_name="s"}"#,
            r#"{app="a", service_name="mine"}"#,
            r#"{other="o", service_name="unknown_service"}"#,
        ]
    );
}

#[tokio::test]
async fn what_is_added_can_be_switched_off() {
    let limits =
        Limits { discover_service_name: vec![], discover_log_levels: false, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let entries = vec![entry(NOW_NS, "level=info", &[]), entry(NOW_NS, "x", &[("k", "v")])];
    assert_eq!(push(&cluster, vec![stream(r#"{app="x"}"#, entries)]).await.status, 204);
    assert_eq!(lines(&cluster, r#"{app="x"}"#), ["0 level=info {}", r#"0 x {k="v"}"#]);
}

#[tokio::test]
async fn levels_come_from_labels_of_known_streams_too() {
    let cluster = Cluster::one(Limits::default());
    let entries = || {
        vec![
            entry(NOW_NS, "error", &[]),
            entry(NOW_NS, "error", &[("severity", "debug")]),
            entry(NOW_NS, "error", &[("detected_level", "mine")]),
        ]
    };
    for _ in 0..2 {
        let pushed = push(&cluster, vec![stream(r#"{app="x", level="WARN"}"#, entries())]).await;
        assert_eq!(pushed.status, 204);
    }
    let data = cluster.data();
    let lines = &data.lines[r#"{app="x", level="WARN", service_name="x"}"#];
    let metadata: Vec<_> = lines.iter().map(|l| l.metadata.as_str()).collect();
    let want = [
        r#"{detected_level="warn"}"#,
        r#"{detected_level="warn", severity="debug"}"#,
        r#"{detected_level="mine"}"#,
    ];
    assert_eq!(metadata, [want, want].concat());
    assert_eq!(data.n_items_with_labels, 1, "the second push did not send the labels");
}

#[tokio::test]
async fn labels_are_sent_again_when_asked_for() {
    let cluster = Cluster::one(Limits::default());
    let json = format!(r#"{{"streams":[{{"stream":{{"app":"x"}},"values":[["{NOW_NS}","j"]]}}]}}"#);
    for _ in 0..2 {
        let proto = vec![stream(r#"{app="x"}"#, vec![entry(NOW_NS, "p", &[])])];
        assert_eq!(push(&cluster, proto).await.status, 204);
        assert_eq!(push_json(&cluster, &json).await.status, 204);
        cluster.ingesters[0].forget();
    }
    assert_eq!(lines(&cluster, APP).len(), 4);
}

#[tokio::test]
async fn lines_that_are_not_utf8_are_repaired() {
    let cluster = Cluster::one(Limits::default());
    let mut body =
        message(vec![stream(r#"{app="x"}"#, vec![entry(NOW_NS, "lXne", &[("k", "aXb")])])]);
    body.iter_mut().filter(|b| **b == b'X').for_each(|b| *b = 0xff);
    assert_eq!(cluster.post(PATH, &[], snappy(&body)).await.status, 204);
    assert_eq!(lines(&cluster, APP), ["0 l\u{fffd}ne {detected_level=\"unknown\", k=\"a b\"}"]);
}

#[tokio::test]
async fn the_rate_limit_refuses_the_whole_request() {
    let limits = Limits {
        ingestion_rate_mb: 0.001,
        ingestion_burst_size_mb: 0.002,
        discover_log_levels: false,
        ..Limits::default()
    };
    let cluster = Cluster::one(limits);
    let body = || vec![stream(r#"{app="x"}"#, vec![entry(NOW_NS, &"x".repeat(1500), &[])])];
    assert_eq!(push(&cluster, body()).await.status, 204);
    let answer = push(&cluster, body()).await;
    assert_eq!(answer.status, 429);
    let text = "ingestion rate limit exceeded for user t (limit: 1000 bytes/sec) while attempting \
                to ingest '1' lines totaling '1500' bytes, reduce log volume or contact your Loki \
                administrator to see if the limit can be increased";
    assert!(answer.text.starts_with(text), "{}", answer.text);
    assert!(answer.header("retry-after").is_some());
    cluster.clock.advance_ms(1000);
    assert_eq!(push(&cluster, body()).await.status, 204);
    assert_eq!(lines(&cluster, APP).len(), 2);
    assert!(cluster.metrics().contains("{reason=\"rate_limited\",tenant=\"t\"} 1"));
}

#[tokio::test]
async fn streams_spread_over_partitions() {
    let cluster = Cluster::new(3, 1, Limits::default(), crate::Config::default());
    let streams =
        (0..60).map(|i| stream(&format!("{{app=\"{i}\"}}"), vec![entry(NOW_NS, "x", &[])]));
    assert_eq!(push(&cluster, streams.collect()).await.status, 204);
    let counts: Vec<_> = cluster.ingesters.iter().map(|i| i.data.lock().lines.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|n| *n > 5), "{counts:?}");
}

#[tokio::test]
async fn labels_say_the_level_before_metadata_and_a_given_one_is_spelt_right() {
    let cluster = Cluster::one(Limits::default());
    let entries = vec![
        entry(NOW_NS, "a", &[("level", "debug")]),
        entry(NOW_NS + 1, "b", &[("detected_level", "WARNING")]),
        entry(NOW_NS + 2, "c", &[("detected_level", "verbose")]),
    ];
    let answer = push(&cluster, vec![stream(r#"{app="x", level="error"}"#, entries)]).await;
    assert_eq!(answer.status, 204);
    let stream_name = r#"{app="x", level="error", service_name="x"}"#;
    assert_eq!(
        lines(&cluster, stream_name),
        [
            r#"0 a {detected_level="error", level="debug"}"#,
            r#"1 b {detected_level="warn"}"#,
            r#"2 c {detected_level="verbose"}"#,
        ]
    );
    let off = Limits { discover_log_levels: false, ..Limits::default() };
    let cluster = Cluster::one(off);
    let one = entry(NOW_NS, "error", &[("detected_level", "WARNING")]);
    let answer = push(&cluster, vec![stream(r#"{app="x"}"#, vec![one])]).await;
    assert_eq!(answer.status, 204);
    assert_eq!(lines(&cluster, APP), [r#"0 error {detected_level="WARNING"}"#]);
}
