//! Settings of the querier.

use serde::{Deserialize, Serialize};
use skald_runtime::{ByteSize, HumanDuration};

/// How the querier reads and answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Age at which a tenant's list of blocks is read again from the catalog even when no ingester
    /// speaks of a newer one. Default 15s.
    pub view_max_age: HumanDuration,
    /// Blocks that one query reads at the same time. Default 8.
    pub block_concurrency: usize,
    /// Memory for the footers of blocks, shared by all queries. Default 128MiB.
    pub footer_cache_size: ByteSize,
    /// Memory for decoded label columns of metric blocks, shared by all queries: some 30 bytes per
    /// series. Default 256MiB.
    pub index_cache_size: ByteSize,
    /// Memory for encoded samples of metric blocks, shared by all queries. Default 256MiB.
    pub page_cache_size: ByteSize,
    /// How far back an instant value is looked for when the query does not say. Default 5m.
    pub lookback_delta: HumanDuration,
    /// Queries of all tenants that run at once in this process; more wait, and tenants take turns. 0 = unlimited. Default 20.
    pub max_concurrent: usize,
    /// Queries that took at least this long are logged at level info, others at debug. Default 0s: all.
    pub log_queries_longer_than: HumanDuration,
    /// Range queries over more than one such interval, counted from 1970, are evaluated in pieces. 0s = as a whole. Default 1d.
    pub split_queries_by_interval: HumanDuration,
    /// Pieces of one query that are evaluated at the same time. Default 2.
    pub split_concurrency: usize,
    /// Memory for answers of range queries, shared by all tenants; 0 = none are kept, as without `split_queries_by_interval`. Default 64MiB.
    pub results_cache_size: ByteSize,
    /// Steps younger than this are not kept; nor are those that look at anything that is not in blocks yet. Default 10m.
    pub results_cache_min_age: HumanDuration,
    /// Frames that wait for a slow reader of a live tail; then entries are dropped and reported. Default 32.
    pub tail_queue: usize,
    /// Longest life of a live tail. Default 1h.
    pub tail_max_duration: HumanDuration,
    /// Answers larger than this are compressed when the client allows. Default 1KiB.
    pub compress_above: ByteSize,
    /// Longest body of a query request. Default 1MiB.
    pub max_request_size: ByteSize,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("querier.{key} must {must}")]
pub struct ConfigError {
    pub key: &'static str,
    pub must: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            view_max_age: HumanDuration::from_secs(15),
            block_concurrency: 8,
            footer_cache_size: ByteSize(128 << 20),
            index_cache_size: ByteSize(256 << 20),
            page_cache_size: ByteSize(256 << 20),
            lookback_delta: HumanDuration::from_secs(300),
            max_concurrent: 20,
            log_queries_longer_than: HumanDuration::default(),
            split_queries_by_interval: HumanDuration::from_secs(86_400),
            split_concurrency: 2,
            results_cache_size: ByteSize(64 << 20),
            results_cache_min_age: HumanDuration::from_secs(600),
            tail_queue: 32,
            tail_max_duration: HumanDuration::from_secs(3600),
            compress_above: ByteSize(1 << 10),
            max_request_size: ByteSize(1 << 20),
        }
    }
}

impl Config {
    /// Checks what types cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let at_least_one = [
            ("block_concurrency", self.block_concurrency),
            ("split_concurrency", self.split_concurrency),
            ("tail_queue", self.tail_queue),
            ("max_request_size", usize::try_from(self.max_request_size.0).unwrap_or(usize::MAX)),
        ];
        if let Some((key, _)) = at_least_one.into_iter().find(|(_, v)| *v == 0) {
            return Err(ConfigError { key, must: "be at least 1" });
        }
        for (key, value) in
            [("lookback_delta", self.lookback_delta), ("tail_max_duration", self.tail_max_duration)]
        {
            if value.is_zero() {
                return Err(ConfigError { key, must: "be longer than 0s" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_settings_that_make_no_sense() {
        assert_eq!(Config::default().validate(), Ok(()));
        let bad = Config { block_concurrency: 0, ..Config::default() };
        assert_eq!(bad.validate().unwrap_err().key, "block_concurrency");
        let bad = Config { lookback_delta: HumanDuration::default(), ..Config::default() };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "querier.lookback_delta must be longer than 0s"
        );
    }
}
