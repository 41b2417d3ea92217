//! The configuration tree and where its values come from.
//!
//! Order: defaults ← `--config.file` (YAML) ← environment `SKALD_INGESTER__FLUSH_INTERVAL` ← flags and
//! `--set ingester.flush_interval=…`. An unknown key is an error that names key and origin.

mod cluster;
mod merge;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skald_coord::{EtcdConfig, Timing};
use skald_limits::Limits;
use skald_ring::Partition;
use skald_runtime::{HumanDuration, trace};

use crate::cli::Options;

/// Everything that can be set. Each part is documented where it is defined and in docs/configuration.md.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Roles of this process: `all`, or a comma list of distributor, ingester, querier, compactor, storage. Default all.
    pub(crate) target: String,
    /// Directory of the WAL and, unless `storage.url` says otherwise, of the blocks. Default ./data.
    pub(crate) data_dir: PathBuf,
    /// Address of the HTTP API; port 0 picks a free one. Default 127.0.0.1:3100.
    pub(crate) http_listen: String,
    /// Address of the gRPC services; port 0 picks a free one. Default 127.0.0.1:9095.
    pub(crate) grpc_listen: String,
    pub(crate) server: ServerConfig,
    pub(crate) log: LogConfig,
    pub(crate) auth: AuthConfig,
    pub(crate) storage: StorageConfig,
    pub(crate) cluster: ClusterConfig,
    /// Default limits of every tenant.
    pub(crate) limits: Limits,
    pub(crate) overrides: OverridesConfig,
    pub(crate) distributor: skald_distributor::Config,
    pub(crate) ingester: skald_ingester::Config,
    pub(crate) querier: skald_querier::Config,
    pub(crate) compactor: skald_compactor::Config,
    pub(crate) catalog: skald_catalog::Config,
    pub(crate) cache: skald_store::disk::Config,
}

/// How HTTP is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// Open connections, HTTP and gRPC each; more wait in the kernel's queue. Default 10000.
    pub(crate) max_connections: usize,
    /// Time in which a request's headers must arrive. Default 10s.
    pub(crate) header_timeout: HumanDuration,
    /// Time in which a request's body must arrive; pushes have `distributor.body_timeout`, which answers kinder. Default 1m.
    pub(crate) body_timeout: HumanDuration,
    /// Time that requests in flight get at shutdown. Default 20s.
    pub(crate) shutdown_timeout: HumanDuration,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// A level, or directives such as `skald_wal=debug,info`. The environment variable SKALD_LOG wins. Default info.
    pub(crate) level: String,
    /// `text` or `json`. Default text.
    pub(crate) format: trace::Format,
}

/// Who may ask, and for which tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthConfig {
    /// `none`: one tenant, `default`, and the header is ignored. `trusted-proxy`: the tenant is in `X-Scope-OrgID`. Default none.
    pub(crate) mode: AuthMode,
    /// Listen beyond loopback although `mode` is none. Default false.
    pub(crate) allow_unauthenticated: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AuthMode {
    #[default]
    None,
    TrustedProxy,
}

/// Where blocks and manifests live.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageConfig {
    /// `file:///dir`, `memory://`, `s3://bucket/prefix`, `grpc://host:port`. Default file://<data_dir>/store.
    pub(crate) url: String,
    /// Options of the backends.
    pub(crate) options: skald_store::Options,
    /// How the role `storage` and `skald storage serve` offer the store to others.
    pub(crate) server: skald_store::server::Config,
}

/// The other processes, when there are any.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterConfig {
    /// Name of the cluster: all its keys in etcd begin with it. Default skald.
    pub(crate) name: String,
    /// Stable name of this ingester, e.g. ingester-zone-a-3. Default ingester-0.
    pub(crate) replica_id: String,
    /// Failure domain of this process. The replicas of a partition are in different ones. Default none.
    pub(crate) zone: String,
    /// Partition of this ingester. Default: the number at the end of `replica_id`.
    pub(crate) partition: Option<u32>,
    /// Ingesters that hold each partition: 1 or 3, the same for all processes. Default 1.
    pub(crate) replication_factor: usize,
    /// `host:port` at which others reach gRPC here. Default: where it listens.
    pub(crate) advertise: String,
    /// Where the cluster agrees on who is who; no endpoints = no etcd.
    pub(crate) etcd: EtcdConfig,
    /// Leases and looks.
    pub(crate) timing: Timing,
    /// Without etcd, partitions with their replicas; empty = one partition held by the ingester in this process.
    /// Each: `{id, state: active|readonly|pending, replicas: [{id, addr, zone}]}`.
    pub(crate) partitions: Vec<Partition>,
    /// Deadline of calls between roles. Default 2m.
    pub(crate) rpc_timeout: HumanDuration,
}

/// Per-tenant limits that differ from `limits`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OverridesConfig {
    /// YAML file `overrides: {tenant: {limit: value}}`; empty = none.
    pub(crate) file: PathBuf,
    /// How often the file is looked at. Default 10s.
    pub(crate) period: HumanDuration,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("{origin}: {message}")]
    Bad { origin: String, message: String },
    #[error("unknown key {key:?} from {origin}")]
    UnknownKey { key: String, origin: String },
    #[error("{key}: {message}")]
    Invalid { key: &'static str, message: String },
}

// === impl Default ===

impl Default for Config {
    fn default() -> Self {
        Self {
            target: "all".to_owned(),
            data_dir: PathBuf::from("./data"),
            http_listen: "127.0.0.1:3100".to_owned(),
            grpc_listen: "127.0.0.1:9095".to_owned(),
            server: ServerConfig::default(),
            log: LogConfig::default(),
            auth: AuthConfig::default(),
            storage: StorageConfig::default(),
            cluster: ClusterConfig::default(),
            limits: Limits::default(),
            overrides: OverridesConfig::default(),
            distributor: skald_distributor::Config::default(),
            ingester: skald_ingester::Config::default(),
            querier: skald_querier::Config::default(),
            compactor: skald_compactor::Config::default(),
            catalog: skald_catalog::Config::default(),
            cache: skald_store::disk::Config::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: HumanDuration::from_secs(10),
            body_timeout: HumanDuration::from_secs(60),
            shutdown_timeout: HumanDuration::from_secs(20),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: trace::Format::Text }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { mode: AuthMode::None, allow_unauthenticated: false }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            name: "skald".to_owned(),
            replica_id: "ingester-0".to_owned(),
            zone: String::new(),
            partition: None,
            replication_factor: 1,
            advertise: String::new(),
            etcd: EtcdConfig::default(),
            timing: Timing::default(),
            partitions: Vec::new(),
            rpc_timeout: HumanDuration::from_secs(120),
        }
    }
}

impl Default for OverridesConfig {
    fn default() -> Self {
        Self { file: PathBuf::new(), period: HumanDuration::from_secs(10) }
    }
}

// === impl Config ===

impl Config {
    /// Reads file, environment and flags over the defaults and checks the result.
    pub(crate) fn load(
        options: &Options,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut tree = to_tree(&Self::default())?;
        if let Some(path) = &options.config_file {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: origin.clone(), source })?;
            let text = if options.expand_env { merge::expand_env(&text)? } else { text };
            merge::overlay_yaml(&mut tree, &text, &origin)?;
        }
        merge::overlay_env(&mut tree, env)?;
        for (key, value, origin) in &options.set {
            merge::set(&mut tree, key, value, origin)?;
        }
        let config: Self = serde_json::from_value(tree).map_err(|e| ConfigError::Bad {
            origin: "configuration".to_owned(),
            message: e.to_string(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as YAML, secrets left out.
    pub(crate) fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(self).map_err(|e| ConfigError::Bad {
            origin: "configuration".to_owned(),
            message: e.to_string(),
        })
    }

    /// What can be said without opening anything.
    fn validate(&self) -> Result<(), ConfigError> {
        let roles = self.roles()?;
        let (syslog, forward) = (&self.distributor.syslog, &self.distributor.forward);
        // Those of syslog and forward have no tenant of their own either.
        let optional = [
            ("distributor.syslog.tcp_listen", &syslog.tcp_listen),
            ("distributor.syslog.udp_listen", &syslog.udp_listen),
            ("distributor.forward.listen", &forward.listen),
        ];
        let always = [("http_listen", &self.http_listen), ("grpc_listen", &self.grpc_listen)];
        let all = always.into_iter().chain(optional.into_iter().filter(|(_, a)| !a.is_empty()));
        for (key, addr) in all {
            let addr: SocketAddr = addr.parse().map_err(|_| ConfigError::Invalid {
                key,
                message: format!("{addr:?} is not an address such as 127.0.0.1:3100"),
            })?;
            let open = self.auth.mode == AuthMode::None && !self.auth.allow_unauthenticated;
            // gRPC between roles needs no tenant; who can reach it can do everything, so it is guarded alike.
            if open && !addr.ip().is_loopback() {
                return Err(ConfigError::Invalid {
                    key,
                    message: format!(
                        "{addr} is reachable from elsewhere but auth.mode is none; set auth.mode, \
                         or auth.allow_unauthenticated=true if that is meant"
                    ),
                });
            }
        }
        let invalid = |key| move |e: String| ConfigError::Invalid { key, message: e };
        self.limits.validate().map_err(|e| invalid("limits")(e.to_string()))?;
        self.distributor.validate().map_err(|e| invalid("distributor")(e.to_string()))?;
        self.ingester.validate().map_err(|e| invalid("ingester")(e.to_string()))?;
        self.querier.validate().map_err(|e| invalid("querier")(e.to_string()))?;
        self.compactor.validate().map_err(|e| invalid("compactor")(e.to_string()))?;
        self.cache.validate().map_err(|e| invalid("cache")(e.to_string()))?;
        self.cluster.validate(roles, &self.grpc_listen)
    }

    /// The roles in `target`.
    pub(crate) fn roles(&self) -> Result<Roles, ConfigError> {
        let mut roles = Roles::default();
        for word in self.target.split(',').map(str::trim) {
            match word {
                "all" => {
                    roles.distributor = true;
                    roles.ingester = true;
                    roles.querier = true;
                    roles.compactor = true;
                }
                "distributor" => roles.distributor = true,
                "ingester" => roles.ingester = true,
                "querier" => roles.querier = true,
                "compactor" => roles.compactor = true,
                "storage" => roles.storage = true,
                other => {
                    let message = format!(
                        "unknown role {other:?}; known: all, distributor, ingester, querier, compactor, storage"
                    );
                    return Err(ConfigError::Invalid { key: "target", message });
                }
            }
        }
        Ok(roles)
    }

    /// The URL of the store, with its default.
    pub(crate) fn storage_url(&self) -> String {
        if !self.storage.url.is_empty() {
            return self.storage.url.clone();
        }
        let dir = self.data_dir.join("store");
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        format!("file://{}", dir.display())
    }
}

/// Which roles run in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) distributor: bool,
    pub(crate) ingester: bool,
    pub(crate) querier: bool,
    pub(crate) compactor: bool,
    pub(crate) storage: bool,
}

impl Roles {
    /// Whether every role that touches a tenant's data is here, so that no other process reads or writes it.
    pub(crate) fn is_whole(self) -> bool {
        self.distributor && self.ingester && self.querier && self.compactor
    }

    /// Their words in `target`.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.distributor, "distributor"),
            (self.ingester, "ingester"),
            (self.querier, "querier"),
            (self.compactor, "compactor"),
            (self.storage, "storage"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }

    pub(crate) fn needs_cluster(self) -> bool {
        (self.distributor || self.querier) && !self.ingester
    }
}

/// The configuration as a tree for merging; secrets keep their places but not their values.
fn to_tree(config: &Config) -> Result<Value, ConfigError> {
    serde_json::to_value(config)
        .map_err(|e| ConfigError::Bad { origin: "defaults".to_owned(), message: e.to_string() })
}

#[cfg(test)]
mod tests;
