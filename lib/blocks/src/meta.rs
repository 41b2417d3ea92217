//! The identity of a block and what the catalog knows about it.

use std::fmt;
use std::sync::Arc;

use arrow_schema::Schema;
use bytes::Bytes;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use skald_model::{Signal, TenantId};

use crate::columns::Plan;
use crate::integrity;
use crate::object::{KEY_FORMAT, KEY_VERSION, format_name};
use crate::{Error, WriterOptions};

/// Newest version of the blocks of a signal that this release reads.
pub const fn newest_version(signal: Signal) -> u32 {
    match signal {
        Signal::Metrics => 3,
        Signal::Logs => 2,
    }
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: usize = 26;

/// A ULID: 48 bits of milliseconds and 80 random bits in 26 characters that sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId([u8; LEN]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a block id")]
pub struct InvalidBlockId(String);

/// What a reader must know of a block before opening it; stored in the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMeta {
    pub id: BlockId,
    pub signal: Signal,
    /// Smallest timestamp, inclusive: milliseconds for metrics, nanoseconds for logs.
    pub min_time: i64,
    /// Largest timestamp, inclusive.
    pub max_time: i64,
    /// Series or streams.
    pub n_series: u64,
    /// Samples or lines.
    pub n_rows: u64,
    /// Length of the object.
    pub size_bytes: u64,
    /// Checksum of the whole object.
    pub crc32c: u32,
    /// How many compactions it went through.
    pub level: u32,
    pub format_version: u32,
    /// Replicas or blocks it was made of.
    pub sources: Vec<String>,
}

/// A finished block, ready to be stored.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub bytes: Bytes,
    pub meta: BlockMeta,
}

/// The object of a block: `t/<tenant>/b/<ulid>/data.parquet`.
pub fn path(tenant: &TenantId, id: BlockId) -> Path {
    Path::from(format!("t/{}/b/{id}/data.parquet", tenant.as_str()))
}

/// What both writers know when all rows are written.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) signal: Signal,
    /// Of the format of its signal.
    pub(crate) version: u32,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) n_series: u64,
    pub(crate) n_rows: u64,
}

// === impl Header ===

impl Header {
    /// Writes the footer and describes the result.
    pub(crate) fn seal(
        self,
        mut writer: ArrowWriter<Vec<u8>>,
        plan: &Plan,
        sorted_by: &str,
        opts: &WriterOptions,
    ) -> Result<Encoded, Error> {
        let labels: Vec<&str> = plan.names().iter().map(|n| &**n).collect();
        for (key, value) in [
            (KEY_FORMAT, format_name(self.signal).to_owned()),
            (KEY_VERSION, self.version.to_string()),
            ("skald.id", opts.id.to_string()),
            ("skald.level", opts.level.to_string()),
            ("skald.min_time", self.min_time.to_string()),
            ("skald.max_time", self.max_time.to_string()),
            ("skald.n_series", self.n_series.to_string()),
            ("skald.n_rows", self.n_rows.to_string()),
            ("skald.labels", format!("{labels:?}")),
            ("skald.sorted_by", sorted_by.to_owned()),
        ] {
            put_key(&mut writer, key, value);
        }
        writer.flush()?;
        let internal = |e: std::io::Error| Error::Internal(e.to_string());
        writer.sync().map_err(internal)?;
        let data_len = writer.inner().len();
        let sums = integrity::stripe_sums(writer.inner());
        writer.write_all(&sums).map_err(internal)?;
        put_key(&mut writer, integrity::KEY_TAIL, integrity::unsealed(data_len));
        let mut bytes = writer.into_inner()?;
        integrity::seal(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        let meta = BlockMeta {
            id: opts.id,
            signal: self.signal,
            min_time: self.min_time,
            max_time: self.max_time,
            n_series: self.n_series,
            n_rows: self.n_rows,
            size_bytes: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
            level: opts.level,
            format_version: self.version,
            sources: opts.sources.clone(),
        };
        Ok(Encoded { bytes, meta })
    }
}

/// A writer into memory; the arrow schema is left out of the footer, Parquet's own says it all.
pub(crate) fn writer(
    schema: &Arc<Schema>,
    properties: WriterProperties,
) -> Result<ArrowWriter<Vec<u8>>, Error> {
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    Ok(ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?)
}

/// Adds a pair to the footer.
pub(crate) fn put_key(writer: &mut ArrowWriter<Vec<u8>>, key: &str, value: String) {
    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
}

// === impl BlockId ===

impl BlockId {
    /// Makes an id from the time and 80 bits of `random`.
    pub fn new(now_ms: i64, random: u128) -> Self {
        let millis = u128::from(now_ms.max(0).unsigned_abs()) & ((1 << 48) - 1);
        Self::from_u128(millis << 80 | (random & ((1 << 80) - 1)))
    }

    fn from_u128(value: u128) -> Self {
        let mut text = [0; LEN];
        for (i, c) in text.iter_mut().rev().enumerate() {
            *c = ALPHABET[((value >> (5 * i)) & 31) as usize];
        }
        Self(text)
    }

    /// Reads the 26 characters, upper case only.
    pub fn parse(text: &str) -> Result<Self, InvalidBlockId> {
        let invalid = || InvalidBlockId(text.chars().take(64).collect());
        let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| invalid())?;
        let known = bytes.iter().all(|c| ALPHABET.contains(c));
        if !known || bytes[0] > b'7' {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        // Only characters of the alphabet ever get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The time in the id.
    pub fn timestamp_ms(&self) -> i64 {
        let digit = |c: &u8| ALPHABET.iter().position(|a| a == c).unwrap_or(0) as i64;
        self.0[..10].iter().fold(0, |acc, c| acc << 5 | digit(c))
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_carry_it() {
        let a = BlockId::new(1_700_000_000_000, 7);
        let b = BlockId::new(1_700_000_000_001, 3);
        assert!(a < b && a.as_str() < b.as_str());
        assert_eq!(a.timestamp_ms(), 1_700_000_000_000);
        assert_eq!(BlockId::parse(a.as_str()), Ok(a));
        assert_eq!(BlockId::new(i64::MAX, u128::MAX).as_str().len(), 26);
    }

    #[test]
    fn refuses_what_is_no_ulid() {
        for text in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "../../../../../../../../aa",
        ] {
            assert!(BlockId::parse(text).is_err(), "{text}");
        }
        assert!(BlockId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").is_ok());
    }

    #[test]
    fn the_path_is_built_from_tenant_and_id() {
        let id = BlockId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let tenant = TenantId::parse("team-1").unwrap();
        assert_eq!(
            path(&tenant, id).as_ref(),
            "t/team-1/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/data.parquet"
        );
    }
}
