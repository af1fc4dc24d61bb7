// SPDX-License-Identifier: GPL-2.0

//! `fallocate()`: blocks ahead of data, holes after it, and moving it.
//!
//! Each mode is a loop of steps of bounded size, so a range of any length fits the journal, and the
//! file system is whole after each of them. What a crash in the middle leaves:
//!
//! | mode | a part of the range |
//! |---|---|
//! | allocate | has blocks, unwritten; the size comes last |
//! | `PUNCH_HOLE`, `ZERO_RANGE`, `WRITE_ZEROES` | reads as zeros, from its end or from its start on |
//! | `COLLAPSE_RANGE` | the blocks behind the range have moved, up to some place; the size comes last |
//! | `INSERT_RANGE` | the size comes first; the blocks have moved, from some place on |
//!
//! The last two are for files whose extents do not fit one transaction. Others move as a whole:
//! all their steps are in the transaction that begins with credits for a tree of one level.

use crate::{
    extent_status::{State, END_OF_FILE_SPACE},
    file::fsync,
    format::units::LogicalBlock,
    inode::{self, mapping_env::InodeEnv},
    iomap::read::{map_bytes, Report, Valid},
    jbd_glue::Operation as Handle,
    kern::{
        file::{AllocateMode, File},
        inode::Inode,
        iomap::zero_range,
        mapping::page_start,
    },
    mapper::{
        convert_unwritten, make_way, release_delayed, remove_blocks, shift_blocks, unwrite_blocks,
        Intent, Operation, Shift,
    },
    patience, superblock, truncate, Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// `fallocate()` of the bytes in `range`, which the VFS has checked against the largest file.
///
/// # Errors
///
/// `EOPNOTSUPP` for a mode that is not supported, or not by the device; `EINVAL` for a range that
/// cannot be moved; `ENOSPC`, with a part of the blocks allocated; those of device and journal.
pub(crate) fn fallocate(file: &File<Ext4>, mode: AllocateMode, range: Range<u64>) -> Result {
    let inode = file.inode();
    let device = &inode.sb().info().device;
    if mode.others() || (mode.writes_zeroes() && !device.can_write_zeroes()) {
        return Err(EOPNOTSUPP);
    }
    let (first, last) = (
        i64::try_from(range.start)?,
        i64::try_from(range.end.saturating_sub(1))?,
    );
    let lock = inode.lock();
    inode.sb().info().check_writable()?;
    inode.wait_for_direct_io();
    file.modified()?;
    if mode.punches() {
        punch(inode, range)?;
    } else if mode.collapses() {
        collapse(inode, range)?;
    } else if mode.inserts() {
        insert(inode, range)?;
    } else {
        fill(inode, mode, range)?;
    }
    drop(lock);
    if file.is_sync() {
        fsync(file, first, last, false)?;
    }
    Ok(())
}

/// The modes that leave no hole in the range.
fn fill(inode: &Inode<Ext4>, mode: AllocateMode, range: Range<u64>) -> Result {
    let grows = !mode.keeps_size() && range.end > inode.size();
    if grows {
        inode.may_have_size(range.end)?;
    }
    if range.end > inode.size() {
        truncate::finish_cut(inode)?;
    }
    if mode.zeroes() || mode.writes_zeroes() {
        let _cache = inode.invalidate_lock();
        let whole = clear(inode, range.clone())?;
        // No folio is left that would ever be written to delayed blocks there.
        let release = || release_delayed(&InodeEnv::new(inode), whole.clone());
        patience::without_memory(release, || true)?;
        // A split may find no space, and what is unwritten by then stays so.
        superblock::with_space(inode.sb(), || {
            truncate::with_handle(inode, Operation::Remove, |env, handle| {
                unwrite_blocks(env, whole.clone(), handle)
            })
        })?;
    }
    let (allocated, end) = allocate(inode, range.clone());
    // What there was space for belongs to the file.
    if grows && end > inode.size() {
        truncate::set_size(inode, end)?;
    }
    allocated?;
    if mode.writes_zeroes() {
        write_zeroes(inode, range)?;
    }
    Ok(())
}

/// Allocates unwritten blocks wherever the range has none; says how it went, and up to which byte.
fn allocate(inode: &Inode<Ext4>, range: Range<u64>) -> (Result, u64) {
    let mut at = range.start;
    while at < range.end {
        let mapping = map_bytes(inode, at..range.end, Intent::AllocateUnwritten);
        match mapping.and_then(|mapping| mapping.ok_or(EFBIG)) {
            Ok(mapping) => at = inode.block_size().byte_of(mapping.extent.end()),
            Err(error) => return (Err(error), at),
        }
    }
    (Ok(()), range.end)
}

/// Makes the range a hole. The size stays.
fn punch(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let _cache = inode.invalidate_lock();
    let whole = clear(inode, range)?;
    if whole.is_empty() {
        return Ok(());
    }
    truncate::with_handle(inode, Operation::Remove, |env, handle| {
        remove_blocks(env, whole, handle)
    })
}

/// Makes the range read as zeros in the page cache, as far as the file goes: parts of blocks are
/// zeroed, and dirty; of whole blocks, which are returned, nothing is left there. With the
/// invalidate lock held.
fn clear(inode: &Inode<Ext4>, range: Range<u64>) -> Result<Range<LogicalBlock>> {
    let size = inode.size();
    if range.start >= size {
        return Ok(LogicalBlock(0)..LogicalBlock(0));
    }
    // What is removed may be what would have carried the on-disk size to the end.
    truncate::write_out_unsized(inode, size);
    let block = inode.block_size();
    let end = range.end.min(block.end_of(size));
    let first = block.end_of(range.start);
    let last = block.start_of(end);
    if first > last {
        // Within one block.
        zero_range::<Report, Valid>(inode, range.start..end.min(size))?;
        return Ok(LogicalBlock(0)..LogicalBlock(0));
    }
    zero_range::<Report, Valid>(inode, range.start..first.min(size))?;
    zero_range::<Report, Valid>(inode, last..end.min(size).max(last))?;
    inode.truncate_cache_range(first..last);
    // A large folio at an edge stays, and one that is mapped may have become dirty again as a whole:
    // it must not be on its way to blocks that are another file's by then. What goes wrong with it is
    // the next fsync's: with the cache empty the blocks have to follow.
    inode.write_quietly(first..last);
    Ok(inode.blocks_of(first..last))
}

/// Makes the unwritten blocks of the range written, with zeros that the device writes. The range
/// has no other blocks than those and such as were zeroed in the page cache, and no hole.
fn write_zeroes(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let _cache = inode.invalidate_lock();
    // Nothing in the page cache may be on its way to these blocks, and the on-disk size has to be
    // there before them.
    truncate::write_out_unsized(inode, inode.size());
    inode.write_and_wait(range.clone())?;
    let mut at = range.start;
    while at < range.end {
        let found = map_bytes(inode, at..range.end, Intent::Report)?.ok_or(EFBIG)?;
        let extent = found.extent;
        if let State::Unwritten(place) = extent.state() {
            inode.sb().info().device.write_zeroes(place, extent.len())?;
            convert_unwritten(&InodeEnv::new(inode), extent.range(), None)?;
        }
        at = inode.block_size().byte_of(extent.end());
    }
    Ok(())
}

/// Empties the page cache from the page of byte `start` on; all that was dirty is on disk then.
fn write_out_and_drop(inode: &Inode<Ext4>, start: u64) -> Result {
    // Blocks smaller than a page: that page begins with some that stay where they are. If it stayed in
    // the cache it would hold zeros for those that move.
    let start = page_start(start);
    truncate::write_out_unsized(inode, inode.size());
    inode.write_and_wait(start..u64::MAX)?;
    inode.truncate_cache(start);
    Ok(())
}

/// How many blocks a range takes that is to be cut out, or put in.
fn whole_blocks(inode: &Inode<Ext4>, range: &Range<u64>) -> Result<u32> {
    let block = inode.block_size();
    if block.start_of(range.start) != range.start || block.start_of(range.end) != range.end {
        return Err(EINVAL);
    }
    let blocks = inode.blocks_of(range.clone());
    blocks.end.distance_from(blocks.start).ok_or(EINVAL)
}

/// Cuts the range out of the file.
fn collapse(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let by = whole_blocks(inode, &range)?;
    // A range that reaches the end is a truncate's.
    if range.end >= inode.size() {
        return Err(EINVAL);
    }
    let _cache = inode.invalidate_lock();
    write_out_and_drop(inode, range.start)?;
    let new_size = inode
        .size()
        .saturating_sub(range.end.saturating_sub(range.start));
    let blocks = inode.blocks_of(range);
    truncate::with_handle(inode, Operation::Move, |env, handle| {
        remove_blocks(env, blocks.clone(), handle)?;
        let shift = Shift::Down {
            from: blocks.end,
            by,
        };
        shift_blocks(env, shift, handle)?;
        // Last: blocks must not lie past the end at any time.
        set_sizes(inode, new_size, handle)
    })
}

/// Sets both sizes, in the transaction of a move of blocks. All data is on disk.
fn set_sizes(inode: &Inode<Ext4>, new: u64, handle: &mut Handle<'_>) -> Result {
    let mut data = inode.info().data.write();
    inode.set_size(new);
    inode.info().set_disk_size(&mut data, new);
    inode::write_inode(inode, &data, handle)
}

/// Puts a hole into the file.
fn insert(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let by = whole_blocks(inode, &range)?;
    let size = inode.size();
    if range.start >= size {
        return Err(EINVAL);
    }
    let len = range.end.saturating_sub(range.start);
    let new_size = size
        .checked_add(len)
        .filter(|size| *size <= inode.max_size());
    let new_size = new_size.ok_or(EFBIG)?;
    inode.may_have_size(new_size)?;
    truncate::finish_cut(inode)?;
    let _cache = inode.invalidate_lock();
    // The tail becomes part of the file until its block has moved: it has to be zero.
    zero_range::<Report, Valid>(inode, size..inode.block_size().end_of(size))?;
    write_out_and_drop(inode, range.start)?;
    let from = inode.blocks_of(range).start;
    truncate::with_handle(inode, Operation::Move, |env, handle| {
        make_way(env, from, by, handle)?;
        // First: blocks must not lie past the end at any time.
        set_sizes(inode, new_size, handle)?;
        let shift = Shift::Up {
            from,
            end: END_OF_FILE_SPACE,
            by,
        };
        shift_blocks(env, shift, handle)
    })
}
