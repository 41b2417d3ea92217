//! Bounds, cancellation and limits of the engine; what queries mean is tested in `tests/it`.

mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use skald_model::{ErrorKind, Labels, Matcher, Series, TimeRange};

use crate::*;

/// Answers every request with the same series and remembers the requests.
#[derive(Debug, Default)]
struct Fixed {
    series: Vec<Series>,
    seen: Mutex<Vec<Select>>,
}

#[async_trait]
impl SeriesSource for Fixed {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        self.seen.lock().push(req.clone());
        let matching = |s: &&Series| Matcher::all(&req.matchers, &s.labels);
        let found: Vec<Series> = self.series.iter().filter(matching).cloned().collect();
        Ok(Box::new(found))
    }
}

fn series(name: &str, n: i64) -> Series {
    let mut s = Series::new(Labels::from_pairs([(Labels::NAME, name)]));
    s.timestamps = (0..n).map(|i| i * 1000).collect();
    s.values = (0..n).map(|i| f64::from(i32::try_from(i).unwrap())).collect();
    s
}

fn source(n: i64) -> Fixed {
    Fixed { series: vec![series("m", n)], ..Fixed::default() }
}

async fn instant(
    engine: &Engine,
    source: &dyn SeriesSource,
    query: &str,
) -> Result<QueryResult, QueryError> {
    engine.instant(source, query, 100_000, &QueryOptions::default()).await
}

#[tokio::test]
async fn asks_for_exactly_what_can_be_seen() {
    let cases: [(&str, &[(i64, i64)]); 9] = [
        ("m", &[(-199_999, 100_001)]),
        ("m offset 10s", &[(-209_999, 90_001)]),
        ("m offset -10s", &[(-189_999, 110_001)]),
        ("m @ 50", &[(-249_999, 50_001)]),
        ("rate(m[1m])", &[(40_001, 100_001)]),
        ("max_over_time(rate(m[1m])[2m:1m])", &[(-59_999, 60_001)]),
        ("m + m", &[(-199_999, 100_001)]),
        ("m + m offset 1s", &[(-200_999, 99_001), (-199_999, 100_001)]),
        ("1 + 1", &[]),
    ];
    for (query, want) in cases {
        let source = source(1);
        instant(&Engine::default(), &source, query).await.unwrap();
        let got: Vec<TimeRange> = source.seen.lock().iter().map(|s| s.range).collect();
        let want: Vec<TimeRange> = want.iter().map(|(a, b)| TimeRange::new(*a, *b)).collect();
        assert_eq!(got, want, "{query}");
    }
}

#[tokio::test]
async fn asks_for_the_labels_that_are_looked_at() {
    let only = |names: &[&str]| LabelNeed::Only(names.iter().map(|n| (*n).to_owned()).collect());
    let cases = [
        ("m", LabelNeed::All),
        ("sum by (b, a) (rate(m[1m]) * 2)", only(&["__name__", "a", "b"])),
        ("sum by (a) (m) + sum by (b) (m)", only(&["__name__", "a", "b"])),
        ("sum by (a) (m) + m", LabelNeed::All),
        ("sum without (a) (m)", LabelNeed::All),
        ("topk by (a) (1, m)", LabelNeed::All),
        ("limitk by (a) (1, m)", LabelNeed::All),
        ("quantile by (a) (0.5, m)", only(&["__name__", "a"])),
        ("count_values by (a) (\"v\", m)", only(&["__name__", "a"])),
        ("sum by (a) (m + m)", LabelNeed::All),
        ("count by (a) ({__name__=~\"m\"})", only(&["__name__", "a"])),
        // Series that differ by name only could collide.
        ("sum by (a) (rate({__name__=~\"m\"}[1m]))", LabelNeed::All),
    ];
    for (query, want) in cases {
        let source = source(1);
        instant(&Engine::default(), &source, query).await.unwrap();
        assert_eq!(source.seen.lock()[0].labels, want, "{query}");
    }
}

#[tokio::test]
async fn an_aggregation_holds_groups_instead_of_series() {
    let labels = |i: i64| Labels::from_pairs([(Labels::NAME, "m"), ("i", &i.to_string())]);
    let many = (0..200).map(|i| Series { labels: labels(i), ..series("m", 90) });
    let source = Fixed { series: many.collect(), ..Fixed::default() };
    let engine = Engine::new(EngineOptions { max_samples: 300, ..EngineOptions::default() });
    let run =
        async |query| engine.range(&source, query, 0, 60_000, 1000, &QueryOptions::default()).await;
    let result = run("sum(rate(m[1m]) * 2)").await.unwrap();
    assert!(matches!(&result.value, Value::Matrix(m) if m.len() == 1 && m[0].points.len() == 60));
    assert_eq!((result.stats.samples_decoded, result.stats.series_read), (200 * 90, 200));
    assert!(run("rate(m[1m])").await.is_err(), "these would be 200 series");
    let queries = [
        ("topk(2, rate(m[1m]))", 2),
        ("bottomk(2, m)", 2),
        ("limitk(2, -m)", 2),
        ("limit_ratio(0.005, rate(m[1m]))", 4),
        ("count_values(\"v\", round(rate(m[1m])))", 2),
        ("sum(max_over_time(rate(m[10s])[20s:1s]))", 1),
        ("topk(1, -quantile_over_time(0.5, max_over_time(m[9s:1s])[20s:2s]))", 1),
    ];
    for (query, n) in queries {
        let result = run(query).await.map(|r| r.value);
        assert!(matches!(&result, Ok(Value::Matrix(m)) if m.len() == n), "{query}: {result:?}");
    }
    assert!(run("quantile(0.5, m)").await.is_err(), "these are values of 200 series");
}

#[tokio::test]
async fn a_quantile_holds_values_instead_of_series() {
    let labels = |i: i64| Labels::from_pairs([(Labels::NAME, "m"), ("i", &i.to_string())]);
    let many = (0..256).map(|i| Series { labels: labels(i), ..series("m", 90) });
    let source = Fixed { series: many.collect(), ..Fixed::default() };
    let fetched: usize = source.series.iter().map(Series::size_bytes).sum();
    // Values are 8 bytes at each of 61 steps; there are groups and 256 labels beside them.
    let max_memory_bytes = Some(fetched + 256 * 61 * 8 + 30_000);
    let engine = Engine::new(EngineOptions { max_memory_bytes, ..EngineOptions::default() });
    let run =
        async |query| engine.range(&source, query, 0, 60_000, 1000, &QueryOptions::default()).await;
    let result = run("quantile(0.5, rate(m[1m]))").await.unwrap();
    assert!(matches!(&result.value, Value::Matrix(m) if m.len() == 1 && m[0].points.len() == 60));
    let err = run("rate(m[1m])").await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn the_memory_limit_names_itself_and_the_selector_that_cost_most() {
    let source = Fixed { series: vec![series("small", 9), series("m", 900)], ..Fixed::default() };
    let run = async |bytes, query| {
        let options = EngineOptions { max_memory_bytes: Some(bytes), ..EngineOptions::default() };
        let opts = QueryOptions::default();
        Engine::new(options).range(&source, query, 0, 1_000_000, 1000, &opts).await
    };
    assert!(run(1 << 20, "sum(m) + sum(small)").await.is_ok());
    let err = run(5000, "sum(m) + sum(small)").await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::LimitExceeded);
    let text = err.to_string();
    for part in ["limit: 5000 bytes", "max_query_memory", "is for {__name__=\"m\"}"] {
        assert!(text.contains(part), "{text}");
    }
    // What is computed counts, too.
    for query in ["sum(m)", "sum_over_time(vector(1)[1d:1s])", "m * 2"] {
        let err = run(19_000, query).await;
        let kind = err.as_ref().map_err(QueryError::kind).err();
        assert_eq!(kind, Some(ErrorKind::LimitExceeded), "{query}");
    }
}

#[tokio::test]
async fn series_that_collide_without_their_names_are_refused() {
    let source = Fixed { series: vec![series("a", 90), series("b", 90)], ..Fixed::default() };
    for query in ["sum(rate({__name__=~\"a|b\"}[1m]))", "-{__name__=~\"a|b\"}"] {
        let err = instant(&Engine::default(), &source, query).await.unwrap_err();
        let text = "vector cannot contain metrics with the same labelset";
        assert_eq!(err.to_string(), text, "{query}");
    }
}

#[tokio::test]
async fn refuses_queries_that_would_hold_too_much() {
    let engine = Engine::new(EngineOptions { max_samples: 1000, ..EngineOptions::default() });
    let text = "query processing would load too many samples into memory in query execution";
    for query in [
        "m",
        "sum_over_time(vector(1)[100y:1ms])",
        "count_over_time((1 + vector(time()))[30d:1s])",
        "max_over_time(max_over_time(vector(1)[1h:1s])[1h:1s])",
        "max_over_time(count_values(\"v\", vector(time()))[5m:1s])",
    ] {
        let err = instant(&engine, &source(2000), query).await.unwrap_err();
        assert_eq!(err, QueryError::Execution(text.to_owned()), "{query}");
    }
    assert!(instant(&engine, &source(900), "sum(m)").await.is_ok());
}

#[tokio::test]
async fn refuses_bad_ranges() {
    let engine = Engine::default();
    let run = async |start, end, step, query| {
        engine.range(&source(1), query, start, end, step, &QueryOptions::default()).await
    };
    assert!(matches!(run(0, 10, 0, "m").await, Err(QueryError::Invalid(_))));
    assert!(matches!(run(0, 10, -5, "m").await, Err(QueryError::Invalid(_))));
    assert!(matches!(run(10, 0, 1, "m").await, Err(QueryError::Invalid(_))));
    assert!(matches!(run(0, 11_001, 1, "m").await, Err(QueryError::Invalid(_))));
    assert!(run(0, 11_000, 1, "m").await.is_ok());
    let err = run(0, 10, 1, "m[5m]").await.unwrap_err();
    assert_eq!(
        err.to_string(),
        r#"invalid expression type "range vector" for range query, must be Scalar or instant Vector"#
    );
    assert!(run(i64::MIN, i64::MAX, 1, "m").await.is_err());
    assert!(run(i64::MAX - 1, i64::MAX, 1, "rate(m[5m] offset -5m)").await.is_ok());
    assert!(run(i64::MIN, i64::MIN + 1, 1, "rate(m[5m:1m] offset 5m)").await.is_ok());
}

#[tokio::test]
async fn absurd_queries_are_refused_without_harm() {
    let deep = format!("{}m{}", "(".repeat(5000), ")".repeat(5000));
    let calls = format!("{}m{}", "abs(".repeat(500), ")".repeat(500));
    let signs = format!("{}m", "-".repeat(1900));
    let powers = vec!["2"; 900].join("^");
    let powers_in_range = format!("m[{}]", vec!["2"; 900].join("^"));
    let subqueries = format!("m{}", "[1m:]".repeat(500));
    let many = vec!["m"; 70_000].join("+");
    let long = format!("m{{a=\"{}\"}}", "x".repeat(1_100_000));
    for query in [&deep, &calls, &signs, &powers, &powers_in_range, &subqueries, &many, &long] {
        let err = instant(&Engine::default(), &source(1), query).await.unwrap_err();
        assert!(matches!(err, QueryError::Parse(_)), "{err}");
        assert_eq!(err.kind(), ErrorKind::Invalid);
    }
    for query in [
        "",
        "#",
        "m[1e300]",
        "m[-5m]",
        "m[NaN]",
        "m offset 1e300",
        "m offset Inf",
        "m offset -Inf",
        "m @ Inf",
        "m @ 1e300",
        "m[5m:0s]",
        "m[",
        "m{",
        "m{a=~\"(\"}",
        "m{a=~\"a**\"}",
        "\"\\xff\"",
        "m[5m] offset",
        "sum(",
        "rate(m)",
        "ln(\"x\")",
        "m + \"x\"",
        "{}",
        "m{a=\"b\" or c=\"d\"}",
        "rate(m[1m]",
        "topk(m)",
        "m\u{e000}0",
        "1 </ 2",
        "m[5m/0]",
        "m[step()]",
        "exp(NaN)",
    ] {
        assert!(check_or_run(query).await.is_err(), "{query}");
    }
}

async fn check_or_run(query: &str) -> Result<QueryResult, QueryError> {
    instant(&Engine::default(), &source(1), query).await
}

#[test]
fn long_chains_do_not_exhaust_a_small_stack() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let plus = vec!["m"; 10_000].join("+");
        let signed = vec!["-m"; 660].join("-");
        let mapped = format!("(m+m){}", "+1".repeat(10_000));
        let scalars = format!("m+({})", vec!["1"; 10_000].join("-"));
        let rates: Vec<_> = (0..10_000).map(|i| format!("rate(m{{a=\"{i}\"}}[5m])")).collect();
        let nested = format!("{}m{}", "(".repeat(100), ")".repeat(100));
        let minus = format!("{}m", "-".repeat(100));
        for query in [plus, signed, nested, minus, mapped, scalars, rates.join(" + ")] {
            let result = runtime.block_on(check_or_run(&query));
            assert!(result.is_ok(), "{:?}", result.err());
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap();
    thread.join().unwrap();
}

#[tokio::test]
async fn logarithms_of_subnormals_are_those_of_prometheus() {
    for (query, want) in [("ln", -709.089_565_712_824), ("log10", -307.953_685_564_252_74)] {
        let query = format!("scalar({query}(vector(1e-321)))");
        let result = instant(&Engine::default(), &source(1), &query).await.unwrap();
        let Value::Scalar { value, .. } = result.value else { panic!("not a scalar") };
        assert!((value - want).abs() < 1e-9, "{query}: {value}");
    }
}

#[tokio::test]
async fn parse_errors_know_their_place() {
    let err = instant(&Engine::default(), &source(1), "sum(m)\n + m{a=\"b}").await.unwrap_err();
    assert_eq!(err.to_string(), "2:8: parse error: unterminated quoted string");
    let err = instant(&Engine::default(), &source(1), "m ? 1").await.unwrap_err();
    assert_eq!(err.to_string(), "1:3: parse error: unexpected character: '?'");
}

#[tokio::test]
async fn cuts_results_at_the_limit_with_a_warning() {
    let source = Fixed { series: vec![series("a", 1), series("b", 1)], ..Fixed::default() };
    let opts = QueryOptions { limit: Some(1), ..QueryOptions::default() };
    let engine = Engine::default();
    let query = "{__name__=~\".+\"}";
    let result = engine.instant(&source, query, 1000, &opts).await.unwrap();
    assert!(matches!(result.value, Value::Vector(v) if v.len() == 1));
    assert_eq!(result.warnings, ["results truncated due to limit"]);
    let result = engine.range(&source, query, 0, 1000, 1000, &opts).await.unwrap();
    assert!(matches!(result.value, Value::Matrix(m) if m.len() == 1));
}

#[tokio::test]
async fn reports_what_it_read() {
    let result = instant(&Engine::default(), &source(90), "sum_over_time(m[1m])").await.unwrap();
    assert_eq!((result.stats.samples_decoded, result.stats.series_read), (90, 1));
    assert_eq!((result.stats.samples_read, result.stats.samples_total), (49, 49));
    assert!(result.stats.peak_samples >= 90);
}

#[tokio::test]
async fn counts_samples_per_step_as_prometheus_does() {
    let opts = QueryOptions { step_stats: true, ..QueryOptions::default() };
    let cases: [(&str, &[(u64, u64)]); 8] = [
        ("m", &[(1, 1), (1, 1), (1, 1)]),
        ("m @ 10", &[(1, 1), (1, 0), (1, 0)]),
        ("rate(m[20s])", &[(20, 20), (20, 10), (20, 10)]),
        ("sum(max_over_time(m[20s]))", &[(20, 20), (20, 10), (20, 10)]),
        ("max_over_time(m[20s] @ 30)", &[(20, 20), (20, 0), (20, 0)]),
        ("m + m", &[(2, 2), (2, 2), (2, 2)]),
        ("1", &[(0, 0), (0, 0), (0, 0)]),
        ("sum_over_time(m[5s:1s])", &[(5, 5), (5, 5), (5, 5)]),
    ];
    for (query, want) in cases {
        let (engine, source) = (Engine::default(), source(90));
        let result = engine.range(&source, query, 30_000, 50_000, 10_000, &opts).await;
        let stats = result.unwrap().stats;
        let got: Vec<(u64, u64)> = stats.steps.iter().map(|s| (s.1, s.2)).collect();
        assert_eq!(got, want, "{query}");
        let sum = got.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert_eq!((stats.samples_total, stats.samples_read), sum, "{query}");
        assert_eq!(stats.steps[2].0, 50_000);
    }
}

/// Never answers, and counts how often it was abandoned.
#[derive(Debug)]
struct Stuck(Arc<AtomicUsize>);

#[async_trait]
impl SeriesSource for Stuck {
    async fn select(&self, _: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        struct Abandoned(Arc<AtomicUsize>);
        impl Drop for Abandoned {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _abandoned = Abandoned(Arc::clone(&self.0));
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_stops_waiting_for_the_source() {
    let abandoned = Arc::new(AtomicUsize::new(0));
    let opts = QueryOptions { timeout: Some(Duration::from_secs(1)), ..QueryOptions::default() };
    let stuck = Stuck(Arc::clone(&abandoned));
    let err = Engine::default().instant(&stuck, "a + b", 0, &opts).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Timeout);
    assert_eq!(abandoned.load(Ordering::SeqCst), 2);
}

#[test]
fn a_cancelled_evaluation_stops() {
    let expr =
        parse::parse("quantile_over_time(0.5, m[1h])", syntax::Env { step: 1.0, range: 0.0 });
    let span = plan::Span {
        grid: skald_vector::Grid::range(0, 10_000_000, 1000),
        step_ms: 1000,
        lookback_ms: 1,
        default_step_ms: 1,
    };
    let expr = expr.unwrap();
    let plan = plan::plan(&expr, &span);
    let ctx = skald_vector::Context::default();
    let cancel = ctx.cancel.clone();
    let data = vec![vec![series("m", 10_000)]];
    let data: Vec<_> = data
        .into_iter()
        .map(|set| {
            Arc::new(
                exec::Fetched::new(Box::new(set), false, &skald_vector::Context::default())
                    .unwrap(),
            )
        })
        .collect();
    let mut evaluator =
        eval::Evaluator::new(span, ctx, &plan, &data, usize::MAX, exec::Memory::default());
    cancel.cancel();
    let err = evaluator.answer(&expr, engine::Mode::Range).unwrap_err();
    assert_eq!(err, QueryError::Cancelled);
}

#[tokio::test]
async fn errors_of_the_source_keep_their_kind() {
    #[derive(Debug)]
    struct Away;
    #[async_trait]
    impl SeriesSource for Away {
        async fn select(&self, _: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
            Err(SourceError { kind: ErrorKind::Unavailable, message: "away".to_owned() })
        }
    }
    let err = instant(&Engine::default(), &Away, "m").await.unwrap_err();
    assert_eq!((err.kind(), err.to_string()), (ErrorKind::Unavailable, "away".to_owned()));
}

#[test]
fn selectors_stand_alone() {
    let matchers = parse_selector(r#"m{a=~"x|y", "b.c"!="d"}"#).unwrap();
    assert_eq!(format!("{matchers:?}"), r#"[__name__="m", a=~"x|y", b.c!="d"]"#);
    for bad in ["m[5m]", "m + m", "m offset 5m", "1", "{}", ""] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}

/// Pieces of queries, valid and not.
const PIECES: [&str; 64] = [
    "m",
    "sum",
    "rate",
    "by",
    "on",
    "group_left",
    "ignoring",
    "offset",
    "@",
    "start()",
    "end()",
    "bool",
    "without",
    "topk",
    "quantile",
    "count_values",
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "[5m]",
    "[5m:1m]",
    "[5m:]",
    "[step()]",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "<",
    ">",
    "</",
    ">/",
    "=~",
    "!~",
    "=",
    "and",
    "or",
    "unless",
    "atan2",
    "1",
    "0",
    "1e300",
    "5m",
    "0x1f",
    "Inf",
    "NaN",
    "\"a\"",
    "'b'",
    "`c\\d`",
    "{a=\"b\"}",
    "{a=~\"x|y.*\"}",
    ":",
    "fill(1)",
    "histogram_quantile(0.9, m)",
    "#\n",
];

mod soup {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever parses also evaluates, to an answer or an error.
        #[test]
        fn any_text_is_answered_or_refused(picks in proptest::collection::vec(0usize..64, 1..14)) {
            let query = picks.iter().map(|p| PIECES[*p]).collect::<Vec<_>>().join(" ");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let engine = Engine::new(EngineOptions { max_samples: 100_000, ..EngineOptions::default() });
                let opts = QueryOptions::default();
                let source = source(50);
                let _ = engine.instant(&source, &query, 30_000, &opts).await;
                let result = engine.range(&source, &query, 0, 60_000, 7_000, &opts).await;
                if let Err(QueryError::Execution(text)) = result {
                    assert!(!text.contains("unexpectedly"), "{query}: {text}");
                }
            });
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(text in "\\PC{0,40}") {
            let _ = check_query(&text);
        }
    }
}
