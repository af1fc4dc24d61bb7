// SPDX-License-Identifier: GPL-2.0

//! The block groups of a mounted file system, as the allocator asks for them.

use super::blocks::Run;
use super::counters::Counters;
use super::group::{GroupState, Part, Trouble};
use super::zone::SystemZone;
use crate::format::units::GroupNumber;
use crate::format::{Geometry, Problem};
use crate::store::Transaction;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kernel::prelude::*;

/// All groups of a file system: the kernel's keeps each [`GroupState`] in a mutex.
pub trait GroupTable {
    /// The file system's dimensions.
    fn geometry(&self) -> &Geometry;

    /// The fs-wide books.
    fn counters(&self) -> &Counters;

    /// Where metadata lies.
    fn zone(&self) -> &SystemZone;

    /// The hints about `group`; `None` past the last group. Takes no lock.
    fn summary(&self, group: GroupNumber) -> Option<&Summary>;

    /// Whether all of `run` may belong to a file: it lies on the device, and is no metadata.
    fn may_hold_data(&self, run: Run) -> bool {
        self.geometry().contains(run.start, run.len.into())
            && !self.zone().overlaps(run.start, run.len.into())
    }

    /// Runs `f` with `group` locked.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` past the last group, else what `f` returns.
    fn with_group<R>(
        &self,
        group: GroupNumber,
        f: impl FnOnce(&mut GroupState) -> Result<R>,
    ) -> Result<R>;

    /// Notes that `transaction` (a [`Numbered::number`]) frees `run`: once it has committed,
    /// [`release_committed`](super::release_committed) is to be called with it. Called with the
    /// group locked.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the blocks are not freed then.
    fn note_freed(&self, transaction: u32, run: Run) -> Result;

    /// A group was found corrupt: log it, and do what `errors=` says. No group is locked.
    fn report(&self, group: GroupNumber, problem: Problem);
}

/// A transaction that can be told from others that have not committed yet.
pub trait Numbered: Transaction {
    /// The running transaction's number: jbd2's `tid`.
    fn number(&self) -> u32;
}

/// What can be known of a group without its lock.
///
/// Each figure is written under the group's lock and read without: it says only whether taking
/// the lock is worthwhile, and whoever takes it looks again.
#[derive(Default)]
pub struct Summary {
    free_blocks: AtomicU32,
    longest: AtomicU32,
    free_inodes: AtomicU32,
    directories: AtomicU32,
}

impl Summary {
    /// The summary of `state`.
    pub fn new(state: &GroupState) -> Self {
        let summary = Self::default();
        summary.restart(state);
        summary
    }

    /// Begins anew with the locked `state`.
    pub fn restart(&self, state: &GroupState) {
        self.refresh(state);
        self.longest.store(state.available_blocks(), Relaxed);
    }

    /// Blocks that can be allocated.
    pub fn free_blocks(&self) -> u32 {
        self.free_blocks.load(Relaxed)
    }

    /// No run of free blocks is longer than this.
    pub fn longest(&self) -> u32 {
        self.longest.load(Relaxed).min(self.free_blocks())
    }

    /// Inodes that can be allocated.
    pub fn free_inodes(&self) -> u32 {
        self.free_inodes.load(Relaxed)
    }

    /// Directories.
    pub fn directories(&self) -> u32 {
        self.directories.load(Relaxed)
    }

    /// Takes the counts over from the locked `state`.
    pub(super) fn refresh(&self, state: &GroupState) {
        self.free_blocks.store(state.available_blocks(), Relaxed);
        self.free_inodes.store(state.available_inodes(), Relaxed);
        self.directories.store(state.directories(), Relaxed);
    }

    /// A search of the locked group found that the longest run is `len`.
    pub(super) fn found_longest(&self, len: u32) {
        self.longest.store(len, Relaxed);
    }

    /// `len` blocks became free. They may join a run at either side.
    pub(super) fn run_released(&self, len: u32) {
        let longest = self.longest.load(Relaxed);
        let bound = longest.saturating_mul(2).saturating_add(len);
        self.longest.store(bound, Relaxed);
    }
}

/// Runs `f` with `group` locked; keeps the summary true. What is found wrong with `part` has been
/// reported when this returns, and the part marked corrupt.
pub(super) fn locked<T: GroupTable, R>(
    table: &T,
    group: GroupNumber,
    part: Part,
    f: impl FnOnce(&mut GroupState, &Summary) -> Result<R, Trouble>,
) -> Result<R, Trouble> {
    let summary = table.summary(group).ok_or(EFSCORRUPTED)?;
    let mut lost_blocks = 0;
    let result = table.with_group(group, |state| {
        let result = f(state, summary);
        if let Err(Trouble::Found(_)) = result {
            lost_blocks = state.mark_corrupt(part);
        }
        summary.refresh(state);
        Ok(result)
    })?;
    if let Err(Trouble::Found(problem)) = result {
        table.counters().lost(lost_blocks);
        table.report(group, problem);
    }
    result
}

/// Frees with `f` in the locked `group`; whether that happened. Something wrong with `part` of the
/// group stops no free: what was to be freed leaks, which e2fsck mends, and whoever shrinks or
/// deletes a file comes to the end of it.
pub(super) fn freed_or_leaked<T: GroupTable>(
    table: &T,
    group: GroupNumber,
    part: Part,
    f: impl FnOnce(&mut GroupState) -> Result<(), Trouble>,
) -> Result<bool> {
    let result = locked(table, group, part, |state, _| {
        if state.is_corrupt(part) {
            return Ok(false);
        }
        f(state).map(|()| true)
    });
    match result {
        Ok(freed) => Ok(freed),
        Err(Trouble::Found(_)) => Ok(false),
        Err(Trouble::Failed(error)) => Err(error),
    }
}
