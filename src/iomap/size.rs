// SPDX-License-Identifier: GPL-2.0

//! The on-disk size, and the bytes behind it.
//!
//! The on-disk size (`i_disksize`) says which bytes a crash may show. It moves under
//! `i_data_sem`, at completion, never past `i_size`; [`crate::mapper::size`] has the arithmetic.
//!
//! The block in which the size lies has a *tail* behind it. In the page cache the tail is zero;
//! writeback zeroes it again each time. On the device it is zero too once the block has been
//! written by us; before that (the file was cut in this block, or was just read in) it can hold
//! anything, and the inode is marked: *stale tail*. A grow past a stale tail first writes the
//! block and waits, so that the size never passes bytes that nobody wrote.

use super::read::{map_bytes, Report, Valid};
use crate::{
    extent_status::State,
    format::geometry::BLOCK_BITS,
    inode,
    jbd_glue::Operation,
    kern::{inode::Inode, iomap::zero_range},
    mapper::{size, Intent},
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

const BLOCK: u64 = 1 << BLOCK_BITS;

/// The end of the block that byte `pos` lies in; `pos` itself where it lies between two blocks.
pub(crate) fn block_end(pos: u64) -> u64 {
    pos.saturating_add(BLOCK - 1) & !(BLOCK - 1)
}

/// Data up to byte `end` has reached the device: moves the on-disk size there, as far as the file
/// reaches. Takes `i_data_sem` for write.
///
/// # Errors
///
/// Those of the journal; the size has not moved then.
pub(super) fn written(inode: &Inode<Ext4>, handle: &mut Operation<'_>, end: u64) -> Result {
    let mut data = inode.info().data.write();
    let old = inode.info().disk_size();
    let Some(new) = size::size_after_write(old, inode.size(), end, None) else {
        return Ok(());
    };
    inode.info().set_disk_size(&mut data, new);
    let written = inode::write_inode(inode, &data, handle);
    if written.is_err() {
        inode.info().set_disk_size(&mut data, old);
    }
    written
}

/// Whether the device may hold anything but zeros in `tail`, which ends a block.
fn has_stale_tail(inode: &Inode<Ext4>, tail: Range<u64>) -> Result<bool> {
    if !inode.info().has_stale_tail() {
        return Ok(false);
    }
    // Only a written block can: others read as zeros until they are written as a whole, by us.
    let mapping = map_bytes(inode, tail, Intent::Report)?;
    let stale = mapping.is_some_and(|m| matches!(m.extent.state(), State::Written(_)));
    inode.info().set_stale_tail(stale);
    Ok(stale)
}

/// Makes sure that bytes from the file's end up to `new_end` read as zeros once the size has
/// passed them, now and after a crash. Called before the file grows, with the rwsem held for
/// write and no handle.
///
/// # Errors
///
/// What reading or writing the last block meets; the file must not grow then.
pub(crate) fn prepare_to_grow(inode: &Inode<Ext4>, new_start: u64, new_end: u64) -> Result {
    let size = inode.size();
    let end = block_end(size);
    let stale = size < end && end < new_end && has_stale_tail(inode, size..end)?;
    let zero_to = if stale { new_start.max(end) } else { new_start };
    if zero_to > size {
        // Also what lies past the last block: blocks there can only be unwritten, and are passed.
        zero_range::<Report, Valid>(inode, size..zero_to)?;
    }
    if stale {
        let tail = inode.info().disk_size().min(size);
        inode.write_and_wait(tail..end)?;
        inode.info().set_stale_tail(false);
    }
    Ok(())
}
