// SPDX-License-Identifier: GPL-2.0

//! Names: making, moving and removing them.
//!
//! Each operation is one handle: its credits are asked for at the start, everything that it
//! changes commits together, and where something fails in the middle the parts are put back in
//! the same handle. The VFS holds the rwsems of the directories concerned, and of an inode that
//! loses a name.
//!
//! Order in a handle: the entry, the directory's inode, the inode that gained or lost a name; an
//! inode without a name joins the orphans in the handle that took its last one.
//!
//! A directory counts a link for each child directory; past 65,000 the count becomes 1 and stays
//! there (feature `dir_nlink`).

pub(crate) mod export;
mod make;
mod remove;
mod rename;

use crate::format::features::ro_compat;
use crate::format::inode::flags;
use crate::format::units::InodeNumber;
use crate::format::Problem;
use crate::inode::create::Birth;
use crate::inode::{iget, Purpose};
use crate::iomap::read::ReportTree;
use crate::jbd_glue::Operation;
use crate::kern::attr::IdMap;
use crate::kern::dentry::{Dentry, SplicedDentry};
use crate::kern::dir_context::DirContext;
use crate::kern::inode::Inode;
use crate::kern::inode_ops::{
    directory_file_table, directory_inode_table, DirFile, Directory, FileTable, InodeTable,
    RenameFlags, TmpFile,
};
use crate::kern::jbd2::Credits;
use crate::xattr::report::ReportAttributes;
use crate::{dir, inode, superblock, Ext4};
use kernel::prelude::*;

/// A directory as an inode.
pub(crate) static DIRECTORY_INODE: InodeTable =
    directory_inode_table::<Ext4, ReportTree, ReportAttributes>();
/// An open directory.
pub(crate) static DIRECTORY_FILE: FileTable = directory_file_table::<Ext4>();

/// The most names of an inode.
pub(crate) const LINK_MAX: u32 = 65_000;

impl Directory for Ext4 {
    fn lookup(parent: &Inode<Ext4>, dentry: &Dentry<Ext4>, _flags: u32) -> Result<SplicedDentry> {
        let Some(found) = dir::find(parent, dentry.name())? else {
            return Ok(dentry.splice(None));
        };
        if found.inode == parent.ino() {
            let problem =
                Problem::new("an entry leads to its own directory", parent.ino().0.into());
            return Err(inode::report(parent, None, problem));
        }
        match iget(parent.sb(), found.inode, Purpose::Name) {
            Ok(inode) => Ok(dentry.splice(Some(inode))),
            Err(error) if error == ESTALE => {
                let problem =
                    Problem::new("an entry leads to a deleted inode", found.inode.0.into());
                Err(inode::report(parent, None, problem))
            }
            Err(error) => Err(error),
        }
    }

    fn create(idmap: &IdMap, dir: &Inode<Ext4>, dentry: &Dentry<Ext4>, mode: u16) -> Result {
        make::make(dentry, &birth(idmap, dir, dentry, mode))
    }

    fn mknod(
        idmap: &IdMap,
        dir: &Inode<Ext4>,
        dentry: &Dentry<Ext4>,
        mode: u16,
        rdev: u32,
    ) -> Result {
        let device = (rdev >> 20, rdev & 0xf_ffff);
        let birth = Birth {
            device,
            ..birth(idmap, dir, dentry, mode)
        };
        make::make(dentry, &birth)
    }

    fn symlink(idmap: &IdMap, dir: &Inode<Ext4>, dentry: &Dentry<Ext4>, target: &CStr) -> Result {
        let mode = crate::format::inode::mode::SYMLINK | 0o777;
        let birth = Birth {
            target: target.to_bytes(),
            ..birth(idmap, dir, dentry, mode)
        };
        make::make(dentry, &birth)
    }

    fn mkdir(idmap: &IdMap, dir: &Inode<Ext4>, dentry: &Dentry<Ext4>, mode: u16) -> Result {
        let mode = mode | crate::format::inode::mode::DIRECTORY;
        make::make(dentry, &birth(idmap, dir, dentry, mode))
    }

    fn tmpfile(idmap: &IdMap, dir: &Inode<Ext4>, file: &TmpFile<Ext4>, mode: u16) -> Result {
        let birth = Birth {
            idmap,
            dir,
            name: &[],
            mode,
            device: (0, 0),
            target: &[],
        };
        make::make_unnamed(file, &birth)
    }

    fn link(old: &Dentry<Ext4>, dir: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
        make::link(old, dir, dentry)
    }

    fn unlink(dir: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
        remove::unlink(dir, dentry)
    }

    fn rmdir(dir: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
        remove::rmdir(dir, dentry)
    }

    fn rename(
        idmap: &IdMap,
        old_dir: &Inode<Ext4>,
        old: &Dentry<Ext4>,
        new_dir: &Inode<Ext4>,
        new: &Dentry<Ext4>,
        flags: RenameFlags,
    ) -> Result {
        if flags.others() {
            return Err(EINVAL);
        }
        if flags.exchange() {
            rename::exchange(old_dir, old, new_dir, new)
        } else {
            // What a union mount finds there: a device that nobody has.
            let device = crate::format::inode::mode::CHAR;
            let whiteout = || birth(idmap, old_dir, old, device);
            let whiteout = flags.whiteout().then(whiteout);
            rename::rename((old_dir, old), (new_dir, new), whiteout.as_ref())
        }
    }

    fn iterate(file: &DirFile<Ext4>, ctx: &mut DirContext) -> Result {
        dir::iterate(file, ctx)
    }

    fn end_position(file: &DirFile<Ext4>) -> u64 {
        dir::end_position(file)
    }

    fn fsync(dir: &Inode<Ext4>, _data_only: bool) -> Result {
        let info = dir.sb().info();
        info.check_writable()?;
        let Some(journal) = info.journal() else {
            return Ok(());
        };
        // A directory's data is its names, and whatever changes them writes the inode.
        let tid = dir.info().last_tid(false);
        let flush = info.is_on(superblock::Switch::Barrier) && !journal.will_flush_device(tid);
        journal.complete(tid)?;
        if flush {
            info.device.flush()?;
        }
        Ok(())
    }
}

fn birth<'a>(
    idmap: &'a IdMap,
    dir: &'a Inode<Ext4>,
    dentry: &'a Dentry<Ext4>,
    mode: u16,
) -> Birth<'a> {
    Birth {
        idmap,
        dir,
        name: dentry.name(),
        mode,
        device: (0, 0),
        target: &[],
    }
}

/// Starts an operation on names in `dir`.
fn start(dir: &Inode<Ext4>, credits: Credits) -> Result<Operation<'_>> {
    let mut operation = superblock::start(dir.sb(), credits)?;
    if dir.is_dirsync() {
        operation.set_sync();
    }
    Ok(operation)
}

/// Whether `dir` can have one more child directory.
fn has_room_for_child(dir: &Inode<Ext4>) -> bool {
    dir.nlink() < LINK_MAX || counts_to_one(dir)
}

/// Whether `dir` may stop counting its children.
fn counts_to_one(dir: &Inode<Ext4>) -> bool {
    let features = &dir.sb().info().geometry.features;
    features.has_ro_compat(ro_compat::DIR_NLINK) && dir.info().has_flags(flags::INDEX)
}

/// Counts a new child directory of `dir`.
fn count_child(dir: &Inode<Ext4>) {
    if dir.nlink() == 1 {
        return;
    }
    dir.inc_nlink();
    if dir.nlink() > LINK_MAX && counts_to_one(dir) {
        dir.set_nlink(1);
    }
}

/// A child directory of `dir` has gone.
fn uncount_child(dir: &Inode<Ext4>) {
    // 2 are its own; 1 means that nobody counts.
    if dir.nlink() > 2 {
        dir.drop_nlink();
    }
}

/// The entry of `dentry` in `dir`, which leads to the inode that the dentry stands for.
fn entry(dir: &Inode<Ext4>, dentry: &Dentry<Ext4>, ino: InodeNumber) -> Result<dir::Found> {
    let found = dir::find(dir, dentry.name())?.ok_or(ENOENT)?;
    if found.inode != ino {
        let problem = Problem::new("an entry leads to another inode now", found.inode.0.into());
        return Err(inode::report(dir, None, problem));
    }
    Ok(found)
}
