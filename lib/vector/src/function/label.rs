//! `label_replace` and `label_join`.

use skald_model::{Labels, regex};

use crate::{Matrix, VectorError};

/// Where `regex` matches all of `src`, sets `dst` to `replacement` with `$1`, `${name}` expanded.
pub fn label_replace(
    mut input: Matrix,
    dst: &str,
    replacement: &str,
    src: &str,
    pattern: &str,
) -> Result<Matrix, VectorError> {
    let regex = regex::anchored(pattern).map_err(|_| {
        VectorError::Parameter(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    check_name(dst, "label_replace")?;
    let mut value = String::new();
    for column in &mut input.columns {
        let from = column.labels.get(src).unwrap_or("");
        if let Some(captures) = regex.captures(from) {
            value.clear();
            captures.expand(replacement, &mut value);
            column.labels = with_label(&column.labels, dst, &value);
            if dst == Labels::NAME {
                column.drop_name = false;
            }
        }
    }
    input.merge_same_labels()
}

/// Sets `dst` to the values of `sources` with `separator` between them.
pub fn label_join(
    mut input: Matrix,
    dst: &str,
    separator: &str,
    sources: &[&str],
) -> Result<Matrix, VectorError> {
    check_name(dst, "label_join")?;
    if let Some(source) = sources.iter().find(|s| s.is_empty()) {
        let text = format!("invalid source label name in label_join(): {source}");
        return Err(VectorError::Parameter(text));
    }
    for column in &mut input.columns {
        let values: Vec<&str> =
            sources.iter().map(|s| column.labels.get(s).unwrap_or("")).collect();
        column.labels = with_label(&column.labels, dst, &values.join(separator));
        if dst == Labels::NAME {
            column.drop_name = false;
        }
    }
    input.merge_same_labels()
}

fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    if labels.get(name).unwrap_or("") == value {
        return labels.clone();
    }
    let mut builder = labels.to_builder();
    builder.set(name, value);
    builder.build()
}

fn check_name(name: &str, function: &str) -> Result<(), VectorError> {
    if name.is_empty() {
        let text = format!("invalid destination label name in {function}(): {name}");
        return Err(VectorError::Parameter(text));
    }
    Ok(())
}
