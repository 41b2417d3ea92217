//! Where a request meets heads and blocks: asks ingesters first, then reads the blocks of a view at
//! least as new as their answers, and unites both.
//!
//! Invariant: data that moves from a head to a block between the two steps is seen, because the
//! head's answer names the commit from which on its flushed data is in blocks.

mod volumes;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use skald_blocks::{LabelWant, LogSelect, Metadata};
use skald_model::{
    Exemplar, Labels, Matcher, MetricMetadata, Series, SeriesId, Signal, StreamEntries, TimeRange,
};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::{Head, Listing, SelectEntries, SelectSeries, TenantUsage};

pub(crate) use self::volumes::Grouping;
use crate::blocks::{Blocks, Wanted};
use crate::deletes::series::{SeriesDeletes, rest};
use crate::heads::{Heads, Ingesters};
use crate::memory::Size;
use crate::scope::Scope;
use crate::source::found::{Found, Source};
use crate::{Error, merge};

/// Reads everything a tenant has, wherever it is.
#[derive(Clone, Debug)]
pub(crate) struct Fanout {
    pub(crate) ingesters: Ingesters,
    pub(crate) blocks: Blocks,
}

/// So many parts of a range are asked for at most to find series of which nothing is left; with more, series show until
/// their blocks are written anew.
const MAX_PARTS: usize = 16;

type Exemplars = (Labels, Vec<Exemplar>);

// === impl Fanout ===

impl Fanout {
    /// Decoded series with their samples in `range` (ms), each once, in no particular order.
    pub(crate) async fn series(
        &self,
        scope: &Scope,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<Vec<Series>, Error> {
        let request = SelectSeries { matchers: matchers.to_vec(), range, only: None, ids: false };
        self.encoded(scope, request).await?.decode()
    }

    /// Series that may have samples in the range, each once, their samples still encoded.
    pub(crate) async fn encoded(
        &self,
        scope: &Scope,
        mut request: SelectSeries,
    ) -> Result<Found, Error> {
        // Before any block is read: a later view may have requests finished of which an older one's
        // blocks still have the samples.
        let deletes = self.series_deletes(scope, &request.matchers, request.range).await?;
        if let Some(only) = &mut request.only {
            deletes.widen(only);
        }
        // Ids cost the ingester the labels that nobody wants, so they are asked for only where
        // several sources must be united.
        if request.only.is_some() {
            let range = request.range;
            let wanted = Wanted { signal: Signal::Metrics, range, manifest_version: 0 };
            request.ids = !self.ingesters.is_one() || self.blocks.any(scope, wanted).await?;
        }
        let held = scope.memory.used();
        let (range, anonymous) = (request.range, request.only.is_some() && !request.ids);
        let request = Arc::new(request);
        let sources = self.sources(scope, &request).await?;
        if !anonymous || sources.len() <= 1 {
            return Ok(Found::unite(sources, range).hiding(deletes));
        }
        // A flush came in between.
        drop(sources);
        scope.memory.return_to(held);
        let request = Arc::new(SelectSeries { ids: true, ..(*request).clone() });
        Ok(Found::unite(self.sources(scope, &request).await?, range).hiding(deletes))
    }

    /// What must not be shown of series of `matchers` in `range`.
    async fn series_deletes(
        &self,
        scope: &Scope,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<SeriesDeletes, Error> {
        let view = self.blocks.view(&scope.tenant, 0).await?;
        SeriesDeletes::of(&view, range, matchers)
    }

    /// Whether any head has samples of the request, and the newest commit that the heads rely on.
    pub(crate) async fn heads_have(
        &self,
        scope: &Scope,
        request: SelectSeries,
    ) -> Result<(bool, u64), Error> {
        let (tenant, request) = (&scope.tenant, Arc::new(request));
        let ask = |ingester: Arc<dyn IngesterApi>| {
            let (tenant, request) = (tenant.clone(), Arc::clone(&request));
            async move { ingester.encoded_series(&tenant, &request).await }.boxed()
        };
        let heads = self.ingesters.ask(scope, ask).await?;
        let version = heads.manifest_version;
        Ok((taken(scope, heads)?.iter().any(|series| !series.is_empty()), version))
    }

    /// What heads and blocks answer; sources without any series are left out.
    async fn sources(
        &self,
        scope: &Scope,
        request: &Arc<SelectSeries>,
    ) -> Result<Vec<Source>, Error> {
        let (tenant, range) = (scope.tenant.clone(), request.range);
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, request) = (tenant.clone(), Arc::clone(request));
                async move { ingester.encoded_series(&tenant, &request).await }.boxed()
            })
            .await?;
        let wanted =
            Wanted { signal: Signal::Metrics, range, manifest_version: heads.manifest_version };
        let heads = taken(scope, heads)?.into_iter().map(Source::Head);
        let blocks = self.blocks.read(scope, wanted, |block| {
            let request = Arc::clone(request);
            async move {
                let want = match (&request.only, request.ids) {
                    (None, _) => LabelWant::All,
                    (Some(names), false) => LabelWant::Only(names),
                    (Some(names), true) => LabelWant::OnlyWithIds(names),
                };
                block.metrics().await?.encoded(&request.matchers, range, want).await
            }
            .boxed()
        });
        let mut sources: Vec<Source> = heads.collect();
        sources.extend(blocks.await?.into_iter().map(Source::Block));
        sources.retain(|source| !source.is_empty());
        Ok(sources)
    }

    /// Streams with their entries in the range, each once, sorted by time.
    pub(crate) async fn entries(
        &self,
        scope: &Scope,
        select: &Arc<SelectEntries>,
        needs_line: bool,
    ) -> Result<Vec<StreamEntries>, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, select) = (tenant.clone(), Arc::clone(select));
                async move { ingester.select_entries(&tenant, &select).await }.boxed()
            })
            .await?;
        let wanted = Wanted {
            signal: Signal::Logs,
            range: select.range,
            manifest_version: heads.manifest_version,
        };
        let mut sources = taken(scope, heads)?;
        let head_span = span(&sources);
        let blocks = self.blocks.read(scope, wanted, |block| {
            let select = Arc::clone(select);
            // Lines tell copies of an entry apart from its neighbours, so only a block that
            // shares its time with nothing else can do without them.
            let needs_line = needs_line || !block.is_alone(head_span);
            let wanted = LogSelect { needs_line, metadata: Metadata::All, fields: None };
            async move {
                let reader = block.logs().await?;
                reader.select(&select.matchers, select.range, &select.needles, wanted).await
            }
            .boxed()
        });
        sources.extend(blocks.await?);
        Ok(merge::streams(sources))
    }

    /// Label sets of matching series or streams, one list per source; a set may be in several.
    pub(crate) async fn labels(
        &self,
        scope: &Scope,
        signal: Signal,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<Vec<Vec<Labels>>, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, matchers) = (tenant.clone(), Arc::clone(matchers));
                async move { ingester.labels(&tenant, signal, &matchers, range).await }.boxed()
            })
            .await?;
        let wanted = Wanted { signal, range, manifest_version: heads.manifest_version };
        let mut sources = taken(scope, heads)?;
        let blocks = self.blocks.read(scope, wanted, |block| {
            let matchers = Arc::clone(matchers);
            async move {
                match signal {
                    Signal::Metrics => block.metrics().await?.labels(&matchers, range).await,
                    Signal::Logs => block.logs().await?.streams(&matchers, range).await,
                }
            }
            .boxed()
        });
        sources.extend(blocks.await?);
        Ok(sources)
    }

    /// Label sets of series that have samples in `range` which may be shown, as [`Self::labels`] lists them.
    pub(crate) async fn shown_labels(
        &self,
        scope: &Scope,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<Vec<Vec<Labels>>, Error> {
        let deletes = self.series_deletes(scope, matchers, range).await?;
        let mut lists = self.labels(scope, Signal::Metrics, matchers, range).await?;
        if deletes.is_empty() {
            return Ok(lists);
        }
        // What is left of the range, for series of which something is deleted.
        let left = |labels: &Labels| {
            let times = deletes.times(labels);
            (!times.is_empty()).then(|| rest(range, &times))
        };
        let parts = lists.iter().flatten().filter_map(left).flatten();
        let parts: BTreeSet<(i64, i64)> = parts.map(|r| (r.start, r.end)).collect();
        if parts.len() > MAX_PARTS {
            return Ok(lists);
        }
        let mut have: BTreeSet<((i64, i64), SeriesId)> = BTreeSet::new();
        for (start, end) in parts {
            let part = TimeRange::new(start, end);
            let found = self.labels(scope, Signal::Metrics, matchers, part).await?;
            have.extend(found.iter().flatten().map(|labels| ((start, end), labels.id())));
        }
        for list in &mut lists {
            list.retain(|labels| {
                let has = |r: TimeRange| have.contains(&((r.start, r.end), labels.id()));
                left(labels).is_none_or(|parts| parts.into_iter().any(has))
            });
        }
        Ok(lists)
    }

    /// Names of the labels of matching series, or the values of one: each once, sorted.
    ///
    /// Blocks answer from their dictionaries, without putting label sets together.
    pub(crate) async fn listing(
        &self,
        scope: &Scope,
        of: &Listing,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, of, matchers) = (tenant.clone(), of.clone(), Arc::clone(matchers));
                async move { ingester.list(&tenant, &of, &matchers, range).await }.boxed()
            })
            .await?;
        let wanted =
            Wanted { signal: Signal::Metrics, range, manifest_version: heads.manifest_version };
        let mut found = taken(scope, heads)?;
        let blocks = self.blocks.read(scope, wanted, |block| {
            let (of, matchers) = (of.clone(), Arc::clone(matchers));
            async move {
                let reader = block.metrics().await?;
                match &of {
                    Listing::Names => reader.label_names(&matchers, range).await,
                    Listing::Values(name) => reader.label_values(name, &matchers, range).await,
                }
            }
            .boxed()
        });
        found.extend(blocks.await?);
        Ok(merge::texts(found))
    }

    /// Exemplars in `range` (ms) by series, sorted.
    pub(crate) async fn exemplars(
        &self,
        scope: &Scope,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Result<Vec<Exemplars>, Error> {
        let deletes = self.series_deletes(scope, matchers, range).await?;
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let (tenant, matchers) = (tenant.clone(), Arc::clone(matchers));
                async move { ingester.exemplars(&tenant, &matchers, range).await }.boxed()
            })
            .await?;
        let wanted =
            Wanted { signal: Signal::Metrics, range, manifest_version: heads.manifest_version };
        let mut sources = taken(scope, heads)?;
        let blocks = self.blocks.read(scope, wanted, |block| {
            let matchers = Arc::clone(matchers);
            async move { block.metrics().await?.exemplars(&matchers, range).await }.boxed()
        });
        sources.extend(blocks.await?);
        let mut found = merge::exemplars(sources);
        if !deletes.is_empty() {
            for (labels, exemplars) in &mut found {
                let times = deletes.times(labels);
                exemplars.retain(|e| !times.iter().any(|range| range.contains(e.timestamp_ms)));
            }
            found.retain(|(_, exemplars)| !exemplars.is_empty());
        }
        Ok(found)
    }

    /// Metadata of all metric names, sorted by name.
    pub(crate) async fn metadata(&self, scope: &Scope) -> Result<Vec<MetricMetadata>, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let tenant = tenant.clone();
                async move {
                    let data = ingester.metadata(&tenant).await?;
                    Ok(Head { data, ..Head::default() })
                }
                .boxed()
            })
            .await?;
        let view = self.blocks.view(&scope.tenant, 0).await?;
        let stored = view.metadata.iter().map(|(name, m)| MetricMetadata {
            name: name.clone(),
            kind: m.kind.clone(),
            help: m.help.clone(),
            unit: m.unit.clone(),
        });
        let mut sources = heads.flat();
        sources.push(stored.collect());
        Ok(merge::metadata(sources))
    }

    /// What the heads have of the tenant, and how fast it grows.
    pub(crate) async fn usage(&self, scope: &Scope) -> Result<TenantUsage, Error> {
        let tenant = scope.tenant.clone();
        let heads = self
            .ingesters
            .ask(scope, |ingester| {
                let tenant = tenant.clone();
                async move {
                    let data = ingester.usage(&tenant).await?;
                    Ok(Head { data, ..Head::default() })
                }
                .boxed()
            })
            .await?;
        let mut total = TenantUsage::default();
        for replicas in heads.partitions {
            // One that was away has seen less than there is.
            let Some(fullest) = replicas.into_iter().max_by_key(|u| u.series + u.streams) else {
                continue;
            };
            total.series += fullest.series;
            total.streams += fullest.streams;
            total.samples_per_second += fullest.samples_per_second;
            total.entries_per_second += fullest.entries_per_second;
        }
        Ok(total)
    }
}

/// Counts what heads answered.
pub(crate) fn taken<T: Size>(scope: &Scope, heads: Heads<T>) -> Result<Vec<T>, Error> {
    let sources = heads.flat();
    for source in &sources {
        scope.memory.take(source.size_bytes())?;
    }
    Ok(sources)
}

/// First and last time of anything that heads answered.
fn span(sources: &[Vec<StreamEntries>]) -> Option<(i64, i64)> {
    let streams = sources.iter().flatten();
    let ends = streams.filter_map(|s| s.entries.first().zip(s.entries.last()));
    ends.map(|(a, b)| (a.timestamp_ns, b.timestamp_ns))
        .reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
}
