//! What a tenant asked to have deleted, and who asked: one line of the log each, with the target `audit`.
//!
//! Compactors write the line that says that a request was carried out.

use std::net::SocketAddr;

use http::{Extensions, HeaderMap};
use skald_catalog::{DeleteRequest, Signal, deleted_times};
use skald_model::TenantId;
use tracing::info;

/// Headers in which proxies and Grafana say who asks; the first that is there counts.
const USERS: [&str; 3] = ["x-forwarded-user", "x-grafana-user", "x-remote-user"];
/// Longest name of somebody in the log, in bytes.
const MAX_NAME: usize = 256;

/// Who is at the other end of a connection: an extension of requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asks, as far as anybody says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    /// By a header, which is as good as whoever sets it.
    user: String,
    peer: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Requested,
    Withdrawn,
}

// === impl Who ===

impl Who {
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let user = USERS.iter().find_map(|name| header(name)).unwrap_or("");
        let user = user[..user.floor_char_boundary(MAX_NAME)].to_owned();
        let peer = extensions.get().map_or_else(String::new, |Peer(peer)| peer.to_string());
        Self { user, peer }
    }
}

/// Writes the line.
pub(crate) fn log(
    event: Event,
    outcome: &str,
    tenant: &TenantId,
    who: &Who,
    request: &DeleteRequest,
) {
    let of_samples = request.signal() == Signal::Metrics;
    let times = deleted_times(request);
    info!(
        target: "audit",
        event = match event {
            Event::Requested => "delete_requested",
            Event::Withdrawn => "delete_withdrawn",
        },
        outcome,
        %tenant,
        user = who.user,
        peer = who.peer,
        id = request.id,
        deletes = if of_samples { "samples" } else { "lines" },
        query = request.query,
        // Samples have milliseconds, lines nanoseconds.
        start = times.start,
        end = times.end.saturating_sub(1),
        "audit"
    );
}
