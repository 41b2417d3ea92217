//! Why an operation on vectors fails. Texts are those of Prometheus; clients show them.

use skald_model::Labels;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabelset,
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    )]
    DuplicateMatch { group: Labels, side: &'static str, first: Labels, second: Labels },
    #[error(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )]
    ManyToOne,
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    AmbiguousGrouping,
    #[error("{0}")]
    Parameter(String),
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error("query was canceled")]
    Cancelled,
}
