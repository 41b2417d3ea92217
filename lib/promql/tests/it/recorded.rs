//! Recorded answers of a Prometheus to queries over a fixed dataset, evaluated by the engine alone.
//!
//! The HTTP layer replays the same files over the wire; here only `query` and `query_range` are.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use skald_model::{
    BucketCounts, ErrorKind, Histogram, Labels, Matcher, ResetHint, Series, Span, stale_nan,
};
use skald_promql::{
    Engine, FloatHistogram, QueryError, QueryOptions, QueryResult, SampleValue, Select, SeriesSet,
    SeriesSource, SourceError, Value,
};

#[derive(Debug, Default)]
struct Dataset(Vec<Series>);

#[async_trait::async_trait]
impl SeriesSource for Dataset {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut out = Vec::new();
        for series in self.0.iter().filter(|s| Matcher::all(&req.matchers, &s.labels)) {
            let mut part = Series::new(series.labels.clone());
            let within = |t: &i64| req.range.contains(*t);
            for (t, v) in series.timestamps.iter().zip(&series.values).filter(|(t, _)| within(t)) {
                part.timestamps.push(*t);
                part.values.push(*v);
            }
            part.histograms =
                series.histograms.iter().filter(|(t, _)| within(t)).cloned().collect();
            if !part.is_empty() {
                out.push(part);
            }
        }
        Ok(Box::new(out))
    }
}

fn number(text: &str) -> f64 {
    match text {
        "stale" => stale_nan(),
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap_or(f64::NAN),
    }
}

fn float(json: &Json) -> f64 {
    json.as_str().map_or_else(|| json.as_f64().unwrap_or(0.0), number)
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(n, v)| (n.clone(), v.as_str().unwrap_or("").to_owned())))
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn histogram(json: &Json) -> Histogram {
    let spans = |key: &str| {
        list(&json[key])
            .iter()
            .map(|s| Span {
                offset: i32::try_from(s[0].as_i64().unwrap()).unwrap(),
                length: u32::try_from(s[1].as_u64().unwrap()).unwrap(),
            })
            .collect()
    };
    let counts = |key: &str| list(&json[key]).iter().map(float).collect();
    Histogram {
        schema: i32::try_from(json["schema"].as_i64().unwrap()).unwrap(),
        reset_hint: match json["reset_hint"].as_str() {
            Some("gauge") => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        zero_threshold: float(&json["zero_threshold"]),
        sum: float(&json["sum"]),
        positive_spans: spans("positive_spans"),
        negative_spans: spans("negative_spans"),
        custom_values: list(&json["custom_values"]).iter().map(float).collect(),
        counts: BucketCounts::Float {
            count: float(&json["count"]),
            zero_count: float(&json["zero_count"]),
            positive: counts("positive_counts"),
            negative: counts("negative_counts"),
        },
    }
}

fn dataset(dir: &Path) -> Option<Dataset> {
    let text = std::fs::read_to_string(dir.join("dataset.json")).ok()?;
    let json: Json = serde_json::from_str(&text).unwrap();
    type Samples = (BTreeMap<i64, f64>, BTreeMap<i64, Histogram>);
    let mut all: BTreeMap<Labels, Samples> = BTreeMap::new();
    for series in list(&json["series"]) {
        let entry = all.entry(labels(&series["labels"])).or_default();
        for s in list(&series["samples"]) {
            entry.0.insert(s[0].as_i64().unwrap(), float(&s[1]));
        }
        for h in list(&series["histograms"]) {
            entry.1.insert(h[0].as_i64().unwrap(), histogram(&h[1]));
        }
    }
    let series = all.into_iter().map(|(labels, (floats, histograms))| {
        let (timestamps, values) = floats.into_iter().unzip();
        let histograms = histograms.into_iter().collect();
        Series { labels, timestamps, values, histograms, ..Series::default() }
    });
    Some(Dataset(series.collect()))
}

#[expect(clippy::cast_possible_truncation, reason = "times of the test data")]
fn millis(text: &str) -> i64 {
    (text.parse::<f64>().unwrap_or(f64::NAN) * 1000.0).round() as i64
}

fn step(text: &str) -> i64 {
    match text.parse::<f64>() {
        Ok(_) => millis(text),
        Err(_) => crate::number::duration(text).unwrap_or(0),
    }
}

async fn query(
    engine: &Engine,
    data: &Dataset,
    case: &Json,
) -> Option<Result<QueryResult, QueryError>> {
    let param = |name: &str| case["params"][name].as_str();
    let opts = QueryOptions {
        limit: param("limit").and_then(|l| l.parse().ok()),
        lookback_ms: param("lookback_delta").map(step),
        ..QueryOptions::default()
    };
    let text = param("query")?;
    let is_number = |name: &str| param(name).is_some_and(|t| t.parse::<f64>().is_ok());
    match case["path"].as_str()? {
        "/query" if is_number("time") => {
            Some(engine.instant(data, text, millis(param("time")?), &opts).await)
        }
        "/query_range" if is_number("start") && is_number("end") => {
            let (start, end) = (millis(param("start")?), millis(param("end")?));
            Some(engine.range(data, text, start, end, step(param("step")?), &opts).await)
        }
        _ => None,
    }
}

/// Label set → time → value, whatever the result type.
type Points = BTreeMap<Labels, BTreeMap<i64, SampleValue>>;

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

fn got_points(value: &Value) -> Points {
    let mut out = Points::new();
    match value {
        Value::Scalar { time_ms, value } => {
            out.entry(Labels::empty()).or_default().insert(*time_ms, SampleValue::Float(*value));
        }
        Value::String { value, time_ms } => {
            let labels = Labels::from_pairs([("string", value)]);
            out.entry(labels).or_default().insert(*time_ms, SampleValue::Float(0.0));
        }
        Value::Vector(samples) => {
            for s in samples {
                out.entry(s.labels.clone()).or_default().insert(s.time_ms, s.value.clone());
            }
        }
        Value::Matrix(series) => {
            for s in series {
                out.insert(s.labels.clone(), crate::compare::by_time(s));
            }
        }
    }
    out
}

/// A recorded point: a float, or count, sum and buckets.
enum Want {
    Float(f64),
    Histogram(Json),
}

fn want_points(data: &Json) -> BTreeMap<Labels, BTreeMap<i64, Want>> {
    let mut out: BTreeMap<Labels, BTreeMap<i64, Want>> = BTreeMap::new();
    let time = |p: &Json| millis(&p[0].to_string());
    if data["resultType"] == "scalar" {
        let p = &data["result"];
        out.entry(Labels::empty()).or_default().insert(time(p), Want::Float(float(&p[1])));
        return out;
    }
    if data["resultType"] == "string" {
        let p = &data["result"];
        let labels = Labels::from_pairs([("string", p[1].as_str().unwrap())]);
        out.entry(labels).or_default().insert(time(p), Want::Float(0.0));
        return out;
    }
    for series in list(&data["result"]) {
        let entry = out.entry(labels(&series["metric"])).or_default();
        let single = |key: &str| series.get(key).into_iter();
        for p in single("value").chain(list(&series["values"])) {
            entry.insert(time(p), Want::Float(float(&p[1])));
        }
        for p in single("histogram").chain(list(&series["histograms"])) {
            entry.insert(time(p), Want::Histogram(p[1].clone()));
        }
    }
    out
}

fn same_point(want: &Want, got: &SampleValue) -> bool {
    match (want, got) {
        (Want::Float(a), SampleValue::Float(b)) => close(*a, *b),
        (Want::Histogram(a), SampleValue::Histogram(b)) => same_histogram(a, b),
        _ => false,
    }
}

fn same_histogram(want: &Json, got: &FloatHistogram) -> bool {
    let buckets: Vec<_> = got.buckets().collect();
    let wanted = list(&want["buckets"]);
    close(float(&want["count"]), got.count)
        && close(float(&want["sum"]), got.sum)
        && wanted.len() == buckets.len()
        && wanted.iter().zip(&buckets).all(|(w, b)| {
            w[0].as_u64() == Some(b.boundary as u64)
                && close(float(&w[1]), b.lower)
                && close(float(&w[2]), b.upper)
                && close(float(&w[3]), b.count)
        })
}

fn check(case: &Json, result: Result<QueryResult, QueryError>) -> Result<(), String> {
    let status = case["status"].as_u64().unwrap_or(200);
    let result = match result {
        Ok(result) if status == 200 => result,
        Ok(_) => return Err(format!("answered, should be {status}")),
        Err(e) if status != 200 => {
            let execution = matches!(e, QueryError::Execution(_));
            let same = execution == (case["response"]["errorType"] == "execution");
            return if same && e.kind() == ErrorKind::Invalid {
                Ok(())
            } else {
                Err(e.to_string())
            };
        }
        Err(e) => return Err(e.to_string()),
    };
    let data = &case["response"]["data"];
    let kind = match result.value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    };
    if data["resultType"] != kind {
        return Err(format!("want {}, got {kind}", data["resultType"]));
    }
    let (want, got) = (want_points(data), got_points(&result.value));
    if case["compare"] == "count" {
        return if want.len() == got.len() {
            Ok(())
        } else {
            Err(format!("{} elements", got.len()))
        };
    }
    if !want.keys().eq(got.keys()) {
        let keys = |k: Vec<&Labels>| k.iter().take(5).map(|l| l.to_string()).collect::<Vec<_>>();
        return Err(format!(
            "want {:?}, got {:?}",
            keys(want.keys().collect()),
            keys(got.keys().collect())
        ));
    }
    for (labels, points) in &want {
        let others = &got[labels];
        if !points.keys().eq(others.keys()) {
            return Err(format!("{labels}: other times"));
        }
        for (t, w) in points {
            if !same_point(w, &others[t]) {
                let w = match w {
                    Want::Float(v) => v.to_string(),
                    Want::Histogram(j) => j.to_string(),
                };
                return Err(format!("{labels} at {t}: want {w}, got {:?}", others[t]));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn recorded_answers_are_met() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    let Some(data) = dataset(&dir) else {
        println!("skipped: no recorded answers at {}", dir.display());
        return;
    };
    let engine = Engine::default();
    let (mut passed, mut total, mut odd) = (0, 0, Vec::new());
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let json: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (mut own, mut all) = (0, 0);
        for case in list(&json["cases"]) {
            let Some(result) = query(&engine, &data, case).await else { continue };
            all += 1;
            match check(case, result) {
                Ok(()) => own += 1,
                Err(_) if EXCEPTIONS.iter().any(|id| case["id"] == *id) => {}
                Err(e) => odd.push(format!("{} {}: {e}", case["id"], case["params"])),
            }
        }
        println!("{name}: {own}/{all}");
        (passed, total) = (passed + own, total + all);
    }
    println!("recorded answers: {passed}/{total}");
    assert!(odd.is_empty(), "{} recorded answers are not met: {odd:#?}", odd.len());
}

/// `changes` over native histograms: Prometheus counts equal histograms as a change where its storage
/// began a new chunk with other empty buckets.
const EXCEPTIONS: [&str; 2] = ["rate-0103", "rate-0105"];
