//! What tests of the whole system share: a started `skald` process, an HTTP client, payloads.
//!
//! Requirements: nothing here waits by sleeping for a fixed time; everything polls for a state with a
//! deadline that is only ever reached when something is broken.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken assumption ends the test"
)]

pub mod etcd;
pub mod http;
pub mod payload;
pub mod peer;
pub mod process;
pub mod rng;
pub mod shrink;
pub mod wait;

pub use crate::etcd::Etcd;
pub use crate::http::{Client, Reply};
pub use crate::peer::Peer;
pub use crate::process::{Server, ServerBuilder};
pub use crate::wait::until;
