//! What etcd answers, checked before it is believed: a listing in pages, and revisions.

use bytes::Bytes;
use skald_proto::public::etcd::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};

use crate::store::{Entry, MAX_VALUE, Snapshot, StoreError};

/// Most entries and bytes of one listing. A cluster has some hundred entries of some hundred bytes.
const MAX_ENTRIES: usize = 64 << 10;
const MAX_BYTES: usize = 64 << 20;

/// A listing of all keys below a prefix, page by page, all as of the revision of the first.
pub(super) struct Listing<'a> {
    prefix: &'a str,
    found: Snapshot,
    n_bytes: usize,
    is_complete: bool,
}

// === impl Listing ===

impl<'a> Listing<'a> {
    pub(super) fn new(prefix: &'a str) -> Self {
        Self { prefix, found: Snapshot::default(), n_bytes: 0, is_complete: false }
    }

    /// What to ask next, unless all is known.
    pub(super) fn next_page(&self, limit: usize) -> Option<RangeRequest> {
        if self.is_complete {
            return None;
        }
        let key = match self.found.entries.last() {
            // The smallest key that is larger.
            Some(last) => [last.key.as_bytes(), b"\0"].concat(),
            None if self.prefix.is_empty() => vec![0],
            None => self.prefix.as_bytes().to_vec(),
        };
        Some(RangeRequest {
            key: key.into(),
            end: range_end(self.prefix),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            revision: i64::try_from(self.found.revision).unwrap_or(i64::MAX),
        })
    }

    pub(super) fn add(&mut self, page: RangeResponse) -> Result<(), StoreError> {
        if self.found.revision == 0 {
            self.found.revision = revision(page.header)?;
        }
        if page.more && page.entries.is_empty() {
            return Err(corrupt("an empty page that is not the last"));
        }
        self.is_complete = !page.more;
        for entry in page.entries {
            let entry = self.believed(entry)?;
            self.n_bytes += entry.key.len() + entry.value.len();
            if self.found.entries.len() == MAX_ENTRIES || self.n_bytes > MAX_BYTES {
                let text = format!("more than {MAX_ENTRIES} keys or {MAX_BYTES} bytes");
                return Err(StoreError::Corrupt(format!("{}: {text}", self.prefix)));
            }
            self.found.entries.push(entry);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Snapshot {
        self.found
    }

    fn believed(&self, entry: KeyValue) -> Result<Entry, StoreError> {
        let key = std::str::from_utf8(&entry.key).map_err(|_| corrupt("a key that is no text"))?;
        if !key.starts_with(self.prefix) {
            return Err(corrupt("a key that was not asked for"));
        }
        if self.found.entries.last().is_some_and(|last| last.key.as_str() >= key) {
            return Err(corrupt("keys out of order"));
        }
        let of_key = |text| StoreError::Corrupt(format!("{}: {text}", key.escape_debug()));
        if entry.value.len() > MAX_VALUE {
            return Err(of_key(format!("{} bytes are more than {MAX_VALUE}", entry.value.len())));
        }
        let revision = u64::try_from(entry.mod_revision).ok().filter(|r| *r > 0);
        let revision = revision.ok_or_else(|| of_key("no revision".to_owned()))?;
        // A copy: the page's buffer goes.
        let value = Bytes::copy_from_slice(&entry.value);
        Ok(Entry { key: key.to_owned(), value, revision })
    }
}

/// The revision of the store in an answer. A store that nobody ever wrote has revision 1.
pub(super) fn revision(header: Option<ResponseHeader>) -> Result<u64, StoreError> {
    let revision = header.and_then(|h| u64::try_from(h.revision).ok()).filter(|r| *r > 0);
    revision.ok_or_else(|| corrupt("an answer without a revision"))
}

/// The first key that does not begin with `prefix`, as etcd wants it.
pub(super) fn range_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // UTF-8 has no byte 0xff.
        Some(last) => *last = last.saturating_add(1),
        // All keys.
        None => end.push(0),
    }
    end.into()
}

fn corrupt(text: &str) -> StoreError {
    StoreError::Corrupt(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &'static [u8], revision: i64, size: usize) -> KeyValue {
        let (key, value) = (Bytes::from_static(key), vec![b'v'; size].into());
        KeyValue { key, mod_revision: revision, value, lease: 0 }
    }

    fn page(entries: Vec<KeyValue>, more: bool) -> RangeResponse {
        RangeResponse { header: Some(ResponseHeader { revision: 9 }), entries, more }
    }

    #[test]
    fn pages_are_of_one_revision_and_follow_each_other() {
        let mut listing = Listing::new("/a/");
        let first = listing.next_page(1).unwrap();
        assert_eq!((&first.key[..], &first.end[..], first.revision), (&b"/a/"[..], &b"/a0"[..], 0));
        listing.add(page(vec![entry(b"/a/x", 7, 1)], true)).unwrap();
        let second = listing.next_page(1).unwrap();
        assert_eq!((&second.key[..], second.revision), (&b"/a/x\0"[..], 9));
        listing.add(page(vec![entry(b"/a/y", 8, 1)], false)).unwrap();
        assert_eq!(listing.next_page(1), None);
        let found = listing.finish();
        assert_eq!((found.revision, found.entries.len()), (9, 2));
    }

    #[test]
    fn all_keys_are_a_range_too() {
        let all = Listing::new("").next_page(5).unwrap();
        assert_eq!((&all.key[..], &all.end[..]), (&b"\0"[..], &b"\0"[..]));
    }

    #[test]
    fn nonsense_is_an_error() {
        let bad = [
            ("no text", page(vec![entry(b"/a/\xff", 1, 1)], false)),
            ("not asked for", page(vec![entry(b"/b", 1, 1)], false)),
            ("out of order", page(vec![entry(b"/a/y", 1, 1), entry(b"/a/x", 2, 1)], false)),
            ("out of order", page(vec![entry(b"/a/x", 1, 1), entry(b"/a/x", 2, 1)], false)),
            ("no revision", page(vec![entry(b"/a/x", 0, 1)], false)),
            ("no revision", page(vec![entry(b"/a/x", -1, 1)], false)),
            ("65537 bytes", page(vec![entry(b"/a/x", 1, MAX_VALUE + 1)], false)),
            ("empty page", page(Vec::new(), true)),
            ("without a revision", RangeResponse::default()),
        ];
        for (what, answer) in bad {
            let error = Listing::new("/a/").add(answer).unwrap_err();
            assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(what)), "{error}");
        }
    }

    #[test]
    fn a_listing_is_bounded() {
        let mut listing = Listing::new("");
        let full = |n: usize| {
            let key = format!("{n:08}").into();
            KeyValue { key, mod_revision: 1, value: vec![0; MAX_VALUE].into(), lease: 0 }
        };
        let added =
            (0..=MAX_BYTES / MAX_VALUE).try_for_each(|n| listing.add(page(vec![full(n)], true)));
        let error = added.unwrap_err().to_string();
        assert!(error.contains("more than 65536 keys or 67108864 bytes"), "{error}");
    }
}
