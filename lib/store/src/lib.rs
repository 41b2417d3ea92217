//! Object storage for Skald: everything inside takes `Arc<dyn object_store::ObjectStore>`, and this crate makes one from a URL.
//!
//! Requirements: no component knows which backend it talks to; a backend is refused at start when it
//! lacks what the system needs (create-if-absent, ranged get, head, list, delete); anybody can bring
//! a backend by serving `skald.storage.v1` (docs/storage-plugin.md).
//!
//! | what | where |
//! | --- | --- |
//! | URL → store, options, start-up probe | [`open`], [`Options`], [`probe`] |
//! | plugin protocol: client, server | [`client::GrpcStore`], [`server::StorageService`], [`server::serve`] |
//! | reasons of failures, [`kind`](error::kind) of an `object_store::Error` | [`error`] |
//! | the behaviour every backend is held to | [`conformance::run`] |
//! | request counters for `/metrics` | [`metrics::CountingStore`] |
//! | ranges of blocks kept on local disk | [`disk::DiskCache`] |
//! | seeded faults, for tests | [`faulty::FaultyStore`] |

pub mod client;
pub mod conformance;
pub mod disk;
pub mod error;
pub mod faulty;
pub mod metrics;
pub mod open;
pub mod options;
pub mod probe;
pub mod server;
mod sized;
mod wire;

pub use crate::error::{Reason, ReasonError};
pub use crate::open::{OpenError, open};
pub use crate::options::Options;
pub use crate::probe::{ProbeError, probe};
