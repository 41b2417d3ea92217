//! Runs the commands of a file.

use std::time::Duration;

use skald_promql::{Engine, EngineOptions, QueryOptions, QueryResult, Value, VectorSample};
use skald_vector::NameRemoval;

use crate::compare;
use crate::dsl::{self, Command, Eval, Expect, Text, What};
use crate::fixed;
use crate::storage::Memory;

/// Evals of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub passed: usize,
    pub total: usize,
    pub failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.total += other.total;
        self.failures.extend_from_slice(&other.failures);
    }
}

pub(crate) async fn run_file(name: &str, text: &str) -> Tally {
    let engine = Engine::new(EngineOptions {
        max_samples: 10_000,
        timeout: Duration::from_secs(100),
        names: NameRemoval::Delayed,
        ..EngineOptions::default()
    });
    let mut storage = Memory::default();
    let mut tally = Tally::default();
    let commands = match dsl::parse(text) {
        Ok(commands) => commands,
        Err(e) => {
            tally.failures.push(format!("{name}: {e}"));
            tally.total = 1;
            return tally;
        }
    };
    for command in commands {
        match command {
            Command::Clear => storage = Memory::default(),
            Command::Load { step_ms, nhcb, series } => storage.load(step_ms, &series, nhcb),
            Command::Eval(eval) => {
                tally.total += 1;
                match check(&engine, &storage, &eval).await {
                    Ok(()) => tally.passed += 1,
                    Err(e) => {
                        tally.failures.push(format!("{name}:{}: {}: {e}", eval.line, eval.query));
                    }
                }
            }
        }
    }
    tally
}

/// The eval as written, then with its time fixed by `@` at other times.
async fn check(engine: &Engine, storage: &Memory, eval: &Eval) -> Result<(), String> {
    check_once(engine, storage, eval).await?;
    if eval.step_ms > 0 {
        return Ok(());
    }
    for (query, time_ms) in fixed::copies(&eval.query, eval.start_ms) {
        let copy = Eval { start_ms: time_ms, query, ..eval.clone() };
        let context = |e: &String| format!("as {} at {time_ms}: {e}", copy.query);
        check_once(engine, storage, &copy).await.map_err(|e| context(&e))?;
    }
    Ok(())
}

async fn check_once(engine: &Engine, storage: &Memory, eval: &Eval) -> Result<(), String> {
    let opts = QueryOptions::default();
    let instant = eval.step_ms == 0;
    let result = if instant {
        engine.instant(storage, &eval.query, eval.start_ms, &opts).await
    } else {
        let (start, end, step) = (eval.start_ms, eval.end_ms, eval.step_ms);
        engine.range(storage, &eval.query, start, end, step, &opts).await
    };
    let fails: Vec<&Expect> = eval.expects.iter().filter(|e| e.what == What::Fail).collect();
    match &result {
        Err(e) if !fails.is_empty() => {
            return matches_all(&fails, &[e.to_string()], false);
        }
        Ok(_) if !fails.is_empty() => return Err("should have failed".to_owned()),
        _ => {}
    }
    let result = result.map_err(|e| e.to_string())?;
    verify(eval, &result)?;
    if instant && eval.range_vector.is_none() && eval.string.is_none() && repeatable(&eval.query) {
        as_range(engine, storage, eval).await?;
    }
    Ok(())
}

/// Whether the query means the same in a range query around its time.
fn repeatable(query: &str) -> bool {
    !["start()", "end()", "range()", "step()"].iter().any(|f| query.contains(f))
}

/// The same eval as the middle of a range query must give the same.
async fn as_range(engine: &Engine, storage: &Memory, eval: &Eval) -> Result<(), String> {
    let t = eval.start_ms;
    let opts = QueryOptions::default();
    let result = engine.range(storage, &eval.query, t - 60_000, t + 60_000, 60_000, &opts).await;
    let result = result.map_err(|e| format!("as range: {e}"))?;
    let Value::Matrix(series) = &result.value else {
        return Err("as range: not a matrix".to_owned());
    };
    let samples: Vec<VectorSample> = series
        .iter()
        .filter_map(|s| {
            let value = compare::by_time(s).remove(&t)?;
            Some(VectorSample { labels: s.labels.clone(), time_ms: t, value })
        })
        .collect();
    let want = match eval.scalar {
        Some(v) => vec![dsl::SeriesLine {
            labels: skald_model::Labels::empty(),
            items: vec![dsl::Item::Float(v)],
            starts: Vec::new(),
        }],
        None => eval.series.clone(),
    };
    compare::vector(&want, &samples, false).map_err(|e| format!("as range: {e}"))
}

fn verify(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    annotations(eval, What::Warn, What::NoWarn, &result.warnings)?;
    annotations(eval, What::Info, What::NoInfo, &result.infos)?;
    match &result.value {
        Value::Scalar { value, .. } => match eval.scalar {
            Some(want) if compare::floats_equal(want, *value) => Ok(()),
            want => Err(format!("want {want:?}, got scalar {value}")),
        },
        Value::String { value, .. } => match &eval.string {
            Some(want) if want == value => Ok(()),
            want => Err(format!("want {want:?}, got string {value:?}")),
        },
        Value::Vector(got) => compare::vector(&eval.series, got, eval.ordered),
        Value::Matrix(got) => {
            if !compare::sorted_by_labels(got) {
                return Err("series are not sorted by labels".to_owned());
            }
            let (start, step) = eval.range_vector.unwrap_or((eval.start_ms, eval.step_ms));
            compare::matrix(&eval.series, got, start, step)
        }
    }
}

fn annotations(eval: &Eval, some: What, none: What, got: &[String]) -> Result<(), String> {
    if eval.expects.iter().any(|e| e.what == none) && !got.is_empty() {
        return Err(format!("unexpected {got:?}"));
    }
    let wanted: Vec<&Expect> = eval.expects.iter().filter(|e| e.what == some).collect();
    if wanted.is_empty() { Ok(()) } else { matches_all(&wanted, got, true) }
}

/// Every expectation has a text; with `both_ways` every text an expectation.
fn matches_all(expects: &[&Expect], got: &[String], both_ways: bool) -> Result<(), String> {
    let hit = |e: &Expect, text: &str| match &e.text {
        Text::Any => true,
        Text::Exactly(want) => want == text,
        Text::Pattern(pattern) => {
            skald_model::regex::unanchored(pattern).is_ok_and(|re| re.is_match(text))
        }
    };
    let missing = expects.iter().find(|e| !got.iter().any(|g| hit(e, g)));
    if let Some(e) = missing {
        return Err(format!("want {e:?}, got {got:?}"));
    }
    let extra = got.iter().find(|g| !expects.iter().any(|e| hit(e, g)));
    match extra {
        Some(text) if both_ways => Err(format!("unexpected {text:?}")),
        _ => Ok(()),
    }
}
