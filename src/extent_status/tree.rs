// SPDX-License-Identifier: GPL-2.0

//! The extent status tree of one inode.

use super::extent::{Extent, State};
use super::leaves::{Leaves, Position};
use super::spare::{Need, Spare};
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// What a change did to the delayed blocks.
///
/// One of the two is 0. Whoever made the change settles with the file system's counter: blocks
/// that were dropped because they are allocated now are *claimed*, others are *unreserved*;
/// blocks that were added had been reserved before.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Blocks that are delayed now and were not.
    pub added: u32,
    /// Blocks that were delayed and are not now.
    pub dropped: u32,
}

/// The extent status tree of one inode. Everything here runs under the ES lock.
#[derive(Default)]
pub struct StatusTree {
    leaves: Leaves,

    /// The sequence, `i_es_seq`: two equal readings with a mapping looked up between them mean
    /// that the mapping was right at the second reading.
    ///
    /// # What moves it
    ///
    /// Every change that can make a mapping wrong which somebody obtained earlier, whether the
    /// blocks are in this tree or not (the mapping may have come from the on-disk tree, or its
    /// entry may have been shrunk away since):
    ///
    /// - [`insert`](Self::insert), unless the tree holds the very same for the whole extent:
    ///   holes become delayed or unwritten, delayed blocks become unwritten, unwritten ones
    ///   written. Hole to delayed counts: writeback that keeps a hole would skip dirty data.
    ///   Unwritten to written counts: a write that keeps "unwritten" would zero around itself;
    /// - [`convert`](Self::convert) and [`forget`](Self::forget), always: the blocks may be in
    ///   nobody's entry any more, and have changed all the same;
    /// - [`remove`](Self::remove) of anything but nothing, always, and
    ///   [`remove_delayed`](Self::remove_delayed) when it removed anything.
    ///
    /// # What does not
    ///
    /// [`cache`](Self::cache) only repeats what the on-disk tree says, [`shrink`](Self::shrink)
    /// only forgets it; neither alters the truth. If caching moved it, reading a file would
    /// spoil the mappings that writeback keeps of it.
    ///
    /// # Who reads it, and why that is safe
    ///
    /// It is changed under `i_data_sem` for write *and* the ES lock, in the same critical section
    /// as the tree.
    ///
    /// Each of these readers has a mutant that takes its comparison away, and a test that notices
    /// (`Documentation/races.md`).
    ///
    /// - A lookup reads it under the ES lock together with the extent, or, where the extent came
    ///   from the on-disk tree, under the ES lock while it still holds `i_data_sem` for read.
    ///   Either way no change lies between extent and reading.
    /// - The mapper's re-check holds `i_data_sem` for write: nothing can move until it is done.
    /// - `iomap_valid` runs without either lock. The holder of this tree publishes the value as
    ///   an atomic: stored with release ordering before the ES lock is dropped, loaded with
    ///   acquire ordering. The reader holds the lock of a folio that is still in the page cache.
    ///   Removal of blocks takes the folios over them out of the cache first, under their locks,
    ///   so a removal that concerns *this* folio either comes later and waits for the I/O that
    ///   is being set up, or it dropped the folio, which the caller notices. A conversion of
    ///   these blocks comes from I/O on this folio, which the folio's writeback flag excludes or
    ///   whose end, through that flag, happened before. Hole to delayed for blocks of this folio
    ///   takes the folio lock after the mapping was made and is seen the same way. Changes of
    ///   other blocks may be seen or missed; a mapping that is dropped for them costs a lookup.
    sequence: u64,

    /// Where the next [`shrink`](Self::shrink) begins, so that entries are dropped in turn.
    hand: LogicalBlock,
}

impl StatusTree {
    /// Knows nothing yet. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sequence; see the field's documentation for what it promises.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn bump(&mut self) {
        // 64 bits do not come round; the mapper would only retry if they did.
        self.sequence = self.sequence.saturating_add(1);
    }

    /// Number of delayed blocks, which is the number of blocks reserved for this inode.
    pub fn delayed_blocks(&self) -> u32 {
        self.leaves.delayed()
    }

    /// Number of extents held.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole extent in which `at` lies, or `None` where it is not cached.
    #[inline]
    pub fn lookup(&self, at: LogicalBlock) -> Option<Extent> {
        let extent = self.leaves.at(self.leaves.find(at))?;
        (extent.start() <= at).then_some(extent)
    }

    /// Where the run of uncached blocks ends that `at` lies in: the start of the next extent.
    /// `None` where nothing follows.
    pub fn next_start(&self, at: LogicalBlock) -> Option<LogicalBlock> {
        let (_, extent) = self.leaves.get(self.leaves.find(at))?;
        Some(extent.start())
    }

    /// All extents that touch `range`, whole, in order.
    pub fn iter(&self, range: Range<LogicalBlock>) -> impl Iterator<Item = Extent> + '_ {
        self.leaves
            .iter_from(range.start)
            .take_while(move |extent| extent.start() < range.end)
    }

    /// The first run of delayed blocks in `range`, cut to it.
    pub fn next_delayed(&self, range: &Range<LogicalBlock>) -> Option<Extent> {
        self.iter(range.clone())
            .find(Extent::is_delayed)?
            .trim(range)
    }

    /// How many blocks of `range` are delayed.
    pub fn delayed_in(&self, range: &Range<LogicalBlock>) -> u32 {
        let delayed = self.iter(range.clone()).filter(Extent::is_delayed);
        let parts = delayed.filter_map(|extent| extent.trim(range));
        parts.fold(0, |sum, part| sum.saturating_add(part.len()))
    }

    /// The entry right before `at`, if its blocks are allocated.
    pub fn allocated_before(&self, at: LogicalBlock) -> Option<Extent> {
        let (_, before) = self.leaves.previous(self.leaves.find(at))?;
        before.state().physical().map(|_| before)
    }

    /// The part around `at` of an extent of the on-disk tree, as far as nothing is cached there.
    pub fn uncached(&self, on_disk: Extent, at: LogicalBlock) -> Option<Extent> {
        let known = on_disk.trim(&self.gap_around(at)?)?;
        known.range().contains(&at).then_some(known)
    }

    /// The memory that a change at `range` takes: [`insert`](Self::insert) over it,
    /// [`cache`](Self::cache) at its start, [`remove`](Self::remove) of it.
    ///
    /// Exact as long as `i_data_sem` is held for write; a spare filled for it under that lock
    /// makes the change certain to succeed.
    pub fn need(&self, range: &Range<LogicalBlock>) -> Need {
        self.leaves.need(range.start)
    }

    /// The truth about the blocks of `extent` is now this.
    ///
    /// Overwrites what is there, merges with its neighbours, moves the sequence. Needs
    /// `i_data_sem` for write.
    ///
    /// # Errors
    ///
    /// Nothing has changed where memory is lacking.
    pub fn insert(&mut self, extent: Extent, spare: &mut Spare) -> Result<Change, Need> {
        if self
            .lookup(extent.start())
            .and_then(|e| e.trim(&extent.range()))
            == Some(extent)
        {
            return Ok(Change::default());
        }
        let before = self.delayed_blocks();
        if self.prolong(extent) {
            self.bump();
            return Ok(self.change_since(before));
        }
        self.leaves.make_room(extent.start(), spare)?;
        let position = self.cut_left(&extent.range());
        self.leaves.insert(position, extent);
        self.leaves.remove_until(position.after(), extent.end());
        self.merge(position, extent);
        self.leaves.compact(extent.start());
        self.bump();
        Ok(self.change_since(before))
    }

    /// Notes what the on-disk tree says about the blocks around `at`, which lie in `extent`, as
    /// far as they are not cached yet. Does not move the sequence. Needs `i_data_sem` for read
    /// since before `extent` was looked up.
    ///
    /// # Errors
    ///
    /// Nothing has changed where memory is lacking; it is no loss, then.
    pub fn cache(
        &mut self,
        extent: Extent,
        at: LogicalBlock,
        spare: &mut Spare,
    ) -> Result<(), Need> {
        let Some(known) = self.uncached(extent, at) else {
            return Ok(());
        };
        self.leaves.make_room(known.start(), spare)?;
        let position = self.leaves.find(known.start());
        self.leaves.insert(position, known);
        self.merge(position, known);
        Ok(())
    }

    /// The blocks of `range` are no longer what they were; what they are is not cached. Moves the
    /// sequence. Needs `i_data_sem` for write.
    ///
    /// # Errors
    ///
    /// Nothing has changed where memory is lacking, which can only be where `range` cuts a hole
    /// into one extent, so never for a range up to [`END_OF_FILE_SPACE`](super::END_OF_FILE_SPACE).
    pub fn remove(
        &mut self,
        range: Range<LogicalBlock>,
        spare: &mut Spare,
    ) -> Result<Change, Need> {
        if range.is_empty() {
            return Ok(Change::default());
        }
        let inside = |e: &Extent| e.start() < range.start && e.end() > range.end;
        if self.lookup(range.start).is_some_and(|e| inside(&e)) {
            self.leaves.make_room(range.start, spare)?;
        }
        let before = self.delayed_blocks();
        let position = self.cut_left(&range);
        self.leaves.remove_until(position, range.end);
        self.leaves.compact(range.start);
        self.bump();
        Ok(self.change_since(before))
    }

    /// Makes the delayed blocks of `range` holes again, and leaves the others alone. Does one run
    /// of them a call: repeat it until nothing is dropped. Needs `i_data_sem` for write.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_delayed(
        &mut self,
        range: &Range<LogicalBlock>,
        spare: &mut Spare,
    ) -> Result<Change, Need> {
        match self.next_delayed(range) {
            Some(run) => self.remove(run.range(), spare),
            None => Ok(Change::default()),
        }
    }

    /// The unwritten blocks of `range` are written now. Moves the sequence. Needs `i_data_sem` for
    /// write.
    ///
    /// # Errors
    ///
    /// Where memory is lacking it is done in part; repeating it goes on.
    pub fn convert(&mut self, range: &Range<LogicalBlock>, spare: &mut Spare) -> Result<(), Need> {
        let written = |e: Extent| match e.state() {
            State::Unwritten(place) => Extent::over(&e.range(), State::Written(place)),
            _ => None,
        };
        loop {
            let mut parts = self.iter(range.clone()).filter_map(|e| e.trim(range));
            let Some(extent) = parts.find_map(written) else {
                break;
            };
            drop(parts);
            // No block is delayed before or after, so there is nothing to settle.
            let _ = self.insert(extent, spare)?;
        }
        // Also for mappings of blocks whose entries have been shrunk away since.
        self.bump();
        Ok(())
    }

    /// Drops every entry that touches `range` and is not delayed, and moves the sequence: the
    /// blocks have changed and there is no memory to say how. Cannot fail. Needs `i_data_sem` for
    /// write.
    pub fn forget(&mut self, range: &Range<LogicalBlock>) {
        self.leaves.drop_range(range);
        self.bump();
    }

    /// Drops up to `count` entries that the on-disk tree can tell again; never a delayed one.
    /// Returns how many; it looks at a part of the tree only, another part each time. Needs
    /// `i_data_sem` for read.
    pub fn shrink(&mut self, count: usize) -> usize {
        let (dropped, hand) = self.leaves.drop_some(self.hand, count, Extent::is_delayed);
        self.hand = hand;
        dropped
    }

    /// Whether the tree's invariants hold.
    ///
    /// # Errors
    ///
    /// Says which does not.
    pub fn check(&self) -> Result<(), &'static str> {
        self.leaves.check()
    }

    fn change_since(&self, before: u32) -> Change {
        let after = self.delayed_blocks();
        Change {
            added: after.saturating_sub(before),
            dropped: before.saturating_sub(after),
        }
    }

    /// The uncached blocks around `at`; `None` where it is cached.
    fn gap_around(&self, at: LogicalBlock) -> Option<Range<LogicalBlock>> {
        let position = self.leaves.find(at);
        let end = match self.leaves.get(position) {
            Some((_, next)) if next.start() <= at => return None,
            Some((_, next)) => next.start(),
            None => super::END_OF_FILE_SPACE,
        };
        let start = match self.leaves.previous(position) {
            Some((_, previous)) => previous.end(),
            None => LogicalBlock(0),
        };
        Some(start..end)
    }

    /// [`insert`](Self::insert) where `extent` continues the one before it, at the cost of a part
    /// of the one after: a file that is written from its start to its end. Takes no room. Says
    /// whether that was the case.
    fn prolong(&mut self, extent: Extent) -> bool {
        let position = self.leaves.find(extent.start());
        let Some((before_position, before)) = self.leaves.previous(position) else {
            return false;
        };
        let after = self.leaves.at(position);
        let rest = after
            .filter(|after| after.start() == extent.start() && after.end() > extent.end())
            .and_then(|after| after.from(extent.end()));
        let (Some(joined), Some(rest)) = (before.join(&extent), rest) else {
            return false;
        };
        self.leaves.replace(before_position, joined);
        self.leaves.replace(position, rest);
        true
    }

    /// Takes the extent that `range` begins in out of its way: the part before stays, a part after
    /// is split off. Returns where an extent beginning at `range.start` goes.
    fn cut_left(&mut self, range: &Range<LogicalBlock>) -> Position {
        let position = self.leaves.find(range.start);
        let Some(old) = self.leaves.at(position) else {
            return position;
        };
        let Some(left) = old.before(range.start) else {
            return position;
        };
        self.leaves.replace(position, left);
        if let Some(right) = old.from(range.end).filter(|_| old.end() > range.end) {
            self.leaves.insert(position.after(), right);
        }
        position.after()
    }

    /// Joins the extent at `position` with the neighbours that it continues.
    fn merge(&mut self, position: Position, extent: Extent) {
        if let Some((_, right)) = self.leaves.get(position.after()) {
            if let Some(joined) = extent.join(&right) {
                self.leaves.remove_until(position.after(), right.end());
                self.leaves.replace(position, joined);
            }
        }
        let Some(extent) = self.leaves.at(position) else {
            return;
        };
        if let Some((left_position, left)) = self.leaves.previous(position) {
            if let Some(joined) = left.join(&extent) {
                self.leaves.remove_until(position, extent.end());
                self.leaves.replace(left_position, joined);
            }
        }
    }

    /// The state of `at`, if it is cached.
    pub fn state_of(&self, at: LogicalBlock) -> Option<State> {
        let one = at..at.checked_add(1)?;
        Some(self.lookup(at)?.trim(&one)?.state())
    }
}
