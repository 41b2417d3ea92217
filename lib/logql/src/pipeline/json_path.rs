//! The paths of `| json a="x.y[0]['k k']"`.

use super::json::{self, Json};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path into a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

// === impl JsonPath ===

impl JsonPath {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        let bad = || format!("cannot parse expression [{text}]: syntax error");
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (step, len) = bracket(inner).ok_or_else(bad)?;
                steps.push(step);
                rest = &inner[len..];
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.').ok_or_else(bad)?;
            }
            let len =
                rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            if len == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(bad());
            }
            steps.push(Step::Key(rest[..len].to_owned()));
            rest = &rest[len..];
        }
        if steps.is_empty() { Err(bad()) } else { Ok(Self(steps)) }
    }

    /// What the path leads to in `line`.
    pub(crate) fn find<'a>(&self, line: &'a str) -> Option<Json<'a>> {
        let mut text = line;
        let mut found = None;
        for step in &self.0 {
            let next = match step {
                Step::Key(key) => json::member(text, key)?,
                Step::Index(index) => json::element(text, *index)?,
            };
            text = match next {
                Json::Object(text) | Json::Array(text) => text,
                _ => "",
            };
            found = Some(next);
        }
        found
    }
}

/// `0]`, `"k k"]` or `'k k']`, and the length with the bracket.
fn bracket(text: &str) -> Option<(Step, usize)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let len = text.find(']')?;
        return Some((Step::Index(text[..len].trim().parse().ok()?), len + 1));
    };
    let len = text[1..].find(quote)?;
    text[len + 2..].starts_with(']').then(|| (Step::Key(text[1..=len].to_owned()), len + 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let line = r#"{"a":{"b":1.0,"c d":[1,2]},"n":null}"#;
        let find = |path: &str| JsonPath::new(path).unwrap().find(line);
        assert_eq!(find("a.b"), Some(Json::Bare("1.0")));
        assert_eq!(find("a['c d'][0]"), Some(Json::Bare("1")));
        assert_eq!(find(r#"["a"]["b"]"#), Some(Json::Bare("1.0")));
        assert_eq!(find("a.b.c"), None);
        assert_eq!(find("nope"), None);
        assert_eq!(find("n"), Some(Json::Null));
    }

    #[test]
    fn broken_paths_are_refused() {
        for bad in ["b c d[", "", "a.", "a..b", "a[x]", "a['x]", "9a", "a b"] {
            assert!(JsonPath::new(bad).is_err(), "{bad}");
        }
    }
}
