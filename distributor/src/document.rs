//! JSON documents as entries: the model that all inputs but Loki's and OTLP share.
//!
//! A few fields are stream labels, one is the line, one the time, and the others are structured
//! metadata. A document without a message, or with more fields than structured metadata may have, is
//! kept whole as the line. Which fields those are, says a [`Shape`].

mod flatten;
mod intake;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use skald_limits::Limits;

pub(crate) use crate::loki::field_name;
pub(crate) use flatten::{Fields, MAX_PATH, flatten};
pub(crate) use intake::{Intake, Record};

/// Which fields of a document are what. Names are as [`field_name`] makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The first that is there is the time.
    pub(crate) time: Vec<String>,
    /// The first that is there and not empty is the line.
    pub(crate) message: Vec<String>,
    /// All that are there are stream labels.
    pub(crate) stream: Vec<String>,
    /// Fields that are left out.
    pub(crate) ignore: Vec<String>,
    /// Fields that every document gets, unless it has them.
    pub(crate) extra: Vec<(String, String)>,
}

// === impl Shape ===

impl Shape {
    /// What the tenant's limits say.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            time: names(&limits.document_time_fields),
            message: names(&limits.document_message_fields),
            stream: names(&limits.document_stream_fields),
            ..Self::default()
        }
    }

    /// This shape, with what `other` says instead where that says anything.
    pub(crate) fn with(mut self, other: Self) -> Self {
        let Self { time, message, stream, ignore, extra } = other;
        for (mine, theirs) in [
            (&mut self.time, time),
            (&mut self.message, message),
            (&mut self.stream, stream),
            (&mut self.ignore, ignore),
        ] {
            if !theirs.is_empty() {
                *mine = theirs;
            }
        }
        if !extra.is_empty() {
            self.extra = extra;
        }
        self
    }
}

fn names(list: &[String]) -> Vec<String> {
    list.iter().map(|name| field_name(Cow::Borrowed(name)).into_owned()).collect()
}
