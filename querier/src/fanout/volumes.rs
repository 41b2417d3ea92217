//! Sizes of log streams, in all and by group, from directories and counts: no line is read.
//!
//! A block says in one read how much each of its streams has. A head is asked once for each group
//! that it has streams of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt;
use skald_model::{Labels, MatchOp, Matcher, SeriesId, Signal, TimeRange};
use skald_rpc::RpcError;
use skald_rpc::ingester::{Head, StreamStats};

use super::Fanout;
use crate::Error;
use crate::blocks::Wanted;
use crate::memory::Size;
use crate::scope::Scope;

/// Bytes of each group.
type Volumes = BTreeMap<Labels, u64>;

/// Groups of one request at most; more are an error, not a guess.
const MAX_GROUPS: usize = 10_000;

/// Streams of one source, and how much they have.
#[derive(Debug, Default)]
struct Found {
    streams: HashSet<SeriesId>,
    size: StreamStats,
}

/// How streams are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// By the values of these labels; by all labels if there is none.
    Series(Vec<String>),
    /// By the names of labels that they have: these, or all if there is none.
    Names(Vec<String>),
}

// === impl Grouping ===

impl Grouping {
    /// The groups that a stream belongs to.
    pub(crate) fn of(&self, stream: &Labels) -> Vec<Labels> {
        match self {
            Self::Series(names) if names.is_empty() => vec![stream.clone()],
            Self::Series(names) => vec![stream.filter(|n| names.iter().any(|t| t == n))],
            Self::Names(names) => {
                let wanted = |n: &str| names.is_empty() || names.iter().any(|t| t == n);
                let name = |(n, _)| wanted(n).then(|| Labels::from_pairs([(n, n)]));
                stream.iter().filter_map(name).collect()
            }
        }
    }

    /// What a stream of the group must have beside the matchers of the request.
    fn question(&self, group: &Labels) -> Vec<Matcher> {
        let equal = |(n, v)| Matcher::equal(n, v);
        match self {
            Self::Series(names) if names.is_empty() => group.iter().map(equal).collect(),
            Self::Series(names) => {
                names.iter().map(|n| equal((n, group.get(n).unwrap_or("")))).collect()
            }
            Self::Names(_) => {
                let present = |(n, _)| Matcher::new(MatchOp::NotEqual, n, "").ok();
                group.iter().filter_map(present).collect()
            }
        }
    }
}

// === impl Found ===

impl Found {
    fn add(&mut self, more: StreamStats) {
        self.size.entries += more.entries;
        self.size.bytes += more.bytes;
        self.size.chunks += more.chunks;
    }
}

impl Fanout {
    /// Sizes of the matching streams; each stream counts once wherever it is. Lines and bytes are an
    /// estimate where replicas or blocks overlap.
    pub(crate) async fn stats(
        &self,
        scope: &Scope,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<StreamStats, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, matchers) = (tenant.clone(), Arc::clone(matchers));
                async move {
                    let streams = ingester.labels(&tenant, Signal::Logs, &matchers, range).await?;
                    let size = ingester.stats(&tenant, &matchers, range).await?;
                    let manifest_version = streams.manifest_version.max(size.manifest_version);
                    let found = size.map(|size| {
                        let streams = streams.data.iter().map(Labels::id).collect();
                        Found { streams, size }
                    });
                    Ok(Head { manifest_version, ..found })
                }
                .boxed()
            })
            .await?;
        let wanted =
            Wanted { signal: Signal::Logs, range, manifest_version: heads.manifest_version };
        let mut total = Found::default();
        for replicas in heads.partitions {
            // Replicas of a partition hold the same lines: the fullest stands for all.
            let mut fullest = StreamStats::default();
            for Found { streams, size } in replicas {
                total.streams.extend(streams);
                fullest = if size.entries > fullest.entries { size } else { fullest };
            }
            total.add(fullest);
        }
        let blocks = self.blocks.read(scope, wanted, |block| {
            let matchers = Arc::clone(matchers);
            async move {
                let mut sized = Found::default();
                sized.size.chunks = 1;
                for (labels, s) in block.logs().await?.volumes(&matchers, range).await? {
                    sized.streams.insert(labels.id());
                    sized.size.entries += s.entries;
                    sized.size.bytes += s.bytes;
                }
                Ok(sized)
            }
            .boxed()
        });
        for Found { streams, size } in blocks.await? {
            total.streams.extend(streams);
            total.add(size);
        }
        Ok(StreamStats { streams: total.streams.len() as u64, ..total.size })
    }

    /// Bytes of the matching streams by group. An estimate, as [`stats`](Self::stats) is.
    pub(crate) async fn volumes(
        &self,
        scope: &Scope,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
        grouping: &Arc<Grouping>,
    ) -> Result<Volumes, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, matchers, grouping) =
                    (tenant.clone(), Arc::clone(matchers), Arc::clone(grouping));
                async move {
                    let asked = ingester.labels(&tenant, Signal::Logs, &matchers, range).await?;
                    let mut volumes = Volumes::new();
                    let mut version = asked.manifest_version;
                    for stream in &asked.data {
                        volumes.extend(grouping.of(stream).into_iter().map(|group| (group, 0)));
                    }
                    check(&volumes).map_err(|e| RpcError::new(e.kind(), e.to_string()))?;
                    for (group, bytes) in &mut volumes {
                        let mut narrowed = matchers.to_vec();
                        narrowed.extend(grouping.question(group));
                        let answer = ingester.stats(&tenant, &narrowed, range).await?;
                        *bytes = answer.data.bytes;
                        version = version.max(answer.manifest_version);
                    }
                    Ok(Head { manifest_version: version, ..asked.map(|_| volumes) })
                }
                .boxed()
            })
            .await?;
        let manifest_version = heads.manifest_version;
        let mut total = Volumes::new();
        for replicas in heads.partitions {
            // Replicas hold the same streams: the fullest stands for all.
            let mut fullest = Volumes::new();
            for (group, bytes) in replicas.into_iter().flatten() {
                let most = fullest.entry(group).or_default();
                *most = bytes.max(*most);
            }
            add(&mut total, fullest);
        }
        let wanted = Wanted { signal: Signal::Logs, range, manifest_version };
        let blocks = self.blocks.read(scope, wanted, |block| {
            let (matchers, grouping) = (Arc::clone(matchers), Arc::clone(grouping));
            async move {
                let streams = block.logs().await?.volumes(&matchers, range).await?;
                let mut volumes = Volumes::new();
                for (stream, stats) in &streams {
                    add(&mut volumes, grouping.of(stream).into_iter().map(|g| (g, stats.bytes)));
                }
                Ok(volumes)
            }
            .boxed()
        });
        for volumes in blocks.await? {
            add(&mut total, volumes);
        }
        check(&total)?;
        Ok(total)
    }
}

fn add(total: &mut Volumes, more: impl IntoIterator<Item = (Labels, u64)>) {
    for (group, bytes) in more {
        *total.entry(group).or_default() += bytes;
    }
}

fn check(volumes: &Volumes) -> Result<(), Error> {
    if volumes.len() <= MAX_GROUPS {
        return Ok(());
    }
    Err(Error::Limit(format!(
        "the volume has {} groups, the limit is {MAX_GROUPS}; name fewer targetLabels or narrow the selector",
        volumes.len()
    )))
}

impl Size for Found {
    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.streams.len() * 2 * size_of::<SeriesId>()
    }
}

impl Size for Volumes {
    fn size_bytes(&self) -> usize {
        self.keys().map(|labels| labels.as_bytes().len() + 64).sum()
    }
}
