//! The querier as its clients see it, over ingesters that the test commands and real blocks.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod cluster;
mod delete_series;
mod deletes;
mod explain;
mod export;
mod fake;
mod fanout;
mod frontend;
mod http;
mod loki;
mod packed;
mod paging;
mod prometheus;
mod requests;
mod tail;
mod tenancy;
mod world;
