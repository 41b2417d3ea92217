//! Pushes, flushes and reads at once: a reader never misses what was acknowledged before it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use skald_rpc::IngesterApi;

use crate::support::*;

const ROUNDS: i64 = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn readers_see_every_acknowledged_sample_once_through_all_flushes() {
    let mut machine = Machine::new();
    let node = Arc::new(machine.start().await);
    let acked = Arc::new(AtomicI64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (node, acked) = (Arc::clone(&node), Arc::clone(&acked));
        skald_runtime::spawn("writer", async move {
            for t in 1..=ROUNDS {
                let send = if t == 1 { Send::Labels } else { Send::Ids };
                assert_eq!(node.push(samples(0..7, t, send)).await.unwrap().samples, 7);
                assert_eq!(node.push(lines(0..7, t, send)).await.unwrap().entries, 7);
                acked.store(t, Ordering::SeqCst);
            }
        })
    };
    let flusher = {
        let (node, done) = (Arc::clone(&node), Arc::clone(&done));
        skald_runtime::spawn("flusher", async move {
            let mut n = 0;
            while !done.load(Ordering::SeqCst) {
                node.ingester.flush(0).await.unwrap();
                n += 1;
            }
            n
        })
    };
    let reader = {
        let (node, acked, done) = (Arc::clone(&node), Arc::clone(&acked), Arc::clone(&done));
        skald_runtime::spawn("reader", async move {
            while !done.load(Ordering::SeqCst) {
                let before = acked.load(Ordering::SeqCst);
                let found = node.floats().await;
                let mut lines = node.lines().await;
                lines.dedup();
                for n in 0..7 {
                    for t in 1..=before {
                        let got = found.get(&(labels(n), t)).copied();
                        assert_eq!(got, Some(value(n, t).to_bits()), "{n} at {t} of {before}");
                        let want = (labels(n), t, line(n, t));
                        assert!(lines.binary_search(&want).is_ok(), "{want:?}");
                    }
                }
            }
        })
    };
    writer.await.unwrap();
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    assert!(flusher.await.unwrap() > 0);
    node.ingester.flush(0).await.unwrap();
    let times: Vec<i64> = (1..=ROUNDS).collect();
    assert_eq!(node.floats_once().await, floats(0..7, &times));
    assert_eq!(node.lines().await.len(), 7 * times.len());
    assert!(node.head().await.is_empty());
}
