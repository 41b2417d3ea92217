//! Lists in byte order, whatever order the backend has.
//!
//! A listing is collected and sorted before the first message, because a directory tree gives another
//! order; the byte budget bounds it.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use skald_proto::storage as pb;
use skald_runtime::MemoryPermit;
use tonic::Status;

use super::Inner;
use crate::error::{Reason, to_status};
use crate::wire::{BATCH, DELIMITER, meta_to_wire};

pub(super) type Batches = BoxStream<'static, Result<pb::ListResponse, Status>>;

/// What an entry costs beside its key.
const ENTRY_BYTES: u64 = 160;

pub(super) async fn open(inner: &Inner, request: pb::ListRequest) -> Result<Batches, Status> {
    let pb::ListRequest { prefix, start_after, delimiter } = request;
    if !(delimiter.is_empty() || delimiter == DELIMITER) {
        return Err(Reason::Unsupported.into_status("the delimiter must be empty or \"/\""));
    }
    // The backend's prefixes end at a segment: list that directory, then filter.
    let dir = prefix.rsplit_once('/').map_or("", |(dir, _)| dir);
    let dir = Path::parse(dir).map_err(|e| to_status(&e.into()))?;
    let wanted = |key: &str| key.starts_with(&prefix) && key > start_after.as_str();
    let mut permit = inner.budget.try_take(0).map_err(over_budget)?;
    let mut common_prefixes = Vec::new();
    let mut objects = Vec::new();
    if delimiter.is_empty() {
        let mut listed = match Path::parse(&start_after) {
            Ok(from) if from.as_ref() == start_after && !start_after.is_empty() => {
                inner.store.list_with_offset(Some(&dir), &from)
            }
            _ => inner.store.list(Some(&dir)),
        };
        while let Some(meta) = listed.try_next().await.map_err(|e| to_status(&e))? {
            if wanted(meta.location.as_ref()) {
                charge(&mut permit, &meta)?;
                objects.push(meta);
            }
        }
    } else {
        let listed = inner.store.list_with_delimiter(Some(&dir)).await;
        let listed = listed.map_err(|e| to_status(&e))?;
        for meta in listed.objects.into_iter().filter(|m| wanted(m.location.as_ref())) {
            charge(&mut permit, &meta)?;
            objects.push(meta);
        }
        let dirs = listed.common_prefixes.into_iter().map(|d| format!("{d}/"));
        common_prefixes.extend(dirs.filter(|d| wanted(d)));
        common_prefixes.sort_unstable();
    }
    objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(batches(objects, common_prefixes, permit))
}

fn charge(permit: &mut MemoryPermit, meta: &ObjectMeta) -> Result<(), Status> {
    let key = u64::try_from(meta.location.as_ref().len()).unwrap_or(u64::MAX);
    permit.grow(key.saturating_add(ENTRY_BYTES)).map_err(over_budget)
}

fn over_budget(err: impl std::fmt::Display) -> Status {
    Reason::Throttled.into_status(err.to_string())
}

/// Directories in the first message(s), objects in the following ones.
fn batches(objects: Vec<ObjectMeta>, dirs: Vec<String>, permit: MemoryPermit) -> Batches {
    let of_dirs: Vec<_> = dirs
        .chunks(BATCH)
        .map(|c| pb::ListResponse { objects: Vec::new(), common_prefixes: c.to_vec() })
        .collect();
    let mut objects = objects.into_iter();
    let of_objects = std::iter::from_fn(move || {
        let _held = &permit;
        let objects: Vec<_> = objects.by_ref().take(BATCH).map(|m| meta_to_wire(&m)).collect();
        (!objects.is_empty()).then_some(pb::ListResponse { objects, common_prefixes: Vec::new() })
    });
    stream::iter(of_dirs.into_iter().chain(of_objects).map(Ok)).boxed()
}
