use proptest::prelude::*;
use skald_codec::batch::{LogsBuilder, MetricsBuilder};

use super::*;

fn parse(bytes: Bytes) -> Result<Parsed, InvalidBatch> {
    Parsed::parse(&bytes)
}

fn labelled(id: SeriesId) -> Bytes {
    let labels = Labels::from_pairs([("a", "b")]);
    let mut b = MetricsBuilder::new(0);
    b.series(id, Some(&labels), &[(1, 1.0)], &[], &[]);
    b.finish()
}

#[test]
fn refuses_labels_that_are_not_those_of_the_id() {
    let id = Labels::from_pairs([("a", "b")]).id();
    assert!(parse(labelled(id)).is_ok());
    assert_eq!(parse(labelled(SeriesId(7))).unwrap_err(), InvalidBatch::WrongId { item: 0 });
}

#[test]
fn refuses_labels_that_are_not_canonical() {
    let id = Labels::from_pairs([("a", "b")]).id();
    let mut bytes = labelled(id).to_vec();
    let at = bytes.windows(4).position(|w| w == [1, b'a', 1, b'b']).unwrap();
    bytes[at + 1] = 0xff;
    assert!(matches!(parse(bytes.into()), Err(InvalidBatch::Labels { item: 0, .. })));
}

#[test]
fn refuses_lines_that_are_not_text_and_times_beyond_the_range() {
    let logs = |t, line: &[u8]| {
        let mut b = LogsBuilder::new(0);
        b.stream(SeriesId(1), None);
        b.entry(t, line, &Labels::empty());
        b.finish()
    };
    assert!(parse(logs(1, b"ok")).is_ok());
    assert_eq!(parse(logs(1, &[0xc3])).unwrap_err(), InvalidBatch::NotUtf8 { item: 0 });
    let late = InvalidBatch::Timestamp { item: 0 };
    assert_eq!(parse(logs(i64::MAX, b"ok")).unwrap_err(), late);
    let mut b = MetricsBuilder::new(0);
    b.series(SeriesId(1), None, &[(i64::MAX, 1.0)], &[], &[]);
    assert_eq!(parse(b.finish()).unwrap_err(), late);
}

#[test]
fn entries_point_into_the_batch() {
    let metadata = Labels::from_pairs([("k", "v")]);
    let mut b = LogsBuilder::new(100);
    b.stream(SeriesId(1), None);
    b.entry(5, b"", &metadata);
    b.stream(SeriesId(2), None);
    b.entry(6, b"two", &Labels::empty());
    let Parsed::Logs(batch) = parse(b.finish()).unwrap() else { panic!("logs") };
    let entries: Vec<_> = batch.items.iter().flat_map(|item| batch.entries(item)).collect();
    let [one, two] = &entries[..] else { panic!("two entries") };
    assert_eq!((&one.line[..], &one.metadata), (&b""[..], &metadata));
    assert_eq!((&two.line[..], &two.metadata), (&b"two"[..], &Labels::empty()));
    let run = batch.items[1].run;
    assert_eq!((run.min, run.max, run.n, run.line_bytes, run.unordered), (6, 6, 1, 3, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_bytes_are_errors_or_batches(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 1u8..3) {
        let mut framed = vec![1, kind, 0, 1, 0, 0, 0];
        framed.extend_from_slice(&bytes);
        let _ = parse(framed.into());
        let _ = parse(bytes.into());
    }
}
