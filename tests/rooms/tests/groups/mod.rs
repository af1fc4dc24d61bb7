// SPDX-License-Identifier: GPL-2.0

//! A file system image made by mke2fs, its block groups, and a transaction over them in memory.

#![allow(dead_code)] // Each test file uses its part.

use kernel::prelude::*;
use rooms::alloc::{
    release_committed, Counters, GroupState, GroupTable, Numbered, Run, Summary, SystemZone,
    ZoneBuilder,
};
use rooms::format::units::{GroupNumber, PhysicalBlock};
use rooms::format::{Geometry, GroupDesc, Problem, RawSuperblock};
use rooms::store::{MetaBlock, Store, Transaction};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// A file in a directory of its own, removed with it.
pub struct Image {
    dir: PathBuf,
    pub path: PathBuf,
}

impl Drop for Image {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Image {
    /// `mke2fs` with `options` on a sparse file of `size` (as `mke2fs` writes sizes).
    pub fn make(name: &str, size: &str, options: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("rooms-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("image");
        let output = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096"])
            .args(options)
            .arg(&path)
            .arg(size)
            .output()
            .expect("mke2fs must be installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { dir, path }
    }

    /// What `e2fsck -fn` says; empty where it finds nothing.
    pub fn e2fsck(&self) -> String {
        let output = Command::new("e2fsck")
            .arg("-fn")
            .arg(&self.path)
            .output()
            .unwrap();
        if output.status.success() {
            return String::new();
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A cached block. Its bytes are replaced whole by each update, so that readers keep theirs; a
/// test is short enough to leak them.
struct Cached {
    number: u64,
    bytes: Cell<&'static [u8]>,
    verified: Cell<bool>,
}

#[derive(Clone)]
pub struct Block(Rc<Cached>);

impl MetaBlock for Block {
    fn number(&self) -> PhysicalBlock {
        PhysicalBlock(self.0.number)
    }
    fn bytes(&self) -> &[u8] {
        self.0.bytes.get()
    }
    fn verified(&self) -> bool {
        self.0.verified.get()
    }
    fn set_verified(&self) {
        self.0.verified.set(true);
    }
}

/// The image's blocks as the journal's running transaction has them.
pub struct Disk {
    file: File,
    cache: RefCell<BTreeMap<u64, Block>>,
    /// Blocks with write access; an update of any other is a mistake.
    prepared: RefCell<Vec<u64>>,
    dirty: RefCell<Vec<u64>>,
    transaction: u32,
    /// Created, but not dirtied: what such a block holds never reaches the disk.
    clean: RefCell<BTreeSet<u64>>,
    /// So many more operations succeed.
    pub countdown: Cell<Option<u64>>,
    /// A block that the device does not give.
    pub unreadable: Cell<Option<PhysicalBlock>>,
    aborted: Cell<bool>,
}

impl Disk {
    pub fn open(path: &Path) -> Self {
        Self {
            file: File::options().read(true).write(true).open(path).unwrap(),
            cache: RefCell::default(),
            prepared: RefCell::default(),
            dirty: RefCell::default(),
            transaction: 1,
            clean: RefCell::default(),
            countdown: Cell::new(None),
            unreadable: Cell::new(None),
            aborted: Cell::new(false),
        }
    }

    fn step(&self) -> Result {
        if self.aborted.get() {
            return Err(EROFS);
        }
        match self.countdown.get() {
            Some(0) => {
                self.countdown.set(None);
                Err(ENOMEM)
            }
            Some(n) => {
                self.countdown.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn insert(&self, number: u64, bytes: Vec<u8>) -> Block {
        let block = Block(Rc::new(Cached {
            number,
            bytes: Cell::new(Box::leak(bytes.into_boxed_slice())),
            verified: Cell::new(false),
        }));
        self.cache.borrow_mut().insert(number, block.clone());
        block
    }

    pub fn get(&self, number: u64) -> Block {
        if let Some(block) = self.cache.borrow().get(&number) {
            return block.clone();
        }
        let mut bytes = vec![0; 4096];
        self.file.read_exact_at(&mut bytes, number * 4096).unwrap();
        self.insert(number, bytes)
    }

    /// How many blocks the transaction has dirtied.
    pub fn dirtied(&self) -> usize {
        self.dirty.borrow().len()
    }

    /// Whether the journal has aborted.
    pub fn aborted(&self) -> bool {
        self.aborted.get()
    }

    /// Damages `bytes` of a block, as a bad device would.
    pub fn damage(&self, number: u64, edit: impl FnOnce(&mut [u8])) {
        let mut bytes = self.get(number).bytes().to_vec();
        edit(&mut bytes);
        self.insert(number, bytes);
    }

    /// Begins a new transaction; returns the number of the old one.
    pub fn commit(&mut self) -> u32 {
        self.prepared.borrow_mut().clear();
        self.dirty.borrow_mut().clear();
        self.transaction += 1;
        self.transaction - 1
    }

    /// Writes all blocks to the image.
    pub fn write_back(&self) {
        let clean = self.clean.borrow();
        for (number, block) in self.cache.borrow().iter() {
            assert!(
                !clean.contains(number),
                "block {number} was created but never dirtied"
            );
            self.file
                .write_all_at(block.bytes(), number * 4096)
                .unwrap();
        }
    }
}

impl Store for Disk {
    type Block = Block;
    fn block_size(&self) -> usize {
        4096
    }
    fn read(&self, at: PhysicalBlock) -> Result<Block> {
        self.step()?;
        if self.unreadable.get() == Some(at) {
            return Err(EIO);
        }
        Ok(self.get(at.0))
    }
}

impl Transaction for Disk {
    fn prepare(&mut self, block: &Block) -> Result {
        self.step()?;
        self.prepared.borrow_mut().push(block.0.number);
        Ok(())
    }

    fn update<R>(
        &mut self,
        block: &Block,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let number = block.0.number;
        assert!(
            self.prepared.borrow().contains(&number),
            "update before prepare"
        );
        if self.step().is_err() {
            // All is prepared, so this can only be the journal.
            self.aborted.set(true);
            return Err(EROFS);
        }
        let mut bytes = block.bytes().to_vec();
        let result = edit(bytes.get_mut(range).ok_or(EINVAL)?);
        block.0.bytes.set(Box::leak(bytes.into_boxed_slice()));
        self.clean.borrow_mut().remove(&number);
        let mut dirty = self.dirty.borrow_mut();
        if !dirty.contains(&number) {
            dirty.push(number);
        }
        Ok(result)
    }

    fn create(&mut self, at: PhysicalBlock) -> Result<Block> {
        self.step()?;
        self.prepared.borrow_mut().push(at.0);
        self.clean.borrow_mut().insert(at.0);
        Ok(self.insert(at.0, vec![0; 4096]))
    }

    fn forget(&mut self, _at: PhysicalBlock) -> Result {
        Ok(())
    }

    fn ensure_credits(&mut self, _blocks: u32) -> Result<bool> {
        Ok(true)
    }
}

impl Numbered for Disk {
    fn number(&self) -> u32 {
        self.transaction
    }
}

/// The groups of an image.
pub struct Groups {
    pub geo: Geometry,
    pub counters: Counters,
    zone: SystemZone,
    groups: Vec<(RefCell<GroupState>, Summary)>,
    pub reports: RefCell<Vec<(GroupNumber, Problem)>>,
    freed: RefCell<KVec<(u32, Run)>>,
    /// How many groups were locked.
    pub locks: Cell<u32>,
}

impl Groups {
    pub fn load(disk: &Disk) -> Self {
        let raw = disk.get(0).bytes()[1024..].to_vec();
        let raw = RawSuperblock::ref_from(&raw).unwrap();
        let geo = Geometry::parse(raw, disk.file.metadata().unwrap().len()).unwrap();
        let descs: Vec<_> = (0..geo.groups)
            .map(|n| read_desc(disk, &geo, GroupNumber(n)))
            .collect();
        let zone = ZoneBuilder::of_groups(&geo, |group| descs.get(group.0 as usize).copied());
        let sum = |f: fn(&GroupDesc) -> u32| descs.iter().map(f).sum::<u32>();
        let groups = descs.iter().enumerate().map(|(n, desc)| {
            let state = GroupState::new(GroupNumber(n as u32), *desc);
            let summary = Summary::new(&state);
            (RefCell::new(state), summary)
        });
        Self {
            counters: Counters::new(
                geo.blocks,
                sum(|d| d.free_blocks).into(),
                0,
                sum(|d| d.free_inodes),
                sum(|d| d.used_dirs),
            ),
            zone: zone.unwrap().finish().unwrap(),
            groups: groups.collect(),
            reports: RefCell::default(),
            freed: RefCell::default(),
            locks: Cell::new(0),
            geo,
        }
    }

    /// What [`Disk::commit`] calls for.
    pub fn committed(&self, transaction: u32) {
        let all = std::mem::take(&mut *self.freed.borrow_mut());
        for (number, run) in all.iter() {
            assert_eq!(*number, transaction);
            release_committed(self, *run).unwrap();
        }
    }
}

/// The descriptor of a group as it lies on disk; checksum and all are right.
pub fn read_desc(disk: &Disk, geo: &Geometry, group: GroupNumber) -> GroupDesc {
    let (at, range) = geo.desc_location(group).unwrap();
    GroupDesc::parse(geo, group, &disk.get(at.0).bytes()[range]).unwrap()
}

impl GroupTable for Groups {
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
        self.groups
            .get(group.0 as usize)
            .map(|(_, summary)| summary)
    }
    fn with_group<R>(
        &self,
        group: GroupNumber,
        f: impl FnOnce(&mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.locks.set(self.locks.get() + 1);
        let (state, _) = self.groups.get(group.0 as usize).ok_or(EFSCORRUPTED)?;
        f(&mut state.borrow_mut())
    }
    fn note_freed(&self, transaction: u32, run: Run) -> Result {
        Ok(self
            .freed
            .borrow_mut()
            .push((transaction, run), GFP_KERNEL)?)
    }
    fn report(&self, group: GroupNumber, problem: Problem) {
        self.reports.borrow_mut().push((group, problem));
    }
}
