//! `<data-dir>/addresses.json`: where this process listens, for scripts that let it pick free ports.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;
use skald_distributor::Listeners;

/// The chosen addresses, e.g. `{"http":"127.0.0.1:41234","grpc":"127.0.0.1:41235"}`.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) syslog_tcp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) syslog_udp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forward: Option<SocketAddr>,
}

impl Addresses {
    pub(crate) fn new(http: SocketAddr, grpc: SocketAddr, listeners: &Listeners) -> Self {
        let Listeners { syslog_tcp, syslog_udp, forward, .. } = *listeners;
        Self { http, grpc, syslog_tcp, syslog_udp, forward }
    }

    const FILE: &'static str = "addresses.json";

    /// Writes the file so that a reader sees all of it or none.
    pub(crate) fn write(&self, data_dir: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let temporary = data_dir.join("addresses.json.tmp");
        std::fs::write(&temporary, json)?;
        std::fs::rename(temporary, data_dir.join(Self::FILE))
    }

    /// Removes what an earlier process left, so that nobody connects to it.
    pub(crate) fn remove_stale(data_dir: &Path) {
        // Absent is the usual case; anything else shows when the file is written.
        let _ = std::fs::remove_file(data_dir.join(Self::FILE));
    }
}
