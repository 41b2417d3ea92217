//! How much a tenant sends: counts of the last minute, for `/api/v1/user_stats`.

use parking_lot::Mutex;

/// Milliseconds that are counted together.
const SLOT_MS: i64 = 5_000;
/// Full slots that make a rate.
const SLOTS: usize = 12;

/// Samples and entries per second over the last minute.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when anything is counted.
    begun: Option<i64>,
    /// The newest slot; the others stand before it in a circle.
    slot: i64,
    counts: [[u64; 2]; SLOTS + 1],
}

// === impl Usage ===

impl Usage {
    /// Counts what was just stored.
    pub(crate) fn add(&self, now_ms: i64, samples: u64, entries: u64) {
        let mut state = self.0.lock();
        state.move_to(now_ms);
        let at = state.at(0);
        for (count, n) in state.counts[at].iter_mut().zip([samples, entries]) {
            *count = count.saturating_add(n);
        }
    }

    /// Samples and entries per second: over the minute before the slot that is being filled, or
    /// over less when counting began later.
    pub(crate) fn per_second(&self, now_ms: i64) -> [f64; 2] {
        let mut state = self.0.lock();
        state.move_to(now_ms);
        let Some(begun) = state.begun else { return [0.0; 2] };
        let full = usize::try_from(state.slot - begun).unwrap_or(SLOTS).min(SLOTS);
        // Nobody waits five seconds for a first figure.
        let (from, slots) = if full == 0 { (0, 1) } else { (1, full) };
        let counts = || (from..from + slots).map(|back| state.counts[state.at(back)]);
        #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
        let rate = |kind: usize| {
            let sum: u64 = counts().map(|c| c[kind]).sum();
            sum as f64 * 1e3 / (slots as f64 * SLOT_MS as f64)
        };
        [rate(0), rate(1)]
    }
}

// === impl State ===

impl State {
    fn move_to(&mut self, now_ms: i64) {
        let slot = now_ms.div_euclid(SLOT_MS);
        if self.begun.is_none() {
            (self.begun, self.slot) = (Some(slot), slot);
        }
        // A clock that steps back goes on in the slot it was in.
        let ahead = usize::try_from(slot - self.slot).unwrap_or(0);
        for _ in 0..ahead.min(SLOTS + 1) {
            self.slot += 1;
            let at = self.at(0);
            self.counts[at] = [0; 2];
        }
        self.slot = self.slot.max(slot);
    }

    /// The place of the slot so many before the newest.
    fn at(&self, back: usize) -> usize {
        let slot = self.slot.saturating_sub(i64::try_from(back).unwrap_or(0));
        usize::try_from(slot.rem_euclid(SLOTS as i64 + 1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(usage: &Usage, now_ms: i64) -> String {
        format!("{:?}", usage.per_second(now_ms))
    }

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let usage = Usage::default();
        assert_eq!(rates(&usage, 0), "[0.0, 0.0]");
        usage.add(1_000, 500, 5);
        assert_eq!(rates(&usage, 2_000), "[100.0, 1.0]");
        for s in 5..200 {
            usage.add(s * 1000, 10, 0);
        }
        assert_eq!(rates(&usage, 200_000), "[10.0, 0.0]");
        assert_eq!(rates(&usage, 230_000), "[5.0, 0.0]");
        assert_eq!(rates(&usage, 1_000_000), "[0.0, 0.0]");
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let usage = Usage::default();
        usage.add(100_000, 60, 0);
        usage.add(10_000, 60, 0);
        assert_eq!(rates(&usage, 160_000), "[2.0, 0.0]");
    }
}
