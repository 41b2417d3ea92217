//! Selectors and subqueries with their modifiers.

use super::Generator;
use crate::dataset::END_S;

/// Name, and matchers that hit some of its series.
const METRICS: [(u64, &str, &[&str]); 14] = [
    (
        8,
        "requests_total",
        &[r#"job="api""#, r#"code!="500""#, r#"instance=~"i[12]""#, r#"job=~".+""#],
    ),
    (6, "memory_bytes", &[r#"job="db""#, r#"instance!~"i1|i2""#]),
    (5, "temperature", &[r#"room="attic""#, r#"room=~"c.*""#]),
    (3, "odd", &[r#"kind="nan""#, r#"kind=~"inf|neg.*""#, r#"kind!="""#]),
    (4, "latency_bucket", &[r#"job="api""#, r#"le="1""#, r#"le!~"0.*""#]),
    (2, "latency_sum", &[r#"job="api""#]),
    (2, "latency_count", &[r#"job=~"a.*""#]),
    (6, "native", &[r#"job="api""#, r#"instance="i1""#]),
    (3, "native_gauge", &[r#"job="db""#]),
    (3, "custom", &[r#"job="api""#]),
    (2, "mixed", &[r#"kind="alternating""#]),
    (2, "target_info", &[r#"version="2""#]),
    (1, "sparse", &[r#"kind="late""#]),
    (1, "nothing_there", &[r#"job="x""#]),
];

impl Generator {
    pub(super) fn selector(&mut self) -> String {
        let mut out = self.plain_selector();
        if self.rng.chance(4) {
            out.push_str(" smoothed");
        }
        out + &self.modifiers()
    }

    pub(super) fn plain_selector(&mut self) -> String {
        let weighted = METRICS.map(|(w, name, matchers)| (w, (name, matchers)));
        let (name, matchers) = self.rng.weighted(&weighted);
        let n = self.rng.weighted(&[(6, 0), (3, 1), (1, 2)]);
        let mut chosen: Vec<String> =
            (0..n).map(|_| (self.rng.pick(matchers)).to_owned()).collect();
        if self.rng.chance(4) {
            // Several metrics at once.
            chosen.push(r#"__name__=~"requests_total|memory_bytes""#.to_owned());
            return format!("{{{}}}", chosen.join(","));
        }
        if self.rng.chance(3) {
            return r#"{"dotted.name", "a.b"=~".+"}"#.to_owned();
        }
        if chosen.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", chosen.join(",")) }
    }

    fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.rng.chance(12) {
            out += " offset ";
            out += self.rng.pick(&["1m", "7m30s", "-2m", "90s", "1h", "15s", "-45s"]);
        }
        if self.rng.chance(8) {
            out += &self.at();
        }
        out
    }

    fn at(&mut self) -> String {
        match self.rng.below(4) {
            0 => " @ start()".to_owned(),
            1 => " @ end()".to_owned(),
            _ => format!(" @ {}", END_S - self.rng.between(0, 7000)),
        }
    }

    fn range(&mut self) -> &'static str {
        self.rng.pick(&["1m", "2m", "5m", "45s", "10m", "1h", "15s", "7m13s", "300", "1m1ms"])
    }

    pub(super) fn matrix(&mut self, depth: u32) -> String {
        if depth > 0 && self.rng.chance(25) {
            let inner = self.operand(depth - 1);
            let inner = if inner.starts_with('-') { format!("({inner})") } else { inner };
            let step = self.rng.pick(&["", "30s", "1m", "17s", "2m"]);
            let range = self.rng.pick(&["3m", "5m", "10m", "90s"]);
            return format!("({inner})[{range}:{step}]{}", self.modifiers());
        }
        format!("{}[{}]{}", self.plain_selector(), self.range(), self.modifiers())
    }

    /// A range for `function`, extended now and then where that may be.
    pub(super) fn matrix_for(&mut self, function: &str, depth: u32) -> String {
        let anchored = ["rate", "increase", "delta", "changes", "resets"].contains(&function);
        let smoothed = ["rate", "increase", "delta"].contains(&function);
        if anchored && self.rng.chance(15) {
            let word = if smoothed && self.rng.chance(50) { "smoothed" } else { "anchored" };
            return format!(
                "{}[{}] {word}{}",
                self.plain_selector(),
                self.range(),
                self.modifiers()
            );
        }
        self.matrix(depth)
    }
}
