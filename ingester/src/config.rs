//! The settings of an ingester.

use serde::{Deserialize, Serialize};
use skald_blocks::LineForm;
use skald_runtime::{ByteSize, HumanDuration, MemoryBudget};

/// The settings of an ingester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A tenant's recent data is flushed once the oldest of it is this old. Default 30m.
    pub flush_interval: HumanDuration,
    /// How often is looked for tenants to flush. Default 1s.
    pub flush_check_interval: HumanDuration,
    /// A tenant's recent data is flushed once it has this many bytes: of samples in memory, of lines in the
    /// write-ahead log. Default 512MiB.
    pub max_head_bytes: ByteSize,
    /// Memory for recent data of all tenants. At three quarters the largest tenants are flushed, at the
    /// limit pushes are refused. 0 = 40 % of the machine's or cgroup's memory. Default 0.
    pub memory_limit: ByteSize,
    /// Everything is flushed once the write-ahead log has this many bytes. 0 = never. Default 4GiB.
    pub max_wal_bytes: ByteSize,
    /// A flush of more is split into blocks of about this many bytes before encoding. Default 256MiB.
    pub max_block_bytes: ByteSize,
    /// The same for lines, which are in memory only while their block is made: this many bytes and about as
    /// much again, where lines are short less of them. Default 64MiB.
    pub max_log_block_bytes: ByteSize,
    /// How flushed blocks keep log lines: `packed` in columns of what varies, smaller and searched faster, or
    /// `plain` as a Parquet column that other tools read. Default packed.
    pub log_lines: LineForm,
    /// Tenants that are flushed at the same time. Default 2.
    pub flush_concurrency: usize,
    /// Longest wait between two attempts of a flush that fails. Default 1m.
    pub flush_max_backoff: HumanDuration,
    /// Whether a shutdown flushes; what it does not flush is replayed at the next start. Default true.
    pub flush_on_shutdown: bool,
    /// How long a shutdown waits for its flush. Default 1m.
    pub shutdown_flush_timeout: HumanDuration,
    /// Pushes that wait for a slow tail before it loses entries. Default 256.
    pub tail_buffer: usize,
    /// The write-ahead log.
    pub wal: skald_wal::Config,
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ingester.{key}: {problem}")]
pub struct InvalidConfig {
    pub key: &'static str,
    pub problem: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flush_interval: HumanDuration::from_secs(30 * 60),
            flush_check_interval: HumanDuration::from_secs(1),
            max_head_bytes: ByteSize(512 << 20),
            memory_limit: ByteSize(0),
            max_wal_bytes: ByteSize(4 << 30),
            max_block_bytes: ByteSize(256 << 20),
            max_log_block_bytes: ByteSize(64 << 20),
            log_lines: LineForm::Packed,
            flush_concurrency: 2,
            flush_max_backoff: HumanDuration::from_secs(60),
            flush_on_shutdown: true,
            shutdown_flush_timeout: HumanDuration::from_secs(60),
            tail_buffer: 256,
            wal: skald_wal::Config::default(),
        }
    }
}

// === impl Config ===

impl Config {
    /// Refuses settings that cannot work.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let positive = [
            ("flush_interval", self.flush_interval.is_zero()),
            ("flush_check_interval", self.flush_check_interval.is_zero()),
            ("max_head_bytes", self.max_head_bytes.0 == 0),
            ("max_block_bytes", self.max_block_bytes.0 == 0),
            ("max_log_block_bytes", self.max_log_block_bytes.0 == 0),
            ("flush_concurrency", self.flush_concurrency == 0),
            ("flush_max_backoff", self.flush_max_backoff.is_zero()),
            ("tail_buffer", self.tail_buffer == 0),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, zero)| *zero) {
            return Err(InvalidConfig { key, problem: "must not be 0".to_owned() });
        }
        self.wal.validate().map_err(|e| InvalidConfig { key: "wal", problem: e.to_string() })
    }

    /// The memory limit in bytes, found out where it is 0.
    pub(crate) fn memory_limit(&self) -> u64 {
        const UNKNOWN: u64 = 1 << 30;
        match (self.memory_limit.0, MemoryBudget::system_limit()) {
            (0, 0) => UNKNOWN,
            (0, system) => system / 5 * 2,
            (limit, _) => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_zeros_are_not() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(Config::default().memory_limit() > 0);
        let bad = Config { max_block_bytes: ByteSize(0), ..Config::default() };
        assert_eq!(bad.validate().unwrap_err().key, "max_block_bytes");
        let mut bad = Config::default();
        bad.wal.segment_size = ByteSize(1);
        assert_eq!(bad.validate().unwrap_err().key, "wal");
    }
}
