//! Detection of counter resets between two histograms.

use skald_model::ResetHint;

use super::arithmetic::same_bounds;
use super::bucket::{downscaled_index, remap};
use super::{Buckets, FloatHistogram};

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and `self`: any count fell, or the layout
    /// changed in a way in which only a new histogram can.
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Yes => return true,
            ResetHint::No => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count
            || self.uses_custom_buckets() != previous.uses_custom_buckets()
        {
            return true;
        }
        if self.uses_custom_buckets() {
            return self.custom_fell(previous);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero, threshold) = previous.zero_count_at(self.zero_threshold);
        if threshold > self.zero_threshold || self.zero_count < zero {
            return true;
        }
        let reduced = |side: &Buckets| {
            let mut side = side.clone();
            side.retain(|(i, _)| previous.bounds(*i).1 > self.zero_threshold);
            remap(&mut side, |i| downscaled_index(i, previous.schema, self.schema));
            side
        };
        fell(&self.positive, &reduced(&previous.positive))
            || fell(&self.negative, &reduced(&previous.negative))
    }

    fn custom_fell(&self, previous: &Self) -> bool {
        if same_bounds(&self.custom_values, &previous.custom_values) {
            return fell(&self.positive, &previous.positive);
        }
        let (mut now, mut before) = (self.clone(), previous.clone());
        now.reduce_bounds(&previous.custom_values);
        before.reduce_bounds(&self.custom_values);
        fell(&now.positive, &before.positive)
    }
}

/// Whether a bucket of `before` has a lower count in `now`.
fn fell(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut rest = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while rest.next_if(|(i, _)| i < index).is_some() {}
        let current = rest.next_if(|(i, _)| i == index).map_or(0.0, |(_, c)| *c);
        current < *count
    })
}
