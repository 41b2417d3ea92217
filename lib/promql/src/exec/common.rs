//! Common subexpressions: what a query says twice is evaluated once.
//!
//! Equal are aggregations, calls and selectors that say the same, wherever they begin, at the same steps. The
//! first evaluation is kept until the last one has it. One with remarks is not kept, since remarks
//! name places.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use skald_vector::{Grid, Matrix, Seen};

use crate::expr::{Expr, Selector, Subquery, ValueType};

/// Which expressions of a query are equal, and what is kept of them.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// By address: expressions do not move during the evaluation.
    class_of: HashMap<usize, u64>,
    classes: HashMap<u64, Class>,
}

#[derive(Debug, Default)]
struct Class {
    /// Evaluations that are still to come.
    left: usize,
    kept: Option<Kept>,
}

/// The value of an expression and what was counted on the way.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub matrix: Matrix,
    pub seen: Seen,
    pub grid: Grid,
    pub is_range: bool,
}

pub(crate) fn address(expr: &Expr) -> usize {
    std::ptr::from_ref(expr).addr()
}

/// An expression and the steps at which it is evaluated, as a hash.
#[derive(Clone, Copy)]
pub(super) struct Node<'e> {
    pub expr: &'e Expr,
    pub steps: u64,
}

#[derive(Default)]
pub(super) struct Finder {
    state: RandomState,
    /// Of each expression: its hash, and whether it reads series.
    hashes: HashMap<usize, (u64, bool)>,
}

// === impl Common ===

impl Common {
    pub(crate) fn find(expr: &Expr) -> Self {
        let mut finder = Finder::default();
        let mut stack = vec![Node { expr, steps: 0 }];
        let mut from_above = Vec::new();
        while let Some(node) = stack.pop() {
            from_above.push(node);
            finder.children(node, &mut stack);
        }
        if from_above.iter().filter(|n| is_candidate(n.expr)).count() < 2 {
            return Self::default();
        }
        from_above.iter().rev().for_each(|node| finder.hash(node.expr));
        let mut out = Self::default();
        let mut stack = vec![Node { expr, steps: 0 }];
        while let Some(node) = stack.pop() {
            let (hash, reads) = finder.of(node.expr);
            if is_candidate(node.expr) && reads {
                let class = finder.state.hash_one((hash, node.steps));
                out.class_of.insert(address(node.expr), class);
                let class = out.classes.entry(class).or_default();
                class.left += 1;
                if class.left > 1 {
                    // What is in it is evaluated once.
                    continue;
                }
            }
            finder.children(node, &mut stack);
        }
        out.classes.retain(|_, class| class.left > 1);
        out.class_of.retain(|_, class| out.classes.contains_key(class));
        out
    }

    /// Says that `expr` is to be evaluated: its class, and what was kept of it. `None` when it is alone.
    pub(crate) fn begin(&mut self, expr: &Expr) -> Option<(u64, Option<Kept>)> {
        let class = *self.class_of.get(&address(expr))?;
        let found = self.classes.get_mut(&class)?;
        found.left = found.left.saturating_sub(1);
        let kept = if found.left == 0 { found.kept.take() } else { found.kept.clone() };
        Some((class, kept))
    }

    /// What is equal to `expr` has the same, if there is any.
    pub(super) fn class(&self, expr: &Expr) -> Option<u64> {
        self.class_of.get(&address(expr)).copied()
    }

    /// Whether somebody will ask for `class` of which nothing is kept.
    pub(crate) fn wants(&self, class: u64) -> bool {
        self.classes.get(&class).is_some_and(|c| c.left > 0 && c.kept.is_none())
    }

    pub(crate) fn keep(&mut self, class: u64, kept: Kept) {
        if let Some(found) = self.classes.get_mut(&class) {
            found.kept = Some(kept);
        }
    }

    /// Samples that are kept.
    pub(crate) fn n_samples(&self) -> usize {
        self.classes.values().filter_map(|c| c.kept.as_ref()).map(|k| k.matrix.n_samples()).sum()
    }
}

/// Whether it is worth keeping.
fn is_candidate(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(_) | Expr::Selector(_) => true,
        Expr::Call { .. } => expr.value_type() == ValueType::Vector,
        _ => false,
    }
}

// === impl Finder ===

impl Finder {
    /// Puts on the stack what `node` consists of, so that what is evaluated first comes off first.
    pub(super) fn children<'e>(&self, node: Node<'e>, out: &mut Vec<Node<'e>>) {
        let mut push = |expr| out.push(Node { expr, steps: node.steps });
        match node.expr {
            Expr::Number(_) | Expr::Text(_) | Expr::Selector(_) | Expr::Range { .. } => {}
            Expr::Negate(inner) => push(inner),
            Expr::Fixed(inner) => {
                out.push(Node { expr: inner, steps: self.state.hash_one((node.steps, "fixed")) });
            }
            Expr::Binary(b) => {
                push(&b.rhs);
                push(&b.lhs);
            }
            Expr::Aggregate(a) => {
                push(&a.expr);
                a.param.iter().for_each(push);
            }
            Expr::Call { args, .. } => args.iter().rev().for_each(push),
            Expr::Subquery(sub) => {
                let Subquery { expr, range_ms, step_ms, offset_ms, at } = &**sub;
                let times = (range_ms, step_ms, offset_ms, format!("{at:?}"));
                out.push(Node { expr, steps: self.state.hash_one((node.steps, times)) });
            }
        }
    }

    pub(super) fn one(&self, of: impl Hash) -> u64 {
        self.state.hash_one(of)
    }

    fn of(&self, expr: &Expr) -> (u64, bool) {
        self.hashes.get(&address(expr)).copied().unwrap_or_default()
    }

    fn hash(&mut self, expr: &Expr) {
        let mut children = Vec::new();
        self.children(Node { expr, steps: 0 }, &mut children);
        let mut h = self.state.build_hasher();
        std::mem::discriminant(expr).hash(&mut h);
        let mut reads = false;
        match expr {
            Expr::Number(v) => v.to_bits().hash(&mut h),
            Expr::Text(text) => text.hash(&mut h),
            Expr::Selector(s) => selector(s, &mut h),
            Expr::Range { selector: s, range_ms } => {
                selector(s, &mut h);
                range_ms.hash(&mut h);
            }
            Expr::Subquery(sub) => {
                let at = format!("{:?}", sub.at);
                (sub.range_ms, sub.step_ms, sub.offset_ms, at).hash(&mut h);
            }
            Expr::Negate(_) | Expr::Fixed(_) => {}
            Expr::Binary(b) => {
                (b.op, b.return_bool, format!("{:?}", b.matching)).hash(&mut h);
            }
            Expr::Aggregate(a) => (a.op, format!("{:?}", a.grouping)).hash(&mut h),
            Expr::Call { name, .. } => name.hash(&mut h),
        }
        reads |= matches!(expr, Expr::Selector(_) | Expr::Range { .. });
        for child in children {
            let (hash, child_reads) = self.of(child.expr);
            hash.hash(&mut h);
            reads |= child_reads;
        }
        self.hashes.insert(address(expr), (h.finish(), reads));
    }
}

fn selector(s: &Selector, h: &mut impl Hasher) {
    for m in &s.matchers {
        (&m.name, format!("{:?}", m.op), &m.value).hash(h);
    }
    (s.matchers.len(), s.offset_ms, s.histogram_stats).hash(h);
    format!("{:?} {:?}", s.at, s.extension).hash(h);
}

#[cfg(test)]
mod tests;
