//! Documents by way of JSON lines: what is line, label, metadata and time.

use skald_limits::Limits;
use skald_runtime::ByteSize;

use crate::testing::{Answer, Cluster, NOW_NS};

async fn push(cluster: &Cluster, query: &str, body: &str) -> Answer {
    let path = format!("/insert/jsonline{query}");
    cluster.post(&path, &[("content-type", "application/stream+json")], body.into()).await
}

/// `stream: ts line metadata` of everything, times from now.
fn all(cluster: &Cluster) -> Vec<String> {
    let data = cluster.data();
    let entry = |(stream, lines): (&String, &Vec<crate::testing::Line>)| {
        let show = |l: &crate::testing::Line| {
            format!("{stream}: {} {} {}", l.ts - NOW_NS, l.line, l.metadata)
        };
        lines.iter().map(show).collect::<Vec<_>>()
    };
    data.lines.iter().flat_map(entry).collect()
}

#[tokio::test]
async fn fields_are_line_label_time_and_metadata() {
    let cluster = Cluster::one(Limits::default());
    let body = r#"{"@timestamp":"2026-01-01T00:00:01Z","message":"a\"b","app":"x","n":1.50,"on":true,
        "list":[1,{"a":2}],"none":null,"empty":"","http":{"Status.Code":200,"r":{"id":"7"}},"log":{"level":"warn"}}"#
        .replace('\n', "");
    let answer = push(&cluster, "", &format!("\n{body}\r\n\n")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    let want = "{app=\"x\", service_name=\"x\"}: 1000000000 a\"b {detected_level=\"warn\", \
                http_Status_Code=\"200\", http_r_id=\"7\", list=\"[1,{\\\"a\\\":2}]\", \
                log_level=\"warn\", n=\"1.50\", on=\"true\"}";
    assert_eq!(all(&cluster), [want]);
}

#[tokio::test]
async fn parameters_choose_fields() {
    let cluster = Cluster::one(Limits::default());
    let query = "?_time_field=date&_msg_field=text,alt&_stream_fields=kubernetes.pod,zone&ignore_fields=junk&extra_fields=site=fra";
    let body = r#"{"date":1767225600000,"alt":"hi","kubernetes":{"pod":"p1"},"zone":"z","junk":"j","app":"x"}"#;
    assert_eq!(push(&cluster, query, body).await.status, 204);
    let want = "{kubernetes_pod=\"p1\", service_name=\"unknown_service\", zone=\"z\"}: 0 hi \
                {app=\"x\", detected_level=\"unknown\", site=\"fra\"}";
    assert_eq!(all(&cluster), [want]);
    let answer = push(&cluster, "?extra_fields=nothing", body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
}

#[tokio::test]
async fn a_document_without_message_or_with_too_many_fields_is_the_line() {
    let limits = Limits { max_structured_metadata_entries_count: 3, ..Limits::default() };
    let cluster = Cluster::one(limits);
    let none = r#"{"app":"x","a":1}"#;
    let many = r#"{"app":"x","message":"m","a":1,"b":2,"c":3,"d":4}"#;
    assert_eq!(push(&cluster, "", &format!("{none}\n{many}")).await.status, 204);
    let want = [(0, none), (1, many)].map(|(ts, line)| {
        format!("{{app=\"x\", service_name=\"x\"}}: {ts} {line} {{detected_level=\"unknown\"}}")
    });
    assert_eq!(all(&cluster), want);
    let limits = Limits { max_structured_metadata_size: ByteSize(10), ..Limits::default() };
    let cluster = Cluster::one(limits);
    let long = r#"{"message":"m","long":"0123456789"}"#;
    assert_eq!(push(&cluster, "", long).await.status, 204);
    assert!(all(&cluster)[0].contains(long), "{:?}", all(&cluster));
}

#[tokio::test]
async fn bad_documents_are_named_and_the_others_stored() {
    let cluster = Cluster::one(Limits::default());
    let body = "{\"message\":\"one\"}\n{\"message\":\nnonsense\n[1]\n{\"message\":\"x\",\"time\":\"soon\"}\n{\"message\":\"two\"}";
    let answer = push(&cluster, "", body).await;
    assert_eq!(answer.status, 400);
    for part in ["err-skald-document-unreadable", "err-skald-document-time-invalid", "4 out of 6"] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    assert_eq!(all(&cluster).len(), 2);
    assert!(cluster.metrics().contains("reason=\"document_unreadable\""));
}

#[tokio::test]
async fn values_that_make_no_label_stay_metadata() {
    let limits = Limits {
        max_label_value_length: 4,
        discover_service_name: Vec::new(),
        ..Limits::default()
    };
    let cluster = Cluster::one(limits);
    let body = r#"{"message":"m","app":"x","host":"longer than four"}"#;
    assert_eq!(push(&cluster, "", body).await.status, 204);
    let want = "{app=\"x\"}: 0 m {detected_level=\"unknown\", host=\"longer than four\"}";
    assert_eq!(all(&cluster), [want]);
}

#[tokio::test]
async fn deep_and_wide_documents_are_bounded() {
    let cluster = Cluster::one(Limits::default());
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let list = format!("{{\"message\":\"m\",\"l\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let fields: String = (0..100_000).map(|i| format!("\"f{i}\":1,")).collect();
    let wide = format!("{{{fields}\"message\":\"m\"}}");
    let answer = push(&cluster, "", &format!("{deep}\n{list}\n{wide}")).await;
    // Whole they are longer than a line may be, or nested deeper than is read.
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("2 out of 3"), "{}", answer.text);
    assert_eq!(all(&cluster).len(), 1);
}

#[tokio::test]
async fn streams_that_take_turns_are_each_sent_once_with_labels() {
    let cluster = Cluster::one(Limits::default());
    let body: String =
        (0..100).map(|i| format!("{{\"app\":\"a{}\",\"message\":\"m{i}\"}}\n", i % 2)).collect();
    assert_eq!(push(&cluster, "", &body).await.status, 204);
    assert_eq!(all(&cluster).len(), 100);
    assert_eq!(cluster.data().lines.len(), 2);
    // An ingester that lost its streams asks for the labels again.
    cluster.ingesters[0].forget();
    assert_eq!(push(&cluster, "", &body).await.status, 204);
    assert_eq!(cluster.data().lines.len(), 2);
}

#[test]
fn objects_with_long_names_are_not_taken_apart() {
    let long = "n".repeat(2000);
    let text = format!(r#"{{"{long}":{{"a":1,"b":{{"c":2}}}},"x":{{"y":3}}}}"#);
    let fields = super::flatten(&text).unwrap();
    let found: Vec<_> = fields.list.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
    assert_eq!(found, [(long.as_str(), r#"{"a":1,"b":{"c":2}}"#), ("x_y", "3")]);
}
