//! Conditions on one field alone, for sources that know the values of a field without the lines.
//!
//! `| json | status >= 500 | duration_ms > 100` asks two things, each of one field. A line whose field does
//! not stand its test is dropped, whatever else it has. That is so for entries of which neither the
//! stream nor the metadata has a label of the field's name: those are the source's to look after.

use std::sync::Arc;

use skald_model::Labels;

use super::condition::Condition;
use super::hints::Hints;
use super::probe::depends_on_errors;
use super::{Pipeline, Step, Work};

/// What is asked of one field.
#[derive(Clone, Debug)]
pub struct FieldTest {
    name: String,
    pipeline: Arc<Pipeline>,
    /// The step that parses.
    parser: usize,
    conditions: Vec<Condition>,
}

/// A [`FieldTest`] at work in one thread.
#[derive(Debug)]
pub struct FieldTester {
    test: FieldTest,
    hints: Hints,
    work: Work,
}

// === impl FieldTest ===

impl FieldTest {
    /// The tests of a pipeline whose first look sees fields, and whether they are all that it asks.
    pub(crate) fn all_of(pipeline: &Arc<Pipeline>) -> (Vec<Self>, bool) {
        let n_steps = pipeline.probe.as_ref().map_or(0, |probe| probe.n_steps);
        let steps = pipeline.steps.get(..n_steps).unwrap_or_default();
        let Some(parser) = steps.iter().position(|s| matches!(s, Step::Parse(_))) else {
            return (Vec::new(), false);
        };
        let mut leaves = Vec::new();
        for step in steps.get(parser + 1..).unwrap_or_default() {
            if let Step::Filter(condition) = step {
                flatten(condition, &mut leaves);
            }
        }
        let mut tests: Vec<Self> = Vec::new();
        let mut are_all = !steps[..parser].iter().any(|s| matches!(s, Step::Filter(_)));
        for condition in leaves {
            let Some(name) = only_field(condition) else {
                are_all = false;
                continue;
            };
            match tests.iter_mut().find(|test| test.name == name) {
                Some(test) => test.conditions.push(condition.clone()),
                None => tests.push(Self {
                    name: name.to_owned(),
                    pipeline: Arc::clone(pipeline),
                    parser,
                    conditions: vec![condition.clone()],
                }),
            }
        }
        (tests, are_all)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn tester(&self) -> FieldTester {
        let mut work = Work::default();
        work.start_stream(&Labels::empty());
        FieldTester { hints: Hints::only(vec![self.name.clone()]), test: self.clone(), work }
    }
}

/// The conditions that must all hold.
fn flatten<'a>(condition: &'a Condition, out: &mut Vec<&'a Condition>) {
    match condition {
        Condition::All(parts) => parts.iter().for_each(|part| flatten(part, out)),
        other => out.push(other),
    }
}

/// The field that a condition is about, if its answer depends on that alone.
fn only_field(condition: &Condition) -> Option<&str> {
    if depends_on_errors(condition) {
        return None;
    }
    let mut names = Vec::new();
    condition.names(&mut |name| names.push(name));
    let name = *names.first()?;
    // Labels of such names are not, or not only, fields of that name.
    let is_field = !name.starts_with("__") && !name.ends_with("_extracted");
    (is_field && names.iter().all(|other| *other == name)).then_some(name)
}

// === impl FieldTester ===

impl FieldTester {
    /// Whether a line may pass that has this field, or none of that name; `line` is reduced to it.
    pub fn may_pass(&mut self, line: &[u8]) -> bool {
        let Work { labels, buffers, .. } = &mut self.work;
        let Some(Step::Parse(parser)) = self.test.pipeline.steps.get(self.test.parser) else {
            return true;
        };
        labels.start_entry(&Labels::empty());
        parser.run(&String::from_utf8_lossy(line), labels, &self.hints, buffers);
        self.test.conditions.iter().all(|condition| condition.holds(labels))
    }
}
