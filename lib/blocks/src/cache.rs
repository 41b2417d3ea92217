//! The memory of footers: blocks never change, so what was read once stays true.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::object::Footer;

/// Footers with their page indexes, and stream directories, by object; least recently used go
/// first when `max_bytes` are exceeded. Share one per process.
#[derive(Debug)]
pub struct FooterCache {
    max_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Footer,
    Directory,
}

#[derive(Clone, Debug)]
enum Value {
    Footer(Arc<Footer>),
    Directory(Bytes),
}

type Key = (Arc<str>, Part);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    size: usize,
    used: u64,
}

// === impl FooterCache ===

impl FooterCache {
    /// An empty cache that holds about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, inner: Mutex::default() }
    }

    /// Bytes held now.
    pub fn size_bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    pub(crate) fn footer(&self, path: &str) -> Option<Arc<Footer>> {
        match self.get(path, Part::Footer)? {
            Value::Footer(footer) => Some(footer),
            Value::Directory(_) => None,
        }
    }

    pub(crate) fn directory(&self, path: &str) -> Option<Bytes> {
        match self.get(path, Part::Directory)? {
            Value::Directory(bytes) => Some(bytes),
            Value::Footer(_) => None,
        }
    }

    pub(crate) fn put_footer(&self, path: &str, footer: Arc<Footer>) {
        let size = footer.size_bytes();
        self.put((path.into(), Part::Footer), Value::Footer(footer), size);
    }

    pub(crate) fn put_directory(&self, path: &str, bytes: Bytes) {
        let size = bytes.len();
        self.put((path.into(), Part::Directory), Value::Directory(bytes), size);
    }

    fn get(&self, path: &str, part: Part) -> Option<Value> {
        let key: Key = (path.into(), part);
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.clock += 1;
        let entry = inner.entries.get_mut(&key)?;
        inner.by_age.remove(&entry.used);
        entry.used = inner.clock;
        inner.by_age.insert(inner.clock, key);
        Some(entry.value.clone())
    }

    fn put(&self, key: Key, value: Value, size: usize) {
        let size = size + key.0.len() + size_of::<Entry>();
        if size > self.max_bytes {
            return;
        }
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.remove(&key);
        inner.clock += 1;
        inner.by_age.insert(inner.clock, key.clone());
        inner.entries.insert(key, Entry { value, size, used: inner.clock });
        inner.bytes += size;
        while inner.bytes > self.max_bytes
            && let Some((_, oldest)) = inner.by_age.pop_first()
        {
            inner.remove(&oldest);
        }
    }
}

// === impl Inner ===

impl Inner {
    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.by_age.remove(&old.used);
            self.bytes -= old.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_when_the_bound_is_reached() {
        let cache = FooterCache::new(4000);
        for name in ["a", "b", "c"] {
            cache.put_directory(name, Bytes::from(vec![0; 1000]));
        }
        assert!(cache.directory("a").is_some());
        cache.put_directory("d", Bytes::from(vec![0; 1000]));
        assert!(cache.directory("a").is_some());
        assert!(cache.directory("b").is_none());
        assert!(cache.size_bytes() <= 4000);
        cache.put_directory("huge", Bytes::from(vec![0; 5000]));
        assert!(cache.directory("huge").is_none() && cache.directory("a").is_some());
    }
}
