// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks in memory, as forgiving as the kernel's: damaged trees free what they use and
//! write what they freed, and the code under test need not notice before the journal would.
//!
//! What a call may do is bounded instead: more reads than any good call makes are an endless loop.

use kernel::prelude::*;
use rooms::format::units::PhysicalBlock;
use rooms::store::{MetaBlock, Store, Transaction};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Reads and updates in one call; far more than any needs.
const MOST_STEPS: u32 = 100_000;

/// A block's content until the next update, which a handle on it finds by `next`.
struct Version {
    bytes: Vec<u8>,
    next: OnceCell<Rc<Version>>,
}

#[derive(Clone)]
pub struct Block {
    number: PhysicalBlock,
    version: Rc<Version>,
    verified: Rc<Cell<bool>>,
}

impl Block {
    fn newest(&self) -> &Version {
        let mut version = &*self.version;
        while let Some(next) = version.next.get() {
            version = next;
        }
        version
    }
}

impl MetaBlock for Block {
    fn number(&self) -> PhysicalBlock {
        self.number
    }
    fn bytes(&self) -> &[u8] {
        &self.newest().bytes
    }
    fn verified(&self) -> bool {
        self.verified.get()
    }
    fn set_verified(&self) {
        self.verified.set(true);
    }
}

pub struct Memory {
    size: usize,
    blocks: RefCell<BTreeMap<u64, Block>>,
    steps: Cell<u32>,
    /// How many more credits the running handle gets.
    pub credits: Option<u32>,
}

impl Memory {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            blocks: RefCell::default(),
            steps: Cell::new(0),
            credits: None,
        }
    }

    /// A call begins.
    pub fn begin(&self) {
        self.steps.set(0);
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        assert!(self.steps.get() < MOST_STEPS, "an endless loop");
    }

    /// Puts bytes on the device, unverified.
    pub fn put(&self, at: u64, bytes: Vec<u8>) -> Block {
        assert_eq!(bytes.len(), self.size);
        let block = Block {
            number: PhysicalBlock(at),
            version: Rc::new(Version {
                bytes,
                next: OnceCell::new(),
            }),
            verified: Rc::default(),
        };
        self.blocks.borrow_mut().insert(at, block.clone());
        block
    }

    pub fn get(&self, at: u64) -> Block {
        let known = self.blocks.borrow().get(&at).cloned();
        known.unwrap_or_else(|| self.put(at, vec![0; self.size]))
    }

    /// Changes the `nth` block that is there on the device.
    pub fn damage(&self, nth: usize, edit: impl FnOnce(&mut [u8])) {
        let at = {
            let blocks = self.blocks.borrow();
            blocks.keys().nth(nth % blocks.len().max(1)).copied()
        };
        if let Some(at) = at {
            let mut bytes = self.get(at).bytes().to_vec();
            edit(&mut bytes);
            self.put(at, bytes);
        }
    }
}

impl Store for Memory {
    type Block = Block;

    fn block_size(&self) -> usize {
        self.size
    }

    fn read(&self, at: PhysicalBlock) -> Result<Block> {
        self.step();
        Ok(self.get(at.0))
    }
}

impl Transaction for Memory {
    fn prepare(&mut self, _block: &Block) -> Result {
        self.step();
        Ok(())
    }

    fn update<R>(
        &mut self,
        block: &Block,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.step();
        let old = block.newest();
        let mut bytes = old.bytes.clone();
        let result = edit(bytes.get_mut(range).ok_or(EINVAL)?);
        let new = Rc::new(Version {
            bytes,
            next: OnceCell::new(),
        });
        assert!(old.next.set(new.clone()).is_ok());
        if let Some(slot) = self.blocks.get_mut().get_mut(&block.number.0) {
            // a handle on a block that was forgotten and made anew is of no account
            if Rc::ptr_eq(&slot.verified, &block.verified) {
                slot.version = new;
            }
        }
        Ok(result)
    }

    fn create(&mut self, at: PhysicalBlock) -> Result<Block> {
        self.step();
        Ok(self.put(at.0, vec![0; self.size]))
    }

    fn forget(&mut self, at: PhysicalBlock) -> Result {
        self.step();
        self.blocks.get_mut().remove(&at.0);
        Ok(())
    }

    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.step();
        Ok(self.credits.is_none_or(|credits| blocks <= credits))
    }
}
