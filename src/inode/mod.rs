// SPDX-License-Identifier: GPL-2.0

//! Inodes: from the inode table into memory, back in a handle, attributes, and the end.
//!
//! # Life
//!
//! ```text
//! iget ───────► in use ──► last iput ──► has a name: forgotten, can be read again
//! namei ──────►    │                 └─► has none:   evict frees blocks and inode
//!                  └ every change: table::write_inode in the handle that makes it
//! ```
//!
//! There is no dirty state beyond the journal's: an inode is written into its table block in the
//! operation that changes it, and `write_inode` of the VFS has nothing to do but wait.
//!
//! # Who calls
//!
//! `namei` and `dir` for names, `iomap` and `truncate` for sizes and blocks, `superblock` at mount.

pub(crate) mod attr;
pub(crate) mod create;
pub(crate) mod evict;
mod file_flags;
pub(crate) mod iget;
pub mod info;
pub(crate) mod mapping_env;
pub(crate) mod meta_block;
pub(crate) mod table;
pub(crate) mod tree_space;

pub(crate) use iget::{iget, Purpose};
pub use info::{InodeData, InodeInfo, Origin, OrphanState};
pub(crate) use table::{write_inode, write_inode_unlocked, TableLocks};

use crate::extent_status::END_OF_FILE_SPACE;
use crate::format::inode::{flags, mode, DiskInode};
use crate::format::units::{LogicalBlock, PhysicalBlock};
use crate::format::{BlockSize, Problem};
use crate::kern::inode::{Inode, Timestamp, VfsFlag};
use crate::{here, namei, superblock, symlink, Ext4};
use core::ops::Range;
use kernel::prelude::*;

impl Inode<Ext4> {
    /// The file system's block size.
    #[inline]
    pub(crate) fn block_size(&self) -> BlockSize {
        BlockSize::kept(self.block_bits())
    }

    /// The blocks that the bytes of `range` touch, as far as a file can have them.
    #[inline]
    pub(crate) fn blocks_of(&self, range: Range<u64>) -> Range<LogicalBlock> {
        self.block_size().blocks_of(range, END_OF_FILE_SPACE)
    }

    /// Counts `blocks` more blocks as the inode's (`i_blocks`).
    fn add_blocks(&self, blocks: u32) {
        self.add_bytes(self.block_size().bytes_of(blocks.into()));
    }

    /// Counts `blocks` blocks less.
    fn sub_blocks(&self, blocks: u32) {
        self.sub_bytes(self.block_size().bytes_of(blocks.into()));
    }
}

/// The inodes of a file system as a whole; a part of its `SuperInfo`.
#[pin_data]
pub(crate) struct Shared {
    #[pin]
    pub(crate) table: TableLocks,
    #[pin]
    pub(crate) orphans: superblock::orphan::Orphans,
}

impl Shared {
    /// For a file system whose orphan file has not been looked at.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- TableLocks::new(),
            orphans <- superblock::orphan::Orphans::new(),
        })
    }
}

impl From<crate::format::inode::Timestamp> for Timestamp {
    fn from(t: crate::format::inode::Timestamp) -> Self {
        Self {
            secs: t.seconds,
            nanos: t.nanos,
        }
    }
}

impl From<Timestamp> for crate::format::inode::Timestamp {
    fn from(t: Timestamp) -> Self {
        Self {
            seconds: t.secs,
            nanos: t.nanos,
        }
    }
}

/// Reports a problem found in the inode or, where `block` is given, in a block of it, and acts as
/// `errors=` says. Gives back the errno.
pub(crate) fn report(inode: &Inode<Ext4>, block: Option<PhysicalBlock>, problem: Problem) -> Error {
    let at = here!().inode(inode.ino());
    let at = match block {
        Some(block) => at.block(block),
        None => at,
    };
    superblock::error(inode.sb(), at, problem)
}

/// Sets the inode's flags, and those of the VFS that follow from them.
pub(crate) fn set_flags(inode: &Inode<Ext4>, new: u32) {
    inode.info().set_flags(new);
    for (flag, vfs) in [
        (flags::SYNC, VfsFlag::Sync),
        (flags::APPEND, VfsFlag::Append),
        (flags::IMMUTABLE, VfsFlag::Immutable),
        (flags::NOATIME, VfsFlag::NoAtime),
        (flags::DIRSYNC, VfsFlag::DirSync),
    ] {
        inode.set_vfs_flag(vfs, new & flag != 0);
    }
}

/// Gives a new inode the operations of its kind.
///
/// # Errors
///
/// `EFSCORRUPTED` for a mode that stands for nothing.
pub(crate) fn attach(inode: &Inode<Ext4>, disk: &DiskInode) -> Result {
    match disk.mode & mode::TYPE {
        mode::REGULAR => crate::file::attach(inode),
        mode::DIRECTORY => {
            inode.set_operations(&namei::DIRECTORY_INODE, Some(&namei::DIRECTORY_FILE));
        }
        mode::SYMLINK => inode.set_operations(&symlink::SYMLINK_INODE, None),
        mode::CHAR | mode::BLOCK | mode::FIFO | mode::SOCKET => {
            inode.set_operations(&attr::SPECIAL_INODE, None);
            let (major, minor) = disk.device();
            inode.init_special(disk.mode, crate::kern::inode::device(major, minor));
        }
        _ => {
            let problem = Problem::new("an inode of no known kind", disk.mode.into());
            return Err(report(inode, None, problem));
        }
    }
    Ok(())
}
