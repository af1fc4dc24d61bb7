// SPDX-License-Identifier: GPL-2.0

//! The on-disk size, and the bytes behind it.
//!
//! The on-disk size (`i_disksize`) says which bytes a crash may show. It moves under
//! `i_data_sem`, at completion, never past `i_size`; [`crate::mapper::size`] has the rules, the
//! tail of the last block and the pending grow among them. Here is who follows them:
//!
//! | step | by |
//! |---|---|
//! | announce | [`announce`], with the rwsem held for write |
//! | dirtied | [`Valid`], for the folio that a write or the zeroing touches first |
//! | submitted | `Ext4Writeback::map` |
//! | done | [`written`], from the completion of that I/O; or whoever finds that it failed |
//!
//! A grow starts the writing of the tail ([`write_tail`]) before it touches anything behind it, and
//! waits for nothing; what waits is the completion of later blocks, in the queue of completions.
//! That cannot last, as the tail is on its way, or dirty where whoever holds the rwsem is about to
//! send it. `fsync()` of any part of the file includes the tail.
//!
//! Nor may anybody wait for a folio behind the tail who has the tail in hand, or keeps from its
//! folio who is about to send it: so a write goes in steps ([`awaited_block`]), and writeback
//! submits the tail as soon as it has it.

use super::read::{map_bytes, Report, Valid};
use crate::{
    extent_status::State,
    format::Problem,
    inode,
    jbd_glue::Operation,
    kern::{inode::Inode, iomap::zero_range, trace},
    mapper::{size, Intent},
    truncate, Ext4,
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

/// The block with a tail that the file's new end `end` passes, and a grow has to wait for: it is
/// written. Others read as zeros until they are written as a whole, by us; and where the file ends
/// in the same block as before, the size moves with the I/O that carries the tail.
///
/// # Errors
///
/// What looking up the block meets.
pub(super) fn awaited_block(inode: &Inode<Ext4>, end: u64) -> Result<Option<Range<u64>>> {
    let (size, block) = (inode.size(), inode.block_size());
    let behind = block.end_of(size);
    if end <= behind || size == behind {
        return Ok(None);
    }
    let found = map_bytes(inode, size..behind, Intent::Report)?;
    let written = found.is_some_and(|found| matches!(found.extent.state(), State::Written(_)));
    Ok(written.then(|| block.start_of(size)..behind))
}

/// Announces a grow past the tail of the [awaited block](awaited_block), which is the next that the
/// caller touches. It holds the rwsem for write and no handle; [`write_tail`] follows.
pub(super) fn announce(inode: &Inode<Ext4>) {
    // One at a time: what an earlier one aims at must not be forgotten.
    if let Some(tail) = inode.info().growth(|grow| grow.tail()) {
        inode.write_quietly(tail);
    }
    let (size, block) = (inode.size(), inode.block_size());
    inode.info().with_growth(|grow| grow.announce(size, block));
}

/// Makes sure that what lies between the file's end and `start` reads as zeros, for a write there.
/// The caller holds the rwsem for write and no handle.
///
/// # Errors
///
/// What reading the last block meets; `EFSCORRUPTED`, reported. The file must not grow then.
pub(super) fn zero_gap(inode: &Inode<Ext4>, start: u64) -> Result {
    let size = inode.size();
    if start <= size {
        return Ok(());
    }
    let behind = inode.block_size().end_of(size);
    check_unwritten(inode, behind..start)?;
    zero_behind(inode, size..behind.min(start))
}

/// Before a file becomes longer without data, up to `end`: truncate, `fallocate()`. As
/// [`announce`], and makes the tail zero.
///
/// # Errors
///
/// As [`zero_gap`].
pub(crate) fn before_longer(inode: &Inode<Ext4>, end: u64) -> Result {
    let size = inode.size();
    let behind = inode.block_size().end_of(size);
    check_unwritten(inode, behind..end)?;
    // Also within the block: no data follows that would carry the tail.
    if awaited_block(inode, u64::MAX)?.is_some() {
        announce(inode);
    }
    zero_behind(inode, size..behind)
}

/// Whether there is nothing past the end of the file, in `range`, that would come to light: blocks
/// there are unwritten, if there are any.
fn check_unwritten(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let mut at = range.start;
    while at < range.end {
        let Some(found) = map_bytes(inode, at..range.end, Intent::Report)? else {
            break;
        };
        if let State::Written(place) = found.extent.state() {
            if found.extent.len() == 1 && at == range.start {
                // e2fsck lets one block pass that begins at the end of the file.
                truncate::remove_from(inode, found.extent.start())?;
                continue;
            }
            let problem = Problem::new("data past the end of the file, at byte", at);
            return Err(inode::report(inode, Some(place), problem));
        }
        at = inode.block_size().byte_of(found.extent.end());
    }
    Ok(())
}

/// As [`zero_gap`], for a write of bytes from `start` on past the page cache: the tail is on the
/// device when this returns. No direct I/O is in flight.
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
    zero_gap(inode, start)?;
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
