//! One stored block as an object: its footer, ranged reads of it, and decoding scans over its rows.
//!
//! What is read is checked before use. Everything that computes runs on the blocking pool; a panic
//! of the decoder there (on bytes no writer made) is a corrupt block.

mod load;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use skald_model::{Signal, TenantId};

use self::load::{Loader, MAX_HOLE};
use crate::chunks::bad;
use crate::columns::LABEL_PREFIX;
use crate::integrity::{Mark, Stripes};
use crate::metric::{Grids, grids_at};
use crate::selection::{Rows, row_groups};
use crate::{BlockMeta, Error, FooterCache, ReadStats, newest_version, path};

pub(crate) const KEY_FORMAT: &str = "skald.format";
pub(crate) const KEY_VERSION: &str = "skald.version";

/// The decoded footer of a block.
#[derive(Debug)]
pub(crate) struct Footer {
    arrow: ArrowReaderMetadata,
    keys: HashMap<String, String>,
    n_rows: usize,
    stripes: Stripes,
}

/// A block in a store.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// The path as the cache knows it.
    key: Arc<str>,
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) footer: Arc<Footer>,
    pub(crate) cache: Arc<FooterCache>,
    pub(crate) stats: Arc<ReadStats>,
}

/// What a scan reads.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    /// Positions in the schema of the block.
    pub(crate) columns: &'a [usize],
    pub(crate) rows: &'a Rows,
    pub(crate) batch_rows: usize,
}

struct Work<S, F> {
    decoder: ParquetPushDecoder,
    stop: Arc<AtomicBool>,
    state: S,
    each: F,
    n_rows: usize,
    n_bytes: usize,
}

/// Raised when nobody waits for the work any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Even of rows that are all alike a block has fewer for each of its bytes.
const MAX_ROWS_A_BYTE: u64 = 1024;
/// Pages of so many bytes are looked at without another thread.
const CHECK_INLINE: usize = 64 << 10;

/// The format word of a signal, kept in the footer.
pub(crate) fn format_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "metric-block",
        Signal::Logs => "log-block",
    }
}

// === impl Footer ===

impl Footer {
    pub(crate) fn parquet(&self) -> &ParquetMetaData {
        self.arrow.metadata()
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.arrow.schema()
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// All keys of the footer.
    pub(crate) fn keys(&self) -> BTreeMap<String, String> {
        self.keys.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    /// Position of a root column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.schema().index_of(name).ok()
    }

    /// Position of a column that is not nested among the leaves.
    pub(crate) fn leaf(&self, name: &str) -> Option<usize> {
        let columns = self.arrow.parquet_schema().columns();
        columns.iter().position(|c| c.path().parts().first().is_some_and(|p| p == name))
    }

    pub(crate) fn size_bytes(&self) -> usize {
        2 * self.parquet().memory_size() + self.stripes.size_bytes()
    }

    /// Checks and decodes all bytes behind the data.
    fn decode(
        data_len: u64,
        tail: &Bytes,
        size: u64,
        expected: Signal,
    ) -> Result<Self, ParquetError> {
        let holds = Mark::find(tail).is_some_and(|m| m.data_len == data_len && m.holds(tail));
        let stripes = holds.then(|| Stripes::of(data_len, tail)).flatten();
        let stripes = stripes.ok_or_else(|| bad("footer fails its checksum"))?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(size)?
            .with_page_index_policy(PageIndexPolicy::Optional);
        decoder.push_range(data_len..size, tail.clone())?;
        match decoder.try_decode()? {
            DecodeResult::Data(meta) => Self::new(meta, stripes, expected, size),
            _ => Err(bad("footer is incomplete")),
        }
    }

    fn new(
        meta: ParquetMetaData,
        stripes: Stripes,
        expected: Signal,
        size: u64,
    ) -> Result<Self, ParquetError> {
        let keys: HashMap<String, String> = meta
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter_map(|kv| Some((kv.key.clone(), kv.value.clone()?)))
            .collect();
        if keys.get(KEY_FORMAT).map(String::as_str) != Some(format_name(expected)) {
            return Err(bad(format!("not a {}", format_name(expected))));
        }
        let n_rows = row_groups(&meta).last().map_or(0, |r| r.end);
        // Readers take memory for each of them.
        if n_rows as u64 > size.saturating_mul(MAX_ROWS_A_BYTE) {
            return Err(bad("more rows than the object can have"));
        }
        let meta = Arc::new(meta);
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::try_new(Arc::clone(&meta), options())?;
        let fields = plain.schema().fields().iter().map(|f| with_dictionary(f));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrow = ArrowReaderMetadata::try_new(meta, options().with_schema(schema))?;
        Ok(Self { arrow, keys, n_rows, stripes })
    }
}

/// The table of grids when the bytes that were read with the footer, from some offset on, have all of it.
fn grids_in(footer: &Footer, near: Option<(u64, Bytes)>) -> Option<Bytes> {
    let (start, bytes) = near?;
    let range = grids_at(footer)?;
    let whole = footer.stripes.around(&range)?;
    let part = |r: &Range<u64>| {
        let from = usize::try_from(r.start.checked_sub(start)?).ok()?;
        let to = usize::try_from(r.end.checked_sub(start)?).ok()?;
        bytes.get(from..to)
    };
    // Copied, so that the cache does not keep all that was read.
    let holds = footer.stripes.hold(whole.start, part(&whole)?);
    holds.then(|| part(&range).map(Bytes::copy_from_slice)).flatten()
}

/// Label columns keep their dictionaries, so that a matcher looks at each value once.
fn with_dictionary(field: &Field) -> Field {
    if field.name().starts_with(LABEL_PREFIX) && *field.data_type() == DataType::Utf8 {
        let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        return field.clone().with_data_type(data_type);
    }
    field.clone()
}

// === impl Object ===

impl Object {
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
        stats: Arc<ReadStats>,
    ) -> Result<Self, Error> {
        let path = path(tenant, meta.id);
        let supported = newest_version(meta.signal);
        if meta.format_version > supported {
            return Err(Error::Version {
                path: path.to_string(),
                version: meta.format_version,
                supported,
            });
        }
        let meta = Arc::new(meta.clone());
        let key: Arc<str> = path.as_ref().into();
        let mut known = cache.footer(&key);
        let guard = match known {
            Some(_) => None,
            None => Some(cache.loading(&key).await),
        };
        if guard.is_some() {
            known = cache.footer(&key);
        }
        if let Some(footer) = known {
            drop(guard);
            stats.add_footer_hit();
            return Ok(Self { store, path, key, meta, footer, cache, stats });
        }
        let loader = Loader { store: &store, path: &path, meta: &meta, stats: &stats };
        let (footer, near) = loader.footer().await?;
        let footer = Arc::new(footer);
        let version = footer.number(KEY_VERSION).and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
        if version > supported {
            return Err(Error::Version { path: path.to_string(), version, supported });
        }
        if let Some(grids) = grids_in(&footer, near) {
            let grids = Grids::parse(grids).map_err(|e| Error::corrupt(&path, e))?;
            cache.put_grids(&key, Arc::new(grids));
        }
        cache.put_footer(&key, Arc::clone(&footer));
        drop(guard);
        Ok(Self { store, path, key, meta, footer, cache, stats })
    }

    pub(crate) fn path(&self) -> &Arc<str> {
        &self.key
    }

    pub(crate) fn corrupt(&self, reason: impl ToString) -> Error {
        Error::corrupt(&self.path, reason)
    }

    pub(crate) async fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        self.fetch_over(ranges, MAX_HOLE).await
    }

    /// As [`fetch`](Self::fetch); what lies between two ranges is read with them up to `max_hole` bytes of it.
    pub(crate) async fn fetch_over(
        &self,
        ranges: &[Range<u64>],
        max_hole: u64,
    ) -> Result<Vec<Bytes>, Error> {
        self.loader().fetch(ranges, max_hole, &self.footer.stripes).await
    }

    fn loader(&self) -> Loader<'_> {
        Loader { store: &self.store, path: &self.path, meta: &self.meta, stats: &self.stats }
    }

    /// As [`scan`](Self::scan), until `each` breaks off.
    pub(crate) async fn scan_until<S, F>(
        &self,
        scan: Scan<'_>,
        state: S,
        mut each: F,
    ) -> Result<(), Error>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &RecordBatch) -> Result<ControlFlow<()>, ParquetError> + Send + 'static,
    {
        let broken_off = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken_off);
        let read = self.scan(scan, state, move |state, batch| {
            if each(state, batch)?.is_continue() {
                return Ok(());
            }
            flag.store(true, Ordering::Relaxed);
            Err(bad("broken off"))
        });
        match read.await {
            Err(_) if broken_off.load(Ordering::Relaxed) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Runs `each` over the batches of the wanted rows and columns, in row order, on the blocking pool.
    /// Dropping the future stops that before the next batch.
    pub(crate) async fn scan<S, F>(&self, scan: Scan<'_>, state: S, each: F) -> Result<S, Error>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &RecordBatch) -> Result<(), ParquetError> + Send + 'static,
    {
        if scan.rows.is_empty() {
            return Ok(state);
        }
        let mask =
            ProjectionMask::roots(self.footer.arrow.parquet_schema(), scan.columns.iter().copied());
        let decoder = ParquetPushDecoderBuilder::new_with_metadata(self.footer.arrow.clone())
            .with_projection(mask)
            .with_batch_size(scan.batch_rows)
            .with_row_group_selections(scan.rows.by_row_group(self.footer.parquet()))
            .build()
            .map_err(|e| self.corrupt(e))?;
        let stop = StopOnDrop(Arc::default());
        let mut work =
            Work { decoder, stop: Arc::clone(&stop.0), state, each, n_rows: 0, n_bytes: 0 };
        // The first step decodes nothing: it says which bytes are wanted.
        let mut first = Some(catch_unwind(AssertUnwindSafe(|| work.run())));
        loop {
            let step = match first.take() {
                Some(Ok(step)) => step,
                Some(Err(_)) => return Err(self.corrupt("decoder gave up")),
                None => {
                    let (step, back) = skald_runtime::spawn_blocking(move || {
                        let mut work = work;
                        (work.run(), work)
                    })
                    .await
                    .map_err(|e| self.loader().failed(&e))?;
                    work = back;
                    step
                }
            };
            match step.map_err(|e| self.corrupt(e))? {
                None => break,
                Some(ranges) => {
                    let parts = self.fetch(&ranges).await?;
                    self.check_pages(scan.columns, &ranges, &parts).await?;
                    work.decoder.push_ranges(ranges, parts).map_err(|e| self.corrupt(e))?;
                }
            }
        }
        self.stats.add_rows(work.n_rows);
        self.stats.add_decoded(work.n_bytes);
        Ok(work.state)
    }

    /// Refuses pages that the decoder should not see: docs of [`pages`].
    async fn check_pages(
        &self,
        columns: &[usize],
        ranges: &[Range<u64>],
        parts: &[Bytes],
    ) -> Result<(), Error> {
        let (footer, columns) = (Arc::clone(&self.footer), columns.to_vec());
        let parts: Vec<_> = ranges.iter().cloned().zip(parts.iter().cloned()).collect();
        let n_bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        let check = move || {
            let schema = footer.arrow.parquet_schema();
            let wanted = |leaf: usize| {
                leaf < schema.num_columns() && columns.contains(&schema.get_column_root_idx(leaf))
            };
            let check = |(range, bytes)| pages::check(footer.parquet(), wanted, range, bytes);
            parts.iter().map(|(range, bytes)| (range, bytes)).try_for_each(check)
        };
        if n_bytes > CHECK_INLINE {
            return self.compute(check).await;
        }
        check().map_err(|e| self.corrupt(e))
    }

    /// Runs `work` on the blocking pool.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ParquetError> + Send + 'static,
    ) -> Result<T, Error> {
        self.loader().compute(work).await
    }
}

/// What the rows of a batch take, without what they share with others.
fn size_of_columns(batch: &RecordBatch) -> usize {
    let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(size).sum()
}

// === impl Work ===

impl<S, F> Work<S, F>
where
    F: FnMut(&mut S, &RecordBatch) -> Result<(), ParquetError>,
{
    /// Decodes until bytes are missing (the ranges wanted) or everything is read (`None`).
    fn run(&mut self) -> Result<Option<Vec<Range<u64>>>, ParquetError> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(bad("nobody waits for it"));
            }
            match self.decoder.try_decode()? {
                DecodeResult::NeedsData(ranges) => return Ok(Some(ranges)),
                DecodeResult::Finished => return Ok(None),
                DecodeResult::Data(batch) => {
                    self.n_rows += batch.num_rows();
                    self.n_bytes += size_of_columns(&batch);
                    (self.each)(&mut self.state, &batch)?;
                }
            }
        }
    }
}
