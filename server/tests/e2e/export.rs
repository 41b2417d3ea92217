//! `skald export`, read back by a Parquet reader and as JSON, against what was pushed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMillisecondType, TimestampNanosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use skald_testkit::payload::{self, REMOTE_WRITE_V1, REMOTE_WRITE_V2};
use skald_testkit::{Server, ServerBuilder};

use crate::{now_ms, skald};

const BINARY: &str = env!("CARGO_BIN_EXE_skald");

/// Runs an export of what a server has stored, and answers its standard output.
fn export(builder: &ServerBuilder, args: &[&str]) -> (bool, Vec<u8>, String) {
    let mut command = Command::new(BINARY);
    command.arg("export").args(args).arg("--data-dir").arg(builder.data_dir());
    let out = command.output().unwrap();
    (out.status.success(), out.stdout, String::from_utf8_lossy(&out.stderr).into_owned())
}

/// The rows of all files of a directory, by `row`.
fn rows<T>(dir: &Path, row: impl Fn(&arrow_array::RecordBatch, usize) -> T) -> Vec<T> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        assert_eq!(file.extension().unwrap(), "parquet", "{}", file.display());
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            out.extend((0..batch.num_rows()).map(|i| row(&batch, i)));
        }
    }
    out
}

fn map(batch: &arrow_array::RecordBatch, column: &str, row: usize) -> BTreeMap<String, String> {
    let entries = batch.column_by_name(column).unwrap().as_map().value(row);
    let text = |i: usize| entries.column(i).as_string::<i32>().clone();
    let (keys, values) = (text(0), text(1));
    (0..keys.len()).map(|i| (keys.value(i).to_owned(), values.value(i).to_owned())).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

async fn push(server: &Server, t0: i64) {
    let of = |job: &str| {
        payload::series(
            &[("__name__", "m"), ("job", job)],
            &[(t0, 1.5), (t0 + 1000, f64::INFINITY)],
        )
    };
    let body = payload::write_v1(vec![of("a"), of("b")]);
    let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let body = payload::write_v2_started_histograms(&[("__name__", "h")], &[(t0, 5, t0 - 7)]);
    let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V2, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let line = |ms: i64, text: &str| {
        format!(r#"["{}","{text}",{{"trace":"{ms}"}}]"#, (t0 + ms) * 1_000_000)
    };
    let lines = [line(0, "one"), line(1, "two"), line(2, "three")].join(",");
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"web"}},"values":[{lines}]}}]}}"#);
    let header = [("content-type", "application/json")];
    assert_eq!(server.client.post("/loki/api/v1/push", &header, body).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_is_exported_once_and_without_what_is_deleted() {
    let builder = skald().set("limits.discover_log_levels", "false");
    let server = builder.start().await;
    let t0 = now_ms() - 60_000;
    // Twice: two blocks have the same.
    for _ in 0..2 {
        push(&server, t0).await;
        assert!(server.client.post("/flush", &[], "").await.status.is_success());
    }
    let form = [("match[]", r#"m{job="b"}"#)];
    let reply = server.client.post_form("/api/v1/admin/tsdb/delete_series", &form).await;
    assert_eq!(reply.status, 204);
    let form = [("query", r#"{app="web"} |= "two""#), ("start", "0")];
    assert_eq!(server.client.post_form("/loki/api/v1/delete", &form).await.status, 204);

    check_samples(&builder, t0);
    check_lines(&builder, t0);
    // Who has nothing gets nothing.
    let (ok, text, _) = export(&builder, &["logs", "nobody", "--format", "ndjson", "--out", "-"]);
    assert!(ok && text.is_empty());
    let (ok, _, err) = export(&builder, &["metrics", "default", "--start", "soon", "--out", "-"]);
    assert!(!ok && err.contains("--start is \"soon\""), "{err}");
}

fn check_samples(builder: &ServerBuilder, t0: i64) {
    let dir = builder.data_dir().join("out");
    let out = dir.to_str().unwrap();
    let (ok, _, err) = export(builder, &["metrics", "default", "--out", out]);
    assert!(ok && err.contains("exported 3 samples in"), "{err}");
    let samples = rows(&dir, |batch, i| {
        let time = batch.column_by_name("timestamp").unwrap();
        let value = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        let start = batch.column_by_name("start_timestamp").unwrap();
        let start = start.as_primitive::<TimestampMillisecondType>();
        let histogram = batch.column_by_name("histogram").unwrap().as_struct();
        let count = histogram.column_by_name("count").unwrap().as_primitive::<Float64Type>();
        (
            map(batch, "labels", i),
            time.as_primitive::<TimestampMillisecondType>().value(i),
            value.is_valid(i).then(|| value.value(i)),
            histogram.is_valid(i).then(|| count.value(i)),
            start.is_valid(i).then(|| start.value(i)),
        )
    });
    let m = labels(&[("__name__", "m"), ("job", "a")]);
    let want = [
        (labels(&[("__name__", "h")]), t0, None, samples[0].3, Some(t0 - 7)),
        (m.clone(), t0, Some(1.5), None, None),
        (m.clone(), t0 + 1000, Some(f64::INFINITY), None, None),
    ];
    assert_eq!(samples, want);
    assert!(samples[0].3.is_some_and(|count| count > 0.0));
    // A file that is there stays as it is.
    let (ok, _, err) = export(builder, &["metrics", "default", "--out", out]);
    assert!(!ok && err.contains("write"), "{err}");

    let start = format!("{}.{:03}", (t0 + 1000) / 1000, (t0 + 1000) % 1000);
    let args = [
        "metrics", "default", "--match", "m", "--start", &start, "--format", "ndjson", "--out", "-",
    ];
    let (ok, text, err) = export(builder, &args);
    assert!(ok, "{err}");
    let row: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&row["value"], &row["labels"]["job"]), (&Value::from("+Inf"), &Value::from("a")));
    assert!(row.get("start_timestamp").is_none(), "it is not known");
    let args = ["metrics", "default", "--match", "h", "--format", "ndjson", "--out", "-"];
    let (ok, text, err) = export(builder, &args);
    assert!(ok, "{err}");
    let row: Value = serde_json::from_slice(&text).unwrap();
    let start = row["start_timestamp"].as_str().unwrap();
    assert!(start.ends_with(&format!(".{:03}Z", (t0 - 7) % 1000)), "{row}");
}

fn check_lines(builder: &ServerBuilder, t0: i64) {
    let dir = builder.data_dir().join("lines");
    let (ok, _, err) = export(builder, &["logs", "default", "--out", dir.to_str().unwrap()]);
    assert!(ok, "{err}");
    let lines = rows(&dir, |batch, i| {
        let time = batch.column_by_name("timestamp").unwrap();
        (
            time.as_primitive::<TimestampNanosecondType>().value(i),
            batch.column_by_name("line").unwrap().as_string::<i32>().value(i).to_owned(),
            map(batch, "labels", i)["app"].clone(),
            map(batch, "structured_metadata", i)["trace"].clone(),
        )
    });
    let line = |ms: i64, text: &str| {
        ((t0 + ms) * 1_000_000, text.to_owned(), "web".to_owned(), ms.to_string())
    };
    assert_eq!(lines, [line(0, "one"), line(2, "three")]);
    let query = r#"{app="web"} |= "three""#;
    let (ok, text, err) =
        export(builder, &["logs", "default", "--query", query, "--format", "ndjson", "--out", "-"]);
    assert!(ok, "{err}");
    let row: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&row["line"], &row["structured_metadata"]["trace"]),
        (&Value::from("three"), &Value::from("2"))
    );
}
