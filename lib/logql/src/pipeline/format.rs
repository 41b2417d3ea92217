//! `line_format`, `label_format` and `decolorize`.

use regex::Regex;

use super::labels::{LabelSet, LineError};
use crate::ast::{FormatValue, LabelFormat};
use crate::template::{Scope, Template};

/// What a template sees of an entry.
struct LineScope<'a> {
    labels: &'a LabelSet,
    line: &'a [u8],
    timestamp_ns: i64,
}

impl Scope for LineScope<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        self.labels.iter().collect()
    }

    fn line(&self) -> &[u8] {
        self.line
    }

    fn timestamp_ns(&self) -> i64 {
        self.timestamp_ns
    }
}

/// `line_format "…"`.
#[derive(Debug)]
pub(super) struct LineFormat(Template);

/// `label_format a=b, c="…"`.
#[derive(Debug)]
pub(super) struct LabelFormats {
    formats: Vec<(String, Value)>,
    reads_line: bool,
}

#[derive(Debug)]
enum Value {
    Rename(String),
    Template(Template),
}

fn compile(text: &str) -> Result<Template, String> {
    Template::new(text).map_err(|e| format!("invalid line template: {e}"))
}

fn names(template: &Template, name: &mut impl FnMut(&str)) -> bool {
    template.fields().into_iter().for_each(&mut *name);
    !template.uses_all()
}

// === impl LineFormat ===

impl LineFormat {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        Ok(Self(compile(text)?))
    }

    /// Calls `name` with the labels the template reads; `false` when it may read others.
    pub(super) fn names(&self, name: &mut impl FnMut(&str)) -> bool {
        names(&self.0, name)
    }

    /// Writes the new line to `out`. `false`, with an error on the line, when that fails.
    pub(super) fn run(
        &self,
        line: &[u8],
        timestamp_ns: i64,
        labels: &mut LabelSet,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let scope = LineScope { labels, line, timestamp_ns };
        match self.0.run(&scope, out) {
            Ok(()) => true,
            Err(e) => {
                labels.set_error(LineError::Template, &e);
                false
            }
        }
    }
}

// === impl LabelFormats ===

impl LabelFormats {
    pub(super) fn new(formats: &[LabelFormat]) -> Result<Self, String> {
        let value = |format: &LabelFormat| {
            Ok::<_, String>(match &format.value {
                FormatValue::Rename(src) => Value::Rename(src.clone()),
                FormatValue::Template(text) => Value::Template(compile(text)?),
            })
        };
        let pair = |format: &LabelFormat| Ok((format.name.clone(), value(format)?));
        // Where the word stands as text, the line is made for nothing.
        let reads_line = |format: &LabelFormat| matches!(&format.value, FormatValue::Template(text) if text.contains("__line__"));
        Ok(Self {
            formats: formats.iter().map(pair).collect::<Result<_, String>>()?,
            reads_line: formats.iter().any(reads_line),
        })
    }

    /// Whether a template may look at the line.
    pub(super) fn reads_line(&self) -> bool {
        self.reads_line
    }

    /// As [`LineFormat::names`].
    pub(super) fn names(&self, name: &mut impl FnMut(&str)) -> bool {
        let mut known = true;
        for (_, value) in &self.formats {
            match value {
                Value::Rename(src) => name(src),
                Value::Template(template) => known &= names(template, name),
            }
        }
        known
    }

    /// Templates see the labels as they are at the first template of the stage.
    pub(super) fn run(
        &self,
        line: &[u8],
        timestamp_ns: i64,
        labels: &mut LabelSet,
        out: &mut Vec<u8>,
    ) {
        let n_templates =
            self.formats.iter().filter(|(_, v)| matches!(v, Value::Template(_))).count();
        let mut snapshot: Option<LabelSet> = None;
        for (dst, value) in &self.formats {
            let template = match value {
                Value::Rename(src) => {
                    labels.rename(dst, src);
                    continue;
                }
                Value::Template(template) => template,
            };
            if snapshot.is_none() && n_templates > 1 {
                snapshot = Some(labels.clone());
            }
            out.clear();
            let scope =
                LineScope { labels: snapshot.as_ref().unwrap_or(labels), line, timestamp_ns };
            match template.run(&scope, out) {
                Ok(()) => labels.set(dst, &String::from_utf8_lossy(out)),
                Err(e) => labels.set_error(LineError::Template, &e),
            }
        }
    }
}

/// The escape sequences of terminals.
pub(super) fn ansi() -> Result<Regex, String> {
    let introducer = r"[\x{1b}\x{9b}][\[\]()#;?]*";
    let titled = r"(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07";
    let control = r"(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]";
    let pattern = format!("{introducer}(?:(?:{titled})|(?:{control}))");
    skald_model::regex::unanchored(&pattern).map_err(|e| e.to_string())
}
