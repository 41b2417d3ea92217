//! Where a label of the `json` parser stands in the line: the keys from the outermost object on.

use serde_json::{Map, Value};

/// Longer lines are not looked at: the path is a help for display.
const MAX_LINE: usize = 64 << 10;

/// Calls `note` with the name and the path of each label of `line`.
pub(super) fn collect(line: &[u8], mut note: impl FnMut(&str, &[String])) {
    if line.len() > MAX_LINE {
        return;
    }
    // Nesting is bounded by the parser.
    if let Ok(Value::Object(top)) = serde_json::from_slice(line) {
        walk(&top, &mut Vec::new(), &mut String::new(), &mut note);
    }
}

fn walk(
    members: &Map<String, Value>,
    path: &mut Vec<String>,
    name: &mut String,
    note: &mut impl FnMut(&str, &[String]),
) {
    for (key, value) in members {
        let len = name.len();
        if !name.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
            name.push('_');
        }
        name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        path.push(key.clone());
        match value {
            Value::Object(inner) => walk(inner, path, name, note),
            Value::Array(_) | Value::Null => {}
            _ => note(name, path),
        }
        path.pop();
        name.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_nested_members_know_their_keys() {
        let mut found = Vec::new();
        let line = br#"{"a":1,"b":{"c-d":"x","e":[1],"f":{"g":true}},"1x":2,"n":null}"#;
        collect(line, |name, path| found.push((name.to_owned(), path.join("/"))));
        found.sort_unstable();
        let found: Vec<_> = found.iter().map(|(n, p)| (n.as_str(), p.as_str())).collect();
        assert_eq!(found, [("_1x", "1x"), ("a", "a"), ("b_c_d", "b/c-d"), ("b_f_g", "b/f/g")]);
        collect(b"no json", |_, _| panic!("nothing to find"));
        let deep = "{\"a\":".repeat(100_000);
        collect(deep.as_bytes(), |_, _| panic!("nothing to find"));
    }
}
