// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks and the running transaction, as the pure rooms see them.
//!
//! The kernel's implementation is buffer heads and a jbd2 handle (`jbd_glue`); the host's is a
//! map of blocks in memory. Pure code names only these traits.
//!
//! Who may look at a block's bytes, and when, is decided by the lock that owns that kind of
//! block: extent-tree blocks belong to their inode's `i_data_sem`, bitmaps and descriptors to
//! their group's lock, directory blocks to the directory's rwsem.

use crate::format::units::PhysicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// A metadata block in memory, pinned while the value lives.
pub trait MetaBlock {
    /// Where the block lies on the device.
    fn number(&self) -> PhysicalBlock;

    /// The block's bytes; one file-system block long.
    fn bytes(&self) -> &[u8];

    /// Whether [`MetaBlock::set_verified`] was called since the block was read from the device.
    ///
    /// Lets a reader check checksum and structure once per read from the device instead of once
    /// per look.
    fn verified(&self) -> bool;

    /// Notes that checksum and structure were found good.
    fn set_verified(&self);
}

/// Read access to metadata blocks.
pub trait Store {
    /// A block in memory.
    type Block: MetaBlock;

    /// The file-system block size in bytes.
    fn block_size(&self) -> usize;

    /// Reads the block at `at`, from memory where it is there already.
    ///
    /// # Errors
    ///
    /// `EIO` where the device fails, `ENOMEM`.
    fn read(&self, at: PhysicalBlock) -> Result<Self::Block>;
}

/// Metadata blocks inside a running transaction.
///
/// To change several blocks as one, [`prepare`](Transaction::prepare) all of them first: after
/// that an [`update`](Transaction::update) fails only where the journal has aborted, and then
/// nothing of the transaction reaches the disk.
pub trait Transaction: Store {
    /// Gets journal write access to `block`.
    ///
    /// # Errors
    ///
    /// `EROFS` or `EIO` where the journal has aborted, `ENOMEM`.
    fn prepare(&mut self, block: &Self::Block) -> Result;

    /// Gets journal write access, edits `range` of the block's bytes, and marks the block dirty.
    ///
    /// The range matters: other owners may hold other parts of the same block (inodes in an
    /// inode-table block, groups in a descriptor block).
    ///
    /// # Errors
    ///
    /// As [`prepare`](Transaction::prepare); `EINVAL` for a range that leaves the block. `edit`
    /// has not run then.
    fn update<R>(
        &mut self,
        block: &Self::Block,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R>;

    /// A freshly allocated block: zeroed, not read from the device, with write access.
    fn create(&mut self, at: PhysicalBlock) -> Result<Self::Block>;

    /// Drops a metadata block that has been freed from the journal, and revokes it, so that
    /// recovery never writes its old content over a later owner's data.
    fn forget(&mut self, at: PhysicalBlock) -> Result;

    /// Makes sure that the running handle can dirty `blocks` more blocks.
    ///
    /// `Ok(false)`: the transaction is full. The caller finishes at a consistent point and
    /// restarts; see DESIGN's rule 3 of lock order: what it read before is then stale.
    fn ensure_credits(&mut self, blocks: u32) -> Result<bool>;
}
