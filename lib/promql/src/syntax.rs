//! The language: lexer, Pratt parser, type check, printers.
//!
//! Grammar, positions and error texts are those of Prometheus 3.14. Every input is bounded: bytes,
//! tokens, depth of nesting; chains of binary operators lean to the left and are walked in loops,
//! so nothing recurses deeper than [`MAX_DEPTH`] times a constant. Checking is linear.
//!
//! ```text
//! text ─lex─▶ tokens ─parse─▶ ast ─check─▶ ast with types known to be right ─▶ lower, print, pretty
//! ```

pub mod ast;
mod check;
pub(crate) mod duration;
mod error;
mod function;
mod lex;
mod number;
mod parse;
mod pretty;
mod print;
mod string;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use self::check::value_type;
pub(crate) use self::duration::Env;
pub use self::error::ParseError;
pub use self::function::{FUNCTIONS, Signature, ValueType};
pub use self::pretty::pretty;

use self::ast::{Expr, VectorSelector};

/// Longest query, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most tokens: a sum of 10,000 rates has 120,000. Bounds every chain of operators.
pub const MAX_TOKENS: usize = 131_072;
/// Most bytes that all regular expressions of a query compile to, about.
pub const MAX_PATTERN_BYTES: usize = 64 << 20;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 128;

/// Parses and checks a query.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    let mut expr = parse::Parser::new(query)?.query()?;
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses a bare selector, as in `match[]`; that it selects something is not checked.
pub fn parse_selector(text: &str) -> Result<VectorSelector, ParseError> {
    parse::Parser::new(text)?.bare_selector()
}
