// SPDX-License-Identifier: GPL-2.0

//! New names: for new inodes, and for one that has a name already.

use super::{count_child, has_room_for_child, start, uncount_child, LINK_MAX};
use crate::format::inode::mode;
use crate::inode::create::{abandon, new_inode, Birth};
use crate::jbd_glue::{credits, Operation};
use crate::kern::dentry::Dentry;
use crate::kern::inode::{Inode, NewInode};
use crate::kern::inode_ops::TmpFile;
use crate::superblock::{self, orphan};
use crate::{dir, inode, symlink, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Makes an inode and names it `dentry`.
pub(super) fn make(dentry: &Dentry<Ext4>, birth: &Birth<'_>) -> Result {
    let parent = birth.dir;
    let is_dir = birth.mode & mode::TYPE == mode::DIRECTORY;
    if birth.name.len() > dir::NAME_MAX || birth.target.len() > symlink::target_max(parent) {
        return Err(ENAMETOOLONG);
    }
    if is_dir && !has_room_for_child(parent) {
        return Err(EMLINK);
    }
    superblock::with_space(parent.sb(), || {
        // Outlives the operation: an inode that was given up is freed in one of its own.
        let mut given_up = None;
        let mut operation = start(parent, credits::create())?;
        let inode = new_inode(birth, &mut operation, &mut given_up)?;
        let named = furnish(birth, &inode, &mut operation).and_then(|()| {
            if is_dir {
                // Before, so that the directory is written once.
                count_child(parent);
            }
            dir::add(parent, birth.name, &inode, &mut operation).inspect_err(|_| {
                if is_dir {
                    uncount_child(parent);
                    // As in `dir::add`.
                    let _ = inode::write_inode_unlocked(parent, &mut operation);
                }
            })
        });
        if let Err(error) = named {
            given_up = Some(abandon(inode, &mut operation));
            drop(operation);
            drop(given_up);
            return Err(error);
        }
        dentry.instantiate_new(inode);
        operation.stop()
    })
}

/// Gives a new inode what it has besides itself.
fn furnish(birth: &Birth<'_>, inode: &NewInode<Ext4>, operation: &mut Operation<'_>) -> Result {
    match birth.mode & mode::TYPE {
        mode::DIRECTORY => {
            inode.set_nlink(2);
            dir::init(inode, birth.dir, operation)
        }
        mode::SYMLINK if !birth.is_fast_symlink() => {
            symlink::init_block(inode, birth.target, operation)
        }
        _ => Ok(()),
    }
}

/// Makes a regular file without a name for `file`.
pub(super) fn make_unnamed(file: &TmpFile<Ext4>, birth: &Birth<'_>) -> Result {
    superblock::with_space(birth.dir.sb(), || {
        let mut given_up: Option<ARef<Inode<Ext4>>> = None;
        let mut operation = start(birth.dir, credits::create())?;
        let inode = new_inode(birth, &mut operation, &mut given_up)?;
        if let Err(error) = orphan::add(&inode, &mut operation) {
            given_up = Some(abandon(inode, &mut operation));
            drop(operation);
            drop(given_up);
            return Err(error);
        }
        file.set(inode);
        operation.stop()
    })
}

/// Names the inode of `old` also `dentry`.
pub(super) fn link(old: &Dentry<Ext4>, parent: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
    let inode = old.inode().ok_or(ENOENT)?;
    if inode.nlink() >= LINK_MAX {
        return Err(EMLINK);
    }
    superblock::with_space(parent.sb(), || {
        let mut operation = start(parent, credits::link())?;
        inode.inc_nlink();
        inode.touch_ctime();
        if let Err(error) = dir::add(parent, dentry.name(), inode, &mut operation) {
            inode.drop_nlink();
            return Err(error);
        }
        // It had none: an unnamed file gets its first name.
        if inode.nlink() == 1 && !inode.info().is_half_cut() {
            orphan::remove(inode, &mut operation)?;
        }
        inode::write_inode_unlocked(inode, &mut operation)?;
        dentry.instantiate(ARef::from(inode));
        operation.stop()
    })
}
