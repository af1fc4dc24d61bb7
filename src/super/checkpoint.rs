// SPDX-License-Identifier: GPL-2.0

//! Emptying the journal of a mounted file system (`EXT4_IOC_CHECKPOINT`), so that nothing of what
//! was deleted stays behind in it.
//!
//! Format of the request: `include/uapi/linux/ext4.h`.

use crate::kern::jbd2::Erase;
use crate::kern::super_block::SuperBlock;
use crate::Ext4;
use kernel::prelude::*;

const DISCARD: u32 = 1;
const ZERO: u32 = 2;
const DRY_RUN: u32 = 4;

/// Does what the bits of `flags` ask for. No handle is open.
///
/// # Errors
///
/// `EINVAL` for bits that are unknown or contradict each other, `ENODEV` without a journal,
/// `EOPNOTSUPP` where the device cannot discard; `EIO`.
pub(crate) fn checkpoint(sb: &SuperBlock<Ext4>, flags: u32) -> Result {
    let erase = match flags & !DRY_RUN {
        0 => None,
        DISCARD => Some(Erase::Discard),
        ZERO => Some(Erase::Zero),
        _ => return Err(EINVAL),
    };
    let info = sb.info();
    let journal = info.journal().ok_or(ENODEV)?;
    if erase == Some(Erase::Discard) && !info.device.can_discard() {
        return Err(EOPNOTSUPP);
    }
    if flags & DRY_RUN != 0 {
        return Ok(());
    }
    journal.lock_updates();
    let emptied = match erase {
        None => journal.flush(),
        Some(erase) => journal.flush_and_erase(erase),
    };
    journal.unlock_updates();
    emptied
}
