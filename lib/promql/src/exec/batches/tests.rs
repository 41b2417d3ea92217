use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use skald_model::{Labels, Matcher};

use super::*;
use crate::{
    Engine, EngineOptions, QueryOptions, QueryResult, Samples, Select, SeriesSet, SeriesSource,
    SourceError,
};

const SERIES: usize = 300;
const SAMPLES: i64 = 200;

/// Gauges of which sums depend on the order of their terms. Counts reads; may cancel or panic at one.
#[derive(Clone, Debug, Default)]
struct Gauges {
    reads: Arc<AtomicUsize>,
    cancel_at: Option<(usize, CancelFlag)>,
    panics: bool,
}

impl SeriesSet for Gauges {
    fn len(&self) -> usize {
        SERIES
    }

    fn labels(&self, i: usize) -> Labels {
        let (name, id) = (format!("gauge_{}", i % 7), format!("{i:04}"));
        Labels::from_pairs([(Labels::NAME, name.as_str()), ("id", &id)])
    }

    fn n_samples(&self, _: usize) -> usize {
        usize::try_from(SAMPLES).unwrap()
    }

    fn size_bytes(&self) -> usize {
        0
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        let reads = self.reads.fetch_add(1, Ordering::SeqCst);
        if let Some((_, cancel)) = self.cancel_at.as_ref().filter(|(at, _)| *at == reads) {
            cancel.cancel();
        }
        assert!(!(self.panics && i == 150), "on purpose");
        out.clear();
        let large = [1e16, 1.0, -1e16, 0.1][i % 4];
        for k in 0..SAMPLES {
            out.times.push(k * 1000);
            out.values.push(large + f64::from(i32::try_from(k).unwrap()));
        }
        Ok(())
    }
}

#[async_trait]
impl SeriesSource for Gauges {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        assert!(
            req.matchers.iter().all(|m: &Matcher| m.matches("gauge_1") || m.name != Labels::NAME)
        );
        Ok(Box::new(self.clone()))
    }
}

async fn run(
    threads: Option<usize>,
    query: &str,
    source: &Gauges,
) -> Result<QueryResult, QueryError> {
    let engine = Engine::new(EngineOptions::default());
    let engine = match threads {
        Some(n) => engine.on(CpuPool::new(n)),
        None => engine,
    };
    let options = QueryOptions { step_stats: true, ..QueryOptions::default() };
    let mut result = engine.range(source, query, 0, 199_000, 1000, &options).await?;
    (result.stats.fetch_us, result.stats.eval_us) = (0, 0);
    Ok(result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_remarks_and_counts_do_not_depend_on_helpers() {
    let queries = [
        "sum({__name__=~\"gauge_.*\"})",
        "avg(rate({__name__=~\"gauge_.*\"}[20s]))",
        "stddev by (__name__) ({__name__=~\"gauge_.*\"} * 2)",
        "rate({__name__=~\"gauge_.*\"}[20s])",
        "quantile_over_time(1.5, {__name__=~\"gauge_.*\"}[20s]) > 0",
        "sum({__name__=~\"gauge_.*\"}) / avg(quantile_over_time(1.5, {__name__=~\"gauge_.*\"}[300s]))",
        "max by (__name__) (last_over_time(rate({__name__=~\"gauge_.*\"}[20s])[30s:5s]))",
        "topk by (id) (1, {__name__=~\"gauge_.*\"})",
    ];
    for query in queries {
        let want = run(None, query, &Gauges::default()).await.unwrap();
        assert!(!matches!(&want.value, crate::Value::Matrix(m) if m.is_empty()), "{query}");
        for threads in [1, 2, 5] {
            let source = Gauges::default();
            assert_eq!(run(Some(threads), query, &source).await.unwrap(), want, "{query}");
            assert_eq!(source.reads.load(Ordering::SeqCst), SERIES, "each series once: {query}");
        }
    }
}

#[test]
fn an_engine_with_other_options_has_the_same_helpers() {
    let engine = Engine::new(EngineOptions::default()).on(CpuPool::new(2));
    let other = engine.with_options(EngineOptions { max_samples: 5, ..EngineOptions::default() });
    assert!(other.has_helpers() && !Engine::default().has_helpers());
    assert_eq!(other.options().max_samples, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_helper_is_an_error() {
    let source = Gauges { panics: true, ..Gauges::default() };
    let err = run(Some(4), "sum({__name__=~\"gauge_.*\"})", &source).await.unwrap_err();
    assert_eq!(err.to_string(), "query evaluation failed unexpectedly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_series_is_read_by_anybody_after_the_query_was_cancelled() {
    let cancel = CancelFlag::default();
    let source = Gauges { cancel_at: Some((100, cancel.clone())), ..Gauges::default() };
    let query = "sum(rate({__name__=~\"gauge_.*\"}[20s]))";
    let expr = crate::parse::parse(query, crate::syntax::Env { step: 1.0, range: 0.0 }).unwrap();
    let span = crate::plan::Span {
        grid: skald_vector::Grid::range(0, 199_000, 1000),
        step_ms: 1000,
        lookback_ms: 300_000,
        default_step_ms: 1000,
    };
    let plan = crate::plan::plan(&expr, &span);
    let data =
        vec![Arc::new(Fetched::new(Box::new(source.clone()), false, &Context::default()).unwrap())];
    let evaluate = move || {
        let ctx = Context { cancel, ..Context::default() };
        let memory = crate::exec::Memory::default();
        let mut evaluator =
            crate::eval::Evaluator::new(span, ctx, &plan, &data, usize::MAX, memory);
        evaluator.cpu = Some(CpuPool::new(3));
        evaluator.answer(&expr, crate::engine::Mode::Range).unwrap_err()
    };
    assert_eq!(skald_runtime::spawn_blocking(evaluate).await.unwrap(), QueryError::Cancelled);
    // Each of four threads may have been about to read one more.
    assert!(source.reads.load(Ordering::SeqCst) <= 100 + 4);
}
