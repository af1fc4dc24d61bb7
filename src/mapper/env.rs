// SPDX-License-Identifier: GPL-2.0

//! What the mapper needs of an inode and of the file system around it.

use super::map::{MapRequest, Mapping};
use super::shift::Shift;
use crate::errortag::Tag;
use crate::extent_status::{Extent, StatusTree};
use crate::format::units::{LogicalBlock, PhysicalBlock};
use core::ops::{Deref, DerefMut, Range};
use kernel::prelude::*;

/// What a handle is started for, which decides its credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocating one run of blocks and inserting it into the tree as one extent.
    Allocate,
    /// Making one unwritten extent, or a part of it, written. Draws on reserved space if it has
    /// to split, never fails for lack of it.
    Convert,
    /// Removing, moving or unwriting extents, as many as the transaction takes.
    Remove,
    /// All of a move, with the hole before it, in a file whose extents are in few nodes.
    Move,
}

/// A request for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The block of the file that the run is for.
    pub at: LogicalBlock,
    /// Where it would continue the extent before it; `None` where none is near.
    pub goal: Option<PhysicalBlock>,
    /// That extent ends right before `at`, so that a run at the goal prolongs it.
    pub contiguous: bool,
    /// How many blocks; fewer may come, never more.
    pub len: u32,
}

/// Blocks that were allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block.
    pub start: PhysicalBlock,
    /// Number of blocks, at least 1.
    pub len: u32,
}

/// What somebody may want to see or count.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// [`map_blocks`](super::map_blocks) is called.
    Asked(&'a MapRequest),
    /// It returns.
    Answered(&'a MapRequest, &'a Result<Mapping>),
    /// A re-check failed: what was found is so no more, and the mapper goes back to the lookup.
    Retry(&'a Mapping),
    /// Blocks became written, or a conversion failed with a part of them done.
    Converted(&'a Range<LogicalBlock>, &'a Result),
}

/// One inode, as the mapper sees it.
///
/// What changes blocks keeps the inode's own books too: `i_blocks`, quota, the mark that the
/// inode is dirty in the handle's transaction.
pub trait MapperEnv {
    /// A running journal handle. Dropped without [`stop_handle`](Self::stop_handle), it stops.
    type Handle;
    /// What `i_data_sem` protects: above all `i_block`, the root of the extent tree.
    type Data;
    /// `i_data_sem` held for read.
    type Reading<'a>: Deref<Target = Self::Data>
    where
        Self: 'a;
    /// `i_data_sem` held for write.
    type Writing<'a>: DerefMut<Target = Self::Data>
    where
        Self: 'a;

    /// Runs `f` under the ES lock, a spinlock: `f` neither sleeps nor allocates.
    ///
    /// Before it drops the lock it publishes [`StatusTree::sequence`] for those who read it
    /// without.
    fn with_status<R>(&self, f: impl FnOnce(&mut StatusTree) -> R) -> R;

    /// Takes `i_data_sem` for read. Memory allocated while it is held does not enter reclaim of
    /// file systems (the guard is a NOFS scope).
    fn lock_read(&self) -> Self::Reading<'_>;

    /// Takes `i_data_sem` for write; as [`lock_read`](Self::lock_read). A caller that is going to
    /// change the disk has its handle already.
    fn lock_write(&self) -> Self::Writing<'_>;

    /// Whether no mapping has become wrong since `since` was read; the re-check. A model may lie
    /// here, to show that it would notice.
    fn unchanged(&self, _held: &Self::Data, since: u64) -> bool {
        self.with_status(|tree| tree.sequence()) == since
    }

    /// The whole extent around the first block of `request` and its sequence, where the caller
    /// [remembered](Self::remember) it and the sequence is still that one: then it is what a look
    /// into the status tree would find, without the ES lock.
    #[inline(always)]
    fn recall(&self, _request: &MapRequest) -> Option<(Extent, u64)> {
        None
    }

    /// Notes an extent that a request found in the status tree, for the next one.
    #[inline(always)]
    fn remember(&self, _request: &MapRequest, _extent: &Extent, _sequence: u64) {}

    /// A task comes by `tag`: a test may hold it there, or let it fail.
    ///
    /// # Errors
    ///
    /// Those that the test asked for.
    fn errortag(&self, _tag: Tag) -> Result {
        Ok(())
    }

    /// For counters and for those who watch.
    #[inline(always)]
    fn observe(&self, _event: Event<'_>) {}

    /// The extent of the on-disk tree in which `at` lies, or the whole hole around it.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED`, `EFSBADCRC`, `EIO`, `ENOMEM`.
    fn tree_lookup(&self, data: &Self::Data, at: LogicalBlock) -> Result<Extent>;

    /// Puts a written or unwritten extent of at most [`super::size::MAX_RUN`] blocks into a hole
    /// of the on-disk tree. `promised`: its space was reserved when the data was accepted, so what
    /// the tree takes for itself may come out of what is kept back for such data.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, those of tree and journal; nothing has changed then.
    fn tree_insert(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        extent: Extent,
        promised: bool,
    ) -> Result;

    /// Makes the unwritten blocks of `range` written, from its start upwards. Returns up to where
    /// it came; before `range.end` where the transaction is full. An extent that has to be split
    /// may take the last block there is.
    ///
    /// # Errors
    ///
    /// Those of tree and journal; part of it may be done.
    fn tree_convert(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock>;

    /// Removes the extents of `range` and frees their blocks, from its end downwards. Returns
    /// down to where it came; behind `range.start` where the transaction is full.
    ///
    /// # Errors
    ///
    /// Those of tree, allocator and journal; part of it may be done.
    fn tree_remove(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock>;

    /// Moves extents as `shift` says. Returns what is left to do where the transaction is full.
    ///
    /// # Errors
    ///
    /// Those of tree and journal; part of it may be done.
    fn tree_shift(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        shift: Shift,
    ) -> Result<Option<Shift>>;

    /// Makes ready for a move up by `by` blocks of all from `from` on: nothing but device and
    /// journal can stop it then. False where the transaction is full; nothing has changed then.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `EFBIG`, those of tree and journal; nothing has changed then.
    fn tree_make_way(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        from: LogicalBlock,
        by: u32,
    ) -> Result<bool>;

    /// Makes the written blocks of `range` unwritten, as [`tree_convert`](Self::tree_convert) does
    /// the other way round; an extent that has to be split takes what space anybody can have.
    ///
    /// # Errors
    ///
    /// Those of tree and journal; part of it may be done.
    fn tree_unwrite(
        &self,
        data: &mut Self::Data,
        handle: &mut Self::Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock>;

    /// Allocates a run of blocks. They were reserved before; as many as come are *claimed* from
    /// the reservation.
    ///
    /// # Errors
    ///
    /// `ENOSPC` (though reserved: freed blocks wait for a commit, or a group is corrupt), those
    /// of bitmaps and journal; nothing has happened then.
    fn allocate(&self, data: &mut Self::Data, handle: &mut Self::Handle, want: Want)
        -> Result<Run>;

    /// Takes an allocation of this handle back: the run is free, and its blocks are reserved
    /// again.
    fn unallocate(&self, data: &mut Self::Data, handle: &mut Self::Handle, run: Run);

    /// Reserves blocks in the file system's books, and of the quota.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `EDQUOT`; nothing is reserved then.
    fn reserve(&self, blocks: u32) -> Result;

    /// Gives reserved blocks back.
    fn unreserve(&self, blocks: u32);

    /// Starts a handle with the credits for `operation`. Not under `i_data_sem`.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `ENOMEM`.
    fn start_handle(&self, operation: Operation) -> Result<Self::Handle>;

    /// Gives a running handle the credits for one more `operation`; where its transaction has no
    /// room for them the handle goes on in a new one. Not under `i_data_sem`.
    ///
    /// # Errors
    ///
    /// As [`start_handle`](Self::start_handle).
    fn renew_handle(&self, handle: &mut Self::Handle, operation: Operation) -> Result;

    /// Stops a handle.
    ///
    /// # Errors
    ///
    /// `EROFS`, `EIO`: what was done under it does not reach the disk.
    fn stop_handle(&self, handle: Self::Handle) -> Result;

    /// There was no space; the policy whether to try again, after `attempts` tries in vain. Called
    /// without handle and `i_data_sem`.
    ///
    /// While freed blocks wait for a commit (`Counters::uncommitted`) force it, wait for it, and
    /// return true, a few times at most. A caller in writeback that gets `ENOSPC` in the end says
    /// what is lost and calls [`release_delayed`](super::release_delayed) for what iomap
    /// un-dirtied.
    fn wait_for_space(&self, attempts: u32) -> bool;
}
