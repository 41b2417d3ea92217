//! `index/stats` and `index/volume`: how much there is, without reading lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use skald_logql::units;
use skald_model::{Labels, Matcher, Signal, TimeRange};

use super::{Bounds, count, query, selector};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier, merge};

/// Groups of one volume request at most; more are an error, not a guess.
const MAX_GROUPS: usize = 1000;

pub(super) async fn stats(querier: Querier, call: Call) -> Result<Answer, Error> {
    let matchers: Arc<[Matcher]> = matchers_of(call.params.get("query").unwrap_or(""))?.into();
    let range = Bounds::of(&call.params, querier.now_ns())?.inclusive();
    let s = querier.fanout().stats(&call.scope, &matchers, range).await?;
    Ok(Answer::json(96, move |json| {
        json.raw(r#"{"streams":"#).uint(s.streams).raw(r#","chunks":"#).uint(s.chunks);
        json.raw(r#","entries":"#).uint(s.entries).raw(r#","bytes":"#).uint(s.bytes).raw("}");
    }))
}

/// Bytes per group of streams, the largest first, as an instant vector.
pub(super) async fn volume(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = count(&call.params, "limit", 100)?;
    let matchers = matchers_of(call.params.get("query").unwrap_or(""))?;
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let grouping = Grouping::of(&call, &matchers)?;
    let bytes = grouped_bytes(&querier, &call, matchers, bounds.inclusive(), &grouping).await?;
    let mut groups: Vec<(Labels, u64)> = bytes.into_iter().collect();
    groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    groups.truncate(limit);
    let size = groups.iter().map(|(l, _)| l.as_bytes().len() * 2 + 64).sum();
    let end_ms = bounds.end.div_euclid(1_000_000);
    Ok(Answer::json(size, move |json| {
        json.raw(r#"{"status":"success","data":{"resultType":"vector","result":["#);
        let mut first = true;
        for (labels, bytes) in &groups {
            json.sep(&mut first).raw(r#"{"metric":"#).labels(labels).raw(r#","value":["#);
            json.short_time_ms(end_ms).raw(",\"").uint(*bytes).raw("\"]}");
        }
        json.raw("]}}");
    }))
}

/// Bytes per group of streams and step, as a matrix: what `bytes_over_time` says.
pub(super) async fn volumes(querier: Querier, mut call: Call) -> Result<Answer, Error> {
    let text = call.params.get("query").unwrap_or("").to_owned();
    let matchers = selector(&text)?;
    let Grouping::Series(names) = Grouping::of(&call, &matchers)? else {
        let text = "volumes over time can be aggregated by series only";
        return Err(Error::Invalid(text.to_owned()));
    };
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    let step_ns = query::step_ns(&call.params, bounds)?;
    let range = units::format_duration(step_ns.max(1));
    let bytes = format!("sum by ({}) (bytes_over_time({text}[{range}]))", names.join(","));
    call.params.set("query", bytes);
    query::range(querier, call).await
}

/// How streams are put together.
#[derive(Clone, Debug)]
enum Grouping {
    /// By the values of these labels.
    Series(Vec<String>),
    /// By label name.
    Names(Vec<String>),
}

// === impl Grouping ===

impl Grouping {
    fn of(call: &Call, matchers: &[Matcher]) -> Result<Self, Error> {
        let targets = call.params.get("targetLabels").unwrap_or("");
        let mut names: Vec<String> =
            targets.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        match call.params.get("aggregateBy") {
            None | Some("series") => {
                if names.is_empty() {
                    names.extend(matchers.iter().map(|m| m.name.clone()));
                }
                Ok(Self::Series(names))
            }
            Some("labels") => Ok(Self::Names(names)),
            Some(_) => Err(Error::Invalid(
                "invalid aggregation option; it must be 'series' or 'labels'".to_owned(),
            )),
        }
    }

    fn add(&self, stream: &Labels, bytes: u64, into: &mut BTreeMap<Labels, u64>) {
        match self {
            Self::Series(names) if names.is_empty() => {
                *into.entry(stream.clone()).or_default() += bytes;
            }
            Self::Series(names) => {
                let group = stream.filter(|n| names.iter().any(|t| t == n));
                *into.entry(group).or_default() += bytes;
            }
            Self::Names(names) => {
                let wanted = |n: &str| names.is_empty() || names.iter().any(|t| t == n);
                for (name, _) in stream.iter().filter(|(n, _)| wanted(n)) {
                    let group = Labels::from_pairs([(name, name)]);
                    *into.entry(group).or_default() += bytes;
                }
            }
        }
    }
}

async fn grouped_bytes(
    querier: &Querier,
    call: &Call,
    matchers: Vec<Matcher>,
    range: TimeRange,
    grouping: &Grouping,
) -> Result<BTreeMap<Labels, u64>, Error> {
    let matchers: Arc<[Matcher]> = matchers.into();
    let lists = querier.fanout().labels(&call.scope, Signal::Logs, &matchers, range).await?;
    let streams = merge::labels(lists);
    // One question per group, not per stream.
    let mut groups: BTreeMap<Labels, Vec<Labels>> = BTreeMap::new();
    for stream in streams {
        let key = match grouping {
            Grouping::Series(names) if !names.is_empty() => {
                stream.filter(|n| names.iter().any(|t| t == n))
            }
            _ => stream.clone(),
        };
        groups.entry(key).or_default().push(stream);
    }
    if groups.len() > MAX_GROUPS {
        return Err(Error::Limit(format!(
            "the volume has {} groups, the limit is {MAX_GROUPS}; name fewer targetLabels or narrow the selector",
            groups.len()
        )));
    }
    let mut bytes = BTreeMap::new();
    for (key, streams) in groups {
        let mut narrowed = matchers.to_vec();
        narrowed.extend(key.iter().map(|(n, v)| Matcher::equal(n, v)));
        let narrowed: Arc<[Matcher]> = narrowed.into();
        let stats = querier.fanout().stats(&call.scope, &narrowed, range).await?;
        if let Some(stream) = streams.first() {
            grouping.add(stream, stats.bytes, &mut bytes);
        }
    }
    Ok(bytes)
}

/// The selector of a query, or `{}`.
fn matchers_of(text: &str) -> Result<Vec<Matcher>, Error> {
    if text.is_empty() || text == "{}" { Ok(Vec::new()) } else { selector(text) }
}
