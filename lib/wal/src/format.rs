//! The bytes of segments, version 1. Everything is little endian. docs/formats/wal.md
//!
//! ```text
//! file    <first seq, 20 digits>.seg
//! header  magic "SKWL" | version u8 = 1 | 0 u8*3 | first seq u64 | directory uuid u8*16 | crc32c u32
//! record  len u32 | crc32c u32 | seq u64 | kind u8 | n u8 | tenant u8*n | payload
//! ```
//!
//! `len` counts what follows the checksum. A record's checksum starts from the checksum of the
//! directory's uuid and covers kind to payload, then seq, then len: so it can be computed before the
//! number is known. Numbers rise strictly within a file and from file to file; they may have gaps.

use skald_model::TenantId;

pub(crate) const MAGIC: [u8; 4] = *b"SKWL";
pub(crate) const VERSION: u8 = 1;
/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 36;
/// Bytes of a record before the tenant.
pub(crate) const RECORD_HEAD: usize = 18;
/// `len` and checksum.
const PREFIX: usize = 8;
/// Smallest possible `len`: seq, kind, n and a tenant of one byte.
const MIN_LEN: usize = 11;
/// No record is larger, whatever its `len` claims.
pub(crate) const MAX_RECORD: u64 = 256 << 20;

pub(crate) type Uuid = [u8; 16];

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) first_seq: u64,
    pub(crate) uuid: Uuid,
}

/// A record as it lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) seq: u64,
    pub(crate) kind: u8,
    pub(crate) tenant: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// A record starts here but does not end: this many bytes are needed.
    Short(usize),
    /// Not a length any writer writes.
    Length,
    /// A record of this many bytes does not have its checksum.
    Checksum(usize),
    /// The number does not rise.
    Sequence,
    Tenant,
}

pub(crate) fn segment_name(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// The first sequence number of a segment file.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// What the checksums of all records of a directory start from.
pub(crate) fn seed(uuid: &Uuid) -> u32 {
    crc32c::crc32c(uuid)
}

/// Bytes of a record in the file.
pub(crate) fn record_size(tenant: &TenantId, parts: &[&[u8]]) -> usize {
    RECORD_HEAD + tenant.as_str().len() + parts.iter().map(|p| p.len()).sum::<usize>()
}

/// The part of the checksum that does not depend on the sequence number.
pub(crate) fn body_crc(seed: u32, kind: u8, tenant: &TenantId, parts: &[&[u8]]) -> u32 {
    let tenant = tenant.as_str().as_bytes();
    let crc = crc32c::crc32c_append(seed, &[kind, tenant_len(tenant)]);
    let crc = crc32c::crc32c_append(crc, tenant);
    parts.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Appends a record; `size` is its [`record_size`], `body` its [`body_crc`].
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    (seq, size, body): (u64, usize, u32),
    kind: u8,
    tenant: &TenantId,
    parts: &[&[u8]],
) {
    out.reserve(size);
    put_head(out, (seq, size, body), kind, tenant);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends what stands before the payload of a record.
pub(crate) fn put_head(
    out: &mut Vec<u8>,
    (seq, size, body): (u64, usize, u32),
    kind: u8,
    tenant: &TenantId,
) {
    let tenant = tenant.as_str().as_bytes();
    let len = u32::try_from(size - PREFIX).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32c::crc32c_append(body, &seq.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &len);
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&[kind, tenant_len(tenant)]);
    out.extend_from_slice(tenant);
}

/// Tenant ids have at most 150 bytes.
fn tenant_len(tenant: &[u8]) -> u8 {
    u8::try_from(tenant.len()).unwrap_or(u8::MAX)
}

/// Reads the record at the start of `bytes`; answers it and its size.
pub(crate) fn parse_record(seed: u32, bytes: &[u8]) -> Result<(Frame<'_>, usize), Bad> {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Bad::Short(PREFIX));
    };
    let n = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Bad::Length)?;
    if n < MIN_LEN || n as u64 > MAX_RECORD {
        return Err(Bad::Length);
    }
    let size = n + PREFIX;
    let Some((crc, body)) = rest.split_first_chunk::<4>() else {
        return Err(Bad::Short(size));
    };
    let body = body.get(..n).ok_or(Bad::Short(size))?;
    let (seq, body) = body.split_first_chunk::<8>().ok_or(Bad::Length)?;
    let found = crc32c::crc32c_append(seed, body);
    let found = crc32c::crc32c_append(crc32c::crc32c_append(found, seq), len);
    if found != u32::from_le_bytes(*crc) {
        return Err(Bad::Checksum(size));
    }
    let frame = frame_of(&bytes[..size]).ok_or(Bad::Tenant)?;
    Ok((frame, size))
}

/// The fields of a record whose checksum has been checked.
pub(crate) fn frame_of(record: &[u8]) -> Option<Frame<'_>> {
    let (seq, rest) = record.get(PREFIX..)?.split_first_chunk::<8>()?;
    let ([kind, n_tenant], rest) = rest.split_first_chunk::<2>()?;
    let (tenant, payload) = rest.split_at_checked(usize::from(*n_tenant))?;
    Some(Frame { seq: u64::from_le_bytes(*seq), kind: *kind, tenant, payload })
}

// === impl Header ===

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.version;
        out[8..16].copy_from_slice(&self.first_seq.to_le_bytes());
        out[16..32].copy_from_slice(&self.uuid);
        let crc = crc32c::crc32c(&out[..32]);
        out[32..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if these are not the bytes of a header.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let (body, crc) = header.split_last_chunk::<4>()?;
        if body[..4] != MAGIC || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let first_seq = u64::from_le_bytes(*body[8..].first_chunk()?);
        Some(Self { version: body[4], first_seq, uuid: *body[16..].first_chunk()? })
    }
}
