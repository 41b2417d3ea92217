//! Finds the group of one series after the other.

use std::collections::HashMap;

use skald_model::Labels;

use super::Grouping;
use crate::{Column, without_metadata};

/// Numbers groups in order of first appearance.
#[derive(Debug)]
pub struct GroupIndex<'a> {
    grouping: &'a Grouping,
    /// Columns that are marked to lose their name are grouped as if they had lost it.
    drops_names: bool,
    index: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
    /// The labels that were looked up last, whether they were to lose their name, and their group.
    last: Option<(Labels, bool, usize)>,
}

// === impl GroupIndex ===

impl<'a> GroupIndex<'a> {
    /// `drops_names` is for columns whose names were only marked while they are to go at once.
    pub fn new(grouping: &'a Grouping, drops_names: bool) -> Self {
        Self { grouping, drops_names, index: HashMap::new(), key: Vec::new(), last: None }
    }

    /// The labels of the group to which `column` belongs.
    pub fn labels(&self, column: &Column) -> Labels {
        match self.drops_names && column.drop_name {
            true => self.grouping.key(&without_metadata(&column.labels)),
            false => self.grouping.key(&column.labels),
        }
    }

    /// The number of the column's group; as many as there were when it is new.
    pub fn find(&mut self, column: &Column) -> usize {
        let dropped = self.drops_names && column.drop_name;
        // Neighbours often have the same labels, when only those of the grouping were fetched.
        if let Some((labels, was_dropped, at)) = &self.last
            && *was_dropped == dropped
            && *labels == column.labels
        {
            return *at;
        }
        self.key.clear();
        self.grouping.write_key(&column.labels, dropped, &mut self.key);
        let at = match self.index.get(&self.key) {
            Some(at) => *at,
            None => {
                let at = self.index.len();
                self.index.insert(self.key.clone(), at);
                at
            }
        };
        self.last = Some((column.labels.clone(), dropped, at));
        at
    }
}
