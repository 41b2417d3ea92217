//! Metric queries.

use super::Gen;

impl Gen {
    pub(super) fn metric(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.range_agg();
        }
        match self.rng.below(100) {
            0..=29 => self.range_agg(),
            30..=69 => self.vector_agg(depth - 1),
            70..=87 => self.binary(depth - 1),
            88..=93 => self.label_replace(depth - 1),
            94..=96 => format!("vector({})", self.rng.pick(&["1", "0", "2.5", "1e3", "0.1"])),
            97 | 98 => format!("({})", self.metric(depth - 1)),
            _ => self
                .rng
                .pick(&[
                    "1",
                    "2 + 3 * 4",
                    "-2 ^ 2",
                    "7 % 4 == 3",
                    "1 / 0",
                    "1 > bool 2",
                    "2 ^ 3 ^ 2",
                ])
                .to_owned(),
        }
    }

    fn range(&mut self) -> &'static str {
        self.rng.pick(&[
            "[1m]", "[5m]", "[30s]", "[10m]", "[7s]", "[1h]", "[90s]", "[2m]", "[1d]", "[500ms]",
            "[1m30s]",
        ])
    }

    fn offset(&mut self) -> &'static str {
        self.rng.weighted(&[(12, ""), (1, " offset 1m"), (1, " offset -2m"), (1, " offset 5m")])
    }

    fn range_agg(&mut self) -> String {
        if self.rng.chance(45) {
            return self.unwrapped();
        }
        let op = self.rng.weighted(&[
            (6, "count_over_time"),
            (6, "rate"),
            (4, "bytes_over_time"),
            (3, "bytes_rate"),
            (2, "absent_over_time"),
        ]);
        let selector = self.selector();
        let n = self.rng.weighted(&[(4, 0), (4, 1), (4, 2), (2, 3), (1, 4)]);
        let stages = self.stages(n);
        let errors = self.errors_dropped();
        let (range, offset) = (self.range(), self.offset());
        match self.rng.below(8) {
            0 => format!("{op}({selector}{range}{offset}{stages}{errors})"),
            1 => format!("{op}(({selector}{stages}{errors}){range}{offset})"),
            _ => format!("{op}({selector}{stages}{errors} {range}{offset})"),
        }
    }

    /// Mostly something that keeps a line's error from being the query's.
    fn errors_dropped(&mut self) -> &'static str {
        self.rng.weighted(&[
            (5, " | __error__=\"\""),
            (2, " | drop __error__, __error_details__"),
            (2, ""),
            (1, " | __error__!=\"JSONParserErr\""),
        ])
    }

    fn unwrapped(&mut self) -> String {
        let op = self.rng.pick(&[
            "sum_over_time",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "stdvar_over_time",
            "stddev_over_time",
            "quantile_over_time",
            "first_over_time",
            "last_over_time",
            "rate",
            "rate_counter",
            "absent_over_time",
            "sum_over_time",
        ]);
        let (selector, parser, unwrap) = match self.rng.below(8) {
            0 | 1 => ("{app=\"counter\"}", " | logfmt".to_owned(), "total"),
            2 => (
                "{app=\"nginx\"}",
                " | pattern `<ip> - <user> [<_>] \"<method> <_>\" <status> <num> <_>`".to_owned(),
                "num",
            ),
            3 => (
                "{app=\"json\"}",
                " | json num=\"num\", size=\"size\", duration=\"duration\", method=\"method\""
                    .to_owned(),
                "",
            ),
            4 | 5 => (
                "{app=~\"json|logfmt\"}",
                format!(" {}", self.rng.pick(&["| json", "| logfmt", "| json | logfmt"])),
                "",
            ),
            6 => ("{app=\"logfmt\"}", " | logfmt".to_owned(), ""),
            _ => ("{app=\"json\"}", " | json".to_owned(), ""),
        };
        let unwrap = if unwrap.is_empty() {
            self.rng.pick(&[
                "num",
                "status",
                "duration(duration)",
                "duration_seconds(duration)",
                "bytes(size)",
                "user_id",
                "nope",
                "bytes(num)",
                "num",
            ])
        } else {
            unwrap
        };
        let n = self.rng.weighted(&[(6, 0), (2, 1), (1, 2)]);
        let stages = self.stages(n);
        let after = self.after_unwrap();
        let param = if op == "quantile_over_time" {
            self.rng.pick(&["0.5, ", "0.99,", "0,", "1,", "1.5,"])
        } else {
            ""
        };
        let grouped = !matches!(op, "rate" | "rate_counter" | "absent_over_time" | "sum_over_time")
            && self.rng.chance(45);
        let grouping = if grouped { self.grouping() } else { String::new() };
        let (range, offset) = (self.range(), self.offset());
        let log = format!("{parser}{stages} | unwrap {unwrap}{after}");
        let inner = match self.rng.below(8) {
            0 => format!("{selector}{range}{offset}{log}"),
            1 => format!("({selector}{log}){range}{offset}"),
            _ => format!("{selector}{log} {range}{offset}"),
        };
        format!("{op}({param}{inner}){grouping}")
    }

    /// Filters behind `unwrap`, mostly against its errors.
    fn after_unwrap(&mut self) -> &'static str {
        self.rng.weighted(&[
            (6, " | __error__=\"\""),
            (2, ""),
            (1, " | __error__=\"\" | level!=\"info\""),
            (1, " | __error__!=\"SampleExtractionErr\""),
            (1, " | num > 1"),
        ])
    }

    fn grouping(&mut self) -> String {
        let word = self.rng.weighted(&[(3, "by"), (1, "without")]);
        let labels = self.labels(3);
        format!(" {word} ({labels})")
    }

    fn vector_agg(&mut self, depth: u32) -> String {
        let op = self.rng.weighted(&[
            (8, "sum"),
            (3, "avg"),
            (3, "min"),
            (3, "max"),
            (3, "count"),
            (2, "stddev"),
            (2, "stdvar"),
            (3, "topk"),
            (2, "bottomk"),
            (2, "sort"),
            (2, "sort_desc"),
        ]);
        let inner = self.metric_vector(depth);
        let param = if op.ends_with('k') { self.rng.pick(&["1, ", "2,", "3,", "10,"]) } else { "" };
        let grouping = if op.starts_with("sort") || self.rng.chance(30) {
            String::new()
        } else {
            self.grouping()
        };
        if self.rng.chance(50) {
            format!("{op}{grouping}({param}{inner})")
        } else {
            format!("{op}({param}{inner}){grouping}")
        }
    }

    /// A metric query that is not one number.
    fn metric_vector(&mut self, depth: u32) -> String {
        loop {
            let text = self.metric(depth);
            if text.contains('{') || text.contains("vector(") {
                return text;
            }
        }
    }

    fn binary(&mut self, depth: u32) -> String {
        let op = self.rng.pick(&[
            "+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless",
        ]);
        let set = matches!(op, "and" | "or" | "unless");
        let compares = op.contains(['=', '<', '>']);
        let flag = if compares && self.rng.chance(40) { " bool" } else { "" };
        if !set && self.rng.chance(30) {
            let number = self.rng.pick(&["2", "0", "-1", "0.5", "100", "+3", "1e2"]);
            let vector = self.metric_vector(depth);
            return if self.rng.chance(60) {
                format!("{vector} {op}{flag} {number}")
            } else {
                format!("{number} {op}{flag} {vector}")
            };
        }
        let left = self.metric_vector(depth);
        let right = if self.rng.chance(30) { left.clone() } else { self.metric_vector(depth) };
        let matching = match self.rng.below(10) {
            0..=5 => String::new(),
            6 | 7 => format!(" on ({})", self.labels(2)),
            _ => format!(" ignoring ({})", self.labels(2)),
        };
        let group = if set || matching.is_empty() || self.rng.chance(60) {
            String::new()
        } else {
            let side = self.rng.pick(&["group_left", "group_right"]);
            let labels = self.labels(1);
            if self.rng.chance(50) { format!(" {side}") } else { format!(" {side} ({labels})") }
        };
        format!("{left} {op}{flag}{matching}{group} {right}")
    }

    fn label_replace(&mut self, depth: u32) -> String {
        let inner = self.metric_vector(depth);
        let dst = self.rng.pick(&["new", "level", "app", "env"]);
        let (replacement, regex) = self.rng.pick(&[
            ("$1", "(.*)"),
            ("x-$1", "(.)(.*)"),
            ("", ".*"),
            ("$2", "(a)(.*)"),
            ("${first}!", "(?P<first>[a-z]).*"),
            ("const", ""),
            ("$1$1", "(info|error)"),
        ]);
        let src = self.label();
        format!("label_replace({inner}, \"{dst}\", \"{replacement}\", \"{src}\", \"{regex}\")")
    }
}
