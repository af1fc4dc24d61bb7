// SPDX-License-Identifier: GPL-2.0

//! Buffered writes and stores through mappings: finding blocks for data that is about to get
//! dirty.
//!
//! With delayed allocation a hole becomes *delayed*: space is reserved, and no block chosen before
//! the data is written out. Without, blocks are allocated at once, unwritten.
//!
//! What a write reserved and then did not fill (it came short, or failed) is given back when the
//! mapping ends, unless a dirty folio lies over it: a store through a mapping may have got there
//! first and relies on the reservation. Stores never give anything back; they dirty all that they
//! asked for.

use super::{
    read::{map_for, to_iomap, Valid},
    size,
};
use crate::{
    errortag::Tag,
    inode::mapping_env::InodeEnv,
    kern::{
        file::Transfer,
        inode::Inode,
        iomap::{release_delayed, Extent, Map, Mapper, Punch, Request},
    },
    mapper::{self, Intent},
    superblock::Switch,
    truncate, Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// How many bytes one reservation covers at most, so that a write which will come short does not
/// empty the file system for others meanwhile.
const MAX_RESERVE: u64 = 64 << 20;

/// For writing into the page cache.
pub(crate) struct BufferedWrite;

impl Mapper for BufferedWrite {
    type Fs = Ext4;

    #[inline]
    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        let intent = if inode.sb().info().is_on(Switch::Delalloc) {
            Intent::ReserveDelayed
        } else {
            Intent::AllocateUnwritten
        };
        let end = request.pos.saturating_add(request.len.min(MAX_RESERVE));
        // A write holds the rwsem for write, a fault does not.
        let fault = request.purpose.fault();
        let env = if fault {
            InodeEnv::new(inode)
        } else {
            InodeEnv::exclusive(inode)
        };
        let mapping = map_for(&env, request, request.pos..end, intent)?.ok_or(EFBIG)?;
        if !fault {
            inode.sb().info().errortags.pass(Tag::WriteMapped)?;
        }
        Ok(to_iomap(&mapping, inode.block_size()))
    }

    #[inline]
    fn end(inode: &Inode<Ext4>, request: &Request, done: u64, map: &mut Map) -> Result {
        if map.is_new() && map.is_delayed() && !request.purpose.fault() {
            give_back_unused(inode, request, done, map);
        }
        Ok(())
    }
}

/// Gives back what `map` reserved for `request` behind the `done` bytes that were written.
fn give_back_unused(inode: &Inode<Ext4>, request: &Request, done: u64, map: &mut Map) {
    let block = inode.block_size();
    // The block that holds the last byte written stays, all others go.
    let start = match done {
        0 => block.start_of(request.pos),
        _ => block.end_of(request.pos.saturating_add(done)),
    };
    let end = block.end_of(request.pos.saturating_add(request.len));
    if start < end {
        release_delayed::<BufferedWrite>(inode, start..end, request.purpose, map, false);
    }
}

/// `write()` and its kin through the page cache; waits until the bytes are on disk where the file
/// asks for that.
///
/// # Errors
///
/// `EAGAIN` for a write that must not wait and would have to; those of limits, space and device.
pub(crate) fn write(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
    let written = write_to_cache(write)?;
    if written == 0 {
        return Ok(0);
    }
    write.sync(written)
}

/// As [`write`], without waiting for the disk.
pub(super) fn write_to_cache(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
    let inode = write.file().inode();
    let nowait = write.nowait();
    let _lock = if nowait {
        inode.try_lock().ok_or(EAGAIN)?
    } else {
        inode.lock()
    };
    inode.sb().info().check_writable()?;
    // A direct write under way may write a part of a block of which this one has another part.
    if nowait && inode.has_direct_io() {
        return Err(EAGAIN);
    }
    inode.wait_for_direct_io();
    let len = write.checks()?;
    if len == 0 {
        return Ok(0);
    }
    let (pos, size) = (write.pos(), inode.size());
    let end = pos.saturating_add(len as u64);
    let block_end = inode.block_size().end_of(size);
    let passes_tail = end > block_end && block_end != size;
    if nowait && (pos > size || passes_tail || (end > size && inode.info().is_half_cut())) {
        // The last block would have to be read, or sent to the device.
        return Err(EAGAIN);
    }
    write.modified()?;
    if end <= size {
        return write.buffered::<BufferedWrite, Valid>();
    }
    truncate::finish_cut(inode)?;
    write_longer(write, end)
}

/// A write that makes the file longer, up to byte `end`. Where that has to wait for the tail of the
/// last block, the block is written and sent to the device before anything behind it is written.
fn write_longer(write: &mut Transfer<'_, Ext4>, end: u64) -> Result<usize> {
    let inode = write.file().inode();
    let mut done = 0;
    match size::awaited_block(inode, end)? {
        None => size::zero_gap(inode, write.pos())?,
        Some(block) => {
            done = write_over_tail(write, &block)?;
            if write.pos() < block.end {
                // It came short.
                return Ok(done);
            }
        }
    }
    match write.buffered::<BufferedWrite, Valid>() {
        Ok(rest) => Ok(done.saturating_add(rest)),
        Err(_) if done > 0 => Ok(done),
        Err(error) => Err(error),
    }
}

/// The part of a write that ends with `block`, the file's last one.
fn write_over_tail(write: &mut Transfer<'_, Ext4>, block: &Range<u64>) -> Result<usize> {
    let inode = write.file().inode();
    let before = write.buffered_until::<BufferedWrite, Valid>(block.start)?;
    if write.pos() < block.start {
        return Ok(before);
    }
    size::announce(inode);
    let over = size::zero_gap(inode, write.pos())
        .and_then(|()| write.buffered_until::<BufferedWrite, Valid>(block.end));
    size::write_tail(inode);
    match over {
        Ok(over) => Ok(before.saturating_add(over)),
        Err(_) if before > 0 => Ok(before),
        Err(error) => Err(error),
    }
}

impl Punch for BufferedWrite {
    type Fs = Ext4;

    fn punch(inode: &Inode<Ext4>, range: Range<u64>) {
        give_back(inode, range);
    }
}

/// Makes the delayed blocks of `range` holes again. Without memory to note a hole inside a delayed
/// extent they stay reserved, until they are written or removed: nothing is lost, then.
pub(super) fn give_back(inode: &Inode<Ext4>, range: Range<u64>) {
    if mapper::release_delayed(&InodeEnv::new(inode), inode.blocks_of(range)).is_err() {
        crate::fs_warn!(
            inode.sb(),
            "inode #{}: no memory to release delayed blocks",
            inode.ino().0
        );
    }
}
