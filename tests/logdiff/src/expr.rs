//! Random queries, type-correct but for a few that are broken on purpose.

mod filter;
mod metric;
mod pipeline;
mod template;
mod wrong;

use skald_testkit::rng::Rng;

/// Grows one query.
struct Gen {
    rng: Rng,
}

/// What kind a query is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Log,
    Metric,
}

/// Query `n` of `seed`, and what it is; one in twenty is no LogQL, or LogQL that means nothing.
pub fn query(seed: u64, n: u64) -> (Kind, String) {
    let mut made = Gen { rng: Rng::fork(seed, n) };
    let kind = if made.rng.chance(40) { Kind::Log } else { Kind::Metric };
    let text = match kind {
        Kind::Log => made.log(),
        Kind::Metric => made.metric(3),
    };
    if made.rng.chance(5) {
        return (kind, made.broken(&text));
    }
    (kind, made.dressed(text))
}

impl Gen {
    /// Labels that lines, metadata or streams have, and one that none has.
    fn label(&mut self) -> &'static str {
        self.rng.pick(&[
            "level",
            "level",
            "status",
            "status",
            "method",
            "path",
            "duration",
            "size",
            "num",
            "ip",
            "msg",
            "user",
            "user_name",
            "user_id",
            "env",
            "app",
            "host",
            "trace_id",
            "pod",
            "seq",
            "env_extracted",
            "status_extracted",
            "level_extracted",
            "user_extracted",
            "bare",
            "empty",
            "detected_level",
            "service_name",
            "total",
            "_9lives",
            "nope",
        ])
    }

    /// Labels by which series are grouped: few values each.
    fn group_label(&mut self) -> &'static str {
        self.rng.pick(&[
            "level",
            "status",
            "method",
            "app",
            "env",
            "host",
            "pod",
            "detected_level",
            "nope",
            "duration",
            "__error__",
        ])
    }

    /// The same query in another dress: with remarks, line ends, and keywords in capitals.
    fn dressed(&mut self, text: String) -> String {
        match self.rng.below(40) {
            0 => format!("# a remark | json\n{text}"),
            1 => format!("{text} # {{app=\"never\"}}"),
            2 => text.replacen(" | ", "\n  | ", 20),
            3 => text.replacen("} |", "} # \"quoted\n |", 1),
            4 => text.replacen("| json", "| JSON", 1).replacen("| logfmt", "| Logfmt", 1),
            5 => text.replacen(" by (", " BY (", 1).replacen(" offset ", " OFFSET ", 1),
            6 => text.replacen("sum", "SUM", 1).replacen("rate(", "Rate(", 1),
            7 => text.replacen("| line_format", "|LINE_FORMAT", 1).replacen(" drop ", " Drop ", 1),
            _ => text,
        }
    }

    fn labels(&mut self, most: u64) -> String {
        let n = self.rng.below(most + 1);
        let list: Vec<&str> = (0..n).map(|_| self.group_label()).collect();
        list.join(self.rng.pick(&[",", ", "]))
    }

    /// A text as LogQL writes it.
    fn quoted(&mut self, text: &str) -> String {
        if !text.contains('`') && (text.contains(['\\', '"']) || self.rng.chance(30)) {
            return format!("`{text}`");
        }
        let escaped = self.rng.chance(6);
        let mut out = String::from("\"");
        for (i, c) in text.chars().enumerate() {
            match c {
                c if escaped && i == 0 && c.is_ascii_alphanumeric() => {
                    out.push_str(&format!("\\x{:02x}", u32::from(c)));
                }
                c if escaped && !c.is_ascii() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c => out.push(c),
            }
        }
        out.push('"');
        out
    }
}
