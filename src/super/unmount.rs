// SPDX-License-Identifier: GPL-2.0

//! The end of a mounted file system, or of a mount that failed half-way.

use super::info::SuperInfo;
use super::write_out;
use crate::alloc::GroupTable;
use crate::kern::log::{log, Level};
use crate::kern::panic::debug_warn_on;
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

/// Closes the journal and marks the superblock clean. The last inode is gone, and data and metadata
/// have been written.
pub(super) fn close(mut info: Pin<&mut SuperInfo>, read_only: bool) {
    drop(core::mem::take(info.as_mut().project().published));
    check_counters(&info);
    let orphans_left = !info.orphan_file_is_empty();
    info.inodes.orphans.release();
    let mut clean = true;
    let aborted = info.journal().is_some_and(|journal| journal.is_aborted());
    if let Some(journal) = info.journal() {
        // With the journal empty, closing it cannot fail.
        clean = !aborted && journal.flush().is_ok();
    }
    drop(core::mem::take(info.as_mut().project().journal));
    if !clean && !aborted {
        say(
            &info,
            Level::Error,
            "cannot empty the journal: the next mount recovers it",
        );
    }
    if read_only || !info.in_use.load(Relaxed) || info.health.is_stopped() {
        return;
    }
    let state = info.health.state();
    let written = write_out::commit_with(&info, false, |raw| {
        if clean {
            write_out::set_at_rest(raw, orphans_left);
            raw.state.set(state);
        }
    });
    if written.is_err() {
        say(&info, Level::Error, "cannot write the superblock");
    }
}

/// Every reservation belongs to an inode, and there is no inode any more.
fn check_counters(info: &SuperInfo) {
    let Ok(groups) = info.groups() else {
        return;
    };
    debug_warn_on(groups.counters().reserved() != 0);
    let (reserved, mismatches) = (groups.counters().reserved(), groups.counters().mismatches());
    if reserved != 0 || mismatches != 0 {
        log(
            Level::Error,
            &info.name,
            fmt!(
                "bug: {} blocks are still reserved at unmount, {} mismatches\n",
                reserved,
                mismatches
            ),
        );
    }
}

fn say(info: &SuperInfo, level: Level, what: &str) {
    log(level, &info.name, fmt!("{}\n", what));
}
