// SPDX-License-Identifier: GPL-2.0

//! The on-disk superblock in memory.
//!
//! It is part of a block in the buffer cache. Most of its changes are journalled like those of any
//! block; at mount, unmount and after errors it is written directly, past the journal.

use super::buffer::{Buffer, Device};
use crate::format::units::PhysicalBlock;
use crate::store::{MetaBlock, Transaction};
use core::ops::Range;
use kernel::prelude::*;

/// The superblock's bytes. Who has it for itself (`&mut`) may change them: keep it in a lock, and
/// change the bytes in no other way.
pub(crate) struct SuperBuffer {
    block: Buffer,
    range: Range<usize>,
}

impl SuperBuffer {
    /// Reads the `len` bytes that begin `at` bytes into the device and lie in one block.
    ///
    /// # Errors
    ///
    /// `EIO`, or `EINVAL` where they cross a block's end.
    pub(crate) fn read(device: &Device, at: u64, len: usize) -> Result<Self> {
        let block_size = u64::try_from(device.block_size())?;
        let number = at.checked_div(block_size).ok_or(EINVAL)?;
        let start = usize::try_from(at.checked_rem(block_size).ok_or(EINVAL)?)?;
        let end = start.checked_add(len).ok_or(EINVAL)?;
        if end > device.block_size() {
            return Err(EINVAL);
        }
        Ok(Self {
            block: device.read(PhysicalBlock(number))?,
            range: start..end,
        })
    }

    /// The superblock's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.block.bytes().get(self.range.clone()).unwrap_or(&[])
    }

    /// Edits the bytes in a running transaction.
    ///
    /// # Errors
    ///
    /// As [`Transaction::update`].
    pub(crate) fn update<T: Transaction<Block = Buffer>, R>(
        &mut self,
        transaction: &mut T,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        transaction.update(&self.block, self.range.clone(), edit)
    }

    /// Edits the bytes and writes them at once, past the journal; with forced unit access where
    /// `barrier` is set.
    ///
    /// # Errors
    ///
    /// `EIO`.
    pub(crate) fn write_through(&mut self, barrier: bool, edit: impl FnOnce(&mut [u8])) -> Result {
        // SAFETY: `&mut self` owns the bytes by the rule of this type.
        unsafe { self.block.write_through(self.range.clone(), barrier, edit) }
    }
}
