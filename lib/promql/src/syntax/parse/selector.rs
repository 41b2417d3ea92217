//! Selectors: a name, matchers in braces, or both.

use skald_model::{Labels, MatchOp, Matcher};
use skald_vector::BinaryOp;

use super::{Context, Parser, Result};
use crate::syntax::MAX_PATTERN_BYTES;
use crate::syntax::ast::{Length, Span, VectorSelector};
use crate::syntax::token::{Kind, Token};

impl Parser<'_> {
    fn unexpected_matcher(&self, expected: &'static str) -> crate::syntax::ParseError {
        self.unexpected_in(Context { place: "label matching", expected })
    }

    pub(super) fn selector(&mut self) -> Result<VectorSelector> {
        let first = self.peek()?;
        let mut span = Span { start: first.start, end: first.end };
        let mut name = None;
        if first.kind != Kind::LeftBrace {
            self.next()?;
            name = Some(self.text(first).to_owned());
        }
        let mut matchers = Vec::new();
        if self.eat(Kind::LeftBrace)?.is_some() {
            (matchers, span.end) = self.matchers()?;
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(Labels::NAME, name));
        }
        let (offset, at, extension) = (Length::default(), None, None);
        Ok(VectorSelector { name, matchers, offset, at, extension, span })
    }

    /// Matchers up to the closing brace, and where that ends.
    fn matchers(&mut self) -> Result<(Vec<Matcher>, usize)> {
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.eat(Kind::RightBrace)? {
                return Ok((matchers, close.end));
            }
            matchers.push(self.matcher()?);
            if self.eat(Kind::Comma)?.is_none() && self.peek()?.kind != Kind::RightBrace {
                return Err(self.unexpected_matcher("\",\" or \"}\""));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let label = self.peek()?;
        let name = match label.kind {
            Kind::Identifier => self.text(label).to_owned(),
            Kind::Text => self.string(label)?,
            _ => return Err(self.unexpected_matcher("identifier or \"}\"")),
        };
        self.next()?;
        let op = match self.peek()?.kind {
            Kind::Equal => MatchOp::Equal,
            Kind::Op(BinaryOp::Ne) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            _ if label.kind == Kind::Text => return Ok(Matcher::equal(Labels::NAME, &name)),
            _ => return Err(self.unexpected_matcher("label matching operator")),
        };
        self.next()?;
        let Some(value) = self.eat(Kind::Text)? else {
            return Err(self.unexpected_matcher("string"));
        };
        self.compile(label, op, &name, value)
    }

    fn compile(&mut self, label: Token, op: MatchOp, name: &str, value: Token) -> Result<Matcher> {
        let value = self.string(value)?;
        let plain = matches!(op, MatchOp::Equal | MatchOp::NotEqual);
        if let Some(compiled) = self.patterns.get(&value).filter(|_| !plain) {
            return Ok(compiled.with(op, name));
        }
        let matcher =
            Matcher::new(op, name, &value).map_err(|e| self.error(label.start, e.to_string()))?;
        if !plain {
            self.patterns_bytes += matcher.cost();
            if self.patterns_bytes > MAX_PATTERN_BYTES {
                let text = format!("regular expressions take more than {MAX_PATTERN_BYTES} bytes");
                return Err(self.error(label.start, text));
            }
            self.patterns.insert(value, matcher.clone());
        }
        Ok(matcher)
    }
}
