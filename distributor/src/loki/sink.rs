//! Where both forms of Loki push pour their streams: resolves labels, checks entries, fills batches.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use skald_codec::batch::LogsBuilder;
use skald_limits::Limits;
use skald_model::{Labels, SeriesId};

use super::DecodeError;
use super::labels::{
    Fault, Pairs, canonical, fingerprint, make_valid, object, put_sorted, read_json, read_pairs,
    read_text,
};
use super::level::{self, DETECTED_LEVEL, Level};
use crate::batches::{Item, Memory, Part, Parts};
use crate::buffer::Buffer;
use crate::cache::{Domain, Key, Seed, tag_of};
use crate::ha::Wanted;
use crate::rejects::{Rejects, ids};
use crate::remote_write::{Context, Counts, Decoded};
use crate::source::{Form, Source};
use crate::time::rfc3339;

/// What the lines of a push may take with their metadata, or four times its body if that is more: what
/// many lines share stands once in the body.
const MAX_LINE_BYTES: u64 = 128 << 20;

/// A stream whose labels are valid.
#[derive(Debug)]
pub(crate) struct Stream {
    id: SeriesId,
    key: Key,
    item: Item,
    /// To be sent along; `None` when a quorum of the owning partition knows them.
    labels: Option<Labels>,
    /// Of the stream's labels.
    level: Option<Level>,
    /// Whether the batch has it already.
    is_open: bool,
}

/// An entry; its metadata is in [`Sink::metadata`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'e> {
    pub(crate) ts: i64,
    pub(crate) line: &'e [u8],
}

#[derive(Debug)]
pub(crate) struct Sink<'c> {
    ctx: &'c Context,
    domain: Domain,
    seed: Seed,
    tag: u32,
    body: &'c [u8],
    /// Labels that do not stand in the body as [`Domain::Pairs`] has them, each set once.
    spill: Vec<u8>,
    spilled: HashMap<Key, Item>,
    parts: Parts<LogsBuilder>,
    counts: Counts,
    rejects: Rejects,
    /// Why the last stream or entry was refused, until it is taken.
    pub(crate) refused: Option<&'static str>,
    n_streams: u64,
    /// The structured metadata of the next entry, as it was sent.
    pub(crate) metadata: Pairs<'c>,
    scratch: Vec<u8>,
    /// The metadata written last: often the next entry's too.
    last: Labels,
    min_ns: i64,
    max_ns: i64,
}

// === impl Sink ===

impl<'c> Sink<'c> {
    pub(crate) fn new(ctx: &'c Context, domain: Domain, body: &'c [u8]) -> Self {
        let limits = &ctx.limits;
        let grace = limits.creation_grace_period;
        let max_ns =
            if grace.is_zero() { i64::MAX } else { ctx.now_ns.saturating_add(grace.as_nanos()) };
        let age = limits.reject_old_samples_max_age.as_nanos();
        let min_ns =
            if limits.reject_old_samples { ctx.now_ns.saturating_sub(age) } else { i64::MIN };
        // The level that lines get takes about as much as what protobuf spends on them.
        let n_bytes = body.len() + body.len() / 16;
        let memory = Memory { buffers: Arc::clone(&ctx.buffers), n_bytes };
        Self {
            ctx,
            domain,
            seed: ctx.cache.seed(domain, ctx.tenant.as_str(), fingerprint(limits)),
            tag: tag_of(&ctx.view),
            body,
            spill: Vec::new(),
            spilled: HashMap::new(),
            parts: Parts::new(
                ctx.tenant.clone(),
                Arc::clone(&ctx.view),
                limits.ingestion_tenant_shard_size,
                ctx.now_ns,
                memory,
            ),
            counts: Counts::default(),
            rejects: Rejects::default(),
            refused: None,
            n_streams: 0,
            metadata: Pairs::new(),
            scratch: Vec::new(),
            last: Labels::empty(),
            min_ns,
            max_ns,
        }
    }

    /// Begins a stream of `n_entries`, at least one; `None` when its labels are refused.
    pub(crate) fn begin(&mut self, item: Item, raw: &[u8], n_entries: u64) -> Option<Stream> {
        self.n_streams += 1;
        self.counts.lines += n_entries;
        let key = self.seed.key(raw);
        let hit = self.ctx.cache.get(key);
        if let Some(hit) = hit.filter(|hit| hit.tag == self.tag) {
            let level = Level::from_flags(hit.flags);
            return Some(Stream { id: hit.id, key, item, labels: None, level, is_open: false });
        }
        match self.read(raw).and_then(|pairs| canonical(pairs, &self.ctx.limits)) {
            Ok(labels) => {
                let level = level::of_pairs(&labels);
                let id = labels.id();
                if hit.is_none() {
                    self.ctx.cache.insert(key, id, level.map_or(0, Level::to_flags));
                }
                Some(Stream { id, key, item, labels: Some(labels), level, is_open: false })
            }
            Err(fault) => {
                let limits = &self.ctx.limits;
                let message = || {
                    let text = fault.describe(limits, &self.shown(raw));
                    with_id(text, fault.id(), fault.setting())
                };
                let message = if self.rejects.has(fault.id()) { String::new() } else { message() };
                self.rejects.add(fault.id(), n_entries, || message);
                self.refused = Some(fault.id());
                None
            }
        }
    }

    /// Begins a stream whose labels did not come in one piece. Names are made valid, empty values are
    /// left out, and of equal names the last counts.
    pub(crate) fn begin_pairs(&mut self, pairs: &mut Pairs<'_>, n_entries: u64) -> Option<Stream> {
        make_valid(pairs);
        let mut raw = std::mem::take(&mut self.scratch);
        put_sorted(pairs, &mut raw);
        let item = *self.spilled.entry(self.seed.key(&raw)).or_insert_with(|| {
            let at = self.spill.len();
            self.spill.extend_from_slice(&raw);
            Item::in_spill(at, raw.len())
        });
        let stream = self.begin(item, &raw, n_entries);
        self.scratch = raw;
        stream
    }

    /// Counts an entry that its protocol refuses before it comes here.
    pub(crate) fn refuse(&mut self, id: &'static str, message: impl FnOnce() -> String) {
        self.n_streams += 1;
        self.counts.lines += 1;
        self.rejects.add(id, 1, message);
    }

    /// Counts an entry that follows others of its stream, which [`begin`](Self::begin) did not count.
    pub(crate) fn count_line(&mut self) {
        self.counts.lines += 1;
    }

    /// Adds an entry with the metadata in `self.metadata`, or counts why not.
    pub(crate) fn entry(&mut self, stream: &mut Stream, entry: Entry<'_>) {
        let mut metadata = std::mem::take(&mut self.metadata);
        self.entry_with(stream, entry, &mut metadata);
        self.metadata = metadata;
    }

    /// Adds an entry with its metadata, or counts why not.
    pub(crate) fn entry_with(
        &mut self,
        stream: &mut Stream,
        entry: Entry<'_>,
        metadata: &mut Pairs<'_>,
    ) {
        let Some(line) = self.check(stream, entry, metadata) else { return };
        let repaired;
        let line = if std::str::from_utf8(line).is_ok() {
            line
        } else {
            repaired = String::from_utf8_lossy(line);
            repaired.as_bytes()
        };
        // Most lines have no metadata but the level, and there are few levels.
        let level_alone = metadata.is_empty() && self.ctx.limits.discover_log_levels;
        let composed = if level_alone {
            stream.level.unwrap_or_else(|| level::of_line(line)).as_metadata()
        } else {
            self.compose_metadata(stream, line, metadata);
            &self.last
        };
        self.counts.line_bytes += (line.len() + composed.as_bytes().len()) as u64;
        let part = self.parts.of(stream.id);
        if !stream.is_open {
            stream.is_open = true;
            part.items.push(stream.item);
            if stream.labels.is_some() {
                part.fresh.push(stream.key);
            }
            part.builder.stream(stream.id, stream.labels.as_ref());
        }
        part.builder.entry(entry.ts, line, composed);
    }

    pub(super) fn finish(self) -> Result<(Vec<Part>, Counts, Rejects), DecodeError> {
        if self.n_streams == 0 {
            return Err(DecodeError::NoStreams);
        }
        Ok((self.parts.finish(), self.counts, self.rejects))
    }

    /// What came of the entries of [`begin_pairs`](Self::begin_pairs), if there were any.
    pub(crate) fn finish_pairs(self) -> Decoded {
        let form = Form::Pairs(Arc::clone(&self.ctx.limits));
        // Labels are read from the spill only, so the body need not be kept.
        let source = Source { body: Buffer::default(), spill: self.spill, form };
        let (counts, rejects) = (self.counts, self.rejects);
        Decoded { parts: self.parts.finish(), source, counts, rejects, wanted: Wanted::default() }
    }

    /// The line to store, cut if the tenant wants that; `None` when the entry is refused.
    fn check<'e>(
        &mut self,
        stream: &Stream,
        entry: Entry<'e>,
        metadata: &Pairs<'_>,
    ) -> Option<&'e [u8]> {
        let ctx = self.ctx;
        let limits: &Limits = &ctx.limits;
        let most = (4 * self.body.len() as u64).max(MAX_LINE_BYTES);
        if self.counts.line_bytes > most {
            let id = ids::BODY_TOO_LARGE;
            self.refused = Some(id);
            let why = "the lines of one push, with the metadata that they share, take more than";
            self.rejects.add(id, 1, || format!("{why} {most} bytes: send fewer at once ({id})"));
            return None;
        }
        if entry.ts < self.min_ns {
            let oldest = self.min_ns;
            self.reject(stream, ids::MAX_SAMPLE_AGE, "reject_old_samples_max_age", |stream| {
                format!(
                    "entry for stream '{stream}' has timestamp too old: {}, oldest acceptable \
                     timestamp is: {}",
                    rfc3339(entry.ts),
                    rfc3339(oldest)
                )
            });
            return None;
        }
        if entry.ts > self.max_ns {
            self.reject(stream, ids::TOO_FAR_IN_FUTURE, "creation_grace_period", |stream| {
                let ts = rfc3339(entry.ts);
                format!("entry for stream '{stream}' has timestamp too new: {ts}")
            });
            return None;
        }
        let max_line = usize::try_from(limits.max_line_size.0).unwrap_or(usize::MAX);
        let mut line = entry.line;
        if max_line > 0 && line.len() > max_line {
            if !limits.max_line_size_truncate {
                self.reject(stream, ids::LINE_TOO_LONG, "max_line_size", |stream| {
                    format!(
                        "max entry size '{max_line}' bytes exceeded for stream '{stream}' while \
                         adding an entry with length '{}' bytes",
                        line.len()
                    )
                });
                return None;
            }
            line = cut_line(line, max_line);
        }
        if self.check_metadata(stream, metadata) { Some(line) } else { None }
    }

    fn check_metadata(&mut self, stream: &Stream, metadata: &Pairs<'_>) -> bool {
        let limits: &Limits = &self.ctx.limits;
        let size: usize = metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
        let max_size = usize::try_from(limits.max_structured_metadata_size.0).unwrap_or(usize::MAX);
        let (n, max_n) = (metadata.len(), limits.max_structured_metadata_entries_count);
        if max_size > 0 && size > max_size {
            let setting = "max_structured_metadata_size";
            self.reject(stream, ids::METADATA_TOO_LARGE, setting, |stream| {
                format!(
                    "stream '{stream}' has structured metadata too large: '{size}' bytes, limit: \
                     '{max_size}' bytes"
                )
            });
            return false;
        }
        if max_n > 0 && n > max_n {
            let setting = "max_structured_metadata_entries_count";
            self.reject(stream, ids::METADATA_TOO_MANY, setting, |stream| {
                format!(
                    "stream '{stream}' has too many structured metadata labels: '{n}', limit: \
                     '{max_n}'"
                )
            });
            return false;
        }
        true
    }

    /// Makes `self.last` the canonical metadata of the next entry.
    fn compose_metadata(&mut self, stream: &Stream, line: &[u8], metadata: &mut Pairs<'_>) {
        make_valid(metadata);
        let is_level =
            |(n, v): &&mut (Cow<'_, str>, Cow<'_, str>)| n == DETECTED_LEVEL && !v.is_empty();
        if !self.ctx.limits.discover_log_levels {
            // As it was sent.
        } else if let Some((_, given)) = metadata.iter_mut().find(is_level) {
            // One that came along stays, in the spelling that is searched for.
            if let Some(level) = Level::of_value(given.as_bytes()) {
                *given = Cow::Borrowed(level.as_str());
            }
        } else {
            let pairs = metadata.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
            let level = stream.level.or_else(|| level::of_metadata(pairs));
            let level = level.unwrap_or_else(|| level::of_line(line));
            metadata.push((Cow::Borrowed(DETECTED_LEVEL), Cow::Borrowed(level.as_str())));
        }
        put_sorted(metadata, &mut self.scratch);
        if self.last.as_bytes()[..] != self.scratch[..] {
            let bytes = Bytes::copy_from_slice(&self.scratch);
            self.last = Labels::from_bytes(bytes).unwrap_or_default();
        }
    }

    fn read<'r>(&self, raw: &'r [u8]) -> Result<Pairs<'r>, Fault> {
        match self.domain {
            Domain::LokiJson => read_json(raw),
            Domain::Pairs => read_pairs(raw, &self.ctx.limits),
            _ => read_text(raw),
        }
    }

    /// The stream's labels for a message: as they were sent, or as Loki would write them.
    fn shown(&self, raw: &[u8]) -> String {
        let text = match (self.domain, object(raw)) {
            (Domain::LokiJson, Ok(pairs)) => Labels::from_pairs(pairs).to_string(),
            (Domain::Pairs, _) => {
                let pairs = read_pairs(raw, &self.ctx.limits).unwrap_or_default();
                Labels::from_pairs(pairs).to_string()
            }
            _ => String::from_utf8_lossy(&raw[..raw.len().min(1024)]).into_owned(),
        };
        text[..text.floor_char_boundary(256)].to_owned()
    }

    fn reject(
        &mut self,
        stream: &Stream,
        id: &'static str,
        setting: &'static str,
        text: impl FnOnce(&str) -> String,
    ) {
        // Formatted only for the first of its kind.
        let message = if self.rejects.has(id) {
            String::new()
        } else {
            let raw = stream.item.of(self.body, &self.spill).unwrap_or_default();
            with_id(text(&self.shown(raw)), id, Some(setting))
        };
        self.rejects.add(id, 1, || message);
        self.refused = Some(id);
    }
}

/// Loki's text stays as it is and comes first; ours names id and setting behind it.
fn with_id(text: String, id: &str, setting: Option<&str>) -> String {
    match setting {
        Some(setting) => format!("{text} ({id}, setting {setting})"),
        None => format!("{text} ({id})"),
    }
}

/// The first `max` bytes, not ending within a character.
fn cut_line(line: &[u8], max: usize) -> &[u8] {
    let is_inside = |at: usize| line.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    let end = (max.saturating_sub(3)..=max).rev().find(|at| !is_inside(*at)).unwrap_or(max);
    &line[..end]
}
