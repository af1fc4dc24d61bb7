// SPDX-License-Identifier: GPL-2.0

//! An inode's extent tree beside a map of single blocks that says what should be in it.
//!
//! [`Tree::check`] walks the whole tree with code of its own: order, keys, depth, checksums, and
//! that the nodes and data in the tree are exactly those allocated.

use super::{MemBlock, MemStore};
use kernel::prelude::*;
use rooms::extents::*;
use rooms::format::extent::*;
use rooms::format::problem::Problem;
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use rooms::store::{Store, Transaction};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub const SEED: u32 = 0x1234_5678;
/// Where nodes are allocated; data is below.
pub const NODES: u64 = 1 << 32;
pub const DEVICE: u64 = 1 << 33;

/// An inode's transaction, with an allocator that knows what is whose.
#[derive(Clone)]
pub struct Space {
    pub store: MemStore,
    pub nodes: BTreeSet<u64>,
    /// How many nodes there may be.
    pub free_nodes: u64,
    /// Nodes are allocated from here on.
    pub nodes_from: u64,
    /// The inode's checksum seed.
    pub seed: Option<u32>,
    /// The tree is damaged, so that freeing what is free is the tree's fault and no one else's.
    pub damaged: bool,
    /// Data blocks in use.
    pub data: BTreeSet<u64>,
    pub reports: RefCell<Vec<(Option<PhysicalBlock>, Problem)>>,
}

impl Store for Space {
    type Block = MemBlock;
    fn block_size(&self) -> usize {
        self.store.block_size()
    }
    fn read(&self, at: PhysicalBlock) -> Result<MemBlock> {
        self.store.read(at)
    }
}

impl Transaction for Space {
    fn prepare(&mut self, block: &MemBlock) -> Result {
        self.store.prepare(block)
    }
    fn update<R>(
        &mut self,
        block: &MemBlock,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.store.update(block, range, edit)
    }
    fn create(&mut self, at: PhysicalBlock) -> Result<MemBlock> {
        self.store.create(at)
    }
    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.store.forget(at)
    }
    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.store.ensure_credits(blocks)
    }
}

impl TreeView for Space {
    fn seed(&self) -> Option<u32> {
        self.seed
    }
    fn valid_run(&self, start: PhysicalBlock, blocks: u32) -> bool {
        start.0 > 0 && start.0 + u64::from(blocks) <= DEVICE
    }
    fn report(&self, node: Option<PhysicalBlock>, problem: Problem) {
        self.reports.borrow_mut().push((node, problem));
    }
}

impl TreeSpace for Space {
    fn allocate_node(&mut self, _near: Option<PhysicalBlock>) -> Result<PhysicalBlock> {
        self.store.fallible("allocate_node", ENOSPC)?;
        if self.nodes.len() as u64 == self.free_nodes {
            return Err(ENOSPC);
        }
        let at = (self.nodes_from..)
            .find(|at| !self.nodes.contains(at))
            .unwrap();
        self.nodes.insert(at);
        Ok(PhysicalBlock(at))
    }
    fn free_node(&mut self, at: PhysicalBlock) -> Result {
        self.store.fallible("free_node", EIO)?;
        if !self.nodes.remove(&at.0) {
            assert!(self.damaged, "node {at} freed twice");
            return Err(EFSCORRUPTED);
        }
        self.store.forget(at)
    }
    fn free_data(&mut self, start: PhysicalBlock, blocks: u32) -> Result {
        self.store.fallible("free_data", EIO)?;
        for at in start.0..start.0 + u64::from(blocks) {
            if !self.data.remove(&at) {
                assert!(self.damaged, "data {at} freed twice");
                return Err(EFSCORRUPTED);
            }
        }
        Ok(())
    }
    fn space_credits(&self, _blocks: u32) -> u32 {
        2
    }
}

/// A file: its tree, and a map of what should be in it.
#[derive(Clone)]
pub struct Tree {
    pub space: Space,
    pub root: Root,
    pub model: BTreeMap<u32, (u64, State)>,
}

impl Tree {
    pub fn new(block_size: usize) -> Self {
        let mut root = [0; 60];
        init_root(&mut root);
        Self {
            space: Space {
                store: MemStore::new(block_size),
                nodes: BTreeSet::new(),
                free_nodes: u64::MAX,
                nodes_from: NODES,
                seed: Some(SEED),
                damaged: false,
                data: BTreeSet::new(),
                reports: RefCell::default(),
            },
            root,
            model: BTreeMap::new(),
        }
    }

    pub fn depth(&self) -> u16 {
        depth(&self.space, &self.root).unwrap()
    }

    pub fn insert(&mut self, start: u32, len: u32, at: u64, state: State) -> Result {
        let extent = Extent::new(LogicalBlock(start), len, PhysicalBlock(at), state).unwrap();
        let before = self.depth();
        insert(&mut self.space, &mut self.root, extent)?;
        assert!(self.depth() <= before + 1);
        for i in 0..len {
            self.model.insert(start + i, (at + u64::from(i), state));
            assert!(self.space.data.insert(at + u64::from(i)));
        }
        Ok(())
    }

    pub fn remove(&mut self, range: Range<u32>) -> Result<Progress> {
        let blocks = LogicalBlock(range.start)..LogicalBlock(range.end);
        let progress = remove(&mut self.space, &mut self.root, blocks)?;
        let from = match progress {
            Progress::Done => range.start,
            Progress::More(to) => to.0,
        };
        self.model.retain(|b, _| !(from..range.end).contains(b));
        Ok(progress)
    }

    pub fn convert(&mut self, range: Range<u32>, to: State) -> Result<Progress> {
        let blocks = LogicalBlock(range.start)..LogicalBlock(range.end);
        let progress = convert(&mut self.space, &mut self.root, blocks, to)?;
        let end = match progress {
            Progress::Done => range.end,
            Progress::More(at) => at.0,
        };
        self.model_convert(range.start..end, to);
        Ok(progress)
    }

    /// Makes `range` a hole and moves what is behind it down into that.
    pub fn collapse(&mut self, range: Range<u32>) -> Result<Progress> {
        let by = range.len() as u32;
        assert_eq!(self.remove(range.clone())?, Progress::Done);
        let (space, root) = (&mut self.space, &mut self.root);
        let progress = shift_left(space, root, LogicalBlock(range.end), by)?;
        self.model = moved(&self.model, range.end, -(by as i32));
        Ok(progress)
    }

    /// Moves what is at the start of `range` and behind it up by its length.
    pub fn spread(&mut self, range: Range<u32>) -> Result<Progress> {
        let (from, by) = (LogicalBlock(range.start), range.len() as u32);
        let (space, root) = (&mut self.space, &mut self.root);
        assert!(make_way(space, root, from, by)?);
        let progress = shift_right(space, root, from..LOGICAL_END, by)?;
        self.model = moved(&self.model, range.start, by as i32);
        Ok(progress)
    }

    pub fn model_convert(&mut self, range: Range<u32>, to: State) {
        for (_, (_, state)) in self.model.range_mut(range) {
            *state = to;
        }
    }

    /// Every `step`th block mapped on its own, so that nothing merges.
    pub fn scatter(&mut self, blocks: Range<u32>, step: usize) {
        for start in blocks.step_by(step) {
            self.insert(start, 1, 1000 + 2 * u64::from(start), State::Written)
                .unwrap();
        }
    }

    /// The extents under a node, found with no code of the tree's.
    pub fn walk(
        &self,
        bytes: &[u8],
        depth: u16,
        first: Option<u32>,
        limit: u32,
        nodes: &mut BTreeSet<u64>,
        extents: &mut Vec<Extent>,
    ) {
        let node = Node::parse(bytes, depth).unwrap();
        let entries = node.entries();
        assert!(first.is_none() || !entries.is_empty(), "empty node");
        let keys: Vec<u32> = entries.iter().map(|e| e.key().0).collect();
        assert!(keys.is_sorted());
        if let Some(first) = first {
            assert_eq!(keys[0], first);
            check_checksum(bytes, &node, self.space.seed.unwrap()).unwrap();
            assert_eq!(node.max(), capacity(self.space.block_size()));
        }
        for (i, entry) in entries.iter().enumerate() {
            let end = keys.get(i + 1).copied().unwrap_or(limit);
            if depth == 0 {
                let extent = entry.extent().unwrap();
                assert!(extent.end().0 <= end, "overlap at {}", keys[i]);
                extents.push(extent);
                continue;
            }
            let child = entry.index().child;
            assert!(nodes.insert(child.0), "node {child} twice in the tree");
            let bytes = self.space.store.bytes(child);
            self.walk(&bytes, depth - 1, Some(keys[i]), end, nodes, extents);
        }
    }

    /// Checks everything about the tree, and gives its extents.
    pub fn check(&self) -> Vec<Extent> {
        let (extents, mapped) = self.check_whole();
        assert_eq!(mapped, self.model);
        extents
    }

    /// Checks that the tree is whole and owns just what is allocated, whatever it maps.
    pub fn check_whole(&self) -> (Vec<Extent>, BTreeMap<u32, (u64, State)>) {
        let mut nodes = BTreeSet::new();
        let mut extents = Vec::new();
        let root = &self.root;
        self.walk(root, self.depth(), None, u32::MAX, &mut nodes, &mut extents);
        assert_eq!(nodes, self.space.nodes, "nodes in the tree and allocated");
        let mut mapped = BTreeMap::new();
        for e in &extents {
            for i in 0..e.len() {
                mapped.insert(e.start().0 + i, (e.at().0 + u64::from(i), e.state()));
            }
        }
        let data: BTreeSet<u64> = mapped.values().map(|(at, _)| *at).collect();
        assert_eq!(data, self.space.data, "data in the tree and allocated");
        assert!(self.space.reports.borrow().is_empty());
        (extents, mapped)
    }

    /// Compares [`lookup`] of `blocks` with the model, holes with both their ends.
    pub fn check_lookups(&self, blocks: impl Iterator<Item = u32>) {
        for block in blocks {
            let found = lookup(&self.space, &self.root, LogicalBlock(block)).unwrap();
            match (found, self.model.get(&block)) {
                (Found::Mapped(extent), Some((at, state))) => {
                    let place = extent.place_of(LogicalBlock(block));
                    assert_eq!(place, Some(PhysicalBlock(*at)));
                    assert_eq!(extent.state(), *state);
                }
                (Found::Hole { start, len }, None) => {
                    let before = self.model.range(..block).next_back();
                    let next = self.model.range(block..).next();
                    assert_eq!(start.0, before.map_or(0, |(b, _)| b + 1));
                    assert_eq!(start.0 + len, next.map_or(u32::MAX, |(b, _)| *b));
                }
                (found, model) => panic!("{block}: found {found:?}, expected {model:?}"),
            }
        }
    }
}

/// `model` with everything from `from` on moved by `by`.
pub fn moved(
    model: &BTreeMap<u32, (u64, State)>,
    from: u32,
    by: i32,
) -> BTreeMap<u32, (u64, State)> {
    let shift = |b: u32| {
        if b >= from {
            b.checked_add_signed(by).unwrap()
        } else {
            b
        }
    };
    model.iter().map(|(b, what)| (shift(*b), *what)).collect()
}
