//! Which partitions readers have to ask, as an ingester says it in the metadata of its answers:
//!
//! ```text
//! skald-readable: 17:0-2,5        version of its view, partitions
//! ```
//!
//! A reader whose view is older and has fewer would miss what is in the others.

use std::fmt::Write;

use skald_model::ErrorKind;
use tonic::Response;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::RpcError;

const KEY: &str = "skald-readable";
/// More partitions than any cluster has.
const MAX_PARTITIONS: usize = 1 << 16;

/// The partitions that are read in a view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// 0 = nothing is known.
    pub view_version: u64,
    /// Sorted.
    pub partitions: Vec<u32>,
}

// === impl Readable ===

impl Readable {
    /// Says so in the metadata of an answer.
    pub(crate) fn with<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        // Digits and punctuation always are a value.
        if self.view_version > 0
            && let Ok(value) = MetadataValue::try_from(self.text())
        {
            response.metadata_mut().insert(KEY, value);
        }
        response
    }

    /// What an answer says; nothing if it is of an older ingester.
    pub(crate) fn of(metadata: &MetadataMap) -> Result<Self, RpcError> {
        let Some(value) = metadata.get(KEY) else { return Ok(Self::default()) };
        let text = value.to_str().ok();
        let malformed = || RpcError::new(ErrorKind::Corrupt, format!("malformed {KEY}"));
        text.and_then(Self::parse).ok_or_else(malformed)
    }

    fn text(&self) -> String {
        let mut text = format!("{}:", self.view_version);
        let mut rest = self.partitions.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| Some(*next) == last.checked_add(1)) {
                last = next;
            }
            // Writing to a string cannot fail.
            let _ = match first == last {
                true => write!(text, "{comma}{first}"),
                false => write!(text, "{comma}{first}-{last}"),
            };
            comma = ",";
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, ranges) = text.split_once(':')?;
        let mut partitions = Vec::new();
        for range in ranges.split(',').filter(|r| !r.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            let n = usize::try_from(last.checked_sub(first)?).ok()?;
            if n >= MAX_PARTITIONS - partitions.len() {
                return None;
            }
            partitions.extend(first..=last);
        }
        Some(Self { view_version: version.parse().ok()?, partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for (partitions, text) in [
            (vec![], "17:"),
            (vec![4], "17:4"),
            (vec![0, 1, 2, 5], "17:0-2,5"),
            (vec![7, u32::MAX - 1, u32::MAX], "17:7,4294967294-4294967295"),
        ] {
            let readable = Readable { view_version: 17, partitions };
            let response = readable.with(());
            assert_eq!(response.metadata().get(KEY).unwrap(), text);
            assert_eq!(Readable::of(response.metadata()).unwrap(), readable);
        }
        assert_eq!(Readable::of(&MetadataMap::new()).unwrap(), Readable::default());
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_takes_no_memory() {
        for bad in ["", "x:1", "1", "1:x", "1:3-2", "1:0-4294967295", "1:0-65000,0-65000", "1:1-"] {
            assert_eq!(Readable::parse(bad), None, "{bad}");
        }
    }
}
