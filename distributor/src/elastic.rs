//! Elasticsearch's bulk protocol as Filebeat, Logstash, Fluent Bit and Vector speak it: the requests with
//! which they look whom they talk to, and `_bulk`, where every document gets a status of its own.

pub(crate) mod answer;
mod bulk;
pub(crate) mod handshake;
#[cfg(test)]
mod tests;

pub(crate) use bulk::{Item, decode_bulk};
