//! Storing a finished block, and checking a stored one against its description.

use std::sync::Arc;

use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};
use skald_model::TenantId;
use skald_runtime::crash_point;

use crate::{BlockMeta, Encoded, Error, path};

/// Stores `encoded` under its id, never replacing anything, and checks the stored size.
///
/// An object that is there already counts as ours when its size and checksum are: a retry after a
/// lost answer succeeds. Cancelling leaves either no object or the whole one.
pub async fn put_block(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    encoded: &Encoded,
) -> Result<(), Error> {
    let at = path(tenant, encoded.meta.id);
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    crash_point!("block.put");
    match store.put_opts(&at, PutPayload::from_bytes(encoded.bytes.clone()), options).await {
        Ok(_) => {
            crash_point!("block.stored");
            let head = store.head(&at).await.map_err(|e| Error::store(&at, e))?;
            if head.size == encoded.meta.size_bytes {
                return Ok(());
            }
            Err(Error::corrupt(
                &at,
                format!("stored {} bytes of {}", head.size, encoded.meta.size_bytes),
            ))
        }
        Err(object_store::Error::AlreadyExists { .. }) => {
            match check(store, &at, &encoded.meta).await {
                Err(Error::Corrupt { path, .. }) => Err(Error::Conflict { path }),
                other => other,
            }
        }
        Err(e) => Err(Error::store(&at, e)),
    }
}

/// Reads the whole object and compares its size and checksum with `meta`.
pub async fn verify_block(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    meta: &BlockMeta,
) -> Result<(), Error> {
    check(store, &path(tenant, meta.id), meta).await
}

async fn check(store: &Arc<dyn ObjectStore>, at: &Path, meta: &BlockMeta) -> Result<(), Error> {
    use futures_util::TryStreamExt;

    let found = store.get_opts(at, GetOptions::default()).await.map_err(|e| Error::store(at, e))?;
    if found.meta.size != meta.size_bytes {
        let reason = format!("{} bytes, expected {}", found.meta.size, meta.size_bytes);
        return Err(Error::corrupt(at, reason));
    }
    let crc = found
        .into_stream()
        .try_fold(0, |crc, part| async move { Ok(crc32c::crc32c_append(crc, &part)) })
        .await
        .map_err(|e| Error::store(at, e))?;
    if crc != meta.crc32c {
        return Err(Error::corrupt(at, "checksum does not match"));
    }
    Ok(())
}
