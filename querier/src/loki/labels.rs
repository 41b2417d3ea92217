//! `labels`, `label/<name>/values`, `series` and `detected_labels`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skald_model::{Labels, MatchOp, Matcher, Signal, TimeRange};

use super::{Bounds, selector};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::scope::Scope;
use crate::{Error, Querier, merge};

pub(super) async fn names(querier: Querier, call: Call) -> Result<Answer, Error> {
    let mut names = BTreeSet::new();
    for source in lists(&querier, &call, optional_selector(&call)?).await? {
        for labels in &source {
            for (name, _) in labels {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
    }
    Ok(list(names))
}

pub(super) async fn values(querier: Querier, call: Call) -> Result<Answer, Error> {
    let name = call.label_name()?;
    let mut matchers = optional_selector(&call)?;
    matchers.extend(Matcher::new(MatchOp::NotEqual, &name, ""));
    let mut values = BTreeSet::new();
    for source in lists(&querier, &call, matchers).await? {
        for value in source.iter().filter_map(|labels| labels.get(&name)) {
            if !values.contains(value) {
                values.insert(value.to_owned());
            }
        }
    }
    Ok(list(values))
}

pub(super) async fn series(querier: Querier, call: Call) -> Result<Answer, Error> {
    let texts = call.params.all("match").chain(call.params.all("match[]"));
    let mut sets = texts.map(selector).collect::<Result<Vec<_>, _>>()?;
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    let range = Bounds::of(&call.params, querier.now_ns())?.inclusive();
    let mut all = Vec::new();
    for set in sets {
        all.extend(streams(&querier, &call.scope, set, range).await?);
    }
    let found = merge::labels(all);
    let size = found.iter().map(|l| l.as_bytes().len() * 2).sum();
    Ok(Answer::json(size, move |json| {
        json.raw(r#"{"status":"success","data":["#);
        let mut first = true;
        for labels in &found {
            json.sep(&mut first).labels(labels);
        }
        json.raw("]}");
    }))
}

/// Labels with the number of their values; those that only identify things are left out.
pub(super) async fn detected(querier: Querier, call: Call) -> Result<Answer, Error> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in lists(&querier, &call, optional_selector(&call)?).await? {
        for (name, value) in source.iter().flatten() {
            match values.get_mut(name) {
                Some(known) if known.contains(value) => {}
                Some(known) => drop(known.insert(value.to_owned())),
                None => drop(values.insert(name.to_owned(), BTreeSet::from([value.to_owned()]))),
            }
        }
    }
    values.retain(|name, values| KEPT.contains(&name.as_str()) || !values.iter().all(|v| is_id(v)));
    Ok(Answer::json(values.len() * 64, move |json| {
        json.raw(r#"{"detectedLabels":["#);
        let mut first = true;
        for (name, values) in &values {
            json.sep(&mut first).raw(r#"{"label":"#).string(name);
            json.raw(r#","cardinality":"#).uint(values.len() as u64).raw("}");
        }
        json.raw("]}");
    }))
}

/// Labels that are worth showing whatever their values are.
const KEPT: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// Whether a value is a number or a UUID.
fn is_id(value: &str) -> bool {
    let uuid = value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    uuid || value.parse::<f64>().is_ok()
}

fn optional_selector(call: &Call) -> Result<Vec<Matcher>, Error> {
    match call.params.get("query") {
        // What Grafana sends for "no filter".
        None | Some("{}") => Ok(Vec::new()),
        Some(text) => selector(text),
    }
}

async fn lists(
    querier: &Querier,
    call: &Call,
    matchers: Vec<Matcher>,
) -> Result<Vec<Vec<Labels>>, Error> {
    let range = Bounds::of(&call.params, querier.now_ns())?.inclusive();
    streams(querier, &call.scope, matchers, range).await
}

async fn streams(
    querier: &Querier,
    scope: &Scope,
    matchers: Vec<Matcher>,
    range: TimeRange,
) -> Result<Vec<Vec<Labels>>, Error> {
    let matchers: Arc<[Matcher]> = matchers.into();
    querier.fanout().labels(scope, Signal::Logs, &matchers, range).await
}

/// `data` is left out when there is nothing, as Loki does.
fn list(items: BTreeSet<String>) -> Answer {
    let size = items.iter().map(|i| i.len() + 3).sum();
    Answer::json(size, move |json| {
        json.raw(r#"{"status":"success""#);
        if !items.is_empty() {
            json.raw(r#","data":"#).strings(&items);
        }
        json.raw("}");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_from_names() {
        for id in ["17", "-1.5", "550e8400-e29b-41d4-a716-446655440000"] {
            assert!(is_id(id), "{id}");
        }
        for name in ["web", "550e8400-e29b-41d4-a716", ""] {
            assert!(!is_id(name), "{name}");
        }
    }
}
