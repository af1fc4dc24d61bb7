// SPDX-License-Identifier: GPL-2.0

//! Block groups: which blocks and inodes are free, and which to hand out next.
//!
//! Pure: the module and the host tests build the same files.
//!
//! # Data
//!
//! - [`GroupState`]: one group's descriptor, and the *allocator's bitmap* of its blocks, read from
//!   the disk at the first use. A bit of it is set where the block is in use on disk, **or** was
//!   freed by a transaction that has not committed yet: handing such a block out could overwrite,
//!   before the commit, data that a crash brings back. The bitmap block on disk changes at once,
//!   inside the transaction.
//! - [`Summary`]: per group a few atomics that say without a lock whether a look is worthwhile.
//! - [`Counters`]: the books of the whole file system; every block is paid for before it is
//!   looked for.
//! - [`SystemZone`]: where metadata lies, which is never handed out and never freed.
//!
//! # Who calls
//!
//! The mapper ([`allocate_blocks`]), the extents room and truncate ([`free_blocks`]), namei and
//! orphan clean-up ([`allocate_inode`], [`free_inode`]), the journal's commit callback
//! ([`release_committed`]), `fstrim` ([`hold_free`]). The kernel's [`GroupTable`] is
//! `superblock::groups`.
//!
//! # Locks
//!
//! Handle, then `i_data_sem`, then **one** group's lock (a sleeping mutex, inside
//! [`GroupTable::with_group`]); never two groups at once. Under it: journal write access, reading
//! a bitmap, allocating memory (NOFS). The commit callback takes it too, which is safe because its
//! holders wait for nothing that a commit does after its callback starts.
//!
//! # Failure
//!
//! Each change gets journal access to all its blocks first and edits them then, so it happens
//! whole or not at all. A group found corrupt is reported once, and from then on nothing is
//! allocated from it; the rest of the file system goes on, as far as `errors=` lets it.

pub mod bits;
mod blocks;
mod counters;
mod group;
mod inodes;
mod place;
mod table;
mod trim;
mod zone;

pub use blocks::{
    allocate_blocks, free_blocks, release_committed, unallocate_blocks, Request, Run, Space,
};
pub use counters::{Claimant, Counters, SpaceReport};
pub use group::{GroupState, Part};
pub use inodes::{allocate_inode, free_inode, NewInode, Placement};
pub use place::block_goal;
pub use table::{GroupTable, Numbered, Summary};
pub use trim::hold_free;
pub use zone::{SystemZone, ZoneBuilder};

/// Blocks a handle must be able to dirty for one [`allocate_blocks`], and for each group that a
/// [`free_blocks`] touches: the bitmap and the descriptor.
pub const BLOCK_CREDITS: u32 = 2;

/// Blocks a handle must be able to dirty for one [`allocate_inode`]: the bitmap, the descriptor,
/// and the block of the inode table. ([`free_inode`] needs the first two.)
pub const INODE_CREDITS: u32 = 3;
