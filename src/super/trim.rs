// SPDX-License-Identifier: GPL-2.0

//! Telling the device which blocks are free: `fstrim`, and the mount option `discard`.
//!
//! `fstrim` asks for a range once in a while. With `discard` the blocks that a transaction has freed
//! are discarded when it has committed, before they are handed out again; the commit takes as long.

use super::groups::Groups;
use crate::alloc::{hold_free, release_committed, GroupTable, Run};
use crate::format::units::{GroupNumber, PhysicalBlock};
use crate::kern::nofs::NoFs;
use crate::kern::super_block::SuperBlock;
use crate::{fs_warn, Ext4};
use core::ops::Range;
use kernel::current;
use kernel::prelude::*;

/// What `fstrim` asks for, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// From where on.
    pub(crate) start: u64,
    /// How far; anything up to the end of the device and beyond.
    pub(crate) len: u64,
    /// Runs of free blocks shorter than this are passed over.
    pub(crate) min: u64,
}

/// Discards the free blocks that `request` asks for; returns how many bytes that were. Sleeps; holds
/// no lock between two runs of blocks.
///
/// # Errors
///
/// `EOPNOTSUPP` where the device cannot discard; `EINVAL` for a range that begins behind the end or
/// is no block long, or a least length that no group has; `EROFS` on a file system mounted without
/// its journal, whose bitmaps may be old; `ERESTARTSYS`; those of reading bitmaps and of the device.
pub(crate) fn trim(sb: &SuperBlock<Ext4>, request: &Request) -> Result<u64> {
    let fs = sb.info();
    let device = &fs.device;
    if !device.can_discard() {
        return Err(EOPNOTSUPP);
    }
    fs.check_running()?;
    if fs.geometry.journal_inode.is_some() && fs.journal().is_none() {
        return Err(EROFS);
    }
    let groups = fs.groups()?;
    let size = fs.geometry.block_size;
    let blocks = |bytes: u64| size.whole_blocks(bytes);
    let min = blocks(
        request
            .min
            .max(device.discard_granularity().into())
            .max(size.bytes()),
    );
    let min = u32::try_from(min).map_err(|_| EINVAL)?;
    let (start, len) = (blocks(request.start), blocks(request.len));
    if min > fs.geometry.blocks_per_group || start >= fs.geometry.blocks || len == 0 {
        return Err(EINVAL);
    }
    let end = start.saturating_add(len).min(fs.geometry.blocks);
    let mut trimmed = 0u64;
    for number in (0..fs.geometry.groups).map(GroupNumber) {
        let first = fs.geometry.group_start(number).ok_or(EFSCORRUPTED)?;
        let bits = within(start..end, first, fs.geometry.group_blocks(number));
        trimmed = trimmed.saturating_add(trim_group(groups, number, bits, min)?);
    }
    Ok(size.bytes_of(trimmed))
}

/// The part of a group of `len` blocks from `first` on that lies in `range`, in bits.
fn within(range: Range<u64>, first: PhysicalBlock, len: u32) -> Range<u32> {
    let bit = |block: u64| {
        let bit = block.saturating_sub(first.0).min(len.into());
        u32::try_from(bit).unwrap_or(len)
    };
    bit(range.start)..bit(range.end)
}

/// Discards the runs of at least `min` free blocks among the bits `within`; returns how many blocks.
fn trim_group(groups: &Groups, group: GroupNumber, within: Range<u32>, min: u32) -> Result<u64> {
    let device = &groups.info().device;
    let mut trimmed = 0u64;
    let mut left = within;
    while !left.is_empty() {
        if current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        let _trimming = groups.trimming();
        let _nofs = NoFs::enter();
        let Some(run) = hold_free(groups, device, group, left.clone(), min)? else {
            break;
        };
        let discarded = device.discard(run.start, run.len);
        release_committed(groups, run)?;
        discarded?;
        trimmed = trimmed.saturating_add(run.len.into());
        let (_, bit) = groups.geometry().group_of(run.start).ok_or(EFSCORRUPTED)?;
        left.start = bit.saturating_add(run.len);
    }
    Ok(trimmed)
}

/// Blocks that a transaction has freed, and that has committed: discards them if the mount options
/// say so. They are not handed out yet.
pub(super) fn discard_freed(groups: &Groups, runs: &[Run]) {
    let fs = groups.info();
    if !fs.options().discard || !fs.device.can_discard() {
        return;
    }
    for run in runs {
        if let Err(error) = fs.device.discard(run.start, run.len) {
            fs_warn!(
                groups.sb(),
                "discarding {} blocks from block {} has failed ({:?})",
                run.len,
                run.start.0,
                error
            );
        }
    }
}
