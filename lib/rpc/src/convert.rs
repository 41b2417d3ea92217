//! Between the messages of `skald.ingest.v1` and the types of `skald_model`.

use std::fmt::Display;

use bytes::Bytes;
use skald_codec::batch::{Batch, LogsBuilder, MetricsBuilder, Samples, Starts};
use skald_codec::encoded::{self, EncodedSeries};
use skald_codec::wire::WireError;
use skald_model::{
    ErrorKind, Exemplar, Labels, LogEntry, MatchOp, Matcher, MetricMetadata, Series, SeriesId,
    Signal, StreamEntries, TenantId, TimeRange,
};
use skald_proto::ingest as pb;

use crate::RpcError;
use crate::ingester::{PushOutcome, Rejection};
use crate::status::{kind_number, kind_of_number};

pub(crate) fn tenant(id: &str) -> Result<TenantId, RpcError> {
    TenantId::parse(id).map_err(|e| RpcError::new(ErrorKind::Invalid, e.to_string()))
}

pub(crate) fn corrupt(e: WireError) -> RpcError {
    RpcError::new(ErrorKind::Corrupt, format!("malformed batch: {e}"))
}

// --- matchers ---

pub(crate) fn matchers_to_pb(matchers: &[Matcher]) -> Vec<pb::Matcher> {
    let op = |op| match op {
        MatchOp::Equal => pb::matcher::Op::Equal,
        MatchOp::NotEqual => pb::matcher::Op::NotEqual,
        MatchOp::Regex => pb::matcher::Op::Regex,
        MatchOp::NotRegex => pb::matcher::Op::NotRegex,
    };
    let one = |m: &Matcher| pb::Matcher {
        op: op(m.op).into(),
        name: m.name.clone(),
        value: m.value.clone(),
    };
    matchers.iter().map(one).collect()
}

pub(crate) fn matchers_from_pb(matchers: &[pb::Matcher]) -> Result<Vec<Matcher>, RpcError> {
    let one = |m: &pb::Matcher| {
        let op = match m.op() {
            pb::matcher::Op::Equal => MatchOp::Equal,
            pb::matcher::Op::NotEqual => MatchOp::NotEqual,
            pb::matcher::Op::Regex => MatchOp::Regex,
            pb::matcher::Op::NotRegex => MatchOp::NotRegex,
        };
        Matcher::new(op, &m.name, &m.value)
            .map_err(|e| RpcError::new(ErrorKind::Invalid, e.to_string()))
    };
    matchers.iter().map(one).collect()
}

pub(crate) fn signal_to_pb(signal: Signal) -> pb::Signal {
    match signal {
        Signal::Metrics => pb::Signal::Metrics,
        Signal::Logs => pb::Signal::Logs,
    }
}

pub(crate) fn signal_from_pb(signal: pb::Signal) -> Result<Signal, RpcError> {
    match signal {
        pb::Signal::Metrics => Ok(Signal::Metrics),
        pb::Signal::Logs => Ok(Signal::Logs),
        pb::Signal::Unspecified => Err(RpcError::new(ErrorKind::Invalid, "no signal given")),
    }
}

// --- push ---

pub(crate) fn outcome_to_pb(o: PushOutcome) -> pb::PushResponse {
    let rejection = |r: Rejection| pb::Rejection {
        id: r.id,
        kind: kind_number(r.kind),
        count: r.count,
        message: r.message,
    };
    pb::PushResponse {
        samples: o.samples,
        histograms: o.histograms,
        exemplars: o.exemplars,
        entries: o.entries,
        unknown_series: o.unknown_series,
        rejections: o.rejections.into_iter().map(rejection).collect(),
    }
}

pub(crate) fn outcome_from_pb(o: pb::PushResponse) -> PushOutcome {
    let rejection = |r: pb::Rejection| Rejection {
        id: r.id,
        kind: kind_of_number(r.kind),
        count: r.count,
        message: r.message,
    };
    PushOutcome {
        samples: o.samples,
        histograms: o.histograms,
        exemplars: o.exemplars,
        entries: o.entries,
        unknown_series: o.unknown_series,
        rejections: o.rejections.into_iter().map(rejection).collect(),
    }
}

// --- series and entries ---

/// Bytes of a batch after which the next message begins.
const FRAME: usize = 1 << 20;

/// Packs series into batches of about a megabyte. At least one batch, so that a version can travel.
pub(crate) fn series_to_batches(series: &[Series]) -> Vec<Bytes> {
    let base = series.iter().find_map(|s| s.timestamps.first().copied()).unwrap_or(0);
    let mut out = Vec::new();
    let mut builder = MetricsBuilder::new(base);
    for s in series {
        let floats = s.timestamps.iter().copied().zip(s.values.iter().copied());
        let labels = Some(&s.labels);
        let starts = Starts { floats: &s.starts, histograms: &s.histogram_starts };
        builder.series_iter(s.labels.id(), labels, Exact(floats), &s.histograms, &[], starts);
        if builder.len() >= FRAME {
            let full = std::mem::replace(&mut builder, MetricsBuilder::new(base));
            out.push(full.finish());
        }
    }
    if out.is_empty() || !builder.is_empty() {
        out.push(builder.finish());
    }
    out
}

/// `Zip` of two slices knows its length; this says so whatever adapters stand between.
struct Exact<I>(I);

impl<I: ExactSizeIterator> Iterator for Exact<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Exact<I> {}

pub(crate) fn series_from_batch(bytes: &Bytes, out: &mut Vec<Series>) -> Result<(), RpcError> {
    let mut batch = Batch::parse(bytes).map_err(corrupt)?;
    let mut samples = Samples::default();
    while let Some(item) = batch.next_series().map_err(corrupt)? {
        let labels = labels_of(bytes, item.labels)?;
        item.decode(&mut samples).map_err(corrupt)?;
        let (timestamps, values) = samples.floats.iter().copied().unzip();
        let histograms = std::mem::take(&mut samples.histograms);
        let starts = std::mem::take(&mut samples.starts);
        let histogram_starts = std::mem::take(&mut samples.histogram_starts);
        out.push(Series { labels, timestamps, values, starts, histograms, histogram_starts });
    }
    Ok(())
}

pub(crate) fn encoded_to_pb(set: EncodedSeries) -> pb::EncodedSeries {
    let ids: Vec<u8> = set.ids.iter().flat_map(|id| id.0.to_le_bytes()).collect();
    pb::EncodedSeries {
        version: encoded::VERSION,
        labels: set.labels,
        label_ends: set.label_ends,
        ids: ids.into(),
        data: set.data,
        data_ends: set.data_ends,
    }
}

pub(crate) fn encoded_from_pb(set: pb::EncodedSeries) -> Result<EncodedSeries, RpcError> {
    if set.version != encoded::VERSION {
        return Err(malformed(format!("version {} is not known here", set.version)));
    }
    let (ids, rest) = set.ids.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(malformed("ids are cut off"));
    }
    let set = EncodedSeries {
        labels: set.labels,
        label_ends: set.label_ends,
        ids: ids.iter().map(|id| SeriesId(u128::from_le_bytes(*id))).collect(),
        data: set.data,
        data_ends: set.data_ends,
    };
    set.check().map_err(malformed)?;
    Ok(set)
}

fn malformed(why: impl Display) -> RpcError {
    RpcError::new(ErrorKind::Corrupt, format!("malformed series: {why}"))
}

/// Decodes whole sets; series without samples in `range` are left out.
pub(crate) fn decode_series(
    sets: &[EncodedSeries],
    range: TimeRange,
) -> Result<Vec<Series>, RpcError> {
    let mut out = Vec::with_capacity(sets.iter().map(EncodedSeries::len).sum());
    for set in sets {
        for i in 0..set.len() {
            let mut series = Series::new(set.labels(i));
            set.decode(i, range, &mut series).map_err(malformed)?;
            if !series.is_empty() {
                out.push(series);
            }
        }
    }
    Ok(out)
}

/// Packs streams into batches of about a megabyte; a large stream is spread over several.
pub(crate) fn entries_to_batches(streams: &[StreamEntries]) -> Vec<Bytes> {
    let base = streams.iter().find_map(|s| s.entries.first().map(|e| e.timestamp_ns)).unwrap_or(0);
    let mut out = Vec::new();
    let mut builder = LogsBuilder::new(base);
    for s in streams {
        builder.stream(s.labels.id(), Some(&s.labels));
        for e in &s.entries {
            if builder.len() >= FRAME {
                let full = std::mem::replace(&mut builder, LogsBuilder::new(base));
                out.push(full.finish());
                builder.stream(s.labels.id(), Some(&s.labels));
            }
            builder.entry(e.timestamp_ns, &e.line, &e.metadata);
        }
    }
    if out.is_empty() || !builder.is_empty() {
        out.push(builder.finish());
    }
    out
}

pub(crate) fn entries_from_batch(
    bytes: &Bytes,
    out: &mut Vec<StreamEntries>,
) -> Result<(), RpcError> {
    let mut batch = Batch::parse(bytes).map_err(corrupt)?;
    while let Some(mut item) = batch.next_stream().map_err(corrupt)? {
        let labels = labels_of(bytes, item.labels)?;
        let continues = out.last().is_some_and(|s| s.labels == labels);
        if !continues {
            out.push(StreamEntries { labels, entries: Vec::with_capacity(item.n_entries()) });
        }
        let Some(stream) = out.last_mut() else { continue };
        while let Some(e) = item.next_entry().map_err(corrupt)? {
            let metadata = labels_of(bytes, Some(e.metadata))?;
            let line = bytes.slice_ref(e.line);
            stream.entries.push(LogEntry { timestamp_ns: e.timestamp_ns, line, metadata });
        }
    }
    Ok(())
}

fn labels_of(owner: &Bytes, labels: Option<&[u8]>) -> Result<Labels, RpcError> {
    let labels = labels.ok_or_else(|| corrupt(WireError::Labels))?;
    if labels.is_empty() {
        return Ok(Labels::empty());
    }
    Labels::from_bytes(owner.slice_ref(labels)).map_err(|_| corrupt(WireError::Labels))
}

// --- labels, exemplars, metadata ---

pub(crate) fn labels_from_pb(bytes: Bytes) -> Result<Labels, RpcError> {
    Labels::from_bytes(bytes).map_err(|_| corrupt(WireError::Labels))
}

pub(crate) fn exemplars_to_pb(series: Vec<(Labels, Vec<Exemplar>)>) -> Vec<pb::SeriesExemplars> {
    let one = |e: Exemplar| pb::Exemplar {
        labels: e.labels.as_bytes().clone(),
        timestamp_ms: e.timestamp_ms,
        value: e.value,
    };
    let group = |(labels, exemplars): (Labels, Vec<Exemplar>)| pb::SeriesExemplars {
        labels: labels.as_bytes().clone(),
        exemplars: exemplars.into_iter().map(one).collect(),
    };
    series.into_iter().map(group).collect()
}

pub(crate) fn exemplars_from_pb(
    series: Vec<pb::SeriesExemplars>,
) -> Result<Vec<(Labels, Vec<Exemplar>)>, RpcError> {
    let one = |e: pb::Exemplar| {
        let labels = labels_from_pb(e.labels)?;
        Ok(Exemplar { labels, timestamp_ms: e.timestamp_ms, value: e.value })
    };
    let group = |s: pb::SeriesExemplars| {
        let exemplars: Result<Vec<Exemplar>, RpcError> = s.exemplars.into_iter().map(one).collect();
        Ok((labels_from_pb(s.labels)?, exemplars?))
    };
    series.into_iter().map(group).collect()
}

pub(crate) fn metadata_to_pb(m: MetricMetadata) -> pb::MetricMetadata {
    pb::MetricMetadata { name: m.name, kind: m.kind, help: m.help, unit: m.unit }
}

pub(crate) fn metadata_from_pb(m: pb::MetricMetadata) -> MetricMetadata {
    MetricMetadata { name: m.name, kind: m.kind, help: m.help, unit: m.unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundtrip_series_over_several_frames() {
        let series: Vec<Series> = (0..40)
            .map(|i| Series {
                labels: Labels::from_pairs([("i", i.to_string())]),
                timestamps: (0..5000).collect(),
                values: (0..5000).map(f64::from).collect(),
                ..Series::default()
            })
            .collect();
        let batches = series_to_batches(&series);
        assert!(batches.len() > 1);
        let mut back = Vec::new();
        batches.iter().for_each(|b| series_from_batch(b, &mut back).unwrap());
        assert_eq!(back, series);
        assert_eq!(series_to_batches(&[]).len(), 1);
    }

    #[test]
    fn roundtrip_encoded_series_and_what_is_refused() {
        let one = |i: i64| Series {
            labels: Labels::from_pairs([("i", i.to_string())]),
            timestamps: vec![i],
            values: vec![1.5],
            ..Series::default()
        };
        let series: Vec<Series> = (0..4).map(one).collect();
        let sets = EncodedSeries::of(&series);
        let mut set = sets[0].clone();
        set.ids = series.iter().map(|s| s.labels.id()).collect();
        let message = encoded_to_pb(set.clone());
        assert_eq!(encoded_from_pb(message.clone()).unwrap(), set);
        assert_eq!(decode_series(&sets, TimeRange::new(1, 3)).unwrap(), series[1..3]);
        let newer = pb::EncodedSeries { version: 2, ..message.clone() };
        let cut = pb::EncodedSeries { ids: message.ids.slice(1..), ..message.clone() };
        let fewer = pb::EncodedSeries { label_ends: Vec::new(), ..message };
        for broken in [newer, cut, fewer] {
            assert_eq!(encoded_from_pb(broken).unwrap_err().kind, ErrorKind::Corrupt);
        }
    }

    #[test]
    fn roundtrip_a_stream_larger_than_a_frame() {
        let entry = |i: i64| LogEntry {
            timestamp_ns: i,
            line: Bytes::from(vec![b'x'; 1000]),
            metadata: Labels::from_pairs([("i", i.to_string())]),
        };
        let streams = vec![
            StreamEntries {
                labels: Labels::from_pairs([("a", "1")]),
                entries: (0..3000).map(entry).collect(),
            },
            StreamEntries { labels: Labels::from_pairs([("a", "2")]), entries: vec![entry(1)] },
        ];
        let batches = entries_to_batches(&streams);
        assert!(batches.len() > 2);
        let mut back = Vec::new();
        batches.iter().for_each(|b| entries_from_batch(b, &mut back).unwrap());
        assert_eq!(back, streams);
    }
}
