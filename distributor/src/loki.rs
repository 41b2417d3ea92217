//! Decodes Loki pushes, protobuf and JSON, into one logs batch per partition.
//!
//! Streams and entries are checked one by one; what is valid goes on, the rest is refused with the texts
//! that operators of Loki know. The stream label `service_name` and the structured metadata
//! `detected_level` are added here.

mod json;
mod labels;
mod level;
mod proto;
mod sink;
#[cfg(test)]
mod tests;
mod text;

use crate::wire::Malformed;

pub(crate) use json::decode_json;
pub(crate) use labels::{
    Pairs, SERVICE_NAME, field_name, labels_of_json, labels_of_pairs, labels_of_text,
};
pub(crate) use proto::decode_proto;
pub(crate) use sink::{Entry, Sink, Stream};

/// Why a push cannot be read as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Json(String),
    #[error("error at least one valid stream is required for ingestion")]
    NoStreams,
    #[error("stream labels of {0} bytes exceed the limit of 16777216")]
    LabelsTooLong(usize),
}

/// Longest label text of a stream that is looked at.
const MAX_LABELS_TEXT: usize = 16 << 20;
