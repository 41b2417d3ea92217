//! The handle: the newest picture of the cluster, and this process's part in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use skald_ring::{Coordinator, Replica, View};
use skald_runtime::{HumanDuration, SharedClock, Shutdown};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::disk::Disk;
use crate::picture::{Picture, SharedPicture};
use crate::plan::Me;
use crate::record::Member;
use crate::store::{KeyStore, LeaseId, StoreError};

/// Longest wait for a look that somebody asked for.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// How a process takes part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// A member that is silent for so long is gone. Default 15s.
    pub lease: HumanDuration,
    /// How often everything is read anew, whatever was watched. Default 10s.
    pub list_interval: HumanDuration,
}

/// What the cluster has the data path do.
#[async_trait]
pub trait Neighbours: std::fmt::Debug + Send + Sync {
    /// Has a replica refuse pushes of views before `min_view` from now on, and flush all that it holds.
    async fn flush(&self, replica: &Replica, min_view: u64) -> Result<(), String>;

    /// Called before a view is shown whose readers find in blocks what others had in heads.
    fn expire_blocks(&self);
}

/// What a process is to the others.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its key among the members.
    pub id: String,
    pub member: Member,
    /// Replicas of each partition; all processes must agree.
    pub replication_factor: usize,
    pub data_dir: PathBuf,
}

/// Why a process cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "cluster.replication_factor is {ours} here and {theirs} in the cluster; \
         it cannot be changed once the cluster runs"
    )]
    ReplicationFactor { ours: usize, theirs: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The cluster as this process sees it. Clones share it.
#[derive(Clone, Debug)]
pub struct Cluster(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn KeyStore>,
    /// Before all keys; ends with a slash.
    pub(crate) prefix: String,
    pub(crate) timing: Timing,
    pub(crate) clock: SharedClock,
    pub(crate) disk: Disk,
    pub(crate) id: String,
    pub(crate) replication_factor: usize,
    pub(crate) member: Mutex<Member>,
    /// Of an ingester, once it has claimed its name.
    pub(crate) me: Mutex<Option<Me>>,
    pub(crate) neighbours: Mutex<Option<Arc<dyn Neighbours>>>,
    pub(crate) lease: Mutex<Option<LeaseId>>,
    pub(crate) picture: ArcSwap<Picture>,
    view: ArcSwap<View>,
    /// The picture is that of an earlier life: what the store has now is believed instead.
    is_of_disk: AtomicBool,
    /// One look at a time, so that an older answer is not taken for a loss of data. What the disk has.
    looking: tokio::sync::Mutex<SharedPicture>,
    /// Of the store at the last look.
    pub(crate) seen: AtomicU64,
    /// Look now.
    pub(crate) wake: Notify,
    /// Looks that have begun, and looks that have ended with an answer.
    pub(crate) begun: watch::Sender<u64>,
    pub(crate) ended: watch::Sender<u64>,
    /// Why the store does not answer; empty if it does.
    pub(crate) trouble: Mutex<String>,
    /// A newer incarnation of this replica exists.
    pub(crate) fenced: Shutdown,
    /// Since when this process has seen its partition joining, at which revision.
    pub(crate) joining: Mutex<Option<(u64, Instant)>>,
    pub(crate) working: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self { lease: HumanDuration::from_secs(15), list_interval: HumanDuration::from_secs(10) }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Gets a first picture: of the store, or the last one from disk when the store is away. Waits if there is neither.
    pub async fn open(
        store: Arc<dyn KeyStore>,
        prefix: String,
        timing: Timing,
        process: Process,
        clock: SharedClock,
    ) -> Result<Self, JoinError> {
        let cluster = Self(Arc::new(Inner {
            store,
            prefix,
            timing,
            clock,
            disk: Disk::new(&process.data_dir),
            id: process.id,
            replication_factor: process.replication_factor,
            member: Mutex::new(process.member),
            me: Mutex::default(),
            neighbours: Mutex::default(),
            lease: Mutex::default(),
            picture: ArcSwap::default(),
            view: ArcSwap::from_pointee(View::empty()),
            is_of_disk: AtomicBool::new(false),
            looking: tokio::sync::Mutex::default(),
            seen: AtomicU64::new(0),
            wake: Notify::new(),
            begun: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            trouble: Mutex::default(),
            fenced: Shutdown::new(),
            joining: Mutex::default(),
            working: Mutex::default(),
        }));
        cluster.first_picture().await?;
        cluster.check_settings()?;
        Ok(cluster)
    }

    async fn first_picture(&self) -> Result<(), JoinError> {
        match self.0.disk.picture().await {
            Ok(Some(last)) => {
                let last = Arc::new(last);
                if self.publish(Arc::clone(&last)) {
                    *self.0.looking.lock().await = last;
                    self.0.is_of_disk.store(true, Ordering::Release);
                }
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "the last picture of the cluster cannot be read"),
        }
        loop {
            let known = !self.picture().partitions.is_empty();
            match self.look().await {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Refused(_) | StoreError::Corrupt(_))) => {
                    return Err(error.into());
                }
                Err(error) if known => {
                    warn!(%error, "starts with the last picture of the cluster");
                    return Ok(());
                }
                Err(error) => {
                    warn!(%error, "waits for the coordinator");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn check_settings(&self) -> Result<(), JoinError> {
        let ours = self.0.replication_factor;
        match &self.picture().settings {
            Some(at) if at.record.replication_factor != ours => {
                let theirs = at.record.replication_factor;
                Err(JoinError::ReplicationFactor { ours, theirs })
            }
            _ => Ok(()),
        }
    }

    /// Reads everything once and shows it.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut kept = inner.looking.lock().await;
        let n = {
            inner.begun.send_modify(|n| *n += 1);
            *inner.begun.borrow()
        };
        let picture = Picture::read(&inner.store.list(&inner.prefix).await?, &inner.prefix)?;
        inner.seen.store(picture.revision, Ordering::Release);
        let starts_over = inner.is_of_disk.load(Ordering::Acquire) && picture.settings.is_some();
        if !starts_over && !picture.follows(&self.picture()) {
            self.restore(&picture).await?;
            let lost = "has lost data, it is being written anew";
            return Err(StoreError::Unavailable(lost.to_owned()));
        }
        let picture = Arc::new(picture);
        if self.publish(Arc::clone(&picture)) {
            inner.is_of_disk.store(false, Ordering::Release);
            self.keep(picture, &mut kept).await;
        }
        inner.ended.send_modify(|ended| *ended = (*ended).max(n));
        Ok(())
    }

    /// Shows a picture, if a view can be made of it; answers whether.
    fn publish(&self, picture: SharedPicture) -> bool {
        let inner = &self.0;
        let old = self.picture();
        let view = match picture.view() {
            Ok(view) => view,
            Err(error) => {
                error!(%error, version = picture.version(), "partitions make no sense, the last view stays");
                return false;
            }
        };
        if picture.relies_on_more_blocks(&old)
            && let Some(neighbours) = inner.neighbours.lock().clone()
        {
            neighbours.expire_blocks();
        }
        self.note_removal(&old, &picture);
        if view.version != self.view().version {
            info!(
                version = view.version,
                partitions = view.partitions.len(),
                "view of the cluster"
            );
        }
        // The view last: who sees it finds the picture at least as new.
        inner.picture.store(picture);
        inner.view.store(Arc::new(view));
        true
    }

    /// Writes a picture to the disk unless the one that lies there says the same.
    async fn keep(&self, picture: SharedPicture, kept: &mut SharedPicture) {
        if picture.keeps_like(kept) {
            return;
        }
        match self.0.disk.keep_picture(&picture).await {
            Ok(()) => *kept = picture,
            Err(error) => warn!(%error, "the picture of the cluster is not kept"),
        }
    }

    /// The newest picture.
    pub fn picture(&self) -> SharedPicture {
        self.0.picture.load_full()
    }

    /// Name of this process among the members.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Why the store does not answer, if it does not.
    pub fn trouble(&self) -> Option<String> {
        Some(self.0.trouble.lock().clone()).filter(|t| !t.is_empty())
    }

    /// Whether `item`, a hash, falls to this process among the live members with a role, who share all items without
    /// asking each other. While members come and go, two may think so of one item, or nobody for a moment.
    pub fn shares(&self, role: &str, item: u64) -> bool {
        let picture = self.picture();
        let weight = |id: &str| xxh3_64_with_seed(id.as_bytes(), item);
        let winner = picture.live(role).map(|(id, _)| (weight(id), id)).max();
        winner.is_none_or(|(_, id)| id == self.0.id)
    }

    /// Completes when a newer incarnation of this ingester is known. Cancel-safe.
    pub async fn fenced(&self) {
        self.0.fenced.wait().await;
    }

    /// What the data path does for the cluster; before [`run`](Self::run).
    pub fn set_neighbours(&self, neighbours: Arc<dyn Neighbours>) {
        *self.0.neighbours.lock() = Some(neighbours);
    }

    /// The ingester in this process, which has claimed its name.
    pub fn set_ingester(&self, me: Me) {
        self.0.member.lock().epoch = me.incarnation.epoch;
        *self.0.me.lock() = Some(me);
        self.0.wake.notify_one();
    }

    /// From now on this process serves.
    pub fn set_ready(&self) {
        self.0.member.lock().ready = true;
        if let Some(me) = &mut *self.0.me.lock() {
            me.ready = true;
        }
        self.0.wake.notify_one();
    }

    /// Somebody was told of a newer epoch of this replica: looks whether that is so.
    pub fn suspect(&self) {
        self.0.wake.notify_one();
    }

    fn note_removal(&self, old: &Picture, new: &Picture) {
        use skald_ring::PartitionState::Removed;
        let mut me = self.0.me.lock();
        let Some(me) = &mut *me else { return };
        let state = |p: &Picture| p.partitions.get(&me.partition).map(|at| at.record.state);
        let sat = old.partition_of(&me.id).is_some_and(|(n, _)| n == me.partition);
        if sat && state(old) != Some(Removed) && state(new) == Some(Removed) {
            info!(
                partition = me.partition,
                "the partition is removed, this ingester may be stopped"
            );
            me.drained = true;
        }
    }
}

#[async_trait]
impl Coordinator for Cluster {
    fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }

    async fn refresh(&self) {
        let inner = &self.0;
        let mut ended = inner.ended.subscribe();
        // A look that has begun may have missed what the caller knows.
        let wanted = *inner.begun.borrow() + 1;
        inner.wake.notify_one();
        let seen = ended.wait_for(|n| *n >= wanted);
        let _ = tokio::time::timeout(REFRESH_TIMEOUT, seen).await;
    }
}
