//! Differences that docs/logql-differences.md explains under "Found by `logdiff`".
//!
//! Each is told by what both say, as narrowly as can be: what only looks like it stays a difference.

use skald_logql::ast::{Expr, LineOperand, Stage};
use skald_logql::parse;

use crate::compare::{Difference, Kind};

/// One explanation.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// What the document calls it, word by word.
    pub heading: &'static str,
    fits: fn(&str, &Difference) -> bool,
}

/// All that is explained.
pub const EXPLAINED: [Explained; 9] = [
    Explained {
        heading: "Words of syntax errors",
        fits: |_, d| {
            d.kind == Kind::ErrorText
                && d.theirs.contains("syntax error")
                && d.ours.starts_with("parse error")
        },
    },
    Explained {
        heading: "Errors of stages",
        fits: |_, d| {
            d.kind == Kind::ErrorText
                && d.theirs.contains("parse error : stage '")
                && d.ours.starts_with("parse error at line")
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
        heading: "Addresses or texts",
        fits: |query, d| {
            matches!(d.kind, Kind::Series | Kind::Lines | Kind::Samples | Kind::Value)
                && mixes_addresses_and_texts(query)
        },
    },
    Explained {
        heading: "Words that are no level",
        fits: |_, d| {
            // The one stream of the data set that has such a word.
            d.theirs.contains(r#"detected_level="stream""#)
                && d.ours.contains(r#"detected_level="unknown""#)
        },
    },
];

/// Whether a line filter looks for addresses and for texts.
fn mixes_addresses_and_texts(query: &str) -> bool {
    let Ok(expr) = parse(query) else { return false };
    let is_address = |o: &LineOperand| matches!(o, LineOperand::Ip(_));
    let mixes = |stage: &Stage| match stage {
        Stage::LineFilter(f) => {
            f.operands.iter().any(is_address) && !f.operands.iter().all(is_address)
        }
        _ => false,
    };
    expr.log_exprs().into_iter().flat_map(|log| &log.stages).any(mixes)
}

/// The heading in the document under which the difference stands, if it is one of those.
pub fn explanation(query: &str, difference: &Difference) -> Option<&'static str> {
    EXPLAINED.iter().find(|e| (e.fits)(query, difference)).map(|e| e.heading)
}
