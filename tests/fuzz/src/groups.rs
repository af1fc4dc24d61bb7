// SPDX-License-Identifier: GPL-2.0

//! Block groups: descriptors and bitmaps that are damaged, allocated from and freed to.

use super::flat::plain;
use super::input::Input;
use super::memory::{Block, Memory};
use kernel::prelude::*;
use rooms::alloc::{
    allocate_blocks, allocate_inode, block_goal, free_blocks, free_inode, release_committed,
    unallocate_blocks, Claimant, Counters, GroupState, GroupTable, Numbered, Placement, Request,
    Run, Space, Summary, SystemZone, ZoneBuilder,
};
use rooms::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rooms::format::{Geometry, GroupDesc, Problem};
use rooms::store::{MetaBlock, Store, Transaction};
use std::cell::RefCell;
use std::ops::Range;

/// Groups of a file system of 64 MiB with groups of 2,048 blocks. Its metadata is laid out here,
/// one kind after the other in the first group.
struct Table {
    geo: Geometry,
    counters: Counters,
    zone: SystemZone,
    groups: Vec<(RefCell<GroupState>, Summary)>,
    freed: RefCell<Vec<Run>>,
}

struct Journal(Memory);

impl Store for Journal {
    type Block = Block;
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read(&self, at: PhysicalBlock) -> Result<Block> {
        self.0.read(at)
    }
}

impl Transaction for Journal {
    fn prepare(&mut self, block: &Block) -> Result {
        self.0.prepare(block)
    }
    fn update<R>(
        &mut self,
        block: &Block,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.0.update(block, range, edit)
    }
    fn create(&mut self, at: PhysicalBlock) -> Result<Block> {
        self.0.create(at)
    }
    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.0.forget(at)
    }
    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.0.ensure_credits(blocks)
    }
}

impl Numbered for Journal {
    fn number(&self) -> u32 {
        1
    }
}

impl GroupTable for Table {
    fn geometry(&self) -> &Geometry {
        &self.geo
    }
    fn counters(&self) -> &Counters {
        &self.counters
    }
    fn zone(&self) -> &SystemZone {
        &self.zone
    }
    fn summary(&self, group: GroupNumber) -> Option<&Summary> {
        self.groups.get(group.0 as usize).map(|(_, s)| s)
    }
    fn with_group<R>(
        &self,
        group: GroupNumber,
        f: impl FnOnce(&mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let (state, _) = self.groups.get(group.0 as usize).ok_or(EFSCORRUPTED)?;
        f(&mut state.borrow_mut())
    }
    fn note_freed(&self, _transaction: u32, run: Run) -> Result {
        self.freed.borrow_mut().push(run);
        Ok(())
    }
    fn report(&self, _group: GroupNumber, _problem: Problem) {}
}

/// Descriptors and bitmaps of mke2fs, from its image of 64 MiB.
const DESCRIPTORS: &[u8] = include_bytes!("../descriptors");

/// The good file system's blocks: descriptors; bitmaps of empty groups but for their metadata.
fn good() -> Journal {
    let geo = plain();
    let memory = Memory::new(4096);
    let mut block = DESCRIPTORS.to_vec();
    block.resize(4096, 0);
    let descs = |block: &[u8]| -> Vec<GroupDesc> {
        (0..geo.groups)
            .map(GroupNumber)
            .filter_map(|n| {
                let (_, range) = geo.desc_location(n)?;
                GroupDesc::parse(geo, n, block.get(range)?).ok()
            })
            .collect()
    };
    let all = descs(&block);
    assert_eq!(all.len(), geo.groups as usize);
    for desc in &all {
        let mut bits = vec![0; 4096];
        bits[..40].fill(0xFF);
        memory.put(desc.block_bitmap.0, bits.clone());
        bits[..40].fill(0);
        bits[..2].fill(0xFF);
        memory.put(desc.inode_bitmap.0, bits);
    }
    let (at, _) = geo.desc_location(GroupNumber(0)).unwrap();
    memory.put(at.0, block);
    Journal(memory)
}

impl Table {
    /// As a mount does; `None` where it would refuse.
    fn load(journal: &Journal) -> Option<Self> {
        let geo = plain().clone();
        let mut descs = Vec::new();
        for group in (0..geo.groups).map(GroupNumber) {
            let (at, range) = geo.desc_location(group)?;
            let block = journal.0.get(at.0);
            descs.push(GroupDesc::parse(&geo, group, block.bytes().get(range)?).ok()?);
        }
        let zone = ZoneBuilder::of_groups(&geo, |n| descs.get(n.0 as usize).copied());
        let sum = |f: fn(&GroupDesc) -> u32| descs.iter().map(f).fold(0, u32::saturating_add);
        let counters = Counters::new(
            geo.blocks,
            sum(|d| d.free_blocks).into(),
            0,
            sum(|d| d.free_inodes),
            sum(|d| d.used_dirs),
        );
        let groups = descs.iter().enumerate().map(|(n, desc)| {
            let state = GroupState::new(GroupNumber(n as u32), *desc);
            let summary = Summary::new(&state);
            (RefCell::new(state), summary)
        });
        Some(Self {
            counters,
            zone: zone.ok()?.finish().ok()?,
            groups: groups.collect(),
            freed: RefCell::default(),
            geo,
        })
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut journal = good();
    for _ in 0..input.byte() % 5 {
        let nth = usize::from(input.byte());
        journal.0.damage(nth, |bytes| input.damage(bytes));
    }
    let Some(table) = Table::load(&journal) else {
        return;
    };
    let mut steps = 0;
    while !input.is_empty() && steps < 64 {
        steps += 1;
        journal.0.begin();
        let kind = input.byte();
        let run = |input: &mut Input<'_>| Run {
            start: PhysicalBlock(u64::from(input.u16())),
            len: u32::from(input.u16() % 5000),
        };
        match kind % 8 {
            0 => {
                let nth = usize::from(input.byte());
                journal.0.damage(nth, |bytes| input.damage(bytes));
            }
            1 | 2 => {
                let ino = InodeNumber(u32::from(input.byte()) + 1);
                let want = u32::from(input.u16());
                let request = Request {
                    goal: block_goal(&table.geo, ino, kind > 127, want),
                    contiguous: kind > 63,
                    want,
                    min: u32::from(input.byte()),
                    space: Space::Now(Claimant::User),
                };
                if let Ok(run) = allocate_blocks(&table, &mut journal, request) {
                    // what is given out is no metadata, whatever the bitmap says
                    assert!(run.len > 0 && table.may_hold_data(run), "{run:?}");
                }
            }
            3 => drop(free_blocks(&table, &mut journal, run(&mut input))),
            4 => drop(unallocate_blocks(&table, &mut journal, run(&mut input))),
            5 => {
                let freed = std::mem::take(&mut *table.freed.borrow_mut());
                for run in freed {
                    let _ = release_committed(&table, run);
                }
            }
            6 => {
                let parent = GroupNumber(u32::from(input.byte()) % table.geo.groups);
                let placement = match kind / 8 % 3 {
                    0 => Placement::File,
                    1 => Placement::Directory,
                    _ => Placement::TopDirectory {
                        spread: input.u32(),
                    },
                };
                if let Ok(new) = allocate_inode(&table, &mut journal, parent, placement) {
                    assert!(table.geo.contains_inode(new.ino) && new.ino >= table.geo.first_inode);
                }
            }
            _ => {
                let ino = InodeNumber(u32::from(input.u16()));
                let _ = free_inode(&table, &mut journal, ino, kind > 127);
            }
        }
        let _ = table.counters.report();
    }
}
