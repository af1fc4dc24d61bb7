// SPDX-License-Identifier: GPL-2.0

//! Changes of the blocks that a file has already: moving its tail, and making written blocks
//! unwritten again.

use super::env::{MapperEnv, Operation};
use super::remove::drop_status;
use crate::extent_status::END_OF_FILE_SPACE;
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// A move of all blocks behind a place, as far as it is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Those from `from` on go down by `by` blocks, into a hole that ends there.
    Down {
        /// The first block that has not been moved.
        from: LogicalBlock,
        /// How far.
        by: u32,
    },
    /// Those from `from` on go up by `by` blocks, which leaves a hole of that length.
    Up {
        /// The first block.
        from: LogicalBlock,
        /// One past the last block that has not been moved.
        end: LogicalBlock,
        /// How far.
        by: u32,
    },
}

impl Shift {
    /// The first block that the move changes.
    fn first(&self) -> LogicalBlock {
        match *self {
            Self::Down { from, by } => LogicalBlock(from.0.saturating_sub(by)),
            Self::Up { from, .. } => from,
        }
    }
}

/// Makes ready for a [`Shift::Up`]: afterwards nothing but device and journal can stop it.
/// Conditions as for [`shift_blocks`].
///
/// # Errors
///
/// `ENOSPC` where an extent has to be split, `EFBIG` where the last block would pass the end of
/// the file space, those of tree and journal; nothing has changed then.
pub fn make_way<E: MapperEnv>(
    env: &E,
    from: LogicalBlock,
    by: u32,
    handle: &mut E::Handle,
) -> Result {
    loop {
        let mut data = env.lock_write();
        let ready = env.tree_make_way(&mut data, handle, from, by)?;
        drop(data);
        if ready {
            return Ok(());
        }
        env.renew_handle(handle, Operation::Move)?;
    }
}

/// Moves blocks as `shift` says; in the handle's transaction if it has room for that. So what the
/// caller does before or after it under the same handle mostly comes to the disk together with
/// the move; where it takes several transactions, a crash in the middle finds a part moved.
///
/// The caller has seen to it that no folio over the blocks is left in the page cache and none can
/// be made (invalidate_lock), and that writeback and completion have been drained. The handle has
/// been started for [`Operation::Move`].
///
/// # Errors
///
/// Those of tree and journal, with a part of the blocks moved.
pub fn shift_blocks<E: MapperEnv>(env: &E, shift: Shift, handle: &mut E::Handle) -> Result {
    let touched = shift.first()..END_OF_FILE_SPACE;
    let mut left = shift;
    loop {
        let mut data = env.lock_write();
        // Each time: while the lock was dropped, somebody may have cached what was to move still.
        drop_status(env, &touched)?;
        let rest = env.tree_shift(&mut data, handle, left)?;
        drop(data);
        let Some(rest) = rest else { return Ok(()) };
        left = rest;
        env.renew_handle(handle, Operation::Move)?;
    }
}

/// Makes the written blocks of `range` unwritten, so that they read as zeros; others stay what they
/// are. Conditions as for [`shift_blocks`].
///
/// # Errors
///
/// Those of tree and journal, `ENOSPC` where an extent has to be split; part of it may be done.
pub fn unwrite_blocks<E: MapperEnv>(
    env: &E,
    range: Range<LogicalBlock>,
    handle: &mut E::Handle,
) -> Result {
    let mut left = range.clone();
    while !left.is_empty() {
        let mut data = env.lock_write();
        let done = env.tree_unwrite(&mut data, handle, left.clone());
        // What is delayed stays so; the rest the on-disk tree knows, also after an error half-way.
        env.with_status(|tree| tree.forget(&range));
        drop(data);
        left.start = done?;
        if !left.is_empty() {
            env.renew_handle(handle, Operation::Remove)?;
        }
    }
    Ok(())
}
