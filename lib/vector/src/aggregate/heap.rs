//! The best `k` of a stream of values.
//!
//! Which of several equal values stay depends on how the heap is kept, and clients see which series
//! these are; so it is kept as Prometheus does.

use super::rank::Order;

/// The worst of those kept is the first.
#[derive(Debug)]
pub(super) struct Heap {
    k: usize,
    order: Order,
    /// Values and where they are from.
    pub items: Vec<(f64, usize)>,
}

// === impl Heap ===

impl Heap {
    pub(super) fn new(k: usize, order: Order) -> Self {
        Self { k, order, items: Vec::new() }
    }

    /// Keeps `one` if it is among the best so far.
    pub(super) fn offer(&mut self, one: (f64, usize)) {
        if self.items.len() < self.k {
            self.items.push(one);
            self.up(self.items.len() - 1);
        } else if self.items.first().is_some_and(|worst| self.is_better(one.0, worst.0)) {
            self.items[0] = one;
            self.down(0);
        }
    }

    fn is_better(&self, a: f64, worst: f64) -> bool {
        match self.order {
            _ if worst.is_nan() => !a.is_nan(),
            Order::Largest => worst < a,
            Order::Smallest => worst > a,
        }
    }

    /// Whether item `i` is worse than item `j`.
    fn worse(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.items[i].0, self.items[j].0);
        match self.order {
            _ if a.is_nan() => true,
            Order::Largest => a < b,
            Order::Smallest => a > b,
        }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 && self.worse(at, (at - 1) / 2) {
            self.items.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn down(&mut self, mut at: usize) {
        while 2 * at + 1 < self.items.len() {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child =
                if right < self.items.len() && self.worse(right, left) { right } else { left };
            if !self.worse(child, at) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(k: usize, order: Order, values: &[f64]) -> Vec<usize> {
        let mut heap = Heap::new(k, order);
        values.iter().enumerate().for_each(|(i, v)| heap.offer((*v, i)));
        let mut kept: Vec<usize> = heap.items.iter().map(|(_, i)| *i).collect();
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
