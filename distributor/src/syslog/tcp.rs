//! Syslog over TCP: what was read is stored before more is read, so a sender waits when storage does.

use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::net::{TcpListener, TcpStream};

use super::batch;
use super::frame::Framer;
use crate::config::SyslogConfig;
use crate::deliver::{self, Delivered};
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
    let config = Arc::new(config);
    deliver::serve("syslog", &listener, config.max_connections, &stop, |stream, peer| {
        let (distributor, config) = (distributor.clone(), Arc::clone(&config));
        let (tenant, stop) = (tenant.clone(), stop.clone());
        async move {
            let peer = peer.ip().to_canonical().to_string();
            connection(&distributor, stream, &peer, &config, &tenant, &stop).await;
        }
    })
    .await;
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
        let read = deliver::read(&mut stream, &mut bytes, config.idle_timeout.0, stop).await;
        framer.push(read);
        let mut body = Vec::new();
        while let Some(message) = framer.next() {
            batch::put(&mut body, peer, message);
        }
        if read.is_empty()
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
        if read.is_empty() {
            return;
        }
    }
}
