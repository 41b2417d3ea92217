//! Whether two answers say the same to a client.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skald_logql::ast::{Expr, MetricExpr, VectorOp};
use skald_testkit::http::Reply;

/// Sums over series may be made in another order; beyond this it is another number.
const TOLERANCE: f64 = 1e-11;

/// Where two answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One is an error, or another kind of error.
    Status,
    ErrorText,
    ResultType,
    /// Which series or streams there are.
    Series,
    /// Which lines a stream has.
    Lines,
    /// At which times series have samples.
    Samples,
    Value,
    Order,
}

#[derive(Clone, Debug)]
pub struct Difference {
    pub kind: Kind,
    /// The series, if it is about one.
    pub at: String,
    pub theirs: String,
    pub ours: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}want {}\n     got {}", self.at, self.theirs, self.ours)
    }
}

/// How a query was asked, as far as it changes what may be compared.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub query: &'a str,
    pub limit: usize,
    pub backward: bool,
    /// Whether a stream's equal lines of one time count as one.
    pub merged: bool,
}

type Result = std::result::Result<(), Difference>;

/// Compares the answers to a query.
pub fn compare(asked: Asked<'_>, theirs: &Reply, ours: &Reply) -> Result {
    if theirs.status != ours.status {
        let show = |r: &Reply| format!("{} {}", r.status, cut(&r.text()));
        return fail(Kind::Status, &show(theirs), &show(ours));
    }
    if !theirs.status.is_success() {
        let (t, o) = (error_text(theirs), error_text(ours));
        return if t == o { Ok(()) } else { fail(Kind::ErrorText, &t, &o) };
    }
    let (t, o) = (parse(theirs), parse(ours));
    let (t, o) = (&t["data"], &o["data"]);
    for key in ["resultType", "encodingFlags"] {
        if t[key] != o[key] {
            return fail(Kind::ResultType, &t[key].to_string(), &o[key].to_string());
        }
    }
    match t["resultType"].as_str() {
        Some("streams") => streams(asked, t, o),
        Some("scalar") => sample(&t["result"], &o["result"]),
        _ => series(asked, t, o),
    }
}

fn parse(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// Whether both results are equal to the letter.
pub(crate) fn is_exact(theirs: &Reply, ours: &Reply) -> bool {
    parse(theirs)["data"]["result"] == parse(ours)["data"]["result"]
}

fn cut(text: &str) -> String {
    text.chars().take(700).collect()
}

fn fail(kind: Kind, theirs: &str, ours: &str) -> Result {
    Err(Difference { kind, at: String::new(), theirs: cut(theirs), ours: cut(ours) })
}

/// Which of many bad lines an error names depends on the order of the store.
fn error_text(reply: &Reply) -> String {
    let text = reply.text().trim_end().to_owned();
    match text.split_once(" for series: '") {
        Some((_, rest)) if text.starts_with("pipeline error") => {
            format!("pipeline error{}", rest.split_once("'.").map_or("", |_| " …"))
        }
        _ => text,
    }
}

fn list(v: &Value) -> Vec<Value> {
    v.as_array().cloned().unwrap_or_default()
}

/// Labels as text, without the words of an error, which are free.
fn labels(v: &Value) -> String {
    let map = v.as_object().cloned().unwrap_or_default();
    let shown = |(n, v): (&String, &Value)| match n.as_str() {
        "__error_details__" => "__error_details__".to_owned(),
        _ => format!("{n}={v}"),
    };
    let mut pairs: Vec<String> = map.iter().map(shown).collect();
    pairs.sort();
    pairs.join(",")
}

/// A line: time, text, and its labels by kind where they were asked for.
type Line = (i64, String, String);

fn line(v: &Value) -> Line {
    let time = v[0].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
    let kinds = ["structuredMetadata", "parsed"].map(|key| labels(&v[2][key]));
    let shown = match v.get(2) {
        Some(_) => format!("{{{}}} {{{}}}", kinds[0], kinds[1]),
        None => String::new(),
    };
    (time, v[1].to_string(), shown)
}

/// Lines by stream. Where `limit` cut, nobody knows which lines of the last time are left.
fn by_stream(
    asked: Asked<'_>,
    data: &Value,
) -> std::result::Result<BTreeMap<String, Vec<Line>>, Difference> {
    let mut out: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    let mut n = 0;
    for stream in list(&data["result"]) {
        let lines: Vec<Line> = list(&stream["values"]).iter().map(line).collect();
        n += lines.len();
        let wrong = |w: &[Line]| if asked.backward { w[0].0 < w[1].0 } else { w[0].0 > w[1].0 };
        if lines.windows(2).any(wrong) {
            fail(Kind::Order, "lines in order of time", &stream.to_string())?;
        }
        out.entry(labels(&stream["stream"])).or_default().extend(lines);
    }
    let times = out.values().flatten().map(|l| l.0);
    let last = if asked.backward { times.min() } else { times.max() };
    for lines in out.values_mut() {
        lines.retain(|l| n < asked.limit || Some(l.0) != last);
        lines.sort();
        if asked.merged {
            lines.dedup();
        }
    }
    out.retain(|_, lines| !lines.is_empty());
    Ok(out)
}

/// What only the first has.
fn only(a: &BTreeSet<String>, b: &BTreeSet<String>) -> String {
    let shown: Vec<String> = a.difference(b).take(4).map(|name| format!("{{{name}}}")).collect();
    format!("{} of {}, only here {}", a.len() - a.intersection(b).count(), a.len(), shown.join(" "))
}

fn streams(asked: Asked<'_>, theirs: &Value, ours: &Value) -> Result {
    let (t, o) = (by_stream(asked, theirs)?, by_stream(asked, ours)?);
    let names = |map: &BTreeMap<String, Vec<Line>>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (tn, on) = (names(&t), names(&o));
    if tn != on {
        return fail(Kind::Series, &only(&tn, &on), &only(&on, &tn));
    }
    for ((name, t), o) in t.iter().zip(o.values()) {
        if t != o {
            let only = |a: &[Line], b: &[Line]| {
                format!("{:?}", a.iter().filter(|l| !b.contains(l)).take(2).collect::<Vec<_>>())
            };
            return fail(
                Kind::Lines,
                &format!("{{{name}}}: {} {}", t.len(), only(t, o)),
                &format!("{} {}", o.len(), only(o, t)),
            );
        }
    }
    // The words of errors are free, and with them the order.
    let order = |data: &Value| {
        let names = list(&data["result"]).iter().map(|s| labels(&s["stream"])).collect::<Vec<_>>();
        (
            names.len(),
            names.into_iter().filter(|n| !n.contains("__error_details__")).collect::<Vec<_>>(),
        )
    };
    let ((t_len, t), (o_len, o)) = (order(theirs), order(ours));
    let full = t_len == tn.len() && o_len == on.len();
    if full && t != o { fail(Kind::Order, &t.join("\n"), &o.join("\n")) } else { Ok(()) }
}

/// Whether the query says in what order its series come.
pub(crate) fn is_sorted(query: &str) -> bool {
    fn sorts(expr: &MetricExpr) -> bool {
        match expr {
            MetricExpr::Vector(agg) => matches!(agg.op, VectorOp::Sort | VectorOp::SortDesc),
            MetricExpr::LabelReplace(call) => sorts(&call.inner),
            _ => false,
        }
    }
    matches!(skald_logql::parse(query), Ok(Expr::Metric(metric)) if sorts(&metric))
}

fn series(asked: Asked<'_>, theirs: &Value, ours: &Value) -> Result {
    let (mut t, mut o) = (list(&theirs["result"]), list(&ours["result"]));
    let vector = theirs["resultType"] == "vector";
    let metric = |v: &Value| labels(&v["metric"]);
    let sorted = vector && is_sorted(asked.query);
    if sorted {
        // Equal values are in any order.
        for (t, o) in t.iter().zip(&o) {
            if !equal(&t["value"][1], &o["value"][1]) {
                return fail(Kind::Order, &t.to_string(), &o.to_string());
            }
        }
    }
    let names = |list: &[Value]| list.iter().map(metric).collect::<Vec<_>>();
    let unsorted = (names(&t), names(&o));
    t.sort_by_cached_key(metric);
    o.sort_by_cached_key(metric);
    let (tn, on) = (names(&t), names(&o));
    if tn != on {
        let set = |names: &[String]| names.iter().cloned().collect();
        let (t, o): (BTreeSet<String>, BTreeSet<String>) = (set(&tn), set(&on));
        return fail(Kind::Series, &only(&t, &o), &only(&o, &t));
    }
    for (t, o) in t.iter().zip(&o) {
        let at = |d: Difference| Difference { at: format!("{{{}}}: ", metric(t)), ..d };
        if vector {
            sample(&t["value"], &o["value"]).map_err(at)?;
        } else {
            samples(&t["values"], &o["values"]).map_err(at)?;
        }
    }
    // The words of errors are free, and with them the order.
    let free = tn.iter().any(|name| name.contains("__error_details__"));
    if !sorted && !free && unsorted.0 != unsorted.1 {
        return fail(Kind::Order, &unsorted.0.join("\n"), &unsorted.1.join("\n"));
    }
    Ok(())
}

fn samples(theirs: &Value, ours: &Value) -> Result {
    let (t, o) = (list(theirs), list(ours));
    let times = |list: &[Value]| list.iter().map(|v| v[0].to_string()).collect::<Vec<_>>();
    if times(&t) != times(&o) {
        return fail(Kind::Samples, &times(&t).join(" "), &times(&o).join(" "));
    }
    t.iter().zip(&o).try_for_each(|(t, o)| sample(t, o))
}

/// `[time, value]`.
fn sample(theirs: &Value, ours: &Value) -> Result {
    if theirs[0].as_f64() != ours[0].as_f64() {
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
        (Value::String(t), Value::String(o)) if t != o => match (t.parse(), o.parse()) {
            (Ok(t), Ok(o)) => close(t, o),
            _ => false,
        },
        (t, o) => t == o,
    }
}

fn close(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
        || a.is_finite()
            && b.is_finite()
            && (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

/// Whether both chose equally many series, of equal values, at each time.
pub fn is_tie(query: &str, theirs: &Reply, ours: &Reply) -> bool {
    let chooses = ["topk", "bottomk"].iter().any(|op| query.contains(op));
    let sorted = |reply: &Reply| {
        let mut out = Vec::new();
        for series in list(&parse(reply)["data"]["result"]) {
            match &series["values"] {
                Value::Array(values) => out.extend(values.clone()),
                _ => out.push(series["value"].clone()),
            }
        }
        out.sort_by_cached_key(Value::to_string);
        out
    };
    chooses && sorted(theirs) == sorted(ours)
}
