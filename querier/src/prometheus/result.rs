//! Results in the JSON of the Prometheus API.

use skald_promql::{
    FloatHistogram, MatrixSeries, QueryResult, SampleValue, Stats, Value, VectorSample,
};
use skald_vector::histogram::Boundary;

use super::{Notes, success};
use crate::http::reply::Answer;
use crate::json::Json;

/// The whole answer to a query; `with_stats` adds what it cost.
pub(super) fn write(result: QueryResult, mut notes: Notes, with_stats: bool) -> Answer {
    let QueryResult { value, warnings, infos, stats } = result;
    notes.warnings.extend(warnings);
    notes.infos.extend(infos);
    success(size(&value) + 64, notes, move |json| {
        json.raw(r#"{"resultType":"#);
        data(json, &value);
        if with_stats {
            write_stats(json.raw(r#","stats":"#), &stats);
        }
        json.raw("}");
    })
}

fn size(value: &Value) -> usize {
    let labels = |l: &skald_model::Labels| 2 * l.as_bytes().len() + 64;
    match value {
        Value::Scalar { .. } => 64,
        Value::String { value, .. } => value.len() + 64,
        Value::Vector(samples) => samples.iter().map(|s| labels(&s.labels)).sum(),
        Value::Matrix(series) => {
            let one = |s: &MatrixSeries| {
                labels(&s.labels) + 36 * s.points.len() + 512 * s.histograms.len()
            };
            series.iter().map(one).sum()
        }
    }
}

fn data(json: &mut Json, value: &Value) {
    match value {
        Value::Scalar { time_ms, value } => {
            float(json.raw(r#""scalar","result":"#), *time_ms, *value);
        }
        Value::String { time_ms, value } => {
            json.raw(r#""string","result":["#).time_ms(*time_ms).raw(",").string(value).raw("]");
        }
        Value::Vector(samples) => list(json.raw(r#""vector","result":"#), samples, vector_element),
        Value::Matrix(series) => list(json.raw(r#""matrix","result":"#), series, matrix_element),
    }
}

/// `[` items `]` with commas.
fn list<T>(json: &mut Json, items: &[T], mut write: impl FnMut(&mut Json, &T)) {
    json.raw("[");
    let mut first = true;
    for item in items {
        json.sep(&mut first);
        write(json, item);
    }
    json.raw("]");
}

fn vector_element(json: &mut Json, s: &VectorSample) {
    json.raw(r#"{"metric":"#).labels(&s.labels);
    match &s.value {
        SampleValue::Float(v) => float(json.raw(r#","value":"#), s.time_ms, *v),
        SampleValue::Histogram(h) => {
            histogram_at(json.raw(r#","histogram":"#), s.time_ms, h);
        }
    }
    json.raw("}");
}

/// Floats and histograms apart, each left out when there is none.
fn matrix_element(json: &mut Json, s: &MatrixSeries) {
    json.raw(r#"{"metric":"#).labels(&s.labels);
    if !s.points.is_empty() {
        list(json.raw(r#","values":"#), &s.points, |json, (t, v)| float(json, *t, *v));
    }
    if !s.histograms.is_empty() {
        list(json.raw(r#","histograms":"#), &s.histograms, |json, (t, h)| {
            histogram_at(json, *t, h);
        });
    }
    json.raw("}");
}

/// `[time,"value"]`
fn float(json: &mut Json, time_ms: i64, v: f64) {
    json.raw("[").time_ms(time_ms).raw(",\"").value(v).raw("\"]");
}

/// `[time,{…}]`
fn histogram_at(json: &mut Json, time_ms: i64, h: &FloatHistogram) {
    json.raw("[").time_ms(time_ms).raw(",");
    histogram(json, h);
    json.raw("]");
}

fn histogram(json: &mut Json, h: &FloatHistogram) {
    json.raw(r#"{"count":""#).value(h.count).raw(r#"","sum":""#).value(h.sum).raw("\"");
    let mut first = true;
    for bucket in h.buckets() {
        json.raw(if first { r#","buckets":["# } else { "," });
        first = false;
        json.raw("[").raw(rule(bucket.boundary)).raw(",\"").value(bucket.lower).raw("\",\"");
        json.value(bucket.upper).raw("\",\"").value(bucket.count).raw("\"]");
    }
    json.raw(if first { "}" } else { "]}" });
}

/// Which ends belong to a bucket.
fn rule(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::OpenLeft => "0",
        Boundary::OpenRight => "1",
        Boundary::OpenBoth => "2",
        Boundary::ClosedBoth => "3",
    }
}

fn write_stats(json: &mut Json, s: &Stats) {
    #[expect(clippy::cast_precision_loss, reason = "a duration for display")]
    let seconds = |us: u64| us as f64 / 1e6;
    let (fetch, eval) = (seconds(s.fetch_us), seconds(s.eval_us));
    json.raw(r#"{"timings":{"evalTotalTime":"#).number(fetch + eval);
    json.raw(r#","resultSortTime":0,"queryPreparationTime":"#).number(fetch);
    json.raw(r#","innerEvalTime":"#).number(eval);
    json.raw(r#","execQueueTime":0,"execTotalTime":"#).number(fetch + eval);
    json.raw(r#"},"samples":{"totalQueryableSamples":"#).uint(s.samples_read);
    json.raw(r#","samplesRead":"#).uint(s.samples_read);
    json.raw(r#","peakSamples":"#).uint(s.peak_samples).raw("}}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skald_model::{Labels, ResetHint};

    use super::*;

    fn text(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.into_bytes().to_vec()).unwrap()
    }

    fn exponential() -> FloatHistogram {
        FloatHistogram {
            schema: 0,
            reset_hint: ResetHint::Unknown,
            zero_threshold: 0.25,
            zero_count: 2.0,
            count: 9.0,
            sum: 1e21,
            positive: vec![(-1, 1.0), (1, 4.0)],
            negative: vec![(1, 2.0)],
            custom_values: Arc::new([]),
        }
    }

    #[test]
    fn exponential_buckets_run_from_negative_to_positive() {
        assert_eq!(
            text(|j| histogram(j, &exponential())),
            r#"{"count":"9","sum":"1e+21","buckets":[[1,"-2","-1","2"],[3,"-0.25","0.25","2"],[0,"0.25","0.5","1"],[0,"1","2","4"]]}"#
        );
    }

    #[test]
    fn custom_buckets_begin_closed() {
        let h = FloatHistogram {
            schema: -53,
            zero_threshold: 0.0,
            zero_count: 0.0,
            positive: vec![(0, 1.0), (1, 2.0), (2, 3.0)],
            negative: Vec::new(),
            custom_values: Arc::new([0.5, 1.0]),
            ..exponential()
        };
        assert_eq!(
            text(|j| histogram(j, &h)),
            r#"{"count":"9","sum":"1e+21","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","1","2"],[0,"1","+Inf","3"]]}"#
        );
        let empty = FloatHistogram::empty_like(&h);
        assert_eq!(text(|j| histogram(j, &empty)), r#"{"count":"0","sum":"0"}"#);
    }

    #[test]
    fn matrices_keep_floats_and_histograms_apart() {
        let h = Arc::new(FloatHistogram::empty_like(&exponential()));
        let labels = Labels::from_pairs([("a", "b")]);
        let floats = MatrixSeries {
            labels: labels.clone(),
            points: vec![(1000, 1.5), (2005, f64::NAN)],
            histograms: Vec::new(),
        };
        let both = MatrixSeries { histograms: vec![(1500, h)], ..floats.clone() };
        assert_eq!(
            text(|j| data(j, &Value::Matrix(vec![floats, both]))),
            r#""matrix","result":[{"metric":{"a":"b"},"values":[[1,"1.5"],[2.005,"NaN"]]},{"metric":{"a":"b"},"values":[[1,"1.5"],[2.005,"NaN"]],"histograms":[[1.500,{"count":"0","sum":"0"}]]}]"#
        );
        assert_eq!(text(|j| data(j, &Value::Matrix(Vec::new()))), r#""matrix","result":[]"#);
    }

    #[test]
    fn vectors_scalars_and_strings_have_one_sample_each() {
        let labels = Labels::from_pairs([("a", "b")]);
        let value = SampleValue::Float(f64::INFINITY);
        let vector = Value::Vector(vec![VectorSample { labels, time_ms: -100, value }]);
        assert_eq!(
            text(|j| data(j, &vector)),
            r#""vector","result":[{"metric":{"a":"b"},"value":[-0.100,"+Inf"]}]"#
        );
        let scalar = Value::Scalar { time_ms: 4000, value: 2.0 };
        assert_eq!(text(|j| data(j, &scalar)), r#""scalar","result":[4,"2"]"#);
        let string = Value::String { time_ms: 4000, value: "a\"b".to_owned() };
        assert_eq!(text(|j| data(j, &string)), r#""string","result":[4,"a\"b"]"#);
    }

    #[test]
    fn stats_have_the_keys_of_the_api() {
        let stats = Stats { samples_read: 7, peak_samples: 9, ..Stats::default() };
        let v: serde_json::Value = serde_json::from_str(&text(|j| write_stats(j, &stats))).unwrap();
        assert_eq!(v["samples"]["totalQueryableSamples"], 7);
        assert!(v["timings"]["execTotalTime"].is_number());
    }
}
