//! Whether an answer is the recorded one, by the rules that come with the recordings.

use std::collections::BTreeMap;

use serde_json::Value;
use skald_testkit::Reply;

/// `Err` says the first difference.
pub(super) fn check(case: &Value, reply: &Reply) -> Result<(), String> {
    let want_status = case["status"].as_u64().unwrap();
    if u64::from(reply.status.as_u16()) != want_status {
        return Err(format!("status {} instead of {want_status}: {}", reply.status, reply.text()));
    }
    let want = &case["response"];
    if want_status != 200 {
        let Some(kind) = want["errorType"].as_str() else { return Ok(()) };
        let got = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        return (got["errorType"] == kind)
            .then_some(())
            .ok_or(format!("errorType {}", got["errorType"]));
    }
    let got: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
    let (want, got) = (&want["data"], &got["data"]);
    match case["compare"].as_str().unwrap() {
        "exact" | "list" => same(want, got),
        "set" => same(&sorted(want), &sorted(got)),
        "metadata" => {
            let sets = |v: &Value| -> BTreeMap<String, Value> {
                v.as_object()
                    .map(|o| o.iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
                    .unwrap_or_default()
            };
            (sets(want) == sets(got)).then_some(()).ok_or_else(|| format!("want {want} got {got}"))
        }
        "exemplars" => same(&canonical_exemplars(want), &canonical_exemplars(got)),
        mode => results(mode, want, got),
    }
}

fn same(want: &Value, got: &Value) -> Result<(), String> {
    // An absent list is an empty one.
    let empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
    if close(want, got) || (empty(want) && empty(got)) {
        Ok(())
    } else {
        Err(format!("want {want} got {got}"))
    }
}

fn sorted(v: &Value) -> Value {
    let mut list = v.as_array().cloned().unwrap_or_default();
    list.sort_by_key(key_of);
    Value::Array(list)
}

/// A text that equal objects share, whatever the order of their keys.
fn key_of(v: &Value) -> String {
    match v {
        Value::Object(o) => {
            let sorted: BTreeMap<&String, String> = o.iter().map(|(k, v)| (k, key_of(v))).collect();
            format!("{sorted:?}")
        }
        Value::Array(a) => format!("{:?}", a.iter().map(key_of).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

fn canonical_exemplars(v: &Value) -> Value {
    let mut out = Vec::new();
    for series in v.as_array().into_iter().flatten() {
        for e in series["exemplars"].as_array().into_iter().flatten() {
            let mut e = e.clone();
            e["series"] = Value::String(key_of(&series["seriesLabels"]));
            out.push(e);
        }
    }
    sorted(&Value::Array(out))
}

fn results(mode: &str, want: &Value, got: &Value) -> Result<(), String> {
    if want["resultType"] != got["resultType"] {
        return Err(format!("resultType {} instead of {}", got["resultType"], want["resultType"]));
    }
    let (want, got) = (&want["result"], &got["result"]);
    let is_series = |v: &Value| v.as_array().is_some_and(|a| a.iter().all(Value::is_object));
    if !is_series(want) || !is_series(got) {
        return same(want, got);
    }
    let (want, got) = (want.as_array().unwrap(), got.as_array().unwrap());
    if mode == "count" {
        let same = want.len() == got.len();
        return if same {
            Ok(())
        } else {
            Err(format!("{} elements, not {}", got.len(), want.len()))
        };
    }
    if mode == "value" || mode == "full" {
        for (w, g) in want.iter().zip(got) {
            let equal =
                if mode == "full" { element(w, g) } else { close(&w["value"], &g["value"]) };
            if !equal {
                return Err(format!("order: want {w} got {g}"));
            }
        }
    }
    let (want, got) = (by_labels(want), by_labels(got));
    for (labels, w) in &want {
        let g = got.get(labels).ok_or_else(|| format!("no element {labels}: got {got:?}"))?;
        if !element(w, g) {
            return Err(format!("want {w} got {g}"));
        }
    }
    if want.len() == got.len() { Ok(()) } else { Err(format!("more than wanted: {got:?}")) }
}

/// Elements by their labels. Streams that differ only in the text of `__error_details__`, which is free,
/// become one, its lines in the order of time.
fn by_labels(list: &[Value]) -> BTreeMap<String, Value> {
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    for element in list {
        let labels = if element["metric"].is_null() { "stream" } else { "metric" };
        let mut element = element.clone();
        let free = element[labels].get_mut("__error_details__").map(Value::take).is_some();
        let known = out.entry(key_of(&element[labels])).or_insert_with(|| {
            let mut first = element.clone();
            if free {
                first["values"] = Value::Array(Vec::new());
            }
            first
        });
        if let (true, Some(values)) = (free, known["values"].as_array_mut()) {
            values.extend(element["values"].as_array().cloned().unwrap_or_default());
            values.sort_by_key(key_of);
        }
    }
    out
}

fn element(want: &Value, got: &Value) -> bool {
    ["value", "histogram", "histograms"].iter().all(|k| close(&want[*k], &got[*k]))
        && if want["stream"].is_null() {
            close(&want["values"], &got["values"])
        } else {
            lines(&want["values"], &got["values"])
        }
}

/// Lines in the given order; those of equal time in any.
fn lines(want: &Value, got: &Value) -> bool {
    let (Some(want), Some(got)) = (want.as_array(), got.as_array()) else { return want == got };
    let times = |v: &[Value]| v.iter().map(|e| e[0].clone()).collect::<Vec<_>>();
    let set = |v: &[Value]| {
        let mut v: Vec<String> = v.iter().map(key_of).collect();
        v.sort();
        v
    };
    times(want) == times(got) && set(want) == set(got)
}

/// Equal, numbers (also those in strings) within 1e-9.
fn close(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            // A histogram without buckets may leave the list out.
            let filled = |v: &Value| v.as_array().is_none_or(|list| !list.is_empty());
            let fields =
                |o: &serde_json::Map<String, Value>| o.values().filter(|v| filled(v)).count();
            let same = |k: &String, v: &Value| b.get(k).is_some_and(|w| close(v, w)) || !filled(v);
            fields(a) == fields(b) && a.iter().all(|(k, v)| same(k, v))
        }
        (Value::String(a), Value::String(b)) => {
            a == b || matches!((number(a), number(b)), (Some(a), Some(b)) if near(a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() < 5e-4 || near(a, b))
        }
        (a, b) => a == b,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn near(a: f64, b: f64) -> bool {
    #[expect(clippy::float_cmp, reason = "infinities and exact values first")]
    let same = a == b;
    same || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= 1e-12
        || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}
