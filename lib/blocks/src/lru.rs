//! A map that is bounded by bytes: least recently used entries go first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use parking_lot::Mutex;

/// Shared by everybody; values are cheap to clone.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    max_bytes: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    entries: HashMap<K, Entry<V>>,
    by_age: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    size: usize,
    used: u64,
}

// === impl Lru ===

impl<K: Clone + Eq + Hash, V: Clone> Lru<K, V> {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let inner = Inner { entries: HashMap::new(), by_age: BTreeMap::new(), clock: 0, bytes: 0 };
        Self { max_bytes, inner: Mutex::new(inner) }
    }

    /// Bytes held now.
    pub(crate) fn size_bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.clock += 1;
        let entry = inner.entries.get_mut(key)?;
        let key = inner.by_age.remove(&entry.used)?;
        entry.used = inner.clock;
        inner.by_age.insert(inner.clock, key);
        Some(entry.value.clone())
    }

    /// Keeps `value`, which takes `size` bytes; one larger than the bound is not kept.
    pub(crate) fn put(&self, key: K, value: V, size: usize) {
        let size = size.saturating_add(2 * size_of::<K>() + size_of::<Entry<V>>());
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

impl<K: Eq + Hash, V> Inner<K, V> {
    fn remove(&mut self, key: &K) {
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
        let cache: Lru<&str, u8> = Lru::new(4000);
        for name in ["a", "b", "c"] {
            cache.put(name, 1, 1000);
        }
        assert!(cache.get(&"a").is_some());
        cache.put("d", 1, 1000);
        assert!(cache.get(&"a").is_some());
        assert!(cache.get(&"b").is_none());
        assert!(cache.size_bytes() <= 4000);
        cache.put("huge", 1, 5000);
        assert!(cache.get(&"huge").is_none() && cache.get(&"a").is_some());
    }
}
