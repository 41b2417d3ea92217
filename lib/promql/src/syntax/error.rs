//! Where and why a text is not a query.

use std::fmt;

/// Shows as `line:column: parse error: …`, columns counted in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line and column from 1; `None` in an empty query.
    pub position: Option<(usize, usize)>,
    pub message: String,
}

// === impl ParseError ===

impl ParseError {
    pub(super) fn at(query: &str, offset: usize, message: impl Into<String>) -> Self {
        Self { position: line_column(query, offset), message: message.into() }
    }
}

/// The line and column of a byte offset.
pub(crate) fn line_column(query: &str, offset: usize) -> Option<(usize, usize)> {
    if query.is_empty() {
        return None;
    }
    let before = query.as_bytes().get(..offset).unwrap_or(query.as_bytes());
    let line = before.iter().filter(|c| **c == b'\n').count() + 1;
    let line_start = before.iter().rposition(|c| *c == b'\n').map_or(0, |at| at + 1);
    Some((line, before.len() - line_start + 1))
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
