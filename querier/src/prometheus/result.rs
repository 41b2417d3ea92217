//! Results in the JSON of the Prometheus API.

use skald_blocks::StatsSnapshot;
use skald_promql::{
    FloatHistogram, MatrixSeries, QueryResult, SampleValue, Stats, Value, VectorSample,
};
use skald_vector::histogram::Boundary;

use super::{Notes, pieces, success_in_pieces};
use crate::http::body::PIECE;
use crate::http::reply::Answer;
use crate::json::Json;
use crate::scope::Touched;

/// What of the object store a query needed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Store {
    pub(super) touched: Touched,
    pub(super) reads: StatsSnapshot,
}

/// The whole answer to a query; with `store` it says what it cost.
pub(super) fn write(result: QueryResult, mut notes: Notes, store: Option<Store>) -> Answer {
    let QueryResult { value, warnings, infos, stats, .. } = result;
    notes.warnings.extend(warnings);
    notes.infos.extend(infos);
    let (size, mut data) = (size(&value) + 64, data(value));
    let mut begun = false;
    success_in_pieces(size, notes, move |json| {
        if !std::mem::replace(&mut begun, true) {
            json.raw(r#"{"resultType":"#);
        }
        if data(json) {
            return true;
        }
        if let Some(store) = &store {
            write_stats(json.raw(r#","stats":"#), &stats, store);
        }
        json.raw("}");
        false
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

/// Writes `"<type>","result":…` piece by piece.
fn data(value: Value) -> Box<dyn FnMut(&mut Json) -> bool + Send> {
    match value {
        Value::Scalar { time_ms, value } => Box::new(move |json| {
            float(json.raw(r#""scalar","result":"#), time_ms, value);
            false
        }),
        Value::String { time_ms, value } => Box::new(move |json| {
            json.raw(r#""string","result":["#).time_ms(time_ms).raw(",").string(&value).raw("]");
            false
        }),
        Value::Vector(samples) => {
            let mut samples = pieces(samples, vector_element);
            let mut begun = false;
            Box::new(move |json| {
                if !std::mem::replace(&mut begun, true) {
                    json.raw(r#""vector","result":"#);
                }
                samples(json)
            })
        }
        Value::Matrix(series) => {
            let mut matrix = Matrix { left: series.into_iter(), open: None, first: true };
            let mut begun = false;
            Box::new(move |json| {
                if !std::mem::replace(&mut begun, true) {
                    json.raw(r#""matrix","result":["#);
                }
                matrix.next(json)
            })
        }
    }
}

/// The series that are not yet written.
#[derive(Debug)]
struct Matrix {
    left: std::vec::IntoIter<MatrixSeries>,
    open: Option<Open>,
    first: bool,
}

/// A series of which the labels and `n` points are written.
#[derive(Debug)]
struct Open {
    series: MatrixSeries,
    n: usize,
}

impl Matrix {
    /// Writes about a piece; answers whether there is more.
    fn next(&mut self, json: &mut Json) -> bool {
        loop {
            if let Some(open) = &mut self.open {
                if open.points(json) {
                    return true;
                }
                self.open = None;
            }
            let Some(series) = self.left.next() else {
                json.raw("]");
                return false;
            };
            json.sep(&mut self.first).raw(r#"{"metric":"#).labels(&series.labels);
            self.open = Some(Open { series, n: 0 });
        }
    }
}

impl Open {
    /// Floats and histograms apart, each left out when there is none.
    fn points(&mut self, json: &mut Json) -> bool {
        let MatrixSeries { points, histograms, .. } = &self.series;
        let (n_floats, n_points) = (points.len(), points.len() + histograms.len());
        while self.n < n_points {
            if json.len() >= PIECE {
                return true;
            }
            json.raw(match self.n {
                0 if n_floats > 0 => r#","values":["#,
                0 => r#","histograms":["#,
                n if n == n_floats => r#"],"histograms":["#,
                _ => ",",
            });
            if let Some((t, v)) = points.get(self.n) {
                float(json, *t, *v);
            } else if let Some((t, h)) = histograms.get(self.n - n_floats) {
                histogram_at(json, *t, h);
            }
            self.n += 1;
        }
        json.raw(if n_points > 0 { "]}" } else { "}" });
        false
    }
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

fn write_stats(json: &mut Json, s: &Stats, store: &Store) {
    #[expect(clippy::cast_precision_loss, reason = "a duration for display")]
    let seconds = |us: u64| us as f64 / 1e6;
    let (fetch, eval) = (seconds(s.fetch_us), seconds(s.eval_us));
    json.raw(r#"{"timings":{"evalTotalTime":"#).number(fetch + eval);
    json.raw(r#","resultSortTime":0,"queryPreparationTime":"#).number(fetch);
    json.raw(r#","innerEvalTime":"#).number(eval);
    json.raw(r#","execQueueTime":0,"execTotalTime":"#).number(fetch + eval);
    json.raw(r#"},"samples":{"totalQueryableSamples":"#).uint(s.samples_total);
    json.raw(r#","samplesRead":"#).uint(s.samples_read);
    json.raw(r#","peakSamples":"#).uint(s.peak_samples);
    write_step_stats(
        json,
        r#","totalQueryableSamplesPerStep":"#,
        s.steps.iter().map(|s| (s.0, s.1)),
    );
    write_step_stats(json, r#","samplesReadPerStep":"#, s.steps.iter().map(|s| (s.0, s.2)));
    json.raw(r#"},"store":{"requests":"#).uint(store.reads.gets);
    json.raw(r#","bytes":"#).uint(store.reads.bytes);
    json.raw(r#","blocks":"#).uint(store.touched.blocks);
    json.raw(r#","diskCacheHits":"#).uint(store.reads.disk_hits);
    json.raw(r#","footerCacheHits":"#).uint(store.reads.footer_hits);
    json.raw(r#","indexCacheHits":"#).uint(store.reads.index_hits);
    json.raw(r#","pageCacheHits":"#).uint(store.reads.page_hits);
    json.raw("}}");
}

/// Samples of each step, where they were counted.
fn write_step_stats(json: &mut Json, key: &str, steps: impl ExactSizeIterator<Item = (i64, u64)>) {
    if steps.len() == 0 {
        return;
    }
    let mut first = true;
    json.raw(key).raw("[");
    for (time_ms, samples) in steps {
        json.sep(&mut first).raw("[").time_ms(time_ms).raw(",").uint(samples).raw("]");
    }
    json.raw("]");
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

    fn whole(value: Value, json: &mut Json) {
        let mut data = data(value);
        while data(json) {}
    }

    #[test]
    fn large_results_are_written_in_pieces_of_a_bounded_size() {
        let h = Arc::new(exponential());
        let one = |i: i64| MatrixSeries {
            labels: Labels::from_pairs([("i", i.to_string().as_str())]),
            points: (0..9_000).map(|t| (t * 1000, 0.5)).collect(),
            histograms: (0..900).map(|t| (t * 1000, Arc::clone(&h))).collect(),
        };
        let mut data = data(Value::Matrix((0..5).map(one).collect()));
        let (mut all, mut n) = (String::new(), 0);
        loop {
            let mut more = false;
            let piece = text(|j| more = data(j));
            assert!(piece.len() < PIECE + 1000, "{}", piece.len());
            all.push_str(&piece);
            n += 1;
            if !more {
                break;
            }
        }
        assert!(n > 10, "{n}");
        let v: serde_json::Value =
            serde_json::from_str(&format!(r#"{{"resultType":{all}}}"#)).unwrap();
        let series = v["result"].as_array().unwrap();
        assert_eq!(series.len(), 5);
        for (i, s) in series.iter().enumerate() {
            assert_eq!(s["metric"]["i"], i.to_string());
            assert_eq!(s["values"].as_array().unwrap().len(), 9_000);
            assert_eq!(s["histograms"].as_array().unwrap().len(), 900);
        }
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
            text(|j| whole(Value::Matrix(vec![floats, both]), j)),
            r#""matrix","result":[{"metric":{"a":"b"},"values":[[1,"1.5"],[2.005,"NaN"]]},{"metric":{"a":"b"},"values":[[1,"1.5"],[2.005,"NaN"]],"histograms":[[1.500,{"count":"0","sum":"0"}]]}]"#
        );
        assert_eq!(text(|j| whole(Value::Matrix(Vec::new()), j)), r#""matrix","result":[]"#);
    }

    #[test]
    fn vectors_scalars_and_strings_have_one_sample_each() {
        let labels = Labels::from_pairs([("a", "b")]);
        let value = SampleValue::Float(f64::INFINITY);
        let vector = Value::Vector(vec![VectorSample { labels, time_ms: -100, value }]);
        assert_eq!(
            text(|j| whole(vector, j)),
            r#""vector","result":[{"metric":{"a":"b"},"value":[-0.100,"+Inf"]}]"#
        );
        let scalar = Value::Scalar { time_ms: 4000, value: 2.0 };
        assert_eq!(text(|j| whole(scalar, j)), r#""scalar","result":[4,"2"]"#);
        let string = Value::String { time_ms: 4000, value: "a\"b".to_owned() };
        assert_eq!(text(|j| whole(string, j)), r#""string","result":[4,"a\"b"]"#);
    }

    #[test]
    fn stats_have_the_keys_of_the_api() {
        let stats =
            Stats { samples_read: 7, samples_total: 11, peak_samples: 9, ..Stats::default() };
        let reads = StatsSnapshot { gets: 3, bytes: 70, ..StatsSnapshot::default() };
        let store = Store { reads, ..Store::default() };
        let text = text(|j| write_stats(j, &stats, &store));
        let v: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(v["store"]["requests"], 3);
        assert_eq!(v["store"]["bytes"], 70);
        assert_eq!(v["samples"]["totalQueryableSamples"], 11);
        assert_eq!(v["samples"]["samplesRead"], 7);
        assert!(v["timings"]["execTotalTime"].is_number());
    }
}
