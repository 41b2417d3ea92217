use std::sync::atomic::{AtomicI64, Ordering};

use skald_model::{Labels, MatchOp, Matcher, TimeRange};
use skald_rpc::ingester::{Listing, SelectSeries};

use super::metrics::{EncodedSelection, MetricsHead, Window};
use super::*;

const SERIES: usize = 30 * STEP + 1;
const ROUNDS: i64 = 80;

/// The number of visits once the reader is gone.
const GIVEN_UP: i64 = -1;

/// Tells the writer, also when the reader panics.
struct Reader<'a>(&'a AtomicI64);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.store(GIVEN_UP, Ordering::SeqCst);
    }
}

fn full() -> MetricsHead {
    let mut head = MetricsHead::default();
    for i in 0..SERIES {
        let labels = Labels::from_pairs([("i", i.to_string())]);
        head.create(labels.id(), &labels).unwrap();
    }
    head
}

fn read(lock: &RwLock<MetricsHead>) -> EncodedSelection {
    let (matchers, range) = (Vec::new(), TimeRange::ALL);
    let request = SelectSeries { matchers, range, only: None, ids: false };
    let begin = |head: &MetricsHead| head.begin_encoding(&request);
    visit(lock, begin, |head, refs, into| head.encode(refs, range, into))
}

#[test]
fn what_is_listed_is_what_label_sets_have() {
    let lock = RwLock::new(MetricsHead::default());
    for i in 0..3 * STEP {
        let (n, half) = (i.to_string(), if i % 2 == 0 { "a" } else { "b" });
        let mut pairs = vec![("n", n.as_str()), ("half", half)];
        pairs.extend((i + 1 == 3 * STEP).then_some(("last", "1")));
        let labels = Labels::from_pairs(pairs);
        let mut head = lock.write();
        let r = head.create(labels.id(), &labels).unwrap();
        head.append(r, i64::from(r), 1.0, Window::Ms(0)).unwrap();
        if i == STEP {
            // Some of the data is in the snapshot from here on.
            assert!(head.cut(Ageing::Counts).is_some());
        }
    }
    let end = i64::try_from(3 * STEP).unwrap();
    let matchers = [
        vec![],
        vec![Matcher::equal("half", "a")],
        vec![Matcher::new(MatchOp::NotEqual, "half", "a").unwrap()],
        vec![Matcher::equal("n", "7"), Matcher::new(MatchOp::Regex, "half", "a|b").unwrap()],
        vec![Matcher::equal("last", "")],
    ];
    let of = ["n", "half", "last", "none"].map(|name| Listing::Values(name.to_owned()));
    for range in [TimeRange::ALL, TimeRange::new(0, end - 1), TimeRange::new(end - 2, end)] {
        for (of, matchers) in
            of.iter().chain([&Listing::Names]).flat_map(|of| matchers.iter().map(move |m| (of, m)))
        {
            let begin = |head: &MetricsHead| head.begin(matchers);
            let sets = visit(&lock, begin, |head, refs, into| head.pick_labels(refs, range, into));
            let begin = |head: &MetricsHead| head.begin_listing(of, matchers, range);
            let listed = visit(&lock, begin, |head, refs, into| head.list(refs, of, range, into));
            assert_eq!(listed.sorted(), of.of_all(&sets.labels()), "{of:?} {matchers:?} {range:?}");
        }
    }
}

#[test]
fn a_head_knows_when_it_has_nothing() {
    let ranges = |from, to| TimeRange::new(from, to);
    let mut head = MetricsHead::default();
    assert_eq!(head.nothing_in(TimeRange::ALL), Some(0));
    let labels = Labels::from_pairs([("a", "1")]);
    let r = head.create(labels.id(), &labels).unwrap();
    head.manifest_version = 3;
    assert_eq!(head.nothing_in(TimeRange::ALL), Some(3));
    head.append(r, 100, 1.0, Window::Ms(0)).unwrap();
    head.append(r, 60, 1.0, Window::Ms(50)).unwrap();
    assert_eq!(head.nothing_in(ranges(60, 61)), None);
    assert_eq!(
        (head.nothing_in(ranges(0, 60)), head.nothing_in(ranges(101, 200))),
        (Some(3), Some(3))
    );
    // In the snapshot it still is; once that is committed only the index is left.
    head.cut(Ageing::Counts).unwrap();
    head.append(r, 200, 1.0, Window::Ms(0)).unwrap();
    assert_eq!(
        (head.nothing_in(ranges(100, 101)), head.nothing_in(ranges(200, 201))),
        (None, None)
    );
    head.flushing = None;
    head.manifest_version = 4;
    assert_eq!((head.nothing_in(ranges(0, 101)), head.nothing_in(ranges(0, 201))), (Some(4), None));
}

/// Each round writes time t to all series, cuts while they are visited, and commits as number t.
fn write(lock: &RwLock<MetricsHead>, written: &AtomicI64, visits: &AtomicI64) {
    for t in 1..=ROUNDS {
        {
            let mut head = lock.write();
            for r in (0..).take(SERIES) {
                head.append(r, t, 1.0, Window::Ms(0)).unwrap();
            }
        }
        let seen = visits.load(Ordering::SeqCst);
        written.store(t, Ordering::SeqCst);
        while seen != GIVEN_UP && visits.load(Ordering::SeqCst) == seen {
            std::hint::spin_loop();
        }
        if visits.load(Ordering::SeqCst) == GIVEN_UP {
            return;
        }
        assert!(lock.write().cut(Ageing::Counts).is_some());
        let mut head = lock.write();
        head.flushing = None;
        head.manifest_version = t.unsigned_abs();
    }
}

#[test]
fn what_was_written_before_a_visit_is_in_it_or_in_its_commit() {
    let lock = RwLock::new(full());
    let (written, visits) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| write(&lock, &written, &visits));
        let reader = Reader(&visits);
        loop {
            let before = written.load(Ordering::SeqCst);
            reader.0.fetch_add(1, Ordering::SeqCst);
            let found = read(&lock);
            let committed = i64::try_from(found.manifest_version).unwrap();
            let series = found.decode(TimeRange::ALL).unwrap();
            if committed < before {
                assert_eq!(series.len(), SERIES, "{committed} of {before}");
            }
            for s in series {
                assert!((committed + 1..=before).all(|t| s.timestamps.contains(&t)));
            }
            if before == ROUNDS {
                break;
            }
        }
    });
}
