//! Lays values from file, environment and flags over the tree of defaults. A key must exist in the defaults.

use serde_json::Value;

use super::ConfigError;

const ENV_PREFIX: &str = "SKALD_";
/// Environment variables of the prefix that are not configuration keys.
const ENV_OTHER: [&str; 1] = ["SKALD_LOG"];

/// Replaces each `${NAME}` by the environment variable; an unset one is an error.
pub(super) fn expand_env(text: &str) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let bad = |message: String| ConfigError::Bad { origin: "${…}".to_owned(), message };
        let (name, tail) =
            after.split_once('}').ok_or_else(|| bad("no closing brace".to_owned()))?;
        out.push_str(&std::env::var(name).map_err(|_| bad(format!("{name} is not set")))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Lays a YAML document over `tree`.
pub(super) fn overlay_yaml(tree: &mut Value, text: &str, origin: &str) -> Result<(), ConfigError> {
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(());
    }
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|e| ConfigError::Bad { origin: origin.to_owned(), message: e.to_string() })?;
    overlay(tree, value, "", origin)
}

/// Lays `SKALD_A__B=v` over `a.b`.
pub(super) fn overlay_env(
    tree: &mut Value,
    env: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let mut found: Vec<(String, String)> = env
        .filter(|(k, _)| k.starts_with(ENV_PREFIX) && !ENV_OTHER.contains(&k.as_str()))
        .collect();
    found.sort();
    for (name, value) in found {
        let key = name[ENV_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        set(tree, &key, &value, &format!("environment variable {name}"))?;
    }
    Ok(())
}

/// Sets one dotted key from text, read as what the default is.
pub(super) fn set(
    tree: &mut Value,
    key: &str,
    text: &str,
    origin: &str,
) -> Result<(), ConfigError> {
    let unknown = || ConfigError::UnknownKey { key: key.to_owned(), origin: origin.to_owned() };
    let mut place = tree;
    for part in key.split('.') {
        place = place.as_object_mut().and_then(|o| o.get_mut(part)).ok_or_else(unknown)?;
    }
    let bad = |want: &str| ConfigError::Bad {
        origin: format!("{origin} {key}"),
        message: format!("{text:?} is not {want}"),
    };
    *place = match place {
        Value::Bool(_) => Value::Bool(text.parse().map_err(|_| bad("true or false"))?),
        Value::Number(_) => {
            let integer = text.parse::<i64>().map(Value::from);
            integer
                .or_else(|_| text.parse::<f64>().map(Value::from))
                .map_err(|_| bad("a number"))?
        }
        Value::String(_) => Value::String(text.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            serde_saphyr::from_str(text).map_err(|_| bad("YAML"))?
        }
    };
    Ok(())
}

fn overlay(into: &mut Value, from: Value, path: &str, origin: &str) -> Result<(), ConfigError> {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let Some(place) = into.get_mut(&key) else {
                    return Err(ConfigError::UnknownKey { key: path, origin: origin.to_owned() });
                };
                overlay(place, value, &path, origin)?;
            }
            Ok(())
        }
        // `section:` with nothing under it.
        (Value::Object(_), Value::Null) => Ok(()),
        (into, from) => {
            *into = from;
            Ok(())
        }
    }
}
