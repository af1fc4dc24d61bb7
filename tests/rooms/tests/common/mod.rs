// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks and a transaction in memory, for the host tests of the pure rooms.
//!
//! [`MemStore`] holds to the contract of `store.rs` strictly: an update of a block without
//! journal write access, an access to a block that does not exist or was forgotten, and more
//! dirtied blocks than credits are failures of the test. [`MemStore::fail_after`] makes the n-th
//! fallible operation fail.

#![allow(dead_code, reason = "each test crate uses what it needs")]

pub mod tree;

use kernel::prelude::*;
use rooms::format::units::PhysicalBlock;
use rooms::store::{MetaBlock, Store, Transaction};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// The content of a block between two updates.
///
/// A handle on an older version finds the newest by following `next`: this is how a handle sees
/// updates made since it was taken, like a buffer head, without unsafe code.
struct Version {
    bytes: Vec<u8>,
    next: OnceCell<Rc<Version>>,
}

impl Version {
    fn new(bytes: Vec<u8>) -> Rc<Self> {
        let next = OnceCell::new();
        Rc::new(Self { bytes, next })
    }

    fn newest(&self) -> &Version {
        let mut version = self;
        while let Some(next) = version.next.get() {
            version = next;
        }
        version
    }
}

/// A block in memory.
#[derive(Clone)]
pub struct MemBlock {
    number: PhysicalBlock,
    version: Rc<Version>,
    verified: Rc<Cell<bool>>,
}

impl MetaBlock for MemBlock {
    fn number(&self) -> PhysicalBlock {
        self.number
    }

    fn bytes(&self) -> &[u8] {
        &self.version.newest().bytes
    }

    fn verified(&self) -> bool {
        self.verified.get()
    }

    fn set_verified(&self) {
        self.verified.set(true);
    }
}

/// Blocks by their number, and the running transaction.
pub struct MemStore {
    block_size: usize,
    blocks: RefCell<BTreeMap<PhysicalBlock, MemBlock>>,
    prepared: BTreeSet<PhysicalBlock>,
    credits: Option<u32>,
    countdown: Cell<Option<u64>>,
    failed: Cell<Option<&'static str>>,
    /// How often a block was changed.
    pub updates: usize,
}

/// A store of its own, with copies of all blocks.
impl Clone for MemStore {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.block_size);
        for (at, block) in self.blocks.borrow().iter() {
            let verified = copy.put(*at, block.bytes().to_vec()).verified;
            verified.set(block.verified());
        }
        copy.prepared = self.prepared.clone();
        copy.credits = self.credits;
        copy
    }
}

impl MemStore {
    /// No blocks, each of `block_size` bytes once there.
    pub fn new(block_size: usize) -> Self {
        Self {
            block_size,
            blocks: RefCell::default(),
            prepared: BTreeSet::new(),
            credits: None,
            countdown: Cell::new(None),
            failed: Cell::new(None),
            updates: 0,
        }
    }

    /// Puts `bytes` on the device at `at`: not verified, without write access.
    pub fn write(&mut self, at: PhysicalBlock, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.block_size);
        self.prepared.remove(&at);
        self.put(at, bytes.to_vec());
    }

    /// The bytes of the block at `at`.
    pub fn bytes(&self, at: PhysicalBlock) -> Vec<u8> {
        self.blocks.borrow()[&at].bytes().to_vec()
    }

    /// The numbers of all blocks.
    pub fn numbers(&self) -> BTreeSet<PhysicalBlock> {
        self.blocks.borrow().keys().copied().collect()
    }

    /// Everything written out and read again: no block is verified, none has write access, and
    /// a new transaction has `credits`, or as many as it likes.
    pub fn restart(&mut self, credits: Option<u32>) {
        self.prepared.clear();
        self.credits = credits;
        for block in self.blocks.get_mut().values_mut() {
            block.version = Version::new(block.bytes().to_vec());
            block.verified = Rc::default();
        }
    }

    /// Lets `successes` more fallible operations succeed, and fails the next one, once.
    pub fn fail_after(&self, successes: u64) {
        self.countdown.set(Some(successes));
        self.failed.set(None);
    }

    /// Switches failures off; which operation has failed, if one has.
    pub fn never_fail(&self) -> Option<&'static str> {
        self.countdown.set(None);
        self.failed.take()
    }

    /// To be called by whatever can fail, under the name `what`; an injected failure is `error`.
    pub fn fallible(&self, what: &'static str, error: Error) -> Result {
        match self.countdown.get() {
            None => return Ok(()),
            Some(0) => {}
            Some(n) => {
                self.countdown.set(Some(n - 1));
                return Ok(());
            }
        }
        self.countdown.set(None);
        self.failed.set(Some(what));
        Err(error)
    }

    fn put(&self, at: PhysicalBlock, bytes: Vec<u8>) -> MemBlock {
        let block = MemBlock {
            number: at,
            version: Version::new(bytes),
            verified: Rc::default(),
        };
        self.blocks.borrow_mut().insert(at, block.clone());
        block
    }

    fn access(&mut self, at: PhysicalBlock) {
        if self.prepared.insert(at) {
            if let Some(credits) = &mut self.credits {
                *credits = credits.checked_sub(1).expect("out of credits");
            }
        }
    }
}

impl Store for MemStore {
    type Block = MemBlock;

    fn block_size(&self) -> usize {
        self.block_size
    }

    fn read(&self, at: PhysicalBlock) -> Result<MemBlock> {
        self.fallible("read", EIO)?;
        // A block that nothing was ever written to reads as zeroes.
        if let Some(block) = self.blocks.borrow().get(&at) {
            return Ok(block.clone());
        }
        Ok(self.put(at, vec![0; self.block_size]))
    }
}

impl Transaction for MemStore {
    fn prepare(&mut self, block: &MemBlock) -> Result {
        self.fallible("prepare", ENOMEM)?;
        assert!(self.blocks.borrow().contains_key(&block.number));
        self.access(block.number);
        Ok(())
    }

    fn update<R>(
        &mut self,
        block: &MemBlock,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        // Fails by the contract only where write access is still to be had.
        if !self.prepared.contains(&block.number) {
            self.fallible("update", ENOMEM)?;
        }
        self.access(block.number);
        self.updates += 1;
        let mut blocks = self.blocks.borrow_mut();
        let slot = blocks.get_mut(&block.number).expect("update of no block");
        let mut bytes = slot.bytes().to_vec();
        let result = edit(bytes.get_mut(range).ok_or(EINVAL)?);
        let new = Version::new(bytes);
        assert!(slot.version.newest().next.set(new.clone()).is_ok());
        slot.version = new;
        Ok(result)
    }

    fn create(&mut self, at: PhysicalBlock) -> Result<MemBlock> {
        self.fallible("create", ENOMEM)?;
        self.access(at);
        Ok(self.put(at, vec![0; self.block_size]))
    }

    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.fallible("forget", EIO)?;
        self.prepared.remove(&at);
        self.blocks.get_mut().remove(&at);
        Ok(())
    }

    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.fallible("ensure_credits", EIO)?;
        Ok(self.credits.is_none_or(|credits| blocks <= credits))
    }
}
