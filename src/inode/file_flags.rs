// SPDX-License-Identifier: GPL-2.0

//! The flags that `lsattr` shows and `chattr` changes.

use super::{attr, set_flags};
use crate::format::inode::flags;
use crate::kern::attr::{FileAttr, IdMap};
use crate::kern::dentry::Dentry;
use crate::kern::inode::Inode;
use crate::kern::inode_ops::FileFlags;
use crate::Ext4;
use kernel::prelude::*;

/// What would take more than to change the flag: another way to keep data or names.
const FIXED: u32 = flags::JOURNAL_DATA | flags::EXTENTS | flags::CASEFOLD;

impl FileFlags for Ext4 {
    fn flags(dentry: &Dentry<Ext4>, answer: FileAttr<'_>) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        let shown = flags::VISIBLE & flags::fitting(inode.mode());
        answer.answer(inode.info().flags() & shown);
        Ok(())
    }

    fn set_flags(_idmap: &IdMap, dentry: &Dentry<Ext4>, asked: FileAttr<'_>) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        inode.sb().info().check_writable()?;
        if asked.project() != 0 {
            return Err(EOPNOTSUPP);
        }
        let old = inode.info().flags();
        let new = changed(old, asked.flags(), inode.mode())?;
        if inode.is_regular() && new & !old & flags::IMMUTABLE != 0 {
            settle(inode)?;
        }
        attr::update(inode, || {
            set_flags(inode, new);
            inode.touch_ctime();
            inode.bump_version();
        })
    }
}

/// The flags of a file with `old` ones and this `mode` of which somebody wants to have `wanted`
/// ones.
///
/// # Errors
///
/// `EOPNOTSUPP` for flags that no such file can have or lose, `EPERM` where the file stays
/// immutable.
fn changed(old: u32, wanted: u32, mode: u16) -> Result<u32> {
    if wanted & !flags::VISIBLE != 0 {
        return Err(EOPNOTSUPP);
    }
    // chattr(1) gives back what it read: what can be seen and not changed is no error.
    let change = (old ^ wanted) & flags::CHANGEABLE;
    if change & wanted & !flags::fitting(mode) != 0 || change & FIXED != 0 {
        return Err(EOPNOTSUPP);
    }
    if old & wanted & flags::IMMUTABLE != 0 && change != 0 {
        return Err(EPERM);
    }
    Ok(old ^ change)
}

/// Writes a file out that is about to become immutable, so that each page is write-protected and
/// the next store to it fails.
fn settle(inode: &Inode<Ext4>) -> Result {
    inode.wait_for_direct_io();
    inode.write_and_wait(0..u64::MAX)
}
