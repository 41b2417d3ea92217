//! Objects that are missing, cut or garbled: typed errors, never a panic.

use object_store::{ObjectStoreExt, PutPayload};
use skald_model::{ErrorKind, Exemplar, Matcher, TimeRange};

use super::*;
use crate::{Error, LogSelect, path, verify_block};

fn metrics() -> Encoded {
    let samples: Vec<(i64, f64)> = (0..50).map(|i| (T0 + i * STEP, (i * i % 17) as f64)).collect();
    let row = |i: usize| SeriesRow {
        labels: labels(&[
            ("__name__", &format!("m{}", i % 3)),
            ("pod", &format!("p{i}")),
            (&format!("rare{i}"), "x"),
        ]),
        floats: vec![float_chunk(&samples)],
        exemplars: vec![Exemplar { labels: Labels::empty(), timestamp_ms: T0, value: 1.0 }],
        ..SeriesRow::default()
    };
    metric_block((0..120).map(row).collect())
}

fn logs() -> Encoded {
    let stream = |s: usize| {
        let line = |i: usize| format!("{s} {i} {}", i * 7919 % 1000);
        let entries = (0..40).map(|i| entry(i as i64, &line(i), &[("k", &(i % 3).to_string())]));
        (labels(&[("app", &format!("a{s}"))]), entries.collect())
    };
    log_block((0..8).map(stream).collect(), options())
}

/// Stores `bytes` as the object of the block and does everything a reader can do.
async fn exercise(block: &Encoded, bytes: Bytes, metrics: bool) -> Result<usize, Error> {
    let shelf = Shelf::new();
    let at = path(&shelf.tenant, block.meta.id);
    shelf.store.put(&at, PutPayload::from_bytes(bytes)).await.unwrap();
    let (store, cache) = (Arc::clone(&shelf.store), Arc::clone(&shelf.cache));
    let mut n = 0;
    if metrics {
        let reader = MetricReader::open(store, &shelf.tenant, &block.meta, cache).await?;
        let name = [Matcher::equal("__name__", "m1")];
        n += reader.select(&name, TimeRange::ALL).await?.len();
        n += reader.labels(&[], TimeRange::new(T0, T0 + 1)).await?.len();
        n += reader.exemplars(&[], TimeRange::ALL).await?.len();
        let mut rows = reader.rows();
        while let Some(batch) = rows.next().await? {
            n += batch.len();
        }
    } else {
        let reader = LogReader::open(store, &shelf.tenant, &block.meta, cache).await?;
        let app = [Matcher::equal("app", "a3")];
        n += reader.streams(&app, TimeRange::ALL).await?.len();
        let some = TimeRange::new(3, 30);
        n += reader
            .select(&[], some, &[Bytes::from_static(b"7")], LogSelect::default())
            .await?
            .len();
        let mut rows = reader.rows().await?;
        while let Some(batch) = rows.next().await? {
            n += batch.len();
        }
    }
    Ok(n)
}

#[tokio::test]
async fn a_missing_object_is_not_found() {
    let shelf = Shelf::new();
    let meta = metrics().meta;
    let (store, cache) = (Arc::clone(&shelf.store), Arc::clone(&shelf.cache));
    let err = MetricReader::open(store, &shelf.tenant, &meta, cache).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
    let err = verify_block(&shelf.store, &shelf.tenant, &meta).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn every_truncated_object_is_corrupt() {
    for (block, is_metrics) in [(metrics(), true), (logs(), false)] {
        assert!(exercise(&block, block.bytes.clone(), is_metrics).await.unwrap() > 0);
        let len = block.bytes.len();
        for cut in (0..len).step_by(len / 40).chain([len - 1]) {
            let got = exercise(&block, block.bytes.slice(..cut), is_metrics).await;
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Corrupt, "cut at {cut} of {len}");
        }
    }
}

#[tokio::test]
async fn every_garbled_byte_is_noticed_by_queries_and_by_verification() {
    for (block, is_metrics) in [(metrics(), true), (logs(), false)] {
        let len = block.bytes.len();
        for at in (0..len).step_by(11) {
            let mut bytes = block.bytes.to_vec();
            bytes[at] ^= if at % 2 == 0 { 0xff } else { 1 };
            let got = exercise(&block, bytes.clone().into(), is_metrics).await;
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Corrupt, "byte {at} of {len}");
            if at % 77 == 0 {
                let shelf = Shelf::new();
                let object = path(&shelf.tenant, block.meta.id);
                shelf.store.put(&object, PutPayload::from(bytes)).await.unwrap();
                let found = verify_block(&shelf.store, &shelf.tenant, &block.meta).await;
                assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt);
            }
        }
    }
}

#[tokio::test]
async fn a_block_of_the_other_signal_or_a_newer_version_is_refused() {
    let mut block = logs();
    assert!(exercise(&block, block.bytes.clone(), false).await.is_ok());
    block.meta.signal = skald_model::Signal::Metrics;
    let err = exercise(&block, block.bytes.clone(), true).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Corrupt);
    block.meta.format_version = crate::newest_version(block.meta.signal) + 1;
    let err = exercise(&block, block.bytes.clone(), true).await.unwrap_err();
    assert!(
        matches!(err, Error::Version { version, .. } if version == block.meta.format_version),
        "{err}"
    );
}
