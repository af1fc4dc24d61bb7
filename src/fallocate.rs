// SPDX-License-Identifier: GPL-2.0

//! `fallocate()`: blocks ahead of data, and holes after it.
//!
//! Each mode is a loop of operations of bounded size, so a range of any length fits the journal. A
//! crash in the middle finds a part of it done, and each part alone is harmless: allocated blocks
//! are unwritten, removed ones read as zeros.

use crate::{
    errortag::Tag,
    format::geometry::BLOCK_BITS,
    inode::mapping_env::InodeEnv,
    iomap::{
        read::{blocks_of, byte_of, map_bytes, Report, Valid},
        size,
    },
    kern::{
        file::{AllocateMode, File},
        inode::Inode,
        iomap::zero_range,
    },
    mapper::{remove_blocks, Intent, MapperEnv, Operation},
    truncate, Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// `fallocate()` of the bytes in `range`, which the VFS has checked against the largest file.
///
/// # Errors
///
/// `EOPNOTSUPP` for a mode that is not supported; `ENOSPC`, with a part of the blocks allocated;
/// those of device and journal.
pub(crate) fn fallocate(file: &File<Ext4>, mode: AllocateMode, range: Range<u64>) -> Result {
    if mode.others() {
        return Err(EOPNOTSUPP);
    }
    let inode = file.inode();
    let _lock = inode.lock();
    inode.sb().info().check_writable()?;
    let grows = !mode.keeps_size() && range.end > inode.size();
    if grows {
        inode.may_have_size(range.end)?;
    }
    inode.wait_for_direct_io();
    file.modified()?;
    if mode.punches() {
        return punch(inode, range);
    }
    if mode.zeroes() {
        punch(inode, range.clone())?;
    }
    allocate(inode, range.clone())?;
    if grows {
        truncate::set_size(inode, range.end)?;
    }
    Ok(())
}

/// Allocates unwritten blocks wherever the range has none.
fn allocate(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let mut at = range.start;
    while at < range.end {
        let mapping = map_bytes(inode, at..range.end, Intent::AllocateUnwritten)?.ok_or(EFBIG)?;
        at = byte_of(mapping.extent.end());
    }
    Ok(())
}

/// Makes the range read as zeros: whole blocks go, the rest is zeroed. The size stays.
fn punch(inode: &Inode<Ext4>, range: Range<u64>) -> Result {
    let size = inode.size();
    if range.start >= size {
        return Ok(());
    }
    let _cache = inode.invalidate_lock();
    // What is removed may be what would have carried the on-disk size to the end.
    truncate::write_out_unsized(inode, size)?;
    let end = range.end.min(size::block_end(size));
    let (first, last) = (
        size::block_end(range.start),
        end >> BLOCK_BITS << BLOCK_BITS,
    );
    if first > last {
        // Within one block.
        zero_range::<Report, Valid>(inode, range.start..end.min(size))?;
        return Ok(());
    }
    zero_range::<Report, Valid>(inode, range.start..first.min(size))?;
    zero_range::<Report, Valid>(inode, last..end.min(size).max(last))?;
    if first == last {
        return Ok(());
    }
    inode.truncate_cache_range(first..last);
    inode.sb().info().errortags.pass(Tag::Remove)?;
    inode.info().completions().drain();
    let env = InodeEnv::new(inode);
    let mut handle = env.start_handle(Operation::Remove)?;
    let removed = remove_blocks(&env, blocks_of(first..last), &mut handle);
    let stopped = env.stop_handle(handle);
    removed.and(stopped)
}
