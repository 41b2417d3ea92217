//! Early looks at lines: what they drop, and what is built then.

use skald_model::TimeRange;

use super::*;
use crate::{Early, EntryTest, FieldTest, Fields, LogSearch, LogSelect, Streams, Syntax, Test};

const SEC: i64 = 1_000_000_000;

fn app(name: &str) -> Labels {
    labels(&[("app", name), ("env", "prod")])
}

#[tokio::test]
async fn fields_shorten_lines_and_an_early_look_drops_them() {
    /// Keeps what has the status 503; fails when it is shown more than that field.
    #[derive(Debug)]
    struct Failed;
    impl EntryTest for Failed {
        fn begin(&self) -> Test {
            Box::new(|stream, _, _, line| {
                assert!(
                    *stream == app("a") && line.starts_with(b"{\"status\":") && line.len() < 20
                );
                line.ends_with(b":503}")
            })
        }
    }
    let shelf = Shelf::new();
    let line = |i: i64| {
        format!(
            "{{\"n\":{i},\"status\":{},\"text\":\"t{i}\"}}",
            [200, 503][usize::from(i % 5 == 0)]
        )
    };
    let entries = (0..3000).map(|i| entry(i * SEC, &line(i), &[])).collect();
    let reader = shelf.logs(&log_block(vec![(app("a"), entries)], options())).await;
    let fields = Arc::new(Fields { syntax: Syntax::Json, names: vec!["status".to_owned()] });
    let select = LogSelect { fields: Some(Arc::clone(&fields)), ..LogSelect::default() };
    let got = reader.select(&[], TimeRange::ALL, &[], select).await.unwrap();
    assert_eq!(got[0].entries.len(), 3000);
    assert_eq!(
        (got[0].entries[4].text(), got[0].entries[5].text()),
        ("{\"status\":200}", "{\"status\":503}")
    );
    let search = LogSearch {
        matchers: Vec::new(),
        range: TimeRange::new(SEC, i64::MAX),
        needles: vec![Bytes::from_static(b"\"t")],
        wanted: LogSelect::default(),
        streams: Streams::All,
        early: Some(Early { fields, test: Arc::new(Failed) }),
        useful: None,
    };
    let got = reader.found(&search).await.unwrap();
    let found: Vec<&str> = got[0].entries.iter().map(|e| e.text()).collect();
    let expected: Vec<String> = (1..600).map(|i| line(i * 5)).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn lines_stay_whole_when_an_early_look_is_given_up() {
    #[derive(Debug)]
    struct Any;
    impl EntryTest for Any {
        fn begin(&self) -> Test {
            Box::new(|_, _, _, _| true)
        }
    }
    let shelf = Shelf::new();
    let text = "a text that makes the lines long enough for several packs".repeat(4);
    let line = |i: i64| format!("{{\"n\":{i},\"status\":200,\"text\":\"{text}\"}}");
    let entries = (0..20_000).map(|i| entry(i * SEC, &line(i), &[])).collect();
    let reader = shelf.logs(&log_block(vec![(app("a"), entries)], options())).await;
    let fields = Arc::new(Fields { syntax: Syntax::Json, names: vec!["status".to_owned()] });
    for needles in [vec![], vec![Bytes::from_static(b"status")]] {
        let search = LogSearch {
            matchers: Vec::new(),
            range: TimeRange::ALL,
            needles,
            wanted: LogSelect::default(),
            streams: Streams::All,
            early: Some(Early { fields: Arc::clone(&fields), test: Arc::new(Any) }),
            useful: None,
        };
        let got = reader.found(&search).await.unwrap();
        let found: Vec<&str> = got[0].entries.iter().map(|e| e.text()).collect();
        let expected: Vec<String> = (0..20_000).map(line).collect();
        assert!(found == expected, "{}", search.needles.len());
    }
}

#[tokio::test]
async fn tests_of_fields_rule_lines_out_where_no_label_has_their_names() {
    /// Looks at the lines of some streams only.
    #[derive(Debug)]
    struct Failed(&'static [&'static str]);
    impl EntryTest for Failed {
        fn begin(&self) -> Test {
            let of = self.0;
            Box::new(move |stream, _, _, line| {
                assert!(of.contains(&stream.get("app").unwrap()), "{stream}");
                line.ends_with(b":503}")
            })
        }

        fn fields(&self) -> Vec<(String, FieldTest)> {
            let passes: FieldTest = Box::new(|line| line.ends_with(b"\"status\":503}"));
            vec![("status".to_owned(), passes)]
        }

        fn fields_decide(&self) -> bool {
            true
        }
    }
    let line = |i: i64| {
        let status = [200, 503][usize::from(i % 50 == 0)];
        format!("{{\"n\":{i},\"status\":{status},\"text\":\"t{i}\"}}")
    };
    let entries = |metadata: &[(&str, &str)]| -> Vec<LogEntry> {
        (0..3000).map(|i| entry(i * SEC, &line(i), metadata)).collect()
    };
    let fields = Arc::new(Fields { syntax: Syntax::Json, names: vec!["status".to_owned()] });
    for (labels, metadata, looks_at) in [
        (app("a"), &[("k", "v")][..], &[][..]),
        (labels(&[("app", "a"), ("status", "x")]), &[], &["a", "b"]),
        (app("a"), &[("status", "x")], &["a", "b"]),
    ] {
        let streams = vec![(labels, entries(metadata)), (app("b"), entries(&[]))];
        let reader = Shelf::new().logs(&log_block(streams, options())).await;
        let search = LogSearch {
            matchers: Vec::new(),
            range: TimeRange::ALL,
            needles: Vec::new(),
            wanted: LogSelect::default(),
            streams: Streams::All,
            early: Some(Early { fields: Arc::clone(&fields), test: Arc::new(Failed(looks_at)) }),
            useful: None,
        };
        let got = reader.found(&search).await.unwrap();
        let expected: Vec<String> = (0..60).map(|i| line(i * 50)).collect();
        for stream in &got {
            let found: Vec<&str> = stream.entries.iter().map(|e| e.text()).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(got.len(), 2);
    }
}

#[tokio::test]
async fn lines_left_of_a_search_are_counted_without_reading_them() {
    let shelf = Shelf::new();
    let line = |i: i64| format!("{i} {} {:08x}", "some text that is long".repeat(8), i * 7919);
    let entries = (0..30_000).map(|i| entry(i * SEC, &line(i), &[])).collect();
    let reader = shelf.logs(&log_block(vec![(app("a"), entries)], options())).await;
    let search = |needle: &str, end| LogSearch {
        matchers: Vec::new(),
        range: TimeRange::new(0, end),
        needles: vec![Bytes::copy_from_slice(needle.as_bytes())],
        wanted: LogSelect::default(),
        streams: Streams::All,
        early: None,
        useful: None,
    };
    assert_eq!(reader.rows_left(&search("some text", i64::MAX)).await.unwrap(), None);
    reader.found(&search("no such text in it", 9 * SEC)).await.unwrap();
    let before = reader.read_stats().snapshot();
    assert_eq!(reader.rows_left(&search("some text", i64::MAX)).await.unwrap(), Some(30_000));
    let left = reader.rows_left(&search("some text", 9 * SEC)).await.unwrap();
    assert!(left.is_some_and(|n| n < 10_000), "{left:?}");
    let absent = "connection timeout while waiting for a server that does not answer";
    let left = reader.rows_left(&search(absent, i64::MAX)).await.unwrap();
    assert!(left.is_some_and(|n| n < 10_000), "{left:?}");
    assert_eq!(reader.read_stats().snapshot(), before);
}

#[tokio::test]
async fn looks_go_on_where_tests_of_fields_drop_most() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A look that all pass behind a test of a field that one in five passes; counts the looks.
    #[derive(Debug, Default)]
    struct OneInFive(Arc<AtomicUsize>);
    impl EntryTest for OneInFive {
        fn begin(&self) -> Test {
            let n = Arc::clone(&self.0);
            Box::new(move |_, _, _, _| n.fetch_add(1, Ordering::Relaxed) < usize::MAX)
        }

        fn fields(&self) -> Vec<(String, FieldTest)> {
            vec![("status".to_owned(), Box::new(|line| line.ends_with(b":503}")))]
        }
    }
    let text = "a text that makes the lines long enough for several packs".repeat(4);
    let line = |i: i64| {
        let status = [200, 503][usize::from(i % 5 == 0)];
        format!("{{\"status\":{status},\"text\":\"{text}\"}}")
    };
    let entries = (0..30_000).map(|i| entry(i * SEC, &line(i), &[])).collect();
    let reader = Shelf::new().logs(&log_block(vec![(app("a"), entries)], options())).await;
    let n_looks = Arc::new(AtomicUsize::new(0));
    let fields = Arc::new(Fields { syntax: Syntax::Json, names: vec!["status".to_owned()] });
    let search = LogSearch {
        matchers: Vec::new(),
        range: TimeRange::ALL,
        needles: Vec::new(),
        wanted: LogSelect::default(),
        streams: Streams::All,
        early: Some(Early { fields, test: Arc::new(OneInFive(Arc::clone(&n_looks))) }),
        useful: None,
    };
    let got = reader.found(&search).await.unwrap();
    assert_eq!(got[0].entries.len(), 6000);
    assert_eq!(n_looks.load(Ordering::Relaxed), 6000);
}
