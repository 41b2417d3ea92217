//! Connections of the forward protocol: messages are read one after the other, stored, acknowledged.

use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::decode::{BadMessage, Message, decode_entries, message};
use super::msgpack::{Malformed, Scanner, ack};
use crate::config::ForwardConfig;
use crate::deliver::{Delivered, Job};
use crate::metrics::{Dropped, Protocol};
use crate::remote_write::Context;
use crate::service::Distributor;

const READ_BYTES: usize = 64 << 10;

/// Takes connections until `stop`, then until those that are open have stored what they read.
pub(crate) async fn serve_forward(
    distributor: Distributor,
    listener: TcpListener,
    config: ForwardConfig,
    tenant: TenantId,
    stop: Shutdown,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let config = Arc::new(config);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let Some((stream, peer)) = crate::deliver::accept(&listener, &stop).await else { break };
        let connection = Connection {
            distributor: distributor.clone(),
            config: Arc::clone(&config),
            tenant: tenant.clone(),
            stop: stop.clone(),
        };
        skald_runtime::spawn("forward", async move {
            if let Err(error) = connection.run(stream).await {
                tracing::debug!(%peer, %error, "forward connection closed");
                connection.distributor.count_dropped(
                    Protocol::fluent_forward,
                    Dropped::malformed,
                    1,
                );
            }
            drop(slot);
        });
    }
    let all = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
    // Each gives its place back when it is done.
    let _ = slots.acquire_many(all).await;
}

struct Connection {
    distributor: Distributor,
    config: Arc<ForwardConfig>,
    tenant: TenantId,
    stop: Shutdown,
}

// === impl Connection ===

impl Connection {
    async fn run(&self, mut stream: TcpStream) -> Result<(), BadMessage> {
        let max = usize::try_from(self.config.max_message_size.0).unwrap_or(usize::MAX);
        let mut buf: Vec<u8> = Vec::new();
        let mut bytes = vec![0u8; READ_BYTES];
        let mut scanner = Scanner::new();
        // Messages are large: what is buffered counts with all pushes.
        let Ok(mut permit) = self.distributor.budget().try_take(0) else { return Ok(()) };
        loop {
            let mut start = 0;
            while let Some(len) = scanner.end(buf.get(start..).unwrap_or_default(), max)? {
                scanner = Scanner::new();
                let one = buf.get(start..start + len).unwrap_or_default();
                start += len;
                let Some(reply) = self.message(one).await? else { return Ok(()) };
                // A client that is gone sends the chunk again.
                if !reply.is_empty() && stream.write_all(&reply).await.is_err() {
                    return Ok(());
                }
            }
            if start > 0 {
                buf.drain(..start);
                drop(permit);
                // None left: the client sends again what was not acknowledged.
                let again = self.distributor.budget().try_take(buf.len() as u64);
                let Ok(taken) = again else { return Ok(()) };
                permit = taken;
            }
            let read = tokio::select! {
                read = stream.read(&mut bytes) => read.unwrap_or(0),
                () = self.stop.wait() => 0,
            };
            if read == 0 {
                return Ok(());
            }
            if permit.grow(read as u64).is_err() {
                return Ok(());
            }
            buf.extend_from_slice(bytes.get(..read).unwrap_or_default());
            if buf.len() > max.saturating_add(READ_BYTES) {
                return Err(Malformed::TooLong(max).into());
            }
        }
    }

    /// Stores a message and answers what to reply, which may be nothing; `None` when it is not stored.
    async fn message(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, BadMessage> {
        let max = usize::try_from(self.config.max_unpacked_size.0).unwrap_or(usize::MAX);
        let Some(Message { tag, chunk, entries }) = message(bytes, max)? else {
            return Ok(Some(Vec::new()));
        };
        let tag_label = self.config.tag_label.clone();
        let decode =
            move |ctx: &Context, entries: &[u8]| decode_entries(ctx, &tag, &tag_label, entries);
        let job =
            Job { protocol: Protocol::fluent_forward, body: entries, decode: Box::new(decode) };
        Ok(match self.distributor.deliver(&self.tenant, job, &self.stop).await {
            Delivered::Done => Some(chunk.as_deref().map(ack).unwrap_or_default()),
            Delivered::GivenUp => None,
        })
    }
}
