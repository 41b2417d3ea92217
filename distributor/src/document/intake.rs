//! Pours records one by one into batches; those of one stream that follow each other stay together.

use std::borrow::Cow;

use super::{Fields, Shape, flatten};
use crate::cache::Domain;
use crate::loki::{Entry, Pairs, Sink, Stream};
use crate::rejects::ids;
use crate::remote_write::{Context, Decoded};
use crate::time;

/// What a record says beside its fields.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    /// Without one, the field that the shape names, else now.
    pub(crate) ts: Option<i64>,
    /// Labels beside those that the shape finds.
    pub(crate) labels: Pairs<'a>,
}

#[derive(Debug)]
pub(crate) struct Intake<'a> {
    ctx: &'a Context,
    shape: Shape,
    sink: Sink<'a>,
    stream: Option<Stream>,
    /// The labels of `stream` as they were given.
    labels: Pairs<'a>,
    n_undated: i64,
}

// === impl Intake ===

impl<'a> Intake<'a> {
    pub(crate) fn new(ctx: &'a Context, body: &'a [u8], shape: Shape) -> Self {
        Self {
            ctx,
            shape,
            sink: Sink::new(ctx, Domain::Pairs, body),
            stream: None,
            labels: Pairs::new(),
            n_undated: 0,
        }
    }

    /// Adds a JSON document. `Err` is the id of why it was refused.
    pub(crate) fn document(&mut self, document: &'a [u8]) -> Result<(), &'static str> {
        self.document_with(None, document)
    }

    /// Adds a JSON document with a field that it does not have itself.
    pub(crate) fn document_with(
        &mut self,
        field: Option<(&'static str, &str)>,
        document: &'a [u8],
    ) -> Result<(), &'static str> {
        let text = std::str::from_utf8(document).map_err(|e| e.to_string());
        let read =
            text.and_then(|text| flatten(text).map(|f| (text, f)).map_err(|e| e.to_string()));
        let (text, mut fields) = match read {
            Ok(read) => read,
            Err(why) => {
                let message = || format!("document cannot be read: {why}");
                return Err(self.refuse(ids::BAD_DOCUMENT, message));
            }
        };
        if let Some((name, value)) = field {
            fields.add(Cow::Borrowed(name), Cow::Owned(value.to_owned()));
        }
        self.fields(Record::default(), fields, || Cow::Borrowed(text))
    }

    /// Counts a record that is refused before it comes here; answers the id.
    pub(crate) fn refuse(
        &mut self,
        id: &'static str,
        message: impl FnOnce() -> String,
    ) -> &'static str {
        self.sink.refuse(id, message);
        id
    }

    /// Adds a record by its fields; `whole` makes one text of it.
    pub(crate) fn fields<'w>(
        &mut self,
        record: Record<'a>,
        mut fields: Fields<'a>,
        whole: impl FnOnce() -> Cow<'w, str>,
    ) -> Result<(), &'static str> {
        let Record { ts, mut labels } = record;
        for name in &self.shape.ignore {
            while fields.take(name).is_some() {}
        }
        for (name, value) in &self.shape.extra {
            if !fields.list.iter().any(|(n, _)| n == name) {
                fields.list.push((Cow::Owned(name.clone()), Cow::Owned(value.clone())));
            }
        }
        let ts = match ts {
            Some(ts) => ts,
            None => self.time(&mut fields)?,
        };
        self.take_labels(&mut fields, &mut labels);
        let message = self.shape.message.iter().find_map(|name| fields.take(name));
        let fits = !fields.is_cut && self.fits(&fields);
        match message.filter(|_| fits) {
            Some(line) => self.entry(labels, fields.list, ts, line.as_bytes()),
            None => self.entry(labels, Pairs::new(), ts, whole().as_bytes()),
        }
    }

    /// Adds a record whose parts are known.
    pub(crate) fn entry(
        &mut self,
        labels: Pairs<'a>,
        metadata: Pairs<'a>,
        ts: i64,
        line: &[u8],
    ) -> Result<(), &'static str> {
        if self.stream.is_some() && self.labels == labels {
            self.sink.count_line();
        } else {
            self.labels.clone_from(&labels);
            let mut labels = labels;
            self.stream = self.sink.begin_pairs(&mut labels, 1);
        }
        self.sink.metadata = metadata;
        if let Some(stream) = self.stream.as_mut() {
            self.sink.entry(stream, Entry { ts, line });
        }
        self.sink.refused.take().map_or(Ok(()), Err)
    }

    /// A time for a record that has none: now, and later than the one before it, for equal lines of
    /// one nanosecond would be one line.
    pub(crate) fn undated(&mut self) -> i64 {
        self.n_undated += 1;
        self.ctx.now_ns.saturating_add(self.n_undated - 1)
    }

    /// Whether the tenant wants `detected_level`.
    pub(crate) fn wants_level(&self) -> bool {
        self.ctx.limits.discover_log_levels
    }

    pub(crate) fn finish(self) -> Decoded {
        self.sink.finish_pairs()
    }

    fn time(&mut self, fields: &mut Fields<'a>) -> Result<i64, &'static str> {
        let found = self.shape.time.iter().find_map(|n| fields.take(n).map(|text| (n, text)));
        match found {
            None => Ok(self.undated()),
            Some((name, text)) => time::parse(&text).ok_or_else(|| {
                let message = || {
                    format!(
                        "field {name} is no time: {text:.60?}; RFC 3339, or a number of seconds, \
                         milliseconds, microseconds or nanoseconds since 1970 is"
                    )
                };
                self.sink.refuse(ids::BAD_TIME, message);
                ids::BAD_TIME
            }),
        }
    }

    /// Moves stream fields to `labels`, as many and as long as labels may be.
    fn take_labels(&self, fields: &mut Fields<'a>, labels: &mut Pairs<'a>) {
        let limits = &self.ctx.limits;
        let within = |n: usize, limit: usize| limit == 0 || n <= limit;
        for name in &self.shape.stream {
            if !within(labels.len() + 1, limits.max_label_names_per_stream) {
                return;
            }
            let found = fields.list.iter().rfind(|(n, _)| n == name);
            if found.is_some_and(|(_, v)| within(v.len(), limits.max_label_value_length))
                && let Some(value) = fields.take(name)
            {
                labels.push((Cow::Owned(name.clone()), value));
            }
        }
    }

    fn fits(&self, fields: &Fields<'_>) -> bool {
        let limits = &self.ctx.limits;
        let max_n = limits.max_structured_metadata_entries_count;
        let max_size = limits.max_structured_metadata_size.0;
        let size: usize = fields.list.iter().map(|(n, v)| n.len() + v.len()).sum();
        (max_n == 0 || fields.list.len() <= max_n) && (max_size == 0 || size as u64 <= max_size)
    }
}
