//! Live tails: entries go to subscribers as they are acknowledged.
//!
//! A subscriber has a bounded queue; when it is full the entries are dropped for it, counted, and the
//! push goes on.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use skald_model::{Labels, Matcher, StreamEntries};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::parsed::LogsBatch;

/// The subscribers of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    n: AtomicUsize,
    list: Mutex<Vec<Tail>>,
}

#[derive(Debug)]
struct Tail {
    matchers: Vec<Matcher>,
    queue: mpsc::Sender<Vec<StreamEntries>>,
}

// === impl Tails ===

impl Tails {
    /// Adds a subscriber with room for `room` batches.
    pub(crate) fn add(
        &self,
        matchers: &[Matcher],
        room: usize,
    ) -> ReceiverStream<Vec<StreamEntries>> {
        let (queue, receiver) = mpsc::channel(room.max(1));
        let mut list = self.list.lock();
        list.retain(|t| !t.queue.is_closed());
        list.push(Tail { matchers: matchers.to_vec(), queue });
        self.n.store(list.len(), Ordering::Release);
        ReceiverStream::new(receiver)
    }

    /// Subscribers, some of whom may be gone.
    pub(crate) fn len(&self) -> usize {
        self.n.load(Ordering::Acquire)
    }

    /// Offers the streams of a batch, given as item positions with labels; answers how many entries were dropped.
    pub(crate) fn send(&self, batch: &LogsBatch, streams: &[(usize, Labels)]) -> u64 {
        let mut list = self.list.lock();
        let mut dropped = 0;
        list.retain(|tail| {
            let matching: Vec<StreamEntries> = streams
                .iter()
                .filter(|(_, labels)| Matcher::all(&tail.matchers, labels))
                .filter_map(|(at, labels)| entries(batch, *at, labels))
                .collect();
            if matching.is_empty() {
                return !tail.queue.is_closed();
            }
            match tail.queue.try_send(matching) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(lost)) => {
                    dropped += lost.iter().map(|s| s.entries.len() as u64).sum::<u64>();
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
        self.n.store(list.len(), Ordering::Release);
        dropped
    }
}

fn entries(batch: &LogsBatch, at: usize, labels: &Labels) -> Option<StreamEntries> {
    let item = batch.items.get(at)?;
    let mut entries = batch.entries(item);
    entries.sort_by_key(|e| e.timestamp_ns);
    (!entries.is_empty()).then(|| StreamEntries { labels: labels.clone(), entries })
}
