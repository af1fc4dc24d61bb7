// SPDX-License-Identifier: GPL-2.0

//! Space accounting of a whole file system.
//!
//! Every block is paid for before it is allocated: [`Counters::reserve`] sets blocks aside (for
//! delayed allocation at write(2), else right before the allocation), [`Counters::claim`] turns
//! set-aside blocks into allocated ones, [`Counters::unreserve`] gives the rest back. So two
//! writers can never both be promised the last block.
//!
//! Called from anywhere, without a lock: each figure is one atomic, and the only decision
//! ("is there enough?") is a compare-and-swap on the one figure it depends on. Nothing else is
//! ordered by these atomics, so `Relaxed` suffices.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;

/// The metadata pool is this share of the file system at most...
const POOL_SHARE: u64 = 50;
/// ...and at most so many blocks.
const POOL_MAX: u64 = 4096;

/// Who asks for space, and so how deep into the last free blocks it may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimant {
    /// Anyone: stops at root's reserve and at the metadata pool.
    User,
    /// `CAP_SYS_RESOURCE`, or the owner of the reserve (`s_def_resuid`, `s_def_resgid`): stops at
    /// the metadata pool.
    Privileged,
    /// Metadata that data cannot do without whose space is promised already (writeback), or that
    /// frees more than it takes (removal): stops at the half of the metadata pool.
    Promised,
    /// Metadata that data cannot do without which is on the device already (the split of an extent
    /// at the end of its I/O): may take the last block.
    Completion,
}

/// Fs-wide free and set-aside blocks, free inodes and directories.
///
/// Units are blocks; a freed block counts as free at once, though it is handed out only after
/// the commit (see [`Counters::uncommitted`]).
pub struct Counters {
    /// Free blocks that nobody has set aside.
    unclaimed: AtomicU64,
    /// Free blocks set aside, not allocated yet.
    reserved: AtomicU64,
    /// Blocks freed in transactions that have not committed, or held; part of the two above.
    uncommitted: AtomicU64,
    /// `s_r_blocks_count`.
    root_reserve: AtomicU64,
    /// Kept back for [`Claimant::Promised`] and [`Claimant::Completion`].
    pool: AtomicU64,
    free_inodes: AtomicU32,
    directories: AtomicU32,
    /// How often a figure would have gone below zero: zero, or there is a bug.
    mismatches: AtomicU32,
}

/// What statfs(2) reports about blocks and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceReport {
    /// `f_bfree`.
    pub free_blocks: u64,
    /// `f_bavail`: what an ordinary user can get.
    pub available_blocks: u64,
    /// `f_ffree`.
    pub free_inodes: u32,
}

impl Counters {
    /// The counters of a file system of `blocks` blocks of which `free_blocks` are free; the
    /// free figures are the sums over the group descriptors, which are journalled, not the
    /// superblock's, which are hints.
    pub fn new(
        blocks: u64,
        free_blocks: u64,
        root_reserve: u64,
        free_inodes: u32,
        directories: u32,
    ) -> Self {
        Self {
            unclaimed: AtomicU64::new(free_blocks),
            reserved: AtomicU64::new(0),
            uncommitted: AtomicU64::new(0),
            root_reserve: AtomicU64::new(root_reserve),
            pool: AtomicU64::new((blocks / POOL_SHARE).min(POOL_MAX)),
            free_inodes: AtomicU32::new(free_inodes),
            directories: AtomicU32::new(directories),
            mismatches: AtomicU32::new(0),
        }
    }

    /// Begins anew with what is free now. Nothing is set aside, and nothing on its way.
    pub fn restart(&self, free_blocks: u64, free_inodes: u32, directories: u32) {
        self.unclaimed.store(free_blocks, Relaxed);
        self.uncommitted.store(0, Relaxed);
        self.free_inodes.store(free_inodes, Relaxed);
        self.directories.store(directories, Relaxed);
    }

    /// What `claimant` must leave alone.
    fn floor(&self, claimant: Claimant) -> u64 {
        match claimant {
            Claimant::User => self.pool().saturating_add(self.root_reserve.load(Relaxed)),
            Claimant::Privileged => self.pool(),
            Claimant::Promised => self.pool() / 2,
            Claimant::Completion => 0,
        }
    }

    /// Whether `claimant` would get `blocks` now. Others may be faster.
    pub fn may_have(&self, blocks: u32, claimant: Claimant) -> bool {
        let needed = self.floor(claimant).saturating_add(blocks.into());
        self.unclaimed.load(Relaxed) >= needed
    }

    /// Sets `blocks` aside.
    ///
    /// # Errors
    ///
    /// `ENOSPC`; nothing is set aside then.
    pub fn reserve(&self, blocks: u32, claimant: Claimant) -> Result {
        let blocks = u64::from(blocks);
        let needed = blocks.saturating_add(self.floor(claimant));
        self.unclaimed
            .fetch_update(Relaxed, Relaxed, |free| {
                if free >= needed {
                    free.checked_sub(blocks)
                } else {
                    None
                }
            })
            .map_err(|_| ENOSPC)?;
        self.reserved.fetch_add(blocks, Relaxed);
        Ok(())
    }

    /// Gives set-aside blocks back.
    pub fn unreserve(&self, blocks: u32) {
        let given = self.take(&self.reserved, blocks.into());
        self.unclaimed.fetch_add(given, Relaxed);
    }

    /// Set-aside blocks have become allocated ones.
    pub fn claim(&self, blocks: u32) {
        self.take(&self.reserved, blocks.into());
    }

    /// Allocated blocks have become free, in a transaction that has not committed.
    pub fn freed(&self, blocks: u32) {
        self.uncommitted.fetch_add(blocks.into(), Relaxed);
        self.unclaimed.fetch_add(blocks.into(), Relaxed);
    }

    /// Blocks allocated a moment ago are free and set aside again; as [`freed`](Self::freed).
    pub fn unclaim(&self, blocks: u32) {
        self.uncommitted.fetch_add(blocks.into(), Relaxed);
        self.reserved.fetch_add(blocks.into(), Relaxed);
    }

    /// Blocks allocated a moment ago stay in use; as many others are set aside for what they were
    /// meant for, if there are.
    pub fn replace(&self, blocks: u32) {
        self.lost(blocks);
        self.reserved.fetch_add(blocks.into(), Relaxed);
    }

    /// Free blocks cannot be had for a moment; [`committed`](Self::committed) ends it.
    pub fn held(&self, blocks: u32) {
        self.uncommitted.fetch_add(blocks.into(), Relaxed);
    }

    /// The transaction that freed `blocks` has committed.
    pub fn committed(&self, blocks: u32) {
        self.take(&self.uncommitted, blocks.into());
    }

    /// Free blocks that cannot be had any more, because their group turned out corrupt.
    pub fn lost(&self, blocks: u32) {
        let _ = self.unclaimed.fetch_update(Relaxed, Relaxed, |free| {
            Some(free.saturating_sub(blocks.into()))
        });
    }

    /// Blocks that a journal commit would make available: where an allocation finds nothing
    /// though space was set aside for it, and this is not zero, force a commit and try again.
    pub fn uncommitted(&self) -> u64 {
        self.uncommitted.load(Relaxed)
    }

    /// Blocks set aside now; zero at unmount, or somebody leaked a reservation.
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    /// Free blocks on disk, set aside or not: `s_free_blocks_count`.
    pub fn free_blocks(&self) -> u64 {
        let unclaimed = self.unclaimed.load(Relaxed);
        unclaimed.saturating_add(self.reserved.load(Relaxed))
    }

    /// Free inodes: `s_free_inodes_count`.
    pub fn free_inodes(&self) -> u32 {
        self.free_inodes.load(Relaxed)
    }

    /// Directories on the file system.
    pub fn directories(&self) -> u32 {
        self.directories.load(Relaxed)
    }

    /// How often the books did not balance; zero, or there is a bug.
    pub fn mismatches(&self) -> u32 {
        self.mismatches.load(Relaxed)
    }

    /// Blocks kept back for [`Claimant::Promised`] and [`Claimant::Completion`].
    pub fn pool(&self) -> u64 {
        self.pool.load(Relaxed)
    }

    /// Changes how many blocks are kept back.
    pub fn set_pool(&self, blocks: u64) {
        self.pool.store(blocks, Relaxed);
    }

    /// Changes root's reserve (`s_r_blocks_count`).
    pub fn set_root_reserve(&self, blocks: u64) {
        self.root_reserve.store(blocks, Relaxed);
    }

    /// The figures of statfs(2).
    pub fn report(&self) -> SpaceReport {
        let free_blocks = self.unclaimed.load(Relaxed);
        SpaceReport {
            free_blocks,
            available_blocks: free_blocks.saturating_sub(self.floor(Claimant::User)),
            free_inodes: self.free_inodes.load(Relaxed),
        }
    }

    /// An inode has been allocated.
    pub(super) fn inode_allocated(&self, is_dir: bool) {
        let less = |n: u32| n.checked_sub(1);
        if self
            .free_inodes
            .fetch_update(Relaxed, Relaxed, less)
            .is_err()
        {
            self.mismatches.fetch_add(1, Relaxed);
        }
        if is_dir {
            self.directories.fetch_add(1, Relaxed);
        }
    }

    /// An inode has been freed.
    pub(super) fn inode_freed(&self, is_dir: bool) {
        self.free_inodes.fetch_add(1, Relaxed);
        let less = |n: u32| n.checked_sub(1);
        if is_dir
            && self
                .directories
                .fetch_update(Relaxed, Relaxed, less)
                .is_err()
        {
            self.mismatches.fetch_add(1, Relaxed);
        }
    }

    /// Subtracts `n` from `figure`, or as much as there is; returns what was subtracted.
    fn take(&self, figure: &AtomicU64, n: u64) -> u64 {
        let before = figure.fetch_update(Relaxed, Relaxed, |v| Some(v.saturating_sub(n)));
        let taken = before.unwrap_or_else(|v| v).min(n);
        if taken < n {
            self.mismatches.fetch_add(1, Relaxed);
        }
        taken
    }
}
