//! An ingester claims its name: a new epoch at every start, by which older incarnations are told apart.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skald_ring::PartitionState;
use skald_runtime::Rng;
use tracing::{info, warn};

use crate::disk::{self, Identity};
use crate::picture::Picture;
use crate::record::{EpochRecord, encode};
use crate::store::{KeyStore, StoreError};

const PAUSE: Duration = Duration::from_millis(500);

/// An incarnation of an ingester.
#[derive(Clone, Debug)]
pub struct Incarnation {
    pub replica: String,
    pub epoch: u64,
    /// Identity of the disk.
    pub disk: String,
    /// Held, so that a second process on this disk fails before it fences the first.
    _lock: Arc<File>,
}

/// Why a name cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("{0}")]
    Disk(#[from] std::io::Error),
    #[error("{0} is in use by another process")]
    InUse(String),
    #[error(
        "{dir} belongs to replica {found} of cluster {cluster}, not to {wanted}: \
         give each ingester a data_dir of its own (settings cluster.replica_id, cluster.name)"
    )]
    OtherOwner { dir: String, found: String, cluster: String, wanted: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Claims `replica` for the disk that holds `dir`, whose picture of last time is `last`.
///
/// Waits while the store is away, unless this disk held the name before: then it goes on with its last
/// epoch, since who claimed a newer one is told apart as soon as the store is back.
pub async fn claim(
    store: &dyn KeyStore,
    prefix: &str,
    cluster: &str,
    replica: &str,
    dir: &Path,
    last: Option<&Picture>,
    rng: &Rng,
) -> Result<Incarnation, ClaimError> {
    let lock = Arc::new(lock(dir)?);
    let mut own = own_identity(cluster, replica, dir, rng).await?;
    let incarnation = |own: Identity| Incarnation {
        replica: own.replica,
        epoch: own.epoch,
        disk: own.disk,
        _lock: Arc::clone(&lock),
    };
    let resumable = own.epoch > 0 && last.is_some_and(|p| p.epochs.contains_key(replica));
    let mut failures = 0u32;
    loop {
        match try_claim(store, prefix, &own).await {
            Ok(Some(record)) => {
                own.epoch = record.epoch;
                disk::keep_identity(dir, &own).await?;
                info!(replica, epoch = own.epoch, rebuilding = record.rebuilding, "epoch claimed");
                return Ok(incarnation(own));
            }
            // Somebody else claims the same name just now.
            Ok(None) => {}
            Err(error @ (StoreError::Refused(_) | StoreError::Corrupt(_))) => {
                return Err(error.into());
            }
            Err(error) if resumable => {
                warn!(replica, epoch = own.epoch, %error, "goes on with the last epoch");
                return Ok(incarnation(own));
            }
            Err(error) => {
                if failures.is_power_of_two() {
                    warn!(replica, %error, "waits for the coordinator");
                }
                failures += 1;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Locks `dir` for this process until the file is dropped.
fn lock(dir: &Path) -> Result<File, ClaimError> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("identity.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClaimError::InUse(dir.display().to_string())),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Has the next claim of the replica on this disk be above `epoch`, which commits of an earlier life of that name
/// have: of one that a store knew which is gone.
pub async fn claim_above(dir: &Path, epoch: u64) -> Result<(), ClaimError> {
    if let Some(mut own) = disk::identity(dir).await?
        && own.epoch < epoch
    {
        own.epoch = epoch;
        disk::keep_identity(dir, &own).await?;
    }
    Ok(())
}

async fn own_identity(
    cluster: &str,
    replica: &str,
    dir: &Path,
    rng: &Rng,
) -> Result<Identity, ClaimError> {
    match disk::identity(dir).await? {
        Some(own) if own.replica == replica && own.cluster == cluster => Ok(own),
        Some(other) => Err(ClaimError::OtherOwner {
            dir: dir.display().to_string(),
            found: other.replica,
            cluster: other.cluster,
            wanted: format!("{replica} of {cluster}"),
        }),
        None => {
            let own = Identity {
                cluster: cluster.to_owned(),
                replica: replica.to_owned(),
                disk: format!("{:032x}", rng.next_u128()),
                epoch: 0,
            };
            disk::keep_identity(dir, &own).await?;
            Ok(own)
        }
    }
}

/// One attempt; `None` if another claim came in between.
async fn try_claim(
    store: &dyn KeyStore,
    prefix: &str,
    own: &Identity,
) -> Result<Option<EpochRecord>, StoreError> {
    let picture = Picture::read(&store.list(prefix).await?, prefix)?;
    let recorded = picture.epochs.get(&own.replica);
    let newest = recorded.map_or(0, |at| at.record.epoch).max(own.epoch);
    let epoch = newest.checked_add(1).ok_or_else(|| {
        let replica = &own.replica;
        StoreError::Corrupt(format!(
            "{newest} is the last epoch there can be of {replica}: the record epochs/{replica}, the catalog or identity.json is damaged; \
             give the replica another name or mend what is damaged"
        ))
    })?;
    let record = EpochRecord { epoch, disk: own.disk.clone(), rebuilding: rebuilds(&picture, own) };
    let key = format!("{prefix}epochs/{}", own.replica);
    let expected = recorded.map_or(0, |at| at.revision);
    let written = store.put(&key, expected, encode(&record), None).await?;
    Ok(written.map(|_| record))
}

/// Whether this disk may lack what the replica acknowledged.
fn rebuilds(picture: &Picture, own: &Identity) -> bool {
    let Some(at) = picture.epochs.get(&own.replica) else { return false };
    if at.record.disk == own.disk {
        return at.record.rebuilding;
    }
    let holds_data = |state| matches!(state, PartitionState::Active | PartitionState::ReadOnly);
    picture.partition_of(&own.replica).is_some_and(|(_, p)| holds_data(p.record.state))
}
