//! What a query found in a block: label sets and chunks that are decoded one series at a time.

use std::ops::Range;
use std::sync::Arc;

use skald_codec::chunk::ChunkError;
use skald_codec::chunk::grid::Grid;
use skald_model::{Labels, Series, SeriesId, TimeRange};

use super::bases::{At, Bases};
use super::index::Projection;
use super::page::Page;
use super::times::QueryTimes;

/// Series of a block that may have samples in a range, in block order, each once.
///
/// It shares the memory of the caches; nothing of it does I/O.
#[derive(Clone, Debug)]
pub struct MetricSet {
    pub(super) range: TimeRange,
    pub(super) series: Vec<Found>,
    pub(super) names: Names,
    pub(super) floats: Vec<Arc<Page>>,
    pub(super) histograms: Vec<Arc<Page>>,
    pub(super) times: QueryTimes,
    pub(super) bases: Bases,
}

/// Where the chunks of a series lie.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) row: u32,
    pub(super) floats: Place,
    pub(super) histograms: Place,
}

/// Some chunks of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) page: u32,
    /// Of the page.
    pub(super) row: u32,
    pub(super) chunks: Range<u32>,
}

/// How label sets are made.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// From the columns, when they are asked for.
    Whole(Projection),
    /// Made already: the number of each series, the labels of each number, and ids by row.
    Groups { of: Vec<u32>, labels: Vec<Labels>, ids: Option<Arc<Vec<SeriesId>>> },
}

// === impl MetricSet ===

impl MetricSet {
    pub(super) fn empty(range: TimeRange) -> Self {
        let names = Names::Groups { of: Vec::new(), labels: Vec::new(), ids: None };
        let (floats, histograms) = Default::default();
        let times = QueryTimes::empty(range);
        let bases = Bases::new(0, 0);
        Self { range, series: Vec::new(), names, floats, histograms, times, bases }
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Bytes of memory held, pages shared with the cache included.
    pub fn size_bytes(&self) -> usize {
        let pages = self.floats.iter().chain(&self.histograms);
        let labels = match &self.names {
            Names::Whole(_) => 0,
            Names::Groups { of, labels, .. } => {
                4 * of.len() + labels.iter().map(|l| l.as_bytes().len()).sum::<usize>()
            }
        };
        labels
            + self.times.size_bytes()
            + self.bases.size_bytes()
            + self.series.len() * size_of::<Found>()
            + pages.map(|page| page.size_bytes()).sum::<usize>()
    }

    /// Labels of series `i`, those that were asked for.
    pub fn labels(&self, i: usize) -> Labels {
        match &self.names {
            Names::Whole(all) => {
                self.series.get(i).map(|s| all.labels(s.row as usize)).unwrap_or_default()
            }
            Names::Groups { of, labels, .. } => {
                let group = of.get(i).and_then(|group| labels.get(*group as usize));
                group.cloned().unwrap_or_default()
            }
        }
    }

    /// Who series `i` is: the id of all its labels, when all or ids were asked for.
    pub fn id(&self, i: usize) -> SeriesId {
        let known = match &self.names {
            Names::Groups { ids: Some(ids), .. } => {
                self.series.get(i).and_then(|s| ids.get(s.row as usize).copied())
            }
            _ => None,
        };
        known.unwrap_or_else(|| self.labels(i).id())
    }

    /// At most how many samples series `i` has in the range, from the heads of its chunks.
    pub fn n_samples(&self, i: usize) -> usize {
        let count = |pages: &[Arc<Page>], place: &Place| {
            let page = pages.get(place.page as usize);
            page.map_or(0, |page| page.n_samples(place.chunks.clone(), self.range))
        };
        self.series
            .get(i)
            .map_or(0, |s| count(&self.floats, &s.floats) + count(&self.histograms, &s.histograms))
    }

    /// Appends the samples of series `i` that lie in `range` and in that of the set, sorted, one
    /// per time: of several the one of the chunk that stands first.
    ///
    /// `into` has no samples before; its labels are left alone.
    pub fn decode(&self, i: usize, range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
        let Some(found) = self.series.get(i) else { return Ok(()) };
        let range = TimeRange {
            start: range.start.max(self.range.start),
            end: range.end.min(self.range.end),
        };
        let lists = [(&self.floats, &found.floats), (&self.histograms, &found.histograms)];
        let mut ascending = true;
        for (pages, place) in lists {
            let Some(page) = pages.get(place.page as usize) else { continue };
            for (chunk, bytes, ascends) in page.encoded(place.chunks.clone(), range) {
                let number_of_page = place.page;
                let at = |grid| At { page, number_of_page, row: place.row, chunk, grid };
                let mut complete = |number, grid: &Grid<'_>, base, window, values: &mut [f64]| {
                    self.bases.complete(at(number), grid, (base, window), values)
                };
                self.times.decode_into(bytes, range, &mut complete, into)?;
                ascending &= ascends;
            }
        }
        if !ascending {
            into.sort();
        }
        Ok(())
    }

    /// Hands every chunk that meets the range to `each`.
    pub(super) fn each_chunk(&self, mut each: impl FnMut(&[u8])) {
        for found in &self.series {
            for (pages, place) in
                [(&self.floats, &found.floats), (&self.histograms, &found.histograms)]
            {
                let Some(page) = pages.get(place.page as usize) else { continue };
                page.encoded(place.chunks.clone(), self.range)
                    .for_each(|(_, chunk, _)| each(chunk));
            }
        }
    }

    /// Decodes everything; series without samples in the range are left out.
    pub(super) fn decode_all(&self) -> Result<Vec<Series>, ChunkError> {
        let mut out = Vec::with_capacity(self.len());
        for i in 0..self.len() {
            let mut series = Series::default();
            self.decode(i, self.range, &mut series)?;
            if !series.is_empty() {
                series.labels = self.labels(i);
                out.push(series);
            }
        }
        Ok(out)
    }
}
