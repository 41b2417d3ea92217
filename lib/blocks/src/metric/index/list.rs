//! Names and values of labels over some rows, each once.

use std::collections::BTreeSet;

use super::Index;

// === impl Index ===

impl Index {
    /// Names of the labels that any of `rows` has.
    pub(in crate::metric) fn names_of(&self, rows: &[u32]) -> BTreeSet<String> {
        let has =
            |codes: &super::column::Codes| rows.iter().any(|row| codes.get(*row as usize) != 0);
        let hot = self.labels.iter().filter(|l| has(&l.codes)).map(|l| l.name.to_string());
        let mut names: BTreeSet<String> = hot.collect();
        if let Some(rest) = &self.rest {
            let mut seen = vec![false; rest.names.len() + 1];
            for (name, _) in rows.iter().flat_map(|row| rest.pairs(*row as usize)) {
                seen[*name as usize] = true;
            }
            names.extend(
                rest.names
                    .codes()
                    .filter(|c| seen[*c as usize])
                    .map(|c| rest.names.value(c).to_owned()),
            );
        }
        names
    }

    /// Values that any of `rows` has of one label, which must have been loaded.
    pub(in crate::metric) fn values_of(&self, name: &str, rows: &[u32]) -> BTreeSet<String> {
        if let Some(label) = self.label(name) {
            let codes = rows.iter().map(|row| label.codes.get(*row as usize));
            return values(&label.values, codes);
        }
        let Some(rest) = &self.rest else { return BTreeSet::new() };
        let Some(name) = rest.names.code(name) else { return BTreeSet::new() };
        values(&rest.values, rows.iter().map(|row| rest.get(*row as usize, name)))
    }
}

fn values(
    of: &super::dictionary::Dictionary,
    codes: impl Iterator<Item = u32>,
) -> BTreeSet<String> {
    let mut seen = vec![false; of.len() + 1];
    for code in codes {
        if let Some(seen) = seen.get_mut(code as usize) {
            *seen = true;
        }
    }
    of.codes().filter(|c| seen[*c as usize]).map(|c| of.value(c).to_owned()).collect()
}
