use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use skald_model::Labels;

use crate::{
    Engine, EngineOptions, QueryOptions, QueryResult, Samples, Select, SeriesSet, SeriesSource,
    SourceError, Value,
};

/// Two counters; counts how often one was decoded.
#[derive(Clone, Debug, Default)]
struct Counters(Arc<AtomicUsize>);

impl SeriesSet for Counters {
    fn len(&self) -> usize {
        2
    }

    fn labels(&self, i: usize) -> Labels {
        Labels::from_pairs([(Labels::NAME, "m"), ("i", &i.to_string())])
    }

    fn n_samples(&self, _: usize) -> usize {
        100
    }

    fn size_bytes(&self) -> usize {
        0
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        out.clear();
        out.times.extend((0..100).map(|t| t * 1000));
        out.values.extend((0..100).map(|v| f64::from(v) * if i == 0 { 1.0 } else { 7.0 }));
        out.values[50 + i] = skald_model::stale_nan();
        Ok(())
    }
}

#[async_trait]
impl SeriesSource for Counters {
    async fn select(&self, _: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        Ok(Box::new(self.clone()))
    }
}

async fn run(query: &str, max_samples: usize) -> (QueryResult, usize) {
    let source = Counters::default();
    let engine = Engine::new(EngineOptions { max_samples, ..EngineOptions::default() });
    let options = QueryOptions { step_stats: true, ..QueryOptions::default() };
    let result = engine.range(&source, query, 0, 99_000, 1000, &options).await.unwrap();
    (result, source.0.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_is_said_twice_is_decoded_once() {
    let cases = [
        ("sum(m) / sum(m)", 2),
        ("m - m", 2),
        ("topk(1, sum by (i) (m)) + topk(1, sum by (i) (m)) - sum by (i) (m)", 2),
        ("max_over_time(sum(m)[9s:1s]) - max_over_time(sum(m)[9s:1s])", 2),
        // These are not the same but look at the same.
        ("sum(m) / avg(m)", 2),
        ("sum(m) / sum by (i) (m)", 2),
        ("sum(m > 1) / sum(m > 2)", 2),
        ("quantile(0.5, -m) - quantile(0.6, -m)", 2),
        ("rate(m[9s]) / increase(m[9s])", 2),
        ("m * 2 - rate(m[300s])", 2),
        ("sum(rate(m[9s])) + on() group_right() rate(m[9s])", 2),
        ("topk(1, rate(m[9s])) or max(max_over_time(m[9s]))", 2),
        ("max_over_time(rate(m[9s])[9s:1s]) - max_over_time(delta(m[9s])[9s:1s])", 2),
        // What has a parameter to be evaluated first is not computed on the way of something else, but this on its.
        ("sum(m * scalar(sum(m offset 1s))) / avg(m)", 4),
        ("avg(m) / sum(m * scalar(sum(m offset 1s)))", 6),
        // These do not.
        ("sum(m) / sum(m offset 1s)", 4),
        ("sum(m) / max_over_time(sum(m)[9s:1s])", 4),
        ("max_over_time(sum(m)[9s:1s]) - max_over_time(sum(m)[9s:2s])", 4),
    ];
    for (query, want) in cases {
        assert_eq!(run(query, usize::MAX).await.1, want, "{query}");
    }
}

#[tokio::test]
async fn values_and_counts_are_those_of_separate_evaluations() {
    let queries = [
        "sum by (i) (irate(m[9s])) - sum by (i) (irate(m[9s]))",
        "m - m",
        "max_over_time(sum(m)[9s:1s]) - max_over_time(sum(m)[9s:1s])",
        "topk(1, m) and topk(1, m)",
        "rate(m[9s]) / increase(m[9s])",
        "m - rate(m[300s]) + clamp_max(quantile_over_time(2, m[300s]), 1)",
        "max_over_time(rate(m[9s])[9s:1s]) - max_over_time(delta(m[9s])[9s:1s])",
        "bottomk(2, m) - on(i) topk(2, -m)",
    ];
    for query in queries {
        let (once, _) = run(query, usize::MAX).await;
        // Too little room to keep anything, yet enough to evaluate.
        let (apart, decoded) = run(query, 790).await;
        assert!(decoded > 2, "{query}");
        assert_eq!(once.value, apart.value, "{query}");
        assert_eq!((&once.infos, &once.warnings), (&apart.infos, &apart.warnings), "{query}");
        assert_eq!(once.stats.samples_total, apart.stats.samples_total, "{query}");
        assert_eq!(once.stats.samples_read, apart.stats.samples_read, "{query}");
        assert_eq!(once.stats.steps, apart.stats.steps, "{query}");
        assert!(!matches!(&once.value, Value::Matrix(m) if m.is_empty()), "{query}");
    }
}

#[tokio::test]
async fn remarks_stay_with_each_place() {
    let (result, decoded) = run("sum(rate(m[9s])) + sum(rate(m[9s]))", usize::MAX).await;
    let want = "PromQL info: metric might not be a counter, name does not end in \
                _total/_sum/_count/_bucket: \"m\" (1:29)";
    assert_eq!((result.infos.as_slice(), decoded), (&[want.to_owned()][..], 4));
}

#[tokio::test]
async fn long_sums_are_searched_for_what_is_alike_in_one_walk() {
    // A walk for each link would take minutes, and a recursion overflow.
    let ones = " + 1".repeat(25_000);
    for sum in ["m", "(m + on() group_left() count(m))"] {
        let query = format!("min({sum}{ones}) / max(m{ones})");
        let (source, opts) = (Counters::default(), QueryOptions::default());
        let result = Engine::default().instant(&source, &query, 40_000, &opts).await;
        assert!(
            matches!(&result, Ok(r) if matches!(&r.value, Value::Vector(v) if v.len() == 1)),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_subquery_of_a_chain_is_that_of_all_its_series_at_once() {
    // A limit that cuts nothing off is no chain.
    let functions = [
        "max_over_time(%)",
        "rate(%)",
        "last_over_time(%)",
        "deriv(%)",
        "quantile_over_time(1.5, %)",
        "predict_linear(%, 10) > 1",
        "avg(changes(%)) by (i)",
    ];
    let inner = ["m", "rate(m[9s])", "last_over_time(m[9s])", "-m", "m > 300", "irate(m[1s])"];
    let ranges = ["[20s:1s]", "[9s:4s]", "[20s:3s] @ 50", "[20s:7s] offset 3s"];
    let run = async |query: &str, step| {
        let source = Counters::default();
        let options = QueryOptions { step_stats: true, ..QueryOptions::default() };
        let mut result =
            Engine::default().range(&source, query, 0, 99_000, step, &options).await.unwrap();
        result.infos.iter_mut().chain(&mut result.warnings).for_each(|remark| {
            let text = remark.rfind(" (").map(|at| remark[..at].to_owned());
            *remark = text.unwrap_or_default();
        });
        let Value::Matrix(series) = result.value else { panic!("{query}") };
        (series, result.infos, result.warnings, result.stats)
    };
    let mut found = 0;
    for function in functions {
        for (inner, range) in inner.iter().flat_map(|i| ranges.map(|r| (i, r))) {
            for step in [1000, 30_000] {
                let whole = function.replace('%', &format!("limitk(9, {inner}){range}"));
                let query = function.replace('%', &format!("({inner}){range}"));
                let (got, want) = (run(&query, step).await, run(&whole, step).await);
                let text = |v: &Vec<crate::MatrixSeries>| format!("{v:?}");
                assert_eq!(text(&got.0), text(&want.0), "{query}");
                assert_eq!((&got.1, &got.2), (&want.1, &want.2), "{query}");
                assert_eq!(got.3.steps, want.3.steps, "{query}");
                assert_eq!(got.3.samples_total, want.3.samples_total, "{query}");
                assert_eq!(got.3.samples_read, want.3.samples_read, "{query}");
                found += got.0.len();
            }
        }
    }
    assert!(found > 300, "{found}");
}
