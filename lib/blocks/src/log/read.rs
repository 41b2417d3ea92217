//! Queries on a log block: the stream directory answers the matchers, then lines are read.
//!
//! ```text
//! matchers ─directory→ streams → row ranges ─page statistics of time→ rows ─grams of needles→ rows
//!          ─scan time, line, metadata→ entries              lines: a column, or packs beside the rows
//! ```

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use parking_lot::Mutex;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use skald_codec::lines::Fields;
use skald_model::{Labels, Matcher, StreamEntries, TenantId, TimeRange};

use super::directory::{self, Stream};
use super::grams::{Grams, Wanted};
use super::rows::LogRows;
use super::scan::{LogSearch, Streams};
use super::write::{
    KEY_DELETES, KEY_GRAMS_LENGTH, KEY_GRAMS_OFFSET, KEY_INDEX_LENGTH, KEY_INDEX_OFFSET,
    KEY_LENGTH, KEY_OFFSET, LINE, TIMESTAMP,
};
use crate::chunks::bad;
use crate::columns::{METADATA_PREFIX, REST};
use crate::object::Object;
use crate::selection::{Rows, pages, row_groups};
use crate::{BlockMeta, Error, FooterCache, ReadStats};

pub(super) const BATCH_ROWS: usize = 8 << 10;
/// Directories of no more streams are kept parsed.
const SHORT_DIRECTORY: usize = 16 << 10;
/// Gram filters up to this length are read with the directory beside them: one GET takes longer.
const MAX_GRAMS_ALONG: u64 = 2 << 20;

/// Reads one log block. Cheap to clone; all methods may run concurrently.
///
/// Dropping a future stops it at the next GET; nothing is left behind.
#[derive(Clone, Debug)]
pub struct LogReader {
    pub(crate) object: Object,
}

/// What of an entry is wanted; what is not read comes back empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSelect {
    pub needs_line: bool,
    pub metadata: Metadata,
    /// Lines that parse to the same values of these fields will do; blocks may return shorter ones.
    pub fields: Option<Arc<Fields>>,
}

/// Which structured metadata is wanted; other may come too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    #[default]
    All,
    Only(Arc<[String]>),
}

// === impl Metadata ===

impl Metadata {
    pub fn none() -> Self {
        Self::Only([].into())
    }

    /// Whether a column of the block may hold some of it; names without one are in the `rest`.
    fn is_in(&self, column: &str) -> bool {
        let Some(name) = column.strip_prefix(METADATA_PREFIX) else { return false };
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| n == name || name == REST),
        }
    }
}

/// What is looked at behind the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Rows,
    /// Gram filters first.
    Search,
}

// === impl Next ===

impl Next {
    /// What a search for `wanted` looks at.
    pub(super) fn behind(wanted: &Wanted) -> Self {
        if wanted.is_empty() { Self::Rows } else { Self::Search }
    }
}

/// Volume of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    pub streams: u64,
    pub entries: u64,
    /// Lengths of the lines.
    pub bytes: u64,
}

impl Default for LogSelect {
    fn default() -> Self {
        Self { needs_line: true, metadata: Metadata::All, fields: None }
    }
}

// === impl LogReader ===

impl LogReader {
    /// Loads the footer, from `cache` if it is there.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
    ) -> Result<Self, Error> {
        Self::open_counted(store, tenant, meta, cache, Arc::default()).await
    }

    /// As [`open_counted`](Self::open_counted), if the footer is in `cache`.
    pub async fn open_cached(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
        stats: Arc<ReadStats>,
    ) -> Result<Option<Self>, Error> {
        let path: Arc<str> = crate::path(tenant, meta.id).as_ref().into();
        if cache.footer(&path).is_none() {
            return Ok(None);
        }
        Self::open_counted(store, tenant, meta, cache, stats).await.map(Some)
    }

    /// As [`open`](Self::open), adding what it reads to `stats`.
    pub async fn open_counted(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
        stats: Arc<ReadStats>,
    ) -> Result<Self, Error> {
        Ok(Self { object: Object::open(store, tenant, meta, cache, stats).await? })
    }

    /// What the catalog says about the block.
    pub fn meta(&self) -> &BlockMeta {
        &self.object.meta
    }

    /// Counts of what was read so far.
    pub fn read_stats(&self) -> &Arc<ReadStats> {
        &self.object.stats
    }

    /// Whether the block was written without the lines that a request to delete names.
    pub fn is_without(&self, delete: &str) -> bool {
        let deletes = self.object.footer.text(KEY_DELETES).unwrap_or("");
        deletes.split(',').any(|id| id == delete)
    }

    /// Entries in `range` of the streams that all matchers accept, whose line holds every needle;
    /// streams in label order, entries in time order, streams without any are left out.
    ///
    /// Lines share memory with the page they were decoded from unless few of it are returned.
    pub async fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        needles: &[Bytes],
        wanted: LogSelect,
    ) -> Result<Vec<StreamEntries>, Error> {
        let search = LogSearch {
            matchers: matchers.to_vec(),
            range,
            needles: needles.to_vec(),
            wanted,
            streams: Streams::All,
            early: None,
            useful: None,
        };
        self.found(&search).await
    }

    /// All entries of a search at once.
    pub async fn found(&self, search: &LogSearch) -> Result<Vec<StreamEntries>, Error> {
        let found = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&found);
        let each = move |streams| {
            join(&mut into.lock(), streams);
            ControlFlow::Continue(())
        };
        self.scan(search, each).await?;
        Ok(std::mem::take(&mut found.lock()))
    }

    /// Label sets that all matchers accept of streams whose first and last line enclose a time in
    /// `range`, in label order. One GET, none when the directory is cached.
    pub async fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Labels>, Error> {
        let streams = self.matching(matchers, range).await?;
        Ok(streams.into_iter().map(|s| s.labels).collect())
    }

    /// Volume of the streams that all matchers accept; of a stream that reaches out of `range` the
    /// share of its time that lies within is counted. Reads no line.
    pub async fn stats(&self, matchers: &[Matcher], range: TimeRange) -> Result<LogStats, Error> {
        let mut stats = LogStats::default();
        for stream in self.matching(matchers, range).await? {
            stats.streams += 1;
            stats.entries += share(&stream, range, stream.rows.len() as u64);
            stats.bytes += share(&stream, range, stream.bytes);
        }
        Ok(stats)
    }

    /// As [`stats`](Self::stats), stream by stream.
    pub async fn volumes(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(Labels, LogStats)>, Error> {
        let one = |stream: Stream| {
            let entries = share(&stream, range, stream.rows.len() as u64);
            let bytes = share(&stream, range, stream.bytes);
            (stream.labels, LogStats { streams: 1, entries, bytes })
        };
        Ok(self.matching(matchers, range).await?.into_iter().map(one).collect())
    }

    /// All entries in bounded batches, for compaction.
    pub async fn rows(&self) -> Result<LogRows, Error> {
        self.rows_within(usize::MAX).await
    }

    /// As [`rows`](Self::rows), in batches that take about `memory` bytes each, but for the least that can be
    /// read at a time, which is four megabytes or, of lines of two hundred bytes, three.
    pub async fn rows_within(&self, memory: usize) -> Result<LogRows, Error> {
        let streams = self.matching(&[], TimeRange::ALL).await?;
        let packs = if self.is_packed() { Some(self.packs().await?) } else { None };
        let columns = self.columns(true, &Metadata::All);
        Ok(LogRows::new(self.clone(), streams, packs, columns, memory))
    }

    pub(super) fn columns(&self, line: bool, metadata: &Metadata) -> Vec<usize> {
        let fields = self.object.footer.schema().fields();
        let wanted =
            |name: &str| name == TIMESTAMP || (line && name == LINE) || metadata.is_in(name);
        (0..fields.len()).filter(|i| wanted(fields[*i].name())).collect()
    }

    /// The streams that all matchers accept and whose times meet `range`, in row order.
    pub(super) async fn matching(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Stream>, Error> {
        self.matching_before(matchers, range, Next::Rows).await
    }

    /// As [`matching`](Self::matching); what is wanted next may be read along with the directory.
    pub(super) async fn matching_before(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        next: Next,
    ) -> Result<Vec<Stream>, Error> {
        let meta = &self.object.meta;
        // `ALL` leaves out the very last nanosecond; compaction must not.
        let meets = move |min, max| range == TimeRange::ALL || range.overlaps(min, max);
        if range.is_empty() || !meets(meta.min_time, meta.max_time) {
            return Ok(Vec::new());
        }
        if let Some(streams) = self.object.cache.streams(self.object.path()) {
            let matching =
                |s: &&Stream| meets(s.min_ns, s.max_ns) && Matcher::all(matchers, &s.labels);
            return Ok(streams.iter().filter(matching).cloned().collect());
        }
        let bytes = self.directory(next).await?;
        let matchers = matchers.to_vec();
        let object = self.object.clone();
        self.object
            .compute(move || {
                let (mut out, mut end) = (Vec::new(), 0);
                let mut all = Vec::new();
                directory::read(&bytes, |stream| {
                    end = stream.rows.end;
                    if all.len() <= SHORT_DIRECTORY {
                        all.push(stream.clone());
                    }
                    let inside = meets(stream.min_ns, stream.max_ns);
                    if inside && Matcher::all(&matchers, &stream.labels) {
                        out.push(stream);
                    }
                })?;
                if end != object.footer.n_rows() {
                    return Err(bad("stream directory does not cover the rows"));
                }
                if all.len() <= SHORT_DIRECTORY {
                    object.cache.put_streams(object.path(), all.into());
                }
                Ok(out)
            })
            .await
    }

    async fn directory(&self, next: Next) -> Result<Bytes, Error> {
        let object = &self.object;
        if let Some(bytes) = object.cache.directory(object.path()) {
            return Ok(bytes);
        }
        let _guard = object.cache.loading(object.path()).await;
        if let Some(bytes) = object.cache.directory(object.path()) {
            return Ok(bytes);
        }
        let directory = self.lies_at(KEY_OFFSET, KEY_LENGTH);
        let directory = directory.ok_or_else(|| object.corrupt("no stream directory"))?;
        // What is needed next lies beside it.
        let index = self.lies_at(KEY_INDEX_OFFSET, KEY_INDEX_LENGTH);
        let grams = self.lies_at(KEY_GRAMS_OFFSET, KEY_GRAMS_LENGTH);
        let grams = grams.filter(|at| {
            let wanted = next == Next::Search && at.end - at.start <= MAX_GRAMS_ALONG;
            wanted && object.cache.grams(object.path()).is_none()
        });
        let ranges: Vec<_> =
            [&index, &grams].into_iter().flatten().cloned().chain([directory]).collect();
        let mut parts = object.fetch(&ranges).await?;
        let mut bytes = parts.pop().unwrap_or_default();
        if grams.is_some() {
            // Memory of its own, so that the cache does not keep all that was read.
            bytes = Bytes::copy_from_slice(&bytes);
        }
        object.cache.put_directory(object.path(), bytes.clone());
        let mut parts = parts.into_iter();
        if let Some(index) = index.and_then(|_| parts.next()) {
            self.put_packs(&index)?;
        }
        if let Some(grams) = grams.and_then(|_| parts.next()) {
            self.put_grams(Bytes::copy_from_slice(&grams))?;
        }
        Ok(bytes)
    }

    /// The bytes that footer keys name.
    pub(super) fn lies_at(&self, offset_key: &str, length_key: &str) -> Option<Range<u64>> {
        let number = |key: &str| self.object.footer.number(key);
        let (offset, len) = number(offset_key).zip(number(length_key))?;
        Some(offset..offset.checked_add(len)?)
    }

    /// Those of `rows` that the gram filters do not rule out.
    pub(super) async fn searched(&self, rows: Rows, wanted: Wanted) -> Result<Rows, Error> {
        if rows.is_empty() || wanted.is_empty() {
            return Ok(rows);
        }
        let Some(grams) = self.grams().await? else { return Ok(rows) };
        Ok(wanted.among(&rows, &grams))
    }

    /// The gram filters; blocks of the first releases have none.
    pub(super) async fn grams(&self) -> Result<Option<Arc<Grams>>, Error> {
        let object = &self.object;
        if let Some(grams) = object.cache.grams(object.path()) {
            return Ok(Some(grams));
        }
        let Some(range) = self.lies_at(KEY_GRAMS_OFFSET, KEY_GRAMS_LENGTH) else {
            return Ok(None);
        };
        let _guard = object.cache.loading(object.path()).await;
        if let Some(grams) = object.cache.grams(object.path()) {
            return Ok(Some(grams));
        }
        let bytes = object.fetch(&[range]).await?.pop().unwrap_or_default();
        self.put_grams(bytes).map(Some)
    }

    /// Remembers gram filters.
    fn put_grams(&self, bytes: Bytes) -> Result<Arc<Grams>, Error> {
        let object = &self.object;
        let grams = Grams::parse(bytes, object.footer.n_rows()).map_err(|e| object.corrupt(e))?;
        let grams = Arc::new(grams);
        object.cache.put_grams(object.path(), Arc::clone(&grams));
        Ok(grams)
    }

    /// The rows of pages whose times meet `range`.
    pub(super) fn pages_in(&self, range: TimeRange) -> Rows {
        let meta = self.object.footer.parquet();
        let Some(leaf) = self.object.footer.leaf(TIMESTAMP) else {
            return Rows::all(self.object.footer.n_rows());
        };
        let bounds: Vec<Option<(i64, i64)>> = row_groups(meta)
            .enumerate()
            .flat_map(|(i, _)| match meta.page_index().and_then(|p| p.column_index(i, leaf)) {
                Some(ColumnIndexMetaData::INT64(index)) => index
                    .min_values_iter()
                    .zip(index.max_values_iter())
                    .map(|(min, max)| Some((*min?, *max?)))
                    .collect(),
                _ => vec![None],
            })
            .collect();
        let pages = pages(meta, leaf);
        if bounds.len() != pages.len() {
            return Rows::all(self.object.footer.n_rows());
        }
        let meets =
            |bounds: &Option<(i64, i64)>| bounds.is_none_or(|(min, max)| range.overlaps(min, max));
        pages.into_iter().zip(&bounds).filter(|(_, b)| meets(b)).map(|(page, _)| page).collect()
    }
}

/// Appends what follows; its first stream may be the last one again.
fn join(all: &mut Vec<StreamEntries>, more: Vec<StreamEntries>) {
    for stream in more {
        match all.last_mut() {
            Some(last) if last.labels == stream.labels => last.entries.extend(stream.entries),
            _ => all.push(stream),
        }
    }
}

/// The part of `n` that lies in `range` if it is spread evenly over the stream's time.
fn share(stream: &Stream, range: TimeRange, n: u64) -> u64 {
    let whole = i128::from(stream.max_ns) - i128::from(stream.min_ns) + 1;
    let start = i128::from(stream.min_ns.max(range.start));
    let end = (i128::from(stream.max_ns) + 1).min(i128::from(range.end));
    u64::try_from((i128::from(n) * (end - start).max(0) + whole / 2) / whole).unwrap_or(n)
}
