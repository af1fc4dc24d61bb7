// SPDX-License-Identifier: GPL-2.0

//! The extent tree: walks and edits of a damaged one.

use super::input::Input;
use super::memory::{Block, Memory};
use kernel::prelude::*;
use rooms::extents::*;
use rooms::format::extent::{Extent, State, LOGICAL_END};
use rooms::format::problem::Problem;
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use rooms::store::{Store, Transaction};
use std::ops::{ControlFlow, Range};

/// Small nodes (9 entries) make a deep tree of few blocks.
const NODE: usize = 128;
const DEVICE: u64 = 1 << 20;
/// Nodes are allocated from here on.
const NODES: u64 = 1 << 16;

struct Space {
    memory: Memory,
    next: u64,
}

impl Store for Space {
    type Block = Block;
    fn block_size(&self) -> usize {
        self.memory.block_size()
    }
    fn read(&self, at: PhysicalBlock) -> Result<Block> {
        self.memory.read(at)
    }
}

impl Transaction for Space {
    fn prepare(&mut self, block: &Block) -> Result {
        self.memory.prepare(block)
    }
    fn update<R>(
        &mut self,
        block: &Block,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.memory.update(block, range, edit)
    }
    fn create(&mut self, at: PhysicalBlock) -> Result<Block> {
        self.memory.create(at)
    }
    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.memory.forget(at)
    }
    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.memory.ensure_credits(blocks)
    }
}

impl TreeView for Space {
    fn seed(&self) -> Option<u32> {
        None
    }
    fn valid_run(&self, start: PhysicalBlock, blocks: u32) -> bool {
        start.0 > 0 && start.0.saturating_add(blocks.into()) <= DEVICE
    }
    fn report(&self, _node: Option<PhysicalBlock>, _problem: Problem) {}
}

impl TreeSpace for Space {
    fn allocate_node(&mut self, _near: Option<PhysicalBlock>) -> Result<PhysicalBlock> {
        if self.next >= DEVICE {
            return Err(ENOSPC);
        }
        self.next += 1;
        Ok(PhysicalBlock(self.next - 1))
    }
    fn free_node(&mut self, at: PhysicalBlock) -> Result {
        assert!(
            self.valid_run(at, 1),
            "a node outside of the device is freed"
        );
        self.memory.forget(at)
    }
    fn free_data(&mut self, start: PhysicalBlock, blocks: u32) -> Result {
        assert!(
            blocks > 0 && self.valid_run(start, blocks),
            "data outside of the device is freed"
        );
        Ok(())
    }
    fn space_credits(&self, _blocks: u32) -> u32 {
        2
    }
}

/// A good tree of depth 2 or 3.
fn tree() -> (Space, Root) {
    let mut root = [0; 60];
    init_root(&mut root);
    let mut space = Space {
        memory: Memory::new(NODE),
        next: NODES,
    };
    for n in 0..120u32 {
        let state = if n % 3 == 0 {
            State::Unwritten
        } else {
            State::Written
        };
        let at = PhysicalBlock(1000 + u64::from(n) * 10);
        let extent = Extent::new(LogicalBlock(n * 8), 4, at, state).unwrap();
        insert(&mut space, &mut root, extent).unwrap();
    }
    (space, root)
}

/// Everything that a walk meets is in order and on the device.
fn walk(space: &Space, root: &Root) {
    let mut end = 0;
    let _ = for_each_extent(space, root, LogicalBlock(0), |e: Extent| {
        assert!(e.start().0 >= end && e.len() > 0, "extents out of order");
        assert!(
            space.valid_run(e.at(), e.len()),
            "an extent outside of the device"
        );
        end = e.end().0;
        ControlFlow::Continue(())
    });
    let _ = depth(space, root);
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (mut space, mut root) = tree();
    if input.byte() % 2 == 1 {
        root = [0; 60];
        root.copy_from_slice(&input.filled(60));
    }
    let mut steps = 0;
    while !input.is_empty() && steps < 64 {
        steps += 1;
        space.memory.begin();
        let kind = input.byte();
        let blocks = |input: &mut Input<'_>| {
            let start = match input.byte() % 4 {
                0 => input.u32(),
                _ => u32::from(input.u16() % 1100),
            };
            let len = u32::from(input.u16());
            LogicalBlock(start)..LogicalBlock(start.saturating_add(len))
        };
        match kind % 12 {
            0 | 1 => {
                let nth = usize::from(input.byte());
                space.memory.damage(nth, |bytes| input.damage(bytes));
            }
            2 => input.damage(&mut root),
            3 => walk(&space, &root),
            4 => {
                let at = blocks(&mut input).start;
                if let Ok(Found::Hole { start, len }) = lookup(&space, &root, at) {
                    assert!(start <= at || at == LOGICAL_END || len == 0);
                }
                let _ = next_extent(&space, &root, at);
            }
            5 | 6 => {
                let range = blocks(&mut input);
                let state = if kind > 127 {
                    State::Written
                } else {
                    State::Unwritten
                };
                let at = PhysicalBlock(u64::from(input.u16()) + 1);
                let len = (range.end.0 - range.start.0).min(64);
                if let Some(extent) = Extent::new(range.start, len, at, state) {
                    let _ = insert(&mut space, &mut root, extent);
                }
            }
            7 => {
                let range = blocks(&mut input);
                let _ = remove(&mut space, &mut root, range);
            }
            8 => {
                let range = blocks(&mut input);
                let to = if kind > 127 {
                    State::Written
                } else {
                    State::Unwritten
                };
                let _ = convert(&mut space, &mut root, range, to);
            }
            9 => {
                let range = blocks(&mut input);
                let by = u32::from(input.u16());
                let _ = shift_left(&mut space, &mut root, range.start, by);
            }
            10 => {
                let range = blocks(&mut input);
                let by = u32::from(input.u16());
                let _ = make_way(&mut space, &mut root, range.start, by);
                // nothing may be mapped behind what moves
                let all = range.start..LOGICAL_END;
                let _ = shift_right(&mut space, &mut root, all, by);
            }
            _ => space.memory.credits = Some(u32::from(input.byte() % 32)),
        }
    }
    walk(&space, &root);
}
