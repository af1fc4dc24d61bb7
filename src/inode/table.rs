// SPDX-License-Identifier: GPL-2.0

//! The inode tables: where an inode lies on disk, and writing one there.
//!
//! # Who owns the bytes
//!
//! Several inodes share a block, each its own range of bytes. A range is changed under a handle by
//! whoever holds the block's *table lock* ([`TableLocks`]), a leaf in the lock order: nothing but
//! journal write access is waited for under it. Everything that goes into the bytes is looked up
//! under the lock, so that of two that write the same inode the later one has the later values.

use super::info::InodeData;
use super::report;
use crate::format::features::ro_compat;
use crate::format::inode::{size_and_dtime, DiskInode};
use crate::format::superblock::RawSuperblock;
use crate::format::units::{InodeNumber, PhysicalBlock};
use crate::format::Problem;
use crate::jbd_glue::Operation;
use crate::kern::buffer::Buffer;
use crate::kern::inode::Inode;
use crate::kern::super_block::SuperBlock;
use crate::store::{MetaBlock, Store, Transaction};
use crate::Ext4;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex, MutexGuard};

const LOCKS: usize = 16;

/// The table locks of a file system. A block's number picks one.
#[pin_data]
pub(crate) struct TableLocks {
    #[pin]
    locks: [Mutex<()>; LOCKS],
}

impl TableLocks {
    /// All unlocked.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            locks <- pin_init::pin_init_array_from_fn(|_| new_mutex!((), "ext4rs::inode_table")),
        })
    }

    /// Takes the lock of the table block `at`; it serves for attribute blocks too.
    pub(crate) fn lock(&self, at: PhysicalBlock) -> Result<MutexGuard<'_, ()>> {
        let pick = usize::try_from(at.0 % LOCKS as u64)?;
        Ok(self.locks.get(pick).ok_or(EINVAL)?.lock())
    }
}

/// Where the inode `ino` lies: the block, and its bytes in there.
///
/// # Errors
///
/// `EFSCORRUPTED` for a number that no inode has, or where the group's descriptor is bad.
pub(crate) fn locate(
    sb: &SuperBlock<Ext4>,
    ino: InodeNumber,
) -> Result<(PhysicalBlock, Range<usize>)> {
    let info = sb.info();
    let (group, block, bytes) = info.geometry.inode_location(ino).ok_or(EFSCORRUPTED)?;
    let table = info.inode_table(group)?;
    let at = table.checked_add(block.into()).ok_or(EFSCORRUPTED)?;
    Ok((at, bytes))
}

/// Reads and checks the inode `ino`.
pub(super) fn read(
    sb: &SuperBlock<Ext4>,
    ino: InodeNumber,
) -> Result<(PhysicalBlock, Result<DiskInode, Problem>)> {
    let info = sb.info();
    let (at, range) = locate(sb, ino)?;
    let block = info.device.read(at)?;
    // A writer of the same inode would be seen half done.
    let _lock = info.inodes.table.lock(at)?;
    let bytes = block.bytes().get(range).ok_or(EFSCORRUPTED)?;
    Ok((at, DiskInode::parse(&info.geometry, ino, bytes)))
}

/// The `i_dtime` word of inode `ino` on disk.
pub(crate) fn dtime(sb: &SuperBlock<Ext4>, ino: InodeNumber) -> Result<u32> {
    let (at, range) = locate(sb, ino)?;
    let block = sb.info().device.read(at)?;
    let _lock = sb.info().inodes.table.lock(at)?;
    Ok(size_and_dtime(block.bytes().get(range).ok_or(EFSCORRUPTED)?).1)
}

/// Runs `look` on the bytes of the inode under the table lock.
///
/// # Errors
///
/// Those of the device; `EFSCORRUPTED` where the group's descriptor is bad.
pub(crate) fn look<R>(inode: &Inode<Ext4>, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let sb = inode.sb();
    let (at, range) = locate(sb, inode.ino())?;
    let block = sb.info().device.read(at)?;
    let _lock = sb.info().inodes.table.lock(at)?;
    Ok(look(block.bytes().get(range).ok_or(EFSCORRUPTED)?))
}

/// Edits the bytes of inode `ino` under the table lock, in a running operation. One block.
pub(crate) fn edit<R>(
    sb: &SuperBlock<Ext4>,
    ino: InodeNumber,
    operation: &mut Operation<'_>,
    edit: impl FnOnce(&mut [u8]) -> R,
) -> Result<R> {
    let (at, range) = locate(sb, ino)?;
    let block: Buffer = operation.read(at)?;
    let _lock = sb.info().inodes.table.lock(at)?;
    operation.update(&block, range, edit)
}

/// Writes the inode into its table in a running operation, with `data` held for read or write.
/// Dirties one block, and the super block at a file system's first file of more than 2 GiB.
///
/// # Errors
///
/// Those of device and journal; `EFSCORRUPTED`, reported, where the inode cannot be expressed.
pub(crate) fn write_inode(
    inode: &Inode<Ext4>,
    data: &InodeData,
    operation: &mut Operation<'_>,
) -> Result {
    write_with(inode, data, operation, None)
}

/// As [`write_inode`], and takes `i_data_sem` itself.
pub(crate) fn write_inode_unlocked(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    let data = inode.info().data.read();
    write_with(inode, &data, operation, None)
}

/// As [`write_inode_unlocked`], and notes the time of deletion.
pub(super) fn write_deleted(
    inode: &Inode<Ext4>,
    operation: &mut Operation<'_>,
    time: u32,
) -> Result {
    let data = inode.info().data.read();
    write_with(inode, &data, operation, Some(time))
}

fn write_with(
    inode: &Inode<Ext4>,
    data: &InodeData,
    operation: &mut Operation<'_>,
    deleted: Option<u32>,
) -> Result {
    let geo = &inode.sb().info().geometry;
    let info = inode.info();
    let ino = inode.ino();
    let tid = operation.tid();
    let encoded = edit(inode.sb(), ino, operation, |bytes| {
        let fresh = info.is_fresh();
        let (old_size, dtime) = size_and_dtime(bytes);
        let mut disk = snapshot(inode, data);
        disk.dtime = match deleted {
            Some(time) => time,
            None if fresh => 0,
            None => dtime,
        };
        if fresh {
            disk.encode_new(geo, ino, bytes)?;
        } else {
            disk.encode(geo, ino, bytes)?;
        }
        info.set_fresh(false);
        info.touched_by(tid, fresh || old_size != disk.size);
        Ok(disk.size)
    })?;
    let size = encoded.map_err(|problem| report(inode, None, problem))?;
    if size > i32::MAX as u64 {
        use_large_files(inode.sb(), operation)?;
    }
    Ok(())
}

/// Says in the superblock that there are files of 2 GiB or more.
fn use_large_files(sb: &SuperBlock<Ext4>, operation: &mut Operation<'_>) -> Result {
    let info = sb.info();
    let set = |raw: &RawSuperblock| raw.feature_ro_compat.get() & ro_compat::LARGE_FILE != 0;
    if info.with_superblock(set)? {
        return Ok(());
    }
    info.update_superblock(operation, |raw| {
        let features = raw.feature_ro_compat.get() | ro_compat::LARGE_FILE;
        raw.feature_ro_compat.set(features);
    })
}

/// The inode as it is to be on disk, but for the time of deletion.
fn snapshot(inode: &Inode<Ext4>, data: &InodeData) -> DiskInode {
    let info = inode.info();
    let origin = info.origin();
    DiskInode {
        mode: inode.mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        size: info.disk_size(),
        // More links than fit are counted as one: a directory's, see `namei`.
        links: u16::try_from(inode.nlink()).unwrap_or(1),
        blocks: inode.blocks(),
        flags: info.flags(),
        generation: inode.generation(),
        atime: inode.atime().into(),
        ctime: inode.ctime().into(),
        mtime: inode.mtime().into(),
        crtime: origin.crtime.into(),
        dtime: 0,
        file_acl: info.file_acl(),
        i_block: data.i_block,
        extra_isize: origin.extra_isize,
        projid: origin.projid,
        version: inode.version(),
    }
}
