//! The few requests the catalog makes, bounded in size and in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use crate::Error;

/// One read in a long row of them should not make all of them start over.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// A store with a time limit for each request.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) timeout: Duration,
}

// === impl Objects ===

impl Objects {
    /// An object of at most `max` bytes; `None` if there is none. Tries a few times.
    pub(crate) async fn get(&self, path: &Path, max: usize) -> Result<Option<Bytes>, Error> {
        for pause in RETRY_PAUSES {
            match self.timed(path, self.get_untimed(path, max)).await {
                Err(e @ Error::Store { .. }) if e.is_transient() => {}
                other => return other,
            }
            tokio::time::sleep(pause).await;
        }
        self.timed(path, self.get_untimed(path, max)).await
    }

    async fn get_untimed(&self, path: &Path, max: usize) -> Result<Option<Bytes>, Error> {
        let found = match self.store.get_opts(path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other.map_err(|e| Error::store(path, e))?,
        };
        let too_large = || Error::corrupt(path, format!("larger than {max} bytes"));
        let size = usize::try_from(found.meta.size).map_err(|_| too_large())?;
        if size > max {
            return Err(too_large());
        }
        let mut parts = found.into_stream();
        let mut all = BytesMut::new();
        while let Some(part) = parts.try_next().await.map_err(|e| Error::store(path, e))? {
            if all.len() + part.len() > max {
                return Err(too_large());
            }
            if all.is_empty() && part.len() == size {
                return Ok(Some(part));
            }
            all.extend_from_slice(&part);
        }
        Ok(Some(all.freeze()))
    }

    /// Creates an object; an error does not mean that it is not there.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        self.put(path, bytes, PutMode::Create).await
    }

    pub(crate) async fn overwrite(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        self.put(path, bytes, PutMode::Overwrite).await
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(path, PutPayload::from_bytes(bytes), options);
        self.timed(path, async { put.await.map_err(|e| Error::store(path, e)) }).await?;
        Ok(())
    }

    pub(crate) async fn head(&self, path: &Path) -> Result<ObjectMeta, Error> {
        let head = self.store.head(path);
        self.timed(path, async { head.await.map_err(|e| Error::store(path, e)) }).await
    }

    /// All objects below `prefix`, behind `offset` if there is one.
    pub(crate) async fn list(
        &self,
        prefix: &Path,
        offset: Option<&Path>,
    ) -> Result<Vec<ObjectMeta>, Error> {
        let mut stream = match offset {
            Some(offset) => self.store.list_with_offset(Some(prefix), offset),
            None => self.store.list(Some(prefix)),
        };
        let mut found = Vec::new();
        while let Some(object) = self.timed(prefix, async { Ok(stream.next().await) }).await? {
            found.push(object.map_err(|e| Error::store(prefix, e))?);
        }
        Ok(found)
    }

    /// Deletes objects; those that are gone already count as deleted.
    pub(crate) async fn delete(&self, paths: Vec<Path>) -> Result<(), Error> {
        let Some(first) = paths.first().cloned() else {
            return Ok(());
        };
        let mut results = self.store.delete_stream(stream::iter(paths).map(Ok).boxed());
        while let Some(result) = self.timed(&first, async { Ok(results.next().await) }).await? {
            match result {
                Err(object_store::Error::NotFound { .. }) | Ok(_) => {}
                Err(e) => return Err(Error::store(&first, e)),
            }
        }
        Ok(())
    }

    async fn timed<T>(
        &self,
        path: &Path,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { path: path.to_string() }),
        }
    }
}
