//! What a select found in heads and blocks: which parts make up each series; read one at a time.
//!
//! Parts are brought together by identity when the answers are there, and decoded and united only
//! when their series is read. With a single source no identity is computed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use skald_blocks::MetricSet;
use skald_codec::chunk::ChunkError;
use skald_codec::encoded::EncodedSeries;
use skald_model::{ErrorKind, Labels, Series, SeriesId, TimeRange};
use skald_promql::{FloatHistogram, Samples, SeriesSet, SourceError};

use crate::Error;
use crate::deletes::series::{SeriesDeletes, hide};
use crate::merge::samples;

/// No further part.
const END: u32 = u32::MAX;

/// The answer of one head or one block, in which a series stands once.
#[derive(Debug)]
pub(crate) enum Source {
    Head(Vec<EncodedSeries>),
    Block(MetricSet),
}

#[derive(Debug)]
enum Set {
    Encoded(EncodedSeries),
    Block(MetricSet),
}

/// A series in a set, and where the next part of the same series stands in `Found::more`.
#[derive(Clone, Copy, Debug)]
struct Part {
    set: u32,
    at: u32,
    next: u32,
}

/// Series of all sources, each once.
#[derive(Debug)]
pub(crate) struct Found {
    sets: Vec<Set>,
    /// The first part of each series.
    first: Vec<Part>,
    more: Vec<Part>,
    range: TimeRange,
    /// What is not shown; the labels at hand tell of which series.
    deletes: SeriesDeletes,
    size_bytes: usize,
}

// === impl Source ===

impl Source {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Head(sets) => sets.iter().all(EncodedSeries::is_empty),
            Self::Block(set) => set.is_empty(),
        }
    }

    fn into_sets(self) -> Vec<Set> {
        match self {
            Self::Head(sets) => sets.into_iter().map(Set::Encoded).collect(),
            Self::Block(set) => vec![Set::Block(set)],
        }
    }
}

// === impl Set ===

impl Set {
    fn len(&self) -> usize {
        match self {
            Self::Encoded(set) => set.len(),
            Self::Block(set) => set.len(),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Encoded(set) => set.size_bytes(),
            Self::Block(set) => set.size_bytes(),
        }
    }

    fn labels(&self, i: usize) -> Labels {
        match self {
            Self::Encoded(set) => set.labels(i),
            Self::Block(set) => set.labels(i),
        }
    }

    fn id(&self, i: usize) -> SeriesId {
        match self {
            Self::Encoded(set) => set.id(i),
            Self::Block(set) => set.id(i),
        }
    }

    fn n_samples(&self, i: usize) -> usize {
        match self {
            Self::Encoded(set) => set.n_samples(i),
            Self::Block(set) => set.n_samples(i),
        }
    }

    /// Appends samples to `into`, which has none.
    fn decode(&self, i: usize, range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
        match self {
            Self::Encoded(set) => set.decode(i, range, into),
            Self::Block(set) => set.decode(i, range, into),
        }
    }
}

// === impl Found ===

impl Found {
    /// Brings the parts of each series together.
    pub(crate) fn unite(sources: Vec<Source>, range: TimeRange) -> Self {
        let one = sources.len() <= 1;
        let sets: Vec<Set> = sources.into_iter().flat_map(Source::into_sets).collect();
        let size_bytes = sets.iter().map(Set::size_bytes).sum();
        let (first, more, deletes) = Default::default();
        let mut found = Self { sets, first, more, range, deletes, size_bytes };
        if one {
            found.first = found.parts().collect();
        } else {
            found.group();
        }
        found
    }

    /// The same without what is deleted.
    pub(crate) fn hiding(self, deletes: SeriesDeletes) -> Self {
        Self { deletes, ..self }
    }

    fn group(&mut self) {
        let mut first: Vec<Part> = Vec::new();
        let mut more: Vec<Part> = Vec::new();
        let mut position: HashMap<SeriesId, usize> = HashMap::new();
        for part in self.parts() {
            let id = self.sets[part.set as usize].id(part.at as usize);
            match position.entry(id) {
                Entry::Occupied(at) => {
                    let head = &mut first[*at.get()];
                    more.push(Part { next: head.next, ..part });
                    head.next = number(more.len() - 1);
                }
                Entry::Vacant(at) => {
                    at.insert(first.len());
                    first.push(part);
                }
            }
        }
        (self.first, self.more) = (first, more);
    }

    /// Every series of every set.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let of = |(set, n)| (0..n).map(move |at| Part { set, at, next: END });
        (0..).zip(self.sets.iter().map(|set| number(set.len()))).flat_map(of)
    }

    /// The parts of series `i`.
    fn parts_of(&self, i: usize) -> impl Iterator<Item = (&Set, usize)> {
        let first = self.first.get(i).copied();
        let next = |part: &Part| self.more.get(part.next as usize).copied();
        std::iter::successors(first, next)
            .filter_map(|part| Some((self.sets.get(part.set as usize)?, part.at as usize)))
    }

    /// Replaces the samples of `out`, whose labels are left alone.
    fn samples(&self, i: usize, out: &mut Series) -> Result<(), ChunkError> {
        out.timestamps.clear();
        out.values.clear();
        out.starts.clear();
        out.histograms.clear();
        out.histogram_starts.clear();
        let mut parts = self.parts_of(i);
        let Some((set, at)) = parts.next() else { return Ok(()) };
        set.decode(at, self.range, out)?;
        let mut all = Vec::new();
        for (set, at) in parts {
            let mut part = Series::default();
            set.decode(at, self.range, &mut part)?;
            all.push(part);
        }
        if !all.is_empty() {
            let labels = std::mem::take(&mut out.labels);
            all.push(std::mem::take(out));
            *out = Series { labels, ..samples::unite(all) };
        }
        if !self.deletes.is_empty() {
            hide(out, &self.deletes.times(&self.labels(i)));
        }
        Ok(())
    }

    /// Series `i` decoded; it may have no samples in the range.
    pub(crate) fn series(&self, i: usize) -> Result<Series, Error> {
        let mut series = Series::new(self.labels(i));
        self.samples(i, &mut series).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(series)
    }

    /// Decodes everything; series without samples in the range are left out.
    pub(crate) fn decode(&self) -> Result<Vec<Series>, Error> {
        let mut out = Vec::with_capacity(self.len());
        for i in 0..self.len() {
            let series = self.series(i)?;
            if !series.is_empty() {
                out.push(series);
            }
        }
        Ok(out)
    }
}

/// Sets and series are counted by memory long before they reach 2^32.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(END)
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.first.len()
    }

    fn labels(&self, i: usize) -> Labels {
        let first = self.parts_of(i).next();
        first.map(|(set, at)| set.labels(at)).unwrap_or_default()
    }

    fn n_samples(&self, i: usize) -> usize {
        self.parts_of(i).map(|(set, at)| set.n_samples(at)).sum()
    }

    fn size_bytes(&self) -> usize {
        self.size_bytes + (self.first.len() + self.more.len()) * size_of::<Part>()
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        let timestamps = std::mem::take(&mut out.times);
        let values = std::mem::take(&mut out.values);
        let starts = std::mem::take(&mut out.starts);
        let mut series = Series { timestamps, values, starts, ..Series::default() };
        let result = self.samples(i, &mut series);
        (out.times, out.values) = (series.timestamps, series.values);
        (out.starts, out.histogram_starts) = (series.starts, series.histogram_starts);
        result.map_err(|e| SourceError { kind: ErrorKind::Corrupt, message: e.to_string() })?;
        for (t, h) in &series.histograms {
            out.histogram_times.push(*t);
            out.histograms.push(FloatHistogram::from(h).into());
        }
        Ok(())
    }
}
