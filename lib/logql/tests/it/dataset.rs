//! Loads the recorded dataset as a server would after ingestion.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use skald_model::{Labels, LabelsBuilder, LogEntry, StreamEntries};

use crate::source::MemorySource;

/// The folder of recorded answers, when it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/logql");
    path.is_dir().then_some(path)
}

pub(crate) fn read(name: &str) -> Option<Value> {
    let bytes = std::fs::read(folder()?.join(name)).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}

pub(crate) fn load() -> Option<MemorySource> {
    let data = read("dataset.json")?;
    let streams = data["streams"].as_array().unwrap().iter().map(stream).collect();
    Some(MemorySource { streams, ..MemorySource::default() })
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    value
        .as_object()
        .map(|o| o.iter().map(|(k, v)| (k.clone(), text(v))).collect())
        .unwrap_or_default()
}

fn stream(value: &Value) -> StreamEntries {
    let mut labels = pairs(&value["stream"]);
    let app = labels.iter().find(|(n, _)| n == "app").unwrap().1.clone();
    labels.push(("service_name".to_owned(), app));
    let level = labels.iter().find(|(n, _)| n == "level").map(|(_, v)| v.clone());
    let mut entries: Vec<LogEntry> = Vec::new();
    for item in value["values"].as_array().unwrap() {
        let line = item[1].as_str().unwrap();
        let metadata = pairs(item.get(2).unwrap_or(&Value::Null));
        let mut builder = LabelsBuilder::default();
        for (name, value) in &metadata {
            builder.set(name, value);
        }
        let field = metadata.iter().find(|(n, _)| n == "level" || n == "severity");
        let known = level.clone().or_else(|| field.map(|(_, v)| v.clone()));
        builder
            .set("detected_level", &known.and_then(|l| normal(&l)).unwrap_or_else(|| detect(line)));
        let entry = LogEntry {
            timestamp_ns: item[0].as_str().unwrap().parse().unwrap(),
            line: Bytes::copy_from_slice(line.as_bytes()),
            metadata: builder.build(),
        };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.sort_by_key(|e| e.timestamp_ns);
    StreamEntries { labels: Labels::from_pairs(labels), entries }
}

fn normal(level: &str) -> Option<String> {
    Some(
        match level.to_ascii_lowercase().as_str() {
            "trace" | "trc" => "trace",
            "debug" | "dbg" => "debug",
            "info" | "inf" | "information" => "info",
            "warn" | "wrn" | "warning" => "warn",
            "error" | "err" => "error",
            "critical" => "critical",
            "fatal" => "fatal",
            _ => return None,
        }
        .to_owned(),
    )
}

/// The level of a line: a JSON or logfmt field, else the first word that names one.
fn detect(line: &str) -> String {
    let json = line.split_once("\"level\": \"").map(|(_, rest)| rest);
    let logfmt = line.split_once("level=").map(|(_, rest)| rest);
    let word = |rest: &str| rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
    if let Some(level) = json.or(logfmt).and_then(|rest| normal(&word(rest))) {
        return level;
    }
    let lower = line.to_ascii_lowercase();
    let is_word = |w: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == w);
    if line.starts_with('\u{1b}') {
        return "unknown".to_owned();
    }
    for (words, level) in [
        (&["trace"][..], "trace"),
        (&["debug"], "debug"),
        (&["info"], "info"),
        (&["warn", "warning"], "warn"),
        (&["error", "err"], "error"),
        (&["critical"], "critical"),
        (&["fatal"], "fatal"),
    ] {
        if words.iter().any(|w| is_word(w)) {
            return level.to_owned();
        }
    }
    "unknown".to_owned()
}
