// SPDX-License-Identifier: GPL-2.0

//! Sorting in place, without recursion, memory, or a way to panic.
//!
//! core's own sort ends in a panic where an order contradicts itself, which the kernel's object
//! check warns of. A shell sort takes about half the instructions of a heap sort for the few
//! hundred things that are sorted here, which are often sorted in part.

use core::cmp::Ordering;

/// Distances over which items are compared: Ciura's, then each 2.25 times the one before.
const GAPS: [usize; 13] = [
    40_412, 17_961, 7_983, 3_548, 1_577, 701, 301, 132, 57, 23, 10, 4, 1,
];

/// Sorts by `order`. Equal items end in any order.
pub fn sort_by<T>(items: &mut [T], mut order: impl FnMut(&T, &T) -> Ordering) {
    for gap in GAPS {
        // Each item moves down in steps of `gap`, to where it is no less than the one before.
        for mut at in gap..items.len() {
            while let Some(before) = at.checked_sub(gap) {
                match (items.get(before), items.get(at)) {
                    (Some(a), Some(b)) if order(a, b).is_gt() => items.swap(before, at),
                    _ => break,
                }
                at = before;
            }
        }
    }
}
