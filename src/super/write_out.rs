// SPDX-License-Identifier: GPL-2.0

//! The superblock on its way to the disk: free counts, times, state and the record of errors.
//!
//! Two ways: [`commit`] writes it directly, where no journal runs or the journal is done for (mount,
//! unmount, remount, freeze, after a fatal error); [`through_journal`] logs it like any block.

use super::health::{start, Incident, Unrecorded};
use super::info::SuperInfo;
use crate::format::features::{compat, incompat, ro_compat};
use crate::format::superblock::{state, RawSuperblock};
use crate::fs_warn;
use crate::kern::jbd2::Credits;
use crate::kern::super_block::SuperBlock;
use crate::kern::time::real_seconds;
use crate::Ext4;
use kernel::prelude::*;
use zerocopy::little_endian::{U32, U64};

/// Writes the superblock out, past the journal.
///
/// # Errors
///
/// `EIO`.
pub(super) fn commit(info: &SuperInfo, read_only: bool) -> Result {
    commit_with(info, read_only, |_| {})
}

/// As [`commit`], with a change of the caller's.
pub(super) fn commit_with(
    info: &SuperInfo,
    read_only: bool,
    edit: impl FnOnce(&mut RawSuperblock),
) -> Result {
    let unrecorded = info.health.take_unrecorded();
    info.write_superblock(|raw| {
        refresh(info, raw, read_only, unrecorded);
        edit(raw);
    })
}

/// Logs the superblock in an operation of its own.
///
/// # Errors
///
/// Those of the journal.
pub(super) fn through_journal(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let mut operation = start(sb, Credits::blocks(1))?;
    let unrecorded = info.health.take_unrecorded();
    info.update_superblock(&mut operation, |raw| {
        refresh(info, raw, false, unrecorded);
    })?;
    operation.stop()
}

/// The deferred work of a super block: errors were found that the disk does not know of.
pub(super) fn deferred(sb: &SuperBlock<Ext4>) {
    let info = sb.info();
    let logged = if sb.is_read_only() || info.health.is_stopped() {
        Err(EROFS)
    } else {
        through_journal(sb)
    };
    if logged.is_err() && commit(info, sb.is_read_only()).is_err() {
        fs_warn!(sb, "cannot write the superblock");
    }
}

/// Marks a file system as in use: a crash from now on needs recovery.
pub(super) fn set_in_use(raw: &mut RawSuperblock) {
    set_bits(&mut raw.feature_incompat, incompat::RECOVER);
    if raw.feature_compat.get() & compat::ORPHAN_FILE != 0 {
        set_bits(&mut raw.feature_ro_compat, ro_compat::ORPHAN_PRESENT);
    }
}

/// Marks a file system as at rest: the journal is empty.
pub(super) fn set_at_rest(raw: &mut RawSuperblock, orphans_left: bool) {
    clear_bits(&mut raw.feature_incompat, incompat::RECOVER);
    if !orphans_left {
        clear_bits(&mut raw.feature_ro_compat, ro_compat::ORPHAN_PRESENT);
    }
}

fn set_bits(word: &mut U32, bits: u32) {
    *word = U32::new(word.get() | bits);
}

fn clear_bits(word: &mut U32, bits: u32) {
    *word = U32::new(word.get() & !bits);
}

/// Brings `raw` up to date.
fn refresh(info: &SuperInfo, raw: &mut RawSuperblock, read_only: bool, unrecorded: Unrecorded) {
    // A read-only mount that only replays the journal leaves the time alone: the clock may not be
    // right yet when the root file system is mounted.
    if !read_only {
        (raw.wtime, raw.wtime_hi) = timestamp(real_seconds());
    }
    let sectors = info
        .device
        .sectors_written()
        .saturating_sub(info.sectors_at_mount);
    let kbytes = info.kbytes_written.saturating_add(sectors / 2);
    raw.kbytes_written = U64::new(kbytes);
    if let Some((blocks, inodes)) = info.free_counts() {
        raw.set_free_blocks_count(blocks);
        raw.free_inodes_count = U32::new(inodes);
    }
    record(raw, unrecorded);
}

/// Seconds since 1970 in the superblock's 40 bits.
pub(super) fn timestamp(seconds: i64) -> (U32, u8) {
    let seconds = seconds.clamp(0, (1 << 40) - 1).unsigned_abs();
    (U32::new(seconds as u32), (seconds >> 32) as u8)
}

fn record(raw: &mut RawSuperblock, unrecorded: Unrecorded) {
    let (Some(first), Some(last)) = (unrecorded.first, unrecorded.last) else {
        return;
    };
    raw.state.set(raw.state.get() | state::ERROR);
    if raw.first_error_time.get() == 0 && raw.first_error_time_hi == 0 {
        (raw.first_error_time, raw.first_error_time_hi) = timestamp(first.time);
        raw.first_error_func = function_name(&first);
        raw.first_error_line = U32::new(first.at.line);
        raw.first_error_ino = U32::new(first.at.inode.map_or(0, |inode| inode.0));
        raw.first_error_block = U64::new(first.at.block.map_or(0, |block| block.0));
        raw.first_error_errcode = error_code(first.error);
    }
    (raw.last_error_time, raw.last_error_time_hi) = timestamp(last.time);
    raw.last_error_func = function_name(&last);
    raw.last_error_line = U32::new(last.at.line);
    raw.last_error_ino = U32::new(last.at.inode.map_or(0, |inode| inode.0));
    raw.last_error_block = U64::new(last.at.block.map_or(0, |block| block.0));
    raw.last_error_errcode = error_code(last.error);
    let count = raw.error_count.get().saturating_add(unrecorded.count);
    raw.error_count = U32::new(count);
}

fn function_name(incident: &Incident) -> [u8; 32] {
    let mut name = [0; 32];
    for (to, from) in name.iter_mut().zip(incident.at.place().bytes()) {
        *to = from;
    }
    name
}

/// The on-disk code of an errno (`EXT4_ERR_*`).
fn error_code(error: Error) -> u8 {
    const CODES: [(Error, u8); 15] = [
        (EIO, 2),
        (ENOMEM, 3),
        (EFSBADCRC, 4),
        (EFSCORRUPTED, 5),
        (ENOSPC, 6),
        (EROFS, 8),
        (EFBIG, 9),
        (EEXIST, 10),
        (ERANGE, 11),
        (EOVERFLOW, 12),
        (EBUSY, 13),
        (ENOTDIR, 14),
        (ENOTEMPTY, 15),
        (ESHUTDOWN, 16),
        (EFAULT, 17),
    ];
    const UNKNOWN: u8 = 1;
    CODES
        .iter()
        .find(|(known, _)| *known == error)
        .map_or(UNKNOWN, |(_, code)| *code)
}
