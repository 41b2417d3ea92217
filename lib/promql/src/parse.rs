//! Text → checked expression, with promql-parser behind bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skald_model::Matcher;

use crate::expr::Expr;
use crate::lex::Env;
use crate::{QueryError, convert, lex};

/// Stands for a query's times where none are known.
const ANY_ENV: Env = Env { step: 60.0, range: 3600.0 };

/// Parses and checks `query`. Never panics, whatever the input.
pub(crate) fn parse(query: &str, env: Env) -> Result<Expr, QueryError> {
    let tokens = lex::tokens(query)?;
    if tokens.tokens.is_empty() {
        return Err(QueryError::Parse("1:1: parse error: no expression found in input".to_owned()));
    }
    let text = tokens.rewrite(query, env)?;
    // The tokens were checked for everything known to make the crate panic; this is the last line.
    let parsed = catch_unwind(AssertUnwindSafe(|| promql_parser::parser::parse(&text)))
        .map_err(|_| QueryError::Parse("parse error: the query cannot be parsed".to_owned()))?
        .map_err(|text| QueryError::Parse(format!("parse error: {}", tokens.readable(&text))))?;
    convert::convert(&parsed, &tokens)
}

/// Whether `query` is valid PromQL that this engine supports.
pub fn check_query(query: &str) -> Result<(), QueryError> {
    parse(query, ANY_ENV).map(drop)
}

/// The matchers of a plain series selector, as in the `match[]` parameter.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match parse(text, ANY_ENV)? {
        Expr::Selector(s) if s.offset_ms == 0 && s.at.is_none() => Ok(s.matchers),
        _ => Err(QueryError::Parse(
            "parse error: expected a series selector without modifiers".to_owned(),
        )),
    }
}
