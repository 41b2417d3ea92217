//! The stats block: what Grafana's inspector and `logcli --stats` read. Every key is there, also
//! those of parts that a Loki has and we do not.

use std::time::Duration;

use skald_blocks::StatsSnapshot;
use skald_logql::Stats;

use crate::http::route::Call;
use crate::json::Json;
use crate::scope::Touched;

/// What a query took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) elapsed: Duration,
    pub(crate) queued: Duration,
    pub(crate) touched: Touched,
    pub(crate) reads: StatsSnapshot,
}

/// Caches that the peers have and report on; readers expect every key.
const CACHES: [&str; 8] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
];

// === impl Cost ===

impl Cost {
    /// What `call` has cost so far.
    pub(crate) fn of(call: &Call, elapsed: Duration) -> Self {
        let reads = call.scope.reads.snapshot();
        Self { elapsed, queued: call.queued, touched: call.scope.touched(), reads }
    }
}

pub(super) fn write(json: &mut Json, s: &Stats, cost: &Cost) {
    let seconds = cost.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let rate = |n: u64| if seconds > 0.0 { (n as f64 / seconds).round() } else { 0.0 };
    json.raw(r#"{"summary":{"bytesProcessedPerSecond":"#).number(rate(s.bytes_processed));
    json.raw(r#","linesProcessedPerSecond":"#).number(rate(s.lines_processed));
    for (key, n) in [
        ("totalBytesProcessed", s.bytes_processed),
        ("totalLinesProcessed", s.lines_processed),
        ("subqueries", 0),
        ("totalEntriesReturned", s.entries_returned),
        ("splits", s.selects),
        ("shards", 0),
        ("totalPostFilterLines", s.post_filter_lines),
        ("totalStructuredMetadataBytesProcessed", s.structured_metadata_bytes_processed),
    ] {
        json.raw(",").key(key).uint(n);
    }
    json.raw(r#","execTime":"#).number(seconds);
    json.raw(r#","queueTime":"#).number(cost.queued.as_secs_f64());
    json.raw(r#"},"querier":{"store":"#);
    store(json, s, cost);
    json.raw(r#"},"ingester":{"totalReached":"#).uint(cost.touched.heads);
    json.raw(r#","totalChunksMatched":0,"totalBatches":0,"totalLinesSent":0,"store":"#);
    store(json, &Stats::default(), &Cost::default());
    json.raw(r#"},"cache":{"#);
    let mut first = true;
    for cache in CACHES {
        json.sep(&mut first).key(cache).raw(
            r#"{"entriesFound":0,"entriesRequested":0,"entriesStored":0,"bytesReceived":0,"bytesSent":0,"requests":0,"downloadTime":0,"queryLengthServed":0}"#,
        );
    }
    json.raw(
        r#"},"index":{"totalChunks":0,"postFilterChunks":0,"shardsDuration":0,"usedBloomFilters":false}}"#,
    );
}

fn store(json: &mut Json, s: &Stats, cost: &Cost) {
    json.raw(r#"{"totalChunksRef":"#).uint(cost.touched.blocks);
    json.raw(r#","totalChunksDownloaded":"#).uint(cost.touched.blocks);
    json.raw(r#","chunksDownloadTime":0,"queryReferencedStructuredMetadata":false"#);
    json.raw(r#","objectRequests":"#).uint(cost.reads.gets);
    json.raw(r#","objectBytes":"#).uint(cost.reads.bytes);
    json.raw(r#","diskCacheHits":"#).uint(cost.reads.disk_hits);
    json.raw(r#","chunk":{"#);
    json.raw(r#""headChunkBytes":0,"headChunkLines":0,"decompressedBytes":"#)
        .uint(s.bytes_processed);
    json.raw(r#","decompressedLines":"#).uint(s.lines_processed);
    json.raw(r#","compressedBytes":"#).uint(cost.reads.bytes);
    json.raw(r#","totalDuplicates":0,"postFilterLines":"#).uint(s.post_filter_lines);
    json.raw(r#","headChunkStructuredMetadataBytes":0,"decompressedStructuredMetadataBytes":"#);
    json.uint(s.structured_metadata_bytes_processed).raw("}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_have_every_key_that_readers_expect() {
        let mut json = Json::default();
        let s = Stats { bytes_processed: 10, lines_processed: 2, ..Stats::default() };
        let reads = StatsSnapshot { gets: 3, bytes: 70, ..StatsSnapshot::default() };
        let cost = Cost { elapsed: Duration::from_secs(2), reads, ..Cost::default() };
        write(&mut json, &s, &cost);
        let v: serde_json::Value = serde_json::from_slice(&json.into_vec()).unwrap();
        assert_eq!(v["summary"]["bytesProcessedPerSecond"], 5);
        assert_eq!(v["summary"]["totalLinesProcessed"], 2);
        assert_eq!(v["querier"]["store"]["objectRequests"], 3);
        assert_eq!(v["querier"]["store"]["objectBytes"], 70);
        for key in
            ["execTime", "queueTime", "subqueries", "totalEntriesReturned", "splits", "shards"]
        {
            assert!(v["summary"][key].is_number(), "{key}");
        }
        for side in ["querier", "ingester"] {
            assert!(v[side]["store"]["chunk"]["decompressedBytes"].is_number());
        }
        for cache in CACHES {
            assert_eq!(v["cache"][cache]["requests"], 0);
        }
    }
}
