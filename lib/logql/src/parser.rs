//! Query text to tree: recursive descent over tokens, with spans and a depth limit.
//!
//! Split along what is read: [`selector`], [`pipeline`] stages, label [`filter`]s, [`range`]
//! aggregations and [`metric`] expressions. Nesting counts against [`MAX_DEPTH`] before it is
//! entered, and long chains are loops, so no input can exhaust the stack.

mod check;
mod filter;
mod function;
mod metric;
mod pipeline;
mod range;
#[cfg(test)]
mod roundtrip;
mod selector;
#[cfg(test)]
mod tests;

use skald_model::Matcher;

pub use self::check::check_selector;
use crate::ast::{Expr, MAX_DEPTH};
use crate::error::ParseError;
use crate::lexer::{Span, Tok, Token, tokens};

type Result<T> = std::result::Result<T, ParseError>;

/// Parses and checks a query.
pub fn parse(query: &str) -> Result<Expr> {
    let mut parser = Parser::new(query)?;
    let expr = parser.expr(0)?;
    parser.expect_end()?;
    check::expr(&expr)?;
    Ok(expr)
}

/// Parses a bare selector, as `series?match[]=` takes it. `{}` passes; see [`check_selector`].
pub fn parse_selector(query: &str) -> Result<Vec<Matcher>> {
    let mut parser = Parser::new(query)?;
    let matchers = parser.selector()?;
    parser.expect_end()?;
    Ok(matchers)
}

/// Words that are never label names.
const RESERVED: [&str; 22] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "and",
    "or",
    "unless",
    "json",
    "regexp",
    "logfmt",
    "unpack",
    "pattern",
    "line_format",
    "label_format",
    "unwrap",
    "drop",
    "keep",
    "decolorize",
];

pub(crate) struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    pos: usize,
    depth: usize,
    n_stages: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Result<Self> {
        Ok(Self { query, tokens: tokens(query)?, pos: 0, depth: 0, n_stages: 0 })
    }

    fn token(&self, ahead: usize) -> &Token {
        // The last token is `End`; looking past it sees it again.
        &self.tokens[(self.pos + ahead).min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Tok {
        &self.token(0).tok
    }

    fn span(&self) -> Span {
        self.token(0).span
    }

    fn advance(&mut self) {
        self.pos = (self.pos + 1).min(self.tokens.len() - 1);
    }

    /// The span from `start` to the token just read.
    fn span_from(&self, start: Span) -> Span {
        let end = self.tokens[self.pos.saturating_sub(1)].span.end;
        Span { start: start.start, end }
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(found) if *found == op)
    }

    fn take_op(&mut self, op: &str) -> bool {
        let hit = self.is_op(op);
        if hit {
            self.advance();
        }
        hit
    }

    fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.take_op(op) { Ok(()) } else { Err(self.unexpected(op)) }
    }

    /// Whether the token `ahead` is the word, in any case.
    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(&self.token(ahead).tok, Tok::Ident(found) if found.eq_ignore_ascii_case(word))
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let hit = self.is_word(word);
        if hit {
            self.advance();
        }
        hit
    }

    /// Whether a label name comes next.
    fn is_name(&self) -> bool {
        matches!(self.peek(), Tok::Ident(name) if !is_reserved(name))
    }

    fn name(&mut self) -> Result<String> {
        match self.peek() {
            Tok::Ident(name) if !is_reserved(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected("IDENTIFIER")),
        }
    }

    fn string(&mut self) -> Result<String> {
        match self.peek() {
            Tok::Str(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected("STRING")),
        }
    }

    fn expect_end(&self) -> Result<()> {
        if *self.peek() == Tok::End { Ok(()) } else { Err(self.unexpected("$end")) }
    }

    fn unexpected(&self, expecting: &str) -> ParseError {
        let found = self.peek().describe();
        self.error_here(format!("syntax error: unexpected {found}, expecting {expecting}"))
    }

    fn error_here(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.span(), message)
    }

    fn error_at(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::at(self.query, span.start, message)
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_depth(self.depth + 1)?;
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.error_here(format!("query is nested deeper than {MAX_DEPTH} levels")))
    }

    /// `item {"," item}`.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut out = vec![item(self)?];
        while self.take_op(",") {
            out.push(item(self)?);
        }
        Ok(out)
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word))
}
