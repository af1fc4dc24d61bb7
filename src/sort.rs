// SPDX-License-Identifier: GPL-2.0

//! Sorting in place, without recursion, memory, or a way to panic.
//!
//! core's own sort ends in a panic where an order contradicts itself, which the kernel's object
//! check warns of. A heap sort is about as fast for the few hundred things that are sorted here.

use core::cmp::Ordering;

/// Sorts by `order`. Equal items end in any order. At most about `2 n log n` comparisons.
pub fn sort_by<T>(items: &mut [T], mut order: impl FnMut(&T, &T) -> Ordering) {
    // Each node is no less than its children: first from the last parent up, ...
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &mut order);
    }
    // ... then the largest goes to the end of what is left, again and again.
    let mut heap = items;
    while let [first, .., last] = heap {
        core::mem::swap(first, last);
        heap = heap.split_last_mut().map_or(&mut [], |(_, rest)| rest);
        sift_down(heap, 0, &mut order);
    }
}

/// Moves the item at `at` down until none of its children is greater.
fn sift_down<T>(heap: &mut [T], mut at: usize, order: &mut impl FnMut(&T, &T) -> Ordering) {
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let greater = match (heap.get(left), heap.get(left.saturating_add(1))) {
            (Some(l), Some(r)) if order(l, r).is_lt() => left.saturating_add(1),
            (Some(_), _) => left,
            (None, _) => return,
        };
        let (Some(parent), Some(child)) = (heap.get(at), heap.get(greater)) else {
            return;
        };
        if order(parent, child).is_ge() {
            return;
        }
        heap.swap(at, greater);
        at = greater;
    }
}
