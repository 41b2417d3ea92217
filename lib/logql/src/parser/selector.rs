//! `{app="x", env=~"y"}`.

use skald_model::{MatchOp, Matcher};

use super::{Parser, Result};
use crate::lexer::Tok;

impl Parser<'_> {
    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>> {
        self.expect_op("{")?;
        if self.take_op("}") {
            return Ok(Vec::new());
        }
        let matchers = self.list(Self::matcher)?;
        self.expect_op("}")?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let name = self.name()?;
        let Some(op) = self.match_op() else { return Err(self.unexpected("= or != or =~ or !~")) };
        self.advance();
        self.matcher_value(&name, op)
    }

    /// The matching operator that comes next, not yet taken.
    pub(super) fn match_op(&self) -> Option<MatchOp> {
        match self.peek() {
            Tok::Op("=") => Some(MatchOp::Equal),
            Tok::Op("!=") => Some(MatchOp::NotEqual),
            Tok::Op("=~") => Some(MatchOp::Regex),
            Tok::Op("!~") => Some(MatchOp::NotRegex),
            _ => None,
        }
    }

    /// Reads the string and compiles the matcher.
    pub(super) fn matcher_value(&mut self, name: &str, op: MatchOp) -> Result<Matcher> {
        let span = self.span();
        let value = self.string()?;
        Matcher::new(op, name, &value).map_err(|e| self.error_at(span, e.to_string()))
    }
}
