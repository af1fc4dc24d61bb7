// SPDX-License-Identifier: GPL-2.0

//! Changing the size of a file, and taking blocks away from it.
//!
//! # Shrinking
//!
//! 1. In one operation: the inode joins the orphans, both sizes become the new one. A crash from
//!    here on finds the new size, and the orphan clean-up goes on where we were.
//! 2. The page cache past the new end goes, which waits for writeback and so for completions; the
//!    rest of the last block is zeroed in the cache, and gets to the device with it.
//! 3. What is still queued for completion is drained, so that no conversion meets a freed block.
//! 4. The blocks go, in as many transactions as that takes; then the inode leaves the orphans.
//!
//! # Growing
//!
//! Data that is past the on-disk size is written out, since that is to move over it. The tail of
//! the last block is zeroed in the page cache, and sent to the device; where that has to come
//! first (`mapper::size`), the on-disk size follows when it is there, else at once.
//!
//! The mapping's invalidate lock is held throughout: no fault and no readahead brings a folio in
//! between two steps.

use crate::{
    errortag::Tag,
    extent_status::END_OF_FILE_SPACE,
    format::units::LogicalBlock,
    inode::{self, mapping_env::InodeEnv},
    iomap::{
        read::{Report, Valid},
        size,
    },
    jbd_glue::{credits, Operation as Handle},
    kern::{inode::Inode, iomap::zero_range, trace},
    mapper::{remove_blocks, MapperEnv, Operation},
    superblock::{self, orphan},
    Ext4,
};
use kernel::prelude::*;

/// Sets the size of a regular file, and its times. The caller holds the rwsem for writing and has
/// checked the size against all limits.
///
/// # Errors
///
/// Those of device and journal. Where the size has changed, the rest of the work is left to the
/// orphan clean-up of the next mount.
pub(crate) fn set_size(inode: &Inode<Ext4>, new: u64) -> Result {
    let old = inode.size();
    // Also for a grow: the last block is read, and written with zeros behind the end.
    inode.wait_for_direct_io();
    let _cache = inode.invalidate_lock();
    if new > old {
        grow(inode, new)
    } else {
        // Also for an equal size: blocks past the end that were allocated ahead go.
        shrink(inode, new)
    }
}

fn grow(inode: &Inode<Ext4>, new: u64) -> Result {
    let old = inode.size();
    finish_cut(inode)?;
    write_out_unsized(inode, old);
    size::before_longer(inode, new)?;
    let changed = change_size(inode, new, false);
    inode.cache_extended(old, inode.size());
    size::write_tail(inode);
    changed
}

/// Writes out what lies between the on-disk size and `end`. What goes wrong, now or before, is for the
/// next `fsync()` to say: the data is lost, and nothing waits for it any more.
pub(crate) fn write_out_unsized(inode: &Inode<Ext4>, end: u64) {
    let on_disk = inode.info().disk_size();
    if on_disk < end {
        inode.write_quietly(on_disk..end);
    }
}

/// Sets both sizes and the times in an operation of its own; the on-disk size later where a grow
/// has to wait for the tail of the last block.
pub(crate) fn change_size(inode: &Inode<Ext4>, new: u64, shrinks: bool) -> Result {
    let mut operation = superblock::health::start(inode.sb(), credits::truncate())?;
    if shrinks {
        orphan::add(inode, &mut operation)?;
    }
    let mut data = inode.info().data.write();
    let old = (inode.size(), inode.info().disk_size());
    inode.touch_mtime();
    // Both under the semaphore: completion moves the on-disk size up to the other one.
    inode.set_size(new);
    let pending = !shrinks && inode.info().growth(|grow| grow.aim_at(new));
    if !pending {
        inode.info().set_disk_size(&mut data, new);
    }
    let written = inode::write_inode(inode, &data, &mut operation);
    match written {
        Ok(()) if new > old.1 => trace::size_grow(inode, || (old.1, new, pending)),
        Ok(()) => {}
        Err(_) => {
            inode.set_size(old.0);
            inode.info().set_disk_size(&mut data, old.1);
        }
    }
    drop(data);
    let stopped = operation.stop();
    written.and(stopped)
}

/// Takes away the blocks past the end of the file. The caller holds the rwsem for writing, and
/// nothing of them is in the page cache.
///
/// # Errors
///
/// As [`remove_from`].
pub(crate) fn trim(inode: &Inode<Ext4>) -> Result {
    let _cache = inode.invalidate_lock();
    remove_from(inode, inode.blocks_of(0..inode.size()).end)
}

fn shrink(inode: &Inode<Ext4>, new: u64) -> Result {
    let old = inode.size();
    // Data before the new end that the on-disk size does not cover yet: it will from now on.
    write_out_unsized(inode, new);
    change_size(inode, new, true)?;
    inode.truncate_cache(new);
    let end = inode.block_size().end_of(new);
    let zeroed = if new < end {
        zero_range::<Report, Valid>(inode, new..end).map(|_| ())
    } else {
        Ok(())
    };
    if new == 0 && old > 0 && inode.sb().info().is_on(superblock::Switch::AutoDaAlloc) {
        inode.info().note_replaced();
    }
    let removed = remove_from(inode, inode.blocks_of(0..new).end);
    if removed.is_err() {
        orphan::keep(inode);
    }
    zeroed.and(removed)
}

/// Before a file grows: takes away what a cut that failed has left behind its end. It would come
/// to light. With the rwsem held for write.
///
/// # Errors
///
/// As [`remove_from`]; the file must not grow then.
pub(crate) fn finish_cut(inode: &Inode<Ext4>) -> Result {
    if !inode.info().is_half_cut() {
        return Ok(());
    }
    remove_from(inode, inode.blocks_of(0..inode.size()).end)
}

/// Frees all blocks from `start` on, and takes the inode off the orphans, unless it has no name.
/// The page cache over them is gone, and the inode is an orphan.
///
/// # Errors
///
/// Those of tree, allocator and journal; the inode stays an orphan then.
pub(crate) fn remove_from(inode: &Inode<Ext4>, start: LogicalBlock) -> Result {
    with_handle(inode, Operation::Remove, |env, handle| {
        remove_blocks(env, start..END_OF_FILE_SPACE, handle)?;
        inode.info().set_half_cut(false);
        if inode.nlink() == 0 {
            return Ok(());
        }
        handle.renew(credits::truncate())?;
        orphan::remove(inode, handle)
    })
}

/// Runs `change`, which takes blocks away or moves them, under a handle of its own for
/// `operation`, when what was queued for completion is done. The page cache over the blocks is gone.
///
/// # Errors
///
/// Those of `change` and of the journal.
pub(crate) fn with_handle<'a>(
    inode: &'a Inode<Ext4>,
    operation: Operation,
    change: impl FnOnce(&InodeEnv<'a>, &mut Handle<'a>) -> Result,
) -> Result {
    inode.sb().info().errortags.pass(Tag::Remove)?;
    inode.info().completions().drain();
    let env = InodeEnv::new(inode);
    let mut handle = env.start_handle(operation)?;
    let changed = change(&env, &mut handle);
    let stopped = env.stop_handle(handle);
    changed.and(stopped)
}
