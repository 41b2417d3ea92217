//! The generator alone: repeatable, type-correct, and about the whole language.

use std::collections::BTreeSet;

use skald_promdiff::expr::expression;
use skald_promql::check_query;
use skald_promql::syntax::FUNCTIONS;

#[test]
fn a_seed_names_an_expression_for_ever() {
    assert_eq!(expression(1, 5), expression(1, 5));
    let all: BTreeSet<String> = (0..1000).map(|n| expression(1, n)).collect();
    assert!(all.len() > 800, "only {} of 1000 are different", all.len());
    assert_ne!(expression(2, 5), expression(1, 5));
}

#[test]
fn every_expression_passes_the_type_check() {
    for n in 0..5000 {
        let query = expression(7, n);
        check_query(&query).unwrap_or_else(|e| panic!("{n}: {query}: {e}"));
    }
}

#[test]
fn all_functions_operators_and_modifiers_occur() {
    let all: Vec<String> = (0..20_000).map(|n| expression(11, n)).collect();
    let text = all.join("\n");
    let aggregations = [
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
        "count_values",
        "limitk",
        "limit_ratio",
    ];
    let words = [
        "offset",
        "@ start()",
        "@ end()",
        " by (",
        "without (",
        "on(",
        "ignoring(",
        "group_left",
        "group_right",
        "fill(",
        "fill_left(",
        "fill_right(",
        "bool",
        "anchored",
        "smoothed",
        "</",
        ">/",
        " and",
        " or",
        " unless",
        "atan2",
        "[5m:",
        "{\"dotted.name\"",
    ];
    let calls = FUNCTIONS.iter().map(|f| format!("{}(", f.name));
    let missing: Vec<String> = calls
        .chain(aggregations.map(str::to_owned))
        .chain(words.map(str::to_owned))
        .filter(|word| !text.contains(word.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
