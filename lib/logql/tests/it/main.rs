//! The engine over recorded data and answers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code outside of test functions"
)]

mod conformance;
mod damage;
mod dataset;
mod source;
