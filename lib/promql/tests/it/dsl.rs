//! The test language: commands, series lines, sample notation.

use skald_model::{Histogram, Labels, stale_nan};
use skald_promql::FloatHistogram;

use crate::number::{duration, float, histogram};

/// One slot of a series line.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Gap,
    Float(f64),
    /// With whether its reset hint was named.
    Histogram(Box<Histogram>, bool),
}

#[derive(Clone, Debug)]
pub(crate) struct SeriesLine {
    pub labels: Labels,
    pub items: Vec<Item>,
    /// How far before (negative) each sample its start lies, in milliseconds; empty without `@st`.
    pub starts: Vec<Option<i64>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Clear,
    Load { step_ms: i64, nhcb: bool, series: Vec<SeriesLine> },
    Eval(Box<Eval>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Eval {
    pub line: usize,
    pub query: String,
    /// Start, end, step; the step is 0 for an instant.
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    pub expects: Vec<Expect>,
    pub ordered: bool,
    pub scalar: Option<f64>,
    pub string: Option<String>,
    /// `expect range vector from … step …`
    pub range_vector: Option<(i64, i64)>,
    pub series: Vec<SeriesLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Fail,
    Warn,
    NoWarn,
    Info,
    NoInfo,
}

#[derive(Clone, Debug)]
pub(crate) enum Text {
    Any,
    Exactly(String),
    Pattern(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Expect {
    pub what: What,
    pub text: Text,
}

/// Parses a whole file.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let number = at + 1;
        at += 1;
        let word = line.split_whitespace().next().unwrap_or("").to_lowercase();
        let block_end =
            lines[at..].iter().position(|l| l.is_empty()).map_or(lines.len(), |n| at + n);
        let block = &lines[at..block_end];
        let fail = |e: String| format!("line {number}: {e}");
        if word.is_empty() {
            continue;
        } else if word == "clear" {
            out.push(Command::Clear);
        } else if word.starts_with("load") {
            out.push(load(line, block).map_err(fail)?);
            at = block_end;
        } else if word.starts_with("eval") {
            out.push(Command::Eval(Box::new(eval(line, number, block).map_err(fail)?)));
            at = block_end;
        } else {
            return Err(fail(format!("unknown command {line:?}")));
        }
    }
    Ok(out)
}

fn load(line: &str, block: &[&str]) -> Result<Command, String> {
    let (word, step) = line.split_once(char::is_whitespace).ok_or("load without a step")?;
    let step_ms = duration(step.trim()).ok_or("bad step")?;
    let mut series: Vec<SeriesLine> = Vec::new();
    let mut pending: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in block {
        let (labels, rest) = labels(line)?;
        if let Some(rest) = rest.strip_prefix("@st") {
            pending = Some((labels, starts(rest)?));
            continue;
        }
        let starts = match pending.take() {
            Some((of, starts)) if of == labels => starts,
            Some(_) => return Err("@st of another series".to_owned()),
            None => Vec::new(),
        };
        let parsed = SeriesLine { labels, items: items(rest.trim())?, starts };
        if !parsed.starts.is_empty() && parsed.starts.len() != parsed.items.len() {
            return Err("@st of another length".to_owned());
        }
        series.retain(|s| s.labels != parsed.labels);
        series.push(parsed);
    }
    Ok(Command::Load { step_ms, nhcb: word == "load_with_nhcb", series })
}

fn eval(line: &str, number: usize, block: &[&str]) -> Result<Eval, String> {
    let (word, rest) = line.split_once(char::is_whitespace).ok_or("eval of nothing")?;
    let mut eval = Eval { line: number, ..Eval::default() };
    let any = |what| Expect { what, text: Text::Any };
    match word {
        "eval" => {}
        "eval_fail" => eval.expects.push(any(What::Fail)),
        "eval_warn" => eval.expects.push(any(What::Warn)),
        "eval_info" => eval.expects.push(any(What::Info)),
        "eval_ordered" => eval.ordered = true,
        other => return Err(format!("unknown command {other}")),
    }
    let rest = rest.trim();
    if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim_start();
        let (at, query) = match rest.strip_prefix("at ") {
            Some(rest) => rest.trim_start().split_once(char::is_whitespace).ok_or("no query")?,
            None => ("0", rest),
        };
        eval.start_ms = duration(at).ok_or("bad time")?;
        eval.end_ms = eval.start_ms;
        query.trim().clone_into(&mut eval.query);
    } else {
        let rest = rest.strip_prefix("range from ").ok_or("neither instant nor range")?;
        let (from, rest) = rest.trim().split_once(" to ").ok_or("no to")?;
        let (to, rest) = rest.trim().split_once(" step ").ok_or("no step")?;
        let (step, query) = rest.trim().split_once(char::is_whitespace).ok_or("no query")?;
        eval.start_ms = duration(from.trim()).ok_or("bad from")?;
        eval.end_ms = duration(to.trim()).ok_or("bad to")?;
        eval.step_ms = duration(step).ok_or("bad step")?;
        query.trim().clone_into(&mut eval.query);
    }
    for line in block {
        expected(&mut eval, line)?;
    }
    Ok(eval)
}

fn expected(eval: &mut Eval, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("expect ") {
        return expect(eval, rest.trim());
    }
    for (prefix, pattern) in [("expected_fail_message ", false), ("expected_fail_regexp ", true)] {
        if let Some(text) = line.strip_prefix(prefix) {
            let text = text.trim().to_owned();
            let text = if pattern { Text::Pattern(text) } else { Text::Exactly(text) };
            eval.expects.push(Expect { what: What::Fail, text });
            return Ok(());
        }
    }
    if let Some(v) = float(line) {
        eval.scalar = Some(v);
        return Ok(());
    }
    eval.series.push(series_line(line)?);
    Ok(())
}

fn expect(eval: &mut Eval, rest: &str) -> Result<(), String> {
    if let Some(rest) = rest.strip_prefix("range vector from ") {
        let (from, rest) = rest.split_once(" to ").ok_or("no to")?;
        let (_, step) = rest.split_once(" step ").ok_or("no step")?;
        let parse = |s: &str| duration(s.trim()).ok_or("bad duration");
        eval.range_vector = Some((parse(from)?, parse(step)?));
        return Ok(());
    }
    if let Some(text) = rest.strip_prefix("string ") {
        let text = text.trim();
        let inner = &text[1..text.len() - 1];
        let value = if text.starts_with('`') {
            inner.to_owned()
        } else {
            inner.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\")
        };
        eval.string = Some(value);
        return Ok(());
    }
    let (what, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let what = match what {
        "ordered" => {
            eval.ordered = true;
            return Ok(());
        }
        "fail" => What::Fail,
        "warn" => What::Warn,
        "no_warn" => What::NoWarn,
        "info" => What::Info,
        "no_info" => What::NoInfo,
        other => return Err(format!("unknown expectation {other}")),
    };
    let text = text.trim();
    let text = if let Some(msg) = text.strip_prefix("msg:") {
        Text::Exactly(msg.trim().to_owned())
    } else if let Some(pattern) = text.strip_prefix("regex:") {
        Text::Pattern(pattern.trim().to_owned())
    } else {
        Text::Any
    };
    eval.expects.push(Expect { what, text });
    Ok(())
}

/// `name{a="b"} values`. `None` for lines of start timestamps.
fn series_line(line: &str) -> Result<SeriesLine, String> {
    let (labels, rest) = labels(line)?;
    Ok(SeriesLine { labels, items: items(rest.trim())?, starts: Vec::new() })
}

/// `_x2 -1m -30s-1mx3`: offsets from the times of samples.
fn starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let bad = || format!("bad start {item:?}");
        let (body, times) = match item.rsplit_once('x') {
            Some((body, n)) => (body, Some(n.parse::<i64>().map_err(|_| bad())?)),
            None => (item, None),
        };
        if body == "_" {
            out.extend((0..times.unwrap_or(1)).map(|_| None));
            continue;
        }
        let signed = |s: &str| duration(s.strip_prefix('+').unwrap_or(s)).ok_or_else(bad);
        let (first, delta) = match body.get(1..).and_then(|b| b.find(['+', '-'])) {
            Some(at) => (signed(&body[..=at])?, signed(&body[at + 1..])?),
            None => (signed(body)?, 0),
        };
        out.extend((0..=times.unwrap_or(0)).map(|k| Some(first + k * delta)));
    }
    Ok(out)
}

fn labels(line: &str) -> Result<(Labels, &str), String> {
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(line.len());
    let mut pairs: Vec<(String, String)> = Vec::new();
    if end > 0 {
        pairs.push((Labels::NAME.to_owned(), line[..end].to_owned()));
    }
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([' ', ',', '\t']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let name;
            (name, rest) = match rest.chars().next() {
                Some('"' | '\'' | '`') => quoted(rest)?,
                _ => {
                    let end = rest.find(['=', ' ']).ok_or("label without a value")?;
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('=') {
                let value;
                (value, rest) = quoted(after.trim_start())?;
                pairs.push((name, value));
            } else {
                pairs.push((Labels::NAME.to_owned(), name));
            }
        }
    }
    Ok((Labels::from_pairs(pairs), rest))
}

fn quoted(s: &str) -> Result<(String, &str), String> {
    let quote = s.chars().next().ok_or("missing string")?;
    let mut out = String::new();
    let mut chars = s.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, c)) => out.push(c),
                None => break,
            },
            c if c == quote => return Ok((out, &s[at + c.len_utf8()..])),
            c => out.push(c),
        }
    }
    Err(format!("unterminated string {s:?}"))
}

fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = item_end(rest)?;
        item(&rest[..end], &mut out)?;
        rest = rest[end..].trim_start();
    }
    Ok(out)
}

/// Histograms contain spaces.
fn item_end(rest: &str) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let tail = &rest[at..];
        let space = tail.find(char::is_whitespace).unwrap_or(tail.len());
        match tail.find("{{") {
            Some(open) if open < space => {
                at += open + tail[open..].find("}}").ok_or("unclosed histogram")? + 2;
            }
            _ => return Ok(at + space),
        }
    }
}

fn item(text: &str, out: &mut Vec<Item>) -> Result<(), String> {
    let bad = || format!("bad item {text:?}");
    let (body, times) = match text.rsplit_once('x') {
        Some((body, n)) => match n.parse::<usize>() {
            Ok(n) => (body, Some(n)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    };
    if body == "_" {
        out.extend(std::iter::repeat_n(Item::Gap, times.unwrap_or(1)));
        return Ok(());
    }
    let n = times.map_or(1, |n| n + 1);
    if body == "stale" {
        out.extend(std::iter::repeat_n(Item::Float(stale_nan()), n));
        return Ok(());
    }
    if body.contains("{{") {
        return histograms(body, n, out).ok_or_else(bad);
    }
    if let Some(v) = float(body) {
        out.extend(std::iter::repeat_n(Item::Float(v), n));
        return Ok(());
    }
    // a+bxN or a-bxN: the operator is the sign that neither starts nor follows an exponent.
    let split = body
        .char_indices()
        .skip(1)
        .find(|(i, c)| ['+', '-'].contains(c) && !body[..*i].ends_with(['e', 'E', '+', '-']));
    let (at, _) = split.ok_or_else(bad)?;
    let start = float(&body[..at]).ok_or_else(bad)?;
    let delta = float(body[at..].strip_prefix('+').unwrap_or(&body[at..])).ok_or_else(bad)?;
    let mut v = start;
    for _ in 0..n {
        out.push(Item::Float(v));
        v += delta;
    }
    Ok(())
}

fn histograms(body: &str, n: usize, out: &mut Vec<Item>) -> Option<()> {
    let (sign, body) = match body.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, body),
    };
    let inner = body.strip_prefix("{{")?;
    let (first, rest) = inner.split_once("}}")?;
    let (mut first, hinted) = histogram(first)?;
    if sign < 0.0 {
        let mut negative = FloatHistogram::from(&first);
        negative.scale(-1.0);
        first = negative.to_model();
    }
    if rest.is_empty() {
        out.extend(std::iter::repeat_n(Item::Histogram(Box::new(first), hinted), n));
        return Some(());
    }
    let negative = rest.starts_with('-');
    let delta = rest[1..].trim_start().strip_prefix("{{")?.strip_suffix("}}")?;
    let delta = FloatHistogram::from(&histogram(delta)?.0);
    let mut acc = FloatHistogram::from(&first);
    for _ in 0..n {
        out.push(Item::Histogram(Box::new(acc.to_model()), hinted));
        if negative {
            acc.sub(&delta).ok()?;
        } else {
            acc.add(&delta).ok()?;
        }
    }
    Some(())
}
