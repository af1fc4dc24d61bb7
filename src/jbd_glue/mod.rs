// SPDX-License-Identifier: GPL-2.0

//! Between the pure rooms and the journal: a running operation as [`store::Transaction`], and
//! how many credits each kind of operation asks for.
//!
//! Called by every room that changes metadata. Life of a handle: [`Operation::start`] with the
//! credits of the operation (see [`credits`]), before `i_data_sem` and with no folio lock taken
//! after it; any number of updates; [`Operation::stop`], or a drop where an error is on its way
//! out. Long operations ask [`ensure_credits`](Transaction::ensure_credits) before each step, and
//! [`Operation::restart`] at a consistent point when it says no.
//!
//! [`store::Transaction`]: crate::store::Transaction

pub(crate) mod credits;

use crate::format::units::PhysicalBlock;
use crate::kern::buffer::{Buffer, Device};
use crate::kern::jbd2::{CommitHook, Credits, Handle, Journal, Tid};
use crate::store::{Store, Transaction};
use core::ops::Range;
use kernel::prelude::*;

/// Reading metadata outside of any operation.
impl Store for Device {
    type Block = Buffer;

    fn block_size(&self) -> usize {
        Device::block_size(self)
    }

    fn read(&self, at: PhysicalBlock) -> Result<Buffer> {
        Device::read(self, at)
    }
}

/// A running operation: a jbd2 handle and the device whose blocks it changes.
pub(crate) struct Operation<'j> {
    handle: Handle<'j>,
    device: Device,
}

impl<'j> Operation<'j> {
    /// Starts an operation. May wait for a commit.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `ENOSPC` where it is too small, `ENOMEM`.
    pub(crate) fn start<H: CommitHook>(
        journal: &'j Journal<H>,
        device: Device,
        credits: Credits,
    ) -> Result<Self> {
        let handle = journal.start(credits)?;
        Ok(Self { handle, device })
    }

    /// The transaction that the operation runs in; moves on at a restart.
    pub(crate) fn tid(&self) -> Tid {
        self.handle.tid()
    }

    /// Makes [`stop`](Self::stop) wait until the operation is on disk.
    pub(crate) fn set_sync(&mut self) {
        self.handle.set_sync();
    }

    /// Goes on in a later transaction; what was done so far must be consistent, `i_data_sem` is
    /// not held, and what was read under it before is stale.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `ENOMEM`.
    pub(crate) fn restart(&mut self, credits: Credits) -> Result {
        self.handle.restart(credits)
    }

    /// Makes room for `credits` more: in the running transaction if it can be had there, which
    /// saves a commit, and else as [`restart`](Self::restart) does, with the same duties.
    ///
    /// # Errors
    ///
    /// As [`restart`](Self::restart).
    pub(crate) fn renew(&mut self, credits: Credits) -> Result {
        if self.extend_to(credits)? {
            return Ok(());
        }
        self.restart(credits)
    }

    /// Whether `credits` are left, or could be added.
    fn extend_to(&mut self, credits: Credits) -> Result<bool> {
        let blocks = credits.blocks.saturating_sub(self.handle.credits_left());
        let revokes = credits.revokes.saturating_sub(self.handle.revokes_left());
        if blocks == 0 && revokes == 0 {
            return Ok(true);
        }
        self.handle.extend(Credits { blocks, revokes })
    }

    /// Ends the operation.
    ///
    /// # Errors
    ///
    /// `EIO` where the journal has aborted.
    pub(crate) fn stop(self) -> Result {
        self.handle.stop()
    }
}

impl Store for Operation<'_> {
    type Block = Buffer;

    fn block_size(&self) -> usize {
        self.device.block_size()
    }

    fn read(&self, at: PhysicalBlock) -> Result<Buffer> {
        self.device.read(at)
    }
}

impl Transaction for Operation<'_> {
    fn prepare(&mut self, block: &Buffer) -> Result {
        self.handle.write_access(block)
    }

    fn update<R>(
        &mut self,
        block: &Buffer,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.handle.update(block, range, edit)
    }

    fn create(&mut self, at: PhysicalBlock) -> Result<Buffer> {
        self.handle.create(&self.device, at)
    }

    fn forget(&mut self, at: PhysicalBlock) -> Result {
        if self.handle.revokes_left() == 0
            && !self.handle.extend(Credits {
                blocks: 0,
                revokes: 1,
            })?
        {
            // Whoever frees metadata asks `ensure_credits` first, which covers the revokes.
            return Err(ENOSPC);
        }
        self.handle.revoke(&self.device, at)
    }

    fn ensure_credits(&mut self, blocks: u32) -> Result<bool> {
        self.extend_to(Credits {
            blocks,
            revokes: blocks,
        })
    }
}
