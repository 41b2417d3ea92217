//! What writers tried and what was acknowledged, and whether what is read agrees with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::Signal;

/// A sample or a line, told apart by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub tenant: usize,
    pub signal: Signal,
    /// Milliseconds for samples, nanoseconds for lines.
    pub time: i64,
    pub lane: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    item: Item,
    is_acked: bool,
}

/// All items. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<u64, Entry>,
    next: u64,
}

/// One thing that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub id: u64,
    pub time: i64,
    pub lane: u64,
}

// === impl Ledger ===

impl Ledger {
    /// Notes that an item is about to be sent; answers its number.
    pub fn sent(&self, item: Item) -> u64 {
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        state.items.insert(id, Entry { item, is_acked: false });
        id
    }

    pub fn acked(&self, ids: &[u64]) {
        let mut state = self.0.lock();
        for id in ids {
            if let Some(entry) = state.items.get_mut(id) {
                entry.is_acked = true;
            }
        }
    }

    /// What was acknowledged so far.
    pub fn acked_of(&self, tenant: usize, signal: Signal) -> BTreeSet<u64> {
        let state = self.0.lock();
        let is_one = |e: &Entry| e.is_acked && e.item.tenant == tenant && e.item.signal == signal;
        state.items.iter().filter(|(_, e)| is_one(e)).map(|(id, _)| *id).collect()
    }

    /// Items tried, and acknowledged.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.items.len(), state.items.values().filter(|e| e.is_acked).count())
    }

    /// Why an answer is wrong: it must hold `acked` and nothing that was not tried by `tenant`, each once.
    pub fn check(
        &self,
        tenant: usize,
        signal: Signal,
        acked: &BTreeSet<u64>,
        reads: &[Read],
    ) -> Result<(), String> {
        let state = self.0.lock();
        let mut seen = BTreeSet::new();
        for read in reads {
            if !seen.insert(read.id) {
                return Err(format!("{} is there twice", read.id));
            }
            let Some(Entry { item, .. }) = state.items.get(&read.id) else {
                return Err(format!("{} was never sent", read.id));
            };
            if item.tenant != tenant || item.signal != signal {
                return Err(format!("{} is another tenant's: {item:?}", read.id));
            }
            if item.time != read.time || item.lane != read.lane {
                return Err(format!("{read:?} was sent as {item:?}"));
            }
        }
        let missing: Vec<_> = acked.difference(&seen).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let some: Vec<_> = missing.iter().take(20).collect();
        let n = missing.len();
        Err(format!("{n} of {} acknowledged are missing: {some:?}", acked.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answers_are_told() {
        let ledger = Ledger::default();
        let item = |tenant, time| Item { tenant, signal: Signal::Logs, time, lane: 7 };
        let (mine, tried, other) =
            (ledger.sent(item(0, 10)), ledger.sent(item(0, 20)), ledger.sent(item(1, 30)));
        ledger.acked(&[mine, other]);
        assert_eq!(ledger.counts(), (3, 2));
        let acked = ledger.acked_of(0, Signal::Logs);
        assert_eq!(acked, BTreeSet::from([mine]));
        let read = |id, time| Read { id, time, lane: 7 };
        let check = |reads: &[Read]| ledger.check(0, Signal::Logs, &acked, reads);
        assert_eq!(check(&[read(mine, 10)]), Ok(()));
        assert_eq!(check(&[read(mine, 10), read(tried, 20)]), Ok(()), "it may have been stored");
        for (reads, why) in [
            (vec![], "1 of 1 acknowledged are missing"),
            (vec![read(tried, 20)], "1 of 1 acknowledged are missing"),
            (vec![read(mine, 10), read(mine, 10)], "there twice"),
            (vec![read(mine, 10), read(99, 10)], "never sent"),
            (vec![read(mine, 10), read(other, 30)], "another tenant's"),
            (vec![read(mine, 11)], "was sent as"),
            (vec![Read { lane: 8, ..read(mine, 10) }], "was sent as"),
        ] {
            let told = check(&reads).unwrap_err();
            assert!(told.contains(why), "{reads:?}: {told}");
        }
        assert!(ledger.check(0, Signal::Metrics, &BTreeSet::new(), &[read(mine, 10)]).is_err());
    }
}
