//! Whatever a tree says, its printed form parses to the same tree.

use proptest::prelude::*;
use skald_model::{MatchOp, Matcher};

use crate::ast::{
    Arg, At, Binary, BinaryOp, Call, Cardinality, CompareOp, Expr, Extraction, FormatValue,
    Function, Grouping, LabelFilter, LabelFormat, LineFilter, LineOp, LineOperand, LogExpr,
    LogRange, Matching, MetricExpr, NameMatch, RangeAgg, RangeOp, Span, Stage, Subquery, VectorAgg,
    VectorOp, VectorParam,
};
use crate::parser::parse;

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,3}x", Just("rate".to_owned()), Just("duration".to_owned())]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~äß\n\t\u{1}]{0,6}", Just("\"\\".to_owned())]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    (name(), text(), 0..4u8).prop_map(|(name, text, op)| {
        let quoted = regex_syntax::escape(&text);
        match op {
            0 => Matcher::equal(&name, &text),
            1 => Matcher::new(MatchOp::NotEqual, &name, &text).unwrap(),
            2 => Matcher::new(MatchOp::Regex, &name, &quoted).unwrap(),
            _ => Matcher::new(MatchOp::NotRegex, &name, &quoted).unwrap(),
        }
    })
}

fn compare() -> impl Strategy<Value = CompareOp> {
    use CompareOp::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    prop::sample::select(vec![Equal, NotEqual, Greater, GreaterEqual, Less, LessEqual])
}

fn filter() -> impl Strategy<Value = LabelFilter> {
    let leaf =
        prop_oneof![
            matcher().prop_map(LabelFilter::String),
            (name(), compare(), -1e9..1e9).prop_map(|(name, op, value)| LabelFilter::Number {
                name,
                op,
                value
            }),
            (name(), compare(), 1i64..1 << 55)
                .prop_map(|(name, op, value)| LabelFilter::Duration { name, op, value }),
            (name(), compare(), 0u64..1 << 50).prop_map(|(name, op, value)| LabelFilter::Bytes {
                name,
                op,
                value
            }),
            (name(), any::<bool>()).prop_map(|(name, negated)| LabelFilter::Ip {
                name,
                negated,
                pattern: "10.0.0.0/8".into()
            }),
        ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        // Parts of the same kind are always written flat.
        let not = |and: bool| {
            move |f: &LabelFilter| {
                !matches!((f, and), (LabelFilter::And(_), true) | (LabelFilter::Or(_), false))
            }
        };
        let ands = prop::collection::vec(inner.clone().prop_filter("nested and", not(true)), 2..4);
        let ors = prop::collection::vec(inner.prop_filter("nested or", not(false)), 2..4);
        prop_oneof![ands.prop_map(LabelFilter::And), ors.prop_map(LabelFilter::Or)]
    })
}

fn line_filter() -> impl Strategy<Value = LineFilter> {
    let operand = prop_oneof![
        4 => text().prop_map(LineOperand::Text),
        1 => Just(LineOperand::Ip("::1".into()))
    ];
    let plain = prop::collection::vec(operand, 1..3).prop_flat_map(|operands| {
        let ops = prop::sample::select(vec![LineOp::Contains, LineOp::NotContains]);
        ops.prop_map(move |op| LineFilter { op, operands: operands.clone() })
    });
    let regex = text().prop_map(|t| LineFilter {
        op: LineOp::NotRegex,
        operands: vec![LineOperand::Text(regex_syntax::escape(&t))],
    });
    prop_oneof![plain, regex]
}

fn name_match() -> impl Strategy<Value = NameMatch> {
    prop_oneof![name().prop_map(NameMatch::Name), matcher().prop_map(NameMatch::Matcher)]
}

fn stage() -> impl Strategy<Value = Stage> {
    let fields = |path: &'static str| {
        let field = (name(), path).prop_map(|(name, expression)| Extraction { name, expression });
        prop::collection::vec(field, 0..3)
    };
    let formats = name().prop_flat_map(|name| {
        let value = prop_oneof![
            "[a-z]{1,3}".prop_map(FormatValue::Template),
            Just(FormatValue::Rename("src".into()))
        ];
        value.prop_map(move |value| {
            Stage::LabelFormat(vec![LabelFormat { name: name.clone(), value }])
        })
    });
    prop_oneof![
        line_filter().prop_map(Stage::LineFilter),
        filter().prop_map(Stage::LabelFilter),
        fields("[a-z]{1,3}(\\.[a-z]{1,2}|\\[[0-9]\\]){0,2}").prop_map(Stage::Json),
        (any::<bool>(), any::<bool>(), fields("[a-z.-]{1,4}")).prop_map(
            |(strict, keep_empty, extractions)| {
                Stage::Logfmt { strict, keep_empty, extractions }
            }
        ),
        Just(Stage::Regexp("(?P<a>x\\d+)".into())),
        Just(Stage::Pattern("<a> \"<_>".into())),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        "[a-z ]{0,4}".prop_map(|t| Stage::LineFormat(format!("{t}{{{{ .a | upper }}}}"))),
        formats,
        prop::collection::vec(name_match(), 1..3).prop_map(Stage::Drop),
        prop::collection::vec(name_match(), 1..3).prop_map(Stage::Keep),
    ]
}

fn ends_in_name(stage: &Stage) -> bool {
    match stage {
        Stage::Drop(names) | Stage::Keep(names) => matches!(names.last(), Some(NameMatch::Name(_))),
        _ => false,
    }
}

fn log() -> impl Strategy<Value = LogExpr> {
    (prop::collection::vec(matcher(), 0..2), prop::collection::vec(stage(), 0..5)).prop_map(
        |(mut matchers, mut stages)| {
            // `keep a != "b"` is one stage, never two.
            let mut i = 1;
            while i < stages.len() {
                if ends_in_name(&stages[i - 1])
                    && matches!(&stages[i], Stage::LineFilter(f) if f.op.is_negative())
                {
                    stages.remove(i);
                } else {
                    i += 1;
                }
            }
            matchers.push(Matcher::equal("app", "a"));
            LogExpr { matchers, stages, span: Span::default() }
        },
    )
}

/// One of the forms that PromQL has and Loki has not.
fn beyond(inner: MetricExpr, kind: u8) -> MetricExpr {
    match kind {
        0 => MetricExpr::Negate(Box::new(inner)),
        1 => MetricExpr::Subquery(Box::new(Subquery {
            op: RangeOp::Max,
            param: None,
            inner,
            interval_ns: 600_000_000_000,
            step_ns: Some(7_000_000_000),
            offset_ns: 1_000_000,
            at: Some(At::End),
            span: Span::default(),
        })),
        _ => MetricExpr::Call(Box::new(Call {
            name: "label_join".to_owned(),
            function: Function::LabelJoin,
            args: vec![Arg::Metric(inner), Arg::Text("a\"b".to_owned()), Arg::Text(String::new())],
            span: Span::default(),
        })),
    }
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    let ops = prop::sample::select(vec![RangeOp::CountOverTime, RangeOp::Rate, RangeOp::Absent]);
    let leaf = (ops, log(), 1i64..1 << 30, -100i64..100).prop_map(|(op, log, ms, offset)| {
        let interval_ns = ms * 1_000_000;
        let offset_ns = offset * 1_000_000;
        let at = (offset % 3 == 0).then_some(At::Time(1_700_000_000_000_000_000 + offset));
        let range = LogRange { log, unwrap: None, interval_ns, offset_ns, at };
        MetricExpr::Range(Box::new(RangeAgg {
            op,
            param: None,
            range,
            grouping: None,
            span: Span::default(),
        }))
    });
    leaf.prop_recursive(3, 6, 2, |inner| {
        let grouping = (any::<bool>(), prop::collection::vec(name(), 0..2))
            .prop_map(|(without, labels)| Grouping { without, labels });
        let vector = (inner.clone(), prop::option::of(grouping), any::<bool>()).prop_map(
            |(inner, grouping, k)| {
                let (op, param) = if k {
                    (VectorOp::Topk, Some(VectorParam::K(3)))
                } else {
                    (VectorOp::Avg, None)
                };
                MetricExpr::Vector(Box::new(VectorAgg {
                    op,
                    param,
                    grouping,
                    inner,
                    span: Span::default(),
                }))
            },
        );
        let ops =
            vec![BinaryOp::Add, BinaryOp::Pow, BinaryOp::Or, BinaryOp::Unless, BinaryOp::LessEqual];
        let inner_of_calls = (inner.clone(), 0..3u8);
        let binary = (
            inner.clone(),
            inner,
            prop::sample::select(ops),
            any::<bool>(),
            prop::option::of(name()),
        )
            .prop_map(|(left, right, op, flag, on)| {
                let matching = on.map(|label| Matching {
                    on: flag,
                    labels: vec![label.clone()],
                    cardinality: if op.is_set() {
                        Cardinality::OneToOne
                    } else {
                        Cardinality::ManyToOne
                    },
                    include: if op.is_set() { Vec::new() } else { vec![label] },
                });
                let return_bool = flag && op.is_comparison();
                MetricExpr::Binary(Box::new(Binary {
                    op,
                    return_bool,
                    matching,
                    left,
                    right,
                    span: Span::default(),
                }))
            });
        let called = inner_of_calls.prop_map(|(inner, kind)| beyond(inner, kind));
        prop_oneof![vector, binary, called]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn roundtrip_log_queries(log in log()) {
        let expr = Expr::Log(log);
        let text = expr.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?, expr);
    }

    #[test]
    fn roundtrip_metric_queries(metric in metric()) {
        let expr = Expr::Metric(metric);
        let text = expr.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?, expr);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z{}()\\[\\]|=!~<>\"`.,:0-9 +*/^-]{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("{{a=\"b\"}} | {text}"));
        let _ = parse(&format!("{{a=\"b\"}} | line_format `{{{{{}}}}}`", text.replace('`', "")));
    }
}
