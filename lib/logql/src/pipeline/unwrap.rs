//! `| unwrap …`: a label as the sample's value.

use super::condition::Condition;
use super::labels::{LabelSet, LineError};
use crate::ast::{Conversion, Unwrap};
use crate::error::ParseError;
use crate::units;

#[derive(Debug)]
pub(crate) struct Unwrapper {
    label: String,
    conversion: Conversion,
    filters: Vec<Condition>,
}

// === impl Unwrapper ===

impl Unwrapper {
    pub(crate) fn new(unwrap: &Unwrap) -> Result<Self, ParseError> {
        let filters = unwrap.filters.iter().map(Condition::new).collect::<Result<_, _>>();
        Ok(Self {
            label: unwrap.label.clone(),
            conversion: unwrap.conversion,
            filters: filters.map_err(ParseError::whole)?,
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Calls `name` with each label that is looked at.
    pub(crate) fn needed_labels(&self, name: &mut impl FnMut(&str)) {
        name(&self.label);
        self.filters.iter().for_each(|f| f.names(&mut |n| name(n)));
    }

    /// The sample, if there is one. What cannot be read counts 0 and marks the line as broken.
    pub(crate) fn value(&self, labels: &mut LabelSet) -> Option<f64> {
        let text = labels.get(&self.label).filter(|text| !text.is_empty())?;
        let value = match convert(text, self.conversion) {
            Some(value) => value,
            None => {
                let details = format!("cannot read {text:?} of label {:?}", self.label);
                labels.set_error(LineError::SampleExtraction, &details);
                0.0
            }
        };
        self.filters.iter().all(|f| f.holds(labels)).then_some(value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn convert(text: &str, conversion: Conversion) -> Option<f64> {
    match conversion {
        Conversion::None => units::go_float(text),
        Conversion::Bytes => units::humanize_bytes(text).map(|b| b as f64),
        Conversion::Duration | Conversion::DurationSeconds => {
            units::go_duration(text).map(|ns| ns as f64 / 1e9)
        }
    }
}
