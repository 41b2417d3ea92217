//! Range aggregations: `rate({…} | … [5m] offset 1h)`, and those over subqueries.

use super::{Parser, Result};
use crate::ast::{
    At, Conversion, Expr, Grouping, LogExpr, LogRange, MetricExpr, RangeAgg, RangeOp, Subquery,
    Unwrap,
};
use crate::lexer::{Span, Tok};

/// A range that may still lack its `[5m]`.
struct Partial {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    interval_ns: Option<i64>,
    offset_ns: i64,
    at: Option<At>,
}

/// Times before this, in seconds, are no times that logs were written at.
const EARLIEST_S: f64 = 1e8;

impl Parser<'_> {
    /// After the name of the operation.
    pub(super) fn range_agg(&mut self, op: RangeOp, start: Span) -> Result<MetricExpr> {
        self.expect_op("(")?;
        let mut param = None;
        if let Tok::Number(value) = *self.peek() {
            self.advance();
            param = Some(value);
            self.expect_op(",")?;
        }
        // No sign: as in Loki, a parameter is never negative.
        if matches!(self.peek(), Tok::Op("-" | "+")) {
            return Err(self.unexpected("NUMBER or { or ("));
        }
        if !self.is_selector_next() {
            let sub = self.subquery(op, param, start)?;
            return Ok(MetricExpr::Subquery(Box::new(sub)));
        }
        let partial = self.log_range()?;
        let Some(interval_ns) = partial.interval_ns else { return Err(self.unexpected("RANGE")) };
        self.expect_op(")")?;
        let grouping = self.grouping()?;
        let range = LogRange {
            log: partial.log,
            unwrap: partial.unwrap,
            interval_ns,
            offset_ns: partial.offset_ns,
            at: partial.at,
        };
        let span = self.span_from(start);
        Ok(MetricExpr::Range(Box::new(RangeAgg { op, param, range, grouping, span })))
    }

    /// Whether a selector comes next, in brackets or not.
    fn is_selector_next(&self) -> bool {
        let mut ahead = 0;
        while matches!(self.token(ahead).tok, Tok::Op("(")) {
            ahead += 1;
        }
        matches!(self.token(ahead).tok, Tok::Op("{"))
    }

    /// `expr [10m:30s]`, and the bracket behind it.
    fn subquery(&mut self, op: RangeOp, param: Option<f64>, start: Span) -> Result<Subquery> {
        let inner_span = self.span();
        let inner = match self.nested(Self::primary)? {
            Expr::Metric(metric) if !metric.is_scalar() => metric,
            _ => return Err(self.error_at(inner_span, "a subquery needs a vector")),
        };
        let Tok::Subrange(interval_ns, step_ns) = *self.peek() else {
            return Err(self.unexpected("SUBQUERY_RANGE"));
        };
        self.advance();
        let (offset_ns, at) = self.shift()?;
        self.expect_op(")")?;
        let span = self.span_from(start);
        let sub = Subquery { op, param, inner, interval_ns, step_ns, offset_ns, at, span };
        self.check_depth(1 + sub.inner.depth())?;
        Ok(sub)
    }

    fn log_range(&mut self) -> Result<Partial> {
        if self.take_op("(") {
            let mut inner = self.nested(Self::log_range)?;
            self.expect_op(")")?;
            if inner.interval_ns.is_none() {
                self.interval(&mut inner)?;
            }
            return Ok(inner);
        }
        let start = self.span();
        let matchers = self.selector()?;
        let log = LogExpr { matchers, stages: Vec::new(), span: start };
        let mut out = Partial { log, unwrap: None, interval_ns: None, offset_ns: 0, at: None };
        self.interval(&mut out)?;
        out.log.stages = self.stages()?;
        out.log.span = self.span_from(start);
        out.unwrap = self.unwrap()?;
        if out.interval_ns.is_none() {
            self.interval(&mut out)?;
        }
        Ok(out)
    }

    /// `[5m] [offset 1h]`, if it is there.
    fn interval(&mut self, out: &mut Partial) -> Result<()> {
        let Tok::Range(ns) = *self.peek() else { return Ok(()) };
        self.advance();
        out.interval_ns = Some(ns);
        (out.offset_ns, out.at) = self.shift()?;
        Ok(())
    }

    /// `offset 1h` and `@ time`, each at most once, in any order.
    fn shift(&mut self) -> Result<(i64, Option<At>)> {
        let (mut offset, mut at) = (None, None);
        loop {
            if offset.is_none() && self.take_word("offset") {
                let negative = self.is_op("-");
                if negative || self.is_op("+") {
                    self.advance();
                }
                let Tok::Duration(ns) = *self.peek() else {
                    return Err(self.unexpected("DURATION"));
                };
                self.advance();
                offset = Some(if negative { -ns } else { ns });
            } else if at.is_none() && self.take_op("@") {
                at = Some(self.at_time()?);
            } else {
                return Ok((offset.unwrap_or(0), at));
            }
        }
    }

    /// What stands behind `@`: `start()`, `end()`, or seconds since the epoch.
    fn at_time(&mut self) -> Result<At> {
        let span = self.span();
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.take_word(word) {
                self.expect_op("(")?;
                self.expect_op(")")?;
                return Ok(at);
            }
        }
        let Tok::Number(seconds) = *self.peek() else {
            return Err(self.unexpected("start() or end() or NUMBER"));
        };
        self.advance();
        if !(EARLIEST_S..=9e9).contains(&seconds) {
            let what = "the time after @ is in seconds since the epoch, from 1e8 to 9e9";
            return Err(self.error_at(span, what));
        }
        Ok(At::Time(nanoseconds(&self.query[span.start..span.end], seconds)))
    }

    fn unwrap(&mut self) -> Result<Option<Unwrap>> {
        if !(self.is_op("|") && self.is_word_at(1, "unwrap")) {
            return Ok(None);
        }
        self.advance();
        self.advance();
        let (conversion, label) = self.unwrapped()?;
        let mut filters = Vec::new();
        while self.is_op("|") {
            self.advance();
            if !self.is_name() && !self.is_op("(") {
                return Err(self.unexpected("label filter"));
            }
            filters.push(self.label_filter()?);
        }
        Ok(Some(Unwrap { label, conversion, filters }))
    }

    fn unwrapped(&mut self) -> Result<(Conversion, String)> {
        let word = self.name()?;
        if !self.take_op("(") {
            return Ok((Conversion::None, word));
        }
        let conversion = match word.to_ascii_lowercase().as_str() {
            "bytes" => Conversion::Bytes,
            "duration" => Conversion::Duration,
            "duration_seconds" => Conversion::DurationSeconds,
            _ => return Err(self.error_here(format!("unknown conversion {word:?}"))),
        };
        let label = self.name()?;
        self.expect_op(")")?;
        Ok((conversion, label))
    }

    /// `by (a, b)` or `without (a)`, if it is there.
    pub(super) fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.advance();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    /// `( [a {, b}] )`.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>> {
        self.expect_op("(")?;
        if self.take_op(")") {
            return Ok(Vec::new());
        }
        let labels = self.list(Self::name)?;
        self.expect_op(")")?;
        Ok(labels)
    }
}

/// Decimal digits to the nanosecond, which a float cannot hold.
#[expect(clippy::cast_possible_truncation, reason = "within 1e8..9e9 seconds")]
fn nanoseconds(text: &str, seconds: f64) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<9}");
    let exact = whole.parse::<i64>().ok().zip(digits.get(..9).and_then(|d| d.parse::<i64>().ok()));
    exact.map_or((seconds * 1e9) as i64, |(whole, rest)| whole * 1_000_000_000 + rest)
}
