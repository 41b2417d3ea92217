//! Pushes the data sets as their description says.

use serde_json::Value;
use skald_proto::public::prometheus::{
    self as pb, BucketSpan, Exemplar, Histogram, Label, MetricMetadata, histogram,
};
use skald_testkit::Client;
use skald_testkit::payload::exact::{Sample, TimeSeries, WriteRequest};
use skald_testkit::payload::{REMOTE_WRITE_V1, snappy};

const PART_MS: i64 = 5 * 60_000;

pub(super) async fn metrics(client: &Client, data: &Value) {
    let base = data["base"].as_i64().unwrap() * 1000;
    send(client, Vec::new(), data["metadata"].as_array().unwrap().iter().map(metadata).collect())
        .await;
    let series = data["series"].as_array().unwrap();
    for part in 0..12 {
        let start = base + part * PART_MS;
        for phase in [1, 3] {
            let chosen = series.iter().filter(|s| s["phase"] == phase);
            let within = |t: i64| {
                (start..start + PART_MS).contains(&t) || (part == 11 && t == base + 12 * PART_MS)
            };
            let batch: Vec<TimeSeries> = chosen
                .map(|s| time_series(s, &within))
                .filter(|s| {
                    !s.samples.is_empty() || !s.histograms.is_empty() || !s.exemplars.is_empty()
                })
                .collect();
            send(client, batch, Vec::new()).await;
        }
    }
    let late: Vec<TimeSeries> =
        series.iter().filter(|s| s["phase"] == 2).map(|s| time_series(s, &|_| true)).collect();
    let rounds = late.iter().map(|s| s.samples.len().div_ceil(20)).max().unwrap_or(0);
    for round in 0..rounds {
        let part = |s: &TimeSeries| TimeSeries {
            labels: s.labels.clone(),
            samples: s.samples.iter().skip(round * 20).take(20).copied().collect(),
            ..TimeSeries::default()
        };
        let batch = late.iter().map(part).filter(|s| !s.samples.is_empty()).collect();
        send(client, batch, Vec::new()).await;
    }
}

async fn send(client: &Client, timeseries: Vec<TimeSeries>, metadata: Vec<MetricMetadata>) {
    let body = snappy(&WriteRequest { timeseries, metadata });
    let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{} {}", reply.status, reply.text());
}

fn metadata(m: &Value) -> MetricMetadata {
    let text = |key: &str| m[key].as_str().unwrap_or_default().to_owned();
    let kind = pb::metric_metadata::MetricType::from_str_name(&text("type").to_uppercase());
    MetricMetadata {
        r#type: kind.unwrap_or_default().into(),
        metric_family_name: text("name"),
        help: text("help"),
        unit: text("unit"),
    }
}

fn time_series(s: &Value, within: &dyn Fn(i64) -> bool) -> TimeSeries {
    let list = |key: &str| s[key].as_array().cloned().unwrap_or_default().into_iter();
    let inside = |v: &Value| within(v[0].as_i64().unwrap());
    TimeSeries {
        labels: labels(&s["labels"]),
        samples: list("samples")
            .filter(inside)
            .map(|v| Sample::new(v[0].as_i64().unwrap(), float(&v[1])))
            .collect(),
        histograms: list("histograms")
            .filter(inside)
            .map(|v| histogram(v[0].as_i64().unwrap(), &v[1]))
            .collect(),
        exemplars: list("exemplars")
            .filter(inside)
            .map(|v| Exemplar {
                timestamp: v[0].as_i64().unwrap(),
                labels: labels(&v[1]),
                value: float(&v[2]),
            })
            .collect(),
    }
}

fn labels(map: &Value) -> Vec<Label> {
    let label = |(n, v): (&String, &Value)| Label {
        name: n.clone(),
        value: v.as_str().unwrap().to_owned(),
    };
    let mut labels: Vec<Label> = map.as_object().unwrap().iter().map(label).collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    labels
}

fn float(v: &Value) -> f64 {
    match v.as_str() {
        Some("stale") => f64::from_bits(0x7ff0_0000_0000_0002),
        Some("NaN") => f64::from_bits(0x7ff8_0000_0000_0001),
        Some("+Inf") => f64::INFINITY,
        Some("-Inf") => f64::NEG_INFINITY,
        Some(text) => text.parse().unwrap(),
        None => v.as_f64().unwrap_or_default(),
    }
}

fn histogram(timestamp: i64, h: &Value) -> Histogram {
    let spans = |key: &str| -> Vec<BucketSpan> {
        let span = |v: &Value| BucketSpan {
            offset: i32::try_from(v[0].as_i64().unwrap()).unwrap(),
            length: u32::try_from(v[1].as_u64().unwrap()).unwrap(),
        };
        h[key].as_array().map(|s| s.iter().map(span).collect()).unwrap_or_default()
    };
    let counts = |key: &str| -> Vec<f64> {
        h[key].as_array().map(|c| c.iter().map(float).collect()).unwrap_or_default()
    };
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
    let deltas = |counts: Vec<f64>| -> Vec<i64> {
        let mut last = 0;
        counts
            .iter()
            .map(|c| {
                let d = *c as i64 - last;
                last = *c as i64;
                d
            })
            .collect()
    };
    let is_float = h["float"].as_bool().unwrap_or(false);
    let (positive, negative) = (counts("positive_counts"), counts("negative_counts"));
    let hint = if h["reset_hint"] == "gauge" {
        histogram::ResetHint::Gauge
    } else {
        histogram::ResetHint::Unknown
    };
    let mut out = Histogram {
        sum: float(&h["sum"]),
        schema: i32::try_from(h["schema"].as_i64().unwrap()).unwrap(),
        zero_threshold: float(&h["zero_threshold"]),
        positive_spans: spans("positive_spans"),
        negative_spans: spans("negative_spans"),
        custom_values: counts("custom_values"),
        reset_hint: hint.into(),
        timestamp,
        ..Histogram::default()
    };
    if is_float {
        out.count = Some(histogram::Count::CountFloat(float(&h["count"])));
        out.zero_count = Some(histogram::ZeroCount::ZeroCountFloat(float(&h["zero_count"])));
        (out.positive_counts, out.negative_counts) = (positive, negative);
    } else {
        let whole = |v: &Value| v.as_u64().unwrap_or_default();
        out.count = Some(histogram::Count::CountInt(whole(&h["count"])));
        out.zero_count = Some(histogram::ZeroCount::ZeroCountInt(whole(&h["zero_count"])));
        (out.positive_deltas, out.negative_deltas) = (deltas(positive), deltas(negative));
    }
    out
}

pub(super) async fn logs(client: &Client, data: &Value) {
    for stream in data["streams"].as_array().unwrap() {
        for part in stream["values"].as_array().unwrap().chunks(300) {
            let body =
                serde_json::json!({ "streams": [{ "stream": stream["stream"], "values": part }] });
            let header = [("content-type", "application/json")];
            let reply = client.post("/loki/api/v1/push", &header, body.to_string()).await;
            assert!(reply.status.is_success(), "{} {}", reply.status, reply.text());
        }
    }
}
