// SPDX-License-Identifier: GPL-2.0

//! The on-disk size, and the bytes behind it.
//!
//! The on-disk size (`i_disksize`) says which bytes a crash may show. It moves under
//! `i_data_sem`, at completion, never past `i_size`; [`crate::mapper::size`] has the rules, the
//! tail of the last block and the pending grow among them. Here is who follows them:
//!
//! | step | by |
//! |---|---|
//! | announce | [`before_write`], [`before_longer`], with the rwsem held for write |
//! | dirtied | [`Valid`], for the folio that a write or the zeroing touches first |
//! | submitted | `Ext4Writeback::map` |
//! | done | [`written`], from the completion of that I/O; or whoever finds that it failed |
//!
//! A grow starts the writing of the tail at once ([`write_tail`]) and waits for nothing; what
//! waits is the completion of later blocks, in the queue of completions. That cannot last, as the
//! tail is on its way, or dirty where whoever holds the rwsem is about to send it. `fsync()` of
//! any part of the file includes the tail.

use super::read::{map_bytes, Report, Valid};
use crate::{
    extent_status::State,
    inode,
    jbd_glue::Operation,
    kern::{inode::Inode, iomap::zero_range, trace},
    mapper::{size, Intent},
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// Data up to byte `end` has reached the device: moves the on-disk size there, as far as the file
/// reaches, or will by `grows_to`; further where that is all that a pending grow has waited for
/// (`ends_grow`). Takes `i_data_sem` for write.
///
/// # Errors
///
/// Those of the journal; the size has not moved then.
pub(super) fn written(
    inode: &Inode<Ext4>,
    handle: &mut Operation<'_>,
    end: u64,
    grows_to: u64,
    ends_grow: bool,
) -> Result {
    let info = inode.info();
    let mut data = info.data.write();
    let aim = ends_grow.then(|| info.with_growth(|grow| grow.done()));
    let old = info.disk_size();
    // Only now: a cut sets the size under the lock.
    let size = inode.size().max(grows_to);
    let Some(new) = size::size_after_write(old, size, end, aim) else {
        return Ok(());
    };
    info.set_disk_size(&mut data, new);
    let written = inode::write_inode(inode, &data, handle);
    match written {
        Ok(()) => trace::size_grow(inode, || (old, new, false)),
        Err(_) => info.set_disk_size(&mut data, old),
    }
    written
}

/// Announces a grow past the tail behind the file's size, if that lies in a written block: others
/// read as zeros until they are written as a whole, by us.
fn announce(inode: &Inode<Ext4>) -> Result {
    let size = inode.size();
    let found = map_bytes(inode, size..inode.block_size().end_of(size), Intent::Report)?;
    if found.is_some_and(|found| matches!(found.extent.state(), State::Written(_))) {
        inode
            .info()
            .with_growth(|grow| grow.announce(size, inode.block_size()));
    }
    Ok(())
}

/// A buffered write of `start..end` is going to make the file longer: makes sure that what lies
/// between its end and `start` reads as zeros, and that the size does not pass a tail that nobody
/// wrote. The caller holds the rwsem for write and no handle; [`write_tail`] follows the write.
///
/// # Errors
///
/// What reading the last block meets; the file must not grow then.
pub(crate) fn before_write(inode: &Inode<Ext4>, start: u64, end: u64) -> Result {
    let size = inode.size();
    // Within the block the size moves with the write's own I/O, which carries the tail.
    if inode.block_size().end_of(size) < end {
        announce(inode)?;
    }
    if start > size {
        // Also what lies past the last block: blocks there can only be unwritten, and are passed.
        zero_behind(inode, size..start)?;
    }
    Ok(())
}

/// As [`before_write`], for a file that becomes longer without data: truncate, `fallocate()`.
///
/// # Errors
///
/// As there.
pub(crate) fn before_longer(inode: &Inode<Ext4>) -> Result {
    let size = inode.size();
    announce(inode)?;
    zero_behind(inode, size..inode.block_size().end_of(size))
}

/// As [`before_write`], for a write of bytes from `start` on past the page cache: the tail is on
/// the device when this returns.
///
/// # Errors
///
/// As there, and what writing meets.
pub(crate) fn before_direct(inode: &Inode<Ext4>, start: u64) -> Result {
    let size = inode.size();
    if start <= size {
        // The write itself covers the tail, or zeroes the rest of its last block.
        return Ok(());
    }
    zero_behind(inode, size..start)?;
    inode.write_and_wait(size..inode.block_size().end_of(size))
}

fn zero_behind(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let zeroed = zero_range::<Report, Valid>(inode, range);
    if zeroed.is_err() {
        withdraw(inode);
    }
    zeroed.map(|_| ())
}

/// The end of a grow: sends the tail that it waits for to the device, and does not wait. With the
/// rwsem held for write.
pub(crate) fn write_tail(inode: &Inode<Ext4>) {
    if let Some(tail) = inode.info().growth(|grow| grow.tail_to_submit()) {
        // An error stays with the mapping, for the next fsync.
        let _ = inode.start_writing_all(tail);
    }
    withdraw(inode);
}

/// The end of a grow that did not come so far: whatever waited for it goes on.
fn withdraw(inode: &Inode<Ext4>) {
    if inode.info().growth(|grow| grow.withdraw()) {
        inode.info().completions().resume(inode);
    }
}
