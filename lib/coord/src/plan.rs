//! What an ingester does about its place in the cluster: a pure function of the picture.
//!
//! It is asked again after every change and every some seconds, so it needs no memory of what was done.
//! All steps are compare-and-set on what the picture shows: of several who take one, one wins.

use bytes::Bytes;
use skald_ring::PartitionState;

use crate::claim::Incarnation;
use crate::picture::Picture;
use crate::record::{EpochRecord, PartitionRecord, Seat, encode};

/// An ingester's own idea of itself.
#[derive(Clone, Debug)]
pub struct Me {
    pub id: String,
    pub zone: String,
    pub addr: String,
    pub partition: u32,
    pub replication_factor: usize,
    pub incarnation: Incarnation,
    /// Replayed and serving.
    pub ready: bool,
    /// Was in its partition when that was removed: it waits to be stopped and does not join again.
    pub drained: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write a key, relative to the cluster's prefix, if its revision is still `expected`.
    Put { key: String, expected: u64, value: Bytes, why: &'static str },
    /// A newer incarnation of this replica exists: stop at once.
    Fenced { by: u64 },
    /// Begin what takes long.
    Work(Work),
    /// Somebody else sits where this ingester belongs.
    Unseated { by: String },
}

/// What goes on beside the looks, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Have the neighbours flush what this replica may lack, then call it rebuilt.
    Rebuild,
    /// Have the partition flushed, then call it removed.
    Retire,
}

/// What `me` should do now. `is_known`: its partition has been joining for so long that all who live know of it.
pub(crate) fn plan(picture: &Picture, me: &Me, is_known: bool, now_ms: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    match picture.epochs.get(&me.id) {
        Some(at)
            if at.record.epoch > me.incarnation.epoch
                || at.record.epoch == me.incarnation.epoch
                    && at.record.disk != me.incarnation.disk =>
        {
            return vec![Step::Fenced { by: at.record.epoch }];
        }
        Some(at) if at.record.epoch == me.incarnation.epoch => {
            if at.record.rebuilding && me.ready {
                steps.push(Step::Work(Work::Rebuild));
            }
        }
        // The store was lost, or this incarnation started while it was away.
        older => {
            let rebuilding = older.is_some_and(|at| at.record.rebuilding);
            let record = EpochRecord {
                epoch: me.incarnation.epoch,
                disk: me.incarnation.disk.clone(),
                rebuilding,
            };
            let expected = older.map_or(0, |at| at.revision);
            let key = format!("epochs/{}", me.id);
            let why = "epoch of this incarnation";
            return vec![Step::Put { key, expected, value: encode(&record), why }];
        }
    }
    if me.ready {
        steps.extend(seat(picture, me, is_known, now_ms));
    }
    steps
}

/// What `me` does about its partition.
fn seat(picture: &Picture, me: &Me, is_known: bool, now_ms: i64) -> Option<Step> {
    let put = |expected, record: &PartitionRecord, why| {
        let key = format!("partitions/{}", me.partition);
        Some(Step::Put { key, expected, value: encode(record), why })
    };
    let mine = Seat { id: me.id.clone(), zone: me.zone.clone(), addr: me.addr.clone() };
    let fresh = PartitionRecord {
        state: PartitionState::Pending,
        since_ms: now_ms,
        replicas: vec![mine.clone()],
    };
    let Some(at) = picture.partitions.get(&me.partition) else {
        return put(0, &fresh, "new partition");
    };
    let mut record = at.record.clone();
    if record.state == PartitionState::Removed {
        return if me.drained { None } else { put(at.revision, &fresh, "partition comes back") };
    }
    match record.replicas.iter().position(|s| s.id == me.id) {
        Some(i) if record.replicas[i] != mine => {
            record.replicas[i] = mine;
            return put(at.revision, &record, "address or zone changed");
        }
        Some(_) => {}
        None => return join(picture, me, at.revision, record, mine, &put),
    }
    match record.state {
        PartitionState::Pending if is_complete(picture, me, &record) => {
            // Of the first one nobody can have read without it.
            let next =
                if picture.has_active() { PartitionState::Joining } else { PartitionState::Active };
            (record.state, record.since_ms) = (next, now_ms);
            put(at.revision, &record, "all replicas are ready")
        }
        PartitionState::Joining if is_known => {
            (record.state, record.since_ms) = (PartitionState::Active, now_ms);
            put(at.revision, &record, "all readers know it")
        }
        PartitionState::ReadOnly => Some(Step::Work(Work::Retire)),
        _ => None,
    }
}

/// Takes a free seat, or that of a dead replica of the same zone.
fn join(
    picture: &Picture,
    me: &Me,
    revision: u64,
    mut record: PartitionRecord,
    mine: Seat,
    put: &impl Fn(u64, &PartitionRecord, &'static str) -> Option<Step>,
) -> Option<Step> {
    let same_zone = record.replicas.iter().position(|s| s.zone == me.zone);
    if same_zone.is_none() && record.replicas.len() < me.replication_factor {
        record.replicas.push(mine);
        return put(revision, &record, "joins");
    }
    let Some(i) = same_zone else {
        let by = record.replicas.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", ");
        return Some(Step::Unseated { by });
    };
    let sitting = record.replicas[i].id.clone();
    if picture.members.contains_key(&sitting) {
        return Some(Step::Unseated { by: sitting });
    }
    // Its data went with it. Before anybody may read from its successor, the neighbours flush.
    let own = picture.epochs.get(&me.id);
    if record.state != PartitionState::Pending && !own.is_some_and(|e| e.record.rebuilding) {
        let record = EpochRecord {
            epoch: me.incarnation.epoch,
            disk: me.incarnation.disk.clone(),
            rebuilding: true,
        };
        let key = format!("epochs/{}", me.id);
        let expected = own.map_or(0, |e| e.revision);
        let why = "takes the seat of a lost replica";
        return Some(Step::Put { key, expected, value: encode(&record), why });
    }
    record.replicas[i] = mine;
    put(revision, &record, "takes the seat of a lost replica")
}

fn is_complete(picture: &Picture, me: &Me, record: &PartitionRecord) -> bool {
    let is_ready = |s: &Seat| picture.members.get(&s.id).is_some_and(|m| m.record.ready);
    record.replicas.len() == me.replication_factor && record.replicas.iter().all(is_ready)
}
