//! How much of a disk the cache may take.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skald_runtime::ByteSize;

use super::Bounds;

/// Most that `auto` takes.
const AUTO_MOST: u64 = 10 << 30;
/// `auto` takes so much of the free space, a tenth.
const AUTO_SHARE: u64 = 10;
/// Where the free space is unknown.
const AUTO_BLIND: u64 = 1 << 30;

/// Most files that may be asked for: one and a half gigabytes of memory.
const MOST_FILES: usize = 10_000_000;

/// `cache.disk_files` is more than memory is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("disk_files must be at most {MOST_FILES}, is {0}: each takes some 150 bytes of memory")]
pub struct TooManyFiles(usize);

/// The cache of blocks on the local disk, in `<data_dir>/cache`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Disk for ranges of blocks that queriers read, so that a restart need not ask the object store again; 0 = none. Default auto: none with `file://` and `memory://`, else 10GiB or a tenth of what is free at the start, whichever is less.
    pub disk_size: DiskSize,
    /// Files there at most, one for each range; each takes some 150 bytes of memory; at most 10000000. Default 100000.
    pub disk_files: usize,
}

/// A size, or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskSize {
    #[default]
    Auto,
    Of(ByteSize),
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { disk_size: DiskSize::Auto, disk_files: 100_000 }
    }
}

impl Config {
    /// Checks what the types do not.
    pub fn validate(&self) -> Result<(), TooManyFiles> {
        if self.disk_files > MOST_FILES { Err(TooManyFiles(self.disk_files)) } else { Ok(()) }
    }

    /// What may be kept of the store at `url`; `None` if nothing. `free` is asked only when it counts.
    pub fn bounds(&self, url: &str, free: impl FnOnce() -> Option<u64>) -> Option<Bounds> {
        let bytes = match self.disk_size {
            DiskSize::Of(size) => size.0,
            DiskSize::Auto if url.starts_with("file://") || url.starts_with("memory://") => 0,
            DiskSize::Auto => free().map_or(AUTO_BLIND, |free| (free / AUTO_SHARE).min(AUTO_MOST)),
        };
        (bytes > 0 && self.disk_files > 0).then_some(Bounds { bytes, files: self.disk_files })
    }
}

// === impl DiskSize ===

impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(size) => size.fmt(f),
        }
    }
}

impl Serialize for DiskSize {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DiskSize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = DiskSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 10GiB, or auto")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DiskSize, E> {
                match text {
                    "auto" => Ok(DiskSize::Auto),
                    size => size.parse().map(DiskSize::Of).map_err(E::custom),
                }
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<DiskSize, E> {
                Ok(DiskSize::Of(ByteSize(n)))
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<DiskSize, E> {
                u64::try_from(n).map(|n| DiskSize::Of(ByteSize(n))).map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(size: &str) -> Result<Config, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"disk_size":{size}}}"#))
    }

    #[test]
    fn files_are_bounded() {
        assert_eq!(Config::default().validate(), Ok(()));
        let config = Config { disk_files: MOST_FILES + 1, ..Config::default() };
        let refused = config.validate().unwrap_err().to_string();
        assert!(
            refused.starts_with("disk_files must be at most 10000000, is 10000001"),
            "{refused}"
        );
    }

    #[test]
    fn sizes_are_bytes_or_auto() {
        assert_eq!(read(r#""auto""#).unwrap(), Config::default());
        assert_eq!(read(r#""2GiB""#).unwrap().disk_size, DiskSize::Of(ByteSize(2 << 30)));
        assert_eq!(read("0").unwrap().disk_size, DiskSize::Of(ByteSize(0)));
        assert!(read(r#""much""#).is_err());
        let json = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), Config::default());
    }

    #[test]
    fn auto_is_for_stores_that_are_far_away_and_leaves_room() {
        let auto = Config::default();
        let bytes = |url, free| auto.bounds(url, || free).map(|b| b.bytes);
        for url in ["file:///store", "memory://"] {
            assert_eq!(bytes(url, Some(u64::MAX)), None, "{url}");
        }
        assert_eq!(bytes("s3://b", Some(1 << 50)), Some(10 << 30));
        assert_eq!(bytes("grpc://h:1", Some(1000 << 20)), Some(100 << 20));
        assert_eq!(bytes("s3://b", None), Some(1 << 30));
        assert_eq!(bytes("s3://b", Some(0)), None);
        let set = Config { disk_size: DiskSize::Of(ByteSize(5)), ..Config::default() };
        assert_eq!(set.bounds("file:///store", || None).map(|b| b.bytes), Some(5));
        let off = Config { disk_files: 0, ..set };
        assert_eq!(off.bounds("s3://b", || None), None);
    }
}
