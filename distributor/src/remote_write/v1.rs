//! Remote write 1.0: `prometheus.WriteRequest`.

use super::labels::{Pairs, pair_v1, read_v1};
use super::sink::{Raw, Sink};
use super::{Context, Decoded, exemplar, metadata};
use crate::batches::Item;
use crate::buffer::Buffer;
use crate::cache::Domain;
use crate::source::{Form, Source};
use crate::wire::{Fields, Malformed, offset_in};

/// Decodes a decompressed body.
pub(crate) fn decode_v1(ctx: &Context, body: impl Into<Buffer>) -> Result<Decoded, Malformed> {
    let body = body.into();
    let mut walk = Walk {
        body: &body,
        sink: Sink::new(ctx, Domain::WriteV1, &body, None),
        raw: Raw::default(),
        pairs: Vec::new(),
    };
    let mut request = Fields::new(&body);
    while let Some((number, value)) = request.next()? {
        match number {
            1 => walk.series(value.bytes()?)?,
            3 => metadata::take_v1(&mut walk.sink, value.bytes()?)?,
            _ => {}
        }
    }
    let (parts, counts, rejects, wanted, spill) = walk.sink.finish();
    let form = Form::WriteV1(ctx.pairing());
    Ok(Decoded { parts, source: Source { body, spill, form }, counts, rejects, wanted })
}

#[derive(Debug)]
struct Walk<'a> {
    body: &'a [u8],
    sink: Sink<'a>,
    raw: Raw<'a>,
    pairs: Pairs<'a>,
}

impl<'a> Walk<'a> {
    fn series(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let region = self.read(message)?;
        // Nothing to store: some senders do this, and it is no error in version 1.
        if self.raw.is_empty() {
            return Ok(());
        }
        let Some(labels) = region else { return self.series_in_pieces(message) };
        if let Some(names) = self.sink.ha_names()
            && !self.sink.admits(pair_v1(labels, names), &self.raw)
        {
            return Ok(());
        }
        let item = Item::in_body(offset_in(self.body, labels), labels.len());
        let key = self.sink.seed.key(labels);
        match self.sink.resolve(key, item, 0, &mut self.pairs, |pairs| read_v1(labels, pairs)) {
            Ok(series) => {
                exemplar::take_v1(&mut self.sink, &series, &self.raw.exemplars)?;
                self.sink.write(&series, &mut self.raw)
            }
            Err(fault) => {
                self.sink.refuse(fault, &self.pairs, &self.raw);
                Ok(())
            }
        }
    }

    /// Collects the samples; the labels too when they stand in one piece, as every known sender writes them.
    fn read(&mut self, message: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        self.raw.clear();
        let (mut start, mut end) = (0, 0);
        let mut in_one_piece = true;
        let mut fields = Fields::new(message);
        loop {
            let at = message.len() - fields.rest().len();
            let Some((number, value)) = fields.next()? else { break };
            match number {
                1 => {
                    value.bytes()?;
                    if end == 0 {
                        start = at;
                    } else if end != at {
                        in_one_piece = false;
                    }
                    end = message.len() - fields.rest().len();
                }
                2 => {
                    // Field 3 means nothing in version 1.
                    let (ts, sample, _) = sample(value.bytes()?)?;
                    self.raw.push_float(ts, sample, 0)?;
                }
                3 => self.raw.exemplars.push(value.bytes()?),
                4 => self.raw.histograms.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(in_one_piece.then(|| &message[start..end]))
    }

    /// As [`Self::series`], for labels between which other fields stand: they are copied together first.
    fn series_in_pieces(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let at = self.sink.spill.len();
        let mut fields = Fields::new(message);
        loop {
            let before = fields.rest();
            let Some((number, _)) = fields.next()? else { break };
            if number == 1 {
                let field = &before[..before.len() - fields.rest().len()];
                self.sink.spill.extend_from_slice(field);
            }
        }
        let labels = self.sink.spill[at..].to_vec();
        if let Some(names) = self.sink.ha_names()
            && !self.sink.admits(pair_v1(&labels, names), &self.raw)
        {
            return Ok(());
        }
        let item = Item::in_spill(at, labels.len());
        let key = self.sink.seed.key(&labels);
        let mut pairs = Pairs::new();
        match self.sink.resolve(key, item, 0, &mut pairs, |pairs| read_v1(&labels, pairs)) {
            Ok(series) => {
                exemplar::take_v1(&mut self.sink, &series, &self.raw.exemplars)?;
                self.sink.write(&series, &mut self.raw)
            }
            Err(fault) => {
                self.sink.refuse(fault, &pairs, &self.raw);
                Ok(())
            }
        }
    }
}

/// Timestamp and value of a `Sample`, the same in both versions, and the start timestamp of version 2.
#[inline]
pub(super) fn sample(message: &[u8]) -> Result<(i64, f64, i64), Malformed> {
    let (mut ts, mut sample, mut start) = (0, 0.0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => sample = value.double()?,
            2 => ts = value.int64()?,
            // Another type here is another protocol's field, not an error.
            3 => start = value.int64().unwrap_or(0),
            _ => {}
        }
    }
    Ok((ts, sample, start))
}
