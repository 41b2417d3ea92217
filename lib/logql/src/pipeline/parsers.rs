//! The parser stages: json, logfmt, regexp, pattern, unpack.

use std::collections::HashSet;
use std::fmt::Write as _;

use regex::Regex;

use super::Buffers;
use super::hints::Hints;
use super::json::{self, Json, Visitor};
use super::json_path::JsonPath;
use super::labels::{LabelSet, LineError, Write};
use super::logfmt::{self, Pairs};
use super::pattern::ParserPattern;
use crate::ast::{Extraction, Stage};

#[derive(Debug)]
pub(super) enum Parser {
    Json,
    JsonPaths(Vec<(String, JsonPath)>),
    Logfmt { strict: bool, keep_empty: bool },
    LogfmtFields { strict: bool, fields: Vec<Extraction> },
    Regexp(Regex),
    Pattern(ParserPattern),
    Unpack,
}

// === impl Parser ===

impl Parser {
    pub(super) fn new(stage: &Stage) -> Result<Self, String> {
        Ok(match stage {
            Stage::Json(extractions) if extractions.is_empty() => Self::Json,
            Stage::Json(extractions) => {
                let path = |e: &Extraction| Ok((e.name.clone(), JsonPath::new(&e.expression)?));
                Self::JsonPaths(extractions.iter().map(path).collect::<Result<_, String>>()?)
            }
            Stage::Logfmt { strict, keep_empty, extractions } if extractions.is_empty() => {
                Self::Logfmt { strict: *strict, keep_empty: *keep_empty }
            }
            Stage::Logfmt { strict, extractions, .. } => {
                if let Some(bad) = extractions.iter().find(|e| !is_logfmt_key(&e.expression)) {
                    return Err(format!("cannot parse expression [{}]", bad.expression));
                }
                Self::LogfmtFields { strict: *strict, fields: extractions.clone() }
            }
            Stage::Regexp(text) => {
                let re = skald_model::regex::unanchored(text).map_err(|e| e.to_string())?;
                let names = skald_model::regex::capture_names(text).map_err(|e| e.to_string())?;
                if let Some(bad) = names.iter().find(|n| !is_label_name(n)) {
                    return Err(format!("invalid extracted label name '{bad}'"));
                }
                let mut seen = HashSet::new();
                if let Some(twice) = names.iter().find(|n| !seen.insert(*n)) {
                    return Err(format!("duplicate extracted label name '{twice}'"));
                }
                if names.is_empty() {
                    return Err("at least one named capture must be supplied".to_owned());
                }
                Self::Regexp(re)
            }
            Stage::Pattern(text) => Self::Pattern(ParserPattern::new(text)?),
            _ => Self::Unpack,
        })
    }

    /// Adds what the line holds to `labels`. `true` when `buffers.out` is the new line.
    pub(super) fn run(
        &self,
        line: &str,
        labels: &mut LabelSet,
        hints: &Hints,
        buffers: &mut Buffers,
    ) -> bool {
        let is_done = match self {
            Self::Unpack if hints.skips_parsing() => false,
            _ => hints.satisfied(labels),
        };
        if is_done {
            return false;
        }
        match self {
            Self::Json => parse_json(line, labels, hints, buffers),
            Self::JsonPaths(paths) => json_paths(paths, line, labels, hints, buffers),
            Self::Logfmt { strict, keep_empty } => {
                parse_logfmt(line, *strict, *keep_empty, labels, hints, buffers);
            }
            Self::LogfmtFields { strict, fields } => {
                logfmt_fields(fields, line, *strict, labels, hints, buffers);
            }
            Self::Regexp(re) => {
                let Some(found) = re.captures(line) else { return false };
                for (i, name) in re.capture_names().enumerate() {
                    if let Some(name) = name.filter(|n| hints.may_want(n)) {
                        let value = found.get(i).map_or("", |m| m.as_str());
                        labels.add_parsed(name, value, Write::FirstWins, |n| hints.wants(n));
                    }
                }
            }
            Self::Pattern(pattern) => pattern.captures(line, |name, value| {
                if hints.may_want(name) {
                    labels.add_parsed(name, value, Write::FirstWins, |n| hints.wants(n));
                }
            }),
            Self::Unpack => return unpack(line, labels, hints, buffers),
        }
        false
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn is_logfmt_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c > ' ' && c != '=' && c != '"')
}

/// Appends a key as a label name, behind what is there with `_` between.
fn push_name(out: &mut String, key: &str) {
    if is_label_name(key) {
        return push_clean(out, key);
    }
    let key = key.trim();
    let Some(first) = key.chars().next() else { return };
    if !out.is_empty() || first.is_ascii_digit() {
        out.push('_');
    }
    out.extend(key.chars().map(|c| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' }));
}

/// As [`push_name`], of what is a label name.
fn push_clean(out: &mut String, key: &str) {
    if !out.is_empty() {
        out.push('_');
    }
    out.push_str(key);
}

/// Collects the members of an object as labels.
struct JsonLabels<'a> {
    labels: &'a mut LabelSet,
    hints: &'a Hints,
    buffers: &'a mut Buffers,
}

impl Visitor for JsonLabels<'_> {
    fn member(&mut self, key: &str, value: Json<'_>) -> bool {
        let Buffers { name, value: text, .. } = &mut *self.buffers;
        let hints = self.hints;
        let prefix_len = name.len();
        // Most fields are of no use to most queries.
        if prefix_len == 0 && !hints.may_want(key) && is_label_name(key) {
            return true;
        }
        push_key(name, key);
        let mut goes_on = true;
        if name.len() > prefix_len && hints.may_want(name) {
            let found = match value {
                Json::String(raw) if raw.contains('\\') => {
                    json::unescape_into(raw, text);
                    Some(text.as_str())
                }
                Json::String(raw) | Json::Bare(raw) => Some(raw),
                Json::Null | Json::Object(_) | Json::Array(_) => None,
            };
            if let Some(found) = found {
                let stored =
                    self.labels.add_parsed(name, found, Write::FirstWins, |n| hints.wants(n));
                goes_on = !(stored && hints.satisfied(self.labels));
            }
        }
        name.truncate(prefix_len);
        goes_on
    }

    fn enter(&mut self, key: &str) -> bool {
        let Buffers { name, lens, .. } = &mut *self.buffers;
        lens.push(name.len());
        push_key(name, key);
        let wanted = self.hints.may_want_prefix(name);
        if !wanted {
            name.truncate(lens.pop().unwrap_or(0));
        }
        wanted
    }

    fn leave(&mut self) {
        let len = self.buffers.lens.pop().unwrap_or(0);
        self.buffers.name.truncate(len);
    }
}

fn push_key(name: &mut String, key: &str) {
    if is_label_name(key) {
        push_clean(name, key);
    } else if key.contains('\\') {
        push_name(name, &json::unescape(key));
    } else {
        push_name(name, key);
    }
}

fn parse_json(line: &str, labels: &mut LabelSet, hints: &Hints, buffers: &mut Buffers) {
    buffers.name.clear();
    buffers.lens.clear();
    let mut visitor = JsonLabels { labels, hints, buffers };
    if let Err(e) = json::walk(line, &mut visitor) {
        fail(labels, LineError::Json, &e, buffers);
    }
}

fn fail(labels: &mut LabelSet, kind: LineError, e: &dyn std::error::Error, buffers: &mut Buffers) {
    buffers.value.clear();
    let _ = write!(buffers.value, "{e}");
    labels.set_error(kind, &buffers.value);
}

fn json_paths(
    paths: &[(String, JsonPath)],
    line: &str,
    labels: &mut LabelSet,
    hints: &Hints,
    buffers: &mut Buffers,
) {
    if line.is_empty() {
        return;
    }
    if !line.starts_with(['{', '[', '"']) {
        labels.set_error_alone(LineError::Json);
        return;
    }
    for (name, path) in paths.iter().filter(|(name, _)| hints.may_want(name)) {
        let value = match path.find(line) {
            Some(Json::String(raw)) if raw.contains('\\') => {
                json::unescape_into(raw, &mut buffers.value);
                buffers.value.as_str()
            }
            Some(Json::String(raw) | Json::Bare(raw) | Json::Object(raw) | Json::Array(raw)) => raw,
            // What is missing is empty under its own name, unless there is such a label.
            None => {
                if labels.get(name).is_none() && hints.wants(name) {
                    labels.set(name, "");
                }
                continue;
            }
            Some(Json::Null) => "",
        };
        labels.add_parsed(name, value, Write::Overwrite, |n| hints.wants(n));
    }
}

fn parse_logfmt(
    line: &str,
    strict: bool,
    keep_empty: bool,
    labels: &mut LabelSet,
    hints: &Hints,
    buffers: &mut Buffers,
) {
    for pair in Pairs::new(line) {
        let pair = match pair {
            Ok(pair) => pair,
            Err(e) if strict => return fail(labels, LineError::Logfmt, &e, buffers),
            Err(_) => continue,
        };
        if !hints.may_want(pair.key) && is_label_name(pair.key) {
            continue;
        }
        buffers.name.clear();
        push_name(&mut buffers.name, pair.key);
        if buffers.name.is_empty() || !hints.may_want(&buffers.name) {
            continue;
        }
        let value = logfmt::value(&pair, &mut buffers.value);
        if value.is_empty() && !keep_empty {
            continue;
        }
        let stored = labels.add_parsed(&buffers.name, value, Write::FirstWins, |n| hints.wants(n));
        if stored && hints.satisfied(labels) {
            return;
        }
    }
}

fn logfmt_fields(
    fields: &[Extraction],
    line: &str,
    strict: bool,
    labels: &mut LabelSet,
    hints: &Hints,
    buffers: &mut Buffers,
) {
    for field in fields.iter().filter(|f| hints.may_want(&f.name)) {
        if !labels.clashes(&field.name) {
            labels.add_parsed(&field.name, "", Write::Overwrite, |n| hints.wants(n));
        }
    }
    for pair in Pairs::new(line) {
        let pair = match pair {
            Ok(pair) => pair,
            Err(e) if strict => return fail(labels, LineError::Logfmt, &e, buffers),
            Err(_) => continue,
        };
        buffers.name.clear();
        push_name(&mut buffers.name, pair.key);
        let key = buffers.name.as_str();
        let is_source = |f: &&Extraction| f.expression == key || f.expression == pair.key;
        // What bears the name of a field and is no source of one is that field too.
        let has_source = fields.iter().any(|f| is_source(&f));
        let fills = |f: &&Extraction| if has_source { is_source(f) } else { f.name == key };
        for field in fields.iter().filter(fills).filter(|f| hints.may_want(&f.name)) {
            // A field that clashes is looked for once, and with it ends the line.
            if labels.clashes(&field.name) && labels.has_parsed_suffixed(&field.name) {
                return;
            }
            let value = logfmt::value(&pair, &mut buffers.value);
            labels.add_parsed(&field.name, value, Write::Overwrite, |n| hints.wants(n));
        }
    }
}

/// A packed line is a flat object of strings with the true line in `_entry`.
fn unpack(line: &str, labels: &mut LabelSet, hints: &Hints, buffers: &mut Buffers) -> bool {
    struct Packed {
        fields: Vec<(String, String)>,
        entry: Option<String>,
    }
    impl Visitor for Packed {
        fn member(&mut self, key: &str, value: Json<'_>) -> bool {
            let Json::String(raw) = value else { return true };
            let text = json::unescape(raw);
            if key == "_entry" {
                self.entry = Some(text);
            } else {
                self.fields.push((json::unescape(key), text));
            }
            true
        }
        fn enter(&mut self, _: &str) -> bool {
            false
        }
        fn leave(&mut self) {}
    }
    if line.is_empty() {
        return false;
    }
    let mut packed = Packed { fields: Vec::new(), entry: None };
    if let Err(e) = json::walk(line, &mut packed) {
        if !hints.skips_parsing() {
            fail(labels, LineError::Json, &e, buffers);
        }
        return false;
    }
    let Some(entry) = packed.entry else { return false };
    for (key, value) in packed.fields {
        buffers.name.clear();
        push_name(&mut buffers.name, &key);
        if hints.may_want(&buffers.name) {
            labels.add_parsed(&buffers.name, &value, Write::FirstWins, |n| hints.wants(n));
        }
    }
    buffers.out.clear();
    buffers.out.extend_from_slice(entry.as_bytes());
    true
}
