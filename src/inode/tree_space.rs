// SPDX-License-Identifier: GPL-2.0

//! An inode's extent tree in the running operation: what [`crate::extents`] needs to read it, to
//! change it, and to get and give back the blocks of its nodes.
//!
//! Used with `i_data_sem` held: for read with [`TreeReader`], for write with [`TreeWriter`].
//! Blocks are accounted to the inode here, and nowhere else.

use crate::{
    alloc::{self, block_goal, Claimant, GroupTable, Request, Run, Space},
    extents::{TreeSpace, TreeView},
    format::{units::PhysicalBlock, Problem},
    jbd_glue::Operation,
    kern::{buffer::Buffer, inode::Inode},
    store::{Store, Transaction},
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// The tree of an inode, to be read.
pub(crate) struct TreeReader<'a>(pub(crate) &'a Inode<Ext4>);

impl Store for TreeReader<'_> {
    type Block = Buffer;

    fn block_size(&self) -> usize {
        self.0.block_size().as_usize()
    }

    fn read(&self, at: PhysicalBlock) -> Result<Buffer> {
        self.0.sb().info().device.read(at)
    }
}

impl TreeView for TreeReader<'_> {
    fn seed(&self) -> Option<u32> {
        let fs = self.0.sb().info();
        fs.geometry
            .metadata_csum()
            .then(|| self.0.info().origin().seed)
    }

    fn valid_run(&self, start: PhysicalBlock, blocks: u32) -> bool {
        let fs = self.0.sb().info();
        match fs.groups() {
            Ok(groups) => groups.may_belong_to(self.0.ino(), start, blocks),
            // Not loaded yet at mount, when the journal's own tree is read.
            Err(_) => fs.geometry.contains(start, blocks.into()),
        }
    }

    fn report(&self, node: Option<PhysicalBlock>, problem: Problem) {
        // The caller gets the problem's errno too.
        let _ = super::report(self.0, node, problem);
    }
}

/// What a change of a tree may take for the nodes that it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// What the current task can have: it can be refused.
    Refusable,
    /// A part of what is kept back, too.
    Reserved(Claimant),
}

/// The tree of an inode, to be changed in a running operation.
pub(crate) struct TreeWriter<'a, 'j> {
    inode: &'a Inode<Ext4>,
    operation: &'a mut Operation<'j>,
    nodes: Nodes,
}

impl<'a, 'j> TreeWriter<'a, 'j> {
    /// Of `inode`, in `operation`.
    pub(crate) fn new(
        inode: &'a Inode<Ext4>,
        operation: &'a mut Operation<'j>,
        nodes: Nodes,
    ) -> Self {
        Self {
            inode,
            operation,
            nodes,
        }
    }
}

impl Store for TreeWriter<'_, '_> {
    type Block = Buffer;

    fn block_size(&self) -> usize {
        self.operation.block_size()
    }

    fn read(&self, at: PhysicalBlock) -> Result<Buffer> {
        self.operation.read(at)
    }
}

impl Transaction for TreeWriter<'_, '_> {
    fn prepare(&mut self, block: &Buffer) -> Result {
        self.operation.prepare(block)
    }

    fn update<R>(
        &mut self,
        block: &Buffer,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.operation.update(block, range, edit)
    }

    fn create(&mut self, at: PhysicalBlock) -> Result<Buffer> {
        self.operation.create(at)
    }

    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.operation.forget(at)
    }

    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.operation.ensure_credits(blocks)
    }
}

impl TreeView for TreeWriter<'_, '_> {
    fn seed(&self) -> Option<u32> {
        TreeReader(self.inode).seed()
    }

    fn valid_run(&self, start: PhysicalBlock, blocks: u32) -> bool {
        TreeReader(self.inode).valid_run(start, blocks)
    }

    fn report(&self, node: Option<PhysicalBlock>, problem: Problem) {
        TreeReader(self.inode).report(node, problem);
    }
}

impl TreeWriter<'_, '_> {
    fn free(&mut self, run: Run) -> Result {
        alloc::free_blocks(self.inode.sb().info().groups()?, self.operation, run)?;
        self.inode.sub_blocks(run.len);
        Ok(())
    }
}

impl TreeSpace for TreeWriter<'_, '_> {
    fn allocate_node(&mut self, near: Option<PhysicalBlock>) -> Result<PhysicalBlock> {
        let groups = self.inode.sb().info().groups()?;
        let goal = near.unwrap_or_else(|| {
            block_goal(
                groups.geometry(),
                self.inode.ino(),
                self.inode.is_regular(),
                1,
            )
        });
        let claimant = match self.nodes {
            Nodes::Refusable if groups.counters().may_have(1, Claimant::User) => Claimant::User,
            Nodes::Refusable => groups.claimant(),
            Nodes::Reserved(claimant) => claimant,
        };
        let request = Request {
            goal,
            contiguous: false,
            want: 1,
            min: 1,
            space: Space::Now(claimant),
        };
        let run = alloc::allocate_blocks(groups, self.operation, request)?;
        self.inode.add_blocks(1);
        Ok(run.start)
    }

    fn free_node(&mut self, at: PhysicalBlock) -> Result {
        self.operation.forget(at)?;
        self.free(Run { start: at, len: 1 })
    }

    fn free_data(&mut self, start: PhysicalBlock, blocks: u32) -> Result {
        if !self.inode.is_regular() {
            // Blocks of directories and symlinks are metadata: no old copy of theirs in the
            // journal may come back over what the block holds next.
            for at in (0..u64::from(blocks)).map_while(|i| start.checked_add(i)) {
                self.operation.forget(at)?;
            }
        }
        self.free(Run { start, len: blocks })
    }

    fn space_credits(&self, blocks: u32) -> u32 {
        // A run touches one group more than it fills.
        let geo = &self.inode.sb().info().geometry;
        let full = blocks.checked_div(geo.blocks_per_group).unwrap_or(0);
        full.saturating_add(2).saturating_mul(alloc::BLOCK_CREDITS)
    }
}
