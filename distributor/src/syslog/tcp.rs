//! Syslog over TCP: what was read is stored before more is read, so a sender waits when storage does.

use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::batch;
use super::frame::Framer;
use crate::config::SyslogConfig;
use crate::deliver::Delivered;
use crate::metrics::{Dropped, Protocol};
use crate::service::Distributor;

/// Bytes that are asked for at once, and about how many make a batch.
const READ_BYTES: usize = 64 << 10;

/// Takes connections until `stop`, then until those that are open have stored what they read.
pub(crate) async fn serve_tcp(
    distributor: Distributor,
    listener: TcpListener,
    config: SyslogConfig,
    tenant: TenantId,
    stop: Shutdown,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let config = Arc::new(config);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let Some((stream, peer)) = crate::deliver::accept(&listener, &stop).await else { break };
        let (distributor, config) = (distributor.clone(), Arc::clone(&config));
        let (tenant, stop) = (tenant.clone(), stop.clone());
        skald_runtime::spawn("syslog", async move {
            let peer = peer.ip().to_canonical().to_string();
            connection(&distributor, stream, &peer, &config, &tenant, &stop).await;
            drop(slot);
        });
    }
    let all = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
    // Each gives its place back when it is done.
    let _ = slots.acquire_many(all).await;
}

async fn connection(
    distributor: &Distributor,
    mut stream: TcpStream,
    peer: &str,
    config: &SyslogConfig,
    tenant: &TenantId,
    stop: &Shutdown,
) {
    let max = usize::try_from(config.max_message_size.0).unwrap_or(usize::MAX);
    let mut framer = Framer::new(max);
    let mut bytes = vec![0u8; READ_BYTES];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut bytes) => read.unwrap_or(0),
            () = stop.wait() => 0,
        };
        framer.push(bytes.get(..read).unwrap_or_default());
        let mut body = Vec::new();
        while let Some(message) = framer.next() {
            batch::put(&mut body, peer, message);
        }
        if read == 0
            && let Some(message) = framer.last()
        {
            batch::put(&mut body, peer, message);
        }
        distributor.count_dropped(Protocol::syslog_tcp, Dropped::cut, framer.take_cut());
        if !body.is_empty() {
            let job = super::job(Protocol::syslog_tcp, body, config);
            if distributor.deliver(tenant, job, stop).await == Delivered::GivenUp {
                return;
            }
        }
        if read == 0 {
            return;
        }
    }
}
