// SPDX-License-Identifier: GPL-2.0

//! Removing names.

use super::{count_child, entry, start, uncount_child};
use crate::inode::OrphanState;
use crate::jbd_glue::{credits, Operation};
use crate::kern::dentry::Dentry;
use crate::kern::inode::Inode;
use crate::superblock::orphan;
use crate::{dir, fs_warn, inode, Ext4};
use kernel::prelude::*;

/// Takes a name from an inode that is no directory.
pub(super) fn unlink(parent: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
    let inode = dentry.inode().ok_or(ENOENT)?;
    let found = entry(parent, dentry, inode.ino())?;
    let mut operation = start(parent, credits::unlink())?;
    let last = inode.nlink() <= 1;
    before_loss(inode, last, &mut operation, |operation| {
        dir::remove(parent, dentry.name(), &found, operation)
    })?;
    lost_name(inode, &mut operation)?;
    operation.stop()
}

/// Takes a name from `inode` with `take`. Where it is the `last` one the inode is on record as an
/// orphan before: that can fail, and the name must still be there then.
pub(super) fn before_loss<'j>(
    inode: &Inode<Ext4>,
    last: bool,
    operation: &mut Operation<'j>,
    take: impl FnOnce(&mut Operation<'j>) -> Result,
) -> Result {
    let goes = last && inode.info().orphan() == OrphanState::No;
    if goes {
        orphan::add(inode, operation)?;
    }
    take(operation).inspect_err(|_| {
        if goes {
            // Best effort: what fails here too has stopped the file system.
            let _ = orphan::remove(inode, operation);
        }
    })
}

/// An inode that is no directory has lost a name.
pub(super) fn lost_name(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    if inode.nlink() == 0 {
        fs_warn!(
            inode.sb(),
            "inode #{}: had a name and no link",
            inode.ino().0
        );
    }
    inode.drop_nlink();
    left_behind(inode, operation)
}

/// Writes an inode that has lost a name, and makes it an orphan where that was the last.
fn left_behind(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    inode.touch_ctime();
    if inode.nlink() == 0 {
        orphan::add(inode, operation)?;
    }
    inode::write_inode_unlocked(inode, operation)
}

/// A directory has lost its name.
pub(super) fn lost_directory(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    inode.bump_version();
    inode.clear_nlink();
    left_behind(inode, operation)
}

/// Removes an empty directory.
pub(super) fn rmdir(parent: &Inode<Ext4>, dentry: &Dentry<Ext4>) -> Result {
    let inode = dentry.inode().ok_or(ENOENT)?;
    let found = entry(parent, dentry, inode.ino())?;
    if !dir::is_empty(inode)? {
        return Err(ENOTEMPTY);
    }
    let mut operation = start(parent, credits::unlink())?;
    uncount_child(parent);
    before_loss(inode, true, &mut operation, |operation| {
        dir::remove(parent, dentry.name(), &found, operation)
    })
    .inspect_err(|_| count_child(parent))?;
    lost_directory(inode, &mut operation)?;
    operation.stop()
}
