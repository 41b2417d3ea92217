use std::sync::atomic::{AtomicI64, Ordering};

use skald_model::{Labels, TimeRange};
use skald_rpc::ingester::SelectSeries;

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
