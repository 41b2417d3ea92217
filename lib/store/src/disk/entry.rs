//! One entry: a range of an object, and what tells that it is that and whole. docs/formats/disk-cache.md
//!
//! ```text
//! entry := "skcache"  version:u8 = 1  crc32c of all behind:u32  path_len:u32  object_size:u64
//!          modified_ms:i64  start:u64  data_len:u64  path  data                       little endian
//! ```

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::ObjectMeta;
use object_store::path::Path;
use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 8] = b"skcache\x01";
/// Bytes before the path.
const HEAD: usize = 48;
/// Where the checksum ends, and what it covers begins.
const CHECKED: usize = 12;

/// What an entry is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) path: Path,
    pub(super) range: Range<u64>,
    /// Names the file. Two keys may have the same: the entry says whose it is.
    pub(super) hash: u128,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    start: u64,
    path: Path,
    pub(super) object_size: u64,
    modified_ms: i64,
    pub(super) data: Bytes,
}

// === impl Key ===

impl Key {
    pub(super) fn new(path: Path, range: Range<u64>) -> Self {
        let mut bytes = path.as_ref().as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&range.end.to_le_bytes());
        let hash = xxh3_128(&bytes);
        Self { path, range, hash }
    }

    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// The length of the entry of a key.
pub(super) fn size(key: &Key) -> u64 {
    (HEAD + key.path.as_ref().len()) as u64 + key.len()
}

// === impl Entry ===

impl Entry {
    pub(super) fn of(key: &Key, meta: &ObjectMeta, data: Bytes) -> Self {
        let modified_ms = meta.last_modified.timestamp_millis();
        let (start, path) = (key.range.start, key.path.clone());
        Self { start, path, object_size: meta.size, modified_ms, data }
    }

    /// Whether this is what `key` asks for.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.path == key.path
            && self.start == key.range.start
            && self.data.len() as u64 == key.len()
    }

    pub(super) fn modified(&self) -> SystemTime {
        // Times past what a calendar can hold come from no store.
        let ms = u64::try_from(self.modified_ms).unwrap_or(0).min(1 << 52);
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    /// Everything before the data.
    pub(super) fn head(&self) -> Vec<u8> {
        let path = self.path.as_ref().as_bytes();
        let mut out = Vec::with_capacity(HEAD + path.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.object_size.to_le_bytes());
        out.extend_from_slice(&self.modified_ms.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&(self.data.len() as u64).to_le_bytes());
        out.extend_from_slice(path);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[CHECKED..]), &self.data);
        out[CHECKED - 4..CHECKED].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The entry of `key`, if that is what `bytes` are.
    pub(super) fn parse(bytes: &Bytes, key: &Key) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (crc, checked) = rest.split_first_chunk::<4>()?;
        if magic != MAGIC || crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (path_len, rest) = checked.split_first_chunk::<4>()?;
        let (object_size, rest) = rest.split_first_chunk::<8>()?;
        let (modified_ms, rest) = rest.split_first_chunk::<8>()?;
        let (start, rest) = rest.split_first_chunk::<8>()?;
        let (data_len, rest) = rest.split_first_chunk::<8>()?;
        let path_len = usize::try_from(u32::from_le_bytes(*path_len)).ok()?;
        let (path, data) = rest.split_at_checked(path_len)?;
        let is_its = path == key.path.as_ref().as_bytes()
            && u64::from_le_bytes(*start) == key.range.start
            && u64::from_le_bytes(*data_len) == key.len()
            && data.len() as u64 == key.len();
        is_its.then(|| Self {
            start: key.range.start,
            path: key.path.clone(),
            object_size: u64::from_le_bytes(*object_size),
            modified_ms: i64::from_le_bytes(*modified_ms),
            data: bytes.slice_ref(data),
        })
    }
}
