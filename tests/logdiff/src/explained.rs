//! Differences that docs/logql-differences.md explains under "Found by `logdiff`".
//!
//! Each is told by what both say, as narrowly as can be: what only looks like it stays a difference.

use skald_logql::ast::{Expr, LogExpr, MetricExpr, RangeAgg, Stage};
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
/// Numbers that are equal up to rounding, and told apart behind it.
pub const ROUNDING: &str = "Rounding";
/// Loki shows the kinds of another line's labels.
pub const KINDS: &str = "Kinds of labels";
/// Loki shows equal lines of one time once.
pub const EQUAL_LINES: &str = "Equal lines";

/// All that is told by what both say.
pub const EXPLAINED: [Explained; 24] = [
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
                Kind::Status if d.theirs.contains("parse error : stage '") => {
                    d.theirs.starts_with("500")
                }
                Kind::ErrorText if d.theirs.starts_with("pipeline error") => {
                    ["invalid line template", "parse literal"].iter().any(|w| d.ours.contains(w))
                }
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
        heading: "Series made equal",
        fits: |query, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("200")
                && d.ours.contains("metrics with the same labelset")
                && query.contains("label_replace(")
        },
    },
    Explained {
        heading: "All labels of a template",
        fits: |query, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("200")
                && d.ours.contains("pipeline error: ")
                && query.contains("{{.}}")
                && !query.starts_with(['{', '('])
        },
    },
    Explained {
        heading: "Labels that are not text",
        fits: |query, d| {
            d.kind == Kind::ResultType
                && d.theirs == "null"
                && query.contains("label_format")
                && ["b64dec", "slice", "substr", "trunc"].iter().any(|f| query.contains(f))
        },
    },
    Explained {
        heading: "Strict logfmt",
        fits: |query, d| {
            d.kind == Kind::Series
                && query.contains("| logfmt --strict ")
                && !query.starts_with(['{', '('])
                && d.ours.starts_with("0 of ")
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
            let refused = match d.kind {
                Kind::Status | Kind::ErrorText => d.theirs.contains("cannot parse expression ["),
                // Found only where there are lines.
                Kind::Series => d.theirs.starts_with("0 of 0") && query.contains("user.name"),
                _ => false,
            };
            refused && query.contains("| logfmt")
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
        heading: "`bool` of arithmetic",
        fits: |_, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("200")
                && d.ours.contains("bool modifier can only be used on comparison operators")
        },
    },
    Explained {
        heading: "Duplicates beside nothing",
        fits: |_, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("500")
                && d.theirs.contains("hand-side;many-to-many matching not allowed")
                && d.ours.starts_with("200")
                && d.ours.contains(r#""result":[]"#)
        },
    },
    Explained {
        heading: "Errors of matching",
        fits: |_, d| {
            let theirs = d.theirs.strip_prefix("500 Internal Server Error ");
            let ours = d.ours.strip_prefix("400 Bad Request ");
            let about = ["matching not allowed", "multiple matches for labels"];
            d.kind == Kind::Status
                && theirs.zip(ours).is_some_and(|(t, o)| t.trim_end() == o.trim_end())
                && about.iter().any(|words| d.theirs.contains(words))
        },
    },
    Explained {
        heading: "One series twice",
        fits: |query, d| {
            let twice = match d.kind {
                Kind::Series => d.theirs.starts_with("0 of ") && d.ours.starts_with("0 of "),
                Kind::Samples => {
                    let times: Vec<&str> = d.theirs.split(' ').collect();
                    times.windows(2).any(|pair| pair[0] == pair[1])
                }
                _ => false,
            };
            twice && query.contains("without")
        },
    },
    Explained {
        heading: "Errors of groups of a range",
        fits: |query, d| {
            let by_error = |agg: &RangeAgg| {
                let names = agg.grouping.as_ref().map(|g| (g.without, g.labels.as_slice()));
                let kept = d.theirs.contains("__preserve_error__=\"true\"");
                matches!(names, Some((false, names)) if kept || names.iter().any(|n| n == "__error__"))
            };
            matches!(d.kind, Kind::Series | Kind::Value | Kind::Samples | Kind::Status)
                && matches!(parse(query), Ok(Expr::Metric(MetricExpr::Range(agg))) if by_error(&agg))
        },
    },
    Explained {
        heading: "Fields that were parsed before",
        fits: |query, d| {
            let fields = |stage: &Stage| matches!(stage, Stage::Logfmt { extractions, .. } if !extractions.is_empty());
            let parses = |stage: &Stage| {
                matches!(
                    stage,
                    Stage::Json(_)
                        | Stage::Logfmt { .. }
                        | Stage::Regexp(_)
                        | Stage::Pattern(_)
                        | Stage::Unpack
                        | Stage::LabelFormat(_)
                )
            };
            let again = |log: &LogExpr| {
                let first = log.stages.iter().position(parses);
                log.stages.iter().rposition(fields).is_some_and(|last| first < Some(last))
            };
            matches!(d.kind, Kind::Series | Kind::Lines | Kind::Samples | Kind::Value)
                && parse(query).is_ok_and(|expr| expr.log_exprs().into_iter().any(again))
        },
    },
    Explained {
        heading: "Unary minus",
        fits: |query, d| {
            d.kind == Kind::Status
                && d.theirs.starts_with("400")
                && d.theirs.contains("expecting NUMBER")
                && d.ours.starts_with("200")
                && query.contains("-rate(")
        },
    },
    Explained {
        heading: "Kinds of numbers",
        fits: |query, d| {
            // What is shown is cut somewhere.
            let theirs = d.theirs.replace("int64", "int");
            let len = theirs.len().min(d.ours.len());
            query.contains("printf") && theirs != d.theirs && theirs.get(..len) == d.ours.get(..len)
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
        .chain([TIES, INTERVAL, EQUAL_LINES, BROKEN_FIELDS, ROUNDING, KINDS])
        .collect()
}

/// The heading in the document under which the difference stands, if what both say tells.
pub fn explanation(query: &str, difference: &Difference) -> Option<&'static str> {
    EXPLAINED.iter().find(|e| (e.fits)(query, difference)).map(|e| e.heading)
}
