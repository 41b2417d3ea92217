//! Label sets of rows, whole or of some names only, straight from codes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use skald_model::Labels;

use super::column::{LabelColumn, RestColumn};
use super::{Index, Need};

/// Most entries of a table that finds groups; above, a map does.
const TABLE: usize = 1 << 16;

/// The columns that some labels come from.
#[derive(Clone, Debug)]
pub(in crate::metric) struct Projection {
    /// By name.
    labels: Vec<Arc<LabelColumn>>,
    rest: Option<Arc<RestColumn>>,
    /// Names wanted of the rest; `None` = all.
    rest_names: Option<Vec<u32>>,
}

// === impl Index ===

impl Index {
    /// The labels that are needed; they must have been loaded.
    pub(in crate::metric) fn project(&self, need: Need<'_>) -> Projection {
        let labels = self.labels.iter().filter(|l| need.has(&l.name)).cloned().collect();
        let names = |rest: &Arc<RestColumn>| match need {
            Need::All => None,
            Need::Only(names) => Some(names.iter().filter_map(|n| rest.names.code(n)).collect()),
        };
        let rest_names = self.rest.as_ref().and_then(names);
        let nothing = rest_names.as_ref().is_some_and(Vec::is_empty);
        let rest = self.rest.clone().filter(|_| !nothing);
        Projection { labels, rest, rest_names }
    }
}

// === impl Projection ===

impl Projection {
    /// Appends the canonical labels of a row.
    pub(in crate::metric) fn put(&self, row: usize, out: &mut Vec<u8>) {
        let mut others = self.others(row).peekable();
        for column in &self.labels {
            let code = column.codes.get(row);
            if code == 0 {
                continue;
            }
            while let Some((name, value)) =
                others.next_if(|(name, _)| self.rest_name(*name) < &*column.name)
            {
                self.put_other(name, value, out);
            }
            out.extend_from_slice(&column.encoded_name);
            out.extend_from_slice(column.values.encoded(code));
        }
        for (name, value) in others {
            self.put_other(name, value, out);
        }
    }

    pub(in crate::metric) fn labels(&self, row: usize) -> Labels {
        let mut out = Vec::with_capacity(512);
        self.put(row, &mut out);
        // Exactly as large as it is, since many are kept.
        Labels::from_canonical(Bytes::copy_from_slice(&out))
    }

    /// Gives rows with equal labels equal numbers, and the labels of each number.
    pub(in crate::metric) fn groups(&self, rows: &[u32]) -> (Vec<u32>, Vec<Labels>) {
        let mut groups = Groups { of: vec![0; rows.len()], n: 1 };
        for column in &self.labels {
            groups.split(column.values.len() + 1, rows, |row| column.codes.get(row));
        }
        if let (Some(rest), Some(names)) = (&self.rest, &self.rest_names) {
            for &name in names {
                groups.split(rest.values.len() + 1, rows, |row| rest.get(row, name));
            }
        }
        let mut labels: Vec<Option<Labels>> = vec![None; groups.n];
        for (row, group) in rows.iter().zip(&groups.of) {
            if let Some(slot) = labels.get_mut(*group as usize) {
                slot.get_or_insert_with(|| self.labels(*row as usize));
            }
        }
        (groups.of, labels.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn others(&self, row: usize) -> impl Iterator<Item = (u32, u32)> {
        let pairs = self.rest.as_ref().map_or(&[][..], |rest| rest.pairs(row));
        let wanted = |name: &u32| self.rest_names.as_ref().is_none_or(|names| names.contains(name));
        pairs.iter().copied().filter(move |(name, _)| wanted(name))
    }

    fn rest_name(&self, code: u32) -> &str {
        self.rest.as_ref().map_or("", |rest| rest.names.value(code))
    }

    fn put_other(&self, name: u32, value: u32, out: &mut Vec<u8>) {
        if let Some(rest) = &self.rest {
            out.extend_from_slice(rest.names.encoded(name));
            out.extend_from_slice(rest.values.encoded(value));
        }
    }
}

/// Numbers of groups that rows belong to.
#[derive(Debug)]
struct Groups {
    of: Vec<u32>,
    n: usize,
}

// === impl Groups ===

impl Groups {
    /// Splits groups by one more column of `n_codes` codes.
    fn split(&mut self, n_codes: usize, rows: &[u32], code: impl Fn(usize) -> u32) {
        let mut n = 0u32;
        let mut next = || {
            n += 1;
            n - 1
        };
        let cells = self.n.saturating_mul(n_codes);
        if cells <= TABLE.max(rows.len()) {
            let mut table = vec![u32::MAX; cells];
            for (group, row) in self.of.iter_mut().zip(rows) {
                let at = *group as usize * n_codes + code(*row as usize) as usize;
                let Some(slot) = table.get_mut(at) else { continue };
                if *slot == u32::MAX {
                    *slot = next();
                }
                *group = *slot;
            }
        } else {
            let mut map = HashMap::new();
            for (group, row) in self.of.iter_mut().zip(rows) {
                *group = *map.entry((*group, code(*row as usize))).or_insert_with(&mut next);
            }
        }
        self.n = n as usize;
    }
}
