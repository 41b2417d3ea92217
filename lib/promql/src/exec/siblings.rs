//! Which parts of a query look at the same series at the same steps, so that they can be computed in one
//! pass: `rate(m[5m])` beside `increase(m[5m])`.
//!
//! What was made of one of them on the way of another is kept with its remarks and counts until its turn comes, so that
//! neither values nor the order of remarks depend on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use skald_vector::Annotations;

use super::chain::has_only_constants;
use super::common::{Common, Finder, Node};
use super::run::streamed;
use super::{Kept, address};
use crate::expr::{Expr, Selector, ValueType};

/// Other chains that are computed beside one at most.
const MOST: usize = 8;

/// The chains and aggregations of chains of a query, by what they look at.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    /// By address: expressions do not move during the evaluation.
    class_of: HashMap<usize, u64>,
    /// Those of a class that were not begun, in the order of their evaluation.
    to_come: HashMap<u64, Vec<Member>>,
    done: HashMap<usize, (Kept, Annotations)>,
}

/// One that can be computed beside others: it has no parameters but numbers and texts.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub address: usize,
    pub expr: Arc<Expr>,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    /// Part of a chain that was found.
    Within,
    /// What is above maps it, and is no chain, so that this is none.
    Barren,
}

// === impl Siblings ===

impl Siblings {
    /// `select_of` says what a selector reads; nothing is read twice for those of which it says the same.
    pub(crate) fn find(
        expr: &Expr,
        common: &Common,
        select_of: impl Fn(&Selector) -> usize,
    ) -> Self {
        let mut found: Vec<(u64, &Expr)> = Vec::new();
        let finder = Finder::default();
        let mut seen = HashSet::new();
        let mut stack = vec![(Node { expr, steps: 0 }, Place::Free)];
        while let Some((node, place)) = stack.pop() {
            let is_same = |class| !seen.insert(class);
            // Of equal ones the first is evaluated.
            if place != Place::Within && common.class(node.expr).is_some_and(is_same) {
                continue;
            }
            let chain = if place == Place::Free { streamed(node.expr) } else { None };
            if let Some(chain) = &chain {
                let select = select_of(chain.selector);
                found.push((finder.one((select, node.steps)), node.expr));
            }
            let below = match place {
                Place::Free if chain.is_some() => Place::Within,
                Place::Within => Place::Within,
                _ if maps(node.expr) => Place::Barren,
                _ => Place::Free,
            };
            let mut children = Vec::new();
            finder.children(node, &mut children);
            stack.extend(children.into_iter().map(|child| {
                match continues(node.expr, child.expr) {
                    true => (child, below),
                    false => (child, Place::Free),
                }
            }));
        }
        Self::of(found)
    }

    fn of(found: Vec<(u64, &Expr)>) -> Self {
        let mut n: HashMap<u64, usize> = HashMap::new();
        found.iter().for_each(|(class, _)| *n.entry(*class).or_default() += 1);
        let mut out = Self::default();
        for (class, expr) in found.into_iter().filter(|(class, _)| n.get(class) > Some(&1)) {
            out.class_of.insert(address(expr), class);
            if has_only_constants(expr) {
                let member = Member { address: address(expr), expr: Arc::new(expr.clone()) };
                out.to_come.entry(class).or_default().push(member);
            }
        }
        out
    }

    /// Says that `expr` is evaluated now: what is to be computed beside it.
    pub(super) fn begin(&mut self, expr: &Expr) -> Vec<Member> {
        let own = address(expr);
        let Some(class) = self.class_of.get(&own) else { return Vec::new() };
        let Some(to_come) = self.to_come.get_mut(class) else { return Vec::new() };
        to_come.retain(|member| member.address != own);
        let n = to_come.len().min(MOST);
        to_come.drain(..n).collect()
    }

    pub(super) fn keep(&mut self, address: usize, kept: Kept, remarks: Annotations) {
        self.done.insert(address, (kept, remarks));
    }

    pub(super) fn take(&mut self, address: usize) -> Option<(Kept, Annotations)> {
        self.done.remove(&address)
    }

    /// Samples that are kept.
    pub(crate) fn n_samples(&self) -> usize {
        self.done.values().map(|(kept, _)| kept.matrix.n_samples()).sum()
    }
}

/// Whether `expr` is a chain, or an aggregation of one, whenever its vector is one. Calls may be: they do not
/// nest deeply.
fn maps(expr: &Expr) -> bool {
    match expr {
        Expr::Negate(_) | Expr::Aggregate(_) => true,
        Expr::Binary(b) => {
            let scalar = |e: &Expr| e.value_type() == ValueType::Scalar;
            !b.op.is_set() && (scalar(&b.rhs) || scalar(&b.lhs))
        }
        _ => false,
    }
}

/// Whether a chain that goes through `expr` goes on in `child`. Of long sums only the short sides are looked at.
fn continues(expr: &Expr, child: &Expr) -> bool {
    let is_vector = |e: &Expr| matches!(e.value_type(), ValueType::Vector | ValueType::Matrix);
    match expr {
        Expr::Binary(b) => is_vector(&b.rhs) == std::ptr::eq(&raw const b.rhs, child),
        _ => is_vector(child),
    }
}
