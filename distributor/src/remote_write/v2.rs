//! Remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Labels are references into the request's symbols. Each symbol is hashed once; the key of a series
//! is the hash of its symbols' hashes. The created timestamp of a series, which drafts had, is read over.

use std::collections::HashSet;

use skald_model::labels::put_uvarint;

use super::labels::{Fault, HARD_MAX_LABELS, Pairs, pair_v2, read_v2, symbol};
use super::metadata::Family;
use super::sink::{Raw, Resolved, Sink};
use super::v1::sample;
use super::{Context, Decoded, exemplar, metadata};
use crate::batches::Item;
use crate::buffer::Buffer;
use crate::cache::{Domain, Key};
use crate::rejects::ids;
use crate::source::{Form, Source};
use crate::wire::{Fields, Malformed, Value, offset_in, varints};

/// Symbols of one request; more is no honest client.
const MAX_SYMBOLS: usize = 1 << 20;

/// Decodes a decompressed body.
pub(crate) fn decode_v2(ctx: &Context, body: impl Into<Buffer>) -> Result<Decoded, Malformed> {
    let body = body.into();
    let symbols = symbols(&body)?;
    let sink = Sink::new(ctx, Domain::WriteV2, &body, Some(&symbols));
    let hash = |n: u64| sink.seed.symbol(symbol(n, &symbols, &body).unwrap_or_default());
    let hashes = (0..symbols.len() as u64).map(hash).collect();
    let mut walk = Walk {
        body: &body,
        symbols: &symbols,
        hashes,
        sink,
        raw: Raw::default(),
        refs: Vec::new(),
        pairs: Vec::new(),
        families: HashSet::new(),
    };
    let mut request = Fields::new(&body);
    while let Some((number, value)) = request.next()? {
        if number == 5 {
            walk.series(value.bytes()?)?;
        }
    }
    let (parts, counts, rejects, wanted, spill) = walk.sink.finish();
    let source = Source { spill, form: Form::WriteV2(symbols, ctx.pairing()), body };
    Ok(Decoded { parts, source, counts, rejects, wanted })
}

/// Positions of all symbols; they may stand behind the series that use them.
fn symbols(body: &[u8]) -> Result<Vec<(u32, u32)>, Malformed> {
    let mut symbols = Vec::new();
    let mut n_series = 0;
    let mut request = Fields::new(body);
    while let Some((number, value)) = request.next()? {
        match number {
            4 => {
                let text = value.bytes()?;
                if symbols.len() >= MAX_SYMBOLS {
                    return Err(Malformed("more than 1048576 symbols"));
                }
                if symbols.is_empty() && !text.is_empty() {
                    return Err(Malformed("the first symbol must be the empty string"));
                }
                let position = |n: usize| u32::try_from(n).map_err(|_| Malformed("too long"));
                symbols.push((position(offset_in(body, text))?, position(text.len())?));
            }
            5 => n_series += 1,
            _ => {}
        }
    }
    if symbols.is_empty() && n_series > 0 {
        return Err(Malformed("the first symbol must be the empty string"));
    }
    Ok(symbols)
}

#[derive(Debug)]
struct Walk<'a> {
    body: &'a [u8],
    symbols: &'a [(u32, u32)],
    hashes: Vec<u128>,
    sink: Sink<'a>,
    raw: Raw<'a>,
    /// Hashes of one series' symbols.
    refs: Vec<u8>,
    pairs: Pairs<'a>,
    /// Metadata already sent in this push.
    families: HashSet<(u64, u64)>,
}

/// How a series wrote its labels.
#[derive(Clone, Copy, Debug)]
enum Refs<'a> {
    /// One packed field, as every known sender does.
    Packed(&'a [u8]),
    /// Several fields or unpacked numbers, which protobuf allows.
    Pieces,
}

impl<'a> Walk<'a> {
    fn series(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (found, family) = self.read(message)?;
        let (symbols, body) = (self.symbols, self.body);
        let repacked;
        let (item, refs): (Item, &[u8]) = match found {
            Refs::Packed(refs) => (Item::in_body(offset_in(body, refs), refs.len()), refs),
            Refs::Pieces => {
                repacked = repack(message)?;
                let at = self.sink.spill.len();
                self.sink.spill.extend_from_slice(&repacked);
                (Item::in_spill(at, repacked.len()), &repacked)
            }
        };
        if let Some(names) = self.sink.ha_names()
            && !self.sink.admits(pair_v2(refs, symbols, body, names), &self.raw)
        {
            return Ok(());
        }
        let read = |pairs: &mut Pairs<'a>| read_v2(refs, symbols, body, pairs);
        let resolved = match self.key(refs) {
            Some(key) => {
                let flags = family.fingerprint(&self.hashes);
                self.sink.resolve(key, item, flags, &mut self.pairs, read)
            }
            // Not hashable is not readable either.
            None => read(&mut self.pairs).and(Err(Fault::Invalid("invalid labels_refs"))),
        };
        match resolved {
            Ok(series) => self.write(&series, family),
            Err(fault) => {
                self.sink.refuse(fault, &self.pairs, &self.raw);
                Ok(())
            }
        }
    }

    fn write(&mut self, series: &Resolved, family: Family) -> Result<(), Malformed> {
        if !self.raw.floats.is_empty() && !self.raw.histograms.is_empty() {
            self.sink.count(&self.raw);
            for _ in 0..self.raw.n_samples() {
                let what = || "floats and histograms in one series".to_owned();
                self.sink.reject(ids::MIXED_SAMPLES, series, what);
            }
            return Ok(());
        }
        // Prometheus sends exemplars in series of their own, so these are not refused.
        if self.raw.is_empty() {
            let what = || "a series needs samples or histograms".to_owned();
            self.sink.reject(ids::NO_SAMPLES, series, what);
            return Ok(());
        }
        if let Some(name) = series.labels.as_ref().and_then(|l| l.metric_name())
            && family.is_there()
        {
            let seen = (xxhash_rust::xxh3::xxh3_64(name.as_bytes()), family.hash(&self.hashes));
            if self.families.insert(seen) {
                metadata::take_v2(&mut self.sink, name, family, self.symbols, self.body);
            }
        }
        let (symbols, body) = (self.symbols, self.body);
        exemplar::take_v2(&mut self.sink, series, &self.raw.exemplars, symbols, body)?;
        self.sink.write(series, &mut self.raw)
    }

    /// The cache key of packed references; `None` when one is out of range or there are too many.
    fn key(&mut self, refs: &[u8]) -> Option<Key> {
        self.refs.clear();
        let mut in_range = true;
        varints(Value::Bytes(refs), |r| {
            match usize::try_from(r).ok().and_then(|r| self.hashes.get(r)) {
                Some(hash) if self.refs.len() < 2 * HARD_MAX_LABELS * size_of::<u128>() => {
                    self.refs.extend_from_slice(&hash.to_le_bytes());
                }
                _ => in_range = false,
            }
            Ok(())
        })
        .ok()?;
        in_range.then(|| self.sink.seed.key(&self.refs))
    }

    /// Collects the samples, labels and metadata of a series.
    fn read(&mut self, message: &'a [u8]) -> Result<(Refs<'a>, Family), Malformed> {
        self.raw.clear();
        let mut refs: Option<Refs<'a>> = None;
        let mut family = Family::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(packed)) if refs.is_none() => refs = Some(Refs::Packed(packed)),
                (1, _) => refs = Some(Refs::Pieces),
                (2, _) => {
                    let (ts, sample, start) = sample(value.bytes()?)?;
                    self.raw.push_float(ts, sample, start)?;
                }
                (3, _) => self.raw.histograms.push(value.bytes()?),
                (4, _) => self.raw.exemplars.push(value.bytes()?),
                (5, _) => family = Family::read(value.bytes()?)?,
                _ => {}
            }
        }
        Ok((refs.unwrap_or(Refs::Packed(&[])), family))
    }
}

/// All label references of a series as one packed field.
fn repack(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            varints(value, |r| {
                put_uvarint(&mut out, r);
                Ok(())
            })?;
        }
    }
    Ok(out)
}
