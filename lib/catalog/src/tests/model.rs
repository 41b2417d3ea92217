//! Random histories of several processes on a failing store, compared with what they were told.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{World, add, block, tenant};
use crate::{Catalog, Change, GcOptions};

/// What happened to the blocks, as far as the processes know.
#[derive(Debug, Default)]
struct Told {
    /// Surely added.
    added: BTreeSet<String>,
    /// Perhaps added.
    tried: BTreeSet<String>,
    /// Surely or perhaps merged into another block.
    merged: BTreeMap<String, Vec<String>>,
    /// Numbers of commits that succeeded, each at most once.
    numbers: BTreeSet<u64>,
}

/// A process and its catalog, which is replaced when it restarts.
async fn process(world: &World, p: &mut (u64, Catalog), round: u64, told: &Mutex<Told>) {
    let (p, catalog) = p;
    for step in 0..world.rng.below(8) {
        match world.rng.below(12) {
            0..=5 => flush(world, catalog, &format!("f-{p}-{round}-{step}"), told).await,
            6..=8 => compact(world, catalog, &format!("c-{p}-{round}-{step}"), told).await,
            9..=10 => drop(catalog.gc(&tenant(), &GcOptions::default()).await),
            _ => *catalog = world.catalog(&format!("replica-{p}"), 1),
        }
    }
}

async fn flush(world: &World, catalog: &Catalog, id: &str, told: &Mutex<Told>) {
    world.upload(id).await;
    told.lock().tried.insert(id.to_owned());
    if let Ok(number) = catalog.commit(&tenant(), add(id)).await {
        let mut told = told.lock();
        told.added.insert(id.to_owned());
        assert!(told.numbers.insert(number), "number {number} was given twice");
    }
}

async fn compact(world: &World, catalog: &Catalog, id: &str, told: &Mutex<Told>) {
    let Ok(view) = catalog.view(&tenant()).await else { return };
    let removes: Vec<String> = view.blocks.iter().take(2).map(|b| b.id.clone()).collect();
    if removes.len() < 2 {
        return;
    }
    world.upload(id).await;
    told.lock().tried.insert(id.to_owned());
    let change = Change { adds: vec![block(id)], removes: removes.clone(), ..Change::default() };
    let done = catalog.commit(&tenant(), change).await;
    let mut told = told.lock();
    match done {
        Ok(number) => {
            told.added.insert(id.to_owned());
            assert!(told.numbers.insert(number), "number {number} was given twice");
            told.merged.insert(id.to_owned(), removes);
        }
        Err(crate::CommitError::Conflict { .. }) => {
            told.tried.remove(id);
        }
        Err(_) => {
            told.merged.insert(id.to_owned(), removes);
        }
    }
}

async fn history(seed: u64, processes: u64, percent: u64, interval: u64) {
    let mut world = World::new(seed);
    world.config.checkpoint_interval = interval;
    world.config.commit_attempts = 4;
    world.store.set_percent(percent);
    let told = Mutex::new(Told::default());
    let named = |p| (p, world.catalog(&format!("replica-{p}"), 1));
    let mut all: Vec<_> = (0..processes).map(named).collect();
    for round in 0..6 {
        join_all(all.iter_mut().map(|p| process(&world, p, round, &told))).await;
        // Hours to days, between the commits: within one they would end it.
        world.advance_ms(i64::try_from(world.rng.below(5 * 24)).unwrap() * 3_600_000);
    }
    world.store.set_percent(0);
    let told = told.into_inner();

    let catalog = world.catalog("reader", 1);
    let view = catalog.view(&tenant()).await.unwrap();
    let live: BTreeSet<String> = view.blocks.iter().map(|b| b.id.clone()).collect();
    assert!(live.is_subset(&told.tried), "only what was tried is there");
    assert!(told.numbers.last().copied().unwrap_or(0) <= view.number);
    // Whatever was surely added is there, or merged by a block that is there, or was merged, ...
    let mut reached = live.clone();
    let mut todo: Vec<String> = live.iter().cloned().collect();
    let mut seen_inputs = BTreeSet::new();
    while let Some(id) = todo.pop() {
        for input in told.merged.get(&id).into_iter().flatten() {
            assert!(seen_inputs.insert(input.clone()), "{input} was merged twice");
            assert!(!live.contains(input), "{input} is there and merged");
            reached.insert(input.clone());
            todo.push(input.clone());
        }
    }
    assert!(told.added.is_subset(&reached), "lost: {:?}", told.added.difference(&reached));
    for id in &live {
        assert!(world.has_objects(id).await, "live block {id} was deleted");
    }
    // A reader of the whole log comes to the same state as one that was there all the time.
    let again = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!(*again, *view);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn histories_lose_nothing_and_count_nothing_twice(
        seed in any::<u64>(),
        processes in 1u64..6,
        percent in 0u64..40,
        interval in 1u64..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(history(seed, processes, percent, interval));
    }
}
