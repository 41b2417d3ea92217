//! What each run of the fuzzer does with its bytes. Also compiled into the tests of `skald-promql`,
//! which call it with damaged queries.

use skald_promql::syntax;

/// Parses, prints and copies.
pub(crate) fn parse(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let _ = syntax::parse_selector(query);
    let _ = skald_promql::check_query(query);
    let Ok(expr) = syntax::parse(query) else { return };
    assert!(query.get(expr.span().start..expr.span().end).is_some(), "a place outside of {query}");
    let _ = expr.selectors();
    let _ = syntax::pretty(&expr);
    let printed = expr.to_string();
    assert_eq!(expr.clone().to_string(), printed);
    let _ = syntax::parse(&printed);
}
