//! Token buckets per tenant: how many samples or bytes a tenant may push per second.
//!
//! The clock is the caller's: every call says what time it is, in nanoseconds. A bucket that was idle
//! long enough to be full again is forgotten, so that tenants who left cost nothing.

use std::collections::HashMap;

use parking_lot::Mutex;
use skald_model::TenantId;

const N_SHARDS: usize = 16;
const NS_PER_SEC: f64 = 1e9;
/// A shard looks for buckets to forget once it has grown by this many.
const SWEEP_EVERY: usize = 256;

/// One token bucket per tenant. Tenants are spread over locks.
#[derive(Debug)]
pub struct RateLimiter {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<TenantId, Bucket>,
    swept_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    /// Nanoseconds; never goes back.
    at: i64,
    rate: f64,
    burst: f64,
}

// === impl RateLimiter ===

impl Default for RateLimiter {
    fn default() -> Self {
        Self { shards: (0..N_SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl RateLimiter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `n` tokens of `tenant`, or none. A `rate` of 0 or less is unlimited.
    ///
    /// A request larger than `burst` can never pass: the caller's refusal must not ask to retry it as it is.
    pub fn try_take(&self, tenant: &TenantId, n: f64, rate: f64, burst: f64, now_ns: i64) -> bool {
        if rate <= 0.0 {
            return true;
        }
        let mut shard = self.shard(tenant).lock();
        if shard.buckets.len() >= shard.swept_at + SWEEP_EVERY {
            shard.buckets.retain(|_, b| b.tokens_at(now_ns) < b.burst);
            shard.swept_at = shard.buckets.len();
        }
        let full = Bucket { tokens: burst, at: now_ns, rate, burst };
        let bucket = shard.buckets.entry(tenant.clone()).or_insert(full);
        // Limits may have been reloaded since the last call.
        (bucket.rate, bucket.burst) = (rate, burst);
        bucket.tokens = bucket.tokens_at(now_ns);
        bucket.at = bucket.at.max(now_ns);
        let enough = n <= bucket.tokens;
        if enough {
            bucket.tokens -= n;
        }
        enough
    }

    /// Tenants with a bucket.
    pub fn n_tenants(&self) -> usize {
        self.shards.iter().map(|s| s.lock().buckets.len()).sum()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn shard(&self, tenant: &TenantId) -> &Mutex<Shard> {
        &self.shards[tenant.hash64() as usize % N_SHARDS]
    }
}

// === impl Bucket ===

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "a nanosecond more or less does not matter")]
    fn tokens_at(&self, now_ns: i64) -> f64 {
        let elapsed = now_ns.saturating_sub(self.at).max(0) as f64 / NS_PER_SEC;
        (self.tokens + elapsed * self.rate).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: i64 = 1_000_000_000;

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    #[test]
    fn refills_at_the_rate_up_to_the_burst() {
        let limiter = RateLimiter::new();
        let a = tenant("a");
        let take = |n, now| limiter.try_take(&a, n, 10.0, 20.0, now);
        assert!(take(20.0, 0), "starts full");
        assert!(!take(1.0, 0));
        assert!(take(5.0, SEC / 2));
        assert!(!take(1.0, SEC / 2));
        assert!(take(20.0, 100 * SEC), "never more than the burst");
        assert!(!take(0.5, 100 * SEC));
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let limiter = RateLimiter::new();
        let a = tenant("a");
        assert!(!limiter.try_take(&a, 21.0, 10.0, 20.0, 0));
        assert!(limiter.try_take(&a, 20.0, 10.0, 20.0, 0));
    }

    #[test]
    fn tenants_do_not_share_tokens() {
        let limiter = RateLimiter::new();
        assert!(limiter.try_take(&tenant("a"), 5.0, 1.0, 5.0, 0));
        assert!(limiter.try_take(&tenant("b"), 5.0, 1.0, 5.0, 0));
        assert!(!limiter.try_take(&tenant("b"), 5.0, 1.0, 5.0, 0));
    }

    #[test]
    fn a_rate_of_zero_is_unlimited() {
        let limiter = RateLimiter::new();
        assert!(limiter.try_take(&tenant("a"), 1e12, 0.0, 0.0, 0));
        assert_eq!(limiter.n_tenants(), 0);
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing_away() {
        let limiter = RateLimiter::new();
        let a = tenant("a");
        assert!(limiter.try_take(&a, 10.0, 10.0, 10.0, 10 * SEC));
        assert!(!limiter.try_take(&a, 1.0, 10.0, 10.0, 5 * SEC));
        assert!(!limiter.try_take(&a, 1.0, 10.0, 10.0, 10 * SEC), "the jump is not counted twice");
    }

    #[test]
    fn idle_tenants_are_forgotten() {
        let limiter = RateLimiter::new();
        for i in 0..20_000 {
            let now = i64::from(i) * SEC;
            assert!(limiter.try_take(&tenant(&format!("t{i}")), 1.0, 10.0, 10.0, now));
        }
        assert!(limiter.n_tenants() <= N_SHARDS * (SWEEP_EVERY + 1));
    }
}
