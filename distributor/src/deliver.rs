//! Stores what came by a protocol that has no way to say "again later": tried until it is stored or
//! refused for good. Whoever sent it waits so long, or its buffer fills.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::{Dropped, Protocol};
use crate::remote_write::{Context, Decoded};
use crate::service::Distributor;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Attempts after the order to stop.
const LAST_ATTEMPTS: u32 = 3;

/// How a body is read.
type Decode = Box<dyn Fn(&Context, &[u8]) -> Decoded + Send + Sync>;

/// A body and how to read it.
pub(crate) struct Job {
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
    pub(crate) decode: Decode,
}

/// What came of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// All of it is stored, but for what was refused for good and counted.
    Done,
    /// The process stops, or the time for it was over: some of it may not be stored.
    GivenUp,
}

// === impl Distributor ===

impl Distributor {
    /// Stores a job.
    pub(crate) async fn deliver(&self, tenant: &TenantId, job: Job, stop: &Shutdown) -> Delivered {
        let job = Arc::new(job);
        // Fixed, so that what has no time of its own is the same in every attempt.
        let received_ns = self.now_ns();
        let mut wait = FIRST_WAIT;
        let mut attempts_left = LAST_ATTEMPTS;
        loop {
            match self.attempt(tenant, &job, received_ns).await {
                Ok(()) => return Delivered::Done,
                Err(lines) if stop.is_triggered() => {
                    attempts_left -= 1;
                    if attempts_left == 0 {
                        self.count_dropped(job.protocol, Dropped::shutdown, lines.max(1));
                        return Delivered::GivenUp;
                    }
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.wait() => tokio::time::sleep(FIRST_WAIT).await,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Takes connections until `stop`, at most `max` at once, then waits for those that are open.
pub(crate) async fn serve<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    listener: &TcpListener,
    max: usize,
    stop: &Shutdown,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) {
    let slots = Arc::new(Semaphore::new(max));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let Some((stream, peer)) = accept(listener, stop).await else { break };
        let open = connection(stream, peer);
        skald_runtime::spawn(name, async move {
            open.await;
            drop(slot);
        });
    }
    // Each gives its place back when it is done.
    let _ = slots.acquire_many(u32::try_from(max).unwrap_or(u32::MAX)).await;
}

/// Reads what comes. Nothing: the connection ended, was quiet for `idle`, or it is time to stop.
pub(crate) async fn read<'b>(
    stream: &mut TcpStream,
    into: &'b mut [u8],
    idle: Duration,
    stop: &Shutdown,
) -> &'b [u8] {
    let n = tokio::select! {
        read = stream.read(into) => read.unwrap_or(0),
        () = tokio::time::sleep(idle), if !idle.is_zero() => 0,
        () = stop.wait() => 0,
    };
    into.get(..n).unwrap_or_default()
}

/// The next connection; `None` when it is time to stop.
async fn accept(listener: &TcpListener, stop: &Shutdown) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => return None,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                // Out of descriptors, most likely: let some close.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(FIRST_WAIT).await;
            }
        }
    }
}
