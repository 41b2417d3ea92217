//! The settings of a catalog.

use serde::{Deserialize, Serialize};
use skald_runtime::HumanDuration;

use crate::Error;

/// The settings of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A cached view older than this is refreshed before use. Default 10s.
    pub max_age: HumanDuration,
    /// While the store is away, a cached view serves until it is this old. Default 1h.
    pub max_staleness: HumanDuration,
    /// How long a reader waits for a commit that it was told of. Default 10s.
    pub visibility_timeout: HumanDuration,
    /// Time for one request to the store. Default 30s.
    pub request_timeout: HumanDuration,
    /// A commit that is not decided by then is given up. At most 10m, the default.
    pub commit_timeout: HumanDuration,
    /// Failed requests of one commit before it is given up. Default 20.
    pub commit_attempts: u32,
    /// A checkpoint is written after each so many commits. Default 100.
    pub checkpoint_interval: u64,
    /// Metric names of a tenant whose metadata is kept; further ones are left out. Default 100000.
    pub max_metadata: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_age: HumanDuration::from_secs(10),
            max_staleness: HumanDuration::from_secs(3600),
            visibility_timeout: HumanDuration::from_secs(10),
            request_timeout: HumanDuration::from_secs(30),
            commit_timeout: HumanDuration::from_secs(600),
            commit_attempts: 20,
            checkpoint_interval: 100,
            max_metadata: 100_000,
        }
    }
}

impl Config {
    /// Refuses settings that cannot work.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::Config(what.to_owned()));
        if self.commit_timeout > HumanDuration::from_secs(600) || self.commit_timeout.is_zero() {
            return refuse("commit_timeout must be above 0 and at most 10m");
        }
        if self.request_timeout.is_zero() {
            return refuse("request_timeout must be above 0");
        }
        if self.commit_attempts == 0 || self.checkpoint_interval == 0 {
            return refuse("commit_attempts and checkpoint_interval must be above 0");
        }
        Ok(())
    }
}
