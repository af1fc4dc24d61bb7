// SPDX-License-Identifier: GPL-2.0

//! The end of an inode in memory, and of one without a name on disk.
//!
//! The VFS calls [`evict`] when nobody uses the inode any more; its writeback is over and no new
//! one begins. What is left is ours alone.
//!
//! Deleting may take several transactions. The inode is on record as an orphan since it lost its
//! name, so whatever a crash interrupts, the next mount completes.

use super::{table, OrphanState};
use crate::extent_status::END_OF_FILE_SPACE;
use crate::format::inode::{flags, I_BLOCK_SIZE};
use crate::format::units::LogicalBlock;
use crate::inode::mapping_env::InodeEnv;
use crate::jbd_glue::credits;
use crate::kern::inode::Inode;
use crate::kern::jbd2::Credits;
use crate::kern::panic::debug_warn_on;
use crate::kern::super_block::FreezeGuard;
use crate::kern::time::real_seconds;
use crate::mapper::{release_delayed, remove_blocks};
use crate::superblock::{self, orphan};
use crate::{alloc, fs_err, patience, xattr, Ext4};
use kernel::prelude::*;

/// Blocks of a directory or symlink that are freed at a time: each is revoked in the journal,
/// which takes a credit of its own.
const METADATA_STEP: u32 = 16;

/// Super operation `evict_inode`.
pub(crate) fn evict(inode: &Inode<Ext4>) {
    inode.truncate_pages_final();
    inode.info().completions().drain();
    if inode.nlink() == 0 && !inode.is_bad() && inode.kind().is_some() {
        let _no_freeze = FreezeGuard::new(inode.sb());
        // Its data, which nobody has written, goes without a trace. To release all of it takes no
        // memory.
        let _ = release_delayed(&InodeEnv::new(inode), LogicalBlock(0)..END_OF_FILE_SPACE);
        // Only while it is on record as an orphan can the deletion be begun anew.
        let on_record = || inode.info().orphan() != OrphanState::No;
        if let Err(error) = patience::without_memory(|| delete(inode), on_record) {
            if error != EROFS && !inode.sb().info().health.is_stopped() {
                fs_err!(
                    inode.sb(),
                    "inode #{}: cannot be deleted now, stays an orphan ({:?})",
                    inode.ino().0,
                    error
                );
            }
        }
    }
    check_reservation(inode);
    inode.clear();
}

/// At the end nothing may be reserved: all delayed data was written, or dropped with its blocks. A
/// file system that has stopped drops data without its blocks.
fn check_reservation(inode: &Inode<Ext4>) {
    if inode.info().with_status(|tree| tree.delayed_blocks()) == 0 {
        return;
    }
    let all = LogicalBlock(0)..END_OF_FILE_SPACE;
    let lost = release_delayed(&InodeEnv::new(inode), all);
    if inode.sb().info().health.is_stopped() {
        return;
    }
    debug_warn_on(true);
    if let Ok(lost) = lost {
        fs_err!(
            inode.sb(),
            "inode #{}: {} blocks of data were never written",
            inode.ino().0,
            lost
        );
    }
}

fn delete(inode: &Inode<Ext4>) -> Result {
    let mut operation = superblock::start(inode.sb(), credits::truncate())?;
    // A no-op for whatever lost its last name; not for one that never got any.
    orphan::add(inode, &mut operation)?;
    let has_tree = inode.info().has_flags(flags::EXTENTS);
    let blocks = metadata_blocks(inode);
    {
        // Goes to the disk with the first blocks that are removed, or at the end.
        let info = inode.info();
        let mut data = info.data.write();
        if inode.is_regular() {
            inode.set_size(0);
            info.set_disk_size(&mut data, 0);
        }
        if !has_tree {
            data.i_block = [0; I_BLOCK_SIZE];
        }
    }
    if has_tree && inode.blocks() > 0 {
        let env = InodeEnv::new(inode);
        let mut end = blocks;
        while end > 0 {
            end = end.saturating_sub(METADATA_STEP);
            let rest = LogicalBlock(end)..END_OF_FILE_SPACE;
            remove_blocks(&env, rest, &mut operation)?;
            operation.renew(credits::truncate())?;
        }
        remove_blocks(&env, LogicalBlock(0)..END_OF_FILE_SPACE, &mut operation)?;
    }
    operation.renew(last_credits())?;
    xattr::block::release(inode, &mut operation)?;
    orphan::remove(inode, &mut operation)?;
    let now = u32::try_from(real_seconds()).unwrap_or(u32::MAX);
    table::write_deleted(inode, &mut operation, now)?;
    let groups = inode.sb().info().groups()?;
    alloc::free_inode(groups, &mut operation, inode.ino(), inode.is_dir())?;
    operation.stop()
}

/// How many blocks the inode has that are metadata: all of a directory's or a symlink's.
fn metadata_blocks(inode: &Inode<Ext4>) -> u32 {
    if inode.is_regular() {
        return 0;
    }
    inode.blocks_of(0..inode.size()).end.0
}

/// What the last transaction of a deletion dirties: the attribute block or what frees it, the
/// orphan's record, the inode, what frees that.
const fn last_credits() -> Credits {
    Credits {
        blocks: 1
            + alloc::BLOCK_CREDITS
            + credits::ORPHAN
            + credits::INODE
            + credits::ALLOCATE_INODE,
        revokes: 1,
    }
}
