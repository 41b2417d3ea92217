//! The two labels of a series that say which server it came from.

use skald_limits::Limits;

/// Names of the labels of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) replica: &'a str,
}

/// Looks for the two labels while a series' labels are walked over.
#[derive(Debug)]
pub(crate) struct Search<'n, 'v> {
    names: Names<'n>,
    cluster: Option<&'v [u8]>,
    replica: Option<&'v [u8]>,
    /// One of them stands there twice, which is refused later on.
    is_ambiguous: bool,
}

// === impl Names ===

impl<'n> Names<'n> {
    pub(crate) fn of(limits: &'n Limits) -> Self {
        Self { cluster: &limits.ha_cluster_label, replica: &limits.ha_replica_label }
    }

    pub(crate) fn search<'v>(self) -> Search<'n, 'v> {
        Search { names: self, cluster: None, replica: None, is_ambiguous: false }
    }

    /// Removes the replica label if the series has both.
    pub(crate) fn strip(self, pairs: &mut Vec<(&str, &str)>) {
        let mut search = self.search();
        for (name, value) in pairs.iter() {
            search.see(name.as_bytes(), value.as_bytes());
        }
        if search.found().is_some() {
            pairs.retain(|(name, _)| *name != self.replica);
        }
    }
}

// === impl Search ===

impl<'v> Search<'_, 'v> {
    #[inline]
    pub(crate) fn see(&mut self, name: &[u8], value: &'v [u8]) {
        let place = if name == self.names.cluster.as_bytes() {
            &mut self.cluster
        } else if name == self.names.replica.as_bytes() {
            &mut self.replica
        } else {
            return;
        };
        // An empty value is no label.
        if !value.is_empty() {
            self.is_ambiguous |= place.is_some();
            *place = Some(value);
        }
    }

    /// Cluster and replica, if the series has both.
    pub(crate) fn found(&self) -> Option<(&'v str, &'v str)> {
        if self.is_ambiguous {
            return None;
        }
        let text = |bytes: &'v [u8]| std::str::from_utf8(bytes).ok();
        Some((text(self.cluster?)?, text(self.replica?)?))
    }
}
