//! Merges of stored blocks against plain sets.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::memory::InMemory;
use proptest::prelude::*;
use skald_blocks::SeriesRow;
use skald_codec::chunk;
use skald_model::{Labels, Series, TimeRange, stale_nan};
use skald_runtime::Rng;

use super::*;
use crate::testing::*;

fn memory_store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn job(store: &Arc<dyn ObjectStore>, cutoff: Option<i64>, memory: usize) -> Job {
    Job {
        store: Arc::clone(store),
        tenant: tenant(),
        cpu: CpuPool::new(2),
        clock: skald_runtime::ManualClock::at_ms(5_000),
        rng: Rng::from_entropy(),
        cutoff,
        rules: Arc::default(),
        samples: Arc::default(),
        memory,
        max_block: u64::MAX,
        lines: LineForm::Packed,
    }
}

async fn merged(
    store: &Arc<dyn ObjectStore>,
    inputs: &[BlockMeta],
    cutoff: Option<i64>,
    memory: usize,
) -> Vec<BlockMeta> {
    let mut written = Vec::new();
    job(store, cutoff, memory).run(inputs, &mut written).await.unwrap();
    written
}

/// The samples that must come out: of several at one time the one that the rule says.
fn union(rows: &[SeriesRow], cutoff: Option<i64>) -> Samples {
    let mut all = Samples::new();
    rows.iter().for_each(|row| samples_of(row, &mut all));
    all.retain(|(_, ts), _| cutoff.is_none_or(|c| *ts >= c));
    // `Value` orders floats before histograms, floats by their bits, histograms by their bytes.
    all.values_mut().for_each(|values| *values = vec![values.iter().max().unwrap().clone()]);
    all
}

#[tokio::test]
async fn long_chunks_that_overlap_nothing_are_not_touched() {
    let store = memory_store();
    let rows = [run(1, 0..600), run(1, 600..1200), run(1, 600..1200)];
    let mut inputs = Vec::new();
    for (n, row) in (0..).zip(rows.clone()) {
        inputs.push(metric_block(&store, n, "a", vec![row]).await);
    }
    let written = merged(&store, &inputs, None, usize::MAX).await;
    let [out] = &metric_rows(&store, &written).await[..] else { panic!("one row") };
    assert_eq!(out.floats, [rows[0].floats[0].clone(), rows[1].floats[0].clone()]);
}

/// A chunk of a series' samples of these numbers.
fn run(n: u64, numbers: std::ops::Range<i64>) -> SeriesRow {
    let sample = |i: i64| (i * 1000 + i * i % 4, (i * i % 7) as f64 + n as f64);
    floats(series(n), &numbers.map(sample).collect::<Vec<_>>())
}

#[tokio::test]
async fn short_chunks_that_follow_each_other_become_long_ones() {
    let store = memory_store();
    // Of the first the table of grids is used, of the last not: nobody else has its times.
    let rows = |n: u64, part: i64| run(n, part * 240..(part + 1) * 240);
    let mut inputs = Vec::new();
    for part in 0..6 {
        let series = if part == 5 { 1..2 } else { 1..4 };
        let rows = series.map(|n| rows(n, part)).collect();
        inputs.push(metric_block(&store, part.unsigned_abs().into(), "a", rows).await);
    }
    let versions =
        |blocks: &[BlockMeta]| blocks.iter().map(|b| b.format_version).collect::<Vec<_>>();
    assert_eq!(versions(&inputs), [2, 2, 2, 2, 2, 1]);
    let written = merged(&store, &inputs, None, usize::MAX).await;
    assert_eq!(versions(&written), [3]);
    let (mut out, mut all) = (metric_rows(&store, &written).await, Samples::new());
    out.sort_by(|a, b| a.labels.get("pod").cmp(&b.labels.get("pod")));
    out.iter().for_each(|row| samples_of(row, &mut all));
    let counts = |row: &SeriesRow| {
        row.floats.iter().map(|c| chunk::peek(c).unwrap().count).collect::<Vec<_>>()
    };
    assert_eq!(
        out.iter().map(counts).collect::<Vec<_>>(),
        [vec![960, 480], vec![960, 240], vec![960, 240]]
    );
    let given: Vec<SeriesRow> = (0..6)
        .flat_map(|part| (1..4).map(move |n| (part, n)))
        .filter(|(part, n)| *part < 5 || *n == 1)
        .map(|(part, n)| rows(n, part))
        .collect();
    assert_eq!(all, union(&given, None));
    // Once more changes nothing: these are long enough.
    let again = metric_rows(&store, &merged(&store, &written, None, usize::MAX).await).await;
    let again = again.iter().find(|row| row.labels == out[0].labels).unwrap();
    assert_eq!(again.floats, out[0].floats);
}

#[tokio::test]
async fn start_timestamps_stay_with_the_sample_that_is_kept() {
    let store = memory_store();
    let row = |samples: &[(i64, f64, i64)]| {
        let mut s = Series::new(series(1));
        for (t, v, start) in samples {
            s.push(*t, *v, *start);
            s.push_histogram(*t + 100, native(1), *start);
        }
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        chunk::encode_started_floats(&s.timestamps, &s.values, &s.starts, &mut floats);
        let (times, all): (Vec<i64>, Vec<_>) = s.histograms.into_iter().unzip();
        chunk::encode_started_histograms(&times, &all, &s.histogram_starts, &mut histograms);
        SeriesRow {
            labels: s.labels,
            floats: vec![floats.into()],
            histograms: vec![histograms.into()],
            ..SeriesRow::default()
        }
    };
    let rows = [
        row(&[(1, 1.0, 5), (3, 3.0, 5), (5, 5.0, 0)]),
        row(&[(2, 2.0, 0), (3, 9.0, 6), (5, 5.0, 7)]),
    ];
    let mut inputs = Vec::new();
    for (n, row) in (0..).zip(rows) {
        inputs.push(metric_block(&store, n, "a", vec![row]).await);
    }
    for _ in 0..2 {
        let written = merged(&store, &inputs, None, usize::MAX).await;
        let mut got = Series::default();
        for row in metric_rows(&store, &written).await {
            for bytes in row.floats.iter().chain(&row.histograms) {
                chunk::decode_into(bytes, TimeRange::ALL, &mut got).unwrap();
            }
        }
        assert_eq!((got.timestamps, got.starts), (vec![1, 2, 3, 5], vec![5, 0, 6, 7]));
        assert_eq!(got.histogram_starts, [5, 0, 6, 7]);
        inputs.reverse();
    }
}

#[tokio::test]
async fn the_winner_at_one_time_does_not_depend_on_the_order_of_blocks() {
    let store = memory_store();
    let histogram = |ts, n| SeriesRow {
        labels: series(1),
        histograms: vec![histogram_chunk(&[(ts, native(n))])],
        ..SeriesRow::default()
    };
    let rows = [
        floats(series(1), &[(1, 1.0), (2, 5.0), (3, 7.0)]),
        floats(series(1), &[(1, 2.0), (2, stale_nan())]),
        histogram(3, 1),
        histogram(3, 2),
    ];
    let mut inputs = Vec::new();
    for (n, row) in (0..).zip(rows.clone()) {
        inputs.push(metric_block(&store, n, "a", vec![row]).await);
    }
    let wanted = union(&rows, None);
    assert_eq!(wanted[&(series(1), 1)], [Value::Float(2f64.to_bits())]);
    assert_eq!(wanted[&(series(1), 2)], [Value::Float(stale_nan().to_bits())]);
    assert!(matches!(wanted[&(series(1), 3)][..], [Value::Histogram(_)]));
    for _ in 0..2 {
        let written = merged(&store, &inputs, None, usize::MAX).await;
        assert_eq!(all_samples(&store, &written).await, wanted);
        inputs.reverse();
    }
}

#[tokio::test]
async fn exemplars_are_kept_once_and_not_past_the_cutoff() {
    let store = memory_store();
    let row = |exemplars: Vec<_>| SeriesRow { exemplars, ..floats(series(1), &[(9, 1.0)]) };
    let inputs = [
        metric_block(&store, 1, "a", vec![row(vec![exemplar(1, 1.0), exemplar(7, 1.0)])]).await,
        metric_block(&store, 2, "b", vec![row(vec![exemplar(7, 1.0), exemplar(8, f64::NAN)])])
            .await,
        metric_block(&store, 3, "c", vec![row(vec![exemplar(8, f64::NAN), exemplar(7, 2.0)])])
            .await,
    ];
    let written = merged(&store, &inputs, Some(5), usize::MAX).await;
    let [out] = &metric_rows(&store, &written).await[..] else { panic!("one row") };
    let got: Vec<_> = out.exemplars.iter().map(|e| (e.timestamp_ms, e.value.to_bits())).collect();
    let wanted = [(7, 1.0f64), (7, 2.0), (8, f64::NAN)].map(|(ts, v)| (ts, v.to_bits()));
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn outputs_name_their_level_and_sources_and_full_ones_are_marked() {
    let store = memory_store();
    let mut inputs = Vec::new();
    for (n, source) in (0..).zip(["b", "a", "b"]) {
        let rows = (0..50).map(|s| floats(series(s), &[(n, 1.0)])).collect();
        inputs.push(metric_block(&store, n.try_into().unwrap(), source, rows).await);
    }
    inputs[1].level = 4;
    let [one] = &merged(&store, &inputs, None, usize::MAX).await[..] else { panic!("one block") };
    assert_eq!((one.level, one.sources.join(" ")), (5, "a b".to_owned()));
    let many = merged(&store, &inputs, None, 2_000).await;
    let (last, full) = many.split_last().unwrap();
    assert!(full.len() > 2 && full.iter().all(|b| b.level == FULL_LEVEL));
    assert_eq!(last.level, 5);
    assert_eq!(
        all_samples(&store, &many).await,
        all_samples(&store, std::slice::from_ref(one)).await
    );
}

#[tokio::test]
async fn when_all_rows_are_past_the_cutoff_nothing_is_written() {
    let store = memory_store();
    let metrics = [
        metric_block(&store, 1, "a", vec![floats(series(1), &[(1, 1.0)])]).await,
        metric_block(&store, 2, "a", vec![floats(series(1), &[(2, 1.0)])]).await,
    ];
    assert_eq!(merged(&store, &metrics, Some(3), usize::MAX).await, []);
    let logs = [
        log_block(&store, 3, "a", vec![line(1, 1, "x", "")]).await,
        log_block(&store, 4, "a", vec![line(1, 2, "x", "")]).await,
    ];
    assert_eq!(merged(&store, &logs, Some(3), usize::MAX).await, []);
}

#[tokio::test]
async fn a_damaged_or_missing_input_is_named_and_nothing_is_written() {
    use object_store::ObjectStoreExt;

    let store = memory_store();
    let good = metric_block(&store, 1, "a", vec![floats(series(1), &[(1, 1.0)])]).await;
    let bad = metric_block(&store, 2, "a", vec![floats(series(1), &[(2, 1.0)])]).await;
    let path = skald_blocks::path(&tenant(), bad.id);
    let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[10] ^= 1;
    store.put(&path, bytes.into()).await.unwrap();
    let mut written = Vec::new();
    let inputs = [good, bad.clone()];
    let err = job(&store, None, usize::MAX).run(&inputs, &mut written).await.unwrap_err();
    assert_eq!((err.damaged_block(), err.kind()), (Some(bad.id), ErrorKind::Corrupt));
    store.delete(&path).await.unwrap();
    let err = job(&store, None, usize::MAX).run(&inputs, &mut written).await.unwrap_err();
    assert_eq!(err.damaged_block(), Some(bad.id));
    assert!(written.is_empty());
}

#[tokio::test]
async fn an_output_whose_id_is_taken_is_not_ours_to_delete() {
    let store = memory_store();
    let inputs = [metric_block(&store, 1, "a", vec![floats(series(1), &[(1, 1.0)])]).await];
    let with_seed = || Job { rng: Rng::seeded(1), ..job(&store, None, usize::MAX) };
    let mut written = Vec::new();
    with_seed().run(&inputs, &mut written).await.unwrap();
    let others = [metric_block(&store, 2, "a", vec![floats(series(1), &[(2, 1.0)])]).await];
    let mut again = Vec::new();
    let err = with_seed().run(&others, &mut again).await.unwrap_err();
    assert_eq!((err.kind(), again.len()), (ErrorKind::Conflict, 0));
    assert_eq!(all_samples(&store, &written).await.len(), 1);
}

/// Long lines, three at each time; those of one name and time are equal.
fn long_lines(stream: u64, name: &str, times: std::ops::Range<i64>) -> Vec<Line> {
    let text = |ns: i64, i: i64| format!("{name} {ns} {i} {}", "long ".repeat(200));
    times.flat_map(|ns| (0..3).map(move |i| line(stream, ns, &text(ns, i), "x"))).collect()
}

/// The packs of blocks that may be copied, as they are encoded.
async fn packs(store: &Arc<dyn ObjectStore>, blocks: &[BlockMeta]) -> Vec<Bytes> {
    let mut out = Vec::new();
    for meta in blocks {
        let cache = Arc::new(FooterCache::new(1 << 20));
        let reader = LogReader::open(Arc::clone(store), &tenant(), meta, cache).await.unwrap();
        let mut rows = reader.rows().await.unwrap();
        while let Some(pieces) = rows.next_pieces().await.unwrap() {
            out.extend(pieces.iter().filter_map(|piece| match piece {
                LogPiece::Packed(packed) => Some(packed.lines().clone()),
                LogPiece::Entries(_) => None,
            }));
        }
    }
    out
}

#[tokio::test]
async fn packs_go_from_block_to_block_where_nothing_lies_between() {
    let store = memory_store();
    let inputs = [
        log_block(&store, 1, "a", long_lines(1, "a", 0..300)).await,
        log_block(&store, 2, "a", long_lines(1, "a", 300..600)).await,
        log_block(&store, 3, "a", long_lines(2, "a", 0..100)).await,
        log_block(&store, 4, "b", long_lines(2, "a", 99..200)).await,
    ];
    let before = packs(&store, &inputs).await;
    assert_eq!(before.len(), 4);
    let written = merged(&store, &inputs, None, usize::MAX).await;
    let after = packs(&store, &written).await;
    assert_eq!(after[..2], before[..2]);
    assert!(after[2..].iter().all(|pack| !before.contains(pack)), "these had copies of lines");
    let with_cutoff = merged(&store, &inputs, Some(1), usize::MAX).await;
    let after = packs(&store, &with_cutoff).await;
    assert!(!after.contains(&before[0]) && after.contains(&before[1]));
    let plain = Job { lines: LineForm::Plain, ..job(&store, None, usize::MAX) };
    let mut written = Vec::new();
    plain.run(&inputs, &mut written).await.unwrap();
    assert_eq!(packs(&store, &written).await, Vec::<Bytes>::new());
    assert_eq!(all_lines(&store, &written).await.len(), 800 * 3);
}

#[tokio::test]
async fn lines_of_an_output_count_as_they_are_packed() {
    let store = memory_store();
    let lines = |name: &str| long_lines(1, name, 0..900);
    let inputs =
        [log_block(&store, 1, "a", lines("a")).await, log_block(&store, 2, "b", lines("b")).await];
    // Less than the five megabytes of lines, which lie between each other.
    let written = merged(&store, &inputs, None, 4 << 20).await;
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(all_lines(&store, &written).await.len(), 2 * 900 * 3);
}

async fn bounded(
    store: &Arc<dyn ObjectStore>,
    inputs: &[BlockMeta],
    (memory, max_block): (usize, u64),
) -> Vec<BlockMeta> {
    let mut written = Vec::new();
    let job = Job { max_block, ..job(store, None, memory) };
    job.run(inputs, &mut written).await.unwrap();
    written
}

#[tokio::test]
async fn outputs_are_ranges_of_the_order_no_larger_than_a_block_may_be() {
    let store = memory_store();
    let max = 40_000;
    // One series is larger than that on its own.
    let mut lens = [400; 60];
    lens[31] = 20_000;
    let (left, right) = lens.split_at(40);
    let copies = [noisy(0, left), noisy(20, &lens[20..40]), noisy(40, right)];
    let mut inputs = Vec::new();
    for (n, rows) in (0..).zip(copies) {
        inputs.push(metric_block(&store, n, "a", rows).await);
    }
    let written = bounded(&store, &inputs, (usize::MAX, max)).await;
    let too_large: Vec<_> = written.iter().filter(|b| b.size_bytes > max).collect();
    assert!(matches!(too_large[..], [one] if one.n_series == 1), "{written:?}");
    assert!((6..14).contains(&written.len()), "{}", written.len());
    let (last, full) = written.split_last().unwrap();
    assert!(full.iter().all(|b| b.level == FULL_LEVEL) && last.level == 1);
    assert_eq!(all_samples(&store, &written).await, union(&noisy(0, &lens), None));
    // Each has the series behind those of the one before.
    let mut names = Vec::new();
    for block in &written {
        for row in metric_rows(&store, std::slice::from_ref(block)).await {
            names.push(["__name__", "pod"].map(|l| row.labels.get(l).unwrap().to_owned()));
        }
    }
    assert!(names.len() == 60 && names.is_sorted(), "{names:?}");
    // Nothing but what was too large was put, and nothing is done again.
    for block in written.iter().filter(|b| b.n_series > 1) {
        assert_eq!(bounded(&store, std::slice::from_ref(block), (usize::MAX, max)).await.len(), 1);
    }
}

#[tokio::test]
async fn a_stream_larger_than_a_block_may_be_is_cut_in_time() {
    let store = memory_store();
    let text = |i: i64, copy: u64| {
        let word = |w| format!("{:016x}", noise(i.cast_unsigned() << 8 | w).to_bits());
        (copy..30).map(word).collect::<String>()
    };
    let lines = |copy| -> Vec<Line> {
        (0..9000).map(|i| line(1, i, &text(i, copy * (i.cast_unsigned() % 2)), "x")).collect()
    };
    let inputs =
        [log_block(&store, 1, "a", lines(0)).await, log_block(&store, 2, "b", lines(1)).await];
    let max = 1 << 20;
    for form in [LineForm::Packed, LineForm::Plain] {
        let mut written = Vec::new();
        let job = Job { max_block: max, lines: form, ..job(&store, None, usize::MAX) };
        job.run(&inputs, &mut written).await.unwrap();
        let sizes: Vec<_> = written.iter().map(|b| b.size_bytes).collect();
        assert!(sizes.len() > 2 && sizes.iter().all(|size| *size <= max), "{form:?} {sizes:?}");
        let times: Vec<_> = written.iter().flat_map(|b| [b.min_time, b.max_time]).collect();
        assert!(times.is_sorted_by(|a, b| a <= b), "{times:?}");
        let mut wanted = [lines(0), lines(1)].concat();
        wanted.sort();
        wanted.dedup();
        assert!(all_lines(&store, &written).await == wanted);
    }
}

/// Samples at ascending times from `start`.
fn run_of_samples() -> impl Strategy<Value = Vec<(i64, usize)>> {
    (0i64..60, prop::collection::vec((1i64..4, 0usize..6), 1..12)).prop_map(|(start, steps)| {
        let mut ts = start;
        let at = |(step, value)| {
            ts += step;
            (ts, value)
        };
        steps.into_iter().map(at).collect()
    })
}

fn row() -> impl Strategy<Value = SeriesRow> {
    let values = [0.0, -0.0, 1.0, -1.0, stale_nan(), f64::NAN];
    (0u64..6, prop::bool::weighted(0.3), run_of_samples()).prop_map(move |(n, is_native, run)| {
        if is_native {
            let samples: Vec<_> = run.iter().map(|(ts, v)| (*ts, native(*v as u64))).collect();
            let histograms = vec![histogram_chunk(&samples)];
            return SeriesRow { labels: series(n), histograms, ..SeriesRow::default() };
        }
        let samples: Vec<_> = run.iter().map(|(ts, v)| (*ts, values[*v])).collect();
        floats(series(n), &samples)
    })
}

/// Merges blocks of these lines, and fails unless each line comes out that is not past the cutoff, once.
fn assert_union(blocks: Vec<Vec<Line>>, cutoff: Option<i64>, (memory, max_block): (usize, u64)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = memory_store();
        let mut wanted = blocks.concat();
        let mut inputs = Vec::new();
        for (n, lines) in (0..).zip(blocks) {
            inputs.push(log_block(&store, n, "a", lines).await);
        }
        wanted.retain(|(_, e)| cutoff.is_none_or(|c| e.timestamp_ns >= c));
        wanted.sort();
        wanted.dedup();
        let mut written = Vec::new();
        let job = Job { max_block, ..job(&store, cutoff, memory) };
        job.run(&inputs, &mut written).await.unwrap();
        let found = all_lines(&store, &written).await;
        let differs = wanted.iter().zip(&found).find(|(a, b)| a != b);
        assert!(found == wanted, "{} of {} lines, {differs:?}", found.len(), wanted.len());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_metrics_are_exactly_the_union(
        blocks in prop::collection::vec(prop::collection::vec(row(), 1..10), 2..5),
        memory in prop::sample::select(vec![1usize, 1_500, usize::MAX]),
        max_block in prop::sample::select(vec![1u64, 4_500, u64::MAX]),
        cutoff in prop::option::of(0i64..70),
        deleted in prop::collection::vec((0usize..3, 0i64..70, 1i64..40), 0..3),
    ) {
        let selectors = ["m1", r#"{pod="p2"}"#, r#"{__name__=~".+"}"#];
        let ranges = deleted.iter().map(|(i, start, n)| {
            (selectors[*i], TimeRange::new(*start, start + n))
        });
        let rules = SampleRules::of(&ranges.collect::<Vec<_>>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = memory_store();
            let mut inputs = Vec::new();
            for (n, rows) in (0..).zip(&blocks) {
                inputs.push(metric_block(&store, n, "a", rows.clone()).await);
            }
            let mut wanted = union(&blocks.concat(), cutoff);
            wanted.retain(|(labels, t), _| !rules.times(labels).iter().any(|r| r.contains(*t)));
            let mut job = job(&store, cutoff, memory);
            job.samples = Arc::new(rules);
            job.max_block = max_block;
            let mut written = Vec::new();
            job.run(&inputs, &mut written).await.unwrap();
            let got = all_samples(&store, &written).await;
            prop_assert_eq!(&got, &wanted);
            let counted: u64 = written.iter().map(|b| b.n_rows).sum();
            prop_assert_eq!(counted, wanted.len() as u64);
            prop_assert!(written.iter().all(|b| b.size_bytes <= max_block || b.n_series == 1));
            // A series is in one output only.
            let mut seen = BTreeMap::<Labels, u32>::new();
            for row in metric_rows(&store, &written).await {
                *seen.entry(row.labels).or_default() += 1;
            }
            prop_assert!(seen.values().all(|n| *n == 1));
            Ok(())
        })?;
    }

    #[test]
    fn merged_logs_are_exactly_the_union(
        blocks in prop::collection::vec(
            prop::collection::vec((0u64..3, 0i64..20, "[ab]{1,2}", "[xy]?"), 1..20), 2..5),
        memory in prop::sample::select(vec![1usize, 1_500, usize::MAX]),
        max_block in prop::sample::select(vec![1u64, 4_500, u64::MAX]),
        cutoff in prop::option::of(0i64..20),
    ) {
        let lines = |lines: Vec<(u64, i64, String, String)>| {
            lines.iter().map(|(s, ns, text, m)| line(*s, *ns, text, m)).collect()
        };
        assert_union(blocks.into_iter().map(lines).collect(), cutoff, (memory, max_block));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn merged_packs_are_exactly_the_union(
        blocks in prop::collection::vec(
            prop::collection::vec((0u64..2, 0i64..5, 1i64..3, "[ab]"), 1..3), 2..4),
        memory in prop::sample::select(vec![1usize, 700_000, usize::MAX]),
        max_block in prop::sample::select(vec![30_000u64, u64::MAX]),
        cutoff in prop::option::weighted(0.3, 0i64..200),
    ) {
        // Neighbours share a time.
        let lines = |runs: Vec<(u64, i64, i64, String)>| {
            let run = |(stream, start, len, name): &(u64, i64, i64, String)| {
                long_lines(*stream, name, start * 100..(start + len) * 100 + 1)
            };
            runs.iter().flat_map(run).collect()
        };
        assert_union(blocks.into_iter().map(lines).collect(), cutoff, (memory, max_block));
    }
}
