// SPDX-License-Identifier: GPL-2.0

//! Ending a file system while it is mounted (`FS_IOC_SHUTDOWN`, or its device has gone): as a crash
//! does, but for this file system alone. From then on nothing reaches the disk, and calls fail with `EIO`.

use crate::kern::super_block::SuperBlock;
use crate::{fs_warn, Ext4};
use kernel::prelude::*;

/// What becomes of changes that are not on disk yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log {
    /// Data and metadata are written, as for a snapshot of the device.
    Emptied,
    /// Metadata is committed to the journal.
    Committed,
    /// All of it is lost.
    Left,
}

/// Shuts `sb` down. No handle is open.
///
/// # Errors
///
/// Those of freezing the device, for [`Log::Emptied`]; it goes on then.
pub(crate) fn shut_down(sb: &SuperBlock<Ext4>, log: Log) -> Result {
    let info = sb.info();
    if info.health.is_shut_down() {
        return Ok(());
    }
    fs_warn!(sb, "shut down ({:?})", log);
    if let Log::Emptied = log {
        return sb.with_frozen_device(|| info.health.shut_down());
    }
    let journal = info.journal();
    if let (Log::Committed, Some(journal)) = (log, journal) {
        // What cannot be committed is lost, as without asking.
        let _ = journal.force_commit();
    }
    info.health.shut_down();
    if let Some(journal) = journal.filter(|journal| !journal.is_aborted()) {
        journal.abort(ESHUTDOWN);
    }
    Ok(())
}
