// SPDX-License-Identifier: GPL-2.0

//! The rules of the on-disk size (`i_disksize`), as functions of numbers. All in bytes.
//!
//! The on-disk size says which bytes a crash may show, so it follows the data: it moves when the
//! data before it is on disk, at completion, under `i_data_sem`, and never past `i_size`.
//!
//! One block is special: the one in which the old size lies, unless it lies on a block boundary.
//! Its bytes past the old size are zero in the page cache, and anything on the device. Once the
//! size passes them, a crash would show them. So a grow that passes them waits until that block
//! has been written with its zeroed tail: the grow is *pending*.

use core::ops::Range;

/// The longest run of blocks that one extent of the disk can hold as unwritten.
pub const MAX_RUN: u32 = 32767;

/// The bytes which have to be zero on the device before the on-disk size may go from `disk_size`
/// to `new_size`: the tail of the block that straddles `disk_size`, as far as it becomes visible.
/// `None`: the size may move at once.
///
/// The caller moves it at once too where that block has no written block on the device: hole,
/// unwritten and delayed blocks read as zeroes after a crash. `block_size` is a power of two.
pub fn tail_to_write(disk_size: u64, new_size: u64, block_size: u32) -> Option<Range<u64>> {
    let block_end = disk_size.checked_next_multiple_of(u64::from(block_size))?;
    let tail = disk_size..block_end.min(new_size);
    (!tail.is_empty()).then_some(tail)
}

/// The on-disk size after data up to `written_end` has reached the disk; `None` where it stays.
///
/// `pending_end` is the size that a pending grow waits for, if the I/O that completed covered the
/// tail which it waits for: then nothing is in the way of that size any longer.
pub fn size_after_write(
    disk_size: u64,
    inode_size: u64,
    written_end: u64,
    pending_end: Option<u64>,
) -> Option<u64> {
    let reached = written_end.max(pending_end.unwrap_or(0)).min(inode_size);
    (reached > disk_size).then_some(reached)
}
