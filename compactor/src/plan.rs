//! Decides, from the catalog's view alone, which blocks of a tenant to drop and which to merge.
//!
//! Blocks are merged only with others of their signal and day. Of a day are merged, in this order:
//! replicas' copies (blocks that overlap in time and have no source in common), then small blocks,
//! tier by tier, then flushed metric blocks that nothing else is merged with. Blocks of half `max_block_size`,
//! and those that a merge closed because its memory was full, are done: merging them again would move bytes for nothing.
//!
//! What a flush wrote of metrics is written anew in any case, if alone, since only compaction keeps values densely
//! (docs/adr/0009-dense-values-at-compaction.md). Log blocks are not: a flush writes them as a merge does.
//!
//! Invariant: carrying out the plan again and again ends. A merge of small blocks leaves fewer that
//! are not done; one of copies leaves fewer with few sources; each leaves no more flushed blocks (level 0) than
//! there were, and one of flushed blocks alone fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skald_catalog::{BlockMeta, Signal};

use crate::rules::{LogRules, SampleRules};

/// The level of an output that was closed because the memory of its merge was full.
pub const FULL_LEVEL: u32 = 1000;

const MS_PER_DAY: i64 = 86_400_000;
const NS_PER_MS: i64 = 1_000_000;
/// Replicas have flushed what they have of a time so long after it.
const SETTLE_MS: i64 = 3 * 3_600_000;
/// The smallest tier ends here, each further one is four times as large.
const TIER_BYTES: u64 = 256 << 10;

/// How much is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Only where enough blocks of like size have come together.
    Routine,
    /// Whatever can be merged, as when an operator asks for it.
    Full,
}

/// What the plan depends on beside the blocks.
#[derive(Clone, Debug)]
pub struct Rules {
    pub effort: Effort,
    /// The time of the plan in milliseconds: days that ended before are over.
    pub now_ms: i64,
    pub max_block_size: u64,
    pub min_blocks: usize,
    pub max_blocks: usize,
    /// Metrics before this, in milliseconds, are past their retention.
    pub metrics_cutoff_ms: Option<i64>,
    /// Lines before this, in nanoseconds, are past their retention.
    pub logs_cutoff_ns: Option<i64>,
    /// Bytes of metric blocks above which the oldest go; 0 = unlimited.
    pub metrics_max_bytes: u64,
    /// Bytes of log blocks above which the oldest go; 0 = unlimited.
    pub logs_max_bytes: u64,
    /// What goes of lines in particular.
    pub(crate) logs: Arc<LogRules>,
    /// What goes of samples on request.
    pub(crate) samples: Arc<SampleRules>,
    /// Changes when the retention of streams does.
    pub(crate) retention_key: String,
}

/// What is to be done; merges are disjoint and may be carried out in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Ids of blocks that lie wholly past the retention.
    pub drops: Vec<String>,
    pub merges: Vec<Merge>,
}

/// Blocks that become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    pub signal: Signal,
    /// Ordered by id. One alone is written anew, without what goes.
    pub inputs: Vec<Arc<BlockMeta>>,
}

type Blocks = Vec<Arc<BlockMeta>>;

// === impl Rules ===

impl Rules {
    /// Rows before this are dropped.
    pub fn cutoff(&self, signal: Signal) -> Option<i64> {
        match signal {
            Signal::Metrics => self.metrics_cutoff_ms,
            Signal::Logs => self.logs_cutoff_ns,
            Signal::Unspecified => None,
        }
    }

    /// Bytes of blocks above which the oldest go; 0 = unlimited.
    pub fn max_bytes(&self, signal: Signal) -> u64 {
        match signal {
            Signal::Metrics => self.metrics_max_bytes,
            Signal::Logs => self.logs_max_bytes,
            Signal::Unspecified => 0,
        }
    }

    pub(crate) fn is_expired(&self, block: &BlockMeta) -> bool {
        self.cutoff(block.signal()).is_some_and(|cutoff| block.max_time < cutoff)
    }

    fn is_done(&self, block: &BlockMeta) -> bool {
        block.level >= FULL_LEVEL || block.size_bytes >= self.max_block_size / 2
    }
}

/// The oldest blocks of a signal without which the others take at most `max_bytes`, the oldest first; none if that is 0.
///
/// A block is as old as its last row. The newest is never among them, so that what is left may be larger.
pub fn over_size(blocks: &[Arc<BlockMeta>], signal: Signal, max_bytes: u64) -> Vec<Arc<BlockMeta>> {
    if max_bytes == 0 {
        return Vec::new();
    }
    let mut oldest: Vec<_> = blocks.iter().filter(|b| b.signal() == signal).collect();
    oldest.sort_by_key(|b| (b.max_time, b.min_time, &b.id));
    oldest.pop();
    let of_signal = blocks.iter().filter(|b| b.signal() == signal);
    let mut bytes = of_signal.fold(0u64, |sum, b| sum.saturating_add(b.size_bytes));
    let mut over = Vec::new();
    for block in oldest {
        if bytes <= max_bytes {
            break;
        }
        bytes = bytes.saturating_sub(block.size_bytes);
        over.push(Arc::clone(block));
    }
    over
}

/// Plans the next step. `skip` names blocks that cannot be read: they are dropped in time but never merged.
pub fn plan(blocks: &[Arc<BlockMeta>], skip: &BTreeSet<String>, rules: &Rules) -> Plan {
    let mut plan = Plan::default();
    let mut days: BTreeMap<(i32, i64), Blocks> = BTreeMap::new();
    for block in blocks {
        if rules.is_expired(block) {
            plan.drops.push(block.id.clone());
        } else if block.signal() != Signal::Unspecified && !skip.contains(&block.id) {
            days.entry((block.signal, day(block))).or_default().push(Arc::clone(block));
        }
    }
    for ((_, n), mut day) in days {
        day.sort_by(|a, b| a.id.cmp(&b.id));
        let mut groups = copies(&mut day, rules);
        groups.extend(small(&mut day, rules));
        groups.extend(flushed(day, n, rules));
        for mut inputs in groups {
            inputs.sort_by(|a, b| a.id.cmp(&b.id));
            let signal = inputs.first().map_or(Signal::Unspecified, |b| b.signal());
            plan.merges.push(Merge { signal, inputs });
        }
    }
    plan
}

fn day(block: &BlockMeta) -> i64 {
    in_ms(block, block.min_time).div_euclid(MS_PER_DAY)
}

/// A time of a block, in milliseconds whatever its signal.
pub(crate) fn in_ms(block: &BlockMeta, time: i64) -> i64 {
    match block.signal() {
        Signal::Logs => time.div_euclid(NS_PER_MS),
        _ => time,
    }
}

/// Takes out groups that hold copies of the same data: neighbours in time without a common source.
///
/// Of neighbours only those are taken that may have copies of each other: blocks of all replicas before them, merged long ago,
/// reach into the time of what one replica flushes last.
fn copies(day: &mut Blocks, rules: &Rules) -> Vec<Blocks> {
    let mut by_time = std::mem::take(day);
    by_time.sort_by(|a, b| (a.min_time, &a.id).cmp(&(b.min_time, &b.id)));
    let mut groups: Vec<Blocks> = Vec::new();
    let mut end = i64::MIN;
    for block in by_time {
        match groups.last_mut() {
            Some(group) if block.min_time <= end && group.len() < rules.max_blocks => {
                end = end.max(block.max_time);
                group.push(block);
            }
            _ => {
                end = block.max_time;
                groups.push(vec![block]);
            }
        }
    }
    let mut copies = Vec::new();
    for group in groups {
        let (of_others, rest): (Blocks, Blocks) =
            group.iter().cloned().partition(|a| group.iter().any(|b| are_copies(a, b)));
        day.extend(rest);
        if !of_others.is_empty() {
            copies.push(of_others);
        }
    }
    copies
}

/// Whether two blocks may have rows of the same pushes.
fn are_copies(a: &BlockMeta, b: &BlockMeta) -> bool {
    let overlap = a.min_time <= b.max_time && b.min_time <= a.max_time;
    let is_known = !a.sources.is_empty() && !b.sources.is_empty();
    overlap && is_known && !a.sources.iter().any(|source| b.sources.contains(source))
}

/// Takes out groups of small blocks, the smallest tier first; a tier takes the smaller blocks along.
fn small(day: &mut Blocks, rules: &Rules) -> Vec<Blocks> {
    let min_blocks = match rules.effort {
        Effort::Routine => rules.min_blocks.max(2),
        Effort::Full => 2,
    };
    let mut tiers: BTreeMap<u32, Blocks> = BTreeMap::new();
    for block in day.extract_if(.., |block| !rules.is_done(block)) {
        let tier = match rules.effort {
            Effort::Routine => tier(block.size_bytes),
            Effort::Full => 0,
        };
        tiers.entry(tier).or_default().push(block);
    }
    let mut groups = Vec::new();
    let mut waiting: Blocks = Vec::new();
    for blocks in tiers.into_values() {
        waiting.extend(blocks);
        waiting.sort_by(|a, b| (a.min_time, &a.id).cmp(&(b.min_time, &b.id)));
        let mut left: Blocks = Vec::new();
        for group in fill(std::mem::take(&mut waiting), rules) {
            if group.len() >= min_blocks {
                groups.push(group);
            } else {
                left.extend(group);
            }
        }
        waiting = left;
    }
    day.extend(waiting);
    groups
}

/// Of what nothing is merged with, the metric blocks that a flush wrote: small ones together, others alone.
///
/// Routine leaves small ones until their day is over, since they may find company, and large ones for a while, in which
/// other replicas flush copies of them. That samples out of order or an ingester that
/// flushes late may come after that matters little: they are written anew on their own, and not what is written already.
fn flushed(day: Blocks, n: i64, rules: &Rules) -> Vec<Blocks> {
    let is_over = n.saturating_add(1).saturating_mul(MS_PER_DAY) <= rules.now_ms;
    let flushed = day.into_iter().filter(|b| b.signal() == Signal::Metrics && b.level == 0);
    let (mut done, mut small): (Blocks, Blocks) = flushed.partition(|block| rules.is_done(block));
    let is_settled = |block: &BlockMeta| {
        rules.now_ms.saturating_sub(block.max_time) >= SETTLE_MS || rules.effort == Effort::Full
    };
    done.retain(|block| is_settled(block));
    small.retain(|_| is_over || rules.effort == Effort::Full);
    small.sort_by(|a, b| (a.min_time, &a.id).cmp(&(b.min_time, &b.id)));
    let alone = done.into_iter().map(|block| vec![block]);
    alone.chain(fill(small, rules)).collect()
}

/// Cuts a run of blocks into groups that stay below the wanted size and number.
fn fill(blocks: Blocks, rules: &Rules) -> Vec<Blocks> {
    let mut groups: Vec<Blocks> = Vec::new();
    let mut bytes = 0u64;
    for block in blocks {
        let with = bytes.saturating_add(block.size_bytes);
        match groups.last_mut() {
            Some(group) if with <= rules.max_block_size && group.len() < rules.max_blocks => {
                bytes = with;
                group.push(block);
            }
            _ => {
                bytes = block.size_bytes;
                groups.push(vec![block]);
            }
        }
    }
    groups
}

fn tier(bytes: u64) -> u32 {
    let mut tier = 0;
    let mut end = TIER_BYTES;
    while bytes >= end {
        tier += 1;
        end = end.saturating_mul(4);
    }
    tier
}

#[cfg(test)]
mod tests;
