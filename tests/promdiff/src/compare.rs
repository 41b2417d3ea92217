//! Whether two answers say the same to a client.

use std::collections::BTreeSet;

use serde_json::Value;
use skald_testkit::http::Reply;

/// Sums over series may be made in another order; beyond this it is another number.
const TOLERANCE: f64 = 1e-11;
/// Where Prometheus cuts its lists of remarks.
const MAX_NOTES: usize = 10;

/// Where two answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One is an error, or another kind of error.
    Status,
    ErrorText,
    ResultType,
    /// Which series there are.
    Series,
    /// At which times they have samples, and of what kind.
    Samples,
    Value,
    Order,
    Warnings,
    Infos,
}

#[derive(Clone, Debug)]
pub struct Difference {
    pub kind: Kind,
    pub text: String,
}

/// Compares the answers to `query`.
pub fn compare(query: &str, theirs: &Reply, ours: &Reply) -> Result<(), Difference> {
    let (t, o) = (parse(theirs), parse(ours));
    if is_explained(query, &t, &o) {
        return Ok(());
    }
    if theirs.status != ours.status || t["errorType"] != o["errorType"] {
        let show = |r: &Reply| format!("{} {}", r.status, cut(&r.text()));
        return fail(Kind::Status, &show(theirs), &show(ours));
    }
    let (te, oe) = (error_text(&t), error_text(&o));
    if te != oe {
        return fail(Kind::ErrorText, &te, &oe);
    }
    same(Kind::ResultType, &t["data"]["resultType"], &o["data"]["resultType"])?;
    result(query, &t["data"], &o["data"])?;
    notes(Kind::Warnings, &t["warnings"], &o["warnings"])?;
    notes(Kind::Infos, &t["infos"], &o["infos"])
}

/// Differences that docs/promql-differences.md explains.
fn is_explained(query: &str, theirs: &Value, ours: &Value) -> bool {
    const CLASH: &str = "vector cannot contain metrics with the same labelset";
    let clash = ours["error"] == CLASH;
    let kinds_merged =
        clash && query.contains("label_") && theirs["data"].to_string().contains("histogram");
    kinds_merged || clash && theirs["error"] == "unexpected number of samples"
}

fn parse(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}

fn fail(kind: Kind, theirs: &str, ours: &str) -> Result<(), Difference> {
    Err(Difference { kind, text: format!("want {}, got {}", cut(theirs), cut(ours)) })
}

fn same(kind: Kind, theirs: &Value, ours: &Value) -> Result<(), Difference> {
    if theirs == ours { Ok(()) } else { fail(kind, &theirs.to_string(), &ours.to_string()) }
}

/// Which of several clashing series an error names depends on their order in the store.
fn error_text(answer: &Value) -> String {
    let text = answer["error"].as_str().unwrap_or_default();
    let parts = text.split_once(" for the match group ").map(|(what, rest)| {
        let side = if rest.contains("on the left") { "left" } else { "right" };
        format!("{what} on the {side}")
    });
    parts.unwrap_or_else(|| text.to_owned())
}

fn result(query: &str, theirs: &Value, ours: &Value) -> Result<(), Difference> {
    if theirs["resultType"] == "scalar" || theirs["resultType"] == "string" {
        return sample(&theirs["result"], &ours["result"]);
    }
    let list = |v: &Value| v["result"].as_array().cloned().unwrap_or_default();
    let (mut t, mut o) = (list(theirs), list(ours));
    let counts_values = query.contains("count_values");
    let metric = |v: &Value| {
        let map = v["metric"].as_object().cloned().unwrap_or_default();
        let pair = |(n, v): (&String, &Value)| match v.as_str() {
            // Last digits that went into a label.
            Some(text) if counts_values && n == "value" => format!("{n}={}", rounded(text)),
            _ => format!("{n}={v}"),
        };
        let mut pairs: Vec<String> = map.iter().map(pair).collect();
        pairs.sort();
        pairs.join(",")
    };
    let vector = theirs["resultType"] == "vector";
    let by_value = query.starts_with("sort(") || query.starts_with("sort_desc(");
    if vector && by_value {
        // Equal values are in any order.
        for (t, o) in t.iter().zip(&o) {
            if !equal(&t["value"], &o["value"]) {
                return fail(Kind::Order, &t.to_string(), &o.to_string());
            }
        }
    }
    // Prometheus puts series without a label anywhere between the others.
    let names = |v: &Value| v["metric"].as_object().map(|m| m.keys().cloned().collect::<Vec<_>>());
    let alike = t.iter().chain(&o).map(names).collect::<BTreeSet<_>>().len() < 2;
    if !vector || !query.starts_with("sort_by_label") || !alike {
        t.sort_by_cached_key(metric);
        o.sort_by_cached_key(metric);
    }
    let names = |list: &[Value]| list.iter().map(metric).collect::<Vec<_>>();
    let (tn, on) = (names(&t), names(&o));
    if tn != on {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let kind = if set(&tn) == set(&on) { Kind::Order } else { Kind::Series };
        return fail(kind, &format!("{tn:?}"), &format!("{on:?}"));
    }
    for (t, o) in t.iter().zip(&o) {
        for key in ["value", "histogram"] {
            sample(&t[key], &o[key]).map_err(|d| at(d, &metric(t)))?;
        }
        for key in ["values", "histograms"] {
            samples(&t[key], &o[key]).map_err(|d| at(d, &metric(t)))?;
        }
    }
    Ok(())
}

/// The text with the numbers in it cut to nine digits behind the first.
fn rounded(text: &str) -> String {
    let parts = text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || ".+-".contains(c)));
    let round = |part: &str| {
        let number = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        match number.parse::<f64>() {
            Ok(v) => format!("{v:.9e}{}", &part[number.len()..]),
            Err(_) => part.to_owned(),
        }
    };
    parts.map(round).collect()
}

fn at(d: Difference, metric: &str) -> Difference {
    Difference { text: format!("{{{metric}}}: {}", d.text), ..d }
}

fn samples(theirs: &Value, ours: &Value) -> Result<(), Difference> {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let (t, o) = (list(theirs), list(ours));
    let times = |list: &[Value]| list.iter().map(|v| v[0].to_string()).collect::<Vec<_>>();
    if times(&t) != times(&o) {
        return fail(Kind::Samples, &times(&t).join(" "), &times(&o).join(" "));
    }
    t.iter().zip(&o).try_for_each(|(t, o)| sample(t, o))
}

/// `[time, value]`.
fn sample(theirs: &Value, ours: &Value) -> Result<(), Difference> {
    if theirs[0] != ours[0] {
        return fail(Kind::Samples, &theirs.to_string(), &ours.to_string());
    }
    match equal(&theirs[1], &ours[1]) {
        true => Ok(()),
        false => fail(Kind::Value, &theirs.to_string(), &ours.to_string()),
    }
}

/// Numbers in texts up to rounding; everything else to the letter.
fn equal(theirs: &Value, ours: &Value) -> bool {
    match (theirs, ours) {
        (Value::Array(t), Value::Array(o)) => {
            t.len() == o.len() && t.iter().zip(o).all(|(t, o)| equal(t, o))
        }
        (Value::Object(t), Value::Object(o)) => {
            let keys: BTreeSet<&String> = t.keys().chain(o.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, k: &String| {
                map.get(k).cloned().unwrap_or_default()
            };
            keys.into_iter().all(|k| match k.as_str() {
                "buckets" => equal(&without_nan(&of(t, k)), &without_nan(&of(o, k))),
                _ => equal(&of(t, k), &of(o, k)),
            })
        }
        (Value::String(t), Value::String(o)) if t != o => match (t.parse(), o.parse()) {
            (Ok(t), Ok(o)) => close(t, o),
            _ => false,
        },
        (t, o) => t == o,
    }
}

/// Prometheus keeps empty buckets, and infinity times nothing is not a number.
fn without_nan(buckets: &Value) -> Value {
    let list = buckets.as_array().cloned().unwrap_or_default();
    list.into_iter().filter(|b| b[3] != "NaN").collect()
}

/// Whether both chose equally many series, of equal values if they compare them, at each time:
/// which of equal ones it takes depends in Prometheus on the order of its store or of a hash map.
pub fn is_tie(query: &str, theirs: &Reply, ours: &Reply) -> bool {
    let query = query.trim_start_matches('(');
    let chooses = ["topk", "bottomk", "limitk"].iter().any(|op| query.starts_with(op));
    let sorted = |reply: &Reply| {
        let answer = parse(reply);
        let mut out = Vec::new();
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            let keys =
                [("value", false), ("histogram", false), ("values", true), ("histograms", true)];
            for (key, many) in keys {
                let list = match (&series[key], many) {
                    (Value::Array(list), true) => list.clone(),
                    (Value::Array(_), false) => vec![series[key].clone()],
                    _ => Vec::new(),
                };
                out.extend(list);
            }
        }
        if query.starts_with("limitk") {
            out.iter_mut().for_each(|sample| sample[1] = Value::Null);
        }
        out.sort_by_cached_key(Value::to_string);
        out
    };
    chooses && sorted(theirs) == sorted(ours)
}

fn close(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
        || a.is_finite() && b.is_finite() && (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// The same remarks in any order; of cut lists nobody knows which are left.
fn notes(kind: Kind, theirs: &Value, ours: &Value) -> Result<(), Difference> {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let (t, o) = (list(theirs), list(ours));
    if t.len() > MAX_NOTES && o.len() == t.len() {
        return same(kind, &t[MAX_NOTES], &o[MAX_NOTES]);
    }
    // Prometheus doubles its count of occasions at each step.
    let text = |v: &Value| {
        let text = v.to_string();
        let parts =
            text.split_once(", over ").and_then(|(a, b)| Some((a, b.split_once(" samples")?.1)));
        parts.map_or(text.clone(), |(a, b)| format!("{a}{b}"))
    };
    let set = |list: Vec<Value>| list.iter().map(text).collect::<BTreeSet<_>>();
    let (t, o) = (set(t), set(o));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).cloned().collect::<Vec<_>>().join("; ")
    };
    if t == o { Ok(()) } else { fail(kind, &only(&t, &o), &only(&o, &t)) }
}
