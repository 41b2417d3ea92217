//! Remote read: series in samples or in Prometheus's chunks, whichever the client names first.

mod bits;
mod chunk;
mod frame;
mod histogram;
mod samples;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::Message;
use skald_codec::compress;
use skald_model::{Labels, MatchOp, Matcher, Series, TimeRange};
use skald_proto::public::prometheus as pb;
use skald_rpc::ingester::SelectSeries;

use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// Most queries of one request.
const MAX_QUERIES: usize = 256;

pub(super) async fn read(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = querier.max_request_size();
    let request = decode(&call.body, limit)?;
    match negotiate(&request.accepted_response_types)? {
        pb::read_request::ResponseType::Samples => samples(&querier, &call, &request).await,
        pb::read_request::ResponseType::StreamedXorChunks => {
            chunks(&querier, &call, &request).await
        }
    }
}

async fn samples(
    querier: &Querier,
    call: &Call,
    request: &pb::ReadRequest,
) -> Result<Answer, Error> {
    let mut results = Vec::with_capacity(request.queries.len());
    let mut n_samples = 0;
    for query in &request.queries {
        let (matchers, range) = selection(query)?;
        let mut found = querier.fanout().series(&call.scope, &matchers.into(), range).await?;
        n_samples += found.iter().map(Series::n_samples).sum::<usize>();
        let most = call.scope.limits.max_samples_per_query;
        if most > 0 && n_samples > most {
            return Err(Error::Invalid(format!(
                "remote read returns more than the limit of {most} samples (max_samples_per_query)"
            )));
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        results.push(found);
    }
    let encoded = querier.cpu().run(move || samples::encode(results)).await;
    encoded.map_err(|e| Error::Internal(e.to_string()))?.map(Answer::Protobuf)
}

/// Series stay encoded as they came until the client takes them, so only memory limits them.
async fn chunks(
    querier: &Querier,
    call: &Call,
    request: &pb::ReadRequest,
) -> Result<Answer, Error> {
    let mut found = Vec::with_capacity(request.queries.len());
    for query in &request.queries {
        let (matchers, range) = selection(query)?;
        let request = SelectSeries { matchers, range, only: None, ids: false };
        found.push(querier.fanout().encoded(&call.scope, request).await?);
    }
    let sorted = querier.cpu().run(move || frame::Frames::new(found)).await;
    let mut frames = sorted.map_err(|e| Error::Internal(e.to_string()))?;
    Ok(Answer::Frames(Box::new(move |out| frames.next(out))))
}

/// What a query asks for. Its hints would not narrow this further.
fn selection(query: &pb::Query) -> Result<(Vec<Matcher>, TimeRange), Error> {
    let matchers = query.matchers.iter().map(matcher).collect::<Result<_, _>>()?;
    let end = query.end_timestamp_ms.saturating_add(1);
    Ok((matchers, TimeRange::new(query.start_timestamp_ms, end)))
}

fn decode(body: &Bytes, limit: usize) -> Result<pb::ReadRequest, Error> {
    let mut plain = Vec::new();
    compress::snappy(body, limit, &mut plain).map_err(|e| Error::Invalid(e.to_string()))?;
    let request = pb::ReadRequest::decode(plain.as_slice())
        .map_err(|e| Error::Invalid(format!("malformed read request: {e}")))?;
    if request.queries.len() > MAX_QUERIES {
        return Err(Error::Invalid(format!("more than {MAX_QUERIES} queries in a read request")));
    }
    Ok(request)
}

/// The first type that we know; a client that names none wants samples.
fn negotiate(accepted: &[i32]) -> Result<pb::read_request::ResponseType, Error> {
    if accepted.is_empty() {
        return Ok(pb::read_request::ResponseType::Samples);
    }
    accepted.iter().find_map(|t| pb::read_request::ResponseType::try_from(*t).ok()).ok_or_else(
        || {
            Error::Invalid(format!(
                "server does not support any of the requested response types: {accepted:?}; \
             supported: SAMPLES, STREAMED_XOR_CHUNKS"
            ))
        },
    )
}

fn matcher(m: &pb::LabelMatcher) -> Result<Matcher, Error> {
    let op = match pb::label_matcher::Type::try_from(m.r#type) {
        Ok(pb::label_matcher::Type::Eq) => MatchOp::Equal,
        Ok(pb::label_matcher::Type::Neq) => MatchOp::NotEqual,
        Ok(pb::label_matcher::Type::Re) => MatchOp::Regex,
        Ok(pb::label_matcher::Type::Nre) => MatchOp::NotRegex,
        Err(_) => return Err(Error::Invalid(format!("unknown matcher type {}", m.r#type))),
    };
    Matcher::new(op, &m.name, &m.value).map_err(|e| Error::Invalid(e.to_string()))
}

fn labels(labels: &Labels) -> Vec<pb::Label> {
    let label = |(n, v): (&str, &str)| pb::Label { name: n.to_owned(), value: v.to_owned() };
    labels.iter().map(label).collect()
}
