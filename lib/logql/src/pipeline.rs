//! Compiled pipelines: what happens to each line.
//!
//! Line filters at the front, and those that may be moved there, run over the stored bytes before
//! anything else; only lines that pass get a [`LabelSet`]. A filter moves over parsers,
//! `label_format`, `drop`, `keep` and `decolorize`, not over label filters, `line_format` and
//! `unpack`. All buffers live in [`Work`] and are reused.

mod condition;
mod field_test;
mod format;
pub(crate) mod hints;
pub(crate) mod ip;
mod json;
mod json_path;
pub mod labels;
mod line_filter;
mod logfmt;
mod parsers;
mod pattern;
mod probe;
mod prune;
#[cfg(test)]
mod tests;
pub(crate) mod unwrap;

use std::borrow::Cow;

use bytes::Bytes;
use skald_model::{Labels, LogEntry, StreamEntries};

pub(crate) use self::condition::Condition;
pub use self::field_test::{FieldTest, FieldTester};
use self::format::{LabelFormats, LineFormat};
use self::hints::Hints;
use self::labels::{Category, LabelSet};
use self::line_filter::LineMatcher;
use self::parsers::Parser;
use self::probe::{Probe, Tally};
use self::prune::Prune;
use crate::ast::{LogExpr, Stage};
use crate::error::ParseError;
use crate::result::{ResultEntry, ResultStream};

#[derive(Debug)]
enum Step {
    Line(LineMatcher),
    Parse(Parser),
    Filter(Condition),
    LineFormat(LineFormat),
    LabelFormat(LabelFormats),
    Prune(Prune),
    Decolorize(regex::Regex),
}

/// The stages of a log expression, compiled.
#[derive(Debug)]
pub struct Pipeline {
    prefilters: Vec<LineMatcher>,
    steps: Vec<Step>,
    needles: Vec<Bytes>,
    hints: Hints,
    /// Only where all labels are extracted.
    probe: Option<Probe>,
}

/// The state of a line on its way, and the buffers for it. One per thread, reused.
#[derive(Debug, Default)]
pub struct Work {
    pub(crate) labels: LabelSet,
    /// The line when a stage has changed it.
    line: Vec<u8>,
    replaced: bool,
    buffers: Buffers,
    tally: Tally,
}

/// Scratch space of the stages.
#[derive(Debug, Default)]
struct Buffers {
    name: String,
    value: String,
    lens: Vec<usize>,
    out: Vec<u8>,
}

/// Checks that a stage can be compiled.
pub(crate) fn compile_stage(stage: &Stage) -> Result<(), String> {
    if matches!(stage, Stage::Distinct(_)) { Ok(()) } else { step(stage).map(drop) }
}

fn step(stage: &Stage) -> Result<Step, String> {
    Ok(match stage {
        Stage::LineFilter(filter) => Step::Line(LineMatcher::new(filter)?),
        Stage::LabelFilter(filter) => Step::Filter(Condition::new(filter)?),
        Stage::LineFormat(text) => Step::LineFormat(LineFormat::new(text)?),
        Stage::LabelFormat(formats) => Step::LabelFormat(LabelFormats::new(formats)?),
        Stage::Drop(names) => Step::Prune(Prune::drop(names)),
        Stage::Keep(names) => Step::Prune(Prune::keep(names)),
        Stage::Decolorize => Step::Decolorize(format::ansi()?),
        Stage::Json(_)
        | Stage::Logfmt { .. }
        | Stage::Regexp(_)
        | Stage::Pattern(_)
        | Stage::Unpack => Step::Parse(Parser::new(stage)?),
        // About all lines that pass, not one: whoever reads a whole range applies it.
        Stage::Distinct(_) => {
            return Err("distinct is for log queries over a range of time only".to_owned());
        }
    })
}

// === impl Pipeline ===

impl Pipeline {
    /// Compiles the stages of `log`, which has no `distinct`. All labels are extracted.
    pub fn compile(log: &LogExpr) -> Result<Self, ParseError> {
        Self::of_stages(&log.stages)
    }

    pub(crate) fn of_stages(stages: &[Stage]) -> Result<Self, ParseError> {
        let mut out = Self {
            prefilters: Vec::new(),
            steps: Vec::new(),
            needles: Vec::new(),
            hints: Hints::All,
            probe: None,
        };
        // Where a moved line filter is put: behind the last stage it may not pass.
        let mut barrier = 0;
        let mut line_changed = false;
        for stage in stages {
            match step(stage).map_err(ParseError::whole)? {
                Step::Line(filter) => {
                    if !line_changed {
                        out.needles.extend_from_slice(filter.needles());
                    }
                    if barrier == 0 {
                        out.prefilters.push(filter);
                    } else {
                        out.steps.insert(barrier, Step::Line(filter));
                        barrier += 1;
                    }
                }
                step => {
                    let changes = matches!(stage, Stage::LineFormat(_) | Stage::Unpack);
                    line_changed |= changes;
                    let stops = changes || matches!(step, Step::Filter(_));
                    out.steps.push(step);
                    if stops {
                        barrier = out.steps.len();
                    }
                }
            }
        }
        out.needles.sort_by_key(|n| std::cmp::Reverse(n.len()));
        out.needles.dedup();
        out.probe = Probe::of(&out.steps);
        Ok(out)
    }

    /// Removes the `line_format` stages whose line nobody looks at, for samples that are not lengths.
    pub(crate) fn drop_unused_line_formats(&mut self) {
        let looks = |step: &Step| match step {
            Step::Parse(_) | Step::Line(_) => true,
            Step::LabelFormat(formats) => formats.reads_line(),
            _ => false,
        };
        let last = self.steps.iter().rposition(looks);
        let mut i = 0;
        self.steps.retain(|step| {
            let unused = matches!(step, Step::LineFormat(_)) && last.is_none_or(|last| i > last);
            i += 1;
            !unused
        });
        self.probe = Probe::of(&self.steps);
    }

    pub(crate) fn set_hints(&mut self, hints: Hints) {
        self.hints = hints;
        // Little more is extracted than a first look would.
        self.probe = None;
    }

    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// What every stored line that passes contains, longest first.
    pub fn needles(&self) -> &[Bytes] {
        &self.needles
    }

    /// Whether every line passes.
    pub(crate) fn keeps_all(&self) -> bool {
        self.prefilters.is_empty()
            && !self.steps.iter().any(|s| matches!(s, Step::Line(_) | Step::Filter(_)))
    }

    /// Whether lines are dropped that a source could not have known.
    pub(crate) fn drops_behind_stages(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Line(_) | Step::Filter(_)))
    }

    pub(crate) fn has_only_prefilters(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn prefilters_match(&self, line: &[u8]) -> bool {
        self.prefilters.iter().all(|f| f.matches(line))
    }

    /// Whether any stage looks at or changes the line.
    pub(crate) fn reads_line(&self) -> bool {
        !self.prefilters.is_empty() || self.steps_read_line()
    }

    fn steps_read_line(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Filter(_) | Step::Prune(_) => false,
            Step::Parse(_) => !self.hints.skips_parsing(),
            Step::Line(_) | Step::LineFormat(_) | Step::LabelFormat(_) | Step::Decolorize(_) => {
                true
            }
        })
    }

    /// Whether of lines only this is looked at: that they contain the needles.
    pub(crate) fn looks_for_needles(&self) -> bool {
        self.prefilters.iter().all(LineMatcher::is_needle) && !self.steps_read_line()
    }

    /// As [`process`](Self::process), of an entry whose line is known to contain the needles; it is not
    /// looked at where [`looks_for_needles`](Self::looks_for_needles).
    pub(crate) fn process_found(&self, work: &mut Work, entry: &LogEntry) -> bool {
        work.labels.start_entry(&entry.metadata);
        work.replaced = false;
        self.steps.iter().all(|step| Self::step(step, &self.hints, work, entry))
    }

    /// Whether labels depend on stream and metadata alone, so that they can be looked up.
    pub(crate) fn labels_follow_metadata(&self) -> bool {
        !self
            .steps
            .iter()
            .any(|step| matches!(step, Step::Parse(_) | Step::LabelFormat(_) | Step::LineFormat(_)))
    }

    /// Calls `name` with each label that conditions and templates look at; `false` when that is unknowable.
    pub(crate) fn needed_labels(&self, name: &mut impl FnMut(&str)) -> bool {
        let mut known = true;
        for step in &self.steps {
            match step {
                Step::Filter(condition) => condition.names(&mut |n| name(n)),
                Step::LineFormat(format) => known &= format.names(name),
                Step::LabelFormat(formats) => known &= formats.names(name),
                _ => {}
            }
        }
        known
    }

    /// Processes one entry of the stream that `work` was started with. `true` when it passes;
    /// `work` then holds its labels and line.
    pub(crate) fn process(&self, work: &mut Work, entry: &LogEntry) -> bool {
        if !self.prefilters_match(&entry.line) {
            return false;
        }
        work.labels.start_entry(&entry.metadata);
        work.replaced = false;
        !self.drops_early(work, entry)
            && self.steps.iter().all(|step| Self::step(step, &self.hints, work, entry))
    }

    fn step(step: &Step, hints: &Hints, work: &mut Work, entry: &LogEntry) -> bool {
        let Work { labels, line, replaced, buffers, .. } = work;
        match step {
            Step::Line(filter) => {
                return filter.matches(if *replaced { line } else { &entry.line });
            }
            Step::Filter(condition) => return condition.holds(labels),
            Step::Parse(parser) => {
                let bytes: &[u8] = if *replaced { line } else { &entry.line };
                // Nearly all lines are UTF-8, which is found out much faster than where it is not.
                let text = match std::str::from_utf8(bytes) {
                    Ok(text) => Cow::Borrowed(text),
                    Err(_) => String::from_utf8_lossy(bytes),
                };
                if parser.run(&text, labels, hints, buffers) {
                    std::mem::swap(line, &mut buffers.out);
                    *replaced = true;
                }
            }
            Step::LineFormat(format) => {
                let bytes: &[u8] = if *replaced { line } else { &entry.line };
                if format.run(bytes, entry.timestamp_ns, labels, &mut buffers.out) {
                    std::mem::swap(line, &mut buffers.out);
                    *replaced = true;
                }
            }
            Step::LabelFormat(formats) => {
                let bytes: &[u8] = if *replaced { line } else { &entry.line };
                formats.run(bytes, entry.timestamp_ns, labels, &mut buffers.out);
            }
            Step::Prune(prune) => prune.run(labels),
            Step::Decolorize(ansi) => {
                let bytes: &[u8] = if *replaced { line } else { &entry.line };
                if bytes.contains(&0x1b)
                    || memchr::memmem::find(bytes, "\u{9b}".as_bytes()).is_some()
                {
                    let plain = ansi.replace_all(&String::from_utf8_lossy(bytes), "").into_owned();
                    *line = plain.into_bytes();
                    *replaced = true;
                }
            }
        }
        true
    }

    /// Runs a batch of entries of one stream through the pipeline: what a live tail needs.
    pub fn run(&self, work: &mut Work, stream: &StreamEntries) -> Vec<ResultStream> {
        let mut out: Vec<ResultStream> = Vec::new();
        work.start_stream(&stream.labels);
        for entry in &stream.entries {
            if self.process(work, entry) {
                let labels = work.labels.category(Category::Stream);
                let result = work.result(entry);
                match out.iter_mut().find(|s| s.stream_labels == labels) {
                    Some(found) => found.entries.push(result),
                    None => out.push(ResultStream { stream_labels: labels, entries: vec![result] }),
                }
            }
        }
        out
    }
}

// === impl Work ===

impl Work {
    /// The entries to come belong to this stream.
    pub(crate) fn start_stream(&mut self, labels: &Labels) {
        self.labels.start_stream(labels);
    }

    /// Length of the line as it is now.
    pub(crate) fn line_len(&self, entry: &LogEntry) -> usize {
        if self.replaced { self.line.len() } else { entry.line.len() }
    }

    /// The entry as it is now.
    pub(crate) fn result(&self, entry: &LogEntry) -> ResultEntry {
        let line = if self.replaced {
            Bytes::from(String::from_utf8_lossy(&self.line).into_owned())
        } else {
            entry.line.clone()
        };
        ResultEntry {
            timestamp_ns: entry.timestamp_ns,
            line,
            structured_metadata: self.labels.category(Category::Metadata),
            parsed: self.labels.category(Category::Parsed),
        }
    }
}
