//! One syslog message. What does not follow either RFC is kept whole as the text.

use std::borrow::Cow;

use skald_model::calendar::date_of;

use crate::time;

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const NS_PER_SEC: i64 = 1_000_000_000;
/// Longest word that is taken for a tag.
const MAX_TAG: usize = 64;
/// Parameters of structured data that are looked at.
const MAX_PARAMETERS: usize = 128;

/// The parts of a message; what it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) facility: &'static str,
    pub(super) severity: &'static str,
    pub(super) ts: Option<i64>,
    pub(super) host: &'a str,
    pub(super) app: &'a str,
    pub(super) proc_id: &'a str,
    pub(super) msg_id: &'a str,
    /// Structured data, as `id.name`.
    pub(super) data: Vec<(String, Cow<'a, str>)>,
    pub(super) text: &'a str,
}

/// Reads a message. Times without a zone are `zone_secs` east of Greenwich; those without a year are
/// in the year that brings them nearest to `now_ns`.
pub(super) fn parse(frame: &str, now_ns: i64, zone_secs: i64) -> Message<'_> {
    let frame = frame.trim_end_matches(['\n', '\r', '\0']);
    let Some((facility, severity, rest)) = priority(frame) else {
        return old(frame, now_ns, zone_secs);
    };
    let message = match rest.strip_prefix("1 ").and_then(new) {
        Some(message) => message,
        None => old(rest, now_ns, zone_secs),
    };
    Message { facility, severity, ..message }
}

/// `<34>` in front: facility and severity, and the rest.
fn priority(frame: &str) -> Option<(&'static str, &'static str, &str)> {
    let (number, rest) = frame.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let number: usize = if is_number { number.parse().ok()? } else { return None };
    Some((FACILITIES.get(number / 8)?, SEVERITIES.get(number % 8)?, rest))
}

/// RFC 5424, behind the version.
fn new(rest: &str) -> Option<Message<'_>> {
    let mut rest = rest;
    let mut word = || {
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        Some(if word == "-" { "" } else { word }).filter(|_| !word.is_empty())
    };
    let (ts, host, app, proc_id, msg_id) = (word()?, word()?, word()?, word()?, word()?);
    let ts = if ts.is_empty() { None } else { Some(time::parse(ts)?) };
    let (data, text) = structured_data(rest)?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(Message { ts, host, app, proc_id, msg_id, data, text, ..Message::default() })
}

type Data<'a> = Vec<(String, Cow<'a, str>)>;

/// `[id k="v" …][…]` or `-`, and what follows.
fn structured_data(text: &str) -> Option<(Data<'_>, &str)> {
    let mut data = Data::new();
    if let Some(rest) = text.strip_prefix('-') {
        return Some((data, rest));
    }
    // Some senders leave even the `-` out.
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, mut tail) = element.split_at(end);
        while let Some(parameter) = tail.strip_prefix(' ') {
            let (name, value) = parameter.split_once("=\"")?;
            let (value, after) = quoted(value)?;
            if data.len() < MAX_PARAMETERS {
                data.push((format!("{id}.{name}"), value));
            }
            tail = after;
        }
        rest = tail.strip_prefix(']')?;
    }
    Some((data, rest))
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    let mut has_escapes = false;
    loop {
        let at = from + text.get(from..)?.find(['"', '\\'])?;
        if text.as_bytes().get(at) == Some(&b'"') {
            let (value, rest) = text.split_at(at);
            let value = if has_escapes { unescaped(value).into() } else { Cow::Borrowed(value) };
            return Some((value, rest.get(1..)?));
        }
        has_escapes = true;
        // The character behind the backslash, however long it is.
        from = at + 1 + text.get(at + 1..)?.chars().next()?.len_utf8();
    }
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        // Other backslashes are meant as they are.
        match chars.peek() {
            Some(next @ ('"' | '\\' | ']')) if c == '\\' => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// RFC 3164, behind the priority: a time, perhaps a host, a tag, and the text.
fn old(text: &str, now_ns: i64, zone_secs: i64) -> Message<'_> {
    let whole = Message { text, ..Message::default() };
    let Some((ts, rest)) = old_time(text, now_ns, zone_secs) else { return whole };
    let mut message = Message { ts: Some(ts), text: rest, ..Message::default() };
    // A word that is no tag is the host; RFC 3164 wants one, local senders leave it out.
    let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
    let has_host =
        !word.is_empty() && !word.ends_with(':') && !word.contains('[') && !tail.is_empty();
    if has_host {
        message.host = word;
        message.text = tail;
    }
    if let Some((app, proc_id, text)) = tag(message.text) {
        (message.app, message.proc_id, message.text) = (app, proc_id, text);
    }
    message
}

/// `tag: text`, `tag[pid]: text`.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./@".contains(c);
    let end = text.find(|c| !is_part(c)).filter(|end| (1..=MAX_TAG).contains(end))?;
    let (app, rest) = text.split_at(end);
    let (proc_id, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let rest = rest.strip_prefix(':')?;
    Some((app, proc_id, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// `Nov 27 18:53:34`, perhaps with a year behind the day, or an ISO time; and what follows.
fn old_time(text: &str, now_ns: i64, zone_secs: i64) -> Option<(i64, &str)> {
    if text.as_bytes().first()?.is_ascii_digit() {
        let (word, rest) = text.split_once(' ')?;
        return word
            .contains('T')
            .then_some(())
            .and_then(|()| time::parse(word))
            .map(|ts| (ts, rest));
    }
    let month = 1 + MONTHS.iter().position(|m| text.get(..3) == Some(*m))?;
    let month = i64::try_from(month).ok()?;
    let rest = text.get(3..)?.trim_start_matches(' ');
    let (day, rest) = rest.split_once(' ')?;
    let (year, rest) = match rest.split_once(' ') {
        Some((word, tail)) if word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()) => {
            (Some(word.parse::<i64>().ok()?), tail)
        }
        _ => (None, rest),
    };
    let (clock, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    // Cisco puts a colon behind the time.
    let clock = clock.strip_suffix(':').unwrap_or(clock);
    let at = |year: i64| {
        let day: i64 = day.parse().ok()?;
        let ts = time::parse(&format!("{year:04}-{month:02}-{day:02}T{clock}Z"))?;
        ts.checked_sub(zone_secs.checked_mul(NS_PER_SEC)?)
    };
    let ts = match year {
        Some(year) => at(year)?,
        None => {
            let (now, ..) = date_of(now_ns.div_euclid(86_400 * NS_PER_SEC));
            let all = (now - 1..=now + 1).filter_map(at);
            all.min_by_key(|ts| ts.abs_diff(now_ns))?
        }
    };
    Some((ts, rest))
}
