//! Remote read, answered with samples: snappy and protobuf both ways.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use skald_codec::compress;
use skald_model::{
    BucketCounts, Histogram, Labels, MatchOp, Matcher, ResetHint, Series, Span, TimeRange,
};
use skald_proto::public::prometheus as pb;

use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// Most queries of one request.
const MAX_QUERIES: usize = 256;

pub(super) async fn samples(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = querier.max_request_size();
    let request = decode(&call.body, limit)?;
    accept(&request)?;
    let mut results = Vec::with_capacity(request.queries.len());
    let mut n_samples = 0;
    for query in &request.queries {
        let matchers: Arc<[Matcher]> =
            query.matchers.iter().map(matcher).collect::<Result<Vec<_>, _>>()?.into();
        let end = query.end_timestamp_ms.saturating_add(1);
        let range = TimeRange::new(query.start_timestamp_ms, end);
        let mut found = querier.fanout().series(&call.scope, &matchers, range).await?;
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
    let encoded = querier.cpu().run(move || encode(results)).await;
    encoded.map_err(|e| Error::Internal(e.to_string()))?.map(Answer::Protobuf)
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

/// Only samples are offered; a client that wants only streamed chunks cannot be served.
fn accept(request: &pb::ReadRequest) -> Result<(), Error> {
    let samples = i32::from(pb::read_request::ResponseType::Samples);
    let accepted = &request.accepted_response_types;
    if accepted.is_empty() || accepted.contains(&samples) {
        return Ok(());
    }
    Err(Error::Invalid("none of the accepted response types is supported; SAMPLES is".to_owned()))
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

fn encode(results: Vec<Vec<Series>>) -> Result<Bytes, Error> {
    let results = results
        .into_iter()
        .map(|found| pb::QueryResult { timeseries: found.into_iter().map(series).collect() })
        .collect();
    let plain = pb::ReadResponse { results }.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&plain);
    packed.map(Bytes::from).map_err(|e| Error::Execution(format!("answer is too large: {e}")))
}

fn series(s: Series) -> pb::TimeSeries {
    let samples = s.timestamps.iter().zip(&s.values);
    pb::TimeSeries {
        labels: labels(&s.labels),
        samples: samples.map(|(t, v)| pb::Sample { timestamp: *t, value: *v }).collect(),
        exemplars: Vec::new(),
        histograms: s.histograms.into_iter().map(|(t, h)| histogram(t, h)).collect(),
    }
}

fn labels(labels: &Labels) -> Vec<pb::Label> {
    let label = |(n, v): (&str, &str)| pb::Label { name: n.to_owned(), value: v.to_owned() };
    labels.iter().map(label).collect()
}

fn histogram(timestamp: i64, h: Histogram) -> pb::Histogram {
    let spans = |spans: Vec<Span>| {
        spans.into_iter().map(|s| pb::BucketSpan { offset: s.offset, length: s.length }).collect()
    };
    let hint = match h.reset_hint {
        ResetHint::Unknown => pb::histogram::ResetHint::Unknown,
        ResetHint::Yes => pb::histogram::ResetHint::Yes,
        ResetHint::No => pb::histogram::ResetHint::No,
        ResetHint::Gauge => pb::histogram::ResetHint::Gauge,
    };
    let mut out = pb::Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(h.negative_spans),
        positive_spans: spans(h.positive_spans),
        reset_hint: hint.into(),
        timestamp,
        custom_values: h.custom_values,
        ..pb::Histogram::default()
    };
    match h.counts {
        BucketCounts::Integer { count, zero_count, positive, negative } => {
            out.count = Some(pb::histogram::Count::CountInt(count));
            out.zero_count = Some(pb::histogram::ZeroCount::ZeroCountInt(zero_count));
            (out.positive_deltas, out.negative_deltas) = (positive, negative);
        }
        BucketCounts::Float { count, zero_count, positive, negative } => {
            out.count = Some(pb::histogram::Count::CountFloat(count));
            out.zero_count = Some(pb::histogram::ZeroCount::ZeroCountFloat(zero_count));
            (out.positive_counts, out.negative_counts) = (positive, negative);
        }
    }
    out
}
