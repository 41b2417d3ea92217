//! Every path of the evaluation is held to the memory limit and asks often whether to stop.

use super::*;

fn many(n_series: i64, n: i64) -> Vec<Series> {
    let one = |i: i64| {
        let id = format!("{i:05}");
        let bucket = format!("{}", i % 10);
        let pairs = [(Labels::NAME, "m"), ("id", id.as_str()), ("le", bucket.as_str())];
        Series { labels: Labels::from_pairs(pairs), ..series("m", n) }
    };
    (0..n_series).map(one).collect()
}

#[tokio::test]
async fn every_path_is_held_to_the_memory_limit_and_names_the_costliest_selector() {
    let mut all = many(100, 100);
    all.push(series("small", 1));
    let source = Fixed { series: all, ..Fixed::default() };
    let run = async |bytes: usize, query: &str| {
        let options = EngineOptions { max_memory_bytes: Some(bytes), ..EngineOptions::default() };
        let opts = QueryOptions::default();
        Engine::new(options).range(&source, query, 0, 99_000, 1000, &opts).await
    };
    let fetched = source.series.iter().map(Series::size_bytes).sum::<usize>();
    let cases = [
        "m",
        "rate(m[9s])",
        "m * 2",
        "m + on(id) m",
        "m and on(id) m",
        "m or small",
        "sum by (id) (m)",
        "stddev by (id) (m)",
        "topk(50, m)",
        "quantile by (id) (0.5, m)",
        "count_values(\"v\", m)",
        "limitk(90, m)",
        "label_replace(m, \"a\", \"$1\", \"id\", \"(.*)\")",
        "label_join(m, \"a\", \"-\", \"id\", \"le\")",
        "sort(m)",
        "histogram_quantile(0.9, m)",
        "max_over_time(m[9s:1s])",
        "quantile_over_time(0.5, m[9s:1s])",
        "absent_over_time(m[9s:1s])",
        "m - (m offset 1s)",
        "small + on() group_right() m",
    ];
    for query in cases {
        let err = run(fetched + 100_000, query).await.map(|_| query).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::LimitExceeded, "{query}: {err}");
        let text = err.to_string();
        for part in ["max_query_memory", "is for {__name__=\"m\"}"] {
            assert!(text.contains(part), "{query}: {text}");
        }
        run(usize::MAX, query).await.unwrap();
    }
}

/// How often `query` asks whether it should stop.
fn polls(query: &str, n_series: i64, steps: i64) -> u64 {
    const MANY: u64 = 1 << 40;
    let expr = parse::parse(query, syntax::Env { step: 1.0, range: 0.0 }).unwrap();
    let span = plan::Span {
        grid: skald_vector::Grid::range(0, (steps - 1) * 1000, 1000),
        step_ms: 1000,
        lookback_ms: 300_000,
        default_step_ms: 1000,
    };
    let plan = plan::plan(&expr, &span);
    let cancel = skald_vector::CancelFlag::after(MANY);
    let ctx = skald_vector::Context { cancel: cancel.clone(), ..skald_vector::Context::default() };
    let fetch = |_| {
        Arc::new(
            exec::Fetched::new(
                Box::new(many(n_series, 100)),
                false,
                &skald_vector::Context::default(),
            )
            .unwrap(),
        )
    };
    let data: Vec<_> = plan.selects.iter().map(fetch).collect();
    let mut evaluator =
        eval::Evaluator::new(span, ctx, &plan, &data, usize::MAX, exec::Memory::default());
    evaluator.answer(&expr, engine::Mode::Range).unwrap();
    MANY - cancel.polls_left()
}

#[test]
fn no_operation_does_much_between_two_questions_whether_to_stop() {
    // Beyond what the selector itself asks, once per series: at least once per this many slots.
    const SLOTS: u64 = 2000;
    let (n_series, steps) = (400, 100);
    let slots = 400 * 100;
    let base = polls("m", n_series, steps);
    assert!(base >= slots / SLOTS);
    let cases = [
        "topk(3, m)",
        "bottomk(3, m)",
        "quantile(0.5, m)",
        "limitk(3, m)",
        "limit_ratio(0.5, m)",
        "count_values(\"v\", m)",
        "sum by (id) (sort(m))",
        "topk(3, sort(m))",
        "quantile(0.5, sort(m))",
        "limitk(3, sort(m))",
        "m + on(id) (m offset 1s)",
        "m and on(id) (m offset 1s)",
        "m or on(id) (m offset 1s)",
        "max_over_time(m[9s:1s])",
        "quantile_over_time(0.5, m[9s:1s])",
        "-sort(m)",
        "abs(sort(m))",
        "label_replace(m, \"x\", \"\", \"id\", \"none\")",
        "label_join(m, \"x\", \"-\", \"id\")",
        "timestamp(sort(m))",
        "histogram_quantile(0.9, sort(m))",
    ];
    for query in cases {
        let more = polls(query, n_series, steps) - base;
        assert!(more >= slots / SLOTS, "{query} asks {more} times");
    }
}

#[test]
fn operations_on_many_series_ask_for_each_whether_to_stop() {
    let (n_series, asked) = (3000, |query| polls(query, 3000, 1));
    let base = asked("m");
    // How often at least for each series, beyond what the selector itself asks.
    let cases = [
        ("timestamp(sort(m))", 3),
        ("-sort(m)", 2),
        ("histogram_quantile(0.9, sort(m))", 1),
        ("label_replace(m, \"x\", \"\", \"id\", \"none\")", 2),
        ("m and m", 2),
        ("m or m", 3),
        ("m + m", 4),
        ("max_over_time(m[9s:1s])", 1),
    ];
    for (query, per_series) in cases {
        let more = asked(query) - base;
        assert!(more >= n_series * per_series, "{query} asks {more} times");
    }
}

#[test]
fn an_evaluation_that_is_cancelled_midway_fails_and_reads_no_more() {
    for query in ["sum(m)", "topk(3, m)", "max_over_time(m[9s:1s])", "m + on(id) (m offset 1s)"] {
        let all = polls(query, 40, 50);
        let expr = parse::parse(query, syntax::Env { step: 1.0, range: 0.0 }).unwrap();
        let span = plan::Span {
            grid: skald_vector::Grid::range(0, 49_000, 1000),
            step_ms: 1000,
            lookback_ms: 300_000,
            default_step_ms: 1000,
        };
        let plan = plan::plan(&expr, &span);
        for after in [0, 1, all / 2, all - 1] {
            let cancel = skald_vector::CancelFlag::after(after);
            let ctx = skald_vector::Context { cancel, ..skald_vector::Context::default() };
            let fetch = |_| {
                Arc::new(
                    exec::Fetched::new(
                        Box::new(many(40, 100)),
                        false,
                        &skald_vector::Context::default(),
                    )
                    .unwrap(),
                )
            };
            let data: Vec<_> = plan.selects.iter().map(fetch).collect();
            let memory = exec::Memory::default();
            let mut evaluator = eval::Evaluator::new(span, ctx, &plan, &data, usize::MAX, memory);
            let err = evaluator.answer(&expr, engine::Mode::Range).unwrap_err();
            assert_eq!(err, QueryError::Cancelled, "{query} after {after} of {all}");
        }
    }
}
