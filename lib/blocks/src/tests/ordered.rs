//! The writer of entries that come in order, against the one that takes them in any.

use proptest::prelude::*;
use skald_model::StreamEntries;

use super::*;
use crate::{Error, LineForm, LogPiece, OrderedLogWriter};

fn app(name: &str) -> Labels {
    labels(&[("app", name), ("env", "prod")])
}

fn piece(name: &str, entries: Vec<LogEntry>) -> LogPiece {
    LogPiece::Entries(StreamEntries { labels: app(name), entries })
}

/// Lines of two hundred bytes as services write them.
fn entries(stream: i64, times: std::ops::Range<i64>) -> Vec<LogEntry> {
    let line = |ts: i64| {
        let (n, mixed) = (ts * 31 + stream, (ts * 0x9e37_79b9 + stream).cast_unsigned());
        format!(
            "level=info ts={ts} caller=handler.go:{} msg=\"request served\" method=GET path=/api/v1/items/{} \
             status=200 duration={}ms trace_id={mixed:016x} component=storage user=u{} region=eu-west-1",
            n % 400,
            n % 10_000,
            n % 1500,
            n % 3000,
        )
    };
    times.map(|ts| entry(ts, &line(ts), &[("detected_level", "info")])).collect()
}

#[test]
fn what_is_held_is_little_more_than_the_block_will_be() {
    let mut writer = OrderedLogWriter::new(LineForm::Packed);
    let (mut text, mut n) = (0, 0);
    for stream in 0..20 {
        let name = format!("{stream:02}");
        for start in (0..2_000).step_by(200) {
            let entries = entries(stream, start..start + 200);
            n += entries.len();
            text += entries.iter().map(|e| e.line.len()).sum::<usize>();
            writer.push(piece(&name, entries)).unwrap();
            // One pack is open at a time.
            let most = text / 3 + (2 << 20);
            assert!(writer.memory() < most, "{} bytes of {text} of lines", writer.memory());
        }
    }
    assert_eq!((writer.n_entries(), n), (40_000, 40_000));
    let memory = writer.memory();
    let block = writer.finish(&options()).unwrap();
    let size = block.bytes.len();
    assert!(text > 3 * size, "{size} of {text}");
    assert!(memory < size + n * 12 + (1 << 20), "{memory} bytes for a block of {size}");
}

#[test]
fn entries_out_of_order_are_refused_and_change_nothing() {
    for form in [LineForm::Packed, LineForm::Plain] {
        let mut writer = OrderedLogWriter::new(form);
        writer.push(piece("b", entries(1, 10..20))).unwrap();
        let memory = writer.memory();
        let mut backwards = entries(1, 20..30);
        backwards.reverse();
        let mut bad = entries(1, 20..21);
        bad[0].line = Bytes::from_static(b"\xff");
        for piece in [
            piece("a", entries(1, 30..31)),
            piece("b", entries(1, 5..6)),
            piece("b", backwards),
            piece("c", bad),
        ] {
            assert!(matches!(writer.push(piece), Err(Error::Invalid(_))));
        }
        assert_eq!((writer.memory(), writer.n_entries()), (memory, 10));
        // Equal to the last one, and new ones.
        writer.push(piece("b", entries(1, 19..22))).unwrap();
        writer.push(piece("b", Vec::new())).unwrap();
        let block = writer.finish(&WriterOptions { lines: form, ..options() }).unwrap();
        assert_eq!((block.meta.n_series, block.meta.n_rows), (1, 12));
        assert_eq!((block.meta.min_time, block.meta.max_time), (10, 21));
    }
}

#[tokio::test]
async fn packs_may_come_between_entries() {
    let shelf = Shelf::new();
    let source = log_block(vec![(app("a"), entries(1, 100..6_000))], options());
    let reader = shelf.logs(&source).await;
    let mut rows = reader.rows_within(0).await.unwrap();
    let (mut writer, mut packed) = (OrderedLogWriter::new(LineForm::Packed), 0);
    let (before, behind) = (entries(1, 0..100), entries(1, 6_000..6_100));
    writer.push(piece("a", before)).unwrap();
    while let Some(pieces) = rows.next_pieces().await.unwrap() {
        for piece in pieces {
            packed += usize::from(matches!(piece, LogPiece::Packed(_)));
            writer.push(piece).unwrap();
        }
    }
    writer.push(piece("a", behind)).unwrap();
    assert!(packed > 0);
    let mut other = options();
    other.id = BlockId::new(2, 2);
    let reader = shelf.logs(&writer.finish(&other).unwrap()).await;
    let mut rows = reader.rows().await.unwrap();
    let mut found = Vec::new();
    while let Some(streams) = rows.next().await.unwrap() {
        found.extend(streams.into_iter().flat_map(|s| s.entries));
    }
    assert!(found == entries(1, 0..6_100), "{} lines", found.len());
}

#[tokio::test]
async fn what_is_read_at_a_time_is_bounded() {
    let shelf = Shelf::new();
    for (n, lines) in [(1, LineForm::Packed), (2, LineForm::Plain)] {
        let options = WriterOptions { id: BlockId::new(1, n), lines, ..options() };
        let reader = shelf.logs(&log_block(vec![(app("a"), entries(1, 0..40_000))], options)).await;
        let (mut most, mut all) = ([0, 0], [0, 0]);
        for (i, memory) in [0, usize::MAX].into_iter().enumerate() {
            let mut rows = reader.rows_within(memory).await.unwrap();
            while let Some(streams) = rows.next().await.unwrap() {
                let n: usize = streams.iter().map(|s| s.entries.len()).sum();
                most[i] = most[i].max(n);
                all[i] += n;
            }
        }
        assert_eq!(all, [40_000, 40_000]);
        assert!(most[0] * 3 < most[1], "{most:?} rows");
    }
}

/// Streams with entries of few times and contents, so that many are equal.
fn streams() -> impl Strategy<Value = Vec<Vec<(i64, String, String)>>> {
    let one = (0i64..12, "[ab]{1,2}", "[xy]?");
    prop::collection::vec(prop::collection::vec(one, 1..30), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pieces_in_order_make_the_block_that_all_at_once_makes(
        streams in streams(),
        cuts in prop::collection::vec(1usize..6, 1..8),
    ) {
        for lines in [LineForm::Packed, LineForm::Plain] {
            let options = WriterOptions { lines, deletes: vec!["d".to_owned()], ..options() };
            let mut ordered = OrderedLogWriter::new(lines);
            let mut at_once = Vec::new();
            let mut cuts = cuts.iter().cycle();
            for (n, stream) in streams.iter().enumerate() {
                let name = n.to_string();
                let entries: Vec<LogEntry> =
                    stream.iter().map(|(ns, line, m)| entry(*ns, line, &[("m", m)])).collect();
                at_once.push((app(&name), entries.clone()));
                let mut rest = entries;
                rest.sort_by_key(|e| e.timestamp_ns);
                while !rest.is_empty() {
                    let n = cuts.next().copied().unwrap_or(1).min(rest.len());
                    ordered.push(piece(&name, rest.drain(..n).collect())).unwrap();
                }
            }
            at_once.reverse();
            let (at_once, ordered) = (log_block(at_once, options.clone()), ordered.finish(&options).unwrap());
            prop_assert_eq!(at_once.meta, ordered.meta);
            prop_assert!(at_once.bytes == ordered.bytes);
        }
    }
}
