//! The plan on made-up views, and that following it ends.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const HOUR: i64 = 3_600_000;

fn rules() -> Rules {
    Rules {
        effort: Effort::Routine,
        now_ms: 0,
        max_block_size: 100 * MIB,
        min_blocks: 4,
        max_blocks: 8,
        metrics_cutoff_ms: None,
        logs_cutoff_ns: None,
        metrics_max_bytes: 0,
        logs_max_bytes: 0,
        logs: Arc::default(),
        samples: Arc::default(),
        retention_key: String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn only_as_many_of_the_oldest_go_as_are_too_much(
        blocks in prop::collection::vec((0i64..9, 0i64..9, 0u64..50, any::<bool>()), 0..20),
        max_bytes in 0u64..300,
    ) {
        let of = |(i, (min, len, size, logs)): (usize, (i64, i64, u64, bool))| {
            let signal = if logs { Signal::Logs } else { Signal::Metrics };
            Arc::new(BlockMeta {
                signal: signal.into(),
                max_time: (min + len) * HOUR,
                ..block(&format!("{i:02}"), min..min + 1, size)
            })
        };
        let all: Vec<_> = blocks.into_iter().enumerate().map(of).collect();
        for signal in [Signal::Metrics, Signal::Logs] {
            let over = over_size(&all, signal, max_bytes);
            let (gone, left): (Vec<_>, Vec<_>) =
                all.iter().filter(|b| b.signal() == signal).partition(|b| over.contains(b));
            let bytes = |blocks: &[&Arc<BlockMeta>]| blocks.iter().map(|b| b.size_bytes).sum::<u64>();
            prop_assert_eq!(gone.len(), over.len());
            if max_bytes == 0 {
                prop_assert!(gone.is_empty());
                continue;
            }
            // Enough went, or the newest is all that is left.
            prop_assert!(bytes(&left) <= max_bytes || left.len() == 1);
            let newest_gone = gone.iter().map(|b| b.max_time).max();
            let oldest_left = left.iter().map(|b| b.max_time).min();
            prop_assert!(newest_gone.is_none_or(|gone| oldest_left.is_some_and(|left| gone <= left)));
            // The last that went was one too many.
            if let Some(last) = over.last() {
                prop_assert!(bytes(&left) + last.size_bytes > max_bytes);
            }
        }
    }
}

fn full() -> Rules {
    Rules { effort: Effort::Full, ..rules() }
}

/// A metric block of a single source that was merged before.
fn block(id: &str, hours: std::ops::Range<i64>, size_bytes: u64) -> BlockMeta {
    BlockMeta {
        id: id.into(),
        signal: Signal::Metrics.into(),
        min_time: hours.start * HOUR,
        max_time: hours.end * HOUR - 1,
        size_bytes,
        level: 1,
        sources: vec!["a".into()],
        ..Default::default()
    }
}

fn of(source: &str, mut block: BlockMeta) -> BlockMeta {
    block.sources = vec![source.into()];
    block
}

fn run(blocks: Vec<BlockMeta>, rules: &Rules) -> Plan {
    let blocks: Vec<_> = blocks.into_iter().map(Arc::new).collect();
    plan(&blocks, &BTreeSet::new(), rules)
}

fn merges(plan: &Plan) -> Vec<String> {
    let ids = |m: &Merge| m.inputs.iter().map(|b| b.id.as_str()).collect::<Vec<_>>().join(" ");
    plan.merges.iter().map(ids).collect()
}

/// Blocks of one hour each, one after the other.
fn hourly(n: i64, size: u64) -> Vec<BlockMeta> {
    (0..n).map(|i| block(&format!("{i:02}"), i..i + 1, size)).collect()
}

#[test]
fn enough_small_blocks_of_a_day_are_merged_and_fewer_are_not() {
    assert_eq!(run(hourly(3, MIB), &rules()), Plan::default());
    assert_eq!(merges(&run(hourly(4, MIB), &rules())), ["00 01 02 03"]);
    assert_eq!(merges(&run(hourly(3, MIB), &full())), ["00 01 02"]);
    assert_eq!(run(hourly(1, MIB), &full()), Plan::default());
}

#[test]
fn no_more_blocks_than_allowed_and_no_more_bytes() {
    assert_eq!(
        merges(&run(hourly(12, 1000), &rules())),
        ["00 01 02 03 04 05 06 07", "08 09 10 11"]
    );
    assert_eq!(merges(&run(hourly(6, 24 * MIB), &rules())), ["00 01 02 03"]);
    // Three of them would fit, which are too few.
    assert_eq!(run(hourly(6, 33 * MIB), &rules()), Plan::default());
    assert_eq!(merges(&run(hourly(6, 33 * MIB), &full())), ["00 01 02", "03 04 05"]);
}

#[test]
fn days_and_signals_are_kept_apart() {
    let mut blocks = hourly(26, MIB);
    blocks.retain(|b| b.id.as_str() >= "22");
    assert_eq!(run(blocks.clone(), &rules()), Plan::default());
    assert_eq!(merges(&run(blocks, &full())), ["22 23", "24 25"]);
    let mut mixed = hourly(4, MIB);
    mixed[0].signal = Signal::Logs.into();
    for b in mixed.iter_mut().take(1) {
        (b.min_time, b.max_time) = (b.min_time * NS_PER_MS, b.max_time * NS_PER_MS);
    }
    assert_eq!(run(mixed.clone(), &rules()), Plan::default());
    assert_eq!(merges(&run(mixed, &full())), ["01 02 03"]);
}

#[test]
fn days_of_logs_are_counted_in_nanoseconds_also_before_the_epoch() {
    let mut b = block("x", -1..0, 1);
    assert_eq!(day(&b), -1);
    b.signal = Signal::Logs.into();
    b.min_time = 86_400_000_000_000 * 3;
    assert_eq!(day(&b), 3);
}

#[test]
fn like_sizes_are_merged_and_small_ones_are_taken_along() {
    let mut blocks = hourly(5, 20 * MIB);
    blocks[2].size_bytes = 1000;
    // Four large ones and the small one between them, bounded by size.
    assert_eq!(merges(&run(blocks.clone(), &rules())), ["00 01 02 03 04"]);
    // Three large and one small are not four of a kind, but four blocks up to that tier.
    blocks.pop();
    assert_eq!(merges(&run(blocks.clone(), &rules())), ["00 01 02 03"]);
    blocks.pop();
    assert_eq!(run(blocks, &rules()), Plan::default());
    // The small tier is merged before the large one is looked at.
    let mut blocks = hourly(8, 1000);
    blocks[4..].iter_mut().for_each(|b| b.size_bytes = 20 * MIB);
    assert_eq!(merges(&run(blocks, &rules())), ["00 01 02 03", "04 05 06 07"]);
}

#[test]
fn large_and_full_blocks_are_done() {
    assert_eq!(run(hourly(5, 50 * MIB), &full()), Plan::default());
    let mut blocks = hourly(5, MIB);
    blocks[1].level = FULL_LEVEL;
    blocks[2].level = FULL_LEVEL;
    assert_eq!(merges(&run(blocks, &full())), ["00 03 04"]);
}

#[test]
fn copies_of_replicas_are_merged_however_few_and_large() {
    let copies = || {
        vec![
            of("a", block("00", 0..2, 60 * MIB)),
            of("b", block("01", 1..2, 60 * MIB)),
            of("c", block("02", 0..2, 60 * MIB)),
        ]
    };
    assert_eq!(merges(&run(copies(), &rules())), ["00 01 02"]);
    // A straggler of another replica joins what was merged before.
    let mut merged = block("03", 0..2, 60 * MIB);
    merged.sources = vec!["a".into(), "b".into()];
    let late = of("c", block("04", 0..1, MIB));
    assert_eq!(merges(&run(vec![merged.clone(), late.clone()], &rules())), ["03 04"]);
    // Not so what it has taken in already, what does not overlap, and what names no source.
    assert_eq!(run(vec![merged.clone(), of("b", late.clone())], &rules()), Plan::default());
    let elsewhere = of("c", block("04", 5..6, MIB));
    assert_eq!(run(vec![merged.clone(), elsewhere], &rules()), Plan::default());
    let unknown = BlockMeta { sources: Vec::new(), ..late };
    assert_eq!(run(vec![merged, unknown], &rules()), Plan::default());
}

#[test]
fn what_all_replicas_had_is_left_alone_when_new_copies_reach_into_it() {
    let done = |id: &str| {
        let merged = BlockMeta { level: FULL_LEVEL, ..block(id, 0..12, 90 * MIB) };
        BlockMeta { sources: ["a", "b", "c"].map(str::to_owned).to_vec(), ..merged }
    };
    let flushed = |id: &str, source: &str| of(source, block(id, 11..13, MIB));
    let day = vec![done("1"), done("2"), flushed("3", "a"), flushed("4", "b")];
    assert_eq!(merges(&run(day, &rules())), ["3 4"]);
}

#[test]
fn copies_are_bounded_in_number() {
    let blocks: Vec<_> =
        (0..20).map(|i| of(["a", "b"][i % 2], block(&format!("{i:02}"), 0..2, MIB))).collect();
    let plan = run(blocks, &rules());
    let sizes: Vec<_> = plan.merges.iter().map(|m| m.inputs.len()).collect();
    assert_eq!(sizes, [8, 8, 4]);
}

#[test]
fn whole_blocks_past_their_retention_are_dropped_and_not_merged() {
    let mut blocks = hourly(8, MIB);
    blocks[7].signal = Signal::Logs.into();
    let rules = Rules { metrics_cutoff_ms: Some(3 * HOUR), ..rules() };
    let plan = run(blocks.clone(), &rules);
    assert_eq!(plan.drops, ["00", "01", "02"]);
    assert_eq!(merges(&plan), ["03 04 05 06"]);
    // The last millisecond of a block keeps it.
    let rules = Rules { metrics_cutoff_ms: Some(3 * HOUR - 1), ..rules };
    assert_eq!(run(blocks.clone(), &rules).drops, ["00", "01"]);
    // Logs have a retention of their own.
    let rules = Rules { metrics_cutoff_ms: None, logs_cutoff_ns: Some(i64::MAX), ..rules };
    assert_eq!(run(blocks, &rules).drops, ["07"]);
}

#[test]
fn a_block_in_quarantine_is_not_merged_but_dropped_in_time() {
    let blocks: Vec<_> = hourly(5, MIB).into_iter().map(Arc::new).collect();
    let skip = BTreeSet::from(["01".to_owned()]);
    assert_eq!(merges(&plan(&blocks, &skip, &rules())), ["00 02 03 04"]);
    let rules = Rules { metrics_cutoff_ms: Some(2 * HOUR), ..rules() };
    assert_eq!(plan(&blocks, &skip, &rules).drops, ["00", "01"]);
}

#[test]
fn a_block_of_a_signal_we_do_not_know_is_left_alone() {
    let mut blocks = hourly(4, MIB);
    blocks.iter_mut().for_each(|b| b.signal = 77);
    let rules = Rules { metrics_cutoff_ms: Some(i64::MAX), ..full() };
    assert_eq!(run(blocks, &rules), Plan::default());
}

/// Hourly blocks as a flush writes them.
fn flushed_hourly(n: i64, size: u64) -> Vec<BlockMeta> {
    let mut blocks = hourly(n, size);
    blocks.iter_mut().for_each(|b| b.level = 0);
    blocks
}

#[test]
fn flushed_metrics_that_find_no_company_are_written_anew_when_their_day_is_over() {
    let at = |now_ms| Rules { now_ms, ..rules() };
    let one = || flushed_hourly(1, MIB);
    assert_eq!(run(one(), &at(24 * HOUR - 1)), Plan::default());
    assert_eq!(merges(&run(one(), &at(24 * HOUR))), ["00"]);
    assert_eq!(merges(&run(one(), &Rules { effort: Effort::Full, ..at(0) })), ["00"]);
    // Days before the epoch end, too.
    let old = vec![BlockMeta { level: 0, ..block("00", -2..-1, MIB) }];
    assert_eq!(run(old.clone(), &at(-1)), Plan::default());
    assert_eq!(merges(&run(old, &at(0))), ["00"]);
    // What a merge wrote stays, and what a flush wrote of logs.
    assert_eq!(run(hourly(1, MIB), &at(24 * HOUR)), Plan::default());
    let mut logs = one();
    logs[0].signal = Signal::Logs.into();
    assert_eq!(run(logs.clone(), &at(i64::MAX)), Plan::default());
    assert_eq!(run(logs, &full()), Plan::default());
    // So does what cannot be read.
    let blocks: Vec<_> = one().into_iter().map(Arc::new).collect();
    assert_eq!(plan(&blocks, &BTreeSet::from(["00".to_owned()]), &full()), Plan::default());
}

#[test]
fn flushed_metrics_left_of_a_day_are_written_anew_together() {
    let over = Rules { now_ms: 24 * HOUR, ..rules() };
    let mut blocks = flushed_hourly(3, MIB);
    assert_eq!(run(blocks.clone(), &rules()), Plan::default());
    assert_eq!(merges(&run(blocks.clone(), &over)), ["00 01 02"]);
    // Not with what is written densely already, for which they are too few.
    blocks[1].level = 1;
    assert_eq!(merges(&run(blocks.clone(), &over)), ["00 02"]);
    blocks.push(block("03", 3..4, MIB));
    assert_eq!(merges(&run(blocks, &over)), ["00 01 02 03"]);
    // No more than a block may have.
    assert_eq!(merges(&run(flushed_hourly(3, 40 * MIB), &over)), ["00 01", "02"]);
}

#[test]
fn flushed_metrics_as_large_as_merged_ones_wait_only_for_their_copies() {
    let later = |hours: i64| Rules { now_ms: hours * HOUR, ..rules() };
    let mut blocks = flushed_hourly(2, 50 * MIB);
    blocks[1].size_bytes -= 1;
    assert_eq!(merges(&run(blocks, &later(5))), ["00"]);
    let large = || flushed_hourly(2, 500 * MIB);
    assert_eq!(merges(&run(large(), &later(5))), ["00", "01"]);
    assert_eq!(merges(&run(large(), &later(4))), ["00"]);
    assert_eq!(run(large(), &later(3)), Plan::default());
    assert_eq!(merges(&run(large(), &full())), ["00", "01"]);
    // Copies are merged instead.
    let copies =
        ["a", "b"].map(|name| of(name, BlockMeta { level: 0, ..block(name, 0..1, 60 * MIB) }));
    assert_eq!(merges(&run(copies.into(), &later(2))), ["a b"]);
}

/// Carries a merge out on metadata: the output is closed `full` times on the way.
fn carry_out(merge: &Merge, full: usize, serial: &mut u32) -> Vec<BlockMeta> {
    let first = &merge.inputs[0];
    let mut sources: Vec<String> =
        merge.inputs.iter().flat_map(|b| b.sources.iter().cloned()).collect();
    sources.sort_unstable();
    sources.dedup();
    let total: u64 = merge.inputs.iter().map(|b| b.size_bytes).sum();
    (0..=full)
        .map(|piece| {
            *serial += 1;
            BlockMeta {
                id: format!("m{serial:06}"),
                min_time: merge.inputs.iter().map(|b| b.min_time).min().unwrap(),
                max_time: merge.inputs.iter().map(|b| b.max_time).max().unwrap(),
                size_bytes: total / (full as u64 + 1),
                level: if piece < full { FULL_LEVEL } else { first.level + 1 },
                sources: sources.clone(),
                ..BlockMeta::clone(first)
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn following_the_plan_ends_and_merges_are_disjoint(
        specs in prop::collection::vec(
            (0i64..40, 1i64..5, 0u64..60 * MIB, 0usize..3, 0u32..2, prop::bool::ANY), 0..40),
        splits in 0usize..3,
        is_full in prop::bool::ANY,
        now in 0i64..60,
    ) {
        let mut blocks: Vec<BlockMeta> = specs
            .into_iter()
            .enumerate()
            .map(|(i, (start, hours, size, source, level, logs))| {
                let b = of(["a", "b", "c"][source], block(&format!("b{i:04}"), start..start + hours, size));
                let signal = if logs { Signal::Logs } else { Signal::Metrics };
                BlockMeta { signal: signal.into(), level, ..b }
            })
            .collect();
        let rules = Rules { now_ms: now * HOUR, ..if is_full { full() } else { rules() } };
        let mut serial = 0;
        for round in 0.. {
            prop_assert!(round < 200, "the plan never ends");
            let plan = run(blocks.clone(), &rules);
            if plan.merges.is_empty() {
                break;
            }
            let mut used = BTreeSet::new();
            for merge in &plan.merges {
                prop_assert!(!merge.inputs.is_empty() && merge.inputs.len() <= rules.max_blocks);
                if let [alone] = &merge.inputs[..] {
                    prop_assert!(alone.level == 0 && alone.signal() == Signal::Metrics);
                }
                for input in &merge.inputs {
                    prop_assert!(used.insert(input.id.clone()), "{} is in two merges", input.id);
                    prop_assert_eq!(input.signal(), merge.signal);
                }
                blocks.extend(carry_out(merge, splits, &mut serial));
            }
            blocks.retain(|b| !used.contains(&b.id));
        }
        let waits = |b: &BlockMeta| {
            let is_over = (day(b) + 1) * MS_PER_DAY <= rules.now_ms;
            let is_settled = b.max_time + SETTLE_MS <= rules.now_ms;
            let is_time = if rules.is_done(b) { is_settled } else { is_over };
            b.level == 0 && b.signal() == Signal::Metrics && (is_full || is_time)
        };
        prop_assert!(!blocks.iter().any(waits));
    }
}
