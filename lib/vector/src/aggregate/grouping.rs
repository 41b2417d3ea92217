//! Which series make a group.

use skald_model::Labels;
use skald_model::labels::put_uvarint;

use crate::column::is_metadata;

/// Which labels make a group. `without` always leaves the metric name out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

impl Grouping {
    /// One group of everything.
    pub fn all() -> Self {
        Self::By(Vec::new())
    }

    /// The labels of the group to which `labels` belongs.
    pub fn key(&self, labels: &Labels) -> Labels {
        match self {
            Self::By(names) if names.is_empty() => Labels::empty(),
            _ => labels.filter_raw(|n| self.keeps(n)),
        }
    }

    /// Appends bytes that are equal for labels of the same group only. With `dropped`, what tells
    /// the metric counts as gone.
    pub fn write_key(&self, labels: &Labels, dropped: bool, out: &mut Vec<u8>) {
        if matches!(self, Self::By(names) if names.is_empty()) {
            return;
        }
        for (name, value) in labels.raw() {
            if self.keeps(name) && !(dropped && is_metadata(name)) {
                put_bytes(out, name);
                put_bytes(out, value);
            }
        }
    }

    fn keeps(&self, name: &[u8]) -> bool {
        let named = |names: &[String]| names.iter().any(|l| l.as_bytes() == name);
        match self {
            Self::By(names) => named(names),
            Self::Without(names) => name != Labels::NAME.as_bytes() && !named(names),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
