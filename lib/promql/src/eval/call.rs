//! Function calls.

use skald_model::Labels;
use skald_vector::function::{
    DatePart, clamp, go_max, go_min, label_join, label_replace, map_floats, round, single_values,
    sort_by_labels, sort_by_value,
};
use skald_vector::{Column, Grid, Matrix};

use super::select::Pick;
use super::{Evaluator, Val, absent};
use crate::QueryError;
use crate::expr::{Expr, Function, Places, RangeFunction, ScalarFunction};
use crate::syntax::ast::Extension;

impl Evaluator {
    pub(super) fn call(
        &mut self,
        func: Function,
        name: &str,
        args: &[Expr],
        places: &Places,
        grid: Grid,
    ) -> Result<Val, QueryError> {
        let Some(first) = args.first() else {
            return match func {
                Function::Scalar(f) => self.scalar_function(f, args, grid).map(Val::Scalar),
                Function::Date(part) => self.date_now(part, grid),
                _ => Err(QueryError::Execution(format!("{name} without arguments"))),
            };
        };
        let out = match func {
            Function::Scalar(f) => return self.scalar_function(f, args, grid).map(Val::Scalar),
            Function::Range(f) => self.range_call(f, name, args, places, grid)?,
            Function::Math(f) => map_floats(self.vector(first, grid)?, &self.ctx, |_, v| f(v))?,
            Function::Date(part) => {
                map_floats(self.vector(first, grid)?, &self.ctx, |_, v| part.of(v))?
            }
            Function::Absent => {
                let input = self.vector(first, grid)?;
                absent::absent(first, grid, &input.any_present())
            }
            Function::AbsentOverTime => {
                check_extension(name, first)?;
                let (data, reach) = self.windows(first, grid)?;
                absent::absent(first, grid, &self.present_windows(&data, reach, grid)?)
            }
            Function::Clamp | Function::ClampMin | Function::ClampMax => {
                self.clamp(func, args, grid)?
            }
            Function::Round => {
                let nearest = match args.get(1) {
                    Some(arg) => self.scalar(arg, grid)?,
                    None => vec![1.0; grid.n],
                };
                round(self.vector(first, grid)?, &nearest, &self.ctx)?
            }
            Function::Info => self.info(args, grid)?,
            Function::LabelReplace | Function::LabelJoin => self.labels(func, args, grid)?,
            Function::Sort(direction) => {
                sort_by_value(self.vector(first, grid)?, direction, &self.ctx)?
            }
            Function::SortByLabel(direction) => {
                let names: Vec<&str> =
                    args[1..].iter().map(|a| self.text(a)).collect::<Result<_, _>>()?;
                sort_by_labels(self.vector(first, grid)?, &names, direction, &self.ctx)?
            }
            Function::StartTimestamp => self.start_timestamp(first, grid)?,
            Function::Timestamp => self.timestamp(first, grid)?,
            Function::ToScalar => {
                let input = self.vector(first, grid)?;
                return Ok(Val::Scalar(single_values(&input)));
            }
            Function::ToVector => {
                let values = self.scalar(first, grid)?;
                Matrix { grid, columns: vec![Column::full(Labels::empty(), values)] }
            }
            Function::HistogramStat(stat) => {
                let input = self.vector(first, grid)?;
                self.histogram_stat(stat, input)?
            }
            Function::HistogramQuantile
            | Function::HistogramQuantiles
            | Function::HistogramFraction => self.histogram_call(func, args, places, grid)?,
        };
        self.at(places.call);
        self.warn_about_sort(func);
        self.held(out)
    }

    fn warn_about_sort(&mut self, func: Function) {
        let sorts = matches!(func, Function::Sort(_) | Function::SortByLabel(_));
        if sorts && self.is_range {
            self.ctx.annotations.warn(
                "sort is ineffective for range queries since results are always ordered by labels",
            );
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
    fn scalar_function(
        &mut self,
        f: ScalarFunction,
        args: &[Expr],
        grid: Grid,
    ) -> Result<Vec<f64>, QueryError> {
        self.check_slots(grid, 1)?;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let whole = self.span.grid;
        let constant = match f {
            ScalarFunction::Time => return Ok(grid.times().map(seconds).collect()),
            ScalarFunction::MinOf | ScalarFunction::MaxOf => {
                let (a, b) = (self.scalar(&args[0], grid)?, self.scalar(&args[1], grid)?);
                let pick = if f == ScalarFunction::MinOf { go_min } else { go_max };
                return Ok(a.into_iter().zip(b).map(|(a, b)| pick(a, b)).collect());
            }
            ScalarFunction::Pi => std::f64::consts::PI,
            ScalarFunction::Start => seconds(whole.start_ms),
            ScalarFunction::End => seconds(whole.end_ms()),
            ScalarFunction::Range => seconds(whole.end_ms().saturating_sub(whole.start_ms)),
            ScalarFunction::Step => seconds(self.span.step_ms),
        };
        Ok(vec![constant; grid.n])
    }

    #[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
    fn date_now(&mut self, part: DatePart, grid: Grid) -> Result<Val, QueryError> {
        self.check_slots(grid, 1)?;
        let values = grid.times().map(|t| part.of(t as f64 / 1000.0)).collect();
        self.held(Matrix { grid, columns: vec![Column::full(Labels::empty(), values)] })
    }

    fn clamp(&mut self, func: Function, args: &[Expr], grid: Grid) -> Result<Matrix, QueryError> {
        let bound = self.scalar(&args[1], grid)?;
        let (min, max) = match func {
            Function::ClampMin => (bound, vec![f64::INFINITY; grid.n]),
            Function::ClampMax => (vec![f64::NEG_INFINITY; grid.n], bound),
            _ => (bound, self.scalar(&args[2], grid)?),
        };
        Ok(clamp(self.vector(&args[0], grid)?, &min, &max, &self.ctx)?)
    }

    fn labels(&mut self, func: Function, args: &[Expr], grid: Grid) -> Result<Matrix, QueryError> {
        let texts: Vec<&str> = args[1..].iter().map(|a| self.text(a)).collect::<Result<_, _>>()?;
        let input = self.vector(&args[0], grid)?;
        // Values grow without bound when such calls are nested.
        let (ctx, memory) = (&self.ctx, &mut self.memory);
        let charge = |bytes| {
            ctx.check()?;
            memory.made(bytes)
        };
        match (func, texts.as_slice()) {
            (Function::LabelReplace, [dst, replacement, src, regex]) => {
                label_replace(input, dst, replacement, src, regex, ctx, charge)
            }
            (Function::LabelJoin, [dst, separator, sources @ ..]) => {
                label_join(input, dst, separator, sources, ctx, charge)
            }
            _ => Err(QueryError::Execution("wrong number of arguments".to_owned())),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
    fn timestamp(&mut self, arg: &Expr, grid: Grid) -> Result<Matrix, QueryError> {
        let mut input = match arg {
            Expr::Selector(s) => self.pick_latest(s, grid, Pick::Time)?,
            _ => {
                let mut input = self.vector(arg, grid)?;
                for column in &mut input.columns {
                    self.ctx.check()?;
                    column.histograms = None;
                    for (i, v) in column.values.iter_mut().enumerate() {
                        *v = grid.time(i) as f64 / 1000.0;
                    }
                }
                input
            }
        };
        for column in &mut input.columns {
            self.ctx.check()?;
            self.ctx.drop_name(column);
        }
        Ok(input.merge_same_labels(&self.ctx)?)
    }

    /// Since when the latest samples count; nothing for what was computed.
    fn start_timestamp(&mut self, arg: &Expr, grid: Grid) -> Result<Matrix, QueryError> {
        let Expr::Selector(s) = arg else {
            self.vector(arg, grid)?;
            return Ok(Matrix::new(grid));
        };
        let mut input = self.pick_latest(s, grid, Pick::Start)?;
        for column in &mut input.columns {
            self.ctx.check()?;
            self.ctx.drop_name(column);
        }
        Ok(input.merge_same_labels(&self.ctx)?)
    }

    /// A range function with its scalar parameters, wherever they stand.
    fn range_call(
        &mut self,
        f: RangeFunction,
        name: &str,
        args: &[Expr],
        places: &Places,
        grid: Grid,
    ) -> Result<Matrix, QueryError> {
        let mut params = Vec::new();
        let mut ranged = None;
        for arg in args {
            match arg {
                Expr::Range { .. } | Expr::Subquery(_) => ranged = Some(arg),
                _ => params.push(self.scalar(arg, grid)?),
            }
        }
        let Some(ranged) = ranged else {
            return Err(QueryError::Execution(format!("{name} without a range vector")));
        };
        check_extension(name, ranged)?;
        let (data, reach) = self.windows(ranged, grid)?;
        self.at(places.arg(0));
        self.over_windows(f, &data, reach, &params, grid)
    }
}

/// Refuses extended ranges where the function does not know what to do with them.
fn check_extension(name: &str, ranged: &Expr) -> Result<(), QueryError> {
    let Expr::Range { selector, .. } = ranged else { return Ok(()) };
    let known: &[&str] = match selector.extension {
        None => return Ok(()),
        Some(Extension::Anchored) => &["changes", "delta", "increase", "rate", "resets"],
        Some(Extension::Smoothed) => &["delta", "increase", "rate"],
    };
    if known.contains(&name) {
        return Ok(());
    }
    let word = selector.extension.map_or("", Extension::as_str);
    let list = known.join(", ");
    let text = format!("{word} modifier can only be used with: {list} - not with {name}");
    Err(QueryError::Execution(text))
}
