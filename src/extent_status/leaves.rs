// SPDX-License-Identifier: GPL-2.0

//! Sorted, disjoint extents in chunks: a directory of leaves.
//!
//! A leaf buffer grows in steps which fill the slab sizes of the kernel (128, 512 and 2048 bytes
//! at 24 bytes an extent), so that an inode with a few extents costs little; a full leaf of the
//! last step splits. Finding is two binary searches in contiguous memory.
//!
//! # Invariants
//!
//! Between operations no leaf is empty, `first` is the first block of the leaf's first extent,
//! and the extents of all leaves, read in order, are disjoint and rise.

use super::extent::Extent;
use super::spare::{Need, Spare};
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// The steps in which a leaf's room grows, in extents.
const LEAF_ROOM: [usize; 3] = [5, 21, 85];

/// An insertion can split the extent that it falls into and then adds two.
const SLOTS_PER_CHANGE: usize = 2;

/// Dropping looks at so many leaves under one hold of the ES lock.
const LEAVES_PER_DROP: usize = 8;

/// Part of the sorted extents.
pub(super) struct Leaf {
    first: LogicalBlock,
    extents: KVec<Extent>,
}

impl Leaf {
    fn sync(&mut self) {
        if let Some(extent) = self.extents.first() {
            self.first = extent.start();
        }
    }

    fn free_slots(&self) -> usize {
        self.extents.capacity().saturating_sub(self.extents.len())
    }

    /// Index of the first extent that ends after `at`.
    fn slot(&self, at: LogicalBlock) -> usize {
        self.extents.partition_point(|e| e.end() <= at)
    }

    /// Removes the extents from slot `from` up to slot `to`.
    fn cut(&mut self, from: usize, to: usize) {
        let count = to.saturating_sub(from);
        if let Some(tail) = self.extents.get_mut(from..).filter(|t| t.len() >= count) {
            tail.rotate_left(count);
            let len = self.extents.len().saturating_sub(count);
            self.extents.truncate(len);
        }
    }
}

/// Where an extent is, or would be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    leaf: usize,
    slot: usize,
}

impl Position {
    /// The place after this one in the same leaf.
    pub(super) fn after(self) -> Self {
        Self {
            slot: self.slot.saturating_add(1),
            ..self
        }
    }
}

/// The sorted extents, and how many of their blocks are delayed.
#[derive(Default)]
pub(super) struct Leaves {
    leaves: KVVec<Leaf>,
    extents: usize,
    delayed: u32,
}

/// Copies `from` to the end of `to`, which has the room.
fn append(to: &mut KVec<Extent>, from: &[Extent]) {
    for extent in from {
        let fits = to.push_within_capacity(*extent).is_ok();
        debug_assert!(fits, "leaf without the room that was made");
    }
}

impl Leaves {
    /// Number of extents.
    pub(super) fn len(&self) -> usize {
        self.extents
    }

    /// Number of delayed blocks.
    pub(super) fn delayed(&self) -> u32 {
        self.delayed
    }

    fn count(&mut self, extent: &Extent) {
        self.extents = self.extents.saturating_add(1);
        if extent.is_delayed() {
            self.delayed = self.delayed.saturating_add(extent.len());
        }
    }

    fn discount(&mut self, extent: &Extent) {
        self.extents = self.extents.saturating_sub(1);
        if extent.is_delayed() {
            self.delayed = self.delayed.saturating_sub(extent.len());
        }
    }

    /// Where the first extent is that ends after `at`: in the leaf where an extent beginning at
    /// `at` belongs, possibly at the end of that leaf.
    pub(super) fn find(&self, at: LogicalBlock) -> Position {
        let leaf = self
            .leaves
            .partition_point(|l| l.first <= at)
            .saturating_sub(1);
        let slot = self.leaves.get(leaf).map_or(0, |l| l.slot(at));
        Position { leaf, slot }
    }

    /// The extent at `position` itself.
    pub(super) fn at(&self, position: Position) -> Option<Extent> {
        let leaf = self.leaves.get(position.leaf)?;
        leaf.extents.get(position.slot).copied()
    }

    /// The extent at `position`, or the next one if that is the end of a leaf.
    pub(super) fn get(&self, position: Position) -> Option<(Position, Extent)> {
        let next = Position {
            leaf: position.leaf.checked_add(1)?,
            slot: 0,
        };
        [position, next]
            .into_iter()
            .find_map(|p| Some((p, self.at(p)?)))
    }

    /// The extent before `position`.
    pub(super) fn previous(&self, position: Position) -> Option<(Position, Extent)> {
        let before = if let Some(slot) = position.slot.checked_sub(1) {
            Position { slot, ..position }
        } else {
            let leaf = position.leaf.checked_sub(1)?;
            let slot = self.leaves.get(leaf)?.extents.len().checked_sub(1)?;
            Position { leaf, slot }
        };
        Some((before, self.at(before)?))
    }

    /// All extents which end after `at`, in order.
    pub(super) fn iter_from(&self, at: LogicalBlock) -> impl Iterator<Item = Extent> + '_ {
        let Position { leaf, slot } = self.find(at);
        let leaves = self.leaves.get(leaf..).unwrap_or_default();
        let all = leaves.iter().flat_map(|l| l.extents.iter().copied());
        all.skip(slot)
    }

    /// Puts `extent` in the place of the one at `position`.
    pub(super) fn replace(&mut self, position: Position, extent: Extent) {
        let Some(old) = self.at(position) else {
            return;
        };
        self.discount(&old);
        self.count(&extent);
        if let Some(leaf) = self.leaves.get_mut(position.leaf) {
            if let Some(slot) = leaf.extents.get_mut(position.slot) {
                *slot = extent;
            }
            leaf.sync();
        }
    }

    /// Puts `extent` before the one at `position`, into room that was made.
    pub(super) fn insert(&mut self, position: Position, extent: Extent) {
        self.count(&extent);
        if let Some(leaf) = self.leaves.get_mut(position.leaf) {
            let inserted = leaf.extents.insert_within_capacity(position.slot, extent);
            debug_assert!(inserted.is_ok(), "leaf without the room that was made");
            leaf.sync();
        }
    }

    /// Removes every extent from `position` on that ends by `end`, and the part before `end` of
    /// the next one.
    pub(super) fn remove_until(&mut self, position: Position, end: LogicalBlock) {
        let mut from = position;
        let mut emptied = false;
        while let Some(leaf) = self.leaves.get_mut(from.leaf) {
            let tail = leaf.extents.get(from.slot..).unwrap_or_default();
            let whole = tail.partition_point(|e| e.end() <= end);
            let to = from.slot.saturating_add(whole);
            for extent in tail.iter().take(whole) {
                self.extents = self.extents.saturating_sub(1);
                if extent.is_delayed() {
                    self.delayed = self.delayed.saturating_sub(extent.len());
                }
            }
            leaf.cut(from.slot, to);
            leaf.sync();
            emptied |= leaf.extents.is_empty();
            if let Some(last) = self.at(from) {
                if let Some(rest) = last.from(end).filter(|_| last.start() < end) {
                    self.replace(from, rest);
                }
                break;
            }
            from = Position {
                leaf: from.leaf.saturating_add(1),
                slot: 0,
            };
        }
        if emptied {
            self.leaves.retain(|leaf| !leaf.extents.is_empty());
        }
    }

    /// What [`Leaves::make_room`] for an extent beginning at `at` will take.
    pub(super) fn need(&self, at: LogicalBlock) -> Need {
        let index = self.find(at).leaf;
        let leaves = self.leaves.len();
        let directory = if leaves < self.leaves.capacity() {
            0
        } else {
            leaves.saturating_mul(2).max(1)
        };
        let Some(leaf) = self.leaves.get(index) else {
            let [leaf, ..] = LEAF_ROOM;
            return Need { leaf, directory };
        };
        if leaf.free_slots() >= SLOTS_PER_CHANGE {
            return Need::default();
        }
        let [.., largest] = LEAF_ROOM;
        let room = leaf.extents.capacity();
        match LEAF_ROOM.into_iter().find(|&step| step > room) {
            Some(leaf) => Need { leaf, directory: 0 },
            None => Need {
                leaf: largest,
                directory,
            },
        }
    }

    /// Makes room for the two extents that a change at `at` can add. The leaf may be empty
    /// afterwards: the caller inserts.
    pub(super) fn make_room(&mut self, at: LogicalBlock, spare: &mut Spare) -> Result<(), Need> {
        let need = self.need(at);
        if need.is_nothing() {
            return Ok(());
        }
        if !spare.covers(need) {
            return Err(need);
        }
        let index = self.find(at).leaf;
        if need.directory > 0 {
            let mut directory = spare.take_directory();
            for leaf in self.leaves.drain_all() {
                let moved = directory.push_within_capacity(leaf).is_ok();
                debug_assert!(moved, "directory without the room that was asked for");
            }
            spare.keep_directory(core::mem::replace(&mut self.leaves, directory));
        }
        let mut fresh = spare.take_leaf();
        let last = index.saturating_add(1) >= self.leaves.len();
        match self.leaves.get_mut(index) {
            None => self.add_leaf(0, fresh, at),
            Some(leaf) if fresh.capacity() > leaf.extents.capacity() => {
                append(&mut fresh, &leaf.extents);
                spare.keep_leaf(core::mem::replace(&mut leaf.extents, fresh));
            }
            Some(leaf) => {
                let len = leaf.extents.len();
                // A file that grows at its end leaves full leaves behind, not halves.
                let growing = last && leaf.slot(at) == len;
                let kept = if growing {
                    len.saturating_sub(1)
                } else {
                    len / 2
                };
                append(&mut fresh, leaf.extents.get(kept..).unwrap_or_default());
                leaf.extents.truncate(kept);
                self.add_leaf(index.saturating_add(1), fresh, at);
            }
        }
        Ok(())
    }

    fn add_leaf(&mut self, index: usize, extents: KVec<Extent>, first: LogicalBlock) {
        let mut leaf = Leaf { first, extents };
        leaf.sync();
        let added = self.leaves.insert_within_capacity(index, leaf).is_ok();
        debug_assert!(added, "directory without the room that was made");
    }

    /// Moves the extents of the leaf after `at`'s into it, where both are sparse.
    pub(super) fn compact(&mut self, at: LogicalBlock) {
        let index = self.find(at).leaf;
        let Some((leaf, [next, ..])) = self
            .leaves
            .get_mut(index..)
            .and_then(|rest| rest.split_first_mut())
        else {
            return;
        };
        let together = leaf.extents.len().saturating_add(next.extents.len());
        if together > leaf.extents.capacity() / 2 {
            return;
        }
        append(&mut leaf.extents, &next.extents);
        let gone = self.leaves.remove(index.saturating_add(1));
        debug_assert!(gone.is_ok());
    }

    /// Drops up to `count` extents that `keep` does not hold, from the leaf of `at` on, and looks
    /// at a few leaves only. Returns how many, and where to go on next time.
    pub(super) fn drop_some(
        &mut self,
        at: LogicalBlock,
        count: usize,
        keep: impl Fn(&Extent) -> bool,
    ) -> (usize, LogicalBlock) {
        let before = self.extents;
        let mut left = count;
        let mut index = self.find(at).leaf;
        let end = index.saturating_add(LEAVES_PER_DROP);
        while let Some(leaf) = self
            .leaves
            .get_mut(index)
            .filter(|_| left > 0 && index < end)
        {
            leaf.extents.retain(|extent| {
                if left == 0 || keep(extent) {
                    return true;
                }
                left = left.saturating_sub(1);
                false
            });
            leaf.sync();
            index = index.saturating_add(1);
        }
        let next = self.leaves.get(index).map_or(LogicalBlock(0), |l| l.first);
        self.leaves.retain(|leaf| !leaf.extents.is_empty());
        let dropped = count.saturating_sub(left);
        self.extents = before.saturating_sub(dropped);
        (dropped, next)
    }

    /// Drops the extents that touch `range` and are not delayed.
    pub(super) fn drop_range(&mut self, range: &Range<LogicalBlock>) {
        let mut dropped = 0usize;
        let first = self.find(range.start).leaf;
        for leaf in self.leaves.iter_mut().skip(first) {
            if leaf.first >= range.end {
                break;
            }
            leaf.extents.retain(|extent| {
                let gone = !extent.is_delayed() && extent.trim(range).is_some();
                dropped = dropped.saturating_add(gone.into());
                !gone
            });
            leaf.sync();
        }
        self.extents = self.extents.saturating_sub(dropped);
        self.leaves.retain(|leaf| !leaf.extents.is_empty());
    }

    /// Whether the invariants hold and the counts are right.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (mut extents, mut delayed) = (0usize, 0u64);
        let mut last: Option<Extent> = None;
        for leaf in &self.leaves {
            if leaf.extents.first().map(Extent::start) != Some(leaf.first) {
                return Err("leaf is empty, or its first block is wrong");
            }
            for extent in &leaf.extents {
                if last.is_some_and(|l| l.end() > extent.start()) {
                    return Err("extents overlap or do not rise");
                }
                if last.is_some_and(|l| l.join(extent).is_some()) {
                    return Err("neighbours are not merged");
                }
                last = Some(*extent);
                extents = extents.saturating_add(1);
                if extent.is_delayed() {
                    delayed = delayed.saturating_add(u64::from(extent.len()));
                }
            }
        }
        if extents != self.extents {
            return Err("count of extents is wrong");
        }
        if delayed != u64::from(self.delayed) {
            return Err("count of delayed blocks is wrong");
        }
        Ok(())
    }
}
