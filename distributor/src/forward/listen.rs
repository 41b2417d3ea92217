//! Connections of the forward protocol: messages are read one after the other, stored, acknowledged.

use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::budget::OverBudget;
use skald_runtime::{MemoryBudget, Shutdown};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::decode::{BadMessage, Message, decode_entries, message};
use super::msgpack::{Malformed, Scanner, ack};
use crate::config::ForwardConfig;
use crate::deliver::{self, Delivered, Job};
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
    let max = config.max_connections;
    let all = Connection {
        distributor,
        budget: MemoryBudget::new(config.buffer_size.0),
        unpacking: Arc::default(),
        config: Arc::new(config),
        tenant,
        stop: stop.clone(),
    };
    deliver::serve("forward", &listener, max, &stop, |stream, peer| {
        let connection = all.clone();
        async move {
            let Err(error) = connection.run(stream).await else { return };
            tracing::debug!(%peer, %error, "forward connection closed");
            let reason = match error {
                Closed::BadMessage(_) => Dropped::malformed,
                Closed::NoRoom(_) => Dropped::buffer_full,
            };
            connection.distributor.count_dropped(Protocol::fluent_forward, reason, 1);
        }
    })
    .await;
}

/// Why a connection is closed before the client does.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
    /// The client sends again what was not acknowledged.
    #[error("no room for its message (setting distributor.forward.buffer_size)")]
    NoRoom(#[from] OverBudget),
}

#[derive(Clone)]
struct Connection {
    distributor: Distributor,
    /// Of what all connections hold. Apart from that of pushes: what waits here until it is stored must not take the
    /// room that storing it needs.
    budget: MemoryBudget,
    /// Held by who unpacks, so that what is unpacked but not counted yet is one message at most.
    unpacking: Arc<Mutex<()>>,
    config: Arc<ForwardConfig>,
    tenant: TenantId,
    stop: Shutdown,
}

// === impl Connection ===

impl Connection {
    async fn run(&self, mut stream: TcpStream) -> Result<(), Closed> {
        let max = usize::try_from(self.config.max_message_size.0).unwrap_or(usize::MAX);
        let mut buf: Vec<u8> = Vec::new();
        let mut bytes = vec![0u8; READ_BYTES];
        let mut scanner = Scanner::new();
        let mut permit = self.budget.try_take(0)?;
        loop {
            let mut start = 0;
            while let Some(len) =
                scanner.end(buf.get(start..).unwrap_or_default(), max).map_err(BadMessage::from)?
            {
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
                // A long message leaves no memory behind that is not counted.
                buf.shrink_to(READ_BYTES);
                drop(permit);
                permit = self.budget.try_take(buf.len() as u64)?;
            }
            let idle = self.config.idle_timeout.0;
            let read = deliver::read(&mut stream, &mut bytes, idle, &self.stop).await;
            if read.is_empty() {
                return Ok(());
            }
            permit.grow(read.len() as u64)?;
            buf.extend_from_slice(read);
            if buf.len() > max.saturating_add(READ_BYTES) {
                return Err(BadMessage::from(Malformed::TooLong(max)).into());
            }
        }
    }

    /// Stores a message and answers what to reply, which may be nothing; `None` when it is not stored.
    async fn message(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Closed> {
        let max = usize::try_from(self.config.max_unpacked_size.0).unwrap_or(usize::MAX);
        let turn = self.unpacking.lock().await;
        let Some(Message { tag, chunk, entries }) = message(bytes, max)? else {
            return Ok(Some(Vec::new()));
        };
        let _held = self.budget.try_take(entries.len() as u64)?;
        drop(turn);
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
