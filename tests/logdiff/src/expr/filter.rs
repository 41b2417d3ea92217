//! Selectors, line filters and label filters.

use super::Gen;

/// Texts that lines have in them, and some that they have not.
const NEEDLES: &[&str] = &[
    "level",
    "error",
    "INFO",
    "user",
    "GET",
    "200",
    "12ms",
    "日本",
    "é",
    "\"status\":",
    "msg=",
    "{",
    " - ",
    "never",
    "",
    "\u{1b}[",
    "alice",
    "seq",
    "a=b",
];
const REGEXES: &[&str] = &[
    "err|warn",
    "(?i)info",
    "^\\{",
    "\\d+ms",
    "user=\\w+",
    "[a-z]+-[0-9]+$",
    "^$",
    "",
    "a.c",
    "(GET|POST) /",
    ".*",
    ".+",
    "\"num\":-?\\d",
    "\\bbob\\b",
    "(?i)ERROR|timeout",
    "[^\\x00-\\x7F]+",
    "status.(2|5)..",
    "(a|b)*c?",
    "\\s$",
];
const LINE_PATTERNS: &[&str] = &[
    "<_>level<_>",
    "level=<_> <_>",
    "<_> - <_> [<_>] <_>",
    "{<_>}<_>",
    "<_>GET <_> HTTP<_>",
    "<_>",
    "<_>=<_>",
    "<_>user=<_>",
    "<_> took <_>",
    "hello",
    "<_>seq=<_>",
];
pub(super) const IPS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.0/8",
    "192.168.1.1-192.168.1.99",
    "::1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "8.8.8.8",
    "172.16.0.0/12",
];

impl Gen {
    pub(super) fn selector(&mut self) -> String {
        let simple = self.rng.pick(&[
            "app=\"json\"",
            "app=\"logfmt\"",
            "app=\"nginx\"",
            "app=\"plain\"",
            "app=\"broken\"",
            "app=\"packed\"",
            "app=\"colour\"",
            "app=\"counter\"",
            "app=~\"json|logfmt\"",
            "app=~\".+\"",
            "env=\"prod\"",
            "env=~\"d.*\"",
            "service_name=\"json\"",
            "host=\"a-1\"",
            "app=~\"(?i)JSON\"",
        ]);
        let more = self.rng.pick(&[
            "",
            "",
            "",
            "",
            "",
            ", env!=\"dev\"",
            ",host=~\"a-.|\"",
            ", nope=\"\"",
            ", app!~\"n.*\"",
            ",host=\"\"",
            ", env=~\".*\"",
            ", level!=\"warn\"",
            ",app=~\"j.+\"",
        ]);
        format!("{{{simple}{more}}}")
    }

    pub(super) fn line_filter(&mut self) -> String {
        let op =
            self.rng.weighted(&[(8, "|="), (4, "!="), (5, "|~"), (3, "!~"), (3, "|>"), (1, "!>")]);
        let mut out = format!("{op} ");
        let n = self.rng.weighted(&[(8, 1), (2, 2), (1, 3)]);
        for i in 0..n {
            if i > 0 {
                out.push_str(" or ");
            }
            let operand = match op {
                "|=" | "!=" if self.rng.chance(12) => {
                    let ip = self.rng.pick(IPS);
                    format!("ip({})", self.quoted(ip))
                }
                "|=" | "!=" => {
                    let text = self.rng.pick(NEEDLES);
                    self.quoted(text)
                }
                "|~" | "!~" => {
                    let text = self.rng.pick(REGEXES);
                    self.quoted(text)
                }
                _ => {
                    let text = self.rng.pick(LINE_PATTERNS);
                    self.quoted(text)
                }
            };
            out.push_str(&operand);
        }
        out
    }

    pub(super) fn label_filter(&mut self, depth: u32) -> String {
        if depth == 0 || self.rng.chance(60) {
            return self.filter_unit();
        }
        let (a, b) = (self.label_filter(depth - 1), self.label_filter(depth - 1));
        match self.rng.below(6) {
            0 => format!("{a} and {b}"),
            1 => format!("{a} or {b}"),
            2 => format!("{a}, {b}"),
            3 => format!("{a} {b}"),
            4 => format!("({a} or {b})"),
            _ => format!("({a}) and {b}"),
        }
    }

    fn filter_unit(&mut self) -> String {
        let compare = |g: &mut Self| g.rng.pick(&["=", "==", "!=", ">", ">=", "<", "<="]);
        match self.rng.below(20) {
            0..=8 => {
                let label = self.label();
                let op = self.rng.pick(&["=", "!=", "=~", "!~"]);
                let value = match op {
                    "=" | "!=" => self.rng.pick(&[
                        "info", "error", "200", "500", "GET", "alice", "", "prod", "inner", "12ms",
                        "t1", "x", "json",
                    ]),
                    _ => self.rng.pick(&[
                        "info|warn",
                        "(?i)error",
                        "2..",
                        "",
                        ".*",
                        ".+",
                        "[0-9]+",
                        "a.*",
                        "G",
                        "t[12]",
                    ]),
                };
                let value = self.quoted(value);
                format!("{label}{op}{value}")
            }
            9..=12 => {
                let label = self.rng.pick(&[
                    "status", "num", "user_id", "size", "duration", "total", "nope", "level",
                ]);
                let value =
                    self.rng.pick(&["200", "500", "0", "-1", "0.5", "1e3", "+7", "0x10", "42"]);
                format!("{label} {} {value}", compare(self))
            }
            13..=14 => {
                let label = self.rng.pick(&["duration", "duration", "num", "msg", "nope"]);
                let value = self.rng.pick(&["12ms", "1s", "1m", "1d", "1h30m", "250us", "1.5s"]);
                format!("{label}{}{value}", compare(self))
            }
            15..=16 => {
                let label = self.rng.pick(&["size", "size", "num", "status", "nope"]);
                let value = self.rng.pick(&["1KB", "5MB", "1KiB", "12B", "1.5KiB", "2GiB"]);
                format!("{label} {} {value}", compare(self))
            }
            17 => {
                let label = self.rng.pick(&["ip", "ip", "msg", "nope", "host"]);
                let (op, ip) = (self.rng.pick(&["=", "!="]), self.rng.pick(IPS));
                let ip = self.quoted(ip);
                format!("{label} {op} ip({ip})")
            }
            _ => {
                let op = self.rng.pick(&["=", "!=", "=~", "!~"]);
                let value = self.rng.pick(&[
                    "\"\"",
                    "\"JSONParserErr\"",
                    "\"LabelFilterErr\"",
                    "\"SampleExtractionErr\"",
                ]);
                format!("__error__{op}{value}")
            }
        }
    }
}
