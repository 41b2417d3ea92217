//! All rows of a metric block in bounded batches, chunks untouched: what compaction reads.

use std::collections::VecDeque;
use std::ops::Range;

use arrow_array::{Array, BinaryArray, RecordBatch};
use bytes::Bytes;
use parquet::errors::ParquetError;

use super::SeriesRow;
use super::grids::Grids;
use super::read::{binary, grids};
use super::write::{EXEMPLARS, FLOATS, HISTOGRAMS};
use crate::Error;
use crate::chunks::{bad, exemplars, list, shared};
use crate::columns::{LABEL_PREFIX, LabelBatch};
use crate::object::{Object, Scan};
use crate::selection::{Rows, pages, row_groups};

/// Rows per batch, and chunk bytes after which a batch ends earlier.
const WINDOW_ROWS: usize = 64 << 10;
const WINDOW_BYTES: u64 = 16 << 20;

/// A stream of rows in block order: by name, cluster, namespace, job, container, pod, le, labels.
#[derive(Debug)]
pub struct MetricRows {
    object: Object,
    windows: VecDeque<Range<usize>>,
}

// === impl MetricRows ===

impl MetricRows {
    pub(super) fn new(object: Object) -> Self {
        let windows = windows(&object);
        Self { object, windows }
    }

    /// The next rows; `None` at the end. Chunk bytes are shared with the buffers they were read to.
    ///
    /// After an error the stream goes on behind the rows that failed. Cancelling loses the rows
    /// that were being read.
    pub async fn next(&mut self) -> Result<Option<Vec<SeriesRow>>, Error> {
        let Some(window) = self.windows.pop_front() else { return Ok(None) };
        let footer = &self.object.footer;
        let fields = footer.schema().fields();
        let wanted = |name: &str| {
            name.starts_with(LABEL_PREFIX) || [FLOATS, HISTOGRAMS, EXEMPLARS].contains(&name)
        };
        let columns: Vec<usize> = (0..fields.len()).filter(|i| wanted(fields[*i].name())).collect();
        let batch_rows = window.len().clamp(1, 4096);
        let rows = Rows::from_iter([window]);
        let scan = Scan { columns: &columns, rows: &rows, batch_rows };
        let grids = grids(&self.object).await?;
        let append = move |out: &mut _, batch: &_| append_rows(&grids, out, batch);
        self.object.scan(scan, Vec::new(), append).await.map(Some)
    }
}

/// Whole pages of the chunk column, as many as fit the bounds.
fn windows(object: &Object) -> VecDeque<Range<usize>> {
    let meta = object.footer.parquet();
    let leaf = object.footer.leaf(FLOATS).unwrap_or(0);
    let sizes: Vec<u64> = row_groups(meta)
        .enumerate()
        .flat_map(|(i, group)| {
            let index = meta.page_index().and_then(|p| p.offset_index(i, leaf));
            match index {
                Some(index) => index
                    .page_locations()
                    .iter()
                    .map(|p| u64::from(p.compressed_page_size.max(0).unsigned_abs()))
                    .collect(),
                None => vec![group.len() as u64],
            }
        })
        .collect();
    let mut out: VecDeque<Range<usize>> = VecDeque::new();
    let mut bytes = 0;
    for (i, page) in pages(meta, leaf).into_iter().enumerate() {
        let size = sizes.get(i).copied().unwrap_or(0);
        bytes += size;
        match out.back_mut() {
            Some(last) if bytes <= WINDOW_BYTES && page.end - last.start <= WINDOW_ROWS => {
                last.end = page.end;
            }
            _ => {
                out.push_back(page);
                bytes = size;
            }
        }
    }
    out
}

fn append_rows(
    grids: &Grids,
    out: &mut Vec<SeriesRow>,
    batch: &RecordBatch,
) -> Result<(), ParquetError> {
    let labels = LabelBatch::of(batch, LABEL_PREFIX)?;
    let [floats, histograms, others] =
        [binary(batch, FLOATS)?, binary(batch, HISTOGRAMS)?, binary(batch, EXEMPLARS)?];
    let shared = |column: Option<&BinaryArray>| column.map(|c| shared(c.values()));
    let [float_bytes, histogram_bytes] = [shared(floats), shared(histograms)];
    let sets = labels.sets(batch.num_rows(), |_| true)?;
    for (row, labels) in sets.into_iter().enumerate() {
        let cell = others.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        let floats = chunks(grids, floats.zip(float_bytes.as_ref()), row, out)?;
        let histograms = chunks(grids, histograms.zip(histogram_bytes.as_ref()), row, &[])?;
        out.push(SeriesRow {
            labels,
            floats,
            histograms,
            exemplars: cell.map(exemplars).transpose()?.unwrap_or_default(),
        });
    }
    Ok(())
}

fn chunks(
    grids: &Grids,
    column: Option<(&BinaryArray, &Bytes)>,
    row: usize,
    above: &[SeriesRow],
) -> Result<Vec<Bytes>, ParquetError> {
    let Some((cells, bytes)) = column.filter(|(cells, _)| cells.is_valid(row)) else {
        return Ok(Vec::new());
    };
    if grids.len() == 0 {
        return list(cells.value(row)).map(|chunk| Ok(bytes.slice_ref(chunk?))).collect();
    }
    let (mut joined, mut ends) = (Vec::new(), Vec::new());
    for chunk in list(cells.value(row)) {
        grids.join(chunk?, above, &mut joined).map_err(bad)?;
        ends.push(joined.len());
    }
    let joined = Bytes::from(joined);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    Ok(starts.zip(&ends).map(|(start, end)| joined.slice(start..*end)).collect())
}
