//! Syslog over TCP and UDP: RFC 5424 and RFC 3164 messages, by lines or octet counts.
//!
//! Nobody reads answers, so what TCP cannot deliver is not read from the socket until it can be: the
//! window closes and the sender waits. UDP has a bounded buffer; what does not fit is counted as dropped.

mod batch;
mod frame;
mod message;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use crate::config::SyslogConfig;
use crate::deliver::Job;
use crate::metrics::Protocol;
use crate::remote_write::{Context, Decoded};

use batch::decode_syslog;
pub(crate) use tcp::serve_tcp;
pub(crate) use udp::serve_udp;

/// What is delivered of a body that [`batch::put`] made.
fn job(protocol: Protocol, body: Vec<u8>, config: &SyslogConfig) -> Job {
    let (labels, zone_secs) = (config.stream_labels.clone(), config.zone_secs());
    let decode = move |ctx: &Context, body: &[u8]| decode_syslog(ctx, &labels, zone_secs, body);
    Job { protocol, body: body.into(), decode: Box::new(decode) }
}

/// Decodes all messages of a connection.
pub(crate) fn decode_stream(ctx: &Context, stream: &[u8]) -> Decoded {
    let mut framer = frame::Framer::new(1 << 10);
    let mut body = Vec::new();
    // In two reads, for messages that are cut anywhere.
    let (head, tail) = stream.split_at(stream.len() / 2);
    for part in [head, tail] {
        framer.push(part);
        while let Some(message) = framer.next() {
            batch::put(&mut body, "192.0.2.1", message);
        }
    }
    if let Some(message) = framer.last() {
        batch::put(&mut body, "192.0.2.1", message);
    }
    decode_syslog(ctx, &["hostname".to_owned()], 0, &body)
}
