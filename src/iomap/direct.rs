// SPDX-License-Identifier: GPL-2.0

//! Direct I/O.
//!
//! A write gets unwritten blocks where there are none; when the data is on the device, they are
//! converted and the size moves, in one transaction, as for writeback.
//!
//! # Who may write at the same time
//!
//! | the write | the rwsem | waits |
//! |---|---|---|
//! | whole blocks, within the on-disk size | shared | no |
//! | parts of written blocks, within the file's last byte | shared | no |
//! | other parts of blocks: the rest gets zeroed | alone, after all others have ended | yes |
//! | past the on-disk size | alone | yes |
//!
//! The mapper keeps allocations of those who share apart. A write past the on-disk size first
//! writes out what the page cache holds before it: the size is going to pass that. `RWF_NOWAIT` is
//! for those who share.

use super::{
    read::{map_bytes, map_for, to_iomap},
    size, write,
    writeback::record,
};
use crate::{
    errortag::Tag,
    extent_status::State,
    inode::mapping_env::InodeEnv,
    kern::{
        direct::DirectEnd,
        file::Transfer,
        inode::{Inode, InodeShare},
        ioend::Finished,
        iomap::{Extent, Kind, Mapper, Request},
        mapping::page_end,
    },
    mapper::Intent,
    truncate, Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// A share of the inode's rwsem.
///
/// # Errors
///
/// `EAGAIN` where it would have to be waited for, and `nowait` is set.
pub(crate) fn share(inode: &Inode<Ext4>, nowait: bool) -> Result<InodeShare<'_, Ext4>> {
    if nowait {
        return inode.try_lock_shared().ok_or(EAGAIN);
    }
    Ok(inode.lock_shared())
}

/// `write()` and its kin with `O_DIRECT`; what cannot be written past the page cache goes through
/// it, and is on the device, too, at the end.
///
/// # Errors
///
/// `EIOCBQUEUED` where it goes on behind the caller's back; `EAGAIN` for a write that must not wait
/// and would have to; those of limits, space and device.
pub(crate) fn write(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
    let done = match write_direct(write) {
        Err(error) if error == ENOTBLK => 0,
        result => result?,
    };
    if write.len() == 0 {
        return Ok(done);
    }
    let inode = write.file().inode();
    let start = write.pos();
    if write.nowait() {
        // Waiting for the device comes next.
        return if done > 0 { Ok(done) } else { Err(EAGAIN) };
    }
    let cached = match write::write_to_cache(write) {
        Ok(cached) => cached,
        Err(_) if done > 0 => return Ok(done),
        Err(error) => return Err(error),
    };
    let range = start..start.saturating_add(cached as u64);
    inode.write_and_wait(range.clone())?;
    inode.drop_clean(range);
    let synced = if cached > 0 { write.sync(cached)? } else { 0 };
    Ok(done.saturating_add(synced))
}

fn write_direct(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
    let inode = write.file().inode();
    inode.sb().info().check_writable()?;
    if may_share(write)? {
        let _share = share(inode, write.nowait())?;
        // Whoever cuts the file, or takes blocks from it, has the rwsem alone; so the answer holds
        // if it is still the same now.
        if write.checks()? == 0 {
            return Ok(0);
        }
        if may_share(write)? {
            write.modified()?;
            return write.direct_write::<DirectWrite, DirectWriteEnd>(false);
        }
    }
    if write.nowait() {
        return Err(EAGAIN);
    }
    write_alone(write)
}

/// Whether the write, as far as it has been checked, can go on with a share of the rwsem.
fn may_share(write: &Transfer<'_, Ext4>) -> Result<bool> {
    let inode = write.file().inode();
    let range = write.range();
    let size = inode.info().disk_size().min(inode.size());
    if range.end > size || range.is_empty() || !write.file().keeps_privileges() {
        return Ok(false);
    }
    if is_whole(inode, &range) {
        return Ok(true);
    }
    // At the very end of the file the rest of the last block is zeroed, too.
    Ok(range.end < size && !write.nowait() && is_written(inode, range)?)
}

fn is_whole(inode: &Inode<Ext4>, range: &Range<u64>) -> bool {
    let block = inode.block_size();
    block.start_of(range.start) == range.start && block.start_of(range.end) == range.end
}

/// Whether all of `range` is in written blocks.
fn is_written(inode: &Inode<Ext4>, range: Range<u64>) -> Result<bool> {
    let mut at = range.start;
    while at < range.end {
        let found = map_bytes(inode, at..range.end, Intent::Report)?;
        let Some(found) = found.filter(|f| matches!(f.extent.state(), State::Written(_))) else {
            return Ok(false);
        };
        at = inode.block_size().byte_of(found.extent.end());
    }
    Ok(true)
}

fn write_alone(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
    let inode = write.file().inode();
    let _lock = inode.lock();
    let len = write.checks()?;
    if len == 0 {
        return Ok(0);
    }
    write.modified()?;
    let range = write.range();
    let grows = range.end > inode.info().disk_size().min(inode.size());
    let whole = is_whole(inode, &range);
    if grows || !whole {
        // Zeroing the rest of a block must not meet another write to it.
        inode.wait_for_direct_io();
    }
    if grows && shares_last_page(inode, &range) {
        return Err(ENOTBLK);
    }
    if grows {
        truncate::finish_cut(inode)?;
        truncate::write_out_unsized(inode, inode.size());
        size::before_direct(inode, range.start)?;
    }
    let written = write.direct_write::<DirectWrite, DirectWriteEnd>(grows || !whole);
    let failed = matches!(written, Err(error) if error != ENOTBLK);
    if grows && failed && range.end > inode.size() {
        // Blocks that were allocated past the end for it.
        truncate::trim(inode)?;
    }
    written
}

/// Whether the write goes on behind the file's last block in the same page. A store through a
/// mapping could bring that page back while the write is under way, with zeros for what is being
/// written, and dirty as a whole.
fn shares_last_page(inode: &Inode<Ext4>, range: &Range<u64>) -> bool {
    let size = inode.size();
    let (block, page) = (inode.block_size().end_of(size), page_end(size));
    block < page && range.start < page && range.end > block
}

/// For writing past the page cache.
pub(crate) struct DirectWrite;

impl Mapper for DirectWrite {
    type Fs = Ext4;

    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        let end = request.pos.saturating_add(request.len);
        let env = InodeEnv::new(inode);
        let mapping = map_for(&env, request, request.pos..end, Intent::AllocateUnwritten)?;
        let mut extent = to_iomap(&mapping.ok_or(EFBIG)?, inode.block_size());
        if request.purpose.nowait() && extent.offset.saturating_add(extent.length) < end {
            // All or nothing: behind it there may be something that has to wait.
            return Err(EAGAIN);
        }
        // Unwritten says all that the library needs for zeroing the rest of the blocks.
        extent.new = matches!(extent.kind, Kind::Unwritten(_)) && extent.new;
        // What leads to the blocks may not have committed yet: a synchronous write has to ask.
        extent.dirty = true;
        Ok(extent)
    }
}

/// The end of a direct write.
pub(crate) struct DirectWriteEnd;

impl DirectEnd for DirectWriteEnd {
    type Fs = Ext4;

    fn written(inode: &Inode<Ext4>, range: Range<u64>, unwritten: bool) -> Result {
        // All else, an asynchronous write over what is there, ends in the interrupt.
        if unwritten || range.end > inode.info().disk_size() {
            inode.sb().info().errortags.pass(Tag::DirectDone)?;
        }
        let end = range.end;
        let finished = Finished {
            range,
            unwritten,
            outcome: Ok(()),
        };
        let recorded = record(inode, &finished, end, false);
        // Only a write that holds the rwsem for writing, and waits, gets past the end. Now, as
        // readers take no lock, and would find zeros there before; also where it failed after the
        // size was on record.
        let (old, new) = (inode.size(), inode.info().disk_size());
        if end > old && new > old {
            inode.set_size(new);
            inode.cache_extended(old, new);
        }
        recorded
    }
}
