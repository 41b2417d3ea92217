//! A whole cluster in one thread, from a seed: real components over a simulated network, simulated disks,
//! clocks and stores, with faults, and a checker that knows what was acknowledged.
//!
//! Requirements: one seed is one course of events, however often it is run; all that is real is the code
//! that ships; what is acknowledged is read, each once, by its tenant alone, and an answer under faults
//! is complete or an error.

pub mod clock;
pub mod faults;
pub mod keys;
pub mod ledger;
pub mod load;
pub mod net;
pub mod process;
pub mod remote;
pub mod run;
pub mod trace;
pub mod world;

pub use crate::run::{Options, Outcome, run};
