//! The two forms of an export.

use skald_blocks::{ExportLine, ExportWriter};
use skald_model::Chain;

use super::Line;
use crate::Error;
use crate::http::body::PIECE;
use crate::http::params::Params;
use crate::http::reply::Headers;
use crate::json::Json;

/// What the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Ndjson,
    Parquet,
}

/// Writes lines; keeps what is not finished.
#[derive(Debug)]
pub(super) enum Encoder {
    Ndjson,
    Parquet(Box<ExportWriter>),
}

/// What one call gave.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// For the next call; `None` when the end is written.
    pub(super) rest: Option<(Encoder, std::vec::IntoIter<Line>)>,
}

// === impl Format ===

impl Format {
    pub(super) fn of(params: &Params) -> Result<Self, Error> {
        match params.get("format") {
            None | Some("ndjson") => Ok(Self::Ndjson),
            Some("parquet") => Ok(Self::Parquet),
            Some(other) => {
                Err(Error::Invalid(format!("invalid format {other:?}; it is ndjson or parquet")))
            }
        }
    }

    pub(super) fn headers(self) -> Headers {
        match self {
            Self::Ndjson => Headers {
                content_type: "application/x-ndjson",
                disposition: "attachment; filename=\"lines.ndjson\"",
                may_be_packed: true,
            },
            Self::Parquet => Headers {
                content_type: "application/vnd.apache.parquet",
                disposition: "attachment; filename=\"lines.parquet\"",
                may_be_packed: false,
            },
        }
    }
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(format: Format) -> Result<Self, Error> {
        match format {
            Format::Ndjson => Ok(Self::Ndjson),
            Format::Parquet => Ok(Self::Parquet(Box::new(ExportWriter::new().map_err(failed)?))),
        }
    }

    /// Writes lines until there is a piece to send; behind the last line, the end.
    pub(super) fn write(
        mut self,
        mut lines: std::vec::IntoIter<Line>,
        is_last: bool,
    ) -> Result<Written, Error> {
        let mut bytes = Vec::new();
        while bytes.len() < PIECE {
            let Some(line) = lines.next() else { break };
            match &mut self {
                Self::Ndjson => bytes = ndjson(bytes, &line),
                Self::Parquet(writer) => {
                    writer.push(&parquet(&line)).map_err(failed)?;
                    bytes.append(&mut writer.take());
                }
            }
        }
        if !is_last || lines.len() > 0 {
            return Ok(Written { bytes, rest: Some((self, lines)) });
        }
        if let Self::Parquet(writer) = self {
            bytes.extend(writer.finish().map_err(failed)?);
        }
        Ok(Written { bytes, rest: None })
    }
}

fn ndjson(bytes: Vec<u8>, (labels, e): &Line) -> Vec<u8> {
    let mut json = Json::after(bytes);
    json.raw(r#"{"timestamp":""#).rfc3339_ns(e.timestamp_ns);
    json.raw(r#"","line":"#).string(&String::from_utf8_lossy(&e.line));
    json.raw(r#","labels":"#).labels(labels);
    json.raw(r#","structured_metadata":"#).labels(&e.structured_metadata);
    json.raw(r#","parsed":"#).labels(&e.parsed).raw("}\n");
    json.into_vec()
}

fn parquet((labels, e): &Line) -> ExportLine<'_> {
    ExportLine {
        timestamp_ns: e.timestamp_ns,
        line: &e.line,
        labels,
        structured_metadata: &e.structured_metadata,
        parsed: &e.parsed,
    }
}

fn failed(e: skald_blocks::Error) -> Error {
    Error::Internal(Chain(&e).to_string())
}
