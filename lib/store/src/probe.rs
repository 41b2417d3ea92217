//! Finds out at start whether a store can do what the system rests on.
//!
//! The manifest log is only as good as create-if-absent: a store that ignores the condition would
//! let two writers both win the same number. So it is tried, not believed.

use std::io::ErrorKind;

use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use skald_runtime::Rng;

/// How a store of files signs its errors.
const LOCAL: &str = "LocalFileSystem";

/// What a store lacks, or why that could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the store lacks {0}, which Skald cannot do without")]
    Lacks(&'static str),
    #[error("the store failed to {step}")]
    Failed {
        step: &'static str,
        #[source]
        source: Error,
    },
}

impl ProbeError {
    /// Whether the store may answer otherwise later: it was not reached, had no time or no room. A directory of
    /// this machine that cannot be written to stays so until somebody does something about it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { source: Error::Generic { store: LOCAL, source }, .. } => {
                io_kind(source.as_ref()).is_some_and(passes)
            }
            Self::Failed { source: Error::Generic { .. } | Error::JoinError { .. }, .. } => true,
            _ => false,
        }
    }
}

/// What the first error of a file below `error` says.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let chain = std::iter::successors(Some(error), |e| e.source());
    chain.filter_map(|e| e.downcast_ref::<std::io::Error>()).map(std::io::Error::kind).next()
}

fn passes(kind: ErrorKind) -> bool {
    use ErrorKind::{Interrupted, QuotaExceeded, ResourceBusy, StorageFull, TimedOut, WouldBlock};
    matches!(kind, StorageFull | QuotaExceeded | TimedOut | Interrupted | ResourceBusy | WouldBlock)
}

/// Creates a small object under `probe/`, fails to create it again, reads it back and deletes it.
pub async fn probe(store: &dyn ObjectStore) -> Result<(), ProbeError> {
    let key = Path::from(format!("probe/{:032x}", Rng::from_entropy().next_u128()));
    let outcome = try_out(store, &key).await;
    // Whatever happened, leave nothing behind; its own failure matters only after success.
    let deleted = store.delete(&key).await;
    outcome?;
    deleted.map_err(|source| ProbeError::Failed { step: "delete the probe object", source })?;
    match store.head(&key).await {
        Err(Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(ProbeError::Failed { step: "look for the deleted probe", source }),
        Ok(_) => Err(ProbeError::Lacks("deletes that are visible at once")),
    }
}

async fn try_out(store: &dyn ObjectStore, key: &Path) -> Result<(), ProbeError> {
    let failed = |step| move |source| ProbeError::Failed { step, source };
    match store.put_opts(key, "first".into(), create()).await {
        Ok(_) => {}
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
            return Err(ProbeError::Lacks("create-if-absent"));
        }
        // Our own put may have landed and been retried inside the client.
        Err(Error::AlreadyExists { .. }) => {}
        Err(source) => return Err(failed("create an object")(source)),
    }
    match store.put_opts(key, "other".into(), create()).await {
        Err(Error::AlreadyExists { .. }) => {}
        Ok(_) => return Err(ProbeError::Lacks("create-if-absent: it overwrote an object")),
        Err(source) => return Err(failed("refuse to create an object twice")(source)),
    }
    let whole = store.get(key).await.map_err(failed("read an object"))?;
    if whole.bytes().await.map_err(failed("read an object"))? != "first" {
        return Err(ProbeError::Lacks("reads that see the last write"));
    }
    let ranged = GetOptions::new().with_range(Some(1..3));
    let part = store.get_opts(key, ranged).await.map_err(failed("read a range"))?;
    if part.bytes().await.map_err(failed("read a range"))? != "ir" {
        return Err(ProbeError::Lacks("ranged reads"));
    }
    let listed = store.list_with_delimiter(Some(&Path::from("probe"))).await;
    if !listed.map_err(failed("list"))?.objects.iter().any(|o| o.location == *key) {
        return Err(ProbeError::Lacks("listings that show the last write"));
    }
    Ok(())
}

fn create() -> PutOptions {
    PutOptions::from(PutMode::Create)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::TryStreamExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::faulty::{Fault, FaultyStore, Op};

    #[tokio::test]
    async fn a_good_store_passes_and_is_left_empty() {
        let store = InMemory::new();
        probe(&store).await.unwrap();
        let left: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert!(left.is_empty());
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_condition_is_refused_by_name() {
        let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
        store.always(Op::Put, Fault::IgnoreCondition);
        let err = probe(&store).await.unwrap_err();
        assert!(err.to_string().contains("create-if-absent"), "{err}");
    }

    #[tokio::test]
    async fn a_stale_listing_is_refused_by_name() {
        let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
        store.always(Op::List, Fault::StaleList);
        let err = probe(&store).await.unwrap_err();
        assert!(err.to_string().contains("listings"), "{err}");
    }

    #[tokio::test]
    async fn an_unreachable_store_names_the_step() {
        let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
        store.always(Op::Put, Fault::ErrorBefore);
        let err = probe(&store).await.unwrap_err();
        assert!(err.to_string().contains("create an object"), "{err}");
        assert!(err.is_transient());
    }

    #[tokio::test]
    async fn a_bad_directory_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        // Where the probe would make a directory.
        std::fs::write(dir.path().join("probe"), "in the way").unwrap();
        let url = format!("file://{}", dir.path().display());
        let store = crate::open(&url, &crate::Options::default()).unwrap();
        let err = probe(&*store).await.unwrap_err();
        assert!(!err.is_transient(), "{err:?}");
        assert!(format!("{err:?}").contains("NotADirectory"), "{err:?}");
    }

    #[test]
    fn a_local_directory_is_waited_for_only_while_it_lacks_room() {
        let failed = |kind: ErrorKind| {
            let source = Error::Generic { store: LOCAL, source: std::io::Error::from(kind).into() };
            ProbeError::Failed { step: "create an object", source }
        };
        for bad in [
            ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::AlreadyExists,
            ErrorKind::NotFound,
            ErrorKind::Other,
        ] {
            assert!(!failed(bad).is_transient(), "{bad}");
        }
        assert!(failed(ErrorKind::StorageFull).is_transient());
    }
}
