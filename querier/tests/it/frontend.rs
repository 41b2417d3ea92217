//! Range queries through the frontend answer what the engine alone answers.

use skald_limits::Limits;
use skald_model::{Series, TenantId};
use skald_querier::Config;
use skald_runtime::{ByteSize, HumanDuration, Rng};

use crate::world::{Another, BASE_S, World, at, series};

const RANGE: &str = "/api/v1/query_range";
/// Data lies within this, in seconds after the base.
pub(crate) const LENGTH_S: i64 = 3600;

fn split(interval_s: u64, concurrency: usize) -> Config {
    Config {
        split_queries_by_interval: HumanDuration::from_secs(interval_s),
        split_concurrency: concurrency,
        ..Config::default()
    }
}

pub(crate) fn below(rng: &Rng, n: u64) -> u64 {
    rng.next_u64() % n
}

fn pick<'a, T: ?Sized>(rng: &Rng, of: &[&'a T]) -> &'a T {
    of[usize::try_from(below(rng, of.len() as u64)).unwrap()]
}

/// Series with gaps, restarts of counters, and some that live for a while only.
pub(crate) fn random_series(rng: &Rng) -> Vec<Series> {
    let mut all = Vec::new();
    for name in ["m", "n_total"] {
        for i in 0..6 {
            let (job, instance) = (format!("j{}", i % 2), format!("i{i}"));
            let (first, every) = (below(rng, 900), 10 + below(rng, 60));
            let (mut value, mut points) = (0.0, Vec::new());
            let last = if below(rng, 3) == 0 { 1800 } else { LENGTH_S.unsigned_abs() };
            let mut t = first;
            while t < last {
                t += if below(rng, 20) == 0 { 400 } else { every };
                value =
                    if below(rng, 25) == 0 { 0.0 } else { value + below(rng, 64) as f64 * 0.25 };
                points.push((i64::try_from(t).unwrap(), value));
            }
            let labels = [("__name__", name), ("instance", &instance), ("job", &job)];
            all.push(series(&labels, &points));
        }
    }
    all
}

pub(crate) fn random_query(rng: &Rng, depth: u32) -> String {
    let metric = pick(rng, &["m", "n_total", "m{job=\"j1\"}", "{__name__=~\"m|n_total\"}"]);
    let offset = pick(
        rng,
        &["", "", "", " offset 3m", " offset -2m", " @ end()", " @ start()", " @ 1767226500"],
    );
    if depth == 0 {
        let range = pick(rng, &["[1m]", "[5m]", "[7m]", "[6m:1m]", "[5m:]"]);
        let func = pick(
            rng,
            &[
                "rate",
                "increase",
                "sum_over_time",
                "avg_over_time",
                "changes",
                "last_over_time",
                "stddev_over_time",
                "absent_over_time",
                "irate",
                "quantile_over_time",
            ],
        );
        let first = if func == "quantile_over_time" { pick(rng, &["0.5, ", "2, "]) } else { "" };
        return match below(rng, 3) {
            0 => format!("{metric}{offset}"),
            _ => format!("{func}({first}{metric}{range}{offset})"),
        };
    }
    let inner = random_query(rng, depth - 1);
    match below(rng, 12) {
        0 => format!("sum by (job) ({inner})"),
        1 => format!("topk(2, {inner})"),
        2 => format!("limitk(1, {inner})"),
        3 => format!("-({inner})"),
        4 => format!("({inner}) + ignoring(job) ({})", random_query(rng, 0)),
        5 => format!("({inner}) or ({})", random_query(rng, 0)),
        6 => format!("count_values(\"v\", {inner})"),
        7 => format!("max_over_time(({inner})[4m:1m])"),
        8 => format!("abs({inner}) > bool 3"),
        9 => format!("label_replace({inner}, \"x\", \"$1\", \"job\", \"(.*)\")"),
        10 => format!("scalar({inner}) + time() - end()"),
        _ => format!("avg without (instance) ({inner}) * 2"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_range_queries_in_pieces_are_those_of_the_whole() {
    let rng = Rng::seeded(11);
    let world = World::single();
    let tenant = TenantId::single();
    world.commit_series(&tenant, &random_series(&rng)).await;
    let whole = world.another(split(0, 1));
    let routers: Vec<Another> =
        [(600, 1), (300, 3), (1700, 2)].map(|(s, n)| world.another(split(s, n))).into();
    let mut answered = 0;
    for _ in 0..250 {
        let query = random_query(&rng, u32::try_from(below(&rng, 3)).unwrap());
        let start = i64::try_from(below(&rng, 1500)).unwrap();
        let end = start + i64::try_from(below(&rng, 3000)).unwrap();
        let step = ["7", "30", "60", "119", "900"][usize::try_from(below(&rng, 5)).unwrap()];
        let limit = pick(&rng, &["0", "0", "0", "3"]);
        let (start, end) = (at(start), at(end));
        let params = [
            ("query", &*query),
            ("start", &start),
            ("end", &end),
            ("step", step),
            ("limit", limit),
        ];
        let want = whole.get(RANGE, &params).await;
        answered += u32::from(want.status == 200);
        for router in &routers {
            let got = router.get(RANGE, &params).await;
            assert_eq!(got.text(), want.text(), "{params:?}");
        }
    }
    assert!(answered > 180, "only {answered} queries were right");
}

#[tokio::test]
async fn a_query_that_may_be_split_is() {
    let world = World::single();
    let points: Vec<_> = (0..60).map(|i| (i * 60, 1.0)).collect();
    world.commit_series(&TenantId::single(), &[series(&[("__name__", "m")], &points)]).await;
    let ask = async |query: &str, more: (&str, &str)| {
        let router = world.another(split(600, 2));
        let (start, end) = (at(0), at(LENGTH_S - 1));
        let params = [("query", query), ("start", &start), ("end", &end), ("step", "60"), more];
        let reply = router.get(RANGE, &params).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        router.metric("query_pieces_total")
    };
    let none = ("limit", "0");
    assert_eq!(ask("m", none).await, "6");
    assert_eq!(ask("m @ end()", none).await, "0");
    // Statistics are those of the whole.
    assert_eq!(ask("m", ("stats", "all")).await, "0");
    // It looks back further than its pieces are long.
    assert_eq!(ask("m offset 1h", none).await, "0");
}

#[tokio::test]
async fn a_limit_counts_for_all_pieces_together() {
    let limits = Limits { max_samples_per_query: 80, ..Limits::default() };
    let world = World::new(1, 1, limits);
    let points: Vec<_> = (0..60).map(|i| (i * 60, 1.0)).collect();
    let all: Vec<_> = ["a", "b"].map(|a| series(&[("__name__", "m"), ("a", a)], &points)).into();
    world.commit_series(&TenantId::single(), &all).await;
    let router = world.another(split(600, 2));
    let (start, end) = (BASE_S.to_string(), at(LENGTH_S - 1));
    let params = [("query", "m"), ("start", &start), ("end", &end), ("step", "60")];
    let reply = router.get(RANGE, &params).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().contains("too many samples"), "{}", reply.text());
}

/// Cuts the last `n` seconds off the series, and answers what was cut.
fn split_off(all: &mut [Series], from_s: i64) -> Vec<Series> {
    let from = crate::world::BASE_MS + from_s * 1000;
    let late = all.iter_mut().filter_map(|s| {
        let at = s.timestamps.partition_point(|t| *t < from);
        let (timestamps, values) = (s.timestamps.split_off(at), s.values.split_off(at));
        let late = Series { timestamps, values, ..s.clone() };
        (!late.timestamps.is_empty()).then_some(late)
    });
    late.collect()
}

/// Adds samples to a head, which has each series once.
fn arrive(head: &mut Vec<Series>, late: Series) {
    let Some(s) = head.iter_mut().find(|s| s.labels == late.labels) else {
        return head.push(late);
    };
    let of = |s: &Series| -> Vec<_> {
        s.timestamps.iter().copied().zip(s.values.iter().copied()).collect()
    };
    let mut points = [of(s), of(&late)].concat();
    points.sort_by_key(|(t, _)| *t);
    (s.timestamps, s.values) = points.into_iter().unzip();
}

/// Has samples deleted, or withdraws what was asked for before.
async fn delete_or_withdraw(world: &World, rng: &Rng) {
    const ADMIN: &str = "/api/v1/admin/tsdb";
    let listed = world.get(&format!("{ADMIN}/delete_series"), &[]).await.json();
    let reply = match listed.as_array().unwrap().first() {
        Some(request) if below(rng, 2) == 0 => {
            let id = [("request_id", request["request_id"].as_str().unwrap())];
            world.post(&format!("{ADMIN}/cancel_delete_request"), &id).await
        }
        _ => {
            let selector = pick(rng, &["m", r#"{job="j1"}"#, r#"n_total{instance="i2"}"#]);
            let start = i64::try_from(below(rng, 3000)).unwrap();
            let (start, end) = (at(start), at(start + 300));
            let form = [("match[]", selector), ("start", &*start), ("end", &*end)];
            world.post(&format!("{ADMIN}/delete_series"), &form).await
        }
    };
    assert_eq!(reply.status, 204, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn random_range_queries_through_the_cache_are_those_of_the_whole() {
    let rng = Rng::seeded(23);
    let tenant = TenantId::single();
    let (mut hits, mut changes) = (0, 0);
    for _ in 0..4 {
        let world = World::single();
        let mut all = random_series(&rng);
        // Some in the head, some missing until later.
        let mut recent = split_off(&mut all, 2700);
        let mut late = vec![all.pop().unwrap(), all.remove(0)];
        late.extend(split_off(&mut recent, 3000));
        let version = world.commit_series(&tenant, &all).await;
        world.ingester().forget(&tenant, version);
        world.ingester().put(&tenant, |head| head.series = recent);
        let whole = world.another(Config { results_cache_size: ByteSize(0), ..split(0, 1) });
        let min_age = HumanDuration::from_secs(300);
        let cached = world.another(Config { results_cache_min_age: min_age, ..split(600, 2) });
        let depth = |n| u32::try_from(below(&rng, n)).unwrap();
        let queries: Vec<_> = (0..8).map(|_| random_query(&rng, depth(3))).collect();
        for _ in 0..120 {
            if below(&rng, 15) == 0 {
                changes += 1;
                if below(&rng, 3) == 0 {
                    delete_or_withdraw(&world, &rng).await;
                } else if let Some(s) = late.pop().filter(|_| below(&rng, 2) == 0) {
                    world.ingester().put(&tenant, |head| arrive(&mut head.series, s));
                } else {
                    let mut flushed = Vec::new();
                    world.ingester().put(&tenant, |head| flushed = head.series.clone());
                    if !flushed.is_empty() {
                        let version = world.commit_series(&tenant, &flushed).await;
                        world.ingester().forget(&tenant, version);
                    }
                }
            }
            let query = &queries[usize::try_from(below(&rng, 8)).unwrap()];
            let start = i64::try_from(below(&rng, 40)).unwrap() * 60;
            let end = start + i64::try_from(below(&rng, 3600)).unwrap();
            let (start, end) = (at(start), at(end));
            let step = pick(&rng, &["60", "60", "30"]);
            let limit = pick(&rng, &["0", "0", "0", "3"]);
            let params = [
                ("query", &**query),
                ("start", &start),
                ("end", &end),
                ("step", step),
                ("limit", limit),
            ];
            let want = whole.get(RANGE, &params).await;
            let got = cached.get(RANGE, &params).await;
            assert_eq!(got.text(), want.text(), "{params:?}");
        }
        hits += cached.metric("results_cache_hits_total").parse::<u32>().unwrap();
    }
    assert!(hits > 130 && changes > 15, "{hits} hits, {changes} changes");
}

#[tokio::test]
async fn a_request_may_pass_the_cache_by() {
    let world = World::single();
    let points: Vec<_> = (0..60).map(|i| (i * 60, 1.0)).collect();
    world.commit_series(&TenantId::single(), &[series(&[("__name__", "m")], &points)]).await;
    let router = world.another(split(600, 2));
    let (start, end) = (at(0), at(1199));
    let ask = async |query: &str, headers: &[(&str, &str)]| {
        let params = [("query", query), ("start", &start), ("end", &end), ("step", "60")];
        let reply = router.get_with(RANGE, &params, headers).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let n = |name| router.metric(name).parse::<u64>().unwrap();
        (n("results_cache_hits_total"), n("results_cache_misses_total"))
    };
    let no_store = [("cache-control", "max-age=0, no-store")];
    assert_eq!(ask("m", &no_store).await, (0, 0));
    assert_eq!(ask("m", &[]).await, (0, 2));
    assert_eq!(ask("m", &no_store).await, (0, 2));
    assert_eq!(ask("m", &[("cache-control", "no-cache")]).await, (0, 2));
    let params =
        [("query", "m"), ("start", &start), ("end", &end), ("step", "60"), ("nocache", "1")];
    assert_eq!(router.get(RANGE, &params).await.status, 200);
    assert_eq!(ask("m", &[]).await, (2, 2));
    // However it is written.
    assert_eq!(ask(" m{ }", &[]).await, (4, 2));
}
