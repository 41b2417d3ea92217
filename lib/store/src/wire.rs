//! What client and server of `skald.storage.v1` share: bounds, frames, object metadata.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, PutPayload, Result};
use skald_proto::storage as pb;

use crate::error::Reason;

/// The protocol version that this code speaks.
pub(crate) const PROTOCOL: u32 = 1;
/// The most bytes of a data frame.
pub(crate) const FRAME_BYTES: usize = 1 << 20;
/// The most bytes of a message: a frame, or a batch of keys, with its envelope.
pub(crate) const MESSAGE_BYTES: usize = FRAME_BYTES + (1 << 20);
/// The most bytes of a key, as on S3.
pub(crate) const KEY_BYTES: usize = 1024;
/// The most keys of one delete, and of one list message.
pub(crate) const BATCH: usize = 1000;
pub(crate) const DELIMITER: &str = "/";

/// Cuts a payload into frames without copying.
pub(crate) fn frames(data: PutPayload) -> impl Iterator<Item = Bytes> + Send {
    data.into_iter().flat_map(|mut chunk| {
        std::iter::from_fn(move || {
            (!chunk.is_empty()).then(|| chunk.split_to(chunk.len().min(FRAME_BYTES)))
        })
    })
}

/// The trailer that closes a payload.
pub(crate) fn trailer(data: &PutPayload) -> pb::Trailer {
    let crc32c = data.iter().fold(0, |crc, chunk| crc32c::crc32c_append(crc, chunk));
    pb::Trailer { size: length(data), crc32c }
}

pub(crate) fn length(data: &PutPayload) -> u64 {
    u64::try_from(data.content_length()).unwrap_or(u64::MAX)
}

pub(crate) fn meta_to_wire(meta: &ObjectMeta) -> pb::ObjectMeta {
    pb::ObjectMeta {
        key: meta.location.to_string(),
        size: meta.size,
        last_modified_ms: meta.last_modified.timestamp_millis(),
        etag: meta.e_tag.clone().unwrap_or_default(),
        version: meta.version.clone().unwrap_or_default(),
    }
}

pub(crate) fn meta_from_wire(meta: pb::ObjectMeta) -> Result<ObjectMeta> {
    let since_epoch = Duration::from_millis(meta.last_modified_ms.unsigned_abs());
    let time = if meta.last_modified_ms < 0 {
        UNIX_EPOCH.checked_sub(since_epoch)
    } else {
        UNIX_EPOCH.checked_add(since_epoch)
    };
    // chrono's conversion panics past its range, some 262,000 years.
    let in_range = meta.last_modified_ms.unsigned_abs() < 1 << 52;
    let time = time
        .filter(|_| in_range)
        .ok_or_else(|| Reason::Corrupt.into_error(&meta.key, "last_modified is not a time"))?;
    Ok(ObjectMeta {
        location: parse_key(&meta.key)?,
        last_modified: time.into(),
        size: meta.size,
        e_tag: some(meta.etag),
        version: some(meta.version),
    })
}

/// A key from the wire, taken literally.
pub(crate) fn parse_key(key: &str) -> Result<Path> {
    if key.is_empty() || key.len() > KEY_BYTES {
        return Err(Reason::InvalidKey.into_error(key, "empty or longer than 1024 bytes"));
    }
    let path = Path::parse(key)?;
    if path.as_ref() == key { Ok(path) } else { Err(Reason::InvalidKey.into_error(key, "slashes")) }
}

/// The wire's "" stands for absent.
pub(crate) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_all_bytes_in_pieces_of_at_most_one_mebibyte() {
        let chunks = [Bytes::from(vec![1; FRAME_BYTES * 2 + 1]), Bytes::new(), Bytes::from("ab")];
        let payload: PutPayload = chunks.into_iter().collect();
        let lengths: Vec<_> = frames(payload).map(|f| f.len()).collect();
        assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, 1, 2]);
    }

    #[test]
    fn keys_are_taken_literally_or_refused() {
        for good in ["a", "a/b c/ä", "t/x/%2E"] {
            assert_eq!(parse_key(good).unwrap().as_ref(), good);
        }
        let long = "x".repeat(1025);
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", &long] {
            assert_eq!(Reason::of(&parse_key(bad).unwrap_err()), Some(Reason::InvalidKey), "{bad}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_corrupt_and_one_before_the_epoch_is_not() {
        let at =
            |ms| pb::ObjectMeta { key: "k".into(), last_modified_ms: ms, ..Default::default() };
        assert_eq!(meta_from_wire(at(-5)).unwrap().last_modified.timestamp_millis(), -5);
        for ms in [i64::MIN, i64::MAX] {
            assert_eq!(Reason::of(&meta_from_wire(at(ms)).unwrap_err()), Some(Reason::Corrupt));
        }
    }
}
