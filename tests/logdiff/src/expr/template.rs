//! Templates: text with actions, whose functions get what they take.

use super::Gen;

impl Gen {
    /// A template; `line` when it makes a line, which may be long.
    pub(super) fn template(&mut self, line: bool) -> String {
        let n = if line { self.rng.between(1, 5) } else { self.rng.weighted(&[(6, 1), (2, 2)]) };
        let mut out = String::new();
        for _ in 0..n {
            if self.rng.chance(40) {
                out.push_str(
                    self.rng.pick(&["lvl=", " ", "[", "] ", "é ", "x-", "\"q\" ", "{ ", "status="]),
                );
            }
            out.push_str(&self.action(2));
        }
        out
    }

    fn action(&mut self, depth: u32) -> String {
        if depth > 0 && self.rng.chance(18) {
            return self.block(depth - 1);
        }
        let value = if self.rng.chance(70) { self.text(depth) } else { self.shown(depth) };
        let (open, close) =
            self.rng.weighted(&[(8, ("{{", "}}")), (3, ("{{ ", " }}")), (1, ("{{- ", " -}}"))]);
        // A pipeline in brackets needs none at the top.
        let bare = value
            .strip_prefix('(')
            .and_then(|v| v.strip_suffix(')'))
            .filter(|v| !v.contains(['(', ')']));
        format!("{open}{}{close}", bare.unwrap_or(&value))
    }

    /// Anything that prints.
    fn shown(&mut self, depth: u32) -> String {
        match self.rng.below(8) {
            0..=3 => self.int(depth),
            4 | 5 => self.float(depth),
            6 => self.truth(depth),
            _ => self.date(),
        }
    }

    fn block(&mut self, depth: u32) -> String {
        let (a, b) = (self.action(depth), self.action(depth));
        // Definitions stand at the top only.
        let kind = match self.rng.below(12) {
            6 | 11 if depth == 0 => 3,
            kind => kind,
        };
        match kind {
            0 | 1 => format!("{{{{if {}}}}}{a}{{{{else}}}}{b}{{{{end}}}}", self.truth(depth)),
            2 => format!("{{{{ if {} }}}}{a}{{{{ else if {} }}}}{b}{{{{ end }}}}", self.truth(depth), self.truth(0)),
            3 => format!("{{{{with {}}}}}<{{{{.}}}}>{{{{else}}}}{b}{{{{end}}}}", self.text(depth)),
            4 => format!("{{{{$v := {}}}}}{{{{$v}}}}{{{{$v = .level}}}}{{{{$v | upper}}}}", self.text(depth)),
            5 => "{{range $k, $v := (fromJson __line__)}}{{$k}}={{$v}};{{else}}none{{end}}".to_owned(),
            6 => format!("{{{{define \"t\"}}}}<{{{{.}}}}>{{{{end}}}}{{{{template \"t\" {}}}}}", self.text(0)),
            7 => format!("{{{{/* remark */}}}}{a}"),
            8 => format!("{{{{with $w := {}}}}}{{{{$w}}}}{{{{.}}}}{{{{end}}}}", self.text(depth)),
            9 => format!("{{{{range (fromJson `[3,null,{{\"k\":[true]}}]`)}}}}{{{{if eq (print .) \"3\"}}}}{a}{{{{end}}}}{{{{.}}}}{{{{end}}}}"),
            10 => format!("{{{{range $i, $c := (fromJson `[1,2,3]`)}}}}{{{{if gt $c 1.5}}}}{b}{{{{break}}}}{{{{end}}}}{{{{$i}}}}{{{{end}}}}"),
            11 => format!("{{{{block \"b\" {}}}}}[{{{{.}}}}]{{{{end}}}}{{{{template \"b\" 7}}}}", self.text(0)),
            _ => "{{range $i, $c := (fromJson `[1,2.5,\"x\"]`)}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{$c}}{{end}}".to_owned(),
        }
    }

    fn literal(&mut self, list: &[&'static str]) -> String {
        format!("`{}`", self.rng.pick(list)).replace('`', "\"")
    }

    /// A text in one word or in brackets.
    fn text(&mut self, depth: u32) -> String {
        if depth == 0 || self.rng.chance(35) {
            return match self.rng.below(12) {
                0 => "__line__".to_owned(),
                1 => self.literal(&["abc", "", "Hello World", "a,b", "12ms", "é日本"]),
                _ => format!(".{}", self.label()),
            };
        }
        let of = self.text(depth - 1);
        let n = self.rng.between(-3, 12);
        let small = self.rng.between(0, 6);
        let call = match self.rng.below(46) {
            0 => format!("ToLower {of}"),
            1 => format!("ToUpper {of}"),
            2 => format!("Replace {of} \"a\" \"<b>\" {n}"),
            3 => format!("Trim {of} \"ae \""),
            4 => format!("TrimLeft {of} \"gi\""),
            5 => format!("TrimRight {of} \"or0\""),
            6 => format!("TrimPrefix {of} \"in\""),
            7 => format!("TrimSuffix {of} \"o\""),
            8 => format!("TrimSpace {of}"),
            9 => format!("regexReplaceAll \"([a-z]+)([0-9])?\" {of} \"${{2}}-${{1}}\""),
            10 => format!("regexReplaceAllLiteral \"[aeiou]+\" {of} \"${{1}}\""),
            11 => format!("urlencode {of}"),
            12 => format!("urldecode {of}"),
            13 => format!("alignLeft {small} {of}"),
            14 => format!("alignRight {small} {of}"),
            15 => format!("b64enc {of}"),
            16 => format!("b64dec {of}"),
            17 => format!("lower {of}"),
            18 => format!("upper {of}"),
            19 => format!("title {of}"),
            20 => format!("trunc {n} {of}"),
            21 => format!("substr {} {} {of}", self.rng.between(-1, 3), self.rng.between(-1, 8)),
            22 => format!("indent {small} {of}"),
            23 => format!("nindent {small} {of}"),
            24 => format!("replace \"e\" \"EE\" {of}"),
            25 => format!("repeat {} {of}", self.rng.between(0, 3)),
            26 => format!("trim {of}"),
            27 => format!("trimAll \"io0\" {of}"),
            28 => format!("trimSuffix \"o\" {of}"),
            29 => format!("trimPrefix \"in\" {of}"),
            30 => format!("default \"none\" {of}"),
            31..=34 => self.printed(&of, depth),
            35 => format!("html {of}"),
            36 => format!("js {of}"),
            37 => format!("urlquery {of}"),
            38 => format!("{} | upper", self.text(0)),
            39 => format!("slice {} 0 {}", self.literal(&["abcdef", "éa日"]), self.rng.below(4)),
            40 => format!(
                "index (fromJson \"{{\\\"a\\\":\\\"b\\\"}}\") {}",
                self.literal(&["a", "nope"])
            ),
            41 => format!("println {of} {}", self.float(0)),
            42 => format!("print (fromJson {of})"),
            43 => format!("alignRight {n} {of}"),
            44 => format!("b64dec (b64enc {of})"),
            _ => format!("or {of} {}", self.text(0)),
        };
        format!("({call})")
    }

    /// A call that prints `of` or a number.
    fn printed(&mut self, of: &str, depth: u32) -> String {
        match self.rng.below(4) {
            0 => {
                let verb = self.rng.pick(&["%s", "%q", "%5s|", "%-6s|", "%v", "%x", "%.2s", "%d"]);
                format!("printf \"{verb}\" {of}")
            }
            1 => {
                let verb =
                    self.rng.pick(&["%d", "%5d", "%05d", "%x", "%v", "%+d", "%c", "%q", "%f"]);
                format!("printf \"{verb}\" {}", self.int(depth - 1))
            }
            2 => {
                let verb = self.rng.pick(&["%f", "%.2f", "%g", "%e", "%8.3f", "%v", "%d", "%s"]);
                format!("printf \"{verb}\" {}", self.float(depth - 1))
            }
            _ => format!("print {of} {}", self.int(0)),
        }
    }

    fn int(&mut self, depth: u32) -> String {
        if depth == 0 || self.rng.chance(30) {
            return self
                .rng
                .pick(&[
                    "1",
                    "7",
                    "-3",
                    "0",
                    "(int .status)",
                    "(int .num)",
                    "(len .level)",
                    "(len __line__)",
                ])
                .to_owned();
        }
        let (a, b) = (self.int(depth - 1), self.int(depth - 1));
        let call = match self.rng.below(13) {
            0 => format!("add {a} {b} 2"),
            1 => format!("sub {a} {b}"),
            2 => format!("mul {a} {b}"),
            3 => format!("div {a} {b}"),
            4 => format!("mod {a} {b}"),
            5 => format!("max {a} {b} 5"),
            6 => format!("min {a} {b}"),
            7 => format!("int {}", self.float(depth - 1)),
            8 => format!("int {}", self.text(depth - 1)),
            9 => format!("count \"[a-z]+\" {}", self.text(depth - 1)),
            10 => format!("len {}", self.text(depth - 1)),
            11 => format!("add .status .num {a}"),
            _ => format!("{a} | add 3"),
        };
        format!("({call})")
    }

    fn float(&mut self, depth: u32) -> String {
        if depth == 0 || self.rng.chance(25) {
            return self
                .rng
                .pick(&[
                    "1.5",
                    "-0.25",
                    "2.0",
                    "(float64 .num)",
                    "(float64 .status)",
                    "(float64 .user_id)",
                ])
                .to_owned();
        }
        let (a, b) = (self.float(depth - 1), self.float(depth - 1));
        let call = match self.rng.below(14) {
            0 => format!("addf {a} {b} 0.1"),
            1 => format!("subf {a} {b}"),
            2 => format!("mulf {a} {b}"),
            3 => format!("divf {a} {b}"),
            4 => format!("maxf {a} {b}"),
            5 => format!("minf {a} {b} 3"),
            6 => format!("ceil {a}"),
            7 => format!("floor {a}"),
            8 if self.rng.chance(30) => format!("round {a} 1 0.7"),
            8 => format!("round {a} {}", self.rng.below(4)),
            9 => format!("float64 {}", self.text(depth - 1)),
            10 => "bytes .size".to_owned(),
            11 => "duration .duration".to_owned(),
            12 => "duration_seconds .duration".to_owned(),
            _ => "bytes \"1.5KiB\"".to_owned(),
        };
        format!("({call})")
    }

    fn truth(&mut self, depth: u32) -> String {
        let (a, b) = (self.text(depth.min(1)), self.literal(&["info", "200", "GET", "alice", ""]));
        let call = match self.rng.below(14) {
            0 => format!("eq {a} {b}"),
            1 => format!("ne {a} {b}"),
            2 => format!("lt {a} {b}"),
            3 => format!("contains {b} {a}"),
            4 => format!("hasPrefix \"in\" {a}"),
            5 => format!("hasSuffix \"o\" {a}"),
            6 => format!("and {a} {}", self.text(0)),
            7 => format!("or {a} {}", self.text(0)),
            8 => format!("not {a}"),
            9 => format!("gt {} {}", self.int(0), self.int(0)),
            10 => format!("le {} {}", self.float(0), self.float(0)),
            11 => format!("eq {a} {b} \"warn\""),
            12 => format!("ge {} 3.5", self.float(0)),
            _ => format!("eq {} 7", self.int(0)),
        };
        format!("({call})")
    }

    fn date(&mut self) -> String {
        let time = match self.rng.below(6) {
            0 | 1 => "__timestamp__".to_owned(),
            2 => format!(
                "(unixToTime {})",
                self.literal(&[
                    "1700000000",
                    "19675",
                    "1700000000123",
                    "1700000000123456",
                    "12",
                    "x"
                ])
            ),
            3 => format!("(toDate \"2006-01-02\" {})", self.literal(&["2023-11-14", "bad"])),
            4 => format!(
                "(toDateInZone \"2006-01-02T15:04:05\" {} \"2023-11-14T22:13:20\")",
                self.literal(&["UTC", "Nowhere/X"])
            ),
            _ => "(toDate \"2006-01-02T15:04:05Z07:00\" \"2023-11-14T22:13:20Z\")".to_owned(),
        };
        let call = match self.rng.below(6) {
            0..=2 => {
                let layout = self.rng.pick(&[
                    "2006-01-02T15:04:05Z07:00",
                    "15:04",
                    "Mon Jan _2 15:04:05.000 2006",
                    "02/01/06 03:04PM MST",
                    "2006 __2 -0700",
                ]);
                format!("date \"{layout}\" {time}")
            }
            3 => format!("unixEpoch {time}"),
            4 => format!("unixEpochMillis {time}"),
            _ => format!("unixEpochNanos {time}"),
        };
        format!("({call})")
    }
}
