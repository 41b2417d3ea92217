//! `label_replace` and `label_join`.

use skald_model::{Labels, regex};

use crate::{Context, Matrix, VectorError};

/// Where `regex` matches all of `src`, sets `dst` to `replacement` with `$1`, `${name}` expanded.
/// `charge` is told for each series how many bytes its value takes at most, before it is made, and
/// may refuse it or stop the work.
pub fn label_replace<E: From<VectorError>>(
    mut input: Matrix,
    dst: &str,
    replacement: &str,
    src: &str,
    pattern: &str,
    ctx: &Context,
    mut charge: impl FnMut(usize) -> Result<(), E>,
) -> Result<Matrix, E> {
    let regex = regex::anchored(pattern).map_err(|_| {
        VectorError::Parameter(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    check_name(dst, "label_replace")?;
    let references = replacement.matches('$').count();
    let mut value = String::new();
    for column in &mut input.columns {
        let from = column.labels.get(src).unwrap_or("");
        let captures = regex.captures(from);
        let most = replacement.len().saturating_add(references.saturating_mul(from.len()));
        charge(if captures.is_some() { most } else { 0 })?;
        if let Some(captures) = captures {
            value.clear();
            captures.expand(replacement, &mut value);
            column.labels = with_label(&column.labels, dst, &value);
            if dst == Labels::NAME {
                column.drop_name = false;
            }
        }
    }
    Ok(input.merge_same_labels(ctx)?)
}

/// Sets `dst` to the values of `sources` with `separator` between them; `charge` as above.
pub fn label_join<E: From<VectorError>>(
    mut input: Matrix,
    dst: &str,
    separator: &str,
    sources: &[&str],
    ctx: &Context,
    mut charge: impl FnMut(usize) -> Result<(), E>,
) -> Result<Matrix, E> {
    check_name(dst, "label_join")?;
    if let Some(source) = sources.iter().find(|s| s.is_empty()) {
        let text = format!("invalid source label name in label_join(): {source}");
        return Err(VectorError::Parameter(text).into());
    }
    let separators = separator.len().saturating_mul(sources.len().saturating_sub(1));
    for column in &mut input.columns {
        let values: Vec<&str> =
            sources.iter().map(|s| column.labels.get(s).unwrap_or("")).collect();
        charge(values.iter().fold(separators, |sum, v| sum.saturating_add(v.len())))?;
        column.labels = with_label(&column.labels, dst, &values.join(separator));
        if dst == Labels::NAME {
            column.drop_name = false;
        }
    }
    Ok(input.merge_same_labels(ctx)?)
}

/// The labels with another value of one; an empty value removes it.
pub(crate) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    // Those of LogQL may have labels that are empty, which do not outlive this.
    if labels.raw().any(|(_, value)| value.is_empty()) {
        let mut builder = labels.to_builder();
        builder.set(name, value);
        return builder.build();
    }
    if labels.get(name).unwrap_or("") == value { labels.clone() } else { labels.with(name, value) }
}

fn check_name(name: &str, function: &str) -> Result<(), VectorError> {
    if name.is_empty() {
        let text = format!("invalid destination label name in {function}(): {name}");
        return Err(VectorError::Parameter(text));
    }
    Ok(())
}
