//! How roles talk: one trait for an ingester, in this process or behind gRPC, and the error table that all edges share.
//!
//! Requirements: a caller cannot tell a local ingester from a remote one but by latency; errors keep
//! their [`ErrorKind`](skald_model::ErrorKind) over the wire; every call has a deadline.

mod client;
mod convert;
mod error;
mod incarnation;
pub mod ingester;
mod readable;
mod server;
pub mod status;

pub use crate::client::{Clients, RemoteIngester};
pub use crate::error::RpcError;
pub use crate::incarnation::{Gate, Incarnation};
pub use crate::ingester::IngesterApi;
pub use crate::readable::Readable;
pub use crate::server::IngesterService;
