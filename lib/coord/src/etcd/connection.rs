//! A connection to one endpoint, made when it is first used and again after it was dropped.

use std::time::Duration;

use parking_lot::Mutex;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::etcd::config::EtcdTls;
use crate::etcd::fault::{Fault, FaultKind};

/// While a call or a watch is open, a peer that is silent for both together is given up. etcd refuses clients
/// that ask more often than each 5 seconds.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest file with certificates that is read.
const MAX_PEM: u64 = 1 << 20;

pub(super) struct Connection {
    address: String,
    tls: EtcdTls,
    state: Mutex<State>,
    /// Held while connecting, so that many calls make one connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Of the connection made last; the first is 1.
    generation: u64,
    channel: Option<Channel>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(address: String, tls: EtcdTls) -> Self {
        Self { address, tls, state: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The connection and its generation. Cancel-safe.
    pub(super) async fn open(&self) -> Result<(u64, Channel), Fault> {
        if let Some(open) = self.state.lock().opened() {
            return Ok(open);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(open) = self.state.lock().opened() {
            return Ok(open);
        }
        let channel = self.connect().await?;
        let mut state = self.state.lock();
        state.generation += 1;
        state.channel = Some(channel.clone());
        Ok((state.generation, channel))
    }

    /// Forgets the connection of `generation`, if it is still that one.
    pub(super) fn drop_if(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.channel = None;
        }
    }

    async fn connect(&self) -> Result<Channel, Fault> {
        let endpoint = Endpoint::from_shared(self.address.clone())
            .map_err(|e| Fault::unsent(&e))?
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            // etcd takes pings without a call for an attack.
            .keep_alive_while_idle(false)
            .tcp_nodelay(true);
        let endpoint = if self.address.starts_with("https:") {
            let tls = client_tls(&self.tls).await?;
            endpoint.tls_config(tls).map_err(|e| Fault::unsent(&e))?
        } else {
            endpoint
        };
        endpoint.connect().await.map_err(|e| Fault::unsent(&e))
    }
}

// === impl State ===

impl State {
    fn opened(&self) -> Option<(u64, Channel)> {
        self.channel.clone().map(|channel| (self.generation, channel))
    }
}

async fn client_tls(tls: &EtcdTls) -> Result<ClientTlsConfig, Fault> {
    let mut config = ClientTlsConfig::new();
    config = match tls.ca_file.as_str() {
        "" => config.with_native_roots(),
        path => config.ca_certificate(Certificate::from_pem(read(path, "CERTIFICATE").await?)),
    };
    if !tls.cert_file.is_empty() {
        let chain = read(&tls.cert_file, "CERTIFICATE").await?;
        config = config.identity(Identity::from_pem(chain, read(&tls.key_file, "KEY").await?));
    }
    if !tls.server_name.is_empty() {
        config = config.domain_name(&tls.server_name);
    }
    Ok(config)
}

/// A PEM file that has at least one `what`.
async fn read(path: &str, what: &str) -> Result<Vec<u8>, Fault> {
    let failed = |text: &dyn std::fmt::Display| {
        Fault::new(FaultKind::Unsent, format_args!("file {path}: {text}"))
    };
    let size = tokio::fs::metadata(path).await.map_err(|e| failed(&e))?.len();
    if size > MAX_PEM {
        return Err(failed(&format_args!("{size} bytes are more than {MAX_PEM}")));
    }
    let bytes = tokio::fs::read(path).await.map_err(|e| failed(&e))?;
    let text = String::from_utf8_lossy(&bytes);
    if !text.lines().any(|l| l.starts_with("-----BEGIN ") && l.contains(what)) {
        return Err(failed(&format_args!("no {what} in PEM")));
    }
    Ok(bytes)
}
