//! `skald export`: a tenant's samples or lines out of its blocks into files that others read.
//!
//! ```text
//! range ─days that have blocks─▶ [days of many blocks: hours] ─▶ blocks read as one ─▶ NDJSON | Parquet ─▶ a file a day | stdout
//! ```
//!
//! It reads the object store alone and may run beside the servers. Each slice of time begins with the newest
//! view; when a block of it is gone before anything was read, the view is read again.

mod encode;
mod output;
mod times;

use std::sync::Arc;

use object_store::ObjectStore;
use skald_blocks::BlockMeta;
use skald_catalog::{Author, Catalog, Signal, View};
use skald_compactor::{Stored, StoredError};
use skald_logql::Selection;
use skald_model::{Matcher, TenantId, TimeRange};
use skald_runtime::{CpuPool, Rng, SystemClock};

use self::output::Output;
use crate::cli::Options;
use crate::config::{Config, ConfigError};

pub(crate) use self::times::BadTime;

/// Days of a block that are looked at: one sample with a time of another unit must not make it millions.
const MAX_DAYS: i64 = 40_000;
/// Blocks that are read at once; where there are more, time is cut finer.
const MAX_BLOCKS: usize = 32;
/// How often a view is read again because a block of it is gone.
const ATTEMPTS: usize = 3;
const HOURS_PER_DAY: i64 = 24;

/// What is to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) what: What,
    pub(crate) tenant: String,
    /// Included; from the first block on if absent.
    pub(crate) start: Option<String>,
    /// Not included; to the last block if absent.
    pub(crate) end: Option<String>,
    /// A selector, or of lines a log query; everything if absent.
    pub(crate) query: Option<String>,
    pub(crate) format: Format,
    /// A directory, or `-`.
    pub(crate) out: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Metrics,
    Logs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Parquet,
    Ndjson,
}

/// Why exporting failed. Files that are finished stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(
        "block {block} has rows of more than {MAX_DAYS} days: say which with --start and --end"
    )]
    TooLong { block: String },
    #[error("configuration")]
    Config(#[from] ConfigError),
    #[error("{what}")]
    Io { what: String, source: std::io::Error },
    #[error("open storage")]
    Open(#[from] skald_store::OpenError),
    #[error("tenant {0:?}: {1}")]
    Tenant(String, String),
    #[error("{0}")]
    Time(#[from] BadTime),
    #[error("query: {0}")]
    Query(String),
    #[error("read the catalog")]
    Catalog(#[from] skald_catalog::Error),
    #[error("block {id}: {reason}")]
    BadMeta { id: String, reason: String },
    #[error("read blocks")]
    Read(#[from] StoredError),
    #[error("write Parquet")]
    Encode(#[from] skald_blocks::Error),
}

/// What is wanted, parsed.
enum Wanted {
    Samples(Vec<Matcher>),
    Lines(Option<String>),
}

/// An export under way.
struct Work {
    store: Arc<dyn ObjectStore>,
    catalog: Catalog,
    tenant: TenantId,
    cpu: CpuPool,
    wanted: Wanted,
    output: Output,
}

/// Exports what was asked for.
pub(crate) fn run(export: &Export, options: &Options) -> Result<(), ExportError> {
    let config = Config::load(options, std::env::vars())?;
    let bad = |e: &dyn std::fmt::Display| ExportError::Tenant(export.tenant.clone(), e.to_string());
    let tenant = TenantId::parse(&export.tenant).map_err(|e| bad(&e))?;
    let wanted = export.wanted()?;
    let asked = export.range()?;
    let io = |source| ExportError::Io { what: "start the runtime".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io)?;
    runtime.block_on(async {
        let store = skald_store::open(&config.storage_url(), &config.storage.options)?;
        // Nothing is ever committed under this name.
        let author = Author { replica: "export".to_owned(), epoch: 0 };
        let (clock, rng) = (Arc::new(SystemClock), Rng::from_entropy());
        let settings = skald_catalog::Config::default();
        let catalog = Catalog::new(Arc::clone(&store), clock, rng, author, settings);
        let output = Output::new(export)?;
        let cpu = CpuPool::per_core();
        let mut work = Work { store, catalog, tenant, cpu, wanted, output };
        work.all(asked).await?;
        let (n_rows, n_files) = work.output.finish()?;
        let what = if export.what == What::Metrics { "samples" } else { "lines" };
        crate::note(&format!("exported {n_rows} {what} in {n_files} files"));
        Ok(())
    })
}

// === impl Export ===

impl Export {
    fn wanted(&self) -> Result<Wanted, ExportError> {
        let bad = |e: &dyn std::fmt::Display| ExportError::Query(e.to_string());
        Ok(match (self.what, &self.query) {
            (What::Metrics, None) => Wanted::Samples(Vec::new()),
            (What::Metrics, Some(text)) => {
                let selector = skald_promql::syntax::parse_selector(text).map_err(|e| bad(&e))?;
                Wanted::Samples(selector.matchers)
            }
            (What::Logs, None) => Wanted::Lines(None),
            (What::Logs, Some(text)) => {
                Selection::parse(text).map_err(|e| bad(&e))?;
                Wanted::Lines(Some(text.clone()))
            }
        })
    }

    /// In the unit of the signal.
    fn range(&self) -> Result<TimeRange, ExportError> {
        let bound = |name, text: &Option<String>, absent| match text {
            Some(text) => {
                // The first whole unit from there on.
                let unit = self.what.unit_ns();
                times::parse(name, text).map(|ns| ns.saturating_sub(1).div_euclid(unit) + 1)
            }
            None => Ok(absent),
        };
        let start = bound("--start", &self.start, i64::MIN)?;
        Ok(TimeRange::new(start, bound("--end", &self.end, i64::MAX)?))
    }
}

// === impl What ===

impl What {
    /// Nanoseconds of a unit of time.
    fn unit_ns(self) -> i64 {
        match self {
            Self::Metrics => 1_000_000,
            Self::Logs => 1,
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Metrics => Signal::Metrics,
            Self::Logs => Signal::Logs,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn what(&self) -> What {
        match self {
            Self::Samples(_) => What::Metrics,
            Self::Lines(_) => What::Logs,
        }
    }
}

// === impl Work ===

impl Work {
    async fn all(&mut self, asked: TimeRange) -> Result<(), ExportError> {
        let what = self.wanted.what();
        let day = times::NS_PER_DAY / what.unit_ns();
        let view = self.catalog.refresh(&self.tenant).await?;
        let blocks = || view.blocks.iter().filter(|b| b.signal() == what.signal());
        let (first, last) =
            (blocks().map(|b| b.min_time).min(), blocks().map(|b| b.max_time).max());
        let Some((first, last)) = first.zip(last) else { return Ok(()) };
        let range = asked.intersect(TimeRange::new(first, last.saturating_add(1)));
        let mut days: Vec<i64> = Vec::new();
        for block in blocks() {
            let part =
                range.intersect(TimeRange::new(block.min_time, block.max_time.saturating_add(1)));
            if !part.is_empty() {
                let (first, last) = (part.start.div_euclid(day), (part.end - 1).div_euclid(day));
                if last.saturating_sub(first) > MAX_DAYS {
                    return Err(ExportError::TooLong { block: block.id.clone() });
                }
                days.extend(first..=last);
            }
        }
        days.sort_unstable();
        days.dedup();
        for number in days {
            let start = number.saturating_mul(day);
            let of_day = range.intersect(TimeRange::new(start, start.saturating_add(day)));
            let n_blocks = blocks_in(&view, what, of_day)?.len();
            let parts = if n_blocks > MAX_BLOCKS { HOURS_PER_DAY } else { 1 };
            let width = day / parts;
            for part in 0..parts {
                let start = start.saturating_add(part * width);
                let slice = of_day.intersect(TimeRange::new(start, start.saturating_add(width)));
                if !slice.is_empty() {
                    self.output.begin(number)?;
                    self.slice(slice).await?;
                }
            }
        }
        Ok(())
    }

    async fn slice(&mut self, range: TimeRange) -> Result<(), ExportError> {
        let stored = Stored {
            store: Arc::clone(&self.store),
            tenant: self.tenant.clone(),
            cpu: self.cpu.clone(),
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let view = self.catalog.refresh(&self.tenant).await?;
            let blocks = blocks_in(&view, self.wanted.what(), range)?;
            let again = |e: &StoredError| e.is_gone() && attempt < ATTEMPTS;
            match &self.wanted {
                Wanted::Samples(matchers) => {
                    let opened = stored.samples(&view, &blocks, matchers.clone(), range).await;
                    let mut samples = match opened {
                        Err(e) if again(&e) => continue,
                        opened => opened?,
                    };
                    while let Some(batch) = samples.next().await? {
                        for series in &batch {
                            self.output.put(|encoder| encoder.series(series))?;
                        }
                    }
                }
                Wanted::Lines(query) => {
                    let parse = |q: &String| Selection::parse(q);
                    let selection = query.as_ref().map(parse).transpose();
                    let selection = selection.map_err(|e| ExportError::Query(e.to_string()))?;
                    let opened = stored.lines(&view, &blocks, selection, range).await;
                    let mut lines = match opened {
                        Err(e) if again(&e) => continue,
                        opened => opened?,
                    };
                    while let Some(batch) = lines.next().await? {
                        for stream in &batch {
                            self.output.put(|encoder| encoder.stream(stream))?;
                        }
                    }
                }
            }
            return Ok(());
        }
    }
}

/// The blocks of a view that have rows in `range`.
fn blocks_in(view: &View, what: What, range: TimeRange) -> Result<Vec<BlockMeta>, ExportError> {
    let blocks = view
        .blocks
        .iter()
        .filter(|b| b.signal() == what.signal() && range.overlaps(b.min_time, b.max_time));
    let meta = |block: &Arc<skald_catalog::BlockMeta>| {
        skald_compactor::block_meta(block)
            .map_err(|e| ExportError::BadMeta { id: block.id.clone(), reason: e.to_string() })
    };
    blocks.map(meta).collect()
}
