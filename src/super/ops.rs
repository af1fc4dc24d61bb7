// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of a file system as a whole.

use super::health::{fatal, start};
use super::info::SuperInfo;
use super::options::{Refusal, Request, Switch};
use super::shutdown::{shut_down, Log};
use super::types::FsType;
use super::{mount, remount, unmount, write_out};
use crate::alloc::GroupTable;
use crate::format::superblock::MAGIC;
use crate::inode;
use crate::jbd_glue::credits;
use crate::kern::fs_context::{ContextLog, Mount};
use crate::kern::inode::{Inode, InodeCache, InodeMaker};
use crate::kern::super_block::{Close, DeferredWork, NewSuperBlock, SuperBlock};
use crate::kern::super_ops::{operations, Figures, SuperOperations, SuperTable};
use crate::{fs_err, here, Ext4};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;

/// Where all inodes come from.
pub(crate) static INODES: InodeCache = InodeCache::new();

static OPERATIONS: SuperTable = operations::<Ext4>();

/// The operations, for mount.
pub(super) fn table() -> &'static SuperTable {
    &OPERATIONS
}

impl InodeMaker for Ext4 {
    fn cache() -> &'static InodeCache {
        &INODES
    }

    fn init() -> impl PinInit<inode::InodeInfo, Error> {
        inode::InodeInfo::new()
    }
}

impl Close for Ext4 {
    fn work(info: &SuperInfo) -> &DeferredWork<Self> {
        &info.deferred
    }

    fn close(info: Pin<&mut SuperInfo>, read_only: bool) {
        unmount::close(info, read_only);
    }
}

impl Mount for Ext4 {
    type Params = Request;

    type Type = FsType;

    fn new_params(_mounted: Option<&SuperBlock<Self>>) -> Request {
        Request::default()
    }

    fn parse(
        request: &mut Request,
        key: &str,
        value: Option<&str>,
        log: &ContextLog<'_>,
    ) -> Result<bool> {
        match request.set(key, value) {
            Ok(()) => Ok(true),
            Err(Refusal::Unknown) => Ok(false),
            Err(Refusal::Unsupported) => {
                match value {
                    None => log.error(fmt!("not supported: {}", key)),
                    Some(value) => log.error(fmt!("not supported: {}={}", key, value)),
                }
                Err(EINVAL)
            }
            Err(Refusal::BadValue) => {
                log.error(fmt!("bad value: {}={}", key, value.unwrap_or("")));
                Err(EINVAL)
            }
        }
    }

    fn fill(sb: NewSuperBlock<'_, Self>, request: &Request) -> Result {
        mount::fill(sb, request)
    }

    fn reconfigure(sb: &SuperBlock<Self>, request: &Request, read_only: bool) -> Result {
        remount::reconfigure(sb, request, read_only)
    }
}

impl SuperOperations for Ext4 {
    fn evict(inode: &Inode<Self>) {
        inode::evict::evict(inode);
    }

    fn dirtied(inode: &Inode<Self>, only_lazy_time: bool) {
        if only_lazy_time {
            return;
        }
        let written = start(inode.sb(), credits::inode_update()).and_then(|mut operation| {
            inode::write_inode_unlocked(inode, &mut operation)?;
            operation.stop()
        });
        match written {
            Ok(()) | Err(EROFS) => {}
            Err(_) if inode.sb().info().health.is_stopped() => {}
            Err(error) => fs_err!(
                inode.sb(),
                "inode #{}: cannot be written ({:?})",
                inode.ino().0,
                error
            ),
        }
    }

    fn write(inode: &Inode<Self>, wait: bool) -> Result {
        let info = inode.sb().info();
        info.check_writable()?;
        match info.journal() {
            // The inode is in the journal since it was changed.
            Some(journal) if wait => journal.complete(inode.info().last_tid(false)),
            _ => Ok(()),
        }
    }

    fn sync(sb: &SuperBlock<Self>, wait: bool) -> Result {
        let info = sb.info();
        info.check_writable()?;
        let Some(journal) = info.journal() else {
            return Ok(());
        };
        // Data may have been written without any transaction to follow it, so the device's cache
        // is flushed even where no commit does it.
        let flush =
            wait && info.is_on(Switch::Barrier) && !journal.will_flush_device(journal.latest());
        let committed = match journal.start_commit() {
            Some(tid) if wait => journal.wait_commit(tid),
            _ => Ok(()),
        };
        if flush {
            committed.and(info.device.flush())
        } else {
            committed
        }
    }

    fn freeze(sb: &SuperBlock<Self>) -> Result {
        let info = sb.info();
        let Some(journal) = info.journal() else {
            return Ok(());
        };
        // The VFS keeps writers away until the thaw; the journal stays locked only while it is
        // emptied.
        journal.lock_updates();
        let frozen = journal.flush().and_then(|()| {
            let orphans_left = !info.orphan_file_is_empty();
            write_out::commit_with(info, sb.is_read_only(), |raw| {
                write_out::set_at_rest(raw, orphans_left);
            })
        });
        journal.unlock_updates();
        frozen
    }

    fn unfreeze(sb: &SuperBlock<Self>) -> Result {
        let info = sb.info();
        if info.health.is_stopped() || sb.is_read_only() || info.journal().is_none() {
            return Ok(());
        }
        // An error would keep the VFS frozen, and all who wait for the thaw.
        if let Err(error) = write_out::commit_with(info, false, write_out::set_in_use) {
            fatal(
                sb,
                here!(),
                error,
                "the superblock cannot be written at the thaw",
            );
        }
        Ok(())
    }

    fn device_gone(sb: &SuperBlock<Self>) {
        // Fails only where the device is to be frozen.
        let _ = shut_down(sb, Log::Left);
    }

    fn figures(sb: &SuperBlock<Self>) -> Figures {
        let info = sb.info();
        let geo = &info.geometry;
        let overhead = if info.options().minixdf {
            0
        } else {
            info.overhead()
        };
        let report = info.groups().ok().map(|groups| {
            groups.refresh_reserve();
            groups.counters().report()
        });
        Figures {
            block_size: 1isize << geo.block_size.bits(),
            blocks: geo.blocks.saturating_sub(overhead),
            free: report.map_or(0, |r| r.free_blocks),
            available: report.map_or(0, |r| r.available_blocks),
            inodes: geo.inodes.into(),
            free_inodes: report.map_or(0, |r| r.free_inodes.into()),
            // CAST: 16 bits fit.
            magic: MAGIC as isize,
            name_len: 255,
            uuid: geo.uuid,
        }
    }

    fn show_options(sb: &SuperBlock<Self>, out: &SeqFile) {
        let info = sb.info();
        info.options().show(&info.default_options, out);
        if info.health.is_shut_down() {
            kernel::seq_print!(out, ",shutdown");
        } else if info.health.is_stopped() {
            kernel::seq_print!(out, ",emergency_ro");
        }
    }
}
