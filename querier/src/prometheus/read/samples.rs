//! An answer in samples: one protobuf message, packed with snappy.

use bytes::Bytes;
use prost::Message;
use skald_model::{BucketCounts, Histogram, ResetHint, Series, Span};
use skald_proto::public::prometheus as pb;

use super::labels;
use crate::Error;

pub(super) fn encode(results: Vec<Vec<Series>>) -> Result<Bytes, Error> {
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
