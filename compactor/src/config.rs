//! Settings of the compactor.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skald_blocks::LineForm;
use skald_runtime::{ByteSize, HumanDuration};

/// How and when blocks are compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two rounds over all tenants, give or take a tenth. Default 5m.
    pub interval: HumanDuration,
    /// Largest block that a merge makes: what would be larger is divided between series, or within a stream in time.
    /// Blocks of half of it are not merged again, but with copies of replicas. Default 128MiB.
    pub max_block_size: ByteSize,
    /// Blocks of like size that make a merge worth while. Default 4.
    pub min_blocks_to_merge: usize,
    /// Most blocks merged at once. Default 32.
    pub max_blocks_per_merge: usize,
    /// Bytes that a merge may hold of rows read and of its output, lines as they are packed or plain; an output
    /// that takes more is closed and another begun. Encoding it takes as much as the block has again. Default 256MiB.
    pub merge_memory: ByteSize,
    /// How merged blocks keep log lines, as `ingester.log_lines`. Default packed.
    pub log_lines: LineForm,
    /// Tenants compacted at once. Default 1.
    pub concurrency: usize,
    /// Time between the removal of a block and the deletion of its object, for readers that still use it:
    /// a duration or `auto` (0s when all roles run in one process, else 12h). Default auto.
    pub deletion_delay: DeletionDelay,
    /// Time that commits behind the newest checkpoint are kept. Default 7d.
    pub commit_retention: HumanDuration,
    /// Age, by the store's clock, from which an object that no commit names may be deleted. Default 48h.
    pub orphan_age: HumanDuration,
    /// Such an object must be seen in two scans this far apart. Default 24h.
    pub orphan_scan_gap: HumanDuration,
    /// How long after `limits.delete_request_cancel_period` a request to delete is carried out. Must exceed the time for which ingesters hold lines and samples. Default 2h.
    pub delete_settle: HumanDuration,
}

/// A duration, or `auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeletionDelay {
    #[default]
    Auto,
    After(HumanDuration),
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compactor.{name} {problem}")]
pub struct ConfigError {
    pub name: &'static str,
    pub problem: &'static str,
}

// === impl Config ===

impl Config {
    /// Checks what the types do not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checks = [
            ("interval", self.interval.is_zero(), "must not be 0"),
            ("max_block_size", self.max_block_size.0 < 1 << 20, "must be at least 1MiB"),
            ("min_blocks_to_merge", self.min_blocks_to_merge < 2, "must be at least 2"),
            (
                "max_blocks_per_merge",
                self.max_blocks_per_merge < self.min_blocks_to_merge,
                "must be at least min_blocks_to_merge",
            ),
            ("merge_memory", self.merge_memory.0 < 1 << 20, "must be at least 1MiB"),
            ("concurrency", self.concurrency == 0, "must be at least 1"),
            (
                "commit_retention",
                self.commit_retention < HumanDuration::from_secs(7200),
                "must be at least 2h",
            ),
        ];
        match checks.into_iter().find(|(_, bad, _)| *bad) {
            Some((name, _, problem)) => Err(ConfigError { name, problem }),
            None => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: HumanDuration::from_secs(300),
            max_block_size: ByteSize(128 << 20),
            min_blocks_to_merge: 4,
            max_blocks_per_merge: 32,
            merge_memory: ByteSize(256 << 20),
            log_lines: LineForm::Packed,
            concurrency: 1,
            deletion_delay: DeletionDelay::Auto,
            commit_retention: HumanDuration::from_secs(7 * 86_400),
            orphan_age: HumanDuration::from_secs(48 * 3600),
            orphan_scan_gap: HumanDuration::from_secs(24 * 3600),
            delete_settle: HumanDuration::from_secs(7200),
        }
    }
}

// === impl DeletionDelay ===

impl DeletionDelay {
    /// The delay, given what `auto` means here.
    pub fn resolve(self, auto: Duration) -> HumanDuration {
        match self {
            Self::Auto => HumanDuration(auto),
            Self::After(delay) => delay,
        }
    }
}

impl fmt::Display for DeletionDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::After(delay) => delay.fmt(f),
        }
    }
}

impl Serialize for DeletionDelay {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeletionDelay {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::After).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_being_printed() {
        let config = Config::default();
        config.validate().unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn the_deletion_delay_is_a_duration_or_auto() {
        let read = |text: &str| {
            let json = format!(r#"{{"deletion_delay":"{text}"}}"#);
            serde_json::from_str::<Config>(&json).map(|c| c.deletion_delay)
        };
        assert_eq!(read("auto").unwrap().resolve(Duration::ZERO), HumanDuration::default());
        let hour = read("1h").unwrap();
        assert_eq!(hour.resolve(Duration::ZERO), HumanDuration::from_secs(3600));
        assert!(read("soon").is_err());
    }

    #[test]
    fn what_cannot_work_is_named() {
        let config = Config { min_blocks_to_merge: 1, ..Config::default() };
        let err = config.validate().unwrap_err().to_string();
        assert_eq!(err, "compactor.min_blocks_to_merge must be at least 2");
        assert!(Config { concurrency: 0, ..Config::default() }.validate().is_err());
        assert!(serde_json::from_str::<Config>(r#"{"intervall":"1m"}"#).is_err());
    }
}
