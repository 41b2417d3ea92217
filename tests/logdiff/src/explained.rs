//! Differences that docs/logql-differences.md explains under "Found by `logdiff`".
//!
//! Each is told by what both say, as narrowly as can be: what only looks like it stays a difference.

use skald_logql::ast::Expr;
use skald_logql::parse;

use crate::compare::{Difference, Kind, is_sorted};

/// One explanation.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// What the document calls it, word by word.
    pub heading: &'static str,
    fits: fn(&str, &Difference) -> bool,
}

/// Another choice among series of equal values.
pub const TIES: &str = "Ties";
/// Another choice among the lines that `interval` and `limit` leave.
pub const INTERVAL: &str = "`interval`";
/// What `| json a="b"` finds in what is not quite JSON.
pub const BROKEN_FIELDS: &str = "Fields of broken JSON";
/// Loki shows equal lines of one time once.
pub const EQUAL_LINES: &str = "Equal lines";

/// All that is told by what both say.
pub const EXPLAINED: [Explained; 13] = [
    Explained {
        heading: "Words of syntax errors",
        fits: |_, d| {
            d.kind == Kind::ErrorText
                && d.theirs.starts_with("parse error")
                && d.ours.starts_with("parse error at line")
        },
    },
    Explained {
        heading: "Errors of stages",
        fits: |query, d| {
            // Of samples Loki may leave out the stages that make lines.
            let left_out =
                !query.starts_with(['{', '(']) && d.ours.contains("invalid line template");
            let lazy = match d.kind {
                Kind::Status if left_out => d.theirs.starts_with("200"),
                Kind::ErrorText => d.theirs.starts_with("log queries are not supported as an inst"),
                Kind::Status => d.theirs.starts_with("200") && d.theirs.contains(r#""result":[]"#),
                _ => false,
            };
            lazy && d.ours.trim_start_matches("400 Bad Request ").starts_with("parse error at line")
        },
    },
    Explained {
        heading: "A number instead of a vector",
        fits: |_, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("500")
                && d.ours.starts_with("400")
                && d.ours.contains("unexpected literal in ")
        },
    },
    Explained {
        heading: "Signs in `vector()`",
        fits: |query, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("400")
                && d.ours.starts_with("200")
                && ["vector(-", "vector(+"].iter().any(|call| query.contains(call))
        },
    },
    Explained {
        heading: "Hexadecimal numbers",
        fits: |query, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("200")
                && d.ours.starts_with("400")
                && d.ours.contains("unable to parse literal as a float")
                && query.contains("0x")
        },
    },
    Explained {
        heading: "The time of literals",
        fits: |query, d| {
            let literals = matches!(parse(query), Ok(expr @ Expr::Metric(_)) if expr.selector_matchers().is_empty());
            d.kind == Kind::Samples && literals
        },
    },
    Explained {
        heading: "Deviation of one NaN",
        fits: |query, d| {
            d.kind == Kind::Value
                && ["stddev", "stdvar"].iter().any(|op| query.contains(op))
                && d.theirs.ends_with(r#","0"]"#)
                && d.ours.ends_with(r#","NaN"]"#)
        },
    },
    Explained {
        heading: "Averages with infinity",
        fits: |query, d| {
            d.kind == Kind::Value
                && query.starts_with("avg")
                && d.theirs.ends_with(r#","NaN"]"#)
                && d.ours.ends_with(r#"Inf"]"#)
        },
    },
    Explained {
        heading: "Extrapolated counters",
        fits: |query, d| d.kind == Kind::Value && query.starts_with("rate_counter(") && near(d),
    },
    Explained {
        heading: "Dots in logfmt names",
        fits: |query, d| {
            matches!(d.kind, Kind::Status | Kind::ErrorText)
                && d.theirs.contains("cannot parse expression [")
                && query.contains("| logfmt")
        },
    },
    Explained {
        heading: "Grouping of set operations",
        fits: |_, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("200")
                && d.ours.contains("no grouping allowed for set operations")
        },
    },
    Explained {
        heading: "Time zones",
        fits: |query, d| {
            query.contains("toDateInZone \"2006-01-02T15:04:05\" \"Nowhere/X\"")
                && d.ours.contains("TemplateFormatErr")
                && !d.theirs.contains("TemplateFormatErr")
        },
    },
    Explained {
        heading: "Order of inner sorts",
        fits: |query, d| d.kind == Kind::Order && !is_sorted(query) && query.contains("sort"),
    },
];

/// Whether ours is what extrapolation can make of theirs: it adds at most the spacing of the samples at either end.
fn near(d: &Difference) -> bool {
    let value = |text: &str| text.split('"').nth(1).and_then(|v| v.parse::<f64>().ok());
    match (value(&d.theirs), value(&d.ours)) {
        (Some(t), Some(o)) => (0.6..3.3).contains(&(o / t)),
        _ => false,
    }
}

/// The headings of all explanations.
pub fn headings() -> Vec<&'static str> {
    let told = EXPLAINED.iter().map(|e| e.heading);
    told.chain(crate::rewrite::headings())
        .chain([TIES, INTERVAL, EQUAL_LINES, BROKEN_FIELDS])
        .collect()
}

/// The heading in the document under which the difference stands, if what both say tells.
pub fn explanation(query: &str, difference: &Difference) -> Option<&'static str> {
    EXPLAINED.iter().find(|e| (e.fits)(query, difference)).map(|e| e.heading)
}
