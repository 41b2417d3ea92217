//! The generator alone: repeatable, type-correct, and about the whole language.

use std::collections::BTreeSet;

use skald_logdiff::expr::query;
use skald_logdiff::shrink::smaller;

#[test]
fn a_seed_names_a_query_for_ever() {
    assert_eq!(query(1, 5), query(1, 5));
    let all: BTreeSet<String> = (0..1000).map(|n| query(1, n).1).collect();
    assert!(all.len() > 800, "only {} of 1000 are different", all.len());
    assert_ne!(query(2, 5), query(1, 5));
}

#[test]
fn most_queries_are_logql() {
    let refused = (0..2000).filter(|n| skald_logql::parse(&query(7, *n).1).is_err()).count();
    assert!((50..300).contains(&refused), "{refused} of 2000 are refused");
}

#[test]
fn all_stages_functions_and_operators_occur() {
    let text = (0..10_000).map(|n| query(11, n).1).collect::<Vec<_>>().join("\n");
    let words = "json logfmt regexp pattern unpack line_format label_format decolorize drop keep unwrap ip( |> !> \
        --strict --keep-empty rate( count_over_time bytes_rate bytes_over_time sum_over_time avg_over_time \
        min_over_time max_over_time stddev_over_time stdvar_over_time quantile_over_time first_over_time \
        last_over_time rate_counter absent_over_time sum avg min max count stddev stdvar topk bottomk sort_desc \
        label_replace vector( offset group_left group_right ignoring bool and or unless alignLeft unixToTime \
        toDateInZone regexReplaceAll b64dec fromJson printf __timestamp__ __line__ duration_seconds( define";
    for word in words.split_whitespace() {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn smaller_queries_are_smaller_and_parse() {
    let text = r#"sum by (a) (rate({app="x"} |= "a" | json | b="c", d > 5 [5m] offset 1m)) > 2"#;
    let parts = smaller(text);
    assert!(parts.len() > 5);
    for part in parts {
        assert!(part.len() < text.len());
        skald_logql::parse(&part).unwrap_or_else(|e| panic!("{part}: {e}"));
    }
}
