//! Syslog over UDP: datagrams go into a bounded buffer, and from there to storage in batches.

use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::batch;
use crate::config::SyslogConfig;
use crate::metrics::{Dropped, Protocol};
use crate::service::Distributor;

/// The largest datagram there can be.
const MAX_DATAGRAM: usize = 64 << 10;

/// Datagrams that wait for storage.
#[derive(Debug, Default)]
struct Waiting {
    body: Mutex<Vec<u8>>,
    came: Notify,
}

/// Receives until `stop`, then stores what waits.
pub(crate) async fn serve_udp(
    distributor: Distributor,
    socket: UdpSocket,
    config: SyslogConfig,
    tenant: TenantId,
    stop: Shutdown,
) {
    let waiting = Arc::new(Waiting::default());
    let (mine, ours) = (Arc::clone(&waiting), distributor.clone());
    let (settings, done) = (config.clone(), stop.clone());
    let store = skald_runtime::spawn("syslog-udp", async move {
        loop {
            tokio::select! {
                () = mine.came.notified() => {}
                () = done.wait() => {}
            }
            let body = std::mem::take(&mut *mine.body.lock());
            if !body.is_empty() {
                let job = super::job(Protocol::syslog_udp, body, &settings);
                ours.deliver(&tenant, job, &done).await;
            } else if done.is_triggered() {
                return;
            }
        }
    });
    receive(&distributor, &socket, &config, &waiting, &stop).await;
    waiting.came.notify_one();
    // A panic in there was logged where it happened.
    let _ = store.await;
}

async fn receive(
    distributor: &Distributor,
    socket: &UdpSocket,
    config: &SyslogConfig,
    waiting: &Waiting,
    stop: &Shutdown,
) {
    let capacity = usize::try_from(config.udp_buffer_size.0).unwrap_or(usize::MAX);
    let max = usize::try_from(config.max_message_size.0).unwrap_or(usize::MAX);
    let mut datagram = vec![0u8; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            () = stop.wait() => return,
        };
        // An error is about some earlier sender, or memory: the next call may do.
        let Ok((len, peer)) = received else { continue };
        let message = datagram.get(..len.min(max)).unwrap_or_default();
        if len > max {
            distributor.count_dropped(Protocol::syslog_udp, Dropped::cut, 1);
        }
        let peer = peer.ip().to_canonical().to_string();
        let is_taken = {
            let mut body = waiting.body.lock();
            let fits = body.len() + message.len() + peer.len() <= capacity;
            if fits {
                batch::put(&mut body, &peer, message);
            }
            fits
        };
        if is_taken {
            waiting.came.notify_one();
        } else {
            distributor.count_dropped(Protocol::syslog_udp, Dropped::buffer_full, 1);
        }
    }
}
