// SPDX-License-Identifier: GPL-2.0

//! Symlinks.
//!
//! A target of less than 60 bytes lies in the inode; a longer one, of less than a block, has a
//! block of its own, which is metadata like a directory's. Both end with a zero. Once it was
//! needed a target stays in memory with its inode.

use crate::dir::blocks;
use crate::format::units::LogicalBlock;
use crate::format::Problem;
use crate::inode;
use crate::inode::iget::terminated;
use crate::jbd_glue::Operation;
use crate::kern::inode::Inode;
use crate::kern::inode_ops::{symlink_inode_table, InodeTable, Symlink};
use crate::store::{MetaBlock, Transaction};
use crate::Ext4;
use kernel::prelude::*;

/// The longest target of a symlink in `dir`, in bytes.
pub(crate) fn target_max(dir: &Inode<Ext4>) -> usize {
    dir.block_size().as_usize().saturating_sub(1)
}

/// The operations of symlinks.
pub(crate) static SYMLINK_INODE: InodeTable = symlink_inode_table::<Ext4>();

impl Symlink for Ext4 {
    fn target(inode: &Inode<Ext4>, may_sleep: bool) -> Result<Option<&CStr>> {
        if inode.info().target().is_none() && may_sleep {
            read_target(inode)?;
        }
        Ok(inode.info().target())
    }
}

fn read_target(inode: &Inode<Ext4>) -> Result {
    let block = blocks::read(inode, LogicalBlock(0))?;
    let len = usize::try_from(inode.size())?;
    let target = block.bytes().get(..len).filter(|t| !t.is_empty());
    match target {
        Some(target) if !target.contains(&0) => {
            inode.info().set_target(terminated(target)?);
            Ok(())
        }
        _ => {
            let problem = Problem::new("bad target of a symlink, of length", inode.size());
            Err(inode::report(inode, Some(block.number()), problem))
        }
    }
}

/// Gives a new symlink a block with its target.
///
/// # Errors
///
/// `ENOSPC`, those of device and journal.
pub(crate) fn init_block(
    inode: &Inode<Ext4>,
    target: &[u8],
    operation: &mut Operation<'_>,
) -> Result {
    let size = target.len() as u64;
    let block = blocks::append(inode, LogicalBlock(0), size, operation)?;
    operation.update(&block, 0..target.len(), |bytes| {
        if bytes.len() == target.len() {
            bytes.copy_from_slice(target);
        }
    })?;
    inode.info().set_target(terminated(target)?);
    Ok(())
}
