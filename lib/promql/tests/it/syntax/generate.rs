//! Random queries, most of them valid: built by type, now and then with a wrong one.

use super::damage::Draw;

/// Which language the queries are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// What stood before Prometheus 3.
    Classic,
    /// All of it, with all that is experimental.
    Full,
}

pub(super) struct Generator {
    pub draw: Draw,
    dialect: Dialect,
}

const NAMES: &[&str] =
    &["up", "http_requests_total", "a:b:c", "sum", "by", "offset", "bool", "start"];
const LABELS: &[&str] = &["job", "instance", "le", "on", "sum", "a_b", "__x", "atan2"];
const VALUES: &[&str] = &[
    r#""x""#,
    r#""""#,
    "'it''",
    r#"'a"b'"#,
    r#""\n\\\"é""#,
    "`raw\\`",
    r#""a{b}[c]""#,
    r#""\u00e9""#,
];
const PATTERNS: &[&str] =
    &[r#""a|b""#, r#"".*""#, r#""x.+""#, r#""a\\.b""#, r#""(?i)x""#, r#""[a-c]{2}""#];
const NUMBERS: &[&str] = &[
    "1",
    "0",
    "0.5",
    ".5",
    "5.",
    "1e3",
    "1E-3",
    "0x1F",
    "017",
    "Inf",
    "NaN",
    "inf",
    "1_000",
    "1e+9",
    "123456789012345678",
    "0.1e-7",
    "-3",
    "+2",
    "5m",
    "1h30m",
];
const CLASSIC_NUMBERS: usize = 12;
const DURATIONS: &[&str] = &["5m", "1h", "30s", "1d", "1h30m", "90s", "1500ms", "1w", "1y", "2d3h"];
const VECTOR_CALLS: &[&str] =
    &["abs", "ceil", "exp", "ln", "absent", "sort", "timestamp", "hour", "histogram_sum", "sgn"];
const RANGE_CALLS: &[&str] =
    &["rate", "increase", "delta", "irate", "avg_over_time", "count_over_time", "resets", "deriv"];
const AGGREGATES: &[&str] = &["sum", "min", "max", "avg", "count", "group", "stddev", "SUM"];
const PARAMETERS: &[&str] = &["topk", "bottomk", "quantile"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless", "AND"];

impl Generator {
    pub(super) fn new(seed: u64, dialect: Dialect) -> Self {
        Self { draw: Draw::new(seed), dialect }
    }

    pub(super) fn query(&mut self) -> String {
        let depth = 1 + self.draw.below(4);
        let query = match self.draw.below(20) {
            0 => self.matrix(depth),
            1 => self.draw.pick(VALUES).to_owned(),
            2..5 => self.scalar(depth),
            _ => self.vector(depth),
        };
        if self.draw.percent(12) { self.spoil(&query) } else { query }
    }

    /// Loses or doubles a piece.
    fn spoil(&mut self, query: &str) -> String {
        let mut pieces: Vec<&str> = query.split_inclusive([' ', '(', ')', '{', '}', ',']).collect();
        let at = self.draw.below(pieces.len());
        if self.draw.percent(60) {
            pieces.remove(at);
        } else {
            pieces.insert(at, pieces[at]);
        }
        pieces.concat()
    }

    fn full(&self) -> bool {
        self.dialect == Dialect::Full
    }

    /// A blank or none.
    fn gap(&mut self) -> &'static str {
        self.draw.pick(&[" ", "", "  ", "\n"])
    }

    fn labels(&mut self) -> String {
        let n = self.draw.below(3);
        let mut list: Vec<String> = (0..n).map(|_| self.draw.pick(LABELS).to_owned()).collect();
        if self.full() && self.draw.percent(20) {
            list.push(r#""a.b""#.to_owned());
        }
        let comma = if n > 0 && self.draw.percent(10) { "," } else { "" };
        format!("({}{comma})", list.join(", "))
    }

    fn matcher(&mut self) -> String {
        let name = match self.draw.below(if self.full() { 10 } else { 8 }) {
            0 => "__name__".to_owned(),
            8 => r#""a.b""#.to_owned(),
            9 => return r#""my.metric""#.to_owned(),
            _ => self.draw.pick(LABELS).to_owned(),
        };
        let (gap, op) = (self.gap(), self.draw.pick(&["=", "!=", "=~", "!~"]));
        let values = if op.ends_with('~') { PATTERNS } else { VALUES };
        format!("{name}{gap}{op}{gap}{}", self.draw.pick(values))
    }

    fn selector(&mut self) -> String {
        let name = if self.draw.percent(80) { self.draw.pick(NAMES) } else { "" };
        if !name.is_empty() && self.draw.percent(40) {
            return name.to_owned();
        }
        let n = self.draw.below(4);
        let matchers: Vec<String> = (0..n).map(|_| self.matcher()).collect();
        let comma = if n > 0 && self.draw.percent(10) { "," } else { "" };
        format!("{name}{}{{{}{comma}}}", self.gap(), matchers.join(","))
    }

    fn duration(&mut self) -> String {
        if self.full() && self.draw.percent(20) {
            let (a, b) = (self.draw.pick(DURATIONS), self.draw.pick(DURATIONS));
            return match self.draw.below(7) {
                0 => format!("{a} + {b}"),
                1 => format!("({a} * 2)"),
                2 => format!("-({a} - {b})"),
                3 => "step()".to_owned(),
                4 => format!("max_of({a}, range() / 2)"),
                5 => format!("{a} ^ 2 % {b}"),
                _ => "300".to_owned(),
            };
        }
        self.draw.pick(DURATIONS).to_owned()
    }

    /// `offset`, `@`, both, or neither.
    fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.full() && self.draw.percent(8) {
            out.push_str(self.draw.pick(&[" anchored", " smoothed"]));
        }
        let (offset, at) = (self.draw.percent(20), self.draw.percent(15));
        if offset {
            let sign = self.draw.pick(&["", "-", "+"]);
            let sign = if self.full() || sign != "+" { sign } else { "" };
            let duration = if self.full() && self.draw.percent(30) {
                self.draw.pick(&["(5m)", "step()", "(1m + 2m)", "300", "min_of(1m, 2m)"])
            } else {
                self.draw.pick(DURATIONS)
            };
            out.push_str(&format!(" offset {sign}{duration}"));
        }
        if at {
            let at = self.draw.pick(&["start()", "end()", "1609746000", "1.5", "1e3"]);
            out.push_str(&format!(" @ {at}"));
        }
        out
    }

    fn matrix(&mut self, depth: usize) -> String {
        if depth > 0 && self.draw.percent(30) {
            let inner = self.vector(depth - 1);
            let step = if self.draw.percent(50) { self.duration() } else { String::new() };
            let (range, modifiers) = (self.duration(), self.modifiers());
            return format!("({inner})[{range}:{step}]{modifiers}");
        }
        let (selector, range, modifiers) = (self.selector(), self.duration(), self.modifiers());
        format!("{selector}[{range}]{modifiers}")
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 || self.draw.percent(40) {
            let known = if self.full() { NUMBERS.len() } else { CLASSIC_NUMBERS };
            return self.draw.pick(&NUMBERS[..known]).to_owned();
        }
        match self.draw.below(6) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => self.draw.pick(&["time()", "pi()"]).to_owned(),
            2 => format!("({})", self.scalar(depth - 1)),
            3 => format!("{}{}", self.draw.pick(&["-", "+"]), self.scalar(depth - 1)),
            4 => {
                let (a, op, b) =
                    (self.scalar(depth - 1), self.draw.pick(COMPARISONS), self.scalar(depth - 1));
                format!("{a} {op} bool {b}")
            }
            _ => {
                let (a, op, b) =
                    (self.scalar(depth - 1), self.draw.pick(ARITHMETIC), self.scalar(depth - 1));
                format!("{a} {op} {b}")
            }
        }
    }

    pub(super) fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector() + &self.modifiers();
        }
        let inner = depth - 1;
        match self.draw.below(14) {
            0 | 1 => self.selector() + &self.modifiers(),
            2 | 3 => self.aggregate(inner),
            4 => format!("{}({})", self.draw.pick(VECTOR_CALLS), self.vector(inner)),
            5 | 6 => format!("{}({})", self.draw.pick(RANGE_CALLS), self.matrix(inner)),
            7 => self.call(inner),
            8 => format!("({})", self.vector(inner)),
            9 => format!("{}{}", self.draw.pick(&["-", "+"]), self.vector(inner)),
            10 => {
                let (a, b) = (self.vector(inner), self.scalar(inner));
                let ops = if self.draw.percent(50) { ARITHMETIC } else { COMPARISONS };
                let op = self.draw.pick(ops);
                if self.draw.percent(50) {
                    format!("{a} {op} {b}")
                } else {
                    format!("{b} {op} {a}")
                }
            }
            _ => self.binary(inner),
        }
    }

    /// Calls whose arguments differ in type; now and then the wrong number or type of them.
    fn call(&mut self, depth: usize) -> String {
        let (v, s) = (self.vector(depth), self.scalar(depth));
        match self.draw.below(if self.full() { 10 } else { 8 }) {
            0 => format!(r#"label_replace({v}, "a", "$1", "b", "(.*)")"#),
            1 => format!(r#"label_join({v}, "a", ",", "b", "c")"#),
            2 => format!("histogram_quantile({s}, {v})"),
            3 => format!("clamp_max({v}, {s})"),
            4 => format!("round({v}, {s})"),
            5 => format!("quantile_over_time({s}, {})", self.matrix(depth)),
            6 => format!("vector({s})"),
            7 => format!("abs({s})"),
            8 => format!(r#"info({v}, {{k8s="x"}})"#),
            _ => format!(r#"sort_by_label({v}, "a")"#),
        }
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let modifier = match self.draw.below(3) {
            0 => String::new(),
            1 => format!("by{}{}", self.gap(), self.labels()),
            _ => format!("without{}{}", self.gap(), self.labels()),
        };
        let v = self.vector(depth);
        let (op, args) = match self.draw.below(5) {
            0 => {
                let s = self.scalar(depth);
                (self.draw.pick(PARAMETERS), format!("({s}, {v})"))
            }
            1 => ("count_values", format!(r#"("x", {v})"#)),
            _ => (self.draw.pick(AGGREGATES), format!("({v})")),
        };
        let gap = self.gap();
        if self.draw.percent(50) {
            format!("{op} {modifier}{gap}{args}")
        } else {
            format!("{op}{gap}{args}{gap}{modifier}")
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let (a, b) = (self.vector(depth), self.vector(depth));
        let (mut op, set) = match self.draw.below(5) {
            0 | 1 => (self.draw.pick(ARITHMETIC).to_owned(), false),
            2 | 3 => (self.draw.pick(COMPARISONS).to_owned(), false),
            _ => (self.draw.pick(SETS).to_owned(), true),
        };
        if self.full() && self.draw.percent(5) {
            op = self.draw.pick(&["</", ">/"]).to_owned();
        }
        if COMPARISONS.contains(&op.as_str()) && self.draw.percent(30) {
            op.push_str(" bool");
        }
        if self.draw.percent(40) {
            op.push_str(self.draw.pick(&[" on", " ignoring"]));
            op.push_str(&self.labels());
            if !set && self.draw.percent(40) {
                op.push_str(self.draw.pick(&[" group_left", " group_right"]));
                if self.draw.percent(60) {
                    op.push_str(&self.labels());
                }
            }
        }
        if self.full() && !set && self.draw.percent(10) {
            op.push_str(self.draw.pick(&[
                " fill(0)",
                " fill_left(1)",
                " fill_right(-1) fill_left(2)",
            ]));
        }
        format!("{a} {op} {b}")
    }
}
