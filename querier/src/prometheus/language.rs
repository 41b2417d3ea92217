//! What the routes need of the query language itself: its printer, and selectors alone and inside
//! queries.

use skald_model::Matcher;
use skald_promql::QueryError;
use skald_promql::syntax;

use super::{Notes, success};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// `format_query`: the query as Prometheus would lay it out.
pub(super) async fn format(_: Querier, call: Call) -> Result<Answer, Error> {
    let query = call.params.get("query").unwrap_or("");
    let expr = syntax::parse(query).map_err(|e| Error::parameter("query", e))?;
    let text = syntax::pretty(&expr);
    Ok(success(text.len(), Notes::default(), move |json| {
        json.string(&text);
    }))
}

/// `parse_query`: the syntax tree.
pub(super) async fn tree(_: Querier, call: Call) -> Result<Answer, Error> {
    let query = call.params.get("query").unwrap_or("");
    let expr = syntax::parse(query).map_err(|e| Error::parameter("query", e))?;
    Ok(success(8 * query.len(), Notes::default(), move |json| super::tree::write(json, &expr)))
}

/// The matchers of a series selector.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    skald_promql::parse_selector(text)
}

/// The matchers of every selector of a query, each set once.
pub(super) fn selectors(text: &str) -> Result<Vec<Vec<Matcher>>, QueryError> {
    let expr = syntax::parse(text)?;
    let mut out: Vec<Vec<Matcher>> = Vec::new();
    for matchers in expr.selectors() {
        if !out.iter().any(|known| known == matchers) {
            out.push(matchers.to_vec());
        }
    }
    Ok(out)
}
