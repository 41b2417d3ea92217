//! `topk` and `bottomk`: the best values of each group and step, and whose they are.

use std::cmp::Ordering;

use skald_model::Labels;

use super::heap::{Heap, Item};
use super::param::whole_numbers;
use super::{GroupIndex, Grouping, Held};
use crate::function::sort;
use crate::{Column, Context, VectorError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Largest,
    Smallest,
}

#[derive(Debug)]
pub(super) struct Top<'a> {
    order: Order,
    /// Per step.
    k: Vec<usize>,
    index: GroupIndex<'a>,
    /// For each group a heap per step.
    groups: Vec<Vec<Heap>>,
    members: Members,
    n_items: usize,
    remark: String,
}

/// Series of which a value is among the best so far.
#[derive(Debug, Default)]
struct Members {
    slots: Vec<Member>,
    /// Slots that nobody has.
    free: Vec<usize>,
    /// Series that were members at any time.
    entered: usize,
}

#[derive(Debug, Default)]
struct Member {
    labels: Labels,
    drop_name: bool,
    /// Grows from one member to the next.
    rank: usize,
    /// At how many steps it is among the best.
    n_steps: usize,
}

// === impl Order ===

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Largest => "topk",
            Self::Smallest => "bottomk",
        }
    }

    /// Best first; NaN is the worst for both.
    fn cmp(self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan(), self) {
            (true, true, _) => Ordering::Equal,
            (true, false, _) => Ordering::Greater,
            (false, true, _) => Ordering::Less,
            (_, _, Self::Largest) => b.total_cmp(&a),
            (_, _, Self::Smallest) => a.total_cmp(&b),
        }
    }
}

// === impl Top ===

impl<'a> Top<'a> {
    pub(super) fn new(
        grouping: &'a Grouping,
        k: &[f64],
        n: usize,
        order: Order,
    ) -> Result<Self, VectorError> {
        Ok(Self {
            order,
            k: whole_numbers(k, n)?,
            index: GroupIndex::new(grouping, false),
            groups: Vec::new(),
            members: Members::default(),
            n_items: 0,
            remark: format!("ignored histogram in {} aggregation", order.name()),
        })
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &mut Context) {
        let at = self.index.find(column);
        if at >= self.groups.len() {
            self.groups.push(vec![Heap::default(); self.k.len()]);
        }
        let Some(heaps) = self.groups.get_mut(at) else { return };
        let mut id = None;
        let mut ignored = false;
        for i in column.present.ones().filter(|i| self.k[*i] > 0) {
            if column.histogram(i).is_some() {
                ignored = true;
                continue;
            }
            let value = column.values[i];
            if !heaps[i].wants(value, self.k[i], self.order) {
                continue;
            }
            let member = *id.get_or_insert_with(|| self.members.enter(column));
            self.members.hold(member);
            match heaps[i].put(Item { value, member }, self.k[i], self.order) {
                Some(displaced) => self.members.release(displaced.member),
                None => self.n_items += 1,
            }
        }
        if ignored {
            ctx.annotations.info(&self.remark);
        }
    }

    pub(super) fn held(&self) -> Held {
        let heaps = self.groups.len().saturating_mul(self.k.len());
        let bytes = [
            heaps.saturating_mul(size_of::<Heap>()),
            self.n_items.saturating_mul(size_of::<Item>()),
            self.members.slots.len().saturating_mul(size_of::<Member>()),
        ];
        let columns = self.members.slots.len() - self.members.free.len();
        Held { samples: self.n_items, bytes: bytes.iter().sum(), columns }
    }

    pub(super) fn finish(self, ctx: &Context) -> Result<Vec<Column>, VectorError> {
        if self.k.len() == 1 { self.sorted_by_value(ctx) } else { self.in_order(ctx) }
    }

    fn sorted_by_value(self, ctx: &Context) -> Result<Vec<Column>, VectorError> {
        let (order, members) = (self.order, &self.members);
        let mut out = Vec::with_capacity(self.n_items);
        for mut items in self.groups.into_iter().flatten().map(Heap::into_items) {
            sort(&mut items, ctx, |a, b| {
                let rank = |item: &Item| members.slots[item.member].rank;
                order.cmp(a.value, b.value).then_with(|| rank(a).cmp(&rank(b)))
            })?;
            for item in items {
                let mut column = members.slots[item.member].column(1);
                column.set(0, item.value);
                out.push(column);
            }
        }
        Ok(out)
    }

    /// The columns group by group in the order in which they came.
    fn in_order(self, ctx: &Context) -> Result<Vec<Column>, VectorError> {
        let n = self.k.len();
        let mut columns: Vec<Option<Column>> = Vec::new();
        columns.resize_with(self.members.slots.len(), || None);
        let mut out = Vec::new();
        for heaps in self.groups {
            let mut of_group = Vec::new();
            for (i, heap) in heaps.into_iter().enumerate() {
                ctx.check()?;
                for item in heap.into_items() {
                    let member = &self.members.slots[item.member];
                    let column = columns[item.member].get_or_insert_with(|| {
                        of_group.push((member.rank, item.member));
                        member.column(n)
                    });
                    column.set(i, item.value);
                }
            }
            sort(&mut of_group, ctx, Ord::cmp)?;
            out.extend(of_group.into_iter().filter_map(|(_, id)| columns[id].take()));
        }
        Ok(out)
    }
}

// === impl Members ===

impl Members {
    /// The slot of a new member, which is at no step yet.
    fn enter(&mut self, column: &Column) -> usize {
        let rank = self.entered;
        self.entered += 1;
        let labels = column.labels.clone();
        let member = Member { labels, drop_name: column.drop_name, rank, n_steps: 0 };
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = member;
                slot
            }
            None => {
                self.slots.push(member);
                self.slots.len() - 1
            }
        }
    }

    fn hold(&mut self, slot: usize) {
        self.slots[slot].n_steps += 1;
    }

    fn release(&mut self, slot: usize) {
        let member = &mut self.slots[slot];
        member.n_steps -= 1;
        if member.n_steps == 0 {
            *member = Member::default();
            self.free.push(slot);
        }
    }
}

impl Member {
    fn column(&self, n: usize) -> Column {
        let mut out = Column::absent(self.labels.clone(), n);
        out.drop_name = self.drop_name;
        out
    }
}
