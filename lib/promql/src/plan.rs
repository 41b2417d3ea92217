//! What a query needs from the source: which series, over which time span.
//!
//! Each selector is asked for exactly the span that its evaluation can look at, through offsets,
//! `@`, ranges, lookback and subqueries. Equal requests are made once.

use std::collections::HashMap;

use skald_model::{Matcher, TimeRange};
use skald_vector::Grid;

use crate::exec::chain;
use crate::expr::{At, Expr, Selector, Subquery};
use crate::syntax::ast::Extension;
use crate::{LabelNeed, Select};

/// The times that a whole query is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub grid: Grid,
    /// 0 for an instant query.
    pub step_ms: i64,
    pub lookback_ms: i64,
    pub default_step_ms: i64,
}

impl Span {
    /// The fixed evaluation time of an `@`.
    pub(crate) fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Start => self.grid.start_ms,
            At::End => self.grid.end_ms(),
            At::Ms(ms) => ms,
        })
    }

    /// How far an extended range looks beyond its start and its end.
    pub(crate) fn around(&self, extension: Extension) -> (i64, i64) {
        match extension {
            Extension::Anchored => (self.lookback_ms, 0),
            Extension::Smoothed => (self.lookback_ms, self.lookback_ms),
        }
    }

    /// The steps of a subquery that is looked at from steps `start..=end`: multiples of its step.
    pub(crate) fn subquery_grid(&self, sub: &Subquery, grid: Grid) -> Grid {
        let (start, end) = match self.at(sub.at) {
            Some(at) => (at, at),
            None => (grid.start_ms, grid.end_ms()),
        };
        let step = sub.step_ms.unwrap_or(self.default_step_ms).max(1);
        let before = start.saturating_sub(sub.offset_ms).saturating_sub(sub.range_ms);
        let first = before.div_euclid(step).saturating_add(1).saturating_mul(step);
        Grid::range(first, end.saturating_sub(sub.offset_ms), step)
    }
}

/// The requests of a query.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub selects: Vec<Select>,
    /// Selector id → index into `selects`.
    pub by_selector: Vec<usize>,
    /// Parallel to `selects`: which labels each selector needs.
    needs: Vec<Vec<(usize, LabelNeed)>>,
    /// Steps of all nodes of the expression together, and of its windows over samples.
    pub node_steps: usize,
    pub window_steps: usize,
    /// Indexes into `selects` by what makes requests equal.
    index: HashMap<(TimeRange, Vec<Matcher>, bool), usize>,
}

/// Plans `expr` over the span's grid.
pub(crate) fn plan(expr: &Expr, span: &Span) -> Plan {
    let mut plan = Plan::default();
    plan.visit(expr, span, span.grid, None);
    for (select, needs) in plan.selects.iter_mut().zip(&plan.needs) {
        select.labels = union(needs.iter().map(|(_, need)| need));
    }
    plan
}

/// What serves all of `needs`.
fn union<'a>(needs: impl Iterator<Item = &'a LabelNeed>) -> LabelNeed {
    let mut all = Vec::new();
    for need in needs {
        match need {
            LabelNeed::All => return LabelNeed::All,
            LabelNeed::Only(names) => all.extend_from_slice(names),
        }
    }
    all.sort_unstable();
    all.dedup();
    LabelNeed::Only(all)
}

impl Plan {
    fn narrow(&mut self, id: usize, need: LabelNeed) {
        let needs = self.by_selector.get(id).and_then(|index| self.needs.get_mut(*index));
        // The selector was looked at just now, so that it stands near the end.
        let slot = needs.and_then(|needs| needs.iter_mut().rfind(|(selector, _)| *selector == id));
        if let Some(slot) = slot {
            slot.1 = need;
        }
    }

    fn visit(&mut self, expr: &Expr, span: &Span, grid: Grid, func: Option<&str>) {
        self.node_steps = self.node_steps.saturating_add(grid.n);
        match expr {
            Expr::Number(_) | Expr::Text(_) => {}
            Expr::Selector(s) => self.select(s, span, grid, span.lookback_ms, func),
            Expr::Range { selector, range_ms } => {
                self.window_steps = self.window_steps.saturating_add(grid.n);
                self.select(selector, span, grid, *range_ms, func);
            }
            Expr::Subquery(sub) => {
                let inner = span.subquery_grid(sub, grid);
                let windows = grid.n.saturating_mul(inner.n);
                self.node_steps = self.node_steps.saturating_add(windows);
                if inner.n > 0 {
                    self.visit(&sub.expr, span, inner, None);
                }
            }
            Expr::Negate(inner) => self.visit(inner, span, grid, None),
            Expr::Fixed(inner) => self.visit(inner, span, Grid { n: grid.n.min(1), ..grid }, None),
            Expr::Aggregate(a) => {
                if let Some(param) = &a.param {
                    self.visit(param, span, grid, None);
                }
                let need = chain(&a.expr).map(|chain| (chain.selector.id, chain.needs(a)));
                self.visit(&a.expr, span, grid, Some(a.op.as_str()));
                if let Some((id, need)) = need {
                    self.narrow(id, need);
                }
            }
            Expr::Call { name, args, .. } => {
                args.iter().for_each(|a| self.visit(a, span, grid, Some(name)));
            }
            Expr::Binary(b) => {
                let mut at = b;
                loop {
                    self.visit(&at.rhs, span, grid, None);
                    self.node_steps = self.node_steps.saturating_add(grid.n);
                    match &at.lhs {
                        Expr::Binary(lhs) => at = lhs,
                        other => return self.visit(other, span, grid, None),
                    }
                }
            }
        }
    }

    fn select(&mut self, s: &Selector, span: &Span, grid: Grid, reach_ms: i64, func: Option<&str>) {
        let (first, last) = match span.at(s.at) {
            Some(at) => (at, at),
            None => (grid.start_ms, grid.end_ms()),
        };
        let (before, behind) = s.extension.map_or((0, 0), |e| span.around(e));
        let reach_ms = reach_ms.saturating_add(before);
        let start = first.saturating_sub(s.offset_ms).saturating_sub(reach_ms).saturating_add(1);
        let end = last.saturating_sub(s.offset_ms).saturating_add(behind).saturating_add(1);
        let select = Select {
            matchers: s.matchers.clone(),
            range: TimeRange::new(start, end),
            step_ms: if grid.n > 1 { grid.step_ms } else { 0 },
            func: func.map(str::to_owned),
            labels: LabelNeed::All,
            histogram_stats: s.histogram_stats,
        };
        // Not by `labels`, so that whoever comes first may need fewer later: see `narrow`.
        let key = (select.range, select.matchers.clone(), select.histogram_stats);
        let index = *self.index.entry(key).or_insert_with(|| {
            self.selects.push(select);
            self.needs.push(Vec::new());
            self.selects.len() - 1
        });
        self.needs[index].push((s.id, LabelNeed::All));
        if self.by_selector.len() <= s.id {
            self.by_selector.resize(s.id + 1, usize::MAX);
        }
        self.by_selector[s.id] = index;
    }
}
