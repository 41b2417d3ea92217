//! The frame around every object of the catalog. docs/formats/manifest.md
//!
//! ```text
//! magic "SKMF" | version u8 = 1 | kind u8 | 0 u8*2 | length u32 | message | crc32c u32
//! ```
//!
//! Little endian; the checksum covers everything before it. Kind: 1 commit, 2 checkpoint, 3 hint.

use bytes::{BufMut, Bytes, BytesMut};
use object_store::path::Path;
use prost::Message;
use skald_proto::catalog::{Checkpoint, Commit, DeleteRequest, Signal};

use crate::Error;

const MAGIC: [u8; 4] = *b"SKMF";
const VERSION: u8 = 1;
/// Messages have this version, and a later one if they have requests to delete: readers from before
/// those would show what is deleted, and lose the requests with the next checkpoint, or take those for
/// samples for such for lines.
const PLAIN: u32 = 1;
const WITH_DELETES: u32 = 2;
const WITH_DELETES_OF_SAMPLES: u32 = 3;
const HEAD: usize = 12;
const TRAILER: usize = 4;

/// Largest commit that is written or read.
pub(crate) const MAX_COMMIT: usize = 16 << 20;
/// Largest checkpoint that is written or read.
pub(crate) const MAX_CHECKPOINT: usize = 512 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit = 1,
    Checkpoint = 2,
    Hint = 3,
}

/// Where reading may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) checkpoint: u64,
}

/// Bytes that the frame adds.
pub(crate) const OVERHEAD: usize = HEAD + TRAILER;

// === impl Kind ===

impl Kind {
    pub(crate) fn max_size(self) -> usize {
        match self {
            Self::Commit => MAX_COMMIT + OVERHEAD,
            Self::Checkpoint => MAX_CHECKPOINT + OVERHEAD,
            Self::Hint => 8 + OVERHEAD,
        }
    }
}

fn wrap(kind: Kind, size: usize, put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(size + OVERHEAD);
    out.put_slice(&MAGIC);
    out.put_slice(&[VERSION, kind as u8, 0, 0]);
    out.put_u32_le(u32::try_from(size).unwrap_or(u32::MAX));
    put(&mut out);
    out.put_u32_le(crc32c::crc32c(&out));
    out.freeze()
}

/// The message in a frame.
fn unwrap(path: &Path, bytes: &Bytes, kind: Kind) -> Result<Bytes, Error> {
    let corrupt = |reason: &str| Error::corrupt(path, reason);
    let head = bytes.first_chunk::<HEAD>().ok_or_else(|| corrupt("too short"))?;
    if head[..4] != MAGIC {
        return Err(corrupt("wrong magic"));
    }
    let (body, crc) = bytes.split_last_chunk::<TRAILER>().ok_or_else(|| corrupt("too short"))?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(corrupt("checksum does not match"));
    }
    if head[4] != VERSION {
        return Err(Error::Version { path: path.to_string(), version: head[4].into() });
    }
    if head[5] != kind as u8 {
        return Err(corrupt("holds something else"));
    }
    let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if body.len().checked_sub(HEAD).and_then(|n| u32::try_from(n).ok()) != Some(length) {
        return Err(corrupt("length does not match"));
    }
    Ok(bytes.slice(HEAD..body.len()))
}

pub(crate) fn encode_commit(commit: &Commit) -> Bytes {
    wrap(Kind::Commit, commit.encoded_len(), |out| commit.encode_raw(out))
}

pub(crate) fn decode_commit(path: &Path, bytes: &Bytes, number: u64) -> Result<Commit, Error> {
    let body = unwrap(path, bytes, Kind::Commit)?;
    let commit = Commit::decode(body).map_err(|e| Error::corrupt(path, e))?;
    check_version(path, commit.version)?;
    if commit.number != number {
        return Err(Error::corrupt(path, format!("says it is number {}", commit.number)));
    }
    if commit.commit_uuid.len() != 16 {
        return Err(Error::corrupt(path, "no uuid"));
    }
    let ids = commit.adds.iter().map(|b| &b.id).chain(&commit.removes);
    check_ids(path, ids)?;
    Ok(commit)
}

pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint) -> Bytes {
    wrap(Kind::Checkpoint, checkpoint.encoded_len(), |out| checkpoint.encode_raw(out))
}

pub(crate) fn decode_checkpoint(
    path: &Path,
    bytes: &Bytes,
    number: u64,
) -> Result<Checkpoint, Error> {
    let body = unwrap(path, bytes, Kind::Checkpoint)?;
    let checkpoint = Checkpoint::decode(body).map_err(|e| Error::corrupt(path, e))?;
    check_version(path, checkpoint.version)?;
    if checkpoint.number != number {
        return Err(Error::corrupt(path, format!("says it is number {}", checkpoint.number)));
    }
    let removed = checkpoint.removed.iter().map(|b| &b.id);
    check_ids(path, checkpoint.blocks.iter().map(|b| &b.id).chain(removed))?;
    Ok(checkpoint)
}

pub(crate) fn encode_hint(hint: Hint) -> Bytes {
    wrap(Kind::Hint, 8, |out| out.put_u64_le(hint.checkpoint))
}

pub(crate) fn decode_hint(path: &Path, bytes: &Bytes) -> Result<Hint, Error> {
    let body = unwrap(path, bytes, Kind::Hint)?;
    let number = body.first_chunk::<8>().ok_or_else(|| Error::corrupt(path, "too short"))?;
    Ok(Hint { checkpoint: u64::from_le_bytes(*number) })
}

/// The version of a message with these requests to delete; `forgets` some that others have.
pub(crate) fn version<'a>(
    mut deletes: impl Iterator<Item = &'a DeleteRequest> + Clone,
    forgets: bool,
) -> u32 {
    if deletes.clone().any(|d| d.signal() == Signal::Metrics) {
        WITH_DELETES_OF_SAMPLES
    } else if forgets || deletes.next().is_some() {
        WITH_DELETES
    } else {
        PLAIN
    }
}

fn check_version(path: &Path, version: u32) -> Result<(), Error> {
    if (PLAIN..=WITH_DELETES_OF_SAMPLES).contains(&version) {
        return Ok(());
    }
    Err(Error::Version { path: path.to_string(), version })
}

fn check_ids<'a>(path: &Path, mut ids: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    match ids.find(|id| !crate::path::is_block_id(id)) {
        Some(id) => {
            let id: String = id.chars().take(64).collect();
            Err(Error::corrupt(path, format!("{id:?} is not a block id")))
        }
        None => Ok(()),
    }
}
