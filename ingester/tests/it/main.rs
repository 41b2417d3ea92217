//! The ingester from outside: pushes, reads, flushes, crashes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod crash;
mod hammer;
mod limits;
mod push;
mod stored;
mod support;
mod view;
