//! Lines to samples: one `(time, value)` per line that passes, gathered by series.
//!
//! Here is what a sample is made of and how its labels become those of its series; [`samples`] gathers
//! them, and [`windows`] says which times count.

mod samples;
mod windows;

pub(super) use self::samples::{SampleSet, Samples, too_many};
pub(super) use self::windows::Windows;
use std::sync::Arc;

use crate::ast::{Grouping, LogRange, RangeOp};
use crate::error::QueryError;
use crate::pipeline::hints::Hints;
use crate::pipeline::labels::{ERROR, PRESERVE_ERROR};
use crate::pipeline::unwrap::Unwrapper;
use crate::pipeline::{Pipeline, Work};
use crate::source::Fields;

/// What a sample is made of.
#[derive(Debug)]
enum Extractor {
    One,
    LineBytes,
    Label(Unwrapper),
}

/// How the labels of a sample become those of its series.
#[derive(Debug)]
pub(super) enum Group {
    All,
    /// Sorted, each once.
    By(Vec<String>),
    Without(Vec<String>),
}

/// A range of lines, compiled for taking samples.
#[derive(Debug)]
pub(super) struct Extraction {
    pub(super) pipeline: Pipeline,
    extractor: Extractor,
    group: Group,
    /// Whether lines with an error count: where labels are listed and a filter, or the list, names errors.
    keeps_errors: bool,
}

// === impl Group ===

impl Group {
    fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::By(names) => names.iter().any(|n| n == name),
            Self::Without(names) => !names.iter().any(|n| n == name),
        }
    }

    pub(super) fn new(grouping: Option<&Grouping>) -> Self {
        match grouping {
            None => Self::All,
            Some(g) if g.without => Self::Without(g.labels.clone()),
            Some(g) => {
                let mut names = g.labels.clone();
                names.sort_unstable();
                names.dedup();
                Self::By(names)
            }
        }
    }
}

// === impl Extraction ===

impl Extraction {
    /// `group` is that of the range aggregation, or of a `sum` that was pushed down into it.
    pub(super) fn new(op: RangeOp, range: &LogRange, group: Group) -> Result<Self, QueryError> {
        let mut pipeline = Pipeline::compile(&range.log)?;
        let extractor = match (&range.unwrap, op) {
            (Some(unwrap), _) => Extractor::Label(Unwrapper::new(unwrap)?),
            (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => Extractor::LineBytes,
            (None, _) => Extractor::One,
        };
        if !matches!(extractor, Extractor::LineBytes) {
            pipeline.drop_unused_line_formats();
        }
        let keeps_errors = match &group {
            Group::By(by) => {
                let mut named = by.iter().any(|name| name == ERROR);
                pipeline.needed_labels(&mut |name| named |= name == ERROR);
                if let Extractor::Label(unwrapper) = &extractor {
                    unwrapper.needed_labels(&mut |name| named |= name == ERROR);
                }
                named
            }
            _ => false,
        };
        if let Some(hints) = hints(&pipeline, &extractor, &group) {
            pipeline.set_hints(hints);
        }
        Ok(Self { pipeline, extractor, group, keeps_errors })
    }

    pub(super) fn needs_line(&self) -> bool {
        self.pipeline.reads_line() || matches!(self.extractor, Extractor::LineBytes)
    }

    /// All that is looked at of lines, when that is fields of theirs.
    pub(super) fn fields(&self) -> Option<Arc<Fields>> {
        let looks = matches!(self.extractor, Extractor::LineBytes);
        if looks { None } else { self.pipeline.fields().map(Arc::new) }
    }

    /// The metadata that may change a sample, where that is known. The text of an error shows more.
    pub(super) fn metadata(&self) -> Option<Arc<[String]>> {
        let mut names = self.pipeline.hints().fields()?.to_vec();
        if !self.pipeline.has_only_prefilters() {
            names.push(PRESERVE_ERROR.to_owned());
        }
        Some(names.into())
    }

    /// Whether times of entries are all that is needed once it is known that lines contain the needles.
    pub(super) fn takes_times(&self) -> bool {
        matches!(self.extractor, Extractor::One) && self.pipeline.looks_for_needles()
    }

    /// The sample of a line that no stage changes.
    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn plain_value(&self, entry: &skald_model::LogEntry) -> f64 {
        if matches!(self.extractor, Extractor::LineBytes) { entry.line.len() as f64 } else { 1.0 }
    }

    /// Whether samples are only ever added up.
    fn is_additive(&self) -> bool {
        !matches!(self.extractor, Extractor::Label(_))
    }

    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn value(&self, work: &mut Work, entry: &skald_model::LogEntry) -> Option<f64> {
        match &self.extractor {
            Extractor::One => Some(1.0),
            Extractor::LineBytes => Some(work.line_len(entry) as f64),
            Extractor::Label(unwrapper) => unwrapper.value(&mut work.labels),
        }
    }
}

/// The fields that matter when the series keeps only some labels.
fn hints(pipeline: &Pipeline, extractor: &Extractor, group: &Group) -> Option<Hints> {
    let Group::By(by) = group else { return None };
    let mut names = by.clone();
    let mut known = pipeline.needed_labels(&mut |name| names.push(name.to_owned()));
    if let Extractor::Label(unwrapper) = extractor {
        unwrapper.needed_labels(&mut |name| names.push(name.to_owned()));
    }
    // Someone asks for all labels by name only when it is known which.
    known &= !names.iter().any(String::is_empty);
    known.then(|| Hints::only(names))
}
