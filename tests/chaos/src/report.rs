//! What happened, counted while it happens.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use parking_lot::Mutex;

/// Counts, times and violations of a run.
#[derive(Debug, Default)]
pub struct Report(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    slowest: BTreeMap<String, Duration>,
    latencies: BTreeMap<&'static str, Vec<Duration>>,
    /// The first of each kind of message, and how many there were.
    noted: BTreeMap<String, (u64, String)>,
    violations: Vec<String>,
    /// Faults that are on now.
    active: Vec<String>,
}

// === impl Report ===

impl Report {
    pub fn count(&self, what: &str) {
        self.add(what, 1);
    }

    pub fn add(&self, what: &str, n: u64) {
        *self.0.lock().counts.entry(what.to_owned()).or_default() += n;
    }

    pub fn counted(&self, what: &str) -> u64 {
        self.0.lock().counts.get(what).copied().unwrap_or(0)
    }

    /// How long something took to come back; the slowest is told.
    pub fn recovered(&self, what: &str, took: Duration) {
        let mut inner = self.0.lock();
        let slowest = inner.slowest.entry(what.to_owned()).or_default();
        *slowest = took.max(*slowest);
    }

    pub fn latency(&self, phase: &'static str, took: Duration) {
        self.0.lock().latencies.entry(phase).or_default().push(took);
    }

    /// Remembers an example of something that is no violation.
    pub fn note(&self, what: &str, example: &str) {
        let mut inner = self.0.lock();
        let with = inner.active.join(", ");
        let noted = inner.noted.entry(what.to_owned());
        noted.or_insert_with(|| (0, format!("{} [{with}]", cut(example)))).0 += 1;
    }

    pub fn violation(&self, what: &str) {
        let mut inner = self.0.lock();
        let text = format!("{} at {} [{}]", cut(what), crate::now_ms(), inner.active.join(", "));
        if inner.violations.len() < 50 {
            println!("VIOLATION {text}");
        }
        inner.violations.push(text);
    }

    pub fn violations(&self) -> usize {
        self.0.lock().violations.len()
    }

    /// Takes over what another counted, and what was wrong.
    pub fn absorb(&self, other: &Self) {
        let other = other.0.lock();
        let mut inner = self.0.lock();
        for (what, n) in &other.counts {
            *inner.counts.entry(what.clone()).or_default() += n;
        }
        inner.violations.extend(other.violations.iter().cloned());
    }

    /// A fault begins.
    pub fn begin(&self, fault: &str) {
        println!("{} {fault}", crate::now_ms());
        self.0.lock().active.push(fault.to_owned());
    }

    /// And has ended, with all that it did.
    pub fn end(&self, fault: &str) {
        let mut inner = self.0.lock();
        if let Some(i) = inner.active.iter().position(|f| f == fault) {
            inner.active.remove(i);
        }
    }

    /// Whether a fault is on whose name begins so.
    pub fn is_on(&self, prefix: &str) -> bool {
        self.0.lock().active.iter().any(|f| f.starts_with(prefix))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}

fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied()
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.lock();
        for (what, n) in &inner.counts {
            writeln!(f, "{n:>9} {what}")?;
        }
        for (what, took) in &inner.slowest {
            writeln!(f, "slowest {what}: {:.1} s", took.as_secs_f64())?;
        }
        for (phase, times) in &inner.latencies {
            let ms = |p| percentile(times, p).unwrap_or_default().as_secs_f64() * 1e3;
            let n = times.len();
            writeln!(f, "{phase}: {n}, p50 {:.1} ms, p99 {:.1} ms", ms(50), ms(99))?;
        }
        for (what, (n, example)) in &inner.noted {
            writeln!(f, "noted {n}: {what}: {example}")?;
        }
        for violation in inner.violations.iter().take(50) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "{} violations", inner.violations.len())
    }
}
