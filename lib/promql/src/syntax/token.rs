//! Tokens and how errors call them.

use skald_vector::{AggregateOp, BinaryOp};

use skald_model::quote::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Eof,
    /// The text is not a token; always the last one.
    Error,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    Text,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    Equal,
    EqualRegex,
    NotRegex,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

// === impl Kind ===

impl Kind {
    /// The keyword that `word` is, in any case.
    pub(super) fn keyword(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "and" => Self::Op(BinaryOp::And),
            "or" => Self::Op(BinaryOp::Or),
            "unless" => Self::Op(BinaryOp::Unless),
            "atan2" => Self::Op(BinaryOp::Atan2),
            "sum" => Self::Aggregate(AggregateOp::Sum),
            "avg" => Self::Aggregate(AggregateOp::Avg),
            "count" => Self::Aggregate(AggregateOp::Count),
            "min" => Self::Aggregate(AggregateOp::Min),
            "max" => Self::Aggregate(AggregateOp::Max),
            "group" => Self::Aggregate(AggregateOp::Group),
            "stddev" => Self::Aggregate(AggregateOp::Stddev),
            "stdvar" => Self::Aggregate(AggregateOp::Stdvar),
            "topk" => Self::Aggregate(AggregateOp::Topk),
            "bottomk" => Self::Aggregate(AggregateOp::Bottomk),
            "count_values" => Self::Aggregate(AggregateOp::CountValues),
            "quantile" => Self::Aggregate(AggregateOp::Quantile),
            "limitk" => Self::Aggregate(AggregateOp::Limitk),
            "limit_ratio" => Self::Aggregate(AggregateOp::LimitRatio),
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "start" => Self::Start,
            "end" => Self::End,
            "inf" | "nan" => Self::Number,
            other => return Self::duration_keyword(other),
        })
    }

    /// The keyword of duration expressions that `word` (in lower case) is.
    pub(super) fn duration_keyword(word: &str) -> Option<Self> {
        Some(match word {
            "step" => Self::Step,
            "range" => Self::Range,
            "max_of" => Self::MaxOf,
            "min_of" => Self::MinOf,
            _ => return None,
        })
    }

    /// Whether a metric can have this name without quotes.
    pub(super) fn is_metric(self) -> bool {
        match self {
            Self::Op(op) => op.is_set(),
            Self::Bool | Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight => false,
            Self::Without => true,
            _ => self.is_label(),
        }
    }

    /// Whether a label can have this name without quotes within `by (…)`.
    pub(super) fn is_label(self) -> bool {
        match self {
            Self::Op(op) => op.is_set() || op == BinaryOp::Atan2,
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            // An oversight of Prometheus's grammar, and part of the language by now.
            Self::Without => false,
            _ => self.is_keyword() || self.is_preprocessor(),
        }
    }

    /// Whether a call can have this name.
    pub(super) fn is_function(self) -> bool {
        self == Self::Identifier || self.is_preprocessor()
    }

    /// Whether an expression can start with it.
    pub(super) fn starts_expression(self) -> bool {
        matches!(
            self,
            Self::Number
                | Self::Duration
                | Self::Text
                | Self::LeftParen
                | Self::LeftBrace
                | Self::Op(BinaryOp::Add | BinaryOp::Sub)
        ) || self.is_metric()
    }

    fn is_preprocessor(self) -> bool {
        matches!(
            self,
            Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf
        )
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::By
                | Self::GroupLeft
                | Self::GroupRight
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Ignoring
                | Self::Offset
                | Self::Smoothed
                | Self::Anchored
                | Self::On
                | Self::Without
        )
    }

    /// `text` as errors show it, with the kind of token where that says more.
    pub(super) fn describe(self, text: &str) -> String {
        let class = match self {
            Self::Eof => return "end of input".to_owned(),
            Self::Identifier => return format!("identifier {}", quote(text)),
            Self::MetricIdentifier => return format!("metric identifier {}", quote(text)),
            Self::Number => "number ",
            Self::Duration => "duration ",
            Self::Text => "string ",
            Self::EqualRegex | Self::NotRegex | Self::At | Self::Op(_) => {
                return format!("<op:{text}>");
            }
            Self::Aggregate(_) => return format!("<aggr:{text}>"),
            kind if kind.is_keyword() => return format!("<{text}>"),
            _ => "",
        };
        if text.len() > 10 {
            let cut: String = text.chars().take(10).collect();
            return format!("{class}{}...", quote(&cut));
        }
        format!("{class}{}", quote(text))
    }
}
