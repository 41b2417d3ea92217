//! Stages.

use super::Gen;

const JSON_PATHS: &[&str] = &[
    "level",
    "status",
    "user.name",
    "user[\"id\"]",
    "tags[0]",
    "tags[2].c",
    "user",
    "nope",
    "nothing",
    "user.deep[\"x y\"]",
    "tags",
    "[\"sp ace\"]",
    "ok",
    "num",
    "user.nope",
    "tags[9]",
];
const PATTERNS: &[&str] = &[
    "<ip> - <user> [<ts>] \"<method> <path> <_>\" <status> <size>",
    "<level>: <msg>",
    "<_> <level> <_> - <msg> user=<user>",
    "[<level>] <<user>> <msg>",
    "<a>=<b> <rest>",
    "{<level>,<rest>}",
    "<_>level=<level> <_>",
    "<level> <_>",
    "<msg>",
    "<_>\"level\":\"<level>\"<_>",
];
const REGEXPS: &[&str] = &[
    "(?P<ip>\\S+) - (?P<user>\\S+)",
    "(?P<method>GET|POST) (?P<path>\\S+)",
    "level=(?P<level>\\w+)( status=(?P<status>\\d+))?",
    "(?P<num>\\d+)ms",
    "\"(?P<method>[A-Z]+)\"",
    "(?P<level>(?i)info|warn|error)",
    "(?P<a>x)?(?P<user>alice|bob)",
    "took (?P<duration>\\S+)",
    "(?P<level>[A-Z]+).*(?P<user>bob)?",
];

impl Gen {
    /// A log query.
    pub(super) fn log(&mut self) -> String {
        let selector = self.selector();
        let n = self.rng.weighted(&[(1, 0), (3, 1), (5, 2), (4, 3), (2, 4), (1, 6)]);
        let stages = self.stages(n);
        if self.rng.chance(3) {
            format!("({selector}{stages})")
        } else {
            format!("{selector}{stages}")
        }
    }

    pub(super) fn stages(&mut self, n: u64) -> String {
        let mut out = String::new();
        let mut parsed = false;
        for _ in 0..n {
            let stage = match self.rng.below(100) {
                0..=19 => self.line_filter(),
                20..=54 if !parsed => {
                    parsed = true;
                    self.parser()
                }
                20..=24 => self.parser(),
                25..=69 => {
                    let depth = self.rng.weighted(&[(6, 0), (3, 1), (1, 2)]);
                    format!("| {}", self.label_filter(depth))
                }
                70..=78 => {
                    let text = self.template(true);
                    format!("| line_format {}", self.quoted(&text))
                }
                79..=88 => self.label_format(),
                89..=94 => self.drop_keep(),
                95 => "| label_format __preserve_error__=`true`".to_owned(),
                96 | 97 => "| decolorize".to_owned(),
                _ => "| unpack".to_owned(),
            };
            out.push(' ');
            out.push_str(&stage);
        }
        out
    }

    pub(super) fn parser(&mut self) -> String {
        match self.rng.below(20) {
            0..=5 => "| json".to_owned(),
            6 | 7 => {
                let fields = self.fields(JSON_PATHS);
                format!("| json {fields}")
            }
            8..=12 => {
                let flags = self.rng.pick(&[
                    "",
                    "",
                    " --strict",
                    " --keep-empty",
                    " --strict --keep-empty",
                ]);
                format!("| logfmt{flags}")
            }
            13 | 14 => {
                let flags = self.rng.pick(&["", "", " --strict", " --keep-empty"]);
                let fields = self.fields(&[
                    "level",
                    "status",
                    "user_name",
                    "nope",
                    "bare",
                    "empty",
                    "msg",
                    "duration",
                ]);
                format!("| logfmt{flags} {fields}")
            }
            15 | 16 => {
                let text = self.rng.pick(PATTERNS);
                format!("| pattern {}", self.quoted(text))
            }
            17 | 18 => {
                let text = self.rng.pick(REGEXPS);
                format!("| regexp {}", self.quoted(text))
            }
            _ => "| unpack".to_owned(),
        }
    }

    fn fields(&mut self, sources: &[&'static str]) -> String {
        let n = self.rng.between(1, 4);
        let mut names =
            vec!["level", "x", "status", "user", "y", "msg", "num", "duration", "size", "env"];
        // Of two names for one source Loki fills one, by chance.
        let mut sources = sources.to_vec();
        let take = |g: &mut Self, list: &mut Vec<&'static str>| {
            list.remove(usize::try_from(g.rng.below(list.len() as u64)).unwrap_or(0))
        };
        let mut list: Vec<String> = Vec::new();
        for _ in 0..n {
            let name = take(self, &mut names);
            if self.rng.chance(30) && sources.contains(&name) {
                sources.retain(|source| *source != name);
                list.push(name.to_owned());
                continue;
            }
            let source = take(self, &mut sources);
            list.push(format!("{name}={}", self.quoted(source)));
        }
        list.join(", ")
    }

    fn label_format(&mut self) -> String {
        let mut names = vec!["level", "new", "status", "msg", "x", "env", "user", "num"];
        let n = self.rng.weighted(&[(5, 1), (3, 2), (1, 3)]);
        let mut list = Vec::new();
        for _ in 0..n {
            let at = usize::try_from(self.rng.below(names.len() as u64)).unwrap_or(0);
            let name = names.remove(at);
            let value = if self.rng.chance(35) {
                self.label().to_owned()
            } else {
                let text = self.template(false);
                self.quoted(&text)
            };
            list.push(format!("{name}={value}"));
        }
        format!("| label_format {}", list.join(", "))
    }

    fn drop_keep(&mut self) -> String {
        let word = self.rng.weighted(&[(3, "drop"), (2, "keep")]);
        let n = self.rng.between(1, 4);
        let item = |g: &mut Self| {
            let label = g.rng.weighted(&[
                (6, "level"),
                (1, "__error__"),
                (1, "__error_details__"),
                (9, ""),
            ]);
            let label = if label.is_empty() { g.label() } else { label };
            if g.rng.chance(70) {
                return label.to_owned();
            }
            let (op, value) = g.rng.pick(&[
                ("=", "info"),
                ("!=", "info"),
                ("=~", "info|error|2.."),
                ("!~", "G.*"),
                ("=", ""),
                ("=", "JSONParserErr"),
            ]);
            format!("{label}{op}{}", g.quoted(value))
        };
        let list: Vec<String> = (0..n).map(|_| item(self)).collect();
        format!("| {word} {}", list.join(", "))
    }
}
