//! One log record and how it becomes an entry: the mapping that both forms of OTLP share.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::attributes::{Resource, Rules};
use super::value::{Any, Attributes};
use crate::cache::Domain;
use crate::loki::{Entry, Pairs, Sink, Stream};
use crate::remote_write::{Context, Decoded};

/// A log record as it was sent.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) time_ns: u64,
    pub(super) observed_ns: u64,
    pub(super) severity_number: i64,
    pub(super) severity_text: Cow<'a, str>,
    pub(super) body: Any<'a>,
    pub(super) attributes: Attributes<'a>,
    pub(super) dropped_attributes: u32,
    pub(super) flags: u32,
    /// In hexadecimal.
    pub(super) trace_id: Cow<'a, str>,
    pub(super) span_id: Cow<'a, str>,
    pub(super) event_name: Cow<'a, str>,
}

/// The scope of records as it was sent.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) attributes: Attributes<'a>,
    pub(super) dropped_attributes: u32,
}

/// Pours resources, scopes and records into batches, in the order in which they are told.
#[derive(Debug)]
pub(super) struct Mapper<'a> {
    ctx: &'a Context,
    sink: Sink<'a>,
    rules: Rules<'a>,
    /// What each record of the resource, and then of the scope, has.
    resource: Resource<'a>,
    scope: Pairs<'a>,
    stream: Option<Stream>,
    n_undated: i64,
}

// === impl Mapper ===

impl<'a> Mapper<'a> {
    pub(super) fn new(ctx: &'a Context, body: &'a [u8]) -> Self {
        Self {
            ctx,
            sink: Sink::new(ctx, Domain::Pairs, body),
            rules: Rules::new(&ctx.limits),
            resource: Resource::default(),
            scope: Pairs::new(),
            stream: None,
            n_undated: 0,
        }
    }

    /// Begins a resource of `n_records`, more than none.
    pub(super) fn resource(&mut self, attributes: Attributes<'a>, n_records: u64) {
        self.resource = self.rules.resource(attributes);
        self.scope.clear();
        self.stream = self.sink.begin_pairs(&mut self.resource.labels, n_records);
    }

    pub(super) fn scope(&mut self, scope: Scope<'a>) {
        let out = &mut self.scope;
        out.clear();
        self.rules.scope(scope.attributes, out);
        put(out, "scope_name", scope.name);
        put(out, "scope_version", scope.version);
        put_number(out, "scope_dropped_attributes_count", scope.dropped_attributes.into());
    }

    pub(super) fn record(&mut self, record: Record<'a>) {
        // Records of a refused stream were counted with it.
        let Some(stream) = self.stream.as_mut() else { return };
        let time = [record.time_ns, record.observed_ns].into_iter().find(|t| *t != 0);
        let ts = match time {
            Some(ns) => i64::try_from(ns).unwrap_or(i64::MAX),
            None => {
                // Apart from each other: equal lines of one nanosecond would be one line.
                self.n_undated += 1;
                self.ctx.now_ns.saturating_add(self.n_undated - 1)
            }
        };
        // One more than the limit is enough to be refused: thousands are not looked at for every record.
        let most = match self.ctx.limits.max_structured_metadata_entries_count {
            0 => usize::MAX,
            limit => limit + 1,
        };
        let shared = self.resource.metadata.iter().chain(&self.scope).take(most);
        let mut metadata = Pairs::with_capacity(16);
        metadata.extend(shared.map(|(n, v)| (Cow::Borrowed(&**n), Cow::Borrowed(&**v))));
        let out = &mut metadata;
        self.rules.log(record.attributes, out);
        put_number(out, "observed_timestamp", record.observed_ns);
        put_number(out, "severity_number", u64::try_from(record.severity_number).unwrap_or(0));
        put(out, "severity_text", record.severity_text);
        put_number(out, "dropped_attributes_count", record.dropped_attributes.into());
        put_number(out, "flags", record.flags.into());
        put(out, "trace_id", record.trace_id);
        put(out, "span_id", record.span_id);
        put(out, "event_name", record.event_name);
        let line = record.body.into_text();
        self.sink.entry_with(stream, Entry { ts, line: line.as_bytes() }, &mut metadata);
    }

    pub(super) fn finish(self) -> Decoded {
        self.sink.finish_pairs()
    }
}

fn put<'a>(out: &mut Pairs<'a>, name: &'static str, value: Cow<'a, str>) {
    if !value.is_empty() {
        out.push((Cow::Borrowed(name), value));
    }
}

fn put_number(out: &mut Pairs<'_>, name: &'static str, n: u64) {
    if n != 0 {
        out.push((Cow::Borrowed(name), Cow::Owned(n.to_string())));
    }
}

/// Bytes as lower-case hexadecimal, empty if all are zero: that means "none".
pub(super) fn hex(bytes: &[u8]) -> Cow<'static, str> {
    let mut out = String::new();
    if bytes.iter().any(|b| *b != 0) {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(out, "{byte:02x}");
        }
    }
    Cow::Owned(out)
}
