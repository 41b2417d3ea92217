use proptest::prelude::*;
use skald_model::Labels;
use skald_vector::Grid;

use super::super::super::{Kernel, Out, Window};
use super::*;
use crate::eval::Reach;

/// What the general code says, window by window.
fn expected(f: RangeFunction, series: &Loaded, reach: Reach, grid: Grid) -> Column {
    let mut kernel = Kernel::new(f, series);
    let mut out = Column::absent(Labels::empty(), grid.n);
    for i in 0..grid.n {
        let end_ms = reach.end(&grid, i);
        let start_ms = end_ms - reach.range_ms;
        let index = |ms: i64| series.times.partition_point(|t| *t <= ms);
        let w = Window {
            series,
            lo: index(start_ms),
            hi: index(end_ms),
            histogram_lo: 0,
            histogram_hi: 0,
            start_ms,
            end_ms,
            now_ms: grid.time(i),
            extension: None,
        };
        if w.lo < w.hi
            && let Ok(Out::Float(v)) = kernel.step(&w, &[0.0; 2], &mut Context::default())
        {
            out.set(i, v);
        }
    }
    out
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0..100i32).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.5),
        1 => Just(1e300),
    ]
}

/// Bits, all NaN being one.
fn bits(v: Option<f64>) -> Option<u64> {
    v.map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn blocks_of_windows_equal_windows_one_by_one(
        samples in proptest::collection::vec((1i64..40, value()), 0..150),
        range_ms in 1i64..300,
        step_ms in 1i64..120,
        n in 1i64..200,
        pick in 0usize..16,
        stamped in proptest::bool::weighted(0.2),
    ) {
        use RangeFunction as R;
        let f = [
            R::Rate, R::Increase, R::Delta, R::Irate, R::Idelta, R::Changes, R::Resets, R::CountOverTime,
            R::PresentOverTime, R::FirstOverTime, R::LastOverTime, R::TsOfFirst, R::TsOfLast,
            R::SumOverTime, R::AvgOverTime, R::MaxOverTime,
        ][pick];
        let mut series = Loaded::default();
        for (hop, value) in samples {
            let time = series.times.last().copied().unwrap_or(0) + hop;
            series.times.push(time);
            series.values.push(value);
            if stamped {
                series.starts.push(time - time % 7);
            }
        }
        let grid = Grid::range(50, 50 + step_ms * n, step_ms);
        let reach = Reach { range_ms, offset_ms: 11, at: None, extension: None };
        let want = expected(f, &series, reach, grid);
        let mut got = Column::absent(Labels::empty(), grid.n);
        let mut ctx = Context::default();
        let walk = Walk::new(&series, reach, &grid).expect("plain");
        let known = super::super::super::plain::fill(f, &series, walk, &mut got, &mut ctx);
        if known == Ok(true) {
            for i in 0..grid.n {
                prop_assert_eq!(bits(got.float(i)), bits(want.float(i)), "{:?} step {}", f, i);
            }
        } else {
            prop_assert!(stamped && matches!(f, R::Irate | R::Resets));
        }
    }
}
