//! Fluentd's forward protocol over TCP, version 1 without TLS and shared key: message, forward, packed
//! and compressed packed mode, with acknowledgements.
//!
//! A chunk is acknowledged once a quorum has it on stable storage. What is refused for good is
//! acknowledged and counted: sending it again would not help.

mod decode;
mod listen;
mod msgpack;
#[cfg(test)]
mod tests;

use crate::remote_write::Context;

pub(crate) use listen::serve_forward;

/// Decodes a message and its entries.
pub(crate) fn decode_message(ctx: &Context, bytes: &[u8]) {
    if let Ok(Some(message)) = decode::message(bytes, 1 << 20) {
        drop(decode::decode_entries(ctx, &message.tag, "tag", &message.entries));
    }
}
