// SPDX-License-Identifier: GPL-2.0

//! The kernel's inode as the block mapper sees it.
//!
//! Joins the inode's locks (`i_data_sem`, status lock), its extent tree on disk, the allocator
//! and the journal into one [`MapperEnv`]. Every method that changes the tree or the books of the
//! inode also writes the inode to its block in the same operation, also where the change failed
//! half-way.

use super::{
    tree_space::{Nodes, TreeReader, TreeWriter},
    InodeData,
};
use crate::{
    alloc::{self, block_goal, Claimant, GroupTable, Space},
    errortag::Tag,
    extent_status::{self, StatusTree},
    extents::{self, Found, Progress},
    format::{
        extent as disk,
        units::{LogicalBlock, PhysicalBlock},
    },
    jbd_glue::{credits, Operation as Handle},
    kern::{
        inode::Inode,
        jbd2::Credits,
        nofs::NoFs,
        rwsem::{ReadGuard, WriteGuard},
        trace,
    },
    mapper::{Event, MapRequest, MapperEnv, Mapping, Operation, Run, Shift, Want},
    superblock, Ext4,
};
use core::ops::{Deref, DerefMut, Range};
use kernel::prelude::*;

/// How often space is waited for before a request fails.
const MAX_WAITS: u32 = 3;

/// An inode as [`MapperEnv`].
#[derive(Clone, Copy)]
pub(crate) struct InodeEnv<'a> {
    inode: &'a Inode<Ext4>,
    /// The inode's rwsem is held for write.
    exclusive: bool,
}

/// `i_data_sem` held for read. Allocations do not enter reclaim of file systems meanwhile.
pub(crate) struct Reading<'a> {
    data: ReadGuard<'a, InodeData>,
    _nofs: NoFs,
}

impl Deref for Reading<'_> {
    type Target = InodeData;

    fn deref(&self) -> &InodeData {
        &self.data
    }
}

/// `i_data_sem` held for write. Allocations do not enter reclaim of file systems meanwhile.
pub(crate) struct Writing<'a> {
    data: WriteGuard<'a, InodeData>,
    _nofs: NoFs,
}

impl Deref for Writing<'_> {
    type Target = InodeData;

    fn deref(&self) -> &InodeData {
        &self.data
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut InodeData {
        &mut self.data
    }
}

impl<'a> InodeEnv<'a> {
    /// Of `inode`.
    pub(crate) fn new(inode: &'a Inode<Ext4>) -> Self {
        Self {
            inode,
            exclusive: false,
        }
    }

    /// Of `inode`, whose rwsem the caller holds for write: what one request finds is remembered for
    /// the next.
    pub(crate) fn exclusive(inode: &'a Inode<Ext4>) -> Self {
        Self {
            inode,
            exclusive: true,
        }
    }

    /// The blocks that the bytes of `range` touch.
    #[inline]
    pub(crate) fn blocks_of(&self, range: Range<u64>) -> Range<LogicalBlock> {
        self.inode.blocks_of(range)
    }

    /// Changes the tree, and then writes the inode, whose root and block count may have changed
    /// even where the change failed.
    fn change<R>(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        nodes: Nodes,
        change: impl FnOnce(&mut TreeWriter<'_, 'a>, &mut extents::Root) -> Result<R>,
    ) -> Result<R> {
        let mut writer = TreeWriter::new(self.inode, handle, nodes);
        let changed = change(&mut writer, &mut data.i_block);
        let written = super::write_inode(self.inode, data, handle);
        // Finding the data again takes this transaction: `fdatasync()` waits for it too.
        self.inode.info().touched_by(handle.tid(), true);
        let changed = changed?;
        written?;
        Ok(changed)
    }

    /// Gives the blocks of `range` the state `to`; returns up to where it came.
    fn tree_set_state(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        range: Range<LogicalBlock>,
        to: disk::State,
        nodes: Nodes,
    ) -> Result<LogicalBlock> {
        let end = range.end;
        let progress = self.change(data, handle, nodes, |space, root| {
            extents::convert(space, root, range, to)
        })?;
        Ok(match progress {
            Progress::Done => end,
            Progress::More(from) => from,
        })
    }

    /// The credits of `operation`.
    fn credits(operation: Operation) -> Credits {
        match operation {
            Operation::Allocate => credits::map(),
            Operation::Convert => credits::convert(),
            Operation::Remove => credits::truncate(),
            Operation::Move => credits::shift(),
        }
    }
}

/// The status-tree state of blocks from `at` on that the disk has as `state`.
fn state_of(state: disk::State, at: PhysicalBlock) -> extent_status::State {
    match state {
        disk::State::Written => extent_status::State::Written(at),
        disk::State::Unwritten => extent_status::State::Unwritten(at),
    }
}

/// Zero, or the error's number.
fn errno<T>(result: &Result<T>) -> i32 {
    result.as_ref().map_or_else(|e| e.to_errno(), |_| 0)
}

/// The arguments of the tracepoint at the mapper's end.
fn answered(request: &MapRequest, answer: &Result<Mapping>) -> (u32, u32, u64, u32, u64, u32, i32) {
    let (intent, ret) = (request.intent as u32, errno(answer));
    let Ok(mapping) = answer else {
        return (request.start.0, request.len, 0, 0, 0, intent, ret);
    };
    let extent = &mapping.extent;
    let state = match extent.state() {
        extent_status::State::Written(_) => trace::flags::WRITTEN,
        extent_status::State::Unwritten(_) => trace::flags::UNWRITTEN,
        extent_status::State::Delayed => trace::flags::DELAYED,
        extent_status::State::Hole => trace::flags::HOLE,
    };
    let new = if mapping.new { trace::flags::NEW } else { 0 };
    let place = extent.state().physical().map_or(0, |at| at.0);
    (
        extent.start().0,
        extent.len(),
        place,
        state | new,
        mapping.sequence,
        intent,
        ret,
    )
}

impl<'a> MapperEnv for InodeEnv<'a> {
    type Handle = Handle<'a>;
    type Data = InodeData;
    type Reading<'b>
        = Reading<'b>
    where
        Self: 'b;
    type Writing<'b>
        = Writing<'b>
    where
        Self: 'b;

    fn with_status<R>(&self, f: impl FnOnce(&mut StatusTree) -> R) -> R {
        self.inode.info().with_status(f)
    }

    fn lock_read(&self) -> Reading<'_> {
        let _nofs = NoFs::enter();
        Reading {
            data: self.inode.info().data.read(),
            _nofs,
        }
    }

    fn lock_write(&self) -> Writing<'_> {
        let _nofs = NoFs::enter();
        Writing {
            data: self.inode.info().data.write(),
            _nofs,
        }
    }

    /// Without the ES lock: the sequence moves under `i_data_sem` held for write, which is ours.
    fn unchanged(&self, _held: &InodeData, since: u64) -> bool {
        self.inode.info().sequence() == since
    }

    #[inline(always)]
    fn recall(&self, request: &MapRequest) -> Option<(extent_status::Extent, u64)> {
        if !self.exclusive {
            return None;
        }
        let info = self.inode.info();
        let now = info.sequence();
        let extent = info.recent().recall(request.start, now)?;
        Some((extent, now))
    }

    #[inline(always)]
    fn remember(&self, _request: &MapRequest, extent: &extent_status::Extent, sequence: u64) {
        if self.exclusive {
            self.inode.info().recent().remember(extent, sequence);
        }
    }

    fn errortag(&self, tag: Tag) -> Result {
        self.inode.sb().info().errortags.pass(tag)
    }

    #[inline(always)]
    fn observe(&self, event: Event<'_>) {
        let inode = self.inode;
        match event {
            Event::Asked(request) => {
                trace::map_blocks_enter(inode, || {
                    (request.start.0, request.len, request.intent as u32)
                });
            }
            Event::Answered(request, answer) => {
                trace::map_blocks_exit(inode, || answered(request, answer));
            }
            Event::Retry(found) => {
                inode.sb().info().writeback.recheck_retries.add(1);
                trace::map_retry(inode, || {
                    let now = inode.info().sequence();
                    let extent = &found.extent;
                    (extent.start().0, extent.len(), found.sequence, now)
                });
            }
            Event::Converted(range, result) => trace::ioend_convert(inode, || {
                let len = range.end.distance_from(range.start).unwrap_or(0);
                (range.start.0, len, errno(result))
            }),
        }
    }

    fn tree_lookup(&self, data: &InodeData, at: LogicalBlock) -> Result<extent_status::Extent> {
        let found = extents::lookup(&TreeReader(self.inode), &data.i_block, at)?;
        let extent = match found {
            Found::Mapped(extent) => extent_status::Extent::new(
                extent.start(),
                extent.len(),
                state_of(extent.state(), extent.at()),
            ),
            Found::Hole { start, len } => {
                extent_status::Extent::new(start, len, extent_status::State::Hole)
            }
        };
        extent.ok_or(EFSCORRUPTED)
    }

    fn tree_insert(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        extent: extent_status::Extent,
        promised: bool,
    ) -> Result {
        let (state, at) = match extent.state() {
            extent_status::State::Written(at) => (disk::State::Written, at),
            extent_status::State::Unwritten(at) => (disk::State::Unwritten, at),
            extent_status::State::Delayed | extent_status::State::Hole => return Err(EINVAL),
        };
        let extent = disk::Extent::new(extent.start(), extent.len(), at, state).ok_or(EINVAL)?;
        let nodes = if promised {
            Nodes::Reserved(Claimant::Promised)
        } else {
            Nodes::Refusable
        };
        self.change(data, handle, nodes, |space, root| {
            extents::insert(space, root, extent)
        })
    }

    fn tree_convert(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        let nodes = Nodes::Reserved(Claimant::Completion);
        self.tree_set_state(data, handle, range, disk::State::Written, nodes)
    }

    fn tree_remove(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        let start = range.start;
        let nodes = Nodes::Reserved(Claimant::Promised);
        let progress = self.change(data, handle, nodes, |space, root| {
            extents::remove(space, root, range)
        })?;
        Ok(match progress {
            Progress::Done => start,
            Progress::More(to) => to,
        })
    }

    fn tree_shift(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        shift: Shift,
    ) -> Result<Option<Shift>> {
        let progress = self.change(data, handle, Nodes::Refusable, |space, root| match shift {
            Shift::Down { from, by } => extents::shift_left(space, root, from, by),
            Shift::Up { from, end, by } => extents::shift_right(space, root, from..end, by),
        })?;
        Ok(match (progress, shift) {
            (Progress::Done, _) => None,
            (Progress::More(from), Shift::Down { by, .. }) => Some(Shift::Down { from, by }),
            (Progress::More(end), Shift::Up { from, by, .. }) => Some(Shift::Up { from, end, by }),
        })
    }

    fn tree_make_way(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        from: LogicalBlock,
        by: u32,
    ) -> Result<bool> {
        self.change(data, handle, Nodes::Refusable, |space, root| {
            extents::make_way(space, root, from, by)
        })
    }

    fn tree_unwrite(
        &self,
        data: &mut InodeData,
        handle: &mut Handle<'a>,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        let nodes = Nodes::Refusable;
        self.tree_set_state(data, handle, range, disk::State::Unwritten, nodes)
    }

    fn allocate(&self, _data: &mut InodeData, handle: &mut Handle<'a>, want: Want) -> Result<Run> {
        let groups = self.inode.sb().info().groups()?;
        let goal = want.goal.unwrap_or_else(|| {
            let regular = self.inode.is_regular();
            block_goal(groups.geometry(), self.inode.ino(), regular, want.len)
        });
        let request = alloc::Request {
            goal,
            contiguous: want.contiguous,
            want: want.len,
            min: 1,
            space: Space::Delayed,
        };
        let run = alloc::allocate_blocks(groups, handle, request)?;
        self.inode.add_blocks(run.len);
        Ok(Run {
            start: run.start,
            len: run.len,
        })
    }

    fn unallocate(&self, data: &mut InodeData, handle: &mut Handle<'a>, run: Run) {
        let blocks = alloc::Run {
            start: run.start,
            len: run.len,
        };
        let groups = self.inode.sb().info().groups();
        let taken_back = groups.and_then(|groups| alloc::unallocate_blocks(groups, handle, blocks));
        self.inode.sub_blocks(run.len);
        // The failed insertion has written the inode with these blocks in its count.
        let written = super::write_inode(self.inode, data, handle);
        if taken_back.and(written).is_err() {
            crate::fs_err!(
                self.inode.sb(),
                "inode #{}: cannot take back the allocation of {} blocks at {}",
                self.inode.ino().0,
                run.len,
                run.start.0
            );
        }
    }

    fn reserve(&self, blocks: u32) -> Result {
        self.inode.sb().info().groups()?.reserve(blocks)
    }

    fn unreserve(&self, blocks: u32) {
        // They were reserved with the groups' own counters.
        if let Ok(groups) = self.inode.sb().info().groups() {
            groups.counters().unreserve(blocks);
        }
    }

    fn start_handle(&self, operation: Operation) -> Result<Handle<'a>> {
        superblock::health::start(self.inode.sb(), Self::credits(operation))
    }

    fn renew_handle(&self, handle: &mut Handle<'a>, operation: Operation) -> Result {
        handle.restart(Self::credits(operation))
    }

    fn stop_handle(&self, handle: Handle<'a>) -> Result {
        handle.stop()
    }

    fn wait_for_space(&self, attempts: u32) -> bool {
        let groups = self.inode.sb().info().groups();
        attempts < MAX_WAITS && groups.is_ok_and(|groups| groups.wait_for_frees())
    }
}
