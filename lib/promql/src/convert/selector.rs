//! Selectors: matchers, offsets, `@`.

use std::time::{Duration, SystemTime};

use promql_parser::label::MatchOp as UpMatchOp;
use promql_parser::parser as up;
use skald_model::{Labels, MatchOp, Matcher};

use super::{Converter, parse_error};
use crate::QueryError;
use crate::expr::{At, Selector};

impl Converter<'_> {
    pub(super) fn selector(&mut self, s: &up::VectorSelector) -> Result<Selector, QueryError> {
        if !s.matchers.or_matchers.is_empty() {
            return Err(parse_error(
                "unexpected \"or\" in label matching, expected \",\" or \"}\"",
            ));
        }
        let mut matchers = Vec::with_capacity(s.matchers.matchers.len() + 1);
        if let Some(name) = &s.name {
            matchers.push(Matcher::equal(Labels::NAME, self.tokens.resolve(name)));
        }
        for m in &s.matchers.matchers {
            let (name, value) = (self.tokens.resolve(&m.name), self.tokens.resolve(&m.value));
            let op = match m.op {
                UpMatchOp::Equal => MatchOp::Equal,
                UpMatchOp::NotEqual => MatchOp::NotEqual,
                UpMatchOp::Re(_) => MatchOp::Regex,
                UpMatchOp::NotRe(_) => MatchOp::NotRegex,
            };
            let matcher = Matcher::new(op, name, value)
                .map_err(|e| parse_error(&format!("error parsing regexp: {e}")))?;
            matchers.push(matcher);
        }
        check_matchers(&matchers, s.name.is_some())?;
        self.selectors += 1;
        Ok(Selector {
            id: self.selectors - 1,
            matchers,
            offset_ms: offset(s.offset.as_ref())?,
            at: at(s.at.as_ref())?,
        })
    }
}

/// The rules that hold for every selector.
fn check_matchers(matchers: &[Matcher], named: bool) -> Result<(), QueryError> {
    if matchers.iter().any(|m| m.name.is_empty()) {
        return Err(parse_error("label name must not be empty"));
    }
    let mut names = matchers.iter().filter(|m| m.name == Labels::NAME && m.op == MatchOp::Equal);
    if let (true, Some(a), Some(b)) = (named, names.next(), names.next()) {
        return Err(parse_error(&format!(
            "metric name must not be set twice: {:?} or {:?}",
            a.value, b.value
        )));
    }
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(parse_error("vector selector must contain at least one non-empty matcher"));
    }
    Ok(())
}

pub(super) fn millis(d: Duration) -> Result<i64, QueryError> {
    i64::try_from(d.as_millis()).map_err(|_| parse_error("duration out of range"))
}

pub(super) fn offset(offset: Option<&up::Offset>) -> Result<i64, QueryError> {
    match offset {
        None => Ok(0),
        Some(up::Offset::Pos(d)) => millis(*d),
        Some(up::Offset::Neg(d)) => Ok(-millis(*d)?),
    }
}

pub(super) fn at(at: Option<&up::AtModifier>) -> Result<Option<At>, QueryError> {
    Ok(match at {
        None => None,
        Some(up::AtModifier::Start) => Some(At::Start),
        Some(up::AtModifier::End) => Some(At::End),
        Some(up::AtModifier::At(time)) => {
            let ms = match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => millis(after)?,
                Err(before) => -millis(before.duration())?,
            };
            Some(At::Ms(ms))
        }
    })
}
