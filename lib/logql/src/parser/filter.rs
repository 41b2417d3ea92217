//! Label filters.
//!
//! The word `and` binds tighter than `or`. A comma, or nothing at all, between two filters is also
//! an "and", but takes only the one unit before it on its left and the *whole rest* on its right:
//! `a, b or c` means `a and (b or c)`, while `a and b or c` means `(a and b) or c`.

use skald_model::MatchOp;

use super::{Parser, Result};
use crate::ast::{CompareOp, LabelFilter};
use crate::lexer::Tok;
use crate::pipeline::ip::IpMatcher;

impl Parser<'_> {
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter> {
        // Units before a comma at the very left stand in front of all the rest.
        let mut before = Vec::new();
        let mut first = self.filter_unit()?;
        while self.take_filter_separator() {
            before.push(first);
            first = self.filter_unit()?;
        }
        let mut alternatives = Vec::new();
        let mut all = vec![first];
        loop {
            if self.take_word("and") {
                all.push(self.filter_item()?);
            } else if self.take_word("or") {
                alternatives.push(join(all, LabelFilter::And));
                all = vec![self.filter_item()?];
            } else {
                break;
            }
        }
        alternatives.push(join(all, LabelFilter::And));
        before.push(join(alternatives, LabelFilter::Or));
        Ok(join(before, LabelFilter::And))
    }

    /// A unit, with the whole rest after it when a comma follows.
    fn filter_item(&mut self) -> Result<LabelFilter> {
        let unit = self.filter_unit()?;
        if !self.take_filter_separator() {
            return Ok(unit);
        }
        let rest = self.nested(Self::label_filter)?;
        Ok(join(vec![unit, rest], LabelFilter::And))
    }

    /// Takes a comma, or nothing before another unit.
    fn take_filter_separator(&mut self) -> bool {
        self.take_op(",") || self.is_op("(") || self.is_name()
    }

    fn filter_unit(&mut self) -> Result<LabelFilter> {
        if self.take_op("(") {
            let inner = self.nested(Self::label_filter)?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        if let Some(op) = self.match_op() {
            let is_string = matches!(self.token(1).tok, Tok::Str(_));
            if is_string || matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
                self.advance();
                return Ok(LabelFilter::String(self.matcher_value(&name, op)?));
            }
            if self.is_word_at(1, "ip") {
                self.advance();
                let negated = op == MatchOp::NotEqual;
                let pattern = self.ip_call()?;
                return Ok(LabelFilter::Ip { name, negated, pattern });
            }
        }
        let op = match self.peek() {
            Tok::Op("=" | "==") => CompareOp::Equal,
            Tok::Op("!=") => CompareOp::NotEqual,
            Tok::Op(">") => CompareOp::Greater,
            Tok::Op(">=") => CompareOp::GreaterEqual,
            Tok::Op("<") => CompareOp::Less,
            Tok::Op("<=") => CompareOp::LessEqual,
            _ => return Err(self.unexpected("comparison operator")),
        };
        self.advance();
        self.compared_value(name, op)
    }

    fn compared_value(&mut self, name: String, op: CompareOp) -> Result<LabelFilter> {
        let filter = match *self.peek() {
            Tok::Duration(value) => LabelFilter::Duration { name, op, value },
            Tok::Bytes(value) => LabelFilter::Bytes { name, op, value },
            _ => return Ok(LabelFilter::Number { name, op, value: self.signed_number()? }),
        };
        self.advance();
        Ok(filter)
    }

    /// `[+-] NUMBER`.
    pub(super) fn signed_number(&mut self) -> Result<f64> {
        let negative = self.is_op("-");
        if negative || self.is_op("+") {
            self.advance();
        }
        match *self.peek() {
            Tok::Number(value) => {
                self.advance();
                Ok(if negative { -value } else { value })
            }
            _ => Err(self.unexpected("NUMBER or DURATION or BYTES or STRING")),
        }
    }

    /// `ip("…")`, checked.
    pub(super) fn ip_call(&mut self) -> Result<String> {
        self.advance();
        self.expect_op("(")?;
        let span = self.span();
        let pattern = self.string()?;
        self.expect_op(")")?;
        IpMatcher::new(&pattern).map_err(|e| self.error_at(span, e.to_string()))?;
        Ok(pattern)
    }
}

/// One part alone stays itself; parts that are already joined the same way are taken in.
fn join(parts: Vec<LabelFilter>, make: fn(Vec<LabelFilter>) -> LabelFilter) -> LabelFilter {
    let is_and = matches!(make(Vec::new()), LabelFilter::And(_));
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            LabelFilter::And(inner) if is_and => out.extend(inner),
            LabelFilter::Or(inner) if !is_and => out.extend(inner),
            other => out.push(other),
        }
    }
    match out.pop() {
        Some(only) if out.is_empty() => only,
        Some(last) => {
            out.push(last);
            make(out)
        }
        None => make(out),
    }
}
