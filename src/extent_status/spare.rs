// SPDX-License-Identifier: GPL-2.0

//! Memory that is got before the ES lock is taken, and given back after it.

use super::extent::Extent;
use super::leaves::Leaf;
use kernel::prelude::*;

/// What a change of the tree lacks, in entries of room. Nothing was changed.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Room of the leaf that it takes; 0: none.
    pub(super) leaf: usize,
    /// Room of the new directory that it takes; 0: none.
    pub(super) directory: usize,
}

impl Need {
    /// Whether nothing is lacking.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Empty buffers for a change of the tree.
///
/// A change takes at most one leaf and one directory from it, and leaves the buffers there that
/// it replaced; all that is in it is freed when it is dropped, outside the lock.
#[derive(Default)]
pub struct Spare {
    leaf: KVec<Extent>,
    directory: KVVec<Leaf>,
}

impl Spare {
    /// Holds nothing; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gets what `need` names and is not here yet. Not to be called under the ES lock.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn fill(&mut self, need: Need) -> Result {
        if self.leaf.capacity() < need.leaf {
            self.leaf = KVec::with_capacity(need.leaf, GFP_KERNEL)?;
        }
        if self.directory.capacity() < need.directory {
            self.directory = KVVec::with_capacity(need.directory, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Whether `need` is here.
    pub(super) fn covers(&self, need: Need) -> bool {
        self.leaf.capacity() >= need.leaf && self.directory.capacity() >= need.directory
    }

    /// An empty leaf buffer, as large as [`Need`] asked for.
    pub(super) fn take_leaf(&mut self) -> KVec<Extent> {
        let mut leaf = core::mem::take(&mut self.leaf);
        leaf.clear();
        leaf
    }

    /// An empty directory.
    pub(super) fn take_directory(&mut self) -> KVVec<Leaf> {
        let mut directory = core::mem::take(&mut self.directory);
        directory.clear();
        directory
    }

    /// Keeps a buffer that the tree no longer uses until the lock is dropped.
    pub(super) fn keep_leaf(&mut self, leaf: KVec<Extent>) {
        self.leaf = leaf;
    }

    /// As [`Spare::keep_leaf`]; the leaves in it were moved out.
    pub(super) fn keep_directory(&mut self, directory: KVVec<Leaf>) {
        self.directory = directory;
    }
}
