// SPDX-License-Identifier: GPL-2.0

//! Mounting. The order of the steps is explained at the room's head.

use super::health::error;
use super::info::{CommitLog, Ext4Journal, SuperInfo};
use super::options::{Options, Request};
use super::{groups::Groups, ops, orphan, write_out};
use crate::alloc::ZoneBuilder;
use crate::extents;
use crate::format::block_size;
use crate::format::features::{incompat, ro_compat};
use crate::format::superblock::{state, RawSuperblock, MAGIC, SUPERBLOCK_SIZE};
use crate::format::timestamp::Times;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::format::{Geometry, Problem};
use crate::inode::tree_space::TreeReader;
use crate::inode::{self, Purpose};
use crate::kern::buffer::Device;
use crate::kern::inode::Inode;
use crate::kern::log::{log, Level};
use crate::kern::super_block::{Filling, NewSuperBlock, SuperBlock, Traits};
use crate::kern::super_buffer::SuperBuffer;
use crate::kern::time::real_seconds;
use crate::{fs_err, fs_info, fs_warn, here, namei, xattr, Ext4};
use core::mem::offset_of;
use core::ops::ControlFlow;
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

/// The root directory's inode.
const ROOT: InodeNumber = InodeNumber(2);

/// Features of the journal's superblock (`include/linux/jbd2.h`).
mod journal_feature {
    pub(super) const COMPAT_CHECKSUM: u32 = 0x1;
    pub(super) const INCOMPAT_64BIT: u32 = 0x2;
    pub(super) const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
    pub(super) const INCOMPAT_CSUM_V2: u32 = 0x8;
    pub(super) const INCOMPAT_CSUM_V3: u32 = 0x10;
    pub(super) const INCOMPAT_FAST_COMMIT: u32 = 0x20;
}

/// Logs about a super block that has no info yet.
macro_rules! say {
    ($sb:expr, $($f:tt)*) => {
        log(Level::Error, $sb.id(), fmt!("{}\n", fmt!($($f)*)))
    };
}

/// Mounts the file system on the device of `sb`.
///
/// # Errors
///
/// `EINVAL` for what is no ext4, or one that is not supported; `EFSCORRUPTED` or `EFSBADCRC` for a
/// damaged one; `EROFS` where recovery would have to write and cannot; `EIO`, `ENOMEM`. Each after a
/// message.
pub(super) fn fill(mut sb: NewSuperBlock<'_, Ext4>, request: &Request) -> Result {
    let (device, buffer, geometry) = read_superblock(&mut sb, request)?;
    let raw = RawSuperblock::ref_from(buffer.bytes()).ok_or(EINVAL)?;
    let defaults = stored_options(&sb, raw).apply(Options::defaults(raw));
    let options = request.apply(defaults);
    check_request(&sb, raw, &geometry, &options)?;
    let uuid = geometry.uuid;
    let times = Times::of(geometry.inode_size);
    let max_bytes = i64::try_from(geometry.size_limit())?;
    let info = SuperInfo::new(sb.id(), geometry, device, buffer, defaults, options)?;
    let sb = sb.set_info(
        info,
        Traits {
            magic: MAGIC.into(),
            max_bytes,
            time_gran: times.granularity,
            time_range: times.range,
            uuid,
            operations: ops::table(),
            export: &namei::export::EXPORT,
            attributes: &xattr::families::ALL,
        },
    );
    finish(&sb, &options).inspect_err(|e| fs_err!(sb.get(), "mount failed ({:?})", e))
}

/// Reads the superblock, twice if need be: it says in which blocks the device is to be read.
fn read_superblock(
    sb: &mut NewSuperBlock<'_, Ext4>,
    request: &Request,
) -> Result<(Device, SuperBuffer, Geometry)> {
    let mut device = sb
        .set_least_block_size(block_size::SMALLEST)
        .inspect_err(|e| say!(sb, "the device cannot be used ({:?})", e))?;
    let at = request.superblock_at().checked_mul(1024).ok_or(EINVAL)?;
    for _ in 0..2 {
        let buffer = SuperBuffer::read(&device, at, SUPERBLOCK_SIZE).inspect_err(|e| {
            say!(sb, "cannot read the superblock at byte {} ({:?})", at, e);
        })?;
        let raw = RawSuperblock::ref_from(buffer.bytes()).ok_or(EINVAL)?;
        let geometry = Geometry::parse(raw, sb.device_bytes()).map_err(|problem| {
            say!(sb, "cannot be mounted: {}", format_args!("{problem}"));
            problem.errno()
        })?;
        let bytes = geometry.block_size.as_usize();
        if device.block_size() == bytes {
            return Ok((device, buffer, geometry));
        }
        // Another block size is another cache: nothing of the old one may be in use.
        drop(buffer);
        device = sb.set_block_size(u32::try_from(bytes)?).inspect_err(|_| {
            say!(
                sb,
                "the device cannot be used in blocks of {} bytes, its own are larger",
                bytes
            );
        })?;
    }
    say!(sb, "the superblock changes from one look to the next");
    Err(EINVAL)
}

/// What the superblock asks for in words (`tune2fs -E mount_opts=`): all of it, or nothing where one of
/// them is not known, as C ext4 does it.
fn stored_options(sb: &NewSuperBlock<'_, Ext4>, raw: &RawSuperblock) -> Request {
    let mut request = Request::default();
    let end = raw.mount_opts.iter().position(|&byte| byte == 0);
    let text = raw.mount_opts.get(..end.unwrap_or(raw.mount_opts.len()));
    let words = text.unwrap_or(&[]).split(|&byte| byte == b',');
    for word in words.filter(|word| !word.is_empty()) {
        let word = core::str::from_utf8(word).unwrap_or("?");
        let set = match word.split_once('=') {
            Some((key, value)) => request.set(key, Some(value)),
            None => request.set(word, None),
        };
        if set.is_err() {
            say!(
                sb,
                "the superblock's mount options are ignored for {} (tune2fs -E mount_opts=)",
                word
            );
            return Request::default();
        }
    }
    request
}

/// Whether the file system can be mounted as it is asked for.
fn check_request(
    sb: &NewSuperBlock<'_, Ext4>,
    raw: &RawSuperblock,
    geometry: &Geometry,
    options: &Options,
) -> Result {
    let needs_recovery = geometry.features.has_incompat(incompat::RECOVER);
    if needs_recovery && geometry.journal_inode.is_none() {
        say!(sb, "needs recovery, but has no journal inode; run e2fsck");
        return Err(EINVAL);
    }
    if geometry.journal_inode.is_some() && raw.journal_dev.get() != 0 {
        say!(sb, "has both a journal inode and a journal device");
        return Err(EINVAL);
    }
    if let Err(problem) = sb.own_type().check(&geometry.features, sb.is_read_only()) {
        say!(
            sb,
            "cannot be mounted by this name: {}",
            format_args!("{problem}")
        );
        return Err(EINVAL);
    }
    if sb.is_read_only() {
        return Ok(());
    }
    if let Err(problem) = geometry.features.check_write() {
        say!(
            sb,
            "can only be mounted read-only: {}",
            format_args!("{problem}")
        );
        return Err(EINVAL);
    }
    if geometry.journal_inode.is_none() {
        say!(
            sb,
            "can only be mounted read-only: not supported: no journal inode"
        );
        return Err(EINVAL);
    }
    if let Some(option) = options.unsupported() {
        say!(
            sb,
            "can only be mounted read-only: not supported: {}",
            option
        );
        return Err(EINVAL);
    }
    if options.noload {
        say!(sb, "can only be mounted read-only: noload");
        return Err(EINVAL);
    }
    Ok(())
}

/// Mounts, from the journal on.
fn finish(sb: &Filling<'_, Ext4>, options: &Options) -> Result {
    let info = sb.info();
    let mut recovered = false;
    if let (Some(journal), false) = (info.geometry.journal_inode, options.noload) {
        recovered = load_journal(sb.get(), journal)?;
        check_unchanged(sb.get())?;
    }
    load_groups(sb)?;
    let root = inode::iget(sb, ROOT, Purpose::Internal).inspect_err(|e| {
        fs_err!(sb.get(), "cannot read the root directory ({:?})", e);
    })?;
    if !root.is_dir() || root.size() == 0 {
        let problem = Problem::new("the root is no directory", root.size());
        return Err(error(sb, here!().inode(ROOT), problem));
    }
    sb.set_root(root)?;
    if !sb.is_read_only() {
        set_up_writing(sb.get())?;
    }
    orphan::load(sb.get())?;
    let listed = info.with_superblock(|raw| raw.last_orphan.get() != 0)?;
    if listed || !info.orphan_file_is_empty() {
        recovered |= clean_orphans(sb.get());
    }
    if recovered {
        mark_recovered(sb.get())?;
        fs_info!(sb.get(), "recovery complete");
    }
    super::publish::publish(sb);
    let mode = if sb.is_read_only() { "ro" } else { "r/w" };
    fs_info!(sb.get(), "mounted {}", mode);
    Ok(())
}

/// Opens the journal, and recovers what a crash left in it; says whether there was anything.
fn load_journal(sb: &SuperBlock<Ext4>, ino: InodeNumber) -> Result<bool> {
    let info = sb.info();
    let device_read_only = info.device.is_read_only();
    let needs_recovery =
        info.with_superblock(|raw| raw.features().has_incompat(incompat::RECOVER))?;
    if needs_recovery && sb.is_read_only() {
        fs_info!(sb, "recovery is needed on a read-only mount");
        if device_read_only {
            fs_err!(sb, "the device is read-only: no recovery (try noload)");
            return Err(EROFS);
        }
    }
    let inode = inode::iget(sb, ino, Purpose::Internal).inspect_err(|e| {
        fs_err!(sb, "inode #{}: no journal inode ({:?})", ino.0, e);
    })?;
    if !inode.is_regular() || inode.nlink() == 0 {
        let problem = Problem::new("the journal inode is no regular file", ino.0.into());
        return Err(error(sb, here!().inode(ino), problem));
    }
    let hook = CommitLog::new(info.writeback.clone())?;
    let journal = Ext4Journal::open(inode, hook, SuperInfo::journal_params(&info.options()))
        .inspect_err(|e| fs_err!(sb, "inode #{}: no journal ({:?})", ino.0, e))?;
    if !needs_recovery {
        journal.wipe(!device_read_only)?;
    } else if journal.has_feature(journal_feature::INCOMPAT_FAST_COMMIT) {
        // The journal's own bit: loading the journal clears it, and ext4rs makes no fast commits.
        fs_err!(
            sb,
            "not supported: recovery of fast commits; let ext4 or e2fsck do it"
        );
        return Err(EINVAL);
    }
    let errors = ErrorRecord::save(info)?;
    let loaded = journal.load();
    errors.restore(sb, device_read_only)?;
    loaded.inspect_err(|e| fs_err!(sb, "cannot load the journal ({:?})", e))?;
    set_journal_features(sb, &journal)?;
    take_over_errno(sb, &journal)?;
    info.journal.populate(journal);
    Ok(needs_recovery)
}

/// Chooses how the journal describes blocks and checks itself.
fn set_journal_features(sb: &SuperBlock<Ext4>, journal: &Ext4Journal) -> Result {
    use journal_feature::*;

    let features = &sb.info().geometry.features;
    journal.clear_features(
        COMPAT_CHECKSUM,
        INCOMPAT_ASYNC_COMMIT | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3,
    );
    let mut wanted = 0;
    if features.has_incompat(incompat::BITS_64) {
        wanted |= INCOMPAT_64BIT;
    }
    if features.metadata_csum() {
        wanted |= INCOMPAT_CSUM_V3;
    }
    journal
        .set_features(0, wanted)
        .inspect_err(|_| fs_err!(sb, "the journal cannot have the features {:#x}", wanted))
}

/// An error that stopped the journal in an earlier mount becomes the file system's.
pub(super) fn take_over_errno(sb: &SuperBlock<Ext4>, journal: &Ext4Journal) -> Result {
    let Err(earlier) = journal.errno() else {
        return Ok(());
    };
    fs_warn!(
        sb,
        "an error was recorded in an earlier mount ({:?}); run e2fsck",
        earlier
    );
    let info = sb.info();
    info.health.mark_errors();
    if !info.device.is_read_only() {
        write_out::commit_with(info, sb.is_read_only(), |raw| {
            raw.state.set(raw.state.get() | state::ERROR);
        })?;
        journal.clear_errno();
    }
    Ok(())
}

/// The superblock's record of errors, which is written past the journal: recovery would put an older
/// one in its place.
struct ErrorRecord {
    bytes: [u8; SUPERBLOCK_SIZE],
}

impl ErrorRecord {
    /// Where the record lies in the superblock.
    const AT: core::ops::Range<usize> =
        offset_of!(RawSuperblock, error_count)..offset_of!(RawSuperblock, mount_opts);

    fn save(info: &SuperInfo) -> Result<Self> {
        let bytes = info.superblock_copy()?;
        Ok(Self { bytes })
    }

    fn restore(&self, sb: &SuperBlock<Ext4>, device_read_only: bool) -> Result {
        let info = sb.info();
        let was = self.bytes.get(Self::AT).ok_or(EINVAL)?;
        let now = info.superblock_copy()?;
        let state_error = info.health.state() & state::ERROR;
        let changed = now.get(Self::AT) != Some(was)
            || info.with_superblock(|raw| raw.state.get() & state_error != state_error)?;
        if !changed || device_read_only {
            return Ok(());
        }
        info.write_superblock(|raw| {
            raw.restore_errors(&self.bytes);
            raw.state.set(raw.state.get() | state_error);
        })
    }
}

/// Recovery may bring back a superblock of another shape, if the file system was being resized.
fn check_unchanged(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let bytes = sb.device_bytes();
    let parsed = info.with_superblock(|raw| Geometry::parse(raw, bytes))?;
    let now = parsed.map_err(|problem| error(sb, here!(), problem))?;
    let was = &info.geometry;
    let same = now.block_size == was.block_size
        && now.blocks == was.blocks
        && now.groups == was.groups
        && now.desc_size == was.desc_size
        && now.inode_size == was.inode_size
        && now.checksum_seed == was.checksum_seed
        && now.gdt_blocks == was.gdt_blocks
        && now.reserved_gdt_blocks == was.reserved_gdt_blocks
        && now.features.metadata_csum() == was.features.metadata_csum();
    if !same {
        fs_err!(
            sb,
            "recovery changed the shape of the file system: mount again"
        );
        return Err(EINVAL);
    }
    Ok(())
}

/// Reads the group descriptors. The journal's blocks are metadata to everybody else.
fn load_groups(sb: &Filling<'_, Ext4>) -> Result {
    let info = sb.info();
    let journal = match info.geometry.journal_inode {
        None => None,
        Some(ino) => Some(inode::iget(sb, ino, Purpose::Internal)?),
    };
    let groups = Groups::load(sb, |zone| match &journal {
        None => Ok(()),
        Some(journal) => add_extents(zone, journal),
    })?;
    info.set_groups(groups);
    Ok(())
}

/// Adds the blocks of `inode` to the zone.
fn add_extents(zone: &mut ZoneBuilder, inode: &Inode<Ext4>) -> Result {
    let data = inode.info().data.read();
    let mut added = Ok(());
    let start = LogicalBlock(0);
    extents::for_each_extent(&TreeReader(inode), &data.i_block, start, |extent| {
        added = zone.add(extent.at(), extent.len().into());
        match added {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    added
}

/// The superblock says from now on that the file system is in use.
pub(super) fn set_up_writing(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let now = real_seconds();
    info.with_superblock(|raw| warn_unchecked(sb, raw, now))?;
    write_out::commit_with(info, false, |raw| {
        if raw.max_mnt_count.get() == 0 {
            // What mke2fs writes: no check after a number of mounts.
            raw.max_mnt_count.set(u16::MAX);
        }
        raw.mnt_count.set(raw.mnt_count.get().wrapping_add(1));
        (raw.mtime, raw.mtime_hi) = write_out::timestamp(now);
        write_out::set_in_use(raw);
    })
    .inspect_err(|e| fs_err!(sb, "cannot write the superblock ({:?})", e))?;
    info.in_use.store(true, Relaxed);
    Ok(())
}

/// Says when the file system should be checked.
fn warn_unchecked(sb: &SuperBlock<Ext4>, raw: &RawSuperblock, now: i64) {
    let state = raw.state.get();
    let max_mounts = raw.max_mnt_count.get();
    let checked = i64::from(raw.lastcheck.get()) | i64::from(raw.lastcheck_hi) << 32;
    let interval = i64::from(raw.checkinterval.get());
    let why = if state & state::VALID == 0 {
        "it was not unmounted cleanly"
    } else if state & state::ERROR != 0 {
        "it has errors"
    } else if (1..0x8000).contains(&max_mounts) && raw.mnt_count.get() >= max_mounts {
        "it was mounted many times"
    } else if interval != 0 && checked.saturating_add(interval) <= now {
        "it was not checked for long"
    } else {
        return;
    };
    fs_warn!(sb, "running e2fsck is recommended: {}", why);
}

/// Ends what a crash interrupted. Also on a read-only mount, where the device can be written. Says
/// whether it was tried.
fn clean_orphans(sb: &SuperBlock<Ext4>) -> bool {
    let info = sb.info();
    if info.device.is_read_only() || info.journal().is_none() || info.health.has_errors() {
        fs_info!(sb, "orphans are left alone");
        return false;
    }
    if info.geometry.features.check_write().is_err() {
        fs_info!(
            sb,
            "orphans are left alone: the file system cannot be written"
        );
        return false;
    }
    let read_only = sb.is_read_only();
    if read_only {
        sb.set_read_only(false);
    }
    if let Err(error) = orphan::clean_up(sb) {
        fs_err!(sb, "orphans cannot be cleaned up ({:?})", error);
    }
    if read_only {
        sb.set_read_only(true);
    }
    true
}

/// The journal is empty now; on a read-only mount the superblock says so.
pub(super) fn mark_recovered(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let Some(journal) = info.journal() else {
        return Ok(());
    };
    if info.device.is_read_only() {
        return Ok(());
    }
    journal.lock_updates();
    let result = journal.flush().and_then(|()| {
        let marked = info.with_superblock(|raw| {
            raw.features().has_incompat(incompat::RECOVER)
                || raw.features().has_ro_compat(ro_compat::ORPHAN_PRESENT)
        })?;
        if !sb.is_read_only() || !marked {
            return Ok(());
        }
        let orphans_left = !info.orphan_file_is_empty();
        write_out::commit_with(info, true, |raw| write_out::set_at_rest(raw, orphans_left))
    });
    journal.unlock_updates();
    result
}
