//! The distributor's part of the configuration.

use serde::{Deserialize, Serialize};
use skald_model::TenantId;
use skald_runtime::{ByteSize, HumanDuration};

/// Largest decoded body that positions of 31 bits can address.
const MAX_DECODED: u64 = 1 << 30;
/// Senders may be quiet for long, and some lose a message to a closed connection.
const IDLE_TIMEOUT: HumanDuration = HumanDuration::from_secs(3600);

/// Configuration of the distributor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of a push as it arrives, compressed. Larger ones are refused with 413. Default 100MiB.
    pub max_recv_msg_size: ByteSize,
    /// Bytes of a remote write after decompression. Larger ones are refused with 413. Default 32MiB.
    pub max_decoded_size: ByteSize,
    /// Bytes of a Loki push after decompression. Larger ones are refused with 413. Default 64MiB.
    pub max_decoded_logs_size: ByteSize,
    /// Bytes of all pushes between their arrival and their last replica's answer. Beyond it pushes are
    /// refused with 503. Default 512MiB.
    pub max_inflight_push_bytes: ByteSize,
    /// Time a push may take until enough replicas have answered. Default 10s.
    pub push_timeout: HumanDuration,
    /// Time in which a body must have arrived. Default 30s.
    pub body_timeout: HumanDuration,
    /// Replicas still being written after a push was answered; more are given up. Default 1024.
    pub max_background_pushes: usize,
    /// Memory of the cache that spares known series the parsing of their labels (40 bytes each). Default 256MiB.
    pub series_cache_size: ByteSize,
    /// Bodies longer than this, or eight times this when unpacked, are decoded on the CPU pool instead of
    /// the I/O threads. Default 128KiB.
    pub decode_inline_max: ByteSize,
    pub syslog: SyslogConfig,
    pub forward: ForwardConfig,
}

/// Syslog listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// Address for syslog over TCP, such as `0.0.0.0:601`. Default empty: none.
    pub tcp_listen: String,
    /// Address for syslog over UDP, such as `0.0.0.0:514`. Default empty: none.
    pub udp_listen: String,
    /// The tenant of all messages. Default default.
    pub tenant: String,
    /// Fields that are stream labels, of hostname, app_name, proc_id, msg_id, facility, severity, source_ip and
    /// `id.name` of structured data; the others are structured metadata. Default hostname, app_name.
    pub stream_labels: Vec<String>,
    /// Zone of times that do not say theirs. Default +00:00.
    pub utc_offset: String,
    /// Bytes of a message; longer ones are cut and counted. Default 64KiB.
    pub max_message_size: ByteSize,
    /// TCP connections; more wait in the kernel's queue. Default 1000.
    pub max_connections: usize,
    /// Time without a byte after which a TCP connection is closed. 0s = never. Default 1h.
    pub idle_timeout: HumanDuration,
    /// Bytes of UDP messages that wait for storage; what does not fit is dropped and counted. Default 8MiB.
    pub udp_buffer_size: ByteSize,
}

/// The listener for fluentd's forward protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardConfig {
    /// Address such as `0.0.0.0:24224`. Default empty: none.
    pub listen: String,
    /// The tenant of all records. Default default.
    pub tenant: String,
    /// The stream label that holds the tag; empty = the tag is structured metadata. Default tag.
    pub tag_label: String,
    /// Bytes of a message. A connection that sends a longer one is closed. Default 32MiB.
    pub max_message_size: ByteSize,
    /// Bytes of a message's entries when unpacked. Default 64MiB.
    pub max_unpacked_size: ByteSize,
    /// Bytes of the messages of all connections, packed and unpacked, until they are stored. A connection for which
    /// there is no room is closed. Default 256MiB.
    pub buffer_size: ByteSize,
    /// Connections; more wait in the kernel's queue. Default 1000.
    pub max_connections: usize,
    /// Time without a byte after which a connection is closed. 0s = never. Default 1h.
    pub idle_timeout: HumanDuration,
}

/// A setting whose value makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("distributor.{name} is {value}; {want}")]
pub struct ConfigError {
    pub name: &'static str,
    pub value: String,
    pub want: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_recv_msg_size: ByteSize(100 << 20),
            max_decoded_size: ByteSize(32 << 20),
            max_decoded_logs_size: ByteSize(64 << 20),
            max_inflight_push_bytes: ByteSize(512 << 20),
            push_timeout: HumanDuration::from_secs(10),
            body_timeout: HumanDuration::from_secs(30),
            max_background_pushes: 1024,
            series_cache_size: ByteSize(256 << 20),
            decode_inline_max: ByteSize(128 << 10),
            syslog: SyslogConfig::default(),
            forward: ForwardConfig::default(),
        }
    }
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            tcp_listen: String::new(),
            udp_listen: String::new(),
            tenant: TenantId::single().to_string(),
            stream_labels: vec!["hostname".to_owned(), "app_name".to_owned()],
            utc_offset: "+00:00".to_owned(),
            max_message_size: ByteSize(64 << 10),
            max_connections: 1000,
            idle_timeout: IDLE_TIMEOUT,
            udp_buffer_size: ByteSize(8 << 20),
        }
    }
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            listen: String::new(),
            tenant: TenantId::single().to_string(),
            tag_label: "tag".to_owned(),
            max_message_size: ByteSize(32 << 20),
            max_unpacked_size: ByteSize(64 << 20),
            buffer_size: ByteSize(256 << 20),
            max_connections: 1000,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

impl SyslogConfig {
    /// Seconds east of Greenwich of times without a zone.
    pub(crate) fn zone_secs(&self) -> i64 {
        crate::time::offset(&self.utc_offset).unwrap_or(0)
    }
}

impl Config {
    /// Checks what the types do not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("max_recv_msg_size", self.max_recv_msg_size),
            ("max_decoded_size", self.max_decoded_size),
            ("max_decoded_logs_size", self.max_decoded_logs_size),
        ];
        for (name, size) in sizes {
            if size.0 == 0 || size.0 > MAX_DECODED {
                let want = "it must lie between 1 and 1GiB";
                return Err(ConfigError { name, value: size.to_string(), want });
            }
        }
        let inflight = self.max_inflight_push_bytes;
        if inflight.0 < self.max_decoded_size.0.max(self.max_decoded_logs_size.0) {
            let want = "it must hold at least one push of the largest decoded size";
            let name = "max_inflight_push_bytes";
            return Err(ConfigError { name, value: inflight.to_string(), want });
        }
        for (name, time) in
            [("push_timeout", self.push_timeout), ("body_timeout", self.body_timeout)]
        {
            if time.is_zero() {
                return Err(ConfigError {
                    name,
                    value: time.to_string(),
                    want: "it must be positive",
                });
            }
        }
        self.validate_listeners()
    }

    fn validate_listeners(&self) -> Result<(), ConfigError> {
        let (syslog, forward) = (&self.syslog, &self.forward);
        for (name, tenant) in
            [("syslog.tenant", &syslog.tenant), ("forward.tenant", &forward.tenant)]
        {
            if TenantId::parse(tenant).is_err() {
                let want = "it must be a tenant id";
                return Err(ConfigError { name, value: tenant.clone(), want });
            }
        }
        for (name, size) in [
            ("syslog.max_message_size", syslog.max_message_size),
            ("syslog.udp_buffer_size", syslog.udp_buffer_size),
            ("forward.max_message_size", forward.max_message_size),
            ("forward.max_unpacked_size", forward.max_unpacked_size),
        ] {
            if size.0 == 0 || size.0 > MAX_DECODED {
                let want = "it must lie between 1 and 1GiB";
                return Err(ConfigError { name, value: size.to_string(), want });
            }
        }
        if forward.buffer_size.0 < forward.max_message_size.0 + forward.max_unpacked_size.0 {
            let (name, value) = ("forward.buffer_size", forward.buffer_size.to_string());
            let want = "it must hold max_message_size and max_unpacked_size together";
            return Err(ConfigError { name, value, want });
        }
        for (name, n) in [
            ("syslog.max_connections", syslog.max_connections),
            ("forward.max_connections", forward.max_connections),
        ] {
            if !(1..=1_000_000).contains(&n) {
                let want = "it must lie between 1 and 1000000";
                return Err(ConfigError { name, value: n.to_string(), want });
            }
        }
        if crate::time::offset(&syslog.utc_offset).is_none() {
            let (name, want) = ("syslog.utc_offset", "it must be an offset such as +02:00");
            return Err(ConfigError { name, value: syslog.utc_offset.clone(), want });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn senseless_values_are_named() {
        let config = Config { push_timeout: HumanDuration::default(), ..Config::default() };
        assert_eq!(config.validate().unwrap_err().name, "push_timeout");
        let config = Config { max_decoded_size: ByteSize(2 << 30), ..Config::default() };
        assert_eq!(config.validate().unwrap_err().name, "max_decoded_size");
        let config = Config { max_inflight_push_bytes: ByteSize(1 << 20), ..Config::default() };
        assert_eq!(config.validate().unwrap_err().name, "max_inflight_push_bytes");
        let forward = ForwardConfig { buffer_size: ByteSize(1), ..ForwardConfig::default() };
        let config = Config { forward, ..Config::default() };
        assert_eq!(config.validate().unwrap_err().name, "forward.buffer_size");
    }
}
