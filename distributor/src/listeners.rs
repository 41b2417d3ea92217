//! Ports that are opened for shippers without HTTP: syslog and fluentd's forward, when they are configured.

use std::net::SocketAddr;

use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::service::Distributor;
use crate::{forward, syslog};

/// Why a port was not opened.
#[derive(Debug, thiserror::Error)]
#[error("listen on {addr} ({key})")]
pub struct ListenError {
    pub addr: String,
    pub key: &'static str,
    pub source: std::io::Error,
}

/// Open ports.
#[derive(Debug, Default)]
pub struct Listeners {
    pub syslog_tcp: Option<SocketAddr>,
    pub syslog_udp: Option<SocketAddr>,
    pub forward: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

// === impl Listeners ===

impl Listeners {
    /// Completes when all that was read is stored or given up, after the order to stop.
    pub async fn done(self) {
        for task in self.tasks {
            // A panic in there was logged where it happened.
            let _ = task.await;
        }
    }
}

// === impl Distributor ===

impl Distributor {
    /// Opens the ports that are configured and serves them until `stop`.
    pub async fn listen(&self, stop: &Shutdown) -> Result<Listeners, ListenError> {
        let mut open = Listeners::default();
        let (mine, config) = (self.clone(), self.config().syslog.clone());
        let tenant = tenant(&config.tenant);
        if !config.tcp_listen.is_empty() {
            let listener = tcp(&config.tcp_listen, "distributor.syslog.tcp_listen").await?;
            open.syslog_tcp = listener.local_addr().ok();
            let serve = syslog::serve_tcp(
                mine.clone(),
                listener,
                config.clone(),
                tenant.clone(),
                stop.clone(),
            );
            open.tasks.push(skald_runtime::spawn("syslog-tcp", serve));
        }
        if !config.udp_listen.is_empty() {
            let (addr, key) = (config.udp_listen.clone(), "distributor.syslog.udp_listen");
            let socket = UdpSocket::bind(&addr).await;
            let socket = socket.map_err(|source| ListenError { addr, key, source })?;
            open.syslog_udp = socket.local_addr().ok();
            let serve = syslog::serve_udp(mine.clone(), socket, config, tenant, stop.clone());
            open.tasks.push(skald_runtime::spawn("syslog-udp", serve));
        }
        let config = self.config().forward.clone();
        if !config.listen.is_empty() {
            let listener = tcp(&config.listen, "distributor.forward.listen").await?;
            open.forward = listener.local_addr().ok();
            let tenant = self::tenant(&config.tenant);
            let serve = forward::serve_forward(mine, listener, config, tenant, stop.clone());
            open.tasks.push(skald_runtime::spawn("forward", serve));
        }
        for (addr, key) in [
            (open.syslog_tcp, "distributor.syslog.tcp_listen"),
            (open.syslog_udp, "distributor.syslog.udp_listen"),
            (open.forward, "distributor.forward.listen"),
        ] {
            if let Some(addr) = addr {
                tracing::info!(%addr, key, "listening");
            }
        }
        Ok(open)
    }
}

async fn tcp(addr: &str, key: &'static str) -> Result<TcpListener, ListenError> {
    let failed = |source| ListenError { addr: addr.to_owned(), key, source };
    TcpListener::bind(addr).await.map_err(failed)
}

/// The configuration was checked.
fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap_or_else(|_| TenantId::single())
}
