//! Replays the recorded `query` and `query_range` cases.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use skald_logql::{
    Direction, Engine, InstantParams, QueryError, QueryResult, RangeParams, Value, merged_streams,
};
use skald_model::Labels;

use crate::dataset::{load, read};
use crate::source::MemorySource;

/// Category and how many of its cases pass.
const FLOOR: &[(&str, usize)] = &[
    ("error.parse", 150),
    ("log.decolorize", 6),
    ("log.drop_keep", 16),
    ("log.json", 32),
    ("log.label_filter", 58),
    ("log.label_format", 24),
    ("log.line_filter", 60),
    ("log.line_format", 68),
    ("log.logfmt", 30),
    ("log.mixed", 8),
    ("log.regexp_pattern", 34),
    ("log.selector", 30),
    ("log.unpack", 12),
    ("metric.binary", 80),
    ("metric.log_range", 72),
    ("metric.unwrap", 48),
    ("metric.vector", 49),
];

#[tokio::test]
async fn recorded_answers_are_given() {
    let Some(source) = load() else {
        println!("no recorded answers here, nothing to compare with");
        return;
    };
    let verbose = std::env::var_os("LOGQL_VERBOSE").is_some();
    let mut short = Vec::new();
    for (category, floor) in FLOOR {
        let file = read(&format!("{category}.json")).unwrap();
        let cases = file["cases"].as_array().unwrap();
        let mut passed = 0;
        for case in cases {
            match check(&source, case).await {
                Ok(()) => passed += 1,
                Err(why) if verbose => {
                    println!(
                        "{} {} {}\n    {why}",
                        case["id"], case["path"], case["params"]["query"]
                    );
                }
                Err(_) => {}
            }
        }
        println!("{category}: {passed}/{}", cases.len());
        if passed < *floor {
            short.push(format!("{category}: {passed} < {floor}"));
        }
    }
    assert!(short.is_empty(), "{short:?}");
}

fn number(case: &Json, name: &str) -> Option<i64> {
    case["params"][name].as_str()?.parse().ok()
}

async fn answer(source: &MemorySource, case: &Json) -> Result<QueryResult, QueryError> {
    let engine = Engine::default();
    let query = case["params"]["query"].as_str().unwrap_or_default().to_owned();
    if case["path"] == "/query" {
        let time_ns = number(case, "time").unwrap();
        return engine.query_instant(source, &InstantParams { query, time_ns }).await;
    }
    let (start_ns, end_ns) = (number(case, "start").unwrap(), number(case, "end").unwrap());
    let step = number(case, "step").unwrap_or(((end_ns - start_ns) / 1_000_000_000 / 250).max(1));
    let forward = case["params"]["direction"] == "forward";
    let params = RangeParams {
        query,
        start_ns,
        end_ns,
        step_ns: step * 1_000_000_000,
        interval_ns: 0,
        limit: usize::try_from(number(case, "limit").unwrap_or(100)).unwrap(),
        direction: if forward { Direction::Forward } else { Direction::Backward },
    };
    engine.query_range(source, &params).await
}

async fn check(source: &MemorySource, case: &Json) -> Result<(), String> {
    let got = answer(source, case).await;
    if case["status"] != 200 {
        return match got {
            Err(e) if e.kind() == skald_model::ErrorKind::Invalid => Ok(()),
            Err(e) => Err(format!("wrong kind of error: {e}")),
            Ok(_) => Err("should fail".to_owned()),
        };
    }
    let got = got.map_err(|e| e.to_string())?;
    let data = &case["response"]["data"];
    let want = &data["result"];
    let kind = data["resultType"].as_str().unwrap();
    match (&got.value, kind) {
        (Value::Streams(streams), "streams") => {
            let mut found: BTreeMap<Key, Lines> = BTreeMap::new();
            for stream in merged_streams(streams) {
                let line = |(t, l): &(i64, _)| (t.to_string(), text(l));
                let lines = stream.entries.iter().map(line);
                found.entry(key(&stream.labels)).or_default().extend(lines);
            }
            compare_streams(&found, want)
        }
        (Value::Matrix(series), "matrix") => {
            let found = series.iter().map(|s| (key(&s.labels), s.points.clone())).collect();
            compare_series(&found, want, |item| points(&item["values"]))
        }
        (Value::Vector { timestamp_ms, samples }, "vector") => {
            let found = samples.iter().map(|s| (key(&s.labels), vec![(*timestamp_ms, s.value)]));
            compare_series(&found.collect(), want, |item| vec![point(&item["value"])])?;
            if case["compare"] == "value" {
                let order: Vec<f64> = samples.iter().map(|s| s.value).collect();
                let want: Vec<f64> =
                    want.as_array().unwrap().iter().map(|i| point(&i["value"]).1).collect();
                return same_values(&order, &want);
            }
            Ok(())
        }
        (Value::Scalar { value, .. }, "scalar") => same_values(&[*value], &[float(&want[1])]),
        (other, kind) => Err(format!("wants {kind}, got {other:?}")),
    }
}

fn text(bytes: &bytes::Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

type Key = BTreeMap<String, String>;

/// Labels to compare by; the text of error details is free.
fn key(labels: &Labels) -> Key {
    labels.iter().map(|(n, v)| (n.to_owned(), free(n, v))).collect()
}

fn key_of(json: &Json) -> Key {
    let pairs = json.as_object().unwrap().iter();
    pairs.map(|(n, v)| (n.clone(), free(n, v.as_str().unwrap()))).collect()
}

fn free(name: &str, value: &str) -> String {
    if name == "__error_details__" { String::new() } else { value.to_owned() }
}

fn float(json: &Json) -> f64 {
    match json.as_str().unwrap() {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of recorded answers")]
fn point(json: &Json) -> (i64, f64) {
    ((json[0].as_f64().unwrap() * 1000.0).round() as i64, float(&json[1]))
}

fn points(json: &Json) -> Vec<(i64, f64)> {
    json.as_array().unwrap().iter().map(point).collect()
}

type Lines = Vec<(String, String)>;

fn compare_streams(found: &BTreeMap<Key, Lines>, want: &Json) -> Result<(), String> {
    // Details may differ in text and so make several streams of one.
    let mut wanted: BTreeMap<Key, Lines> = BTreeMap::new();
    for item in want.as_array().unwrap() {
        let lines = item["values"].as_array().unwrap().iter();
        let line =
            |v: &Json| (v[0].as_str().unwrap().to_owned(), v[1].as_str().unwrap().to_owned());
        wanted.entry(key_of(&item["stream"])).or_default().extend(lines.map(line));
    }
    same_keys(found.keys(), wanted.keys())?;
    for (labels, lines) in found {
        let wanted = &wanted[labels];
        let times = |l: &Lines| l.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>();
        let broken = labels.contains_key("__error_details__");
        if !broken && times(lines) != times(wanted) {
            return Err(format!("times of {labels:?}"));
        }
        let set = |l: &Lines| l.iter().cloned().collect::<BTreeSet<_>>();
        if set(lines) != set(wanted) {
            let odd: Vec<_> =
                set(lines).symmetric_difference(&set(wanted)).take(4).cloned().collect();
            return Err(format!("lines of {labels:?}: {odd:?}"));
        }
    }
    Ok(())
}

fn same_keys<'a>(
    found: impl Iterator<Item = &'a Key>,
    want: impl Iterator<Item = &'a Key>,
) -> Result<(), String> {
    let (found, want): (BTreeSet<_>, BTreeSet<_>) = (found.collect(), want.collect());
    let extra: Vec<_> = found.difference(&want).take(2).collect();
    let missing: Vec<_> = want.difference(&found).take(2).collect();
    if extra.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(format!("extra {extra:?} missing {missing:?}"))
}

fn compare_series(
    found: &BTreeMap<Key, Vec<(i64, f64)>>,
    want: &Json,
    values: impl Fn(&Json) -> Vec<(i64, f64)>,
) -> Result<(), String> {
    let wanted: BTreeMap<Key, Vec<(i64, f64)>> =
        want.as_array().unwrap().iter().map(|i| (key_of(&i["metric"]), values(i))).collect();
    same_keys(found.keys(), wanted.keys())?;
    for (labels, points) in found {
        let want = &wanted[labels];
        let split = |p: &[(i64, f64)]| p.iter().copied().unzip::<i64, f64, Vec<_>, Vec<_>>();
        let ((times, values), (want_times, want_values)) = (split(points), split(want));
        if times != want_times {
            return Err(format!("steps of {labels:?}: {times:?} not {want_times:?}"));
        }
        same_values(&values, &want_values).map_err(|e| format!("{labels:?}: {e}"))?;
    }
    Ok(())
}

fn same_values(found: &[f64], want: &[f64]) -> Result<(), String> {
    let near = |a: f64, b: f64| {
        (a.is_nan() && b.is_nan())
            || (a.is_infinite() && b.is_infinite() && a.is_sign_positive() == b.is_sign_positive())
            || (a - b).abs() <= (1e-9 * a.abs().max(b.abs())).max(1e-12)
    };
    if found.len() == want.len() && found.iter().zip(want).all(|(a, b)| near(*a, *b)) {
        return Ok(());
    }
    Err(format!("{found:?} not {want:?}"))
}

#[test]
fn queries_are_printed_as_recorded() {
    let Some(file) = read("api.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    let mut n = 0;
    for case in cases.iter().filter(|c| c["path"] == "/format_query") {
        let query = case["params"]["query"].as_str().unwrap();
        let got = skald_logql::parse(query).map(|e| e.to_string()).ok();
        assert_eq!(got.as_deref(), case["response"]["data"].as_str(), "{query}");
        n += 1;
    }
    assert!(n > 10);
}
