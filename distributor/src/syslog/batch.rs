//! Messages that came together, as one body: `u8 length, sender, u32le length, message` each.

use std::borrow::Cow;

use super::message::{Message, parse};
use crate::document::{Intake, Shape};
use crate::loki::Pairs;
use crate::remote_write::{Context, Decoded};

/// Appends a message that `peer` sent.
pub(super) fn put(body: &mut Vec<u8>, peer: &str, message: &[u8]) {
    let (Ok(peer_len), Ok(len)) = (u8::try_from(peer.len()), u32::try_from(message.len())) else {
        debug_assert!(false, "messages are bounded by the framer");
        return;
    };
    body.push(peer_len);
    body.extend_from_slice(peer.as_bytes());
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(message);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (peer_len, tail) = rest.split_first()?;
    let (peer, tail) = tail.split_at_checked(usize::from(*peer_len))?;
    let (len, tail) = tail.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (message, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some((peer, message))
}

/// Decodes the messages of a body. `labels` are the fields that are stream labels.
pub(crate) fn decode_syslog(
    ctx: &Context,
    labels: &[String],
    zone_secs: i64,
    body: &[u8],
) -> Decoded {
    let mut intake = Intake::new(ctx, body, Shape::default());
    let mut rest = body;
    while let Some((peer, message)) = take(&mut rest) {
        let text = String::from_utf8_lossy(message);
        let peer = std::str::from_utf8(peer).unwrap_or_default();
        let message = parse(&text, ctx.now_ns, zone_secs);
        let ts = message.ts.unwrap_or_else(|| intake.undated());
        let (labels, metadata) = fields(&message, peer, labels);
        // What is refused is counted with its reason.
        let _ = intake.entry(labels, metadata, ts, message.text.as_bytes());
    }
    intake.finish()
}

/// Stream labels and structured metadata of a message.
fn fields(message: &Message<'_>, peer: &str, names: &[String]) -> (Pairs<'static>, Pairs<'static>) {
    let host = if message.host.is_empty() { peer } else { message.host };
    let (mut labels, mut metadata) = (Pairs::new(), Pairs::new());
    let mut add = |name: &str, value: &str| {
        if value.is_empty() {
            return;
        }
        let to = if names.iter().any(|n| n == name) { &mut labels } else { &mut metadata };
        to.push((Cow::Owned(name.to_owned()), Cow::Owned(value.to_owned())));
    };
    add("hostname", host);
    add("app_name", message.app);
    add("proc_id", message.proc_id);
    add("msg_id", message.msg_id);
    add("facility", message.facility);
    add("severity", message.severity);
    add("source_ip", peer);
    for (name, value) in &message.data {
        add(name, value);
    }
    (labels, metadata)
}
