//! Random expressions that pass the type check.

mod binary;
mod call;
mod selector;

use skald_promql::syntax::ValueType;

use skald_testkit::rng::Rng;

/// Writes one expression.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
}

/// Expression `n` of `seed`.
pub fn expression(seed: u64, n: u64) -> String {
    let mut generator = Generator { rng: Rng::fork(seed, n) };
    let depth = generator.rng.weighted(&[(3, 1), (5, 2), (3, 3), (1, 4)]);
    match generator.rng.chance(95) {
        true => generator.vector(depth),
        false => generator.scalar(depth),
    }
}

const LABELS: [&str; 8] = ["job", "instance", "code", "le", "room", "kind", "__name__", "version"];

const AGGREGATIONS: [(&str, Param); 14] = [
    ("sum", Param::None),
    ("avg", Param::None),
    ("min", Param::None),
    ("max", Param::None),
    ("count", Param::None),
    ("group", Param::None),
    ("stddev", Param::None),
    ("stdvar", Param::None),
    ("topk", Param::Count),
    ("bottomk", Param::Count),
    ("limitk", Param::Count),
    ("quantile", Param::Ratio),
    ("limit_ratio", Param::Ratio),
    ("count_values", Param::Label),
];

#[derive(Clone, Copy, Debug)]
enum Param {
    None,
    Count,
    Ratio,
    Label,
}

impl Generator {
    fn of_type(&mut self, kind: ValueType, depth: u32) -> String {
        match kind {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => format!("\"{}\"", self.rng.pick(&LABELS)),
        }
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.selector();
        }
        let depth = depth - 1;
        match self.rng.below(100) {
            0..40 => self.call(depth),
            40..62 => self.aggregation(depth),
            62..85 => self.binary(depth),
            85..89 => format!("-{}", self.operand(depth)),
            89..92 => format!("({})", self.vector(depth)),
            _ => self.selector(),
        }
    }

    /// Of an operator: in parentheses where it is one itself, so that precedence is not all we test.
    fn operand(&mut self, depth: u32) -> String {
        let inner = self.vector(depth);
        if self.rng.chance(50) { format!("({inner})") } else { inner }
    }

    fn scalar(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.number();
        }
        let depth = depth - 1;
        match self.rng.below(10) {
            0..2 => format!("scalar({})", self.vector(depth)),
            2 => {
                (self.rng.pick(&["time()", "pi()", "step()", "range()", "start()", "end()"])).into()
            }
            3 => {
                let op = self.rng.pick(&["+", "-", "*", "/", "%", "^", "atan2"]);
                format!("{} {op} {}", self.scalar(depth), self.scalar(depth))
            }
            4 => {
                let op = self.rng.pick(&["==", "!=", "<", ">", "<=", ">="]);
                format!("{} {op} bool {}", self.scalar(depth), self.scalar(depth))
            }
            5 => {
                let name = self.rng.pick(&["min_of", "max_of"]);
                format!("{name}({}, {})", self.scalar(depth), self.scalar(depth))
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> String {
        const ODD: [&str; 14] = [
            "0", "1", "2", "-1", "0.5", "10", "100", "1e3", "NaN", "Inf", "-Inf", "0x1F", "-0",
            "5m",
        ];
        match self.rng.chance(70) {
            true => (self.rng.pick(&ODD)).to_owned(),
            false => self.rng.between(-50, 500).to_string(),
        }
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let (op, param) = self.rng.pick(&AGGREGATIONS);
        let param = match param {
            Param::None => String::new(),
            Param::Count => match self.rng.chance(90) {
                true => format!("{}, ", self.rng.below(5)),
                false => format!("{}, ", self.scalar(1)),
            },
            Param::Ratio => match self.rng.chance(90) {
                true => format!("{}, ", self.ratio()),
                false => format!("{}, ", self.scalar(1)),
            },
            Param::Label => "\"value\", ".to_owned(),
        };
        let grouping = self.grouping();
        let inner = self.vector(depth);
        match self.rng.chance(50) {
            true => format!("{op}{grouping} ({param}{inner})"),
            false => format!("{op}({param}{inner}){grouping}"),
        }
    }

    fn ratio(&mut self) -> &'static str {
        self.rng.pick(&["0", "0.5", "0.9", "0.99", "1", "0.1", "-0.3", "1.5", "-2", "NaN"])
    }

    fn grouping(&mut self) -> String {
        match self.rng.below(10) {
            0..3 => String::new(),
            3..8 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        }
    }

    fn labels(&mut self) -> String {
        let n = self.rng.weighted(&[(1, 0), (5, 1), (4, 2), (1, 3)]);
        let labels: Vec<&str> = (0..n).map(|_| self.rng.pick(&LABELS)).collect();
        labels.join(", ")
    }
}
