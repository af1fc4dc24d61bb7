// SPDX-License-Identifier: GPL-2.0

//! Changing the options of a mounted file system, and between read-only and read-write.

use super::health::fatal;
use super::info::SuperInfo;
use super::mount::{mark_recovered, set_up_writing, take_over_errno};
use super::options::Request;
use super::write_out;
use crate::format::superblock::state;
use crate::kern::super_block::SuperBlock;
use crate::{fs_err, fs_info, here, Ext4};
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

/// Remounts; the VFS holds `s_umount` for writing, and has seen to it that nobody has a file open for
/// writing where `read_only` is asked for.
///
/// # Errors
///
/// `EROFS` where the file system has stopped, `EINVAL` where it cannot be written; options and mode are
/// as before then.
pub(super) fn reconfigure(sb: &SuperBlock<Ext4>, request: &Request, read_only: bool) -> Result {
    let info = sb.info();
    let before = info.options();
    let after = request.apply(before);
    if after.noload != before.noload || after.superblock_at != before.superblock_at {
        fs_err!(sb, "noload and sb= cannot change in a remount");
        return Err(EINVAL);
    }
    if let Some(option) = after.unsupported() {
        if !read_only || before.unsupported().is_none() {
            fs_err!(sb, "not supported: {}", option);
            return Err(EINVAL);
        }
    }
    info.set_options(after);
    if let Some(journal) = info.journal() {
        journal.set_params(SuperInfo::journal_params(&after));
    }
    info.deferred.flush();
    let changed = match (sb.is_read_only(), read_only) {
        (false, true) => to_read_only(sb),
        (true, false) => to_read_write(sb),
        _ => Ok(()),
    };
    if let Err(error) = changed {
        info.set_options(before);
        if let Some(journal) = info.journal() {
            journal.set_params(SuperInfo::journal_params(&before));
        }
        return Err(error);
    }
    if request.abort {
        fatal(sb, here!(), ESHUTDOWN, "stopped by the user");
    }
    fs_info!(sb, "re-mounted {}", if read_only { "ro" } else { "r/w" });
    Ok(())
}

fn to_read_only(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    if info.health.is_stopped() {
        // Nothing can be written any more; let the VFS know, too.
        return Ok(());
    }
    sb.sync_filesystem()?;
    sb.set_read_only(true);
    let state = info.health.state();
    write_out::commit_with(info, true, |raw| raw.state.set(state))
        .inspect_err(|_| sb.set_read_only(false))?;
    info.in_use.store(false, Relaxed);
    // Where this fails the next mount recovers the journal.
    if let Err(error) = mark_recovered(sb) {
        fs_err!(sb, "cannot empty the journal ({:?})", error);
    }
    Ok(())
}

fn to_read_write(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    info.check_writable()?;
    if let Err(problem) = info.geometry.features.check_write() {
        fs_err!(sb, "stays read-only: {}", format_args!("{problem}"));
        return Err(EROFS);
    }
    let Some(journal) = info.journal() else {
        fs_err!(sb, "stays read-only: it was mounted without its journal");
        return Err(EROFS);
    };
    let (orphans, on_disk) =
        info.with_superblock(|raw| (raw.last_orphan.get() != 0, raw.state.get()))?;
    if orphans || !info.orphan_file_is_empty() {
        fs_err!(
            sb,
            "stays read-only: it has orphans; unmount and mount it again"
        );
        return Err(EINVAL);
    }
    // What e2fsck has repaired meanwhile must not be written over.
    info.groups()?.reload()?;
    take_over_errno(sb, journal)?;
    info.health
        .set_state((on_disk | info.health.state() & state::ERROR) & !state::FAST_COMMIT_REPLAY);
    set_up_writing(sb)?;
    sb.set_read_only(false);
    Ok(())
}
