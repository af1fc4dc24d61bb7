// SPDX-License-Identifier: GPL-2.0

//! The blocks of a directory, or of a symlink that has one: found through the inode's extent
//! tree, read and changed as buffers.

use crate::dirblock::{DirBlocks, DirWriter};
use crate::extents::{self, Found};
use crate::format::extent::{Extent, State};
use crate::format::inode::flags;
use crate::format::units::{LogicalBlock, PhysicalBlock};
use crate::format::Problem;
use crate::inode::tree_space::{Nodes, TreeReader, TreeWriter};
use crate::inode::{self, meta_block, InodeData};
use crate::jbd_glue::Operation;
use crate::kern::buffer::Buffer;
use crate::kern::inode::Inode;
use crate::store::{MetaBlock, Transaction};
use crate::Ext4;
use kernel::prelude::*;

/// Finds the device's block for block `at` of an inode whose blocks are metadata.
///
/// # Errors
///
/// `EFSCORRUPTED`, reported, for a hole or an unwritten block; those of the extent tree.
fn locate(inode: &Inode<Ext4>, data: &InodeData, at: LogicalBlock) -> Result<PhysicalBlock> {
    if let Found::Mapped(extent) = extents::lookup(&TreeReader(inode), &data.i_block, at)? {
        let block = at
            .distance_from(extent.start())
            .and_then(|offset| extent.at().checked_add(offset.into()));
        if let (State::Written, Some(block)) = (extent.state(), block) {
            return Ok(block);
        }
    }
    let problem = Problem::new("no block where metadata should be, at", at.0.into());
    Err(inode::report(inode, None, problem))
}

/// Reads block `at` of an inode whose blocks are metadata.
///
/// # Errors
///
/// As the extent tree's, `EFSCORRUPTED` (reported) for a hole, `EIO`, `ENOMEM`.
pub(crate) fn read(inode: &Inode<Ext4>, at: LogicalBlock) -> Result<Buffer> {
    let data = inode.info().data.read();
    let block = locate(inode, &data, at)?;
    drop(data);
    inode.sb().info().device.read(block)
}

/// Gives an inode whose blocks are metadata one more, block `at`, and writes the inode back with
/// the new `size`. The block is zeroed, with write access.
///
/// # Errors
///
/// `ENOSPC`, `EIO`, `ENOMEM`; nothing has changed then.
pub(crate) fn append(
    inode: &Inode<Ext4>,
    at: LogicalBlock,
    size: u64,
    operation: &mut Operation<'_>,
) -> Result<Buffer> {
    let info = inode.info();
    let mut data = info.data.write();
    let next = match at.checked_sub(1) {
        Some(last) => locate(inode, &data, last)?.checked_add(1),
        None => None,
    };
    let block = meta_block::allocate(inode, next, operation)?;
    let start = block.number();
    let extent = Extent::new(at, 1, start, State::Written).ok_or(EINVAL);
    let inserted = extent.and_then(|extent| {
        let mut writer = TreeWriter::new(inode, operation, Nodes::Refusable);
        extents::insert(&mut writer, &mut data.i_block, extent)
    });
    if let Err(error) = inserted {
        drop(block);
        // Best effort: what fails here too was reported, and costs a block until fsck.
        let _ = meta_block::free(inode, start, operation);
        return Err(error);
    }
    inode.set_size(size);
    info.set_disk_size(&mut data, size);
    inode::write_inode(inode, &data, operation)?;
    Ok(block)
}

/// The blocks of a directory, to be read.
pub(crate) struct DirView<'a>(pub(crate) &'a Inode<Ext4>);

impl DirBlocks for DirView<'_> {
    type Block = Buffer;

    fn blocks(&self) -> u32 {
        // The size of a directory was checked against the space of logical blocks.
        u32::try_from(self.0.block_size().whole_blocks(self.0.size())).unwrap_or(u32::MAX)
    }

    fn is_indexed(&self) -> bool {
        self.0.info().has_flags(flags::INDEX)
    }

    fn read(&self, at: LogicalBlock) -> Result<Buffer> {
        read(self.0, at)
    }

    fn report(&self, at: LogicalBlock, problem: Problem) -> Error {
        let block = {
            let data = self.0.info().data.read();
            locate(self.0, &data, at).ok()
        };
        inode::report(self.0, block, problem)
    }
}

/// The blocks of a directory, to be changed in a running operation.
pub(crate) struct DirEdit<'a, 'j> {
    dir: &'a Inode<Ext4>,
    operation: &'a mut Operation<'j>,
}

impl<'a, 'j> DirEdit<'a, 'j> {
    /// Of `dir`, in `operation`.
    pub(crate) fn new(dir: &'a Inode<Ext4>, operation: &'a mut Operation<'j>) -> Self {
        Self { dir, operation }
    }
}

impl DirBlocks for DirEdit<'_, '_> {
    type Block = Buffer;

    fn blocks(&self) -> u32 {
        DirView(self.dir).blocks()
    }

    fn is_indexed(&self) -> bool {
        DirView(self.dir).is_indexed()
    }

    fn read(&self, at: LogicalBlock) -> Result<Buffer> {
        read(self.dir, at)
    }

    fn report(&self, at: LogicalBlock, problem: Problem) -> Error {
        DirView(self.dir).report(at, problem)
    }
}

impl DirWriter for DirEdit<'_, '_> {
    fn prepare(&mut self, block: &Buffer) -> Result {
        self.operation.prepare(block)
    }

    fn update<R>(&mut self, block: &Buffer, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.operation.update(block, 0..block.bytes().len(), edit)
    }

    fn append(&mut self) -> Result<Buffer> {
        let at = LogicalBlock(self.blocks());
        let end = at.checked_add(1).ok_or(ENOSPC)?;
        let size = self.dir.block_size().byte_of(end);
        append(self.dir, at, size, self.operation)
    }

    fn set_indexed(&mut self) {
        let info = self.dir.info();
        // The caller writes the inode, also where adding the name fails after this.
        info.set_flags(info.flags() | flags::INDEX);
    }
}
