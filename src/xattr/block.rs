// SPDX-License-Identifier: GPL-2.0

//! The attribute block.
//!
//! C ext4 lets inodes with equal attributes share one, and counts them in it. ext4rs drops out of
//! a shared block when it changes an attribute, and makes no block shared.

use crate::format::units::PhysicalBlock;
use crate::format::xattr::{AttributeSet, BlockHeader, Place};
use crate::inode::{self, meta_block};
use crate::jbd_glue::Operation;
use crate::kern::buffer::Buffer;
use crate::kern::inode::Inode;
use crate::store::{MetaBlock, Transaction};
use crate::Ext4;
use kernel::prelude::*;

/// The attribute block of an inode, which may be others' as well.
pub(super) struct Shared<'a> {
    inode: &'a Inode<Ext4>,
    block: Buffer,
}

impl<'a> Shared<'a> {
    /// Reads the block `at` of the inode.
    pub(super) fn read(inode: &'a Inode<Ext4>, at: PhysicalBlock) -> Result<Self> {
        let block = inode.sb().info().device.read(at)?;
        Ok(Self { inode, block })
    }

    fn at(&self) -> PhysicalBlock {
        self.block.number()
    }

    /// Runs `look` on the block's bytes, once its header and checksum are found good.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` or `EFSBADCRC`, reported.
    pub(super) fn look<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let _lock = self.inode.sb().info().inodes.table.lock(self.at())?;
        self.header()?;
        Ok(look(self.block.bytes()))
    }

    /// The header, the block's table lock being held.
    fn header(&self) -> Result<BlockHeader> {
        let geo = &self.inode.sb().info().geometry;
        BlockHeader::parse(geo, self.at(), self.block.bytes())
            .map_err(|problem| inode::report(self.inode, Some(self.at()), problem))
    }

    /// Writes the set over the block, if that is the inode's alone; says whether it was.
    fn write_own(&self, set: &mut AttributeSet<'_>, operation: &mut Operation<'_>) -> Result<bool> {
        let _lock = self.inode.sb().info().inodes.table.lock(self.at())?;
        if self.header()?.refcount > 1 {
            return Ok(false);
        }
        encode(self.inode, &self.block, set, operation)?;
        Ok(true)
    }

    /// Gives up the inode's share; frees the block with the last one.
    fn release(self, operation: &mut Operation<'_>) -> Result {
        let (inode, at) = (self.inode, self.at());
        let fs = inode.sb().info();
        let lock = fs.inodes.table.lock(at)?;
        let mut shares = self.header()?;
        inode.info().set_file_acl(None);
        if shares.refcount > 1 {
            shares.refcount = shares.refcount.saturating_sub(1);
            let whole = 0..self.block.bytes().len();
            inode.sub_bytes(whole.len() as u64);
            return operation
                .update(&self.block, whole, |bytes| {
                    shares.encode(&fs.geometry, at, bytes)
                })?
                .ok_or(EFSCORRUPTED);
        }
        drop(lock);
        drop(self.block);
        meta_block::free(inode, at, operation)
    }
}

fn encode(
    inode: &Inode<Ext4>,
    block: &Buffer,
    set: &mut AttributeSet<'_>,
    operation: &mut Operation<'_>,
) -> Result {
    let geo = &inode.sb().info().geometry;
    operation
        .update(block, 0..block.bytes().len(), |bytes| {
            set.encode_block(geo, block.number(), bytes)
        })?
        .ok_or(EFSCORRUPTED)
}

/// Writes what of the set lies in a block, `old` being the block so far. The inode's
/// `i_data_sem` is held for write; the caller writes the inode.
///
/// # Errors
///
/// `ENOSPC`, and nothing has changed; those of damage, device and journal.
pub(super) fn write(
    inode: &Inode<Ext4>,
    set: &mut AttributeSet<'_>,
    old: Option<Shared<'_>>,
    operation: &mut Operation<'_>,
) -> Result {
    if !set.uses(Place::Block) {
        return old.map_or(Ok(()), |old| old.release(operation));
    }
    if let Some(old) = &old {
        if old.write_own(set, operation)? {
            return Ok(());
        }
    }
    let new = meta_block::allocate(inode, None, operation)?;
    encode(inode, &new, set, operation)?;
    if let Some(old) = old {
        old.release(operation)?;
    }
    inode.info().set_file_acl(Some(new.number()));
    Ok(())
}

/// Gives up the attribute block of an inode that is being deleted.
///
/// # Errors
///
/// Those of damage, device and journal.
pub(crate) fn release(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    match inode.info().file_acl() {
        Some(at) => Shared::read(inode, at)?.release(operation),
        None => Ok(()),
    }
}
