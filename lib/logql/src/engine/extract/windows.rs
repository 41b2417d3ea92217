//! Times that count for any step, and the cells of which all windows are made.

use skald_model::TimeRange;

use crate::engine::Steps;

/// Which times are within any window.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Windows {
    pub(in crate::engine) steps: Steps,
    pub(in crate::engine) interval_ns: i64,
    pub(in crate::engine) offset_ns: i64,
}

// === impl Windows ===

impl Windows {
    /// The times that count for any step.
    pub(in crate::engine) fn range(&self) -> TimeRange {
        let first =
            self.steps.start_ns.saturating_sub(self.offset_ns).saturating_sub(self.interval_ns);
        let last = self.steps.end_ns().saturating_sub(self.offset_ns);
        TimeRange::new(first.saturating_add(1), last.saturating_add(1))
    }

    pub(super) fn cells(&self) -> Cells {
        let width = if self.steps.n <= 1 {
            self.interval_ns
        } else {
            gcd(self.steps.step_ns, self.interval_ns)
        };
        let edge = self.steps.start_ns.saturating_sub(self.offset_ns);
        Cells { edge, width: width.max(1), below: i64::MAX, end: i64::MIN }
    }

    /// Whether a time within the range is within a window; there are gaps when steps are longer.
    pub(super) fn contains(&self, t: i64) -> bool {
        if self.steps.step_ns <= self.interval_ns || self.steps.n <= 1 {
            return true;
        }
        let since = t.saturating_add(self.offset_ns).saturating_sub(self.steps.start_ns);
        // Distance to the next step at or after this time.
        let to_step = (-since).rem_euclid(self.steps.step_ns);
        to_step < self.interval_ns
    }
}

/// Pieces of time, open at the left, of which all windows are made. The last one is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    edge: i64,
    width: i64,
    below: i64,
    end: i64,
}

// === impl Cells ===

impl Cells {
    /// The upper end of the cell `t` is in. Edges of windows are only ever edges of cells.
    pub(super) fn end(&mut self, t: i64) -> i64 {
        if t <= self.below || t > self.end {
            let above = self.edge.saturating_sub(t).rem_euclid(self.width);
            self.end = t.saturating_add(above);
            self.below = self.end.saturating_sub(self.width);
        }
        self.end
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
