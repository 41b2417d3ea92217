//! Tests of one field of lines, on the columns of its values: each distinct value is tested once where
//! that is known, and no line is built.

use super::decode::Lines;
use super::fields::{Field, Reduced};
use super::search::Known;
use super::value::{Column, Entries, Packed, Pattern};

/// Numbers of more bits than this are tested one by one.
const MOST_BITS: u32 = 12;

/// What is known of the lines of a template.
enum Verdicts<'a> {
    /// Nothing: they are to be looked at.
    None,
    All(bool),
    Table {
        field: &'a Field,
        table: &'a Entries,
        /// Of the entries whose values are the same, as far as they came.
        entries: Vec<Option<bool>>,
    },
    Numbers {
        field: &'a Field,
        numbers: Packed,
        /// By what a number is more than the least.
        by_number: Vec<Option<bool>>,
    },
    Each(&'a Field),
}

/// A test at work on the lines of an encoding.
struct Testing<'a, T> {
    lines: &'a Lines,
    plan: &'a Reduced,
    name: &'a str,
    test: T,
    line: Vec<u8>,
}

// === impl Lines ===

impl Lines {
    /// Tests the field `name`, which is one of those of the plan, of each line that is not ruled out yet. The
    /// test is shown the line reduced to this field, or to no field when it has none of that name. Lines that
    /// fail become [`Known::Lacks`]; those that would have to be built for the test, [`Known::May`].
    ///
    /// [`unpack_strings`](Self::unpack_strings) must have been called.
    pub fn test_field(
        &self,
        plan: &Reduced,
        name: &str,
        test: impl FnMut(&[u8]) -> bool,
        known: &mut [Known],
    ) {
        let mut testing = Testing { lines: self, plan, name, test, line: Vec::new() };
        let mut verdicts: Vec<Option<Verdicts<'_>>> = Vec::new();
        verdicts.resize_with(self.templates.len(), || None);
        for (known, (id, rank)) in known.iter_mut().zip(&self.rows) {
            if *known == Known::Lacks {
                continue;
            }
            let template = (*id as usize).checked_sub(1);
            let passes = template.and_then(|i| {
                let verdicts = verdicts.get_mut(i)?;
                let verdicts = verdicts.get_or_insert_with(|| testing.verdicts(i));
                testing.passes(verdicts, *rank as usize)
            });
            match passes {
                Some(true) => {}
                Some(false) => *known = Known::Lacks,
                None => *known = Known::May,
            }
        }
    }

    /// Whether values depend on the times of their entries.
    fn has_times(&self, column: usize) -> bool {
        let in_pattern =
            |p: &Pattern| (0..p.n_columns()).any(|i| self.has_times(p.first_column + i));
        match self.columns.get(column) {
            Some(Column::Time { .. }) => true,
            Some(Column::Table(table)) => table.entries.iter().any(|e| in_pattern(&e.pattern)),
            _ => false,
        }
    }
}

// === impl Testing ===

impl<'a, T: FnMut(&[u8]) -> bool> Testing<'a, T> {
    fn verdicts(&mut self, template: usize) -> Verdicts<'a> {
        let Some(fields) = self.plan.fields_of(template) else { return Verdicts::None };
        let Some(field) = fields.iter().find(|f| self.plan.name_of(f) == Some(self.name)) else {
            return Verdicts::All(self.test(None, 0));
        };
        if self.lines.has_times(field.column) {
            return Verdicts::None;
        }
        match self.lines.columns.get(field.column) {
            None => Verdicts::None,
            Some(Column::Const(_)) => Verdicts::All(self.test(Some(field), 0)),
            Some(Column::Table(table)) => {
                Verdicts::Table { field, table, entries: vec![None; table.entries.len()] }
            }
            Some(Column::Number(_, numbers)) if numbers.width <= MOST_BITS => Verdicts::Numbers {
                field,
                numbers: *numbers,
                by_number: vec![None; 1 << numbers.width],
            },
            Some(_) => Verdicts::Each(field),
        }
    }

    fn passes(&mut self, verdicts: &mut Verdicts<'_>, rank: usize) -> Option<bool> {
        let (field, known) = match verdicts {
            Verdicts::None => return None,
            Verdicts::All(passes) => return Some(*passes),
            Verdicts::Each(field) => (field, None),
            Verdicts::Table { field, table, entries } => {
                let id = table.id(&self.lines.ids, rank).filter(|id| table.is_constant(*id));
                (field, id.and_then(|id| entries.get_mut(id)))
            }
            Verdicts::Numbers { field, numbers, by_number } => {
                let above = numbers.get(self.lines.packed(), rank).wrapping_sub(numbers.min);
                (field, usize::try_from(above).ok().and_then(|i| by_number.get_mut(i)))
            }
        };
        Some(match known {
            Some(Some(passes)) => *passes,
            Some(unknown) => *unknown.insert(self.test(Some(field), rank)),
            None => self.test(Some(field), rank),
        })
    }

    fn test(&mut self, field: Option<&Field>, rank: usize) -> bool {
        self.line.clear();
        // No value that is tested depends on the time.
        self.lines.append_fields(self.plan, field.into_iter(), (rank, 0), &mut self.line);
        (self.test)(&self.line)
    }
}
