//! Evaluation, synchronous: an expression over a grid becomes a matrix or a scalar per step.

mod absent;
mod aggregate;
mod call;
mod common;
mod fixed;
mod histogram;
mod info;
mod loaded;
mod range;
mod select;
mod smooth;

use std::sync::Arc;

use skald_model::Labels;
use skald_runtime::CpuPool;
use skald_vector::aggregate::Held;
use skald_vector::{
    BinaryOptions, Column, Context, DivisionRule, FloatHistogram, Grid, Matrix, ScalarSide,
    scalar_scalar, vector_scalar, vector_vector,
};

pub(crate) use self::aggregate::remark_on;
pub(crate) use self::loaded::Loaded;
pub(crate) use self::range::column as window_column;
pub(crate) use self::select::{Pick, Reach, count_subquery, latest, reload};
use crate::engine::{Mode, Shared};
use crate::exec::{Common, Fetched, Memory, Siblings, Target, chain};
use crate::expr::{Binary, Expr, Place, Selector, ValueType};
use crate::plan::{Plan, Span};
use crate::{MatrixSeries, QueryError};

/// The value of an expression over a grid.
#[derive(Debug)]
pub(crate) enum Val {
    /// One per step.
    Scalar(Vec<f64>),
    Vector(Matrix),
    Text(String),
}

/// The value of a whole query.
#[derive(Debug)]
pub(crate) enum Answer {
    Scalar(f64),
    Text(String),
    Steps(Matrix),
    /// Raw samples of a range selector, sorted by labels.
    Series(Vec<MatrixSeries>),
}

/// What the evaluation used so far, in samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub read: usize,
    pub peak: usize,
}

/// Evaluates one query.
#[derive(Debug)]
pub(crate) struct Evaluator {
    span: Span,
    /// Evaluates over times that are not all the same.
    is_range: bool,
    pub ctx: Context,
    pub counters: Counters,
    /// By selector id.
    data: Vec<Arc<Fetched>>,
    max_samples: usize,
    memory: Memory,
    /// Samples that are decoded and kept.
    loaded: usize,
    /// Samples of operands that wait for their other side.
    waiting: usize,
    /// What the query says more than once, and the samples that are kept of it.
    common: Common,
    pub(crate) siblings: Siblings,
    kept: usize,
    /// Whom to ask for help.
    pub(crate) cpu: Option<CpuPool>,
}

// === impl Evaluator ===

impl Evaluator {
    pub(crate) fn new(
        span: Span,
        ctx: Context,
        plan: &Plan,
        fetched: &[Arc<Fetched>],
        max_samples: usize,
        memory: Memory,
    ) -> Self {
        let of = |index: &usize| fetched.get(*index).map(Arc::clone);
        let none = Arc::new(Fetched::default());
        let data = plan.by_selector.iter().map(|i| of(i).unwrap_or_else(|| Arc::clone(&none)));
        let data = data.collect();
        Self {
            is_range: span.grid.n > 1,
            span,
            ctx,
            counters: Counters::default(),
            data,
            max_samples,
            memory,
            waiting: 0,
            loaded: 0,
            common: Common::default(),
            siblings: Siblings::default(),
            kept: 0,
            cpu: None,
        }
    }

    /// What was fetched for a selector.
    pub(crate) fn fetched(&self, s: &Selector) -> Arc<Fetched> {
        self.data.get(s.id).map_or_else(|| Arc::new(Fetched::default()), Arc::clone)
    }

    /// All series of a selector, decoded; once per select.
    fn series(&mut self, s: &Selector) -> Result<Shared, QueryError> {
        let data = self.fetched(s);
        if let Some(loaded) = data.loaded() {
            return Ok(Arc::clone(loaded));
        }
        let mut all = Vec::new();
        for i in 0..data.len() {
            let mut one = Loaded::default();
            data.read(i, &mut one)?;
            let n = one.n_samples();
            self.counters.read = self.counters.read.saturating_add(n);
            self.loaded = self.loaded.saturating_add(n);
            self.check_samples(0)?;
            if !one.is_empty() {
                all.push(one);
            }
        }
        Ok(data.keep(Arc::new(all)))
    }

    pub(crate) fn lookback_ms(&self) -> i64 {
        self.span.lookback_ms
    }

    pub(crate) fn reach(&self, s: &Selector, range_ms: i64) -> Reach {
        let extension = s.extension.map(|e| (e, self.span.around(e)));
        Reach { range_ms, offset_ms: s.offset_ms, at: self.span.at(s.at), extension }
    }

    pub(crate) fn answer(&mut self, expr: &Expr, mode: Mode) -> Result<Answer, QueryError> {
        self.check_samples(0)?;
        self.common = Common::find(expr);
        if self.data.len() > 1 {
            let select_of = |s: &Selector| Arc::as_ptr(&self.fetched(s)).addr();
            self.siblings = Siblings::find(expr, &self.common, select_of);
        }
        let grid = self.span.grid;
        if let Expr::Range { .. } | Expr::Subquery(_) = expr {
            return self.raw_series(expr, grid).map(Answer::Series);
        }
        Ok(match self.eval(expr, grid)? {
            Val::Text(text) => Answer::Text(text),
            Val::Scalar(v) if mode == Mode::Instant => {
                Answer::Scalar(v.first().copied().unwrap_or(f64::NAN))
            }
            Val::Scalar(v) => {
                let columns = vec![Column::full(Labels::empty(), v)];
                Answer::Steps(Matrix { grid, columns })
            }
            Val::Vector(m) => Answer::Steps(m.drop_marked_names(&self.ctx)?),
        })
    }

    /// `error`, or the limit that made the operation fail which only counts slots.
    pub(crate) fn explain(&self, error: QueryError) -> QueryError {
        let by_memory = self.memory.max_samples() < self.max_samples;
        match error == QueryError::too_many_samples() && by_memory {
            true => {
                let more = self.memory.max_samples().saturating_add(1);
                self.memory.check_samples(more).err().unwrap_or(error)
            }
            false => error,
        }
    }

    /// Accounts for `held` samples beside those that are kept anyway.
    pub(crate) fn check_samples(&mut self, held: usize) -> Result<(), QueryError> {
        let total = self.count_samples(held)?;
        self.memory.check_samples(total)?;
        Ok(self.ctx.check()?)
    }

    /// As [`check_samples`](Self::check_samples), where the bytes of `held` are known.
    pub(crate) fn check_held(&mut self, held: Held) -> Result<(), QueryError> {
        self.count_samples(held.samples)?;
        self.check_bytes(held.bytes)?;
        Ok(self.ctx.check()?)
    }

    fn count_samples(&mut self, held: usize) -> Result<usize, QueryError> {
        let total = self.loaded.saturating_add(self.waiting).saturating_add(self.kept);
        let total = total.saturating_add(held);
        self.counters.peak = self.counters.peak.max(total);
        (total <= self.max_samples).then_some(total).ok_or_else(QueryError::too_many_samples)
    }

    /// Fails when `columns` columns over `grid` have more slots, filled or not, than a query may
    /// have samples.
    pub(crate) fn check_slots(&self, grid: Grid, columns: usize) -> Result<(), QueryError> {
        if grid.n.saturating_mul(columns) > self.max_samples {
            return Err(QueryError::too_many_samples());
        }
        self.memory.check(grid.n.saturating_mul(columns).saturating_mul(size_of::<f64>()))
    }

    /// Fails when `bytes` beside what was fetched and decoded are more than the query may hold.
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), QueryError> {
        let kept = self.loaded.saturating_add(self.waiting).saturating_add(self.kept);
        self.memory.check(bytes.saturating_add(kept.saturating_mul(2 * size_of::<f64>())))
    }

    pub(crate) fn eval(&mut self, expr: &Expr, grid: Grid) -> Result<Val, QueryError> {
        self.ctx.check()?;
        match self.common.begin(expr) {
            Some((class, kept)) => self.eval_common(expr, grid, class, kept),
            None => self.eval_once(expr, grid),
        }
    }

    fn eval_once(&mut self, expr: &Expr, grid: Grid) -> Result<Val, QueryError> {
        if let Some(out) = self.made_beside(expr, grid) {
            return self.held(out);
        }
        if let Some(chain) = chain(expr)
            && let Some(out) = self.stream(expr, Target::Series, &chain, grid)?
        {
            return self.held(out);
        }
        match expr {
            Expr::Number(v) => {
                self.check_slots(grid, 1)?;
                Ok(Val::Scalar(vec![*v; grid.n]))
            }
            Expr::Text(text) => Ok(Val::Text(text.clone())),
            Expr::Selector(s) => self.instant_vector(s, grid).and_then(|m| self.held(m)),
            Expr::Negate(inner) => self.negate(inner, grid),
            Expr::Fixed(inner) => self.fixed(inner, grid),
            Expr::Binary(_) => self.chain(expr, grid),
            Expr::Aggregate(a) => self.aggregate(expr, a, grid),
            Expr::Call { func, name, args, places } => self.call(*func, name, args, places, grid),
            Expr::Range { .. } | Expr::Subquery(_) => {
                Err(QueryError::Execution("range vector in a place where none can be".to_owned()))
            }
        }
    }

    pub(crate) fn held(&mut self, m: Matrix) -> Result<Val, QueryError> {
        self.check_samples(m.n_samples())?;
        Ok(Val::Vector(m))
    }

    pub(crate) fn vector(&mut self, expr: &Expr, grid: Grid) -> Result<Matrix, QueryError> {
        match self.eval(expr, grid)? {
            Val::Vector(m) => Ok(m),
            _ => Err(QueryError::Execution("expected an instant vector".to_owned())),
        }
    }

    pub(crate) fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match self.eval(expr, grid)? {
            Val::Scalar(v) => Ok(v),
            _ => Err(QueryError::Execution("expected a scalar".to_owned())),
        }
    }

    pub(crate) fn text<'e>(&self, expr: &'e Expr) -> Result<&'e str, QueryError> {
        match expr {
            Expr::Text(text) => Ok(text),
            _ => Err(QueryError::Execution("expected a string".to_owned())),
        }
    }

    fn negate(&mut self, inner: &Expr, grid: Grid) -> Result<Val, QueryError> {
        match self.eval(inner, grid)? {
            Val::Scalar(mut v) => {
                v.iter_mut().for_each(|v| *v = -*v);
                Ok(Val::Scalar(v))
            }
            Val::Vector(m) => {
                let out = negate(m, &mut self.ctx)?;
                self.held(out)
            }
            other @ Val::Text(_) => Ok(other),
        }
    }

    /// A chain of operators that leans to the left, without recursing into it.
    fn chain(&mut self, expr: &Expr, grid: Grid) -> Result<Val, QueryError> {
        let mut links = Vec::new();
        let mut at = expr;
        // What maps something that is no chain is none, nor is what it maps: to look at each link
        // of `1 + 1 + 1 + …` would walk it to its end each time.
        let mut barren = false;
        while let Expr::Binary(b) = at {
            if !links.is_empty() {
                if !barren && chain(at).is_some() {
                    break;
                }
                barren = !b.op.is_set() && b.rhs.value_type() == ValueType::Scalar;
            }
            links.push(b);
            at = &b.lhs;
        }
        let mut lhs = self.eval(at, grid)?;
        for link in links.into_iter().rev() {
            let waiting = match &lhs {
                Val::Vector(m) => m.n_samples(),
                Val::Scalar(v) => v.len(),
                Val::Text(_) => 0,
            };
            self.waiting += waiting;
            let rhs = self.eval(&link.rhs, grid);
            self.waiting -= waiting;
            let rhs = rhs?;
            lhs = self.binary(link, lhs, rhs)?;
        }
        Ok(lhs)
    }

    /// Remarks from now on are about what begins there.
    pub(crate) fn at(&mut self, place: Place) {
        self.ctx.annotations.place = Some(place);
    }

    fn binary(&mut self, b: &Binary, lhs: Val, rhs: Val) -> Result<Val, QueryError> {
        self.at(b.place);
        let options = BinaryOptions { return_bool: b.return_bool, ..BinaryOptions::default() };
        let ctx = &mut self.ctx;
        let out = match (lhs, rhs) {
            (Val::Scalar(l), Val::Scalar(r)) => {
                return Ok(Val::Scalar(scalar_scalar(b.op, &l, &r, DivisionRule::Ieee)));
            }
            (Val::Vector(l), Val::Scalar(r)) => {
                vector_scalar(b.op, l, &r, ScalarSide::Right, options, ctx)
            }
            (Val::Scalar(l), Val::Vector(r)) => {
                vector_scalar(b.op, r, &l, ScalarSide::Left, options, ctx)
            }
            (Val::Vector(l), Val::Vector(r)) => {
                vector_vector(b.op, &l, &r, &b.matching, options, ctx)
            }
            _ => {
                let text = "binary expression on a string".to_owned();
                return Err(QueryError::Execution(text));
            }
        };
        self.held(out?)
    }
}

/// The unary minus.
pub(crate) fn negate(mut m: Matrix, ctx: &mut Context) -> Result<Matrix, QueryError> {
    for column in &mut m.columns {
        ctx.check()?;
        column.values.iter_mut().for_each(|v| *v = -*v);
        for h in column.histograms.iter_mut().flat_map(|h| h.iter_mut().flatten()) {
            let mut negative = FloatHistogram::clone(h);
            negative.scale(-1.0);
            *h = Arc::new(negative);
        }
        ctx.drop_name(column);
    }
    Ok(m.merge_same_labels(ctx)?)
}
