//! Range aggregations: `rate({…} | … [5m] offset 1h)`.

use super::{Parser, Result};
use crate::ast::{Conversion, Grouping, LogExpr, LogRange, RangeAgg, RangeOp, Unwrap};
use crate::lexer::{Span, Tok};

/// A range that may still lack its `[5m]`.
struct Partial {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    interval_ns: Option<i64>,
    offset_ns: i64,
}

impl Parser<'_> {
    /// After the name of the operation.
    pub(super) fn range_agg(&mut self, op: RangeOp, start: Span) -> Result<RangeAgg> {
        self.expect_op("(")?;
        let mut param = None;
        if matches!(self.peek(), Tok::Number(_) | Tok::Op("-" | "+")) {
            param = Some(self.signed_number()?);
            self.expect_op(",")?;
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
        };
        Ok(RangeAgg { op, param, range, grouping, span: self.span_from(start) })
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
        let mut out = Partial { log, unwrap: None, interval_ns: None, offset_ns: 0 };
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
        if self.take_word("offset") {
            let negative = self.is_op("-");
            if negative || self.is_op("+") {
                self.advance();
            }
            let Tok::Duration(ns) = *self.peek() else { return Err(self.unexpected("DURATION")) };
            self.advance();
            out.offset_ns = if negative { -ns } else { ns };
        }
        Ok(())
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
