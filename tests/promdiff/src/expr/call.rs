//! Calls, from the signatures of all functions.

use skald_promql::syntax::{FUNCTIONS, Signature, ValueType};

use super::{Generator, LABELS};

impl Generator {
    pub(super) fn call(&mut self, depth: u32) -> String {
        let vectors: Vec<&Signature> =
            FUNCTIONS.iter().filter(|f| f.returns == ValueType::Vector).collect();
        // Those with much to go wrong more often than the sine.
        const OFTEN: [&str; 14] = [
            "rate",
            "increase",
            "delta",
            "irate",
            "resets",
            "changes",
            "histogram_quantile",
            "histogram_fraction",
            "sum_over_time",
            "avg_over_time",
            "label_replace",
            "info",
            "deriv",
            "quantile_over_time",
        ];
        let function = match self.rng.chance(40) {
            true => {
                let name = self.rng.pick(&OFTEN);
                vectors.iter().find(|f| f.name == name).copied().unwrap_or(vectors[0])
            }
            false => self.rng.pick(&vectors),
        };
        let args = self.arguments(function, depth);
        format!("{}({})", function.name, args.join(", "))
    }

    fn arguments(&mut self, function: &Signature, depth: u32) -> Vec<String> {
        let text = |s: &str| format!("\"{s}\"");
        match function.name {
            "label_replace" => {
                let (to, replacement) = self.rng.pick(&[
                    ("dst", "$1"),
                    ("job", "x-$1"),
                    ("__name__", "renamed"),
                    ("instance", ""),
                    ("dst", "${two}-$1"),
                ]);
                let source = self.rng.pick(&LABELS);
                let regex = self.rng.pick(&["(.*)", "(a|d).*", "i(?P<two>[0-9])", ".+", "nope"]);
                let vector = self.vector(depth);
                vec![vector, text(to), text(replacement), text(source), text(regex)]
            }
            "label_join" => {
                let to = self.rng.pick(&["dst", "job", "__name__"]);
                let mut args = vec![self.vector(depth), text(to), text("-")];
                args.extend((0..=self.rng.below(2)).map(|_| text(self.rng.pick(&LABELS))));
                args
            }
            "histogram_quantiles" => {
                let mut args = vec![self.histograms(depth), text("q")];
                args.extend((0..=self.rng.below(2)).map(|_| self.ratio().to_owned()));
                args
            }
            "histogram_quantile" => vec![self.parameter(), self.histograms(depth)],
            "histogram_fraction" => {
                let bound = ["0", "0.1", "0.5", "1", "-1", "Inf", "-Inf", "NaN", "2.5"];
                let (low, high) = (self.rng.pick(&bound), self.rng.pick(&bound));
                vec![low.to_owned(), high.to_owned(), self.histograms(depth)]
            }
            "quantile_over_time" => vec![self.parameter(), self.matrix(depth)],
            "double_exponential_smoothing" => {
                vec![self.matrix(depth), "0.3".to_owned(), self.ratio().to_owned()]
            }
            "info" => {
                let base = self.vector(depth);
                let data =
                    [r#"{version=~".+"}"#, r#"{__name__="target_info"}"#, r#"{version="2"}"#];
                match self.rng.chance(60) {
                    true => vec![base],
                    false => vec![base, (self.rng.pick(&data)).to_owned()],
                }
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let mut args = vec![self.vector(depth)];
                args.extend((0..=self.rng.below(2)).map(|_| text(self.rng.pick(&LABELS))));
                args
            }
            name => {
                let optional = function.variadic > 0 && self.rng.chance(30);
                let n = function.args.len() - usize::from(optional);
                let args = function.args.iter().take(n);
                args.map(|kind| match kind {
                    ValueType::Matrix => self.matrix_for(name, depth),
                    ValueType::Scalar => self.scalar(depth.min(1)),
                    kind => self.of_type(*kind, depth),
                })
                .collect()
            }
        }
    }

    fn parameter(&mut self) -> String {
        match self.rng.chance(90) {
            true => self.ratio().to_owned(),
            false => self.scalar(1),
        }
    }

    /// A vector that often has histograms.
    fn histograms(&mut self, depth: u32) -> String {
        const GOOD: [&str; 10] = [
            "latency_bucket",
            "native",
            "rate(native[5m])",
            "sum by (le, job) (rate(latency_bucket[5m]))",
            "sum by (job) (rate(native[5m]))",
            "custom",
            "rate(custom[5m])",
            "native_gauge",
            "sum(increase(native[10m]))",
            "avg by (job) (native_gauge)",
        ];
        match self.rng.chance(70) {
            true => (self.rng.pick(&GOOD)).to_owned(),
            false => self.vector(depth),
        }
    }
}
