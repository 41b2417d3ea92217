//! Decodes OTLP exports of logs, protobuf and JSON, into one logs batch per partition.
//!
//! A resource is a stream: some of its attributes are labels, as the tenant's `otlp_config` says. All
//! other attributes, of resource, scope and record, are structured metadata. Both forms are read into
//! the same borrowed pieces ([`value::Any`], [`record::Record`]) and go through the same mapping.

pub(crate) mod answer;
mod attributes;
mod json;
mod proto;
mod record;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use json::decode_json;
pub(crate) use proto::decode_proto;

/// Lists and maps within each other that a value may have.
const MAX_DEPTH: usize = 64;
/// Values of one resource, scope or record, all together.
const MAX_VALUES: usize = 1 << 16;
