use std::io::Write;

use prost::Message;
use skald_limits::Limits;
use skald_proto::public::otlp as pb;

use crate::testing::{Answer, Cluster, NOW_NS};

const PATH: &str = "/otlp/v1/logs";
const PROTO: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const SHOP: &str = r#"{deployment_environment="prod", service_name="shop"}"#;

fn any(value: pb::any_value::Value) -> pb::AnyValue {
    pb::AnyValue { value: Some(value) }
}

fn text(value: &str) -> pb::AnyValue {
    any(pb::any_value::Value::StringValue(value.into()))
}

fn pair(key: &str, value: pb::AnyValue) -> pb::KeyValue {
    pb::KeyValue { key: key.into(), value: Some(value) }
}

fn now() -> u64 {
    u64::try_from(NOW_NS).unwrap()
}

fn record(body: pb::AnyValue) -> pb::LogRecord {
    pb::LogRecord { time_unix_nano: now(), body: Some(body), ..pb::LogRecord::default() }
}

fn request(resource: Vec<pb::KeyValue>, records: Vec<pb::LogRecord>) -> Vec<u8> {
    let scope = pb::InstrumentationScope {
        name: "lib".into(),
        version: "1".into(),
        attributes: vec![pair("scope.a", text("s"))],
        dropped_attributes_count: 3,
    };
    let scope_logs =
        pb::ScopeLogs { scope: Some(scope), log_records: records, ..Default::default() };
    let resource = pb::Resource { attributes: resource, dropped_attributes_count: 0 };
    let resource_logs = vec![pb::ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        schema_url: String::new(),
    }];
    pb::ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn shop() -> Vec<pb::KeyValue> {
    vec![
        pair("service.name", text("shop")),
        pair("deployment.environment", text("prod")),
        pair("host.name", text("h1")),
    ]
}

/// `ts line metadata` of all entries of a stream.
fn lines(cluster: &Cluster, stream: &str) -> Vec<String> {
    let data = cluster.data();
    let lines = data.lines.get(stream).map_or(&[][..], Vec::as_slice);
    lines.iter().map(|l| format!("{} {} {}", l.ts - NOW_NS, l.line, l.metadata)).collect()
}

fn status_of(answer: &Answer) -> pb::Status {
    pb::Status::decode(answer.bytes.clone()).unwrap()
}

#[tokio::test]
async fn resources_are_streams_and_the_rest_is_metadata() {
    let cluster = Cluster::one(Limits::default());
    let full = pb::LogRecord {
        time_unix_nano: now() + 7,
        observed_time_unix_nano: now() + 9,
        severity_number: 17,
        severity_text: "Error".into(),
        body: Some(text("it broke")),
        attributes: vec![
            pair("http.status", any(pb::any_value::Value::IntValue(500))),
            pair(
                "map",
                any(pb::any_value::Value::KvlistValue(pb::KeyValueList {
                    values: vec![pair("x", any(pb::any_value::Value::DoubleValue(1.5)))],
                })),
            ),
        ],
        dropped_attributes_count: 2,
        flags: 1,
        trace_id: vec![0xab; 16].into(),
        span_id: vec![1, 2, 3, 4, 5, 6, 7, 8].into(),
        event_name: "e".into(),
    };
    let answer = cluster.post(PATH, &[PROTO], request(shop(), vec![full])).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    let want = format!(
        "7 it broke {{detected_level=\"error\", dropped_attributes_count=\"2\", event_name=\"e\", \
         flags=\"1\", host_name=\"h1\", http_status=\"500\", map_x=\"1.5\", \
         observed_timestamp=\"{}\", scope_a=\"s\", scope_dropped_attributes_count=\"3\", \
         scope_name=\"lib\", scope_version=\"1\", severity_number=\"17\", severity_text=\"Error\", \
         span_id=\"0102030405060708\", trace_id=\"{}\"}}",
        NOW_NS + 9,
        "ab".repeat(16)
    );
    assert_eq!(lines(&cluster, SHOP), [want]);
}

#[tokio::test]
async fn json_means_the_same_as_protobuf() {
    let cluster = Cluster::one(Limits::default());
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"shop"}}}},
            {{"key":"deployment.environment","value":{{"stringValue":"prod"}}}}]}},
          "scopeLogs":[{{"scope":{{"name":"lib"}},"logRecords":[
            {{"timeUnixNano":"{NOW_NS}","severityNumber":"SEVERITY_NUMBER_WARN2","body":{{"stringValue":"a\"b"}},
              "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"0000000000000000",
              "attributes":[{{"key":"n","value":{{"intValue":"7"}}}},{{"key":"l","value":{{"arrayValue":{{"values":[{{"boolValue":true}},{{}}]}}}}}}]}},
            {{"observedTimeUnixNano":{},"body":{{"kvlistValue":{{"values":[{{"key":"k","value":{{"doubleValue":2}}}}]}}}}}}]}}]}}]}}"#,
        NOW_NS + 1
    );
    let answer = cluster.post(PATH, &[JSON], json.into_bytes()).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let want = [
        "0 a\"b {detected_level=\"warn\", l=\"[true,null]\", n=\"7\", scope_name=\"lib\", \
         severity_number=\"14\", trace_id=\"5b8efff798038103d269b633813fc60c\"}"
            .to_owned(),
        format!(
            "1 {{\"k\":2}} {{detected_level=\"unknown\", observed_timestamp=\"{}\", scope_name=\"lib\"}}",
            NOW_NS + 1
        ),
    ];
    assert_eq!(lines(&cluster, SHOP), want);
}

#[tokio::test]
async fn both_paths_and_all_encodings_are_read() {
    let cluster = Cluster::one(Limits::default());
    let body = request(shop(), vec![record(text("x"))]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    // A frame as `zstd` writes it: raw blocks need no compressor.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, u8::try_from(body.len()).unwrap()];
    let header = (u32::try_from(body.len()).unwrap() << 3) | 1;
    zstd.extend(&header.to_le_bytes()[..3]);
    zstd.extend(&body);
    let cases = [
        (PATH, vec![], body.clone()),
        ("/v1/logs", vec![PROTO], body.clone()),
        (PATH, vec![PROTO, ("content-encoding", "gzip")], gzip.finish().unwrap()),
        (PATH, vec![PROTO, ("content-encoding", "zstd")], zstd),
    ];
    for (path, headers, body) in cases {
        let answer = cluster.post(path, &headers, body).await;
        assert_eq!(answer.status, 204, "{path} {headers:?}: {}", answer.text);
    }
    assert_eq!(lines(&cluster, SHOP).len(), 4);
}

#[tokio::test]
async fn records_without_times_stay_apart() {
    let cluster = Cluster::one(Limits::default());
    let undated = pb::LogRecord { body: Some(text("same")), ..pb::LogRecord::default() };
    let body = request(shop(), vec![undated.clone(), undated]);
    assert_eq!(cluster.post(PATH, &[PROTO], body).await.status, 204);
    let found = lines(&cluster, SHOP);
    assert!(found[0].starts_with("0 same") && found[1].starts_with("1 same"), "{found:?}");
}

#[tokio::test]
async fn a_service_without_a_name_gets_one() {
    for (resource, want) in [
        (vec![], r#"{service_name="unknown_service"}"#),
        (vec![pair("app", text("a"))], r#"{service_name="unknown_service"}"#),
        (
            vec![pair("k8s.container.name", text("c"))],
            r#"{k8s_container_name="c", service_name="c"}"#,
        ),
    ] {
        let cluster = Cluster::one(Limits::default());
        let answer = cluster.post(PATH, &[PROTO], request(resource, vec![record(text("x"))])).await;
        assert_eq!(answer.status, 204, "{want}: {}", answer.text);
        assert_eq!(lines(&cluster, want).len(), 1, "{want}: {:?}", cluster.data().lines.keys());
    }
    let off = Limits { discover_service_name: Vec::new(), ..Limits::default() };
    let cluster = Cluster::one(off);
    let answer = cluster.post(PATH, &[PROTO], request(vec![], vec![record(text("x"))])).await;
    assert_eq!(answer.status, 400, "without labels, and none may be added");
}

#[tokio::test]
async fn a_tenants_rules_choose_labels_and_drop() {
    let config = r#"{"resource_attributes":{"ignore_defaults":true,"attributes_config":[
        {"action":"index_label","attributes":["host.name"]},{"action":"drop","regex":"deploy.*"}]},
        "scope_attributes":[{"action":"drop","regex":"scope.*"}],
        "log_attributes":[{"action":"drop","attributes":["secret"]}]}"#;
    let otlp_config = serde_json::from_str(config).unwrap();
    let cluster = Cluster::one(Limits { otlp_config, ..Limits::default() });
    let mut one = record(text("x"));
    one.attributes = vec![pair("secret", text("s")), pair("open", text("o"))];
    assert_eq!(cluster.post(PATH, &[PROTO], request(shop(), vec![one])).await.status, 204);
    let found = lines(&cluster, r#"{host_name="h1", service_name="unknown_service"}"#);
    let want = "0 x {detected_level=\"unknown\", open=\"o\", scope_dropped_attributes_count=\"3\", \
                scope_name=\"lib\", scope_version=\"1\", service_name=\"shop\"}";
    assert_eq!(found, [want], "{:?}", cluster.data().lines.keys());
}

#[tokio::test]
async fn refusals_are_statuses_and_the_rest_is_stored() {
    let cluster = Cluster::one(Limits::default());
    let mut late = record(text("from the future"));
    late.time_unix_nano = now() + 3_600_000_000_000;
    let body = request(shop(), vec![record(text("fine")), late]);
    let answer = cluster.post(PATH, &[PROTO], body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    let status = status_of(&answer);
    assert!(status.code == 3 && status.message.contains("timestamp too new"), "{status:?}");
    assert_eq!(lines(&cluster, SHOP).len(), 1);
    let answer = cluster.post(PATH, &[JSON], b"{".to_vec()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, Some(JSON.1)));
    assert!(
        answer.text.starts_with(r#"{"code":3,"message":"err-skald-malformed"#),
        "{}",
        answer.text
    );
    let answer = cluster.post(PATH, &[("content-type", "text/plain")], vec![]).await;
    assert_eq!(answer.status, 415);
    let answer = cluster.post(PATH, &[PROTO], Vec::new()).await;
    assert_eq!(answer.status, 204, "an export of nothing is one");
}

#[tokio::test]
async fn a_rate_limit_refuses_all_and_says_when_to_come_back() {
    let limits = Limits { ingestion_rate_mb: 0.000_001, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let answer = cluster.post(PATH, &[PROTO], request(shop(), vec![record(text("line"))])).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(status_of(&answer).code, 8);
    assert_eq!(lines(&cluster, SHOP).len(), 0);
}

#[tokio::test]
async fn an_internal_error_is_503_so_that_it_is_repeated() {
    let cluster = Cluster::one(Limits::default());
    *cluster.ingesters[0].mode.lock() =
        crate::testing::Mode::Fail(skald_model::ErrorKind::Internal);
    let answer = cluster.post(PATH, &[PROTO], request(shop(), vec![record(text("x"))])).await;
    assert_eq!(answer.status, 503);
    assert_eq!(status_of(&answer).code, 14);
}
