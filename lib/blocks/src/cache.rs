//! What readers remember of blocks: they never change, so what was read once stays true.

use std::sync::Arc;

use bytes::Bytes;

use crate::log::{Grams, Pack, Stream};
use crate::lru::Lru;
use crate::metric::{Column, Grids, Page};
use crate::object::Footer;

/// How many bytes the parts of a [`FooterCache`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSizes {
    /// Footers with their page indexes, tables of grids, stream directories, indexes of packs and gram filters.
    pub footers: usize,
    /// Decoded label columns of metric blocks.
    pub index: usize,
    /// Pages of still encoded chunks of metric blocks.
    pub pages: usize,
}

/// Footers, stream directories, gram filters, series indexes and pages of chunks, by object; each kind has its
/// own bound, and the least recently used go first. Share one per process.
#[derive(Debug)]
pub struct FooterCache {
    footers: Lru<(Arc<str>, Part), Stored>,
    /// By position in the schema.
    columns: Lru<(Arc<str>, u32), Column>,
    /// By position in the schema and number of the page.
    pages: Lru<(Arc<str>, u32, u32), Arc<Page>>,
    loading: Loading,
}

/// Who loads what of a block; blocks share locks, so many that two that are read at a time seldom do.
type Loading = [tokio::sync::Mutex<()>; 256];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Footer,
    Directory,
    Grams,
    Packs,
    Grids,
    Streams,
}

#[derive(Clone, Debug)]
enum Stored {
    Footer(Arc<Footer>),
    Bytes(Bytes),
    Grams(Arc<Grams>),
    Packs(Arc<[Pack]>),
    Grids(Arc<Grids>),
    Streams(Arc<[Stream]>),
}

// === impl CacheSizes ===

impl Default for CacheSizes {
    fn default() -> Self {
        Self { footers: 128 << 20, index: 256 << 20, pages: 256 << 20 }
    }
}

// === impl FooterCache ===

impl FooterCache {
    /// An empty cache that holds about `max_bytes` of footers, and of other things the default.
    pub fn new(max_bytes: usize) -> Self {
        Self::with_sizes(CacheSizes { footers: max_bytes, ..CacheSizes::default() })
    }

    pub fn with_sizes(sizes: CacheSizes) -> Self {
        Self {
            footers: Lru::new(sizes.footers),
            columns: Lru::new(sizes.index),
            pages: Lru::new(sizes.pages),
            loading: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }

    /// Bytes held now.
    pub fn size_bytes(&self) -> usize {
        let held = self.held();
        held.footers + held.index + held.pages
    }

    /// Bytes held now, by kind.
    pub fn held(&self) -> CacheSizes {
        CacheSizes {
            footers: self.footers.size_bytes(),
            index: self.columns.size_bytes(),
            pages: self.pages.size_bytes(),
        }
    }

    pub(crate) fn footer(&self, path: &Arc<str>) -> Option<Arc<Footer>> {
        match self.footers.get(&(Arc::clone(path), Part::Footer))? {
            Stored::Footer(footer) => Some(footer),
            _ => None,
        }
    }

    pub(crate) fn directory(&self, path: &Arc<str>) -> Option<Bytes> {
        self.bytes(path, Part::Directory)
    }

    /// The gram filters of a log block.
    pub(crate) fn grams(&self, path: &Arc<str>) -> Option<Arc<Grams>> {
        match self.footers.get(&(Arc::clone(path), Part::Grams))? {
            Stored::Grams(grams) => Some(grams),
            _ => None,
        }
    }

    /// Where the packs of a log block lie.
    pub(crate) fn packs(&self, path: &Arc<str>) -> Option<Arc<[Pack]>> {
        match self.footers.get(&(Arc::clone(path), Part::Packs))? {
            Stored::Packs(packs) => Some(packs),
            _ => None,
        }
    }

    /// The grids of a metric block.
    pub(crate) fn grids(&self, path: &Arc<str>) -> Option<Arc<Grids>> {
        match self.footers.get(&(Arc::clone(path), Part::Grids))? {
            Stored::Grids(grids) => Some(grids),
            _ => None,
        }
    }

    /// What the directory of a log block says, if it is short.
    pub(crate) fn streams(&self, path: &Arc<str>) -> Option<Arc<[Stream]>> {
        match self.footers.get(&(Arc::clone(path), Part::Streams))? {
            Stored::Streams(streams) => Some(streams),
            _ => None,
        }
    }

    fn bytes(&self, path: &Arc<str>, part: Part) -> Option<Bytes> {
        match self.footers.get(&(Arc::clone(path), part))? {
            Stored::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn put_footer(&self, path: &Arc<str>, footer: Arc<Footer>) {
        let size = path.len() + footer.size_bytes();
        self.footers.put((Arc::clone(path), Part::Footer), Stored::Footer(footer), size);
    }

    pub(crate) fn put_directory(&self, path: &Arc<str>, bytes: Bytes) {
        self.put_bytes(path, Part::Directory, bytes);
    }

    pub(crate) fn put_grams(&self, path: &Arc<str>, grams: Arc<Grams>) {
        let size = path.len() + grams.size_bytes();
        self.footers.put((Arc::clone(path), Part::Grams), Stored::Grams(grams), size);
    }

    pub(crate) fn put_packs(&self, path: &Arc<str>, packs: Arc<[Pack]>) {
        let size = path.len() + size_of_val(&*packs);
        self.footers.put((Arc::clone(path), Part::Packs), Stored::Packs(packs), size);
    }

    pub(crate) fn put_grids(&self, path: &Arc<str>, grids: Arc<Grids>) {
        let size = path.len() + grids.size_bytes();
        self.footers.put((Arc::clone(path), Part::Grids), Stored::Grids(grids), size);
    }

    pub(crate) fn put_streams(&self, path: &Arc<str>, streams: Arc<[Stream]>) {
        let labels: usize = streams.iter().map(|s| s.labels.as_bytes().len()).sum();
        let size = path.len() + size_of_val(&*streams) + labels;
        self.footers.put((Arc::clone(path), Part::Streams), Stored::Streams(streams), size);
    }

    fn put_bytes(&self, path: &Arc<str>, part: Part, bytes: Bytes) {
        let size = path.len() + bytes.len();
        self.footers.put((Arc::clone(path), part), Stored::Bytes(bytes), size);
    }

    pub(crate) fn column(&self, path: &Arc<str>, column: u32) -> Option<Column> {
        self.columns.get(&(Arc::clone(path), column))
    }

    pub(crate) fn put_column(&self, path: &Arc<str>, column: u32, value: Column) {
        let size = value.size_bytes();
        self.columns.put((Arc::clone(path), column), value, size);
    }

    pub(crate) fn page(&self, path: &Arc<str>, column: u32, page: u32) -> Option<Arc<Page>> {
        self.pages.get(&(Arc::clone(path), column, page))
    }

    pub(crate) fn put_page(&self, path: &Arc<str>, column: u32, page: u32, value: Arc<Page>) {
        let size = value.size_bytes();
        self.pages.put((Arc::clone(path), column, page), value, size);
    }

    /// Held while a part of a block is loaded, so that others wait for it and do not load it too. Whoever holds
    /// it asks for no other.
    pub(crate) async fn loading(&self, path: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let sum = path.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        self.loading[sum % self.loading.len()].lock().await
    }
}
