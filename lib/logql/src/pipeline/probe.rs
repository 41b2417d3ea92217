//! A first look at a line: only the fields that its label filters name, and only as far as they stand.
//!
//! Most lines behind `| json | status >= 500` are dropped; those need no other label. A line that
//! passes is parsed again, whole. Invariant: the look drops no line that the whole pipeline keeps,
//! nor keeps one for good.

use super::condition::Condition;
use super::hints::{Hints, Names};
use super::labels::ERROR;
use super::parsers::Parser;
use super::{Step, Work};
use crate::source::{Fields, Syntax};

/// The steps of the first look, and what they extract.
#[derive(Debug)]
pub(super) struct Probe {
    /// So many steps, the last one a filter.
    pub(super) n_steps: usize,
    pub(super) hints: Hints,
}

/// How often looking paid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Of the trial.
    looked: u32,
    passed: u32,
    /// Since the trial.
    lines: u32,
}

/// So many looks are a trial.
const TRIAL: u32 = 256;
/// So many lines later the next one begins: lines change.
const TERM: u32 = 4096;

// === impl Probe ===

impl Probe {
    /// `None` when there is no filter behind a parser, or other stages stand between them.
    pub(super) fn of(steps: &[Step]) -> Option<Self> {
        let is_plain = |step: &&Step| match step {
            Step::Line(_) | Step::Filter(_) => true,
            Step::Parse(parser) => !matches!(parser, Parser::Unpack),
            _ => false,
        };
        let n_plain = steps.iter().take_while(is_plain).count();
        let steps = steps.get(..n_plain)?;
        let n_steps = steps.iter().rposition(|s| matches!(s, Step::Filter(_)))? + 1;
        let steps = steps.get(..n_steps)?;
        let parsed = steps.iter().position(|s| matches!(s, Step::Parse(_)))?;
        let (mut names, mut looks_at_errors) = (Vec::new(), false);
        for step in steps.get(parsed..)? {
            if let Step::Filter(condition) = step {
                condition.names(&mut |name| names.push(name.to_owned()));
                looks_at_errors |= depends_on_errors(condition);
            }
        }
        if looks_at_errors {
            names.push(ERROR.to_owned());
        }
        let names = Names::new(names, looks_at_errors);
        Some(Self { n_steps, hints: Hints::Only(names) })
    }
}

/// Whether a fault anywhere in the line may change the answer.
pub(super) fn depends_on_errors(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(depends_on_errors),
        Condition::String(matcher) => matcher.name == ERROR,
        Condition::Ip(..) => true,
        // A value that cannot be read keeps the line, whatever else is wrong with it.
        Condition::Number(..) | Condition::Duration(..) | Condition::Bytes(..) => false,
    }
}

// === impl Tally ===

impl Tally {
    /// Whether to look at the next line first: not where nearly all pass.
    pub(super) fn pays(&mut self) -> bool {
        if self.looked < TRIAL {
            return true;
        }
        let pays = self.passed < TRIAL / 4 * 3;
        self.lines += 1;
        if self.lines >= TERM {
            *self = Self::default();
        }
        pays
    }

    pub(super) fn count(&mut self, passed: bool) {
        if self.looked < TRIAL {
            self.looked += 1;
            self.passed += u32::from(passed);
        }
    }
}

impl super::Pipeline {
    /// Whether the line of `work` can be dropped by what its first fields say.
    pub(super) fn drops_early(&self, work: &mut Work, entry: &skald_model::LogEntry) -> bool {
        let Some(probe) = &self.probe else { return false };
        if !work.tally.pays() {
            return false;
        }
        let steps = self.steps.get(..probe.n_steps).unwrap_or_default();
        let passed = steps.iter().all(|step| Self::step(step, &probe.hints, work, entry));
        work.tally.count(passed);
        if passed {
            work.labels.start_entry(&entry.metadata);
        }
        !passed
    }

    /// What a first look sees of lines, when that is fields of theirs.
    pub(crate) fn early_fields(&self) -> Option<Fields> {
        let probe = self.probe.as_ref()?;
        fields(self.steps.get(..probe.n_steps)?, &probe.hints)
    }

    /// The first look at an entry of the stream that `work` was started with; `line` stands for its
    /// line and may be reduced to the [`early_fields`](Self::early_fields).
    pub(crate) fn may_pass(
        &self,
        work: &mut Work,
        entry: &skald_model::LogEntry,
        line: &[u8],
    ) -> bool {
        let Some(probe) = &self.probe else { return true };
        work.labels.start_entry(&entry.metadata);
        work.line.clear();
        work.line.extend_from_slice(line);
        work.replaced = true;
        let steps = self.steps.get(..probe.n_steps).unwrap_or_default();
        steps.iter().all(|step| Self::step(step, &probe.hints, work, entry))
    }

    /// All that is looked at of lines, when that is fields of theirs.
    pub(crate) fn fields(&self) -> Option<Fields> {
        if self.prefilters.is_empty() { fields(&self.steps, &self.hints) } else { None }
    }
}

/// The fields that steps look at, of lines that they look at in no other way.
fn fields(steps: &[Step], hints: &Hints) -> Option<Fields> {
    let mut syntax = None;
    for step in steps {
        match step {
            Step::Filter(_) | Step::Prune(_) => {}
            Step::LabelFormat(formats) if !formats.reads_line() => {}
            Step::Parse(Parser::Json) if syntax.is_none() => syntax = Some(Syntax::Json),
            Step::Parse(Parser::Logfmt { .. }) if syntax.is_none() => syntax = Some(Syntax::Logfmt),
            _ => return None,
        }
    }
    Some(Fields { syntax: syntax?, names: hints.fields()?.to_vec() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use skald_model::{Labels, LogEntry, StreamEntries};

    use crate::ast::Expr;
    use crate::pipeline::{Pipeline, Work};

    const QUERIES: &[&str] = &[
        "| json | a >= 5",
        "| json | a >= 5 | b=`x`",
        "| json | a >= 5 or n_k=`v`",
        "| json | __error__=`` | a > 1",
        "| json | __error__!=`` ",
        "| json | a_extracted=`1`",
        "| json | s=`m` | a > 1s",
        "| json | a = ip(`10.0.0.0/8`)",
        "| json a=`n.k`, c=`b` | a=`v` | json | b=`x`",
        "| logfmt | a >= 5 | b=`x`",
        "| logfmt --strict | a >= 5",
        "| logfmt --strict | __error__=`` | a=`1`",
        "| logfmt --keep-empty | a=`` | b=`x`",
        "| logfmt b, a=`b` | a > 1KB",
        "| logfmt | json | a < 7 |= `b`",
        "| json | logfmt | a != 1",
        "| regexp `a.:(?P<a>.)` | a=`1` | json | b != `x`",
        "| pattern `<_>:<a>,<_>` | a=`1`",
        "| json | a >= 5 | line_format `{{.b}}` | json | b=`x` | drop a",
    ];

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        " ",
        "=",
        "\"a\":",
        "\"b\":",
        "\"n\":{\"k\":",
        "\"k-\":",
        "\"a_extracted\":",
        "\"s\":",
        "\"m\":",
        "1",
        "9",
        "x",
        "\"x\"",
        "\"v\"",
        "\"m\"",
        "null",
        "true",
        "a=",
        "b=",
        "a=1 ",
        "b=x ",
        "s=m ",
        "m=7 ",
        "\"10.1.2.3\"",
        "\"1\\u00e9\"",
        "\"\\q\"",
        "é",
        "2KB",
        "{\"a\":1,\"b\":\"x\",",
        "{\"b\":\"x\",\"a\":7",
        "}",
        ",\"c\":\"a longer text with nothing in it at all\"",
    ];

    fn outcome(pipeline: &Pipeline, work: &mut Work, stream: &StreamEntries) -> String {
        format!("{:?}", pipeline.run(work, stream))
    }

    fn agrees(lines: &[String], metadata: &Labels) {
        let entry = |line: &String| LogEntry {
            timestamp_ns: 1,
            line: Bytes::copy_from_slice(line.as_bytes()),
            metadata: metadata.clone(),
        };
        let labels = Labels::from_pairs([("app", "x"), ("s", "m")]);
        let stream = StreamEntries { labels, entries: lines.iter().map(entry).collect() };
        for stages in QUERIES {
            let Ok(Expr::Log(log)) = crate::parse(&format!("{{app=`x`}} {stages}")) else {
                panic!("{stages}")
            };
            let lazy = Pipeline::compile(&log).unwrap();
            let mut whole = Pipeline::compile(&log).unwrap();
            assert!(whole.probe.take().is_some(), "{stages}");
            let found = outcome(&lazy, &mut Work::default(), &stream);
            let expected = outcome(&whole, &mut Work::default(), &stream);
            assert_eq!(found, expected, "{stages} {lines:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_first_look_changes_no_answer(
            lines in prop::collection::vec(prop::collection::vec(prop::sample::select(PIECES), 0..14), 1..8),
            metadata in prop::sample::select(&[("m", "7"), ("a", "3"), ("a_extracted", "1"), ("q", "q")][..]),
        ) {
            let lines: Vec<String> = lines.into_iter().map(|pieces| pieces.concat()).collect();
            agrees(&lines, &Labels::from_pairs([metadata]));
        }
    }

    #[test]
    fn a_look_that_seldom_drops_is_given_up_and_tried_again() {
        let mut tally = super::Tally::default();
        let mut looked = 0;
        for _ in 0..2 * super::TERM {
            if tally.pays() {
                looked += 1;
                tally.count(true);
            }
        }
        assert!(looked < 4 * super::TRIAL, "{looked}");
    }
}
