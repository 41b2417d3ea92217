//! The level of a line: from a label or metadata, else from a field of a JSON or logfmt line, else from
//! the first word that is a level.

use std::sync::LazyLock;

use skald_model::Labels;

mod hints;
mod scan;

use self::hints::Hint;

/// How much of a line is looked at.
const MAX_SCAN: usize = 8 << 10;

/// A log level, as `detected_level` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Trace = 1,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
    Fatal,
    Unknown,
}

const ALL: [Level; 8] = [
    Level::Trace,
    Level::Debug,
    Level::Info,
    Level::Warn,
    Level::Error,
    Level::Critical,
    Level::Fatal,
    Level::Unknown,
];

/// Names of labels, metadata and fields that hold a level, in lower case.
const KEYS: [&[u8]; 9] = [
    b"level",
    b"lvl",
    b"severity",
    b"log.level",
    b"log_level",
    b"loglevel",
    b"severity_text",
    b"severitytext",
    b"severity_level",
];

/// Structured metadata that lines get here.
pub(super) const DETECTED_LEVEL: &str = "detected_level";

/// OpenTelemetry's number, in metadata.
const SEVERITY_NUMBER: &str = "severity_number";

// === impl Level ===

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
            Self::Unknown => "unknown",
        }
    }

    /// Structured metadata that says this level and nothing else.
    pub(super) fn as_metadata(self) -> &'static Labels {
        static ALONE: LazyLock<[Labels; 8]> = LazyLock::new(|| {
            ALL.map(|level| Labels::from_pairs([(DETECTED_LEVEL, level.as_str())]))
        });
        &ALONE[self as usize - 1]
    }

    pub(super) fn to_flags(self) -> u8 {
        self as u8
    }

    pub(super) fn from_flags(flags: u8) -> Option<Self> {
        ALL.get(usize::from(flags).checked_sub(1)?).copied()
    }

    /// The level that a field's value names.
    pub(super) fn of_value(value: &[u8]) -> Option<Self> {
        let is = |words: &[&str]| words.iter().any(|w| value.eq_ignore_ascii_case(w.as_bytes()));
        Some(match value.len() {
            3..=13 if is(&["trace", "trc"]) => Self::Trace,
            3..=13 if is(&["debug", "dbg"]) => Self::Debug,
            3..=13 if is(&["info", "inf", "information", "informational", "notice"]) => Self::Info,
            3..=13 if is(&["warn", "wrn", "warning"]) => Self::Warn,
            3..=13 if is(&["error", "err"]) => Self::Error,
            3..=13 if is(&["critical", "crit", "alert"]) => Self::Critical,
            3..=13 if is(&["fatal", "ftl", "emergency", "emerg", "panic"]) => Self::Fatal,
            _ => return None,
        })
    }
}

/// The level of a stream's labels.
pub(super) fn of_pairs(labels: &Labels) -> Option<Level> {
    let value = labels.iter().find(|(name, _)| is_key(name.as_bytes()))?.1;
    Some(Level::of_value(value.as_bytes()).unwrap_or(Level::Unknown))
}

/// The level of an entry's structured metadata.
pub(super) fn of_metadata<'m>(
    pairs: impl Iterator<Item = (&'m str, &'m str)> + Clone,
) -> Option<Level> {
    let named = pairs.clone().find(|(name, value)| !value.is_empty() && is_key(name.as_bytes()));
    if let Some((_, value)) = named {
        return Some(Level::of_value(value.as_bytes()).unwrap_or(Level::Unknown));
    }
    let mut pairs = pairs;
    let number: u8 = pairs.find(|(name, _)| *name == SEVERITY_NUMBER)?.1.parse().ok()?;
    Some(match number {
        1..=4 => Level::Trace,
        5..=8 => Level::Debug,
        9..=12 => Level::Info,
        13..=16 => Level::Warn,
        17..=20 => Level::Error,
        21..=24 => Level::Fatal,
        _ => Level::Unknown,
    })
}

/// The level of a line's text.
pub(super) fn of_line(line: &[u8]) -> Level {
    let line = &line[..line.len().min(MAX_SCAN)];
    let Some(hints) = hints::hints(line) else { return of_line_by_bytes(line) };
    let mut word = None;
    let mut fields_were_read = false;
    for hint in hints {
        match hint {
            // Whatever word stands before it, a field comes first.
            Hint::Key if !fields_were_read => {
                if let Some(level) = of_field(line) {
                    return level;
                }
                fields_were_read = true;
            }
            Hint::Word(at) if word.is_none() => word = scan::word_at(line, at),
            _ => {}
        }
        if fields_were_read && word.is_some() {
            break;
        }
    }
    word.unwrap_or(Level::Unknown)
}

/// As [`of_line`], for processors that cannot search for hints.
fn of_line_by_bytes(line: &[u8]) -> Level {
    of_field(line).or_else(|| scan::first_word(line)).unwrap_or(Level::Unknown)
}

fn of_field(line: &[u8]) -> Option<Level> {
    let field = match line.trim_ascii_start().first() {
        Some(b'{') => scan::json_field(line, &is_key),
        _ => scan::logfmt_field(line, &is_key),
    };
    field.and_then(Level::of_value)
}

fn is_key(name: &[u8]) -> bool {
    // Most names are settled by length and first letter.
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    (3..=14).contains(&name.len())
        && (first == b'l' || first == b's')
        && KEYS.iter().any(|key| name.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests;
