//! The loop: look, do what follows from it, wait for a hint or the interval.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use skald_ring::{Partition, PartitionState, quorum};
use skald_runtime::Shutdown;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::cluster::{Cluster, Neighbours};
use crate::picture::{Picture, SharedPicture};
use crate::plan::{Me, Step, Work, plan};
use crate::record::{EpochRecord, PartitionRecord, Settings, encode};
use crate::store::StoreError;

/// Least time between two looks, so that a store that always hints cannot make this spin.
const PAUSE: Duration = Duration::from_millis(50);
/// Between looks at a store that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Kept alive so many times per lease.
const RENEWALS: u32 = 3;
/// By this much versions jump when the store was lost: above what anybody may have seen meanwhile.
const VERSION_GAP: u64 = 1_000_000;

impl Cluster {
    /// Takes part until `stop`; then leaves, so that the others need not wait for the lease to end.
    pub async fn run(self, stop: Shutdown) {
        let renewing = {
            let (this, stop) = (self.clone(), stop.clone());
            skald_runtime::spawn("coordinator-lease", async move { this.renew(&stop).await })
        };
        while !stop.is_triggered() {
            let wait = match self.round().await {
                Ok(true) => PAUSE,
                Ok(false) => {
                    self.0.trouble.lock().clear();
                    tokio::select! {
                        () = stop.wait() => break,
                        () = self.quiet() => {}
                    }
                    PAUSE
                }
                Err(error) => {
                    let mut trouble = self.0.trouble.lock();
                    if trouble.is_empty() {
                        warn!(%error, "coordinator does not answer, the last view stays in force");
                    }
                    *trouble = error.to_string();
                    RETRY
                }
            };
            tokio::select! {
                () = stop.wait() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let _ = renewing.await;
        self.leave().await;
    }

    /// Until there may be something new.
    async fn quiet(&self) {
        let after = self.0.seen.load(Ordering::Acquire);
        tokio::select! {
            () = self.0.store.changed(&self.0.prefix, after) => {}
            () = tokio::time::sleep(self.0.timing.list_interval.0) => {}
            () = self.0.wake.notified() => {}
        }
    }

    /// One look and what follows; whether anything was written, so that another look is due.
    pub(crate) async fn round(&self) -> Result<bool, StoreError> {
        self.look().await?;
        let mut wrote = self.write_settings().await?;
        wrote |= self.write_member().await?;
        let me = self.0.me.lock().clone();
        if let Some(me) = me {
            let picture = self.picture();
            let is_known = self.is_known(&picture, me.partition);
            for step in plan(&picture, &me, is_known, self.0.clock.now_ms()) {
                wrote |= self.take(step, &picture, &me).await?;
            }
        }
        Ok(wrote)
    }

    /// Whether a partition has been joining for twice the time in which everybody looks.
    fn is_known(&self, picture: &Picture, partition: u32) -> bool {
        let at = picture.partitions.get(&partition);
        let revision =
            at.filter(|at| at.record.state == PartitionState::Joining).map(|at| at.revision);
        let mut joining = self.0.joining.lock();
        match (revision, *joining) {
            (None, _) => {
                *joining = None;
                false
            }
            (Some(now), Some((seen, since))) if now == seen => {
                since.elapsed() >= self.0.timing.list_interval.0 * 2
            }
            (Some(now), _) => {
                *joining = Some((now, Instant::now()));
                false
            }
        }
    }

    async fn take(&self, step: Step, picture: &SharedPicture, me: &Me) -> Result<bool, StoreError> {
        match step {
            Step::Put { key, expected, value, why } => {
                let done = self.put(&key, expected, value).await?;
                info!(key, why, done, "cluster record");
                return Ok(true);
            }
            Step::Fenced { by } => {
                error!(
                    replica = me.id,
                    ours = me.incarnation.epoch,
                    theirs = by,
                    "a newer incarnation runs"
                );
                self.0.fenced.trigger();
            }
            Step::Unseated { by } => {
                let (partition, zone) = (me.partition, &me.zone);
                warn!(partition, zone, by, "the partition has other replicas, this ingester waits");
            }
            Step::Work(work) => self.work(work, me, picture),
        }
        Ok(false)
    }

    /// Starts what takes long, unless it runs.
    fn work(&self, work: Work, me: &Me, picture: &SharedPicture) {
        let mut working = self.0.working.lock();
        if working.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(neighbours) = self.0.neighbours.lock().clone() else { return };
        let (this, me, picture) = (self.clone(), me.clone(), Arc::clone(picture));
        *working = Some(skald_runtime::spawn("coordinator-work", async move {
            let done = match work {
                Work::Rebuild => this.rebuild(&me, &picture, neighbours).await,
                Work::Retire => this.retire(&me, &picture, neighbours).await,
            };
            if let Err(why) = done {
                warn!(?work, partition = me.partition, why, "not yet possible, tried again");
                tokio::time::sleep(RETRY).await;
            }
            this.0.wake.notify_one();
        }));
    }

    /// What this replica may lack is in blocks once its neighbours have flushed, and what they take from now on
    /// comes from senders who know of this incarnation.
    async fn rebuild(
        &self,
        me: &Me,
        picture: &Picture,
        neighbours: Arc<dyn Neighbours>,
    ) -> Result<(), String> {
        let Some(own) = picture.epochs.get(&me.id) else { return Ok(()) };
        let view = picture.view().map_err(|e| e.to_string())?;
        if let Some(partition) = view.partition(me.partition) {
            let others = partition.replicas.iter().filter(|r| r.id.0 != me.id);
            let flushes = others.map(|r| neighbours.flush(r, view.version));
            futures_util::future::try_join_all(flushes).await?;
        }
        let record = EpochRecord {
            epoch: me.incarnation.epoch,
            disk: me.incarnation.disk.clone(),
            rebuilding: false,
        };
        let key = format!("epochs/{}", me.id);
        let done = self.put(&key, own.revision, encode(&record)).await;
        let done = done.map_err(|e| e.to_string())?;
        info!(replica = me.id, done, "rebuilt, it is read again");
        Ok(())
    }

    /// Once a read quorum of its replicas takes nothing more and has flushed, all that was acknowledged is in blocks.
    async fn retire(
        &self,
        me: &Me,
        picture: &Picture,
        neighbours: Arc<dyn Neighbours>,
    ) -> Result<(), String> {
        let view = picture.view().map_err(|e| e.to_string())?;
        let (Some(partition), Some(at)) =
            (view.partition(me.partition), picture.partitions.get(&me.partition))
        else {
            return Ok(());
        };
        flush_quorum(partition, view.version, &*neighbours).await?;
        let mut record = at.record.clone();
        record.state = PartitionState::Removed;
        record.since_ms = self.0.clock.now_ms();
        let written = self.put_partition(me.partition, at.revision, &record).await;
        let written = written.map_err(|e| e.to_string())?;
        info!(
            partition = me.partition,
            done = written,
            "everything is in blocks, partition removed"
        );
        Ok(())
    }

    /// Writes the key `key`, below the prefix, if its revision is still `expected`; answers whether.
    async fn put(&self, key: &str, expected: u64, value: Bytes) -> Result<bool, StoreError> {
        let key = format!("{}{key}", self.0.prefix);
        Ok(self.0.store.put(&key, expected, value, None).await?.is_some())
    }

    pub(crate) async fn put_partition(
        &self,
        n: u32,
        expected: u64,
        record: &PartitionRecord,
    ) -> Result<bool, StoreError> {
        self.put(&format!("partitions/{n}"), expected, encode(record)).await
    }

    async fn write_settings(&self) -> Result<bool, StoreError> {
        if self.picture().settings.is_some() {
            return Ok(false);
        }
        let settings = Settings { replication_factor: self.0.replication_factor, version_base: 0 };
        self.put("settings", 0, encode(&settings)).await
    }

    /// Writes down again what a store has lost or forgotten, as this process knew it: all of it, or what came after
    /// a backup that was put back. The settings last: with their version others take what they find.
    pub(crate) async fn restore(&self, found: &Picture) -> Result<(), StoreError> {
        let known = self.picture();
        for (id, at) in &known.epochs {
            let there = found.epochs.get(id);
            if there.is_none_or(|there| there.record.epoch < at.record.epoch) {
                let expected = there.map_or(0, |t| t.revision);
                self.put(&format!("epochs/{id}"), expected, encode(&at.record)).await?;
            }
        }
        for (n, at) in &known.partitions {
            let there = found.partitions.get(n);
            if there.is_none_or(|there| there.record != at.record) {
                self.put_partition(*n, there.map_or(0, |t| t.revision), &at.record).await?;
            }
        }
        let settings = Settings {
            replication_factor: self.0.replication_factor,
            version_base: known.version() + VERSION_GAP,
        };
        let expected = found.settings.as_ref().map_or(0, |at| at.revision);
        self.put("settings", expected, encode(&settings)).await?;
        Ok(())
    }

    // --- the lease ---

    /// Makes sure that this process stands among the members, under its own lease.
    async fn write_member(&self) -> Result<bool, StoreError> {
        let inner = &self.0;
        let member = inner.member.lock().clone();
        let at = self.picture().members.get(&inner.id).cloned();
        let held = *inner.lease.lock();
        if held.is_some() && at.as_ref().is_some_and(|at| at.record == member) {
            return Ok(false);
        }
        let lease = match held {
            Some(lease) => lease,
            None => inner.store.grant(inner.timing.lease.0).await?,
        };
        let key = format!("{}members/{}", inner.prefix, inner.id);
        let expected = at.map_or(0, |at| at.revision);
        match inner.store.put(&key, expected, encode(&member), Some(lease)).await {
            Ok(Some(_)) => *inner.lease.lock() = Some(lease),
            Ok(None) => debug!(key, "member key changed meanwhile"),
            Err(error) => {
                *inner.lease.lock() = None;
                return Err(error);
            }
        }
        Ok(true)
    }

    async fn renew(&self, stop: &Shutdown) {
        let every = self.0.timing.lease.0 / RENEWALS;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(every) => {}
            }
            let Some(lease) = *self.0.lease.lock() else { continue };
            match self.0.store.keep_alive(lease).await {
                Ok(true) => {}
                Ok(false) => {
                    info!("the lease ended, this process joins again");
                    *self.0.lease.lock() = None;
                    self.0.wake.notify_one();
                }
                Err(error) => debug!(%error, "lease not renewed"),
            }
        }
    }

    /// Ends the lease.
    async fn leave(&self) {
        let lease = self.0.lease.lock().take();
        if let Some(lease) = lease {
            let revoked = tokio::time::timeout(RETRY, self.0.store.revoke(lease)).await;
            if !matches!(revoked, Ok(Ok(()))) {
                debug!("the lease will end on its own");
            }
        }
    }
}

/// Has enough replicas flush that every acknowledged write is among theirs.
async fn flush_quorum(
    partition: &Partition,
    min_view: u64,
    neighbours: &dyn Neighbours,
) -> Result<(), String> {
    let whole = partition.replicas.iter().filter(|r| !r.rebuilding);
    let flushes =
        futures_util::future::join_all(whole.map(|r| neighbours.flush(r, min_view))).await;
    let n_done = flushes.iter().filter(|f| f.is_ok()).count();
    let needed = quorum::read(partition.replicas.len());
    if n_done >= needed {
        return Ok(());
    }
    let why = flushes.into_iter().find_map(Result::err).unwrap_or_default();
    Err(format!("{n_done} of the {needed} replicas needed have flushed: {why}"))
}
