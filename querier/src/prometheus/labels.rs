//! `labels`, `label/<name>/values` and `series`.

use std::sync::Arc;

use skald_model::{Labels, Matcher, TimeRange};
use skald_rpc::ingester::Listing;

use super::name::unescape;
use super::{Notes, limit_of, match_sets, optional_range, pieces, success_in_pieces, truncate};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::scope::Scope;
use crate::{Error, Querier, merge};

pub(super) async fn names(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = limit_of(&call.params)?;
    let sets = selectors(&call)?;
    let found = listing(&querier, &call, &Listing::Names, sets).await?;
    Ok(list(&call, found, limit))
}

pub(super) async fn values(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = limit_of(&call.params)?;
    let name = unescape(&call.label_name()?);
    if name.is_empty() {
        return Err(Error::Invalid(format!("invalid label name: {name:?}")));
    }
    let mut sets = selectors(&call)?;
    for set in &mut sets {
        // Series without the label need not be read.
        set.extend(Matcher::new(skald_model::MatchOp::NotEqual, &name, ""));
    }
    let found = listing(&querier, &call, &Listing::Values(name), sets).await?;
    Ok(list(&call, found, limit))
}

pub(super) async fn series(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = limit_of(&call.params)?;
    if call.params.all("match[]").next().is_none() {
        return Err(Error::Invalid("no match[] parameter provided".to_owned()));
    }
    let range = optional_range(&call.params)?;
    // Only this route names the parameter.
    let sets = match_sets(&call.params).map_err(|e| Error::parameter("match[]", e))?;
    let mut found = merge::labels(lists(&querier, &call.scope, sets, range).await?);
    let mut notes = Notes { warnings: call.scope.partial.warnings(), ..Notes::default() };
    truncate(&mut found, limit, &mut notes);
    let size = found.iter().map(|l| l.as_bytes().len() * 2).sum();
    let data = pieces(found, |json, labels| {
        json.labels(labels);
    });
    Ok(success_in_pieces(size, notes, data))
}

/// The selectors of a request, or one that selects everything.
fn selectors(call: &Call) -> Result<Vec<Vec<Matcher>>, Error> {
    let sets = match_sets(&call.params)?;
    Ok(if sets.is_empty() { vec![Vec::new()] } else { sets })
}

/// What all selectors together list.
async fn listing(
    querier: &Querier,
    call: &Call,
    of: &Listing,
    sets: Vec<Vec<Matcher>>,
) -> Result<Vec<String>, Error> {
    let range = optional_range(&call.params)?;
    let mut all = Vec::new();
    for set in sets {
        let set: Arc<[Matcher]> = set.into();
        all.push(querier.fanout().listing(&call.scope, of, &set, range).await?);
    }
    Ok(merge::texts(all))
}

/// Label sets of every selector and source.
async fn lists(
    querier: &Querier,
    scope: &Scope,
    sets: Vec<Vec<Matcher>>,
    range: TimeRange,
) -> Result<Vec<Vec<Labels>>, Error> {
    let mut all = Vec::new();
    for set in sets {
        let set: Arc<[Matcher]> = set.into();
        all.extend(querier.fanout().shown_labels(scope, &set, range).await?);
    }
    Ok(all)
}

fn list(call: &Call, mut items: Vec<String>, limit: Option<usize>) -> Answer {
    let mut notes = Notes { warnings: call.scope.partial.warnings(), ..Notes::default() };
    truncate(&mut items, limit, &mut notes);
    let size = items.iter().map(|i| i.len() + 3).sum();
    let data = pieces(items, |json, item| {
        json.string(item);
    });
    success_in_pieces(size, notes, data)
}
