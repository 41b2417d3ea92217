//! The decoded body of a push, kept until every replica has answered: labels are read from it again
//! when an ingester answers that it does not know a series.

use std::sync::Arc;

use skald_limits::Limits;
use skald_model::Labels;

use crate::batches::Item;
use crate::buffer::Buffer;
use crate::ha::Names;
use crate::{loki, remote_write};

/// A body and how its labels are written.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) body: Buffer,
    /// Labels that did not stand in one piece in the body.
    pub(crate) spill: Vec<u8>,
    pub(crate) form: Form,
}

#[derive(Debug)]
pub(crate) enum Form {
    WriteV1(Option<Pairing>),
    /// Positions of the symbols in the body.
    WriteV2(Vec<(u32, u32)>, Option<Pairing>),
    LokiLabels(Arc<Limits>),
    LokiJson(Arc<Limits>),
    /// As [`crate::loki::Sink::begin_pairs`] wrote them.
    Pairs(Arc<Limits>),
}

/// The limits of a tenant with high-availability pairs: their labels of a replica are left out.
#[derive(Debug)]
pub(crate) struct Pairing(pub(crate) Arc<Limits>);

// === impl Pairing ===

impl Pairing {
    fn names(&self) -> Names<'_> {
        Names::of(&self.0)
    }
}

// === impl Source ===

impl Source {
    /// The canonical labels of an item. `None` only if the item is not of this source.
    pub(crate) fn labels(&self, item: Item) -> Option<Labels> {
        let raw = item.of(&self.body, &self.spill)?;
        match &self.form {
            Form::WriteV1(ha) => remote_write::labels_v1(raw, ha.as_ref().map(Pairing::names)),
            Form::WriteV2(symbols, ha) => {
                let ha = ha.as_ref().map(Pairing::names);
                remote_write::labels_v2(raw, symbols, &self.body, ha)
            }
            Form::LokiLabels(limits) => loki::labels_of_text(raw, limits),
            Form::LokiJson(limits) => loki::labels_of_json(raw, limits),
            Form::Pairs(limits) => loki::labels_of_pairs(raw, limits),
        }
    }
}
