//! Text → the expression that is evaluated.

use skald_model::Matcher;

use crate::expr::Expr;
use crate::syntax::{self, Env, ParseError};
use crate::{QueryError, lower};

/// Stands for a query's times where none are known.
const ANY_ENV: Env = Env { step: 60.0, range: 3600.0 };

impl From<ParseError> for QueryError {
    fn from(e: ParseError) -> Self {
        Self::Parse(e.to_string())
    }
}

/// Parses and checks `query`. Never panics, whatever the input.
pub(crate) fn parse(query: &str, env: Env) -> Result<Expr, QueryError> {
    lower::lower(&syntax::parse(query)?, env)
}

/// Whether `query` is valid PromQL that this engine supports.
pub fn check_query(query: &str) -> Result<(), QueryError> {
    parse(query, ANY_ENV).map(drop)
}

/// The matchers of a plain series selector, as in the `match[]` parameter.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    let matchers = syntax::parse_selector(text)?.by_name_first();
    if matchers.iter().all(Matcher::matches_empty) {
        let text = "match[] must contain at least one non-empty matcher".to_owned();
        return Err(QueryError::Parse(text));
    }
    Ok(matchers)
}
