//! Ranged reads of one object: fewer and longer GETs where ranges lie close together, each checked.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use skald_runtime::{Anew, FromCache};
use tokio::task::JoinError;

use super::Footer;
use crate::integrity::{Mark, Stripes};
use crate::{BlockMeta, Error, ReadStats};

/// Holes up to this size are mostly read rather than split into two GETs.
pub(super) const MAX_HOLE: u64 = 512 << 10;
/// Longest GET.
const MAX_GET: u64 = 32 << 20;
const CONCURRENT_GETS: usize = 8;
/// Read from the end at first: footer and page index of most blocks, and small directories.
const TAIL: u64 = 128 << 10;

/// Checksums of more than this are computed on the blocking pool.
const CHECK_INLINE: usize = 1 << 20;

/// How ranges are asked for, and what of a cache was in the answers.
#[derive(Debug, Default)]
struct Ask {
    /// Past caches, whose copy is damaged.
    anew: bool,
    was_cached: AtomicBool,
}

/// Who answered.
enum Origin {
    Store,
    /// A cache on disk.
    Cache,
}

/// Reads from one object.
pub(super) struct Loader<'a> {
    pub(super) store: &'a Arc<dyn ObjectStore>,
    pub(super) path: &'a Path,
    pub(super) meta: &'a Arc<BlockMeta>,
    pub(super) stats: &'a ReadStats,
}

// === impl Loader ===

impl Loader<'_> {
    /// The footer, and data that was read with it: from where on, and the bytes.
    pub(super) async fn footer(&self) -> Result<(Footer, Option<(u64, Bytes)>), Error> {
        let ask = Ask::default();
        match self.ask_footer(&ask).await {
            Err(Error::Corrupt { .. }) if ask.was_cached() => self.ask_footer(&Ask::anew()).await,
            done => done,
        }
    }

    async fn ask_footer(&self, ask: &Ask) -> Result<(Footer, Option<(u64, Bytes)>), Error> {
        let corrupt = |reason: &str| Error::corrupt(self.path, reason);
        let size = self.meta.size_bytes;
        let mut start = size.saturating_sub(TAIL);
        let mut tail = self.get(start..size, ask).await?;
        let found = Mark::find(&tail).map(|mark| mark.data_len).filter(|at| *at <= size);
        let data_len = found.ok_or_else(|| corrupt("no checksum in the footer"))?;
        if data_len < start {
            let before = self.get(data_len..start, ask).await?;
            tail = [before, tail].concat().into();
            start = data_len;
        }
        let skip = usize::try_from(data_len - start).map_err(|_| corrupt("footer too long"))?;
        let near = (skip > 0).then(|| (start, tail.slice(..skip)));
        let tail = tail.slice(skip..);
        let signal = self.meta.signal;
        let decode = move || Footer::decode(data_len, &tail, size, signal);
        Ok((self.compute(decode).await?, near))
    }

    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ParquetError> + Send + 'static,
    ) -> Result<T, Error> {
        skald_runtime::spawn_blocking(work)
            .await
            .map_err(|e| self.failed(&e))?
            .map_err(|e| Error::corrupt(self.path, e))
    }

    /// A panic of the decoder is the fault of the bytes.
    pub(super) fn failed(&self, err: &JoinError) -> Error {
        if err.is_panic() {
            Error::corrupt(self.path, "decoder gave up")
        } else {
            Error::Internal("runtime is going down".to_owned())
        }
    }

    /// Reads and checks the ranges, by fewer and longer GETs where they lie close together.
    pub(super) async fn fetch(
        &self,
        ranges: &[Range<u64>],
        max_hole: u64,
        stripes: &Stripes,
    ) -> Result<Vec<Bytes>, Error> {
        let whole: Option<Vec<_>> = ranges.iter().map(|r| stripes.around(r)).collect();
        let whole = whole.ok_or_else(|| Error::corrupt(self.path, "a page outside the data"))?;
        let parts: Vec<(u64, Bytes)> = stream::iter(coalesce(&whole, max_hole))
            .map(|get| async move {
                let start = get.start;
                Ok::<_, Error>((start, self.sound(get, stripes).await?))
            })
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let slice = |r: &Range<u64>| {
            let i = parts.partition_point(|(start, _)| *start <= r.start).checked_sub(1)?;
            let (start, bytes) = &parts[i];
            let from = usize::try_from(r.start - start).ok()?;
            let to = usize::try_from(r.end - start).ok()?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        ranges
            .iter()
            .map(|r| slice(r).ok_or_else(|| Error::corrupt(self.path, "short read")))
            .collect()
    }

    /// Reads a range and checks it. What a cache had damaged, as the store may have sent it once, is asked for anew.
    async fn sound(&self, range: Range<u64>, stripes: &Stripes) -> Result<Bytes, Error> {
        let (start, ask) = (range.start, Ask::default());
        let bytes = self.get(range.clone(), &ask).await?;
        match self.checked(start, bytes, stripes).await {
            Err(Error::Corrupt { .. }) if ask.was_cached() => {
                let bytes = self.get(range, &Ask::anew()).await?;
                self.checked(start, bytes, stripes).await
            }
            done => done,
        }
    }

    async fn checked(&self, start: u64, bytes: Bytes, stripes: &Stripes) -> Result<Bytes, Error> {
        let (stripes, part) = (stripes.clone(), bytes.clone());
        let check = move || stripes.hold(start, &part);
        let holds = if bytes.len() > CHECK_INLINE {
            self.compute(move || Ok(check())).await?
        } else {
            check()
        };
        let failed = || Error::corrupt(self.path, format!("checksum behind byte {start}"));
        holds.then_some(bytes).ok_or_else(failed)
    }

    /// Asks for a range once, and counts that.
    async fn range(&self, range: Range<u64>, ask: &Ask) -> object_store::Result<Bytes> {
        match read(self.store.as_ref(), self.path, range, ask).await {
            Ok((bytes, Origin::Store)) => {
                self.stats.add_get(bytes.len());
                Ok(bytes)
            }
            Ok((bytes, Origin::Cache)) => {
                ask.was_cached.store(true, Ordering::Relaxed);
                self.stats.add_disk_hit(bytes.len());
                Ok(bytes)
            }
            Err(e) => {
                self.stats.add_get(0);
                Err(e)
            }
        }
    }

    async fn get(&self, range: Range<u64>, ask: &Ask) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let expected = range.end - range.start;
        match self.range(range, ask).await {
            Ok(bytes) => {
                if bytes.len() as u64 == expected {
                    return Ok(bytes);
                }
                Err(Error::corrupt(self.path, "object is shorter than the catalog says"))
            }
            Err(err @ object_store::Error::NotFound { .. }) => Err(Error::store(self.path, err)),
            // Stores report a range behind the end in many ways; the size tells.
            Err(err) => match self.store.head(self.path).await {
                Ok(head) if head.size != self.meta.size_bytes => {
                    let reason = format!("{} bytes, expected {}", head.size, self.meta.size_bytes);
                    Err(Error::corrupt(self.path, reason))
                }
                Err(missing @ object_store::Error::NotFound { .. }) => {
                    Err(Error::store(self.path, missing))
                }
                _ => Err(Error::store(self.path, err)),
            },
        }
    }
}

// === impl Ask ===

impl Ask {
    fn anew() -> Self {
        Self { anew: true, ..Self::default() }
    }

    fn was_cached(&self) -> bool {
        self.was_cached.load(Ordering::Relaxed)
    }
}

async fn read(
    store: &dyn ObjectStore,
    path: &Path,
    range: Range<u64>,
    ask: &Ask,
) -> object_store::Result<(Bytes, Origin)> {
    let mut options = GetOptions::new().with_range(Some(range));
    if ask.anew {
        options.extensions.insert(Anew);
    }
    let got = store.get_opts(path, options).await?;
    let from_cache = got.extensions.get::<FromCache>().is_some();
    let origin = if from_cache { Origin::Cache } else { Origin::Store };
    Ok((got.bytes().await?, origin))
}

fn coalesce(ranges: &[Range<u64>], max_hole: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.to_vec();
    sorted.sort_unstable_by_key(|r| (r.start, r.end));
    let mut out: Vec<Range<u64>> = Vec::new();
    for r in sorted {
        match out.last_mut() {
            Some(last)
                if r.end <= last.end
                    || (r.start <= last.end.saturating_add(max_hole)
                        && r.end - last.start <= MAX_GET) =>
            {
                last.end = last.end.max(r.end);
            }
            _ => out.push(r),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_fetched_together() {
        let mb = 1 << 20;
        let near = |ranges: &[Range<u64>]| coalesce(ranges, MAX_HOLE);
        assert_eq!(near(&[10..20, 0..5, 15..30]), vec![0..30]);
        assert_eq!(near(&[0..5, 2 * mb..3 * mb]), vec![0..5, 2 * mb..3 * mb]);
        assert_eq!(near(&[0..20 * mb, 20 * mb..40 * mb]).len(), 2);
        assert_eq!(near(&[]), vec![]);
        assert_eq!(coalesce(&[0..5, 9..10, 15..20], 4), vec![0..10, 15..20]);
    }
}
