//! Lines reduced to some of their fields, for queries that parse lines and use little of them.
//!
//! A reduced line parses to the same values for these fields as the line does, and the line is known
//! to parse without error. Where that cannot be told from a template, its lines are built whole.

use super::decode::Lines;
use super::value::{Column, Pattern, Style};

/// What lines are parsed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// One flat object.
    Json,
    /// `name=value name="value"`
    Logfmt,
}

/// Fields that a query uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields {
    pub syntax: Syntax,
    pub names: Vec<String>,
}

/// How the lines of each template are reduced; `None` when they cannot be.
#[derive(Debug)]
pub struct Reduced {
    syntax: Syntax,
    names: Vec<String>,
    templates: Vec<Option<Vec<Field>>>,
}

/// A wanted field of a template: a piece of constant bytes, then a column, then perhaps a quote.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Which of the wanted names it has.
    name: usize,
    /// `"name":` or `name=`, and the opening quote.
    before: Vec<u8>,
    pub(super) column: usize,
    quoted: bool,
}

// === impl Reduced ===

impl Reduced {
    /// The wanted fields of a template; `None` where its lines are not reduced.
    pub(super) fn fields_of(&self, template: usize) -> Option<&[Field]> {
        self.templates.get(template)?.as_deref()
    }

    pub(super) fn name_of(&self, field: &Field) -> Option<&str> {
        self.names.get(field.name).map(String::as_str)
    }
}

// === impl Lines ===

impl Lines {
    /// Plans to reduce lines to the wanted fields.
    ///
    /// [`unpack_strings`](Self::unpack_strings) must have been called.
    pub fn reduce(&self, wanted: &Fields) -> Reduced {
        let plan = |t: &super::decode::Template| self.plan(&t.pattern, wanted);
        let templates = self.templates.iter().map(plan).collect();
        Reduced { syntax: wanted.syntax, names: wanted.names.clone(), templates }
    }

    /// Appends line `row` reduced, or whole.
    pub fn append_reduced(&self, plan: &Reduced, row: usize, timestamp_ns: i64, out: &mut Vec<u8>) {
        let template = self.rows.get(row).and_then(|(id, _)| (*id as usize).checked_sub(1));
        let fields = template.and_then(|i| plan.fields_of(i));
        let Some(fields) = fields else { return self.append(row, timestamp_ns, out) };
        let rank = self.rows.get(row).map_or(0, |(_, rank)| *rank as usize);
        self.append_fields(plan, fields.iter(), (rank, timestamp_ns), out);
    }

    /// Appends a line of these fields, with value `rank` of each.
    pub(super) fn append_fields<'a>(
        &self,
        plan: &Reduced,
        fields: impl Iterator<Item = &'a Field>,
        (rank, timestamp_ns): (usize, i64),
        out: &mut Vec<u8>,
    ) {
        let (open, between, close): (&[u8], u8, &[u8]) = match plan.syntax {
            Syntax::Json => (b"{", b',', b"}"),
            Syntax::Logfmt => (b"", b' ', b""),
        };
        out.extend_from_slice(open);
        for (i, field) in fields.enumerate() {
            if i > 0 {
                out.push(between);
            }
            out.extend_from_slice(&field.before);
            self.append_value(field.column, rank, timestamp_ns, out);
            if field.quoted {
                out.push(b'"');
            }
        }
        out.extend_from_slice(close);
    }

    fn plan(&self, pattern: &Pattern, wanted: &Fields) -> Option<Vec<Field>> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut fields = Vec::new();
        for i in 0..pattern.n_columns() {
            let before = self.meta(&pattern.pieces[i]);
            let after = self.meta(&pattern.pieces[i + 1]);
            let (name, quoted) = match wanted.syntax {
                Syntax::Json => json_name(before, i == 0)?,
                Syntax::Logfmt => logfmt_name(before, i == 0)?,
            };
            if names.contains(&name) || (quoted && after.first() != Some(&b'"')) {
                return None;
            }
            names.push(name);
            let column = pattern.first_column + i;
            let parses = match (wanted.syntax, quoted) {
                (_, true) => self
                    .values_hold_no(column, |b| b < b' ' || b == b'\\' || b == b'"' || b >= 0x80),
                (Syntax::Json, false) => self.is_scalar(column),
                (Syntax::Logfmt, false) => self.values_hold_no(column, |b| {
                    b <= b' ' || matches!(b, b'=' | b'"' | b'\\') || b >= 0x7f
                }),
            };
            if !parses {
                return None;
            }
            if let Some(number) = wanted.names.iter().position(|n| n.as_bytes() == name) {
                let mut before = name.to_vec();
                match wanted.syntax {
                    Syntax::Json => {
                        before.insert(0, b'"');
                        before.extend_from_slice(b"\":");
                    }
                    Syntax::Logfmt => before.push(b'='),
                }
                if quoted {
                    before.push(b'"');
                }
                fields.push(Field { name: number, before, column, quoted });
            }
        }
        let last = pattern.pieces.last().map(|p| self.meta(p)).unwrap_or_default();
        let quoted = pattern.n_columns() > 0 && last.first() == Some(&b'"');
        let last = if quoted { &last[1..] } else { last };
        let ends: &[u8] = match wanted.syntax {
            Syntax::Json => b"}",
            Syntax::Logfmt => b"",
        };
        (pattern.n_columns() > 0 && last == ends).then_some(fields)
    }

    /// Whether no value of a column has such a byte.
    fn values_hold_no(&self, column: usize, is_bad: impl Fn(u8) -> bool + Copy) -> bool {
        let clean = |text: &[u8]| !text.iter().any(|b| is_bad(*b));
        match self.columns.get(column) {
            None => false,
            Some(Column::Const(text)) => clean(self.meta(text)),
            Some(Column::Number(..)) => true,
            Some(Column::Hex { others, .. }) => !others.iter().any(|(_, b)| is_bad(*b)),
            Some(Column::Time { suffix, shape, .. }) => {
                clean(self.meta(suffix)) && !shape.marks().into_iter().any(is_bad)
            }
            Some(Column::Raw(texts)) => {
                let end = texts.range(self.packed(), texts.n_rows.saturating_sub(1)).end;
                self.strings().get(texts.at..end).is_some_and(clean)
            }
            Some(Column::Table(table)) => {
                let parts = |p: &Pattern| {
                    p.pieces.iter().all(|piece| clean(self.meta(piece)))
                        && (0..p.n_columns())
                            .all(|i| self.values_hold_no(p.first_column + i, is_bad))
                };
                table.entries.iter().all(|e| parts(&e.pattern))
                    && table.raw.is_none_or(|raw| self.values_hold_no(raw, is_bad))
            }
        }
    }

    /// Whether all values are numbers, `true`, `false` or `null` as JSON writes them.
    fn is_scalar(&self, column: usize) -> bool {
        match self.columns.get(column) {
            Some(Column::Const(text)) => is_scalar(self.meta(text)),
            Some(Column::Number(style, _)) => *style == Style::Usual,
            Some(Column::Table(table)) => {
                table.raw.is_none()
                    && table.entries.iter().all(|e| self.is_scalar_pattern(&e.pattern))
            }
            _ => false,
        }
    }

    fn is_scalar_pattern(&self, pattern: &Pattern) -> bool {
        let mut sample = Vec::new();
        for (i, piece) in pattern.pieces.iter().enumerate() {
            if i > 0 {
                match self.columns.get(pattern.first_column + i - 1) {
                    Some(Column::Const(text)) => sample.extend_from_slice(self.meta(text)),
                    Some(Column::Number(Style::Usual, _)) => sample.push(b'1'),
                    // Zeros may lead; that is right behind a point only.
                    Some(Column::Number(..)) if sample.ends_with(b".") => sample.push(b'1'),
                    _ => return false,
                }
            }
            sample.extend_from_slice(self.meta(piece));
        }
        is_scalar(&sample)
    }
}

/// The name of a field from the piece before its value, and whether that is quoted: `,"name":"`.
fn json_name(before: &[u8], first: bool) -> Option<(&[u8], bool)> {
    let before = if first { before } else { before.strip_prefix(b"\"").unwrap_or(before) };
    let rest = before.strip_prefix(if first { b"{\"" } else { b",\"" })?;
    let (rest, quoted) = rest
        .strip_suffix(b"\"")
        .filter(|r| r.ends_with(b":") || r.ends_with(b" "))
        .map_or((rest, false), |r| (r, true));
    let name = rest.strip_suffix(b": ").or_else(|| rest.strip_suffix(b":"))?.strip_suffix(b"\"")?;
    is_name(name).then_some((name, quoted))
}

/// As [`json_name`], of ` name="`.
fn logfmt_name(before: &[u8], first: bool) -> Option<(&[u8], bool)> {
    let before = if first { before } else { before.strip_prefix(b"\"").unwrap_or(before) };
    let rest = if first { before } else { before.strip_prefix(b" ")? };
    let (rest, quoted) = rest.strip_suffix(b"\"").map_or((rest, false), |rest| (rest, true));
    let name = rest.strip_suffix(b"=")?;
    is_name(name).then_some((name, quoted))
}

/// A name that parsers take as it is.
fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn is_scalar(text: &[u8]) -> bool {
    if matches!(text, b"true" | b"false" | b"null") {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |t: &[u8]| t.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    match text[whole..].strip_prefix(b".") {
        None => whole == text.len(),
        Some(fraction) => !fraction.is_empty() && digits(fraction) == fraction.len(),
    }
}
