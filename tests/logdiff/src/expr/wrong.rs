//! Queries that are to be refused, and how.

use super::Gen;

/// Each is wrong in one way that the language names.
const WRONG: &[&str] = &[
    "{}",
    "{app=~\".*\"}",
    "{app!=\"x\"}",
    "{app=\"json\"",
    "{app=\"json\",}",
    "{app=\"json\"} |",
    "{app=\"json\"} | json |",
    "{app=\"json\"} |~ \"(\"",
    "{app=~\"(\"}",
    "{app=\"json\"} |~ ip(\"1.1.1.1\")",
    "{app=\"json\"} |= ip(\"x\")",
    "{app=\"json\"} | ip = ip(\"10.0.0.0/99\")",
    "{app=\"json\"} | pattern \"level\"",
    "{app=\"json\"} | pattern \"<a><b>\"",
    "{app=\"json\"} |> \"<a> <_>\"",
    "{app=\"json\"} |> \"<_><_>\"",
    "{app=\"json\"} | regexp \"x\"",
    "{app=\"json\"} | regexp \"(?P<a>.)(?P<a>.)\"",
    "{app=\"json\"} | regexp \"(?P<a\"",
    "{app=\"json\"} | line_format \"{{.a\"",
    "{app=\"json\"} | line_format \"{{nope .a}}\"",
    "{app=\"json\"} | line_format \"{{if .a}}\"",
    "{app=\"json\"} | label_format a=b,a=c",
    "{app=\"json\"} | label_format __error__=b",
    "{app=\"json\"} | label_format a=`{{`",
    "{app=\"json\"} | json a=\"b[\"",
    "{app=\"json\"} | logfmt --nope",
    "{app=\"logfmt\"} | logfmt x=\"user.name\"",
    "{app=\"json\"} | unwrap num",
    "{app=\"json\"} | status >",
    "{app=\"json\"} | status > \"5\"",
    "{app=\"json\"} | status >= 1mb",
    "rate({app=\"json\"})",
    "rate({app=\"json\"}[5])",
    "rate({app=\"json\"}[5minutes])",
    "rate({app=\"json\"}[0s])",
    "rate({app=\"json\"}[5m]",
    "sum_over_time({app=\"json\"}[5m])",
    "count_over_time({app=\"json\"} | unwrap num [5m])",
    "bytes_rate({app=\"json\"} | unwrap num [5m])",
    "quantile_over_time({app=\"json\"} | unwrap num [5m])",
    "quantile_over_time(-1, {app=\"json\"} | unwrap num [5m])",
    "sum_over_time(1, {app=\"json\"} | unwrap num [5m])",
    "sum_over_time({app=\"json\"} | unwrap num [5m]) by (app)",
    "rate({app=\"json\"}[5m]) by (app)",
    "topk(rate({app=\"json\"}[5m]))",
    "topk(0, rate({app=\"json\"}[5m]))",
    "topk(1.5, rate({app=\"json\"}[5m]))",
    "topk(-1, rate({app=\"json\"}[5m]))",
    "sum(1, rate({app=\"json\"}[5m]))",
    "sort(rate({app=\"json\"}[5m])) by (app)",
    "sum by (app,) (rate({app=\"json\"}[5m]))",
    "sum({app=\"json\"})",
    "rate({app=\"json\"}[5m]) + {app=\"json\"}",
    "rate({app=\"json\"}[5m]) and 1",
    "1 or rate({app=\"json\"}[5m])",
    "rate({app=\"json\"}[5m]) + bool 1",
    "rate({app=\"json\"}[5m]) == on(app) bool rate({app=\"json\"}[5m])",
    "rate({app=\"json\"}[5m]) and on(app) group_left rate({app=\"json\"}[5m])",
    "rate({app=\"json\"}[5m]) on(app) + 1",
    "label_replace(rate({app=\"json\"}[5m]), \"a\", \"b\", \"c\", \"(\")",
    "label_replace(rate({app=\"json\"}[5m]), \"a\")",
    "vector(sum(rate({app=\"json\"}[5m])))",
    "vector()",
    "nope({app=\"json\"}[5m])",
    "0x1A",
    "1 +",
    "",
    " ",
    "{app=\"json\"} 'x'",
    "sum(rate({app=\"json\"} | unwrap num | unwrap size [5m]))",
    "rate({app=\"json\"}[5m] offset 5)",
    "{app=json}",
    "{\"app\"=\"json\"}",
    "{app=\"json\"} | json | logfmt | foo",
    "{app=\"json\"} | by = \"x\"",
    "{app=\"json\"} |= 5",
    "sum(vector(1)) by",
    "-rate({app=\"json\"}[5m])",
    "{app=\"a\\q\"}",
    "{app=\"json\"} | drop",
    "{app=\"json\"} | keep 5",
    "rate(rate({app=\"json\"}[5m])[5m])",
    "{app=\"json\"} or {app=\"x\"}",
    "{app==\"json\"}",
    "avg(5)",
    "sort(1)",
];

impl Gen {
    /// `text` with a token gone or doubled, or something that was always wrong.
    pub(super) fn broken(&mut self, text: &str) -> String {
        if self.rng.chance(50) {
            return self.rng.pick(WRONG).to_owned();
        }
        let marks: Vec<usize> = text
            .char_indices()
            .filter(|(_, c)| "(){}[]|,=\"`".contains(*c))
            .map(|(i, _)| i)
            .collect();
        if marks.is_empty() {
            return format!("{text})");
        }
        let at = self.rng.pick(&marks);
        let end = at + 1;
        if self.rng.chance(60) {
            format!("{}{}", &text[..at], &text[end..])
        } else {
            format!("{}{}", &text[..end], &text[at..])
        }
    }
}
