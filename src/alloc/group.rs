// SPDX-License-Identifier: GPL-2.0

//! One block group: its descriptor, and which of its blocks can be handed out.

use super::bits::{self, BitRun, Found};
use super::zone::SystemZone;
use crate::format::group_desc::{flags, GroupDesc};
use crate::format::units::{GroupNumber, PhysicalBlock};
use crate::format::{Geometry, Problem};
use crate::store::{MetaBlock, Store, Transaction};
use core::ops::Range;
use kernel::alloc::AllocError;
use kernel::prelude::*;

/// Why an operation on a group went no further.
pub(super) enum Trouble {
    /// The disk holds something that cannot be, or does not give it: the group is of no use.
    Found(Problem),
    /// Memory, device or journal failed.
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Found(problem)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Found(problem) => problem.into(),
            Trouble::Failed(error) => error,
        }
    }
}

impl From<AllocError> for Trouble {
    fn from(error: AllocError) -> Self {
        Self::Failed(error.into())
    }
}

/// The halves of a group that go bad separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Block bitmap and count.
    Blocks,
    /// Inode bitmap and counts.
    Inodes,
}

/// A block group in memory. Its owner holds the group's lock.
pub struct GroupState {
    pub(super) number: GroupNumber,
    /// As in the descriptor block, the running transaction's changes included.
    pub(super) desc: GroupDesc,
    /// The allocator's bitmap; empty until [`load`](Self::load).
    ///
    /// Invariant: a superset of the bits of the bitmap block. The extra bits are `uncommitted`
    /// many: blocks freed in transactions that have not committed, and those that are held.
    bits: KVec<u8>,
    uncommitted: u32,
    blocks_corrupt: bool,
    inodes_corrupt: bool,
}

/// How to choose among the free runs of a group; bits of the group.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    /// Where to look first.
    pub(super) goal: u32,
    /// The goal continues something: take it even if the run there is short.
    pub(super) contiguous: bool,
    /// Take no more than this.
    pub(super) want: u32,
    /// Take no run shorter than this.
    pub(super) enough: u32,
}

/// What a choice led to.
pub(super) enum Chosen {
    Run(BitRun),
    /// Nothing was long enough; the longest run has this length.
    TooShort(u32),
}

impl GroupState {
    /// The state of a group at mount; reads nothing.
    pub fn new(number: GroupNumber, desc: GroupDesc) -> Self {
        Self {
            number,
            desc,
            bits: KVec::new(),
            uncommitted: 0,
            blocks_corrupt: false,
            inodes_corrupt: false,
        }
    }

    /// Begins anew with the descriptor as it is now; false where its metadata lies elsewhere.
    #[must_use]
    pub fn reload(&mut self, desc: GroupDesc) -> bool {
        let place = |d: &GroupDesc| (d.block_bitmap, d.inode_bitmap, d.inode_table);
        if place(&self.desc) != place(&desc) {
            return false;
        }
        *self = Self::new(self.number, desc);
        true
    }

    /// The descriptor.
    pub fn desc(&self) -> &GroupDesc {
        &self.desc
    }

    /// Blocks that can be allocated now.
    pub fn available_blocks(&self) -> u32 {
        if self.blocks_corrupt {
            0
        } else {
            self.desc.free_blocks.saturating_sub(self.uncommitted)
        }
    }

    /// Inodes that can be allocated.
    pub fn available_inodes(&self) -> u32 {
        if self.inodes_corrupt {
            0
        } else {
            self.desc.free_inodes
        }
    }

    /// Directories.
    pub fn directories(&self) -> u32 {
        self.desc.used_dirs
    }

    /// Whether `part` was found corrupt.
    pub fn is_corrupt(&self, part: Part) -> bool {
        match part {
            Part::Blocks => self.blocks_corrupt,
            Part::Inodes => self.inodes_corrupt,
        }
    }

    /// Stops allocation from `part`; returns how many free blocks are lost with it.
    pub fn mark_corrupt(&mut self, part: Part) -> u32 {
        let available = self.available_blocks();
        match part {
            Part::Blocks => self.blocks_corrupt = true,
            Part::Inodes => self.inodes_corrupt = true,
        }
        available.saturating_sub(self.available_blocks())
    }

    /// Drops the allocator's bitmap where it can be read back; true where memory was freed.
    pub fn shrink(&mut self) -> bool {
        if self.uncommitted != 0 || self.bits.is_empty() {
            return false;
        }
        self.bits = KVec::new();
        true
    }

    /// Reads the block bitmap, unless that has happened.
    ///
    /// # Errors
    ///
    /// Checksum, count, padding and the group's metadata are checked; a device error counts as
    /// corruption too, so that the allocator goes on with another group.
    pub(super) fn load<S: Store>(
        &mut self,
        geo: &Geometry,
        zone: &SystemZone,
        store: &S,
    ) -> Result<(), Trouble> {
        if !self.bits.is_empty() {
            return Ok(());
        }
        if self.desc.has(flags::BLOCK_UNINIT) {
            let map = self.layout(geo, zone, store.block_size())?;
            self.check_count(geo, &map)?;
            self.bits = map;
            return Ok(());
        }
        let block = self.read_block_bitmap(geo, store)?;
        self.check_bitmap(geo, zone, block.bytes())?;
        self.check_count(geo, block.bytes())?;
        let mut map = KVec::new();
        map.extend_from_slice(block.bytes(), GFP_KERNEL)?;
        self.bits = map;
        Ok(())
    }

    /// The bitmap of a group of which only metadata is in use.
    fn layout(
        &self,
        geo: &Geometry,
        zone: &SystemZone,
        block_size: usize,
    ) -> Result<KVec<u8>, Trouble> {
        let mut map = KVec::from_elem(0u8, block_size, GFP_KERNEL)?;
        for run in self.metadata(geo, zone) {
            bits::fill(&mut map, run, true);
        }
        let end = bit_count(&map);
        bits::fill(&mut map, geo.group_blocks(self.number)..end, true);
        Ok(map)
    }

    /// The group's bits that are metadata, of this group or of another.
    fn metadata<'a>(
        &self,
        geo: &Geometry,
        zone: &'a SystemZone,
    ) -> impl Iterator<Item = Range<u32>> + 'a {
        let start = geo
            .group_start(self.number)
            .map_or(u64::MAX, |start| start.0);
        let end = start.saturating_add(geo.group_blocks(self.number).into());
        // Both ends lie in the group, so the distances fit.
        let bit = move |at: u64| u32::try_from(at.saturating_sub(start)).unwrap_or(u32::MAX);
        zone.within(start..end)
            .map(move |run| bit(run.start)..bit(run.end))
    }

    fn check_bitmap(&self, geo: &Geometry, zone: &SystemZone, map: &[u8]) -> Result<(), Problem> {
        for run in self.metadata(geo, zone) {
            let free = bits::next(map, run.clone(), false);
            if free != run.end {
                let what = "block bitmap shows metadata as free, at bit";
                return Err(Problem::new(what, free.into()));
            }
        }
        let end = geo.group_blocks(self.number);
        if !bits::all(map, end..bit_count(map), true) {
            let what = "block bitmap goes on past the group's end, at bit";
            return Err(Problem::new(what, end.into()));
        }
        Ok(())
    }

    fn check_count(&self, geo: &Geometry, map: &[u8]) -> Result<(), Problem> {
        let free = bits::count_clear(map, 0..geo.group_blocks(self.number));
        if free != self.desc.free_blocks {
            let what = "block bitmap and descriptor disagree; free blocks in the bitmap";
            return Err(Problem::new(what, free.into()));
        }
        Ok(())
    }

    /// The block bitmap's block, verified.
    fn read_block_bitmap<S: Store>(&self, geo: &Geometry, store: &S) -> Result<S::Block, Trouble> {
        let at = self.desc.block_bitmap;
        let block = read(store, at, "block bitmap cannot be read, block")?;
        if !block.verified() {
            self.desc.verify_block_bitmap(geo, block.bytes())?;
            block.set_verified();
        }
        Ok(block)
    }

    /// The inode bitmap's block, verified. Not for a group with `INODE_UNINIT`.
    pub(super) fn read_inode_bitmap<X: Transaction>(
        &self,
        geo: &Geometry,
        tx: &X,
    ) -> Result<X::Block, Trouble> {
        let at = self.desc.inode_bitmap;
        let block = read(tx, at, "inode bitmap cannot be read, block")?;
        if !block.verified() {
            self.desc.verify_inode_bitmap(geo, block.bytes())?;
            block.set_verified();
        }
        Ok(block)
    }

    /// Chooses a free run. The bitmap is loaded.
    pub(super) fn choose(&self, geo: &Geometry, choice: Choice) -> Chosen {
        let end = geo.group_blocks(self.number);
        let taken = |run: BitRun| {
            Chosen::Run(BitRun {
                start: run.start,
                len: run.len.min(choice.want),
            })
        };
        let goal = choice.goal.min(end);
        let at_goal =
            bits::clear_run_at(&self.bits, goal..goal.saturating_add(choice.want).min(end));
        if at_goal.len >= choice.want || choice.contiguous && at_goal.len > 0 {
            return taken(at_goal);
        }
        if let Found::Enough(run) =
            bits::find_clear(&self.bits, at_goal.range().end..end, choice.want)
        {
            return taken(run);
        }
        match bits::find_clear(&self.bits, 0..end, choice.want) {
            Found::Enough(run) => taken(run),
            Found::Longest(run) if run.len >= choice.enough => taken(run),
            Found::Longest(run) => Chosen::TooShort(run.len),
            Found::Nothing => Chosen::TooShort(0),
        }
    }

    /// Allocates `run`, which [`choose`](Self::choose) chose, in the transaction.
    pub(super) fn take<X: Transaction>(
        &mut self,
        geo: &Geometry,
        tx: &mut X,
        run: BitRun,
    ) -> Result<(), Trouble> {
        let mut desc = self.desc;
        let descriptor = self.prepare_descriptor(geo, tx)?;
        let bitmap = if desc.has(flags::BLOCK_UNINIT) {
            tx.create(desc.block_bitmap)?
        } else {
            let block = self.read_block_bitmap(geo, tx)?;
            if !bits::all(block.bytes(), run.range(), false) {
                let what = "a block to allocate is in use on disk, at bit";
                return Err(Problem::new(what, run.start.into()).into());
            }
            tx.prepare(&block)?;
            block
        };
        let left = desc.free_blocks.checked_sub(run.len);
        desc.free_blocks = left.ok_or(Problem::new(
            "more free bits than free blocks in a group",
            desc.free_blocks.into(),
        ))?;

        if desc.has(flags::BLOCK_UNINIT) {
            desc.flags &= !flags::BLOCK_UNINIT;
            let layout = &self.bits;
            tx.update(&bitmap, 0..layout.len(), |bytes| {
                for (to, from) in bytes.iter_mut().zip(layout.iter()) {
                    *to = *from;
                }
            })?;
            bitmap.set_verified();
        }
        let touched = byte_range(run);
        let base = touched.start;
        tx.update(&bitmap, touched, |bytes| fill_part(bytes, base, run, true))?;
        desc.set_block_bitmap_csum(geo, bitmap.bytes());
        self.write_descriptor(geo, tx, &descriptor, desc)?;
        bits::fill(&mut self.bits, run.range(), true);
        Ok(())
    }

    /// Frees `run` in the transaction; the allocator's bitmap keeps it until
    /// [`release`](Self::release). `note` must remember it before anything changes.
    pub(super) fn give_back<X: Transaction>(
        &mut self,
        geo: &Geometry,
        tx: &mut X,
        run: BitRun,
        note: impl FnOnce() -> Result,
    ) -> Result<(), Trouble> {
        let mut desc = self.desc;
        if desc.has(flags::BLOCK_UNINIT) {
            let what = "freeing a block of a group that was never used, at bit";
            return Err(Problem::new(what, run.start.into()).into());
        }
        let descriptor = self.prepare_descriptor(geo, tx)?;
        let bitmap = self.read_block_bitmap(geo, tx)?;
        let free = bits::next(bitmap.bytes(), run.range(), false);
        if free != run.range().end {
            let what = "freeing a block that is free, at bit";
            return Err(Problem::new(what, free.into()).into());
        }
        tx.prepare(&bitmap)?;
        desc.free_blocks = desc.free_blocks.saturating_add(run.len);
        note()?;

        let touched = byte_range(run);
        let base = touched.start;
        tx.update(&bitmap, touched, |bytes| fill_part(bytes, base, run, false))?;
        desc.set_block_bitmap_csum(geo, bitmap.bytes());
        self.write_descriptor(geo, tx, &descriptor, desc)?;
        self.uncommitted = self.uncommitted.saturating_add(run.len);
        Ok(())
    }

    /// The transaction that freed `run` has committed: it can be handed out.
    pub(super) fn release(&mut self, run: BitRun) {
        bits::fill(&mut self.bits, run.range(), false);
        self.uncommitted = self.uncommitted.saturating_sub(run.len);
    }

    /// Takes the first run of at least `min` free blocks in `within` out of what can be allocated,
    /// until [`release`](Self::release).
    pub(super) fn hold(&mut self, within: Range<u32>, min: u32) -> Option<BitRun> {
        let mut at = within.start;
        while at < within.end {
            let start = bits::next(&self.bits, at..within.end, false);
            let run = bits::clear_run_at(&self.bits, start..within.end);
            if run.len >= min.max(1) {
                bits::fill(&mut self.bits, run.range(), true);
                self.uncommitted = self.uncommitted.saturating_add(run.len);
                return Some(run);
            }
            at = run.range().end.max(at.saturating_add(1));
        }
        None
    }

    /// The group's descriptor block, with journal access.
    pub(super) fn prepare_descriptor<X: Transaction>(
        &self,
        geo: &Geometry,
        tx: &mut X,
    ) -> Result<X::Block, Trouble> {
        let (at, _) = geo.desc_location(self.number).ok_or(EFSCORRUPTED)?;
        let block = tx.read(at)?;
        tx.prepare(&block)?;
        Ok(block)
    }

    /// Makes `desc` the group's descriptor, in the transaction and here.
    pub(super) fn write_descriptor<X: Transaction>(
        &mut self,
        geo: &Geometry,
        tx: &mut X,
        block: &X::Block,
        desc: GroupDesc,
    ) -> Result<(), Trouble> {
        let (_, bytes) = geo.desc_location(self.number).ok_or(EFSCORRUPTED)?;
        let number = self.number;
        let written = tx.update(block, bytes, |bytes| desc.encode(geo, number, bytes))?;
        written.ok_or(EFSCORRUPTED)?;
        self.desc = desc;
        Ok(())
    }
}

/// Reads a bitmap; a device error is the group's trouble, not the file system's.
fn read<S: Store>(store: &S, at: PhysicalBlock, what: &'static str) -> Result<S::Block, Trouble> {
    store.read(at).map_err(|error| {
        if error == EIO {
            Trouble::Found(Problem::unreadable(what, at.0))
        } else {
            Trouble::Failed(error)
        }
    })
}

fn bit_count(map: &[u8]) -> u32 {
    u32::try_from(map.len().saturating_mul(8)).unwrap_or(u32::MAX)
}

/// The bytes of a bitmap that hold `run`.
pub(super) fn byte_range(run: BitRun) -> Range<usize> {
    let range = run.range();
    (range.start / 8) as usize..range.end.div_ceil(8) as usize
}

/// Fills `run` of a bitmap of which `bytes` is the part from byte `base`.
pub(super) fn fill_part(bytes: &mut [u8], base: usize, run: BitRun, set: bool) {
    let skipped = u32::try_from(base.saturating_mul(8)).unwrap_or(u32::MAX);
    let range = run.range();
    bits::fill(
        bytes,
        range.start.saturating_sub(skipped)..range.end.saturating_sub(skipped),
        set,
    );
}
