// SPDX-License-Identifier: GPL-2.0

//! Open regular files.
//!
//! Reads go through the page cache by the VFS's own functions; writes through iomap, with the
//! inode's rwsem held for writing. What a synchronous file waits for after a write is
//! [`fsync`](RegularFile::fsync): the data, the completions that record it, and the commit of the
//! transaction that the inode was last changed in.

use crate::{
    bindings,
    fallocate::fallocate,
    iomap::{
        direct,
        read::{Read, Report},
        write::{self, BufferedWrite},
        writeback::Ext4Writeback,
    },
    kern::{
        file::{inode_operations, operations, AllocateMode, File, RegularFile, Transfer, Whence},
        inode::Inode,
        iomap::{seek_data, seek_hole},
        mapping::operations as mapping_operations,
        ops::Table,
    },
    superblock::{last_mounted, Switch},
    xattr::report::ReportAttributes,
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// The operations of regular files.
pub(crate) struct Ext4File;

impl RegularFile for Ext4File {
    type Fs = Ext4;
    type Fault = BufferedWrite;

    fn open(file: &File<Ext4>) -> Result {
        may_use(file)?;
        last_mounted::note(file);
        file.allow_direct_and_nowait();
        Ok(())
    }

    fn release(inode: &Inode<Ext4>, file: &File<Ext4>) {
        if file.writes() && inode.info().take_replaced() {
            // A program that cuts a file off and writes it anew, without fsync, should not find
            // it empty after a crash. An error stays with the mapping, for the next fsync.
            let _ = inode.start_writing(0..u64::MAX);
        }
    }

    fn seek(file: &File<Ext4>, offset: i64, whence: Whence) -> Result<i64> {
        let inode = file.inode();
        let max = inode.max_size();
        let found = match whence {
            Whence::HOLE => {
                let _shared = inode.lock_shared();
                seek_hole::<Report>(inode, offset)?
            }
            Whence::DATA => {
                let _shared = inode.lock_shared();
                seek_data::<Report>(inode, offset)?
            }
            _ => return file.seek(offset, whence, max, inode.size()),
        };
        file.set_position(found, max)
    }

    fn may_map(file: &File<Ext4>) -> Result {
        may_use(file)
    }

    fn may_read(inode: &Inode<Ext4>) -> Result {
        inode.sb().info().check_running()
    }

    fn direct_read(read: &mut Transfer<'_, Ext4>) -> Result<usize> {
        if read.len() == 0 {
            return Ok(0);
        }
        let _share = direct::share(read.file().inode(), read.nowait())?;
        read.direct_read::<Read>()
    }

    fn write(write: &mut Transfer<'_, Ext4>) -> Result<usize> {
        if write.direct() {
            direct::write(write)
        } else {
            write::write(write)
        }
    }

    fn fsync(file: &File<Ext4>, first: i64, last: i64, data_only: bool) -> Result {
        let synced = fsync(file, first, last, data_only);
        // Also an error of writeback that happened in the background is reported, once a file.
        synced.and(file.check_writeback_error())
    }

    fn fallocate(file: &File<Ext4>, mode: AllocateMode, range: Range<u64>) -> Result {
        fallocate(file, mode, range)
    }
}

/// Whether the file system takes what the file was opened for.
fn may_use(file: &File<Ext4>) -> Result {
    let fs = file.inode().sb().info();
    fs.check_running()?;
    if file.writes() {
        fs.check_writable()?;
    }
    Ok(())
}

static INODE: Table<bindings::inode_operations> =
    inode_operations::<Ext4, Report, ReportAttributes>();
static FILE: Table<bindings::file_operations> = operations::<Ext4File>();
static MAPPING: Table<bindings::address_space_operations> =
    mapping_operations::<Read, Report, Ext4Writeback>();

/// Gives a new inode the operations of a regular file.
pub(crate) fn attach(inode: &Inode<Ext4>) {
    inode.set_operations(&INODE, Some(&FILE));
    inode.set_mapping(&MAPPING);
}

/// A file is about to replace another one under its name. A program that writes a new version
/// beside the old one and renames it, without fsync, should not find an empty file after a crash:
/// the data goes first.
pub(crate) fn before_replacing(inode: &Inode<Ext4>) {
    if inode.is_regular() && inode.sb().info().is_on(Switch::AutoDaAlloc) {
        inode.write_all_quietly();
    }
}

/// Puts the bytes from `first` to `last`, and what leads to them, on disk; with `data_only` no more
/// of the inode than that takes.
///
/// # Errors
///
/// What writeback, journal and device meet.
pub(crate) fn fsync(file: &File<Ext4>, first: i64, last: i64, data_only: bool) -> Result {
    let inode = file.inode();
    let fs = inode.sb().info();
    fs.check_writable()?;
    if inode.sb().is_read_only() {
        return Ok(());
    }
    // The size, and so the data past it, comes to the disk after the tail that a grow waits for.
    let tail = inode.info().growth(|grow| grow.tail());
    let first = match tail.map(|tail| i64::try_from(tail.start)) {
        Some(Ok(start)) => first.min(start),
        _ => first,
    };
    file.write_and_wait(first..last)?;
    let Some(journal) = fs.journal() else {
        return Ok(());
    };
    let tid = inode.info().last_tid(data_only);
    // Where no commit comes after the data, the device is told to make it durable here.
    let flush = fs.is_on(Switch::Barrier) && !journal.will_flush_device(tid);
    journal.complete(tid)?;
    if flush {
        fs.device.flush()?;
    }
    Ok(())
}
