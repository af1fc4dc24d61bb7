// SPDX-License-Identifier: GPL-2.0

//! Blocks of an inode that are metadata: those of directories and symlinks, and of attributes.

use crate::alloc::{self, block_goal, Claimant, GroupTable, Request, Run, Space};
use crate::format::units::PhysicalBlock;
use crate::jbd_glue::Operation;
use crate::kern::buffer::Buffer;
use crate::kern::inode::Inode;
use crate::store::Transaction;
use crate::Ext4;
use kernel::prelude::*;

/// Allocates a block for the inode and counts it there: `next`, if that is free, or near it, or
/// near the inode. The block is zeroed.
///
/// # Errors
///
/// `ENOSPC`; those of device and journal. Nothing is allocated then.
pub(crate) fn allocate(
    inode: &Inode<Ext4>,
    next: Option<PhysicalBlock>,
    operation: &mut Operation<'_>,
) -> Result<Buffer> {
    let groups = inode.sb().info().groups()?;
    let near = || block_goal(groups.geometry(), inode.ino(), false, 1);
    let request = Request {
        goal: next.unwrap_or_else(near),
        contiguous: next.is_some(),
        want: 1,
        min: 1,
        space: Space::Now(Claimant::User),
    };
    let run = match alloc::allocate_blocks(groups, operation, request) {
        // Asked late, because asking for a privilege leaves its mark in the audit log.
        Err(error) if error == ENOSPC => {
            let space = Space::Now(groups.claimant());
            alloc::allocate_blocks(groups, operation, Request { space, ..request })?
        }
        result => result?,
    };
    inode.add_blocks(1);
    operation.create(run.start).inspect_err(|_| {
        // Best effort: what fails here too was reported, and costs a block until fsck.
        let _ = free(inode, run.start, operation);
    })
}

/// Frees such a block. Nobody holds its buffer.
///
/// # Errors
///
/// Those of device and journal; `EFSCORRUPTED`, reported, where it cannot have been the inode's.
pub(crate) fn free(
    inode: &Inode<Ext4>,
    at: PhysicalBlock,
    operation: &mut Operation<'_>,
) -> Result {
    inode.sub_blocks(1);
    operation.forget(at)?;
    let groups = inode.sb().info().groups()?;
    alloc::free_blocks(groups, operation, Run { start: at, len: 1 })
}
