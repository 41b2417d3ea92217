//! A chain with its parameters evaluated: makes the column of one series.

use std::collections::HashSet;
use std::sync::Arc;

use skald_model::Labels;
use skald_vector::function::{DatePart, clamp, map_floats, round};
use skald_vector::{
    BinaryOp, BinaryOptions, Column, Context, Grid, Matrix, NameRemoval, ScalarSide, Seen,
    vector_scalar, without_metadata,
};

use super::Fetched;
use super::chain::{Chain, MapExpr, Root};
use crate::QueryError;
use crate::eval::{
    Evaluator, Loaded, Pick, Reach, count_subquery, latest, negate, reload, window_column,
};
use crate::expr::{Expr, Function, Place, RangeFunction, ValueType};

/// Ready to run over the series of one select.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub data: Arc<Fetched>,
    pub grid: Grid,
    reach: Reach,
    root: Step,
    maps: Vec<Map>,
    /// Names go in the course of the chain, and the engine wants them gone at once.
    pub drops_names: bool,
}

#[derive(Debug)]
enum Step {
    Latest(Pick),
    /// With its parameters, and the place that remarks are about.
    Windows(RangeFunction, Vec<Vec<f64>>, Place),
    /// The same over what another pipeline makes of the series.
    Subquery(RangeFunction, Vec<Vec<f64>>, Place, Box<Pipeline>),
}

#[derive(Debug)]
enum Map {
    Math(fn(f64) -> f64),
    Date(DatePart),
    Clamp(Vec<f64>, Vec<f64>),
    Round(Vec<f64>),
    Negate,
    Scalar {
        op: BinaryOp,
        scalar: Vec<f64>,
        side: ScalarSide,
        options: BinaryOptions,
        place: Place,
    },
}

impl Evaluator {
    /// The pipeline of `chain`, unless its series could collide.
    pub(super) fn pipeline(
        &mut self,
        chain: &Chain<'_>,
        grid: Grid,
    ) -> Result<Option<Pipeline>, QueryError> {
        self.check_slots(grid, 1)?;
        let data = self.fetched(chain.selector);
        if data.loaded().is_some() {
            return Ok(None);
        }
        let drops_names = self.ctx.names == NameRemoval::Immediate && drops_names(chain);
        if drops_names && !chain.has_one_name() && self.collide(&data)? {
            return Ok(None);
        }
        let reach = match &chain.root {
            Root::Windows { range_ms, .. } => self.reach(chain.selector, *range_ms),
            Root::Subquery { sub, .. } => self.subquery_reach(sub),
            _ => self.reach(chain.selector, self.lookback_ms()),
        };
        let root = match &chain.root {
            Root::Latest => Step::Latest(Pick::Sample),
            Root::Time(pick) => Step::Latest(*pick),
            Root::Windows { f, args, places, .. } => {
                Step::Windows(*f, self.parameters(args, grid)?, places.arg(0))
            }
            Root::Subquery { f, sub, inner, args, places } => {
                let steps = self.subquery_grid(sub, grid)?;
                let inner = if steps.n == 0 { None } else { self.pipeline(inner, steps)? };
                let Some(inner) = inner.map(Box::new) else { return Ok(None) };
                Step::Subquery(*f, self.parameters(args, grid)?, places.arg(0), inner)
            }
        };
        let maps = chain.maps.iter().map(|m| self.map(m, grid)).collect::<Result<_, _>>()?;
        Ok(Some(Pipeline { data, grid, reach, root, maps, drops_names }))
    }

    /// The scalars among the arguments of a range function.
    fn parameters(&mut self, args: &[Expr], grid: Grid) -> Result<Vec<Vec<f64>>, QueryError> {
        let scalars = args.iter().filter(|a| a.value_type() == ValueType::Scalar);
        scalars.map(|a| self.scalar(a, grid)).collect()
    }

    fn collide(&self, data: &Fetched) -> Result<bool, QueryError> {
        let mut seen: HashSet<Labels> = HashSet::with_capacity(data.len());
        for (i, labels) in data.labels().enumerate() {
            if i % 1024 == 0 {
                self.ctx.check()?;
            }
            if !seen.insert(without_metadata(labels)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn map(&mut self, map: &MapExpr<'_>, grid: Grid) -> Result<Map, QueryError> {
        Ok(match map {
            MapExpr::Math(f) => Map::Math(*f),
            MapExpr::Date(part) => Map::Date(*part),
            MapExpr::Negate => Map::Negate,
            MapExpr::Round(nearest) => Map::Round(match nearest {
                Some(arg) => self.scalar(arg, grid)?,
                None => vec![1.0; grid.n],
            }),
            MapExpr::Clamp(f, bounds) => {
                let mut bounds = bounds.iter().map(|b| self.scalar(b, grid));
                let mut next = || bounds.next().unwrap_or_else(|| Ok(vec![f64::NAN; grid.n]));
                match f {
                    Function::ClampMin => Map::Clamp(next()?, vec![f64::INFINITY; grid.n]),
                    Function::ClampMax => Map::Clamp(vec![f64::NEG_INFINITY; grid.n], next()?),
                    _ => Map::Clamp(next()?, next()?),
                }
            }
            MapExpr::Scalar(b, side) => {
                let scalar = if *side == ScalarSide::Left { &b.lhs } else { &b.rhs };
                let scalar = self.scalar(scalar, grid)?;
                let (op, side, place) = (b.op, *side, b.place);
                Map::Scalar { op, scalar, side, options: options(b.return_bool), place }
            }
        })
    }
}

fn options(return_bool: bool) -> BinaryOptions {
    BinaryOptions { return_bool, ..BinaryOptions::default() }
}

/// Whether results are no longer the metric they came from.
fn drops_names(chain: &Chain<'_>) -> bool {
    use RangeFunction::{FirstOverTime, LastOverTime};
    let keeps = |m: &MapExpr<'_>| match m {
        MapExpr::Scalar(b, _) => b.op.is_trim() || b.op.is_comparison() && !b.return_bool,
        _ => false,
    };
    let root = match &chain.root {
        Root::Latest => false,
        Root::Time(_) => true,
        Root::Windows { f, .. } => !matches!(f, FirstOverTime | LastOverTime),
        Root::Subquery { f, inner, .. } => {
            !matches!(f, FirstOverTime | LastOverTime) || drops_names(inner)
        }
    };
    root || !chain.maps.iter().all(keeps)
}

// === impl Pipeline ===

impl Pipeline {
    /// Whether stale markers mean something to it.
    pub(super) fn sees_stale(&self) -> bool {
        match &self.root {
            Step::Latest(_) => true,
            Step::Windows(..) => false,
            Step::Subquery(.., inner) => inner.sees_stale(),
        }
    }

    /// Slots of all columns that are made of a series on the way.
    pub(super) fn slots(&self) -> usize {
        let within = match &self.root {
            Step::Subquery(.., inner) => inner.slots(),
            _ => 0,
        };
        self.grid.n.max(1).saturating_add(within)
    }

    /// What `inner` makes of the series in `samples`, as a series.
    fn reloaded(
        &self,
        inner: &Self,
        samples: &mut Loaded,
        ctx: &mut Context,
    ) -> Result<Option<Loaded>, QueryError> {
        let before = std::mem::replace(&mut ctx.seen, Seen::per_step(inner.grid.n));
        let column = inner.column(samples, ctx);
        let within = std::mem::replace(&mut ctx.seen, before);
        let column = column?;
        count_subquery(&mut ctx.seen, &within, &inner.grid, &self.grid, self.reach);
        let Some(mut column) = column else { return Ok(None) };
        if inner.drops_names && column.drop_name {
            column.labels = without_metadata(&column.labels);
            column.drop_name = false;
        }
        let mut series = reload(column, &inner.grid);
        series.remove_stale();
        Ok(Some(series).filter(|s| !s.is_empty()))
    }

    /// The column of the series in `samples`; names are only marked for removal. `ctx` must say
    /// that names are removed later.
    pub(super) fn column(
        &self,
        samples: &mut Loaded,
        ctx: &mut Context,
    ) -> Result<Option<Column>, QueryError> {
        let column = match &self.root {
            Step::Latest(pick) => {
                let mut column = latest(samples, &self.grid, self.reach, *pick, ctx)?;
                column.drop_name = *pick != Pick::Sample;
                column
            }
            Step::Windows(f, params, place) => {
                ctx.annotations.place = Some(*place);
                samples.remove_stale();
                if samples.is_empty() {
                    return Ok(None);
                }
                window_column(*f, samples, self.reach, params, self.grid, ctx)?
            }
            Step::Subquery(f, params, place, inner) => {
                let Some(series) = self.reloaded(inner, samples, ctx)? else { return Ok(None) };
                ctx.annotations.place = Some(*place);
                window_column(*f, &series, self.reach, params, self.grid, ctx)?
            }
        };
        if column.is_empty() || self.maps.is_empty() {
            return Ok(Some(column).filter(|c| !c.is_empty()));
        }
        let mut matrix = Matrix { grid: self.grid, columns: vec![column] };
        for map in &self.maps {
            matrix = map.apply(matrix, ctx)?;
        }
        Ok(matrix.columns.pop().filter(|c| !c.is_empty()))
    }
}

impl Map {
    fn apply(&self, m: Matrix, ctx: &mut Context) -> Result<Matrix, QueryError> {
        Ok(match self {
            Self::Math(f) => map_floats(m, ctx, |_, v| f(v))?,
            Self::Date(part) => map_floats(m, ctx, |_, v| part.of(v))?,
            Self::Clamp(min, max) => clamp(m, min, max, ctx)?,
            Self::Round(nearest) => round(m, nearest, ctx)?,
            Self::Negate => negate(m, ctx)?,
            Self::Scalar { op, scalar, side, options, place } => {
                ctx.annotations.place = Some(*place);
                vector_scalar(*op, m, scalar, *side, *options, ctx)?
            }
        })
    }
}
