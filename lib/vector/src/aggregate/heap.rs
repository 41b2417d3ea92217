//! The best `k` of a stream of values.
//!
//! Which of several equal values stay depends on how the heap is kept, and clients see which series
//! these are; so it is kept as Prometheus does.

use super::top::Order;

/// The worst of those kept is the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    items: Vec<Item>,
}

/// A value and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    pub value: f64,
    pub member: usize,
}

// === impl Heap ===

impl Heap {
    /// Whether `value` is among the best `k` so far.
    #[inline]
    pub(super) fn wants(&self, value: f64, k: usize, order: Order) -> bool {
        self.items.len() < k
            || self.items.first().is_some_and(|worst| is_better(value, worst.value, order))
    }

    /// Keeps `item`, which is wanted; what had its place before, if the heap was full.
    pub(super) fn put(&mut self, item: Item, k: usize, order: Order) -> Option<Item> {
        if self.items.len() < k {
            self.items.push(item);
            self.up(self.items.len() - 1, order);
            return None;
        }
        let worst = std::mem::replace(self.items.first_mut()?, item);
        self.down(0, order);
        Some(worst)
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// Whether item `i` is worse than item `j`.
    fn worse(&self, i: usize, j: usize, order: Order) -> bool {
        let (a, b) = (self.items[i].value, self.items[j].value);
        match order {
            _ if a.is_nan() => true,
            Order::Largest => a < b,
            Order::Smallest => a > b,
        }
    }

    fn up(&mut self, mut at: usize, order: Order) {
        while at > 0 && self.worse(at, (at - 1) / 2, order) {
            self.items.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn down(&mut self, mut at: usize, order: Order) {
        while 2 * at + 1 < self.items.len() {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let right_is = right < self.items.len() && self.worse(right, left, order);
            let child = if right_is { right } else { left };
            if !self.worse(child, at, order) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

fn is_better(a: f64, worst: f64, order: Order) -> bool {
    match order {
        _ if worst.is_nan() => !a.is_nan(),
        Order::Largest => worst < a,
        Order::Smallest => worst > a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(k: usize, order: Order, values: &[f64]) -> Vec<usize> {
        let mut heap = Heap::default();
        for (member, value) in values.iter().copied().enumerate() {
            if heap.wants(value, k, order) {
                heap.put(Item { value, member }, k, order);
            }
        }
        let mut kept: Vec<usize> = heap.items.iter().map(|item| item.member).collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn keeps_the_best_and_nan_last() {
        let values = [3.0, f64::NAN, 1.0, 5.0, 4.0, f64::NAN, 2.0];
        assert_eq!(kept(3, Order::Largest, &values), [0, 3, 4]);
        assert_eq!(kept(3, Order::Smallest, &values), [0, 2, 6]);
        let six = kept(6, Order::Largest, &values);
        assert!([0, 2, 3, 4, 6].iter().all(|i| six.contains(i)), "{six:?}");
        assert_eq!(kept(9, Order::Largest, &values).len(), 7);
    }

    #[test]
    fn of_equal_values_those_stay_that_stay_in_prometheus() {
        // Answers of Prometheus 3.14 to topk(4, …) over buckets in the order of their labels.
        assert_eq!(kept(4, Order::Largest, &[9.0, 1.0, 1.0, 1.0, 5.0, 5.0]), [0, 2, 4, 5]);
        assert_eq!(kept(1, Order::Smallest, &[0.0, 0.0]), [0]);
    }
}
