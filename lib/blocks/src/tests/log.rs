use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use skald_model::{MatchOp, Matcher, Narrowing, StreamEntries, TimeRange};

use super::*;
use crate::{
    BlockId, Error, LineForm, LogPiece, LogSearch, LogSelect, LogStats, Metadata, PackedEntries,
    Streams,
};

const SEC: i64 = 1_000_000_000;

async fn all(reader: &LogReader) -> Vec<StreamEntries> {
    reader.select(&[], TimeRange::ALL, &[], LogSelect::default()).await.unwrap()
}

fn app(name: &str) -> Labels {
    labels(&[("app", name), ("env", "prod")])
}

#[tokio::test]
async fn lines_come_back_sorted_and_once() {
    let shelf = Shelf::new();
    let block = log_block(
        vec![
            (app("b"), vec![entry(20, "later", &[]), entry(10, "zwei", &[("k", "v")])]),
            (app("a"), vec![entry(10, "x", &[]), entry(10, "x", &[]), entry(10, "a", &[])]),
            (app("b"), vec![entry(20, "later", &[]), entry(20, "later", &[("k", "w")])]),
        ],
        options(),
    );
    assert_eq!((block.meta.n_series, block.meta.n_rows), (2, 5));
    assert_eq!((block.meta.min_time, block.meta.max_time), (10, 20));
    let reader = shelf.logs(&block).await;
    let expected = [
        StreamEntries { labels: app("a"), entries: vec![entry(10, "x", &[]), entry(10, "a", &[])] },
        StreamEntries {
            labels: app("b"),
            entries: vec![
                entry(10, "zwei", &[("k", "v")]),
                entry(20, "later", &[]),
                entry(20, "later", &[("k", "w")]),
            ],
        },
    ];
    assert_eq!(all(&reader).await, expected);
    let mut rows = reader.rows().await.unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap(), expected);
    assert!(rows.next().await.unwrap().is_none());
}

/// Lines of about a kilobyte; `of` makes them differ.
fn long_entries(of: &str, times: impl Iterator<Item = i64>) -> Vec<LogEntry> {
    let line = |ts: i64| format!("{of} {ts} took {}ms {}", ts * 7 % 1000, "abcd".repeat(250));
    times.map(|ts| entry(ts, &line(ts), &[("k", of)])).collect()
}

async fn pieces(reader: &LogReader) -> Vec<LogPiece> {
    let mut rows = reader.rows().await.unwrap();
    let mut out = Vec::new();
    while let Some(some) = rows.next_pieces().await.unwrap() {
        out.extend(some);
    }
    out
}

fn packed(pieces: &[LogPiece]) -> Vec<PackedEntries> {
    let of = |piece: &LogPiece| match piece {
        LogPiece::Packed(packed) => Some(packed.clone()),
        LogPiece::Entries(_) => None,
    };
    pieces.iter().filter_map(of).collect()
}

#[tokio::test]
async fn large_packs_of_one_stream_go_from_block_to_block_unopened() {
    let shelf = Shelf::new();
    let streams = [
        (app("a"), long_entries("a", 0..2_500)),
        (app("b"), long_entries("b", 0..10)),
        (app("c"), long_entries("c", 0..10)),
        (app("d"), long_entries("d", 5..800)),
    ];
    let block = log_block(streams.to_vec(), options());
    let reader = shelf.logs(&block).await;
    let source = pieces(&reader).await;
    let copied = packed(&source);
    // The last pack begins with the lines of `b` and `c`.
    let n = |p: &PackedEntries| p.clone().unpack().unwrap().entries.len();
    assert_eq!((copied.len(), copied.iter().map(n).sum::<usize>()), (3, 2_500));
    for piece in &copied {
        let whole = &streams.iter().find(|(labels, _)| labels == piece.labels()).unwrap().1;
        let (first, last) = piece.times();
        let inside = |e: &&LogEntry| (first..=last).contains(&e.timestamp_ns);
        let expected: Vec<LogEntry> = whole.iter().filter(inside).cloned().collect();
        assert_eq!(piece.clone().unpack().unwrap().entries, expected);
    }
    let mut other = options();
    other.id = BlockId::new(2, 2);
    let mut writer = LogBlockWriter::new(other);
    let more = long_entries("more", 2_500..2_600);
    for piece in source {
        match piece {
            LogPiece::Entries(stream) => writer.push(stream.labels, stream.entries).unwrap(),
            LogPiece::Packed(packed) => writer.push_packed(packed).unwrap(),
        }
    }
    writer.push(app("a"), more.clone()).unwrap();
    let block = writer.finish().unwrap();
    let reader = shelf.logs(&block).await;
    let again = packed(&pieces(&reader).await);
    let lines =
        |packed: &[PackedEntries]| packed.iter().map(|p| p.lines().clone()).collect::<Vec<_>>();
    assert_eq!(lines(&again), lines(&copied));
    let mut expected = streams.map(|(labels, entries)| StreamEntries { labels, entries });
    expected[0].entries.extend(more);
    assert_eq!(all(&reader).await, expected);
    let bytes: usize = expected.iter().flat_map(|s| &s.entries).map(|e| e.line.len()).sum();
    let stats = reader.stats(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(stats, LogStats { streams: 4, entries: 3_415, bytes: bytes as u64 });
    for needle in ["a 1234 took", "d 700 took", "b 3 took", "more 2555 took"] {
        let needles = [Bytes::copy_from_slice(needle.as_bytes())];
        let found = reader.select(&[], TimeRange::ALL, &needles, LogSelect::default()).await;
        assert_eq!(found.unwrap().iter().map(|s| s.entries.len()).sum::<usize>(), 1, "{needle}");
    }
}

#[tokio::test]
async fn packs_are_opened_where_other_entries_lie_between_their_lines() {
    let shelf = Shelf::new();
    let long = long_entries("a", (0..1_000).map(|i| 2 * i));
    let block = log_block(vec![(app("a"), long.clone())], options());
    let [pack] = &packed(&pieces(&shelf.logs(&block).await).await)[..] else { panic!("a pack") };
    let other = entry(501, "between", &[]);
    for (n, lines) in [(2, LineForm::Packed), (3, LineForm::Plain)] {
        for between in [None, Some(other.clone())] {
            let id = BlockId::new(2, n + 10 * u128::from(between.is_some()));
            let mut writer = LogBlockWriter::new(WriterOptions { id, lines, ..options() });
            writer.push_packed(pack.clone()).unwrap();
            let mut expected = long.clone();
            if let Some(between) = between {
                writer.push(app("a"), vec![between.clone()]).unwrap();
                expected.insert(251, between);
            }
            let block = writer.finish().unwrap();
            let got = all(&shelf.logs(&block).await).await;
            assert_eq!(got, [StreamEntries { labels: app("a"), entries: expected }]);
        }
    }
}

#[tokio::test]
async fn what_gets_useless_meanwhile_is_not_read() {
    let shelf = Shelf::new();
    for (n, lines) in [(1, LineForm::Packed), (2, LineForm::Plain)] {
        let streams = ["a", "b"].map(|name| (app(name), long_entries(name, 0..12_000)));
        let options = WriterOptions { id: BlockId::new(1, n), lines, ..options() };
        let reader = shelf.logs(&log_block(streams.to_vec(), options)).await;
        let range = TimeRange::new(0, 20_000);
        let useful = Arc::new(Narrowing::new(range));
        let search = LogSearch {
            matchers: Vec::new(),
            range,
            needles: Vec::new(),
            wanted: LogSelect::default(),
            streams: Streams::All,
            early: None,
            useful: Some(Arc::clone(&useful)),
        };
        let before = reader.read_stats().snapshot().decoded_bytes;
        let found = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&found);
        let each = move |streams: Vec<StreamEntries>| {
            let times = streams.iter().flat_map(|s| &s.entries).map(|e| e.timestamp_ns);
            into.lock().push(times.collect::<Vec<i64>>());
            useful.raise_start(11_900);
            ControlFlow::Continue(())
        };
        reader.scan(&search, each).await.unwrap();
        let found = found.lock().clone();
        let (first, later) = found.split_first().unwrap();
        assert!(first[0] == 0 && first.len() < 10_000, "{}", first.len());
        assert_eq!(later.concat(), (11_900..12_000).chain(11_900..12_000).collect::<Vec<_>>());
        if lines == LineForm::Packed {
            let decoded = reader.read_stats().snapshot().decoded_bytes - before;
            assert!(decoded < 10 << 20, "{decoded} bytes of more than 24 million");
        }
    }
}

#[tokio::test]
async fn only_what_is_wanted_is_read() {
    let shelf = Shelf::new();
    let block = log_block(vec![(app("a"), vec![entry(1, "line", &[("k", "v")])])], options());
    let reader = shelf.logs(&block).await;
    let without = || LogSelect { needs_line: false, metadata: Metadata::none(), fields: None };
    for needles in [vec![], vec![Bytes::from_static(b"in")]] {
        let got = reader.select(&[], TimeRange::ALL, &needles, without()).await.unwrap();
        assert_eq!(got[0].entries, [entry(1, "", &[])]);
    }
    let none = reader.select(&[], TimeRange::ALL, &[Bytes::from_static(b"xx")], without()).await;
    assert!(none.unwrap().is_empty());
}

#[tokio::test]
async fn streams_and_stats_come_from_the_directory_alone() {
    let shelf = Shelf::new();
    let lines = |n: i64| (0..n).map(|i| entry(i * SEC, "0123456789", &[])).collect::<Vec<_>>();
    let block = log_block(vec![(app("a"), lines(100)), (app("b"), lines(50))], options());
    let reader = shelf.logs(&block).await;
    let opened = reader.read_stats().snapshot();
    let b = [Matcher::equal("app", "b")];
    assert_eq!(reader.streams(&b, TimeRange::ALL).await.unwrap(), [app("b")]);
    let late = TimeRange::new(60 * SEC, 70 * SEC);
    assert_eq!(reader.streams(&[], late).await.unwrap(), [app("a")]);
    let whole = reader.stats(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(whole, LogStats { streams: 2, entries: 150, bytes: 1500 });
    let part = reader.stats(&[], late).await.unwrap();
    assert_eq!((part.streams, part.entries, part.bytes), (1, 10, 101));
    let cost = reader.read_stats().snapshot();
    assert_eq!((cost.gets - opened.gets, cost.rows), (1, 0), "one GET for the directory");
}

#[tokio::test]
async fn times_alone_are_those_of_the_entries() {
    let shelf = Shelf::new();
    let entries = |s: i64| {
        let time = move |i: i64| (i * 7_919 + s * 31) % 50_000 * SEC;
        (0..9_000 + s * 700).map(|i| entry(time(i), &format!("line {i}"), &[("k", "v")])).collect()
    };
    let names = ["a", "b", "c", "d"];
    let streams = names.iter().zip(0..).map(|(name, s)| (app(name), entries(s))).collect();
    let reader = shelf.logs(&log_block(streams, options())).await;
    let search = |range, metadata| LogSearch {
        matchers: vec![Matcher::new(MatchOp::NotEqual, "app", "c").unwrap()],
        range,
        needles: Vec::new(),
        wanted: LogSelect { needs_line: false, metadata, fields: None },
        streams: Streams::Except(Arc::new(HashSet::from([app("b")]))),
        early: None,
        useful: None,
    };
    assert!(reader.has_metadata(&search(TimeRange::ALL, Metadata::All)));
    let other = Metadata::Only(["other".to_owned()].into());
    assert!(!reader.has_metadata(&search(TimeRange::ALL, other)));
    for (start, end) in [(0, i64::MAX), (0, 9_999 * SEC), (7 * SEC, 8 * SEC), (-5, 0)] {
        let search = search(TimeRange::new(start, end), Metadata::none());
        let found = Arc::new(Mutex::new(BTreeMap::<String, Vec<i64>>::new()));
        let into = Arc::clone(&found);
        let each = move |times: Vec<(Labels, Vec<i64>)>| {
            for (labels, times) in times {
                into.lock().entry(labels.to_string()).or_default().extend(times);
            }
            ControlFlow::Continue(())
        };
        reader.times(&search, each).await.unwrap();
        let times = |e: &[LogEntry]| e.iter().map(|e| e.timestamp_ns).collect::<Vec<_>>();
        let expected = reader.found(&search).await.unwrap();
        let expected = expected.iter().map(|s| (s.labels.to_string(), times(&s.entries)));
        assert_eq!(*found.lock(), expected.collect(), "{start} {end}");
    }
}

#[tokio::test]
async fn one_stream_of_many_is_read_alone() {
    let shelf = Shelf::new();
    let streams = (0..300)
        .map(|s| {
            let noise = |i: i64| (i * 2_654_435_761 + s).wrapping_mul(6_364_136_223_846_793_005);
            let line = |i: i64| format!("s{s} i{i} {:016x}{:016x}", noise(i), noise(i + 7));
            (app(&format!("app-{s:03}")), (0..200).map(|i| entry(i * SEC, &line(i), &[])).collect())
        })
        .collect();
    let block = log_block(streams, options());
    let reader = shelf.logs(&block).await;
    reader.streams(&[], TimeRange::ALL).await.unwrap();
    let before = reader.read_stats().snapshot();
    let m = [Matcher::equal("app", "app-123")];
    let got = reader.select(&m, TimeRange::ALL, &[], LogSelect::default()).await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].entries.len(), 200);
    assert!(got[0].entries[7].text().starts_with("s123 i7 "));
    let cost = reader.read_stats().snapshot();
    assert!(cost.gets - before.gets <= 2, "{cost:?}");
    assert_eq!(cost.rows - before.rows, 200);
    assert!(cost.bytes - before.bytes < block.meta.size_bytes, "{cost:?}");

    let needle = [Bytes::from_static(b"s77 "), Bytes::from_static(b" i199 ")];
    let got = reader.select(&[], TimeRange::ALL, &needle, LogSelect::default()).await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].labels, app("app-077"));
    assert!(got[0].entries[0].text().starts_with("s77 i199 "));
}

#[tokio::test]
async fn time_prunes_pages_within_a_stream() {
    let shelf = Shelf::new();
    let entries = (0..60_000).map(|i| entry(i * SEC, "tick", &[])).collect();
    let block = log_block(vec![(app("a"), entries)], options());
    let reader = shelf.logs(&block).await;
    let range = TimeRange::new(40_000 * SEC, 40_010 * SEC);
    let got = reader.select(&[], range, &[], LogSelect::default()).await.unwrap();
    assert_eq!(got[0].entries.len(), 10);
    assert!(reader.read_stats().snapshot().rows <= 16_384);
}

#[tokio::test]
async fn many_row_groups_read_as_one() {
    let shelf = Shelf::new();
    let opts = WriterOptions { row_group_rows: 8192, ..options() };
    let streams: Vec<_> = (0..5)
        .map(|s| {
            let entries = (0..7000).map(|i| entry(i, &format!("{s}/{i}"), &[])).collect();
            (app(&s.to_string()), entries)
        })
        .collect();
    let reader = shelf.logs(&log_block(streams.clone(), opts)).await;
    let got: Vec<_> = all(&reader).await.into_iter().map(|s| (s.labels, s.entries)).collect();
    assert_eq!(got, streams);
    let mut rows = reader.rows().await.unwrap();
    let mut n = 0;
    while let Some(batch) = rows.next().await.unwrap() {
        n += batch.iter().map(|s| s.entries.len()).sum::<usize>();
    }
    assert_eq!(n, 35_000);
}

/// Every line has an id of its own.
fn ids(name: &str, n: i64) -> (Labels, Vec<LogEntry>) {
    let id = |i: i64| i.unsigned_abs().wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let line = |i: i64| format!("{name} request {:016x} done {}", id(i), "=".repeat(60));
    (app(name), (0..n).map(|i| entry(i * SEC, &line(i), &[])).collect())
}

#[tokio::test]
async fn a_text_that_is_nowhere_costs_no_line() {
    let shelf = Shelf::new();
    let block = log_block(vec![ids("a", 30_000), ids("b", 9)], options());
    let reader = shelf.logs(&block).await;
    let rows_of = async |needle: &str| {
        let needle = Bytes::copy_from_slice(needle.as_bytes());
        let before = reader.read_stats().snapshot().rows;
        let got =
            reader.select(&[], TimeRange::ALL, &[needle], LogSelect::default()).await.unwrap();
        let n_found: usize = got.iter().map(|s| s.entries.len()).sum();
        (n_found, reader.read_stats().snapshot().rows - before)
    };
    assert_eq!(rows_of("connection refused by upstream").await, (0, 0));
    let all = ids("a", 30_000).1;
    let text = std::str::from_utf8(&all[20_000].line).unwrap();
    let (n_found, n_rows) = rows_of(&text[2..30]).await;
    assert!(n_found == 1 && n_rows < 20_000, "{n_found} of {n_rows}");
    assert_eq!(rows_of("done").await, (30_009, 30_009));
}

#[tokio::test]
async fn a_scan_hands_on_batches_of_chosen_streams_until_it_is_told_to_stop() {
    let shelf = Shelf::new();
    let block = log_block(vec![ids("a", 20_000), ids("b", 20_000), ids("c", 9)], options());
    let reader = shelf.logs(&block).await;
    let set = Arc::new(HashSet::from([app("b")]));
    for (streams, expected) in [
        (Streams::All, vec![("a", 20_000), ("b", 20_000), ("c", 9)]),
        (Streams::Only(Arc::clone(&set)), vec![("b", 20_000)]),
        (Streams::Except(set), vec![("a", 20_000), ("c", 9)]),
    ] {
        let search = LogSearch {
            matchers: Vec::new(),
            range: TimeRange::ALL,
            needles: Vec::new(),
            wanted: LogSelect::default(),
            streams,
            early: None,
            useful: None,
        };
        let got = reader.found(&search).await.unwrap();
        let got: Vec<_> = got.iter().map(|s| (s.labels.clone(), s.entries.len())).collect();
        let expected: Vec<_> = expected.into_iter().map(|(name, n)| (app(name), n)).collect();
        assert_eq!(got, expected);
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        let each = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Break(())
        };
        reader.scan(&search, each).await.unwrap();
        assert_eq!(batches.load(Ordering::Relaxed), 1);
    }
    let spans = reader.spans(&[], TimeRange::new(SEC, 5 * SEC), &[]).await.unwrap();
    assert_eq!(spans.len(), 3);
    assert_eq!((spans[0].min_ns, spans[0].max_ns), (SEC, 5 * SEC));
}

#[test]
fn refuses_lines_that_are_not_text() {
    let mut writer = LogBlockWriter::new(options());
    let mut bad = entry(1, "", &[]);
    bad.line = Bytes::from_static(&[0xff]);
    assert!(matches!(
        writer.push(app("a"), vec![entry(0, "ok", &[]), bad]),
        Err(Error::Invalid(_))
    ));
    assert!(writer.is_empty());
}

type Model = BTreeMap<BTreeMap<String, String>, Vec<(i64, String, BTreeMap<String, String>)>>;

fn model() -> impl Strategy<Value = Model> {
    let set = || prop::collection::btree_map("[ab]|rest", "[xy]{1,2}", 0..3);
    let line = (-20i64..20, "[abc]{0,4}|ü", set());
    prop::collection::btree_map(set(), prop::collection::vec(line, 1..40), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn select_agrees_with_a_scan_of_everything(
        model in model(),
        matcher in ("[abc]|rest", prop::sample::select(vec!["", "x", "xy", "x.*", ".+"])),
        needle in "|a|ab|ca|ü",
        bounds in (-25i64..25, -25i64..25),
    ) {
        let range = TimeRange::new(bounds.0, bounds.1);
        let matchers = [Matcher::new(MatchOp::Regex, &matcher.0, matcher.1).unwrap()];
        let streams: Vec<(Labels, Vec<LogEntry>)> = model
            .into_iter()
            .map(|(set, lines)| {
                let entries = lines.into_iter().map(|(t, line, metadata)| LogEntry {
                    timestamp_ns: t,
                    line: line.into_bytes().into(),
                    metadata: Labels::from_pairs(metadata),
                });
                (Labels::from_pairs(set), entries.collect())
            })
            .collect();
        let mut expected: Vec<StreamEntries> = Vec::new();
        for (labels, entries) in &streams {
            let mut kept: Vec<LogEntry> = Vec::new();
            for e in entries {
                if range.contains(e.timestamp_ns) && e.text().contains(&needle) && !kept.contains(e) {
                    kept.push(e.clone());
                }
            }
            kept.sort_by_key(|e| e.timestamp_ns);
            if Matcher::all(&matchers, labels) && !kept.is_empty() {
                expected.push(StreamEntries { labels: labels.clone(), entries: kept });
            }
        }
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let needles = [Bytes::from(needle.into_bytes())];
        for lines in [LineForm::Packed, LineForm::Plain] {
            let block = log_block(streams.clone(), WriterOptions { lines, ..options() });
            let got = runtime.block_on(async {
                let reader = Shelf::new().logs(&block).await;
                reader.select(&matchers, range, &needles, LogSelect::default()).await.unwrap()
            });
            prop_assert_eq!(&got, &expected);
        }
    }
}
