// SPDX-License-Identifier: GPL-2.0

//! Moving and exchanging names.

use super::remove::{before_loss, lost_directory, lost_name};
use super::{count_child, entry, has_room_for_child, start, uncount_child};
use crate::format::Problem;
use crate::inode::create::{abandon, new_inode, Birth};
use crate::jbd_glue::{credits, Operation};
use crate::kern::dentry::Dentry;
use crate::kern::inode::Inode;
use crate::{dir, file, inode, superblock, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Whether `a` and `b` are one inode.
fn same(a: &Inode<Ext4>, b: &Inode<Ext4>) -> bool {
    a.ino() == b.ino()
}

/// Checks that `..` of a directory that is about to move leads where it is.
fn check_parent(inode: &Inode<Ext4>, parent: &Inode<Ext4>) -> Result {
    let found = dir::parent(inode)?;
    if found != parent.ino() {
        let problem = Problem::new("the parent of a directory is another", found.0.into());
        return Err(inode::report(inode, None, problem));
    }
    Ok(())
}

/// Moves `old` to `new`, replacing what has that name. The new inode `whiteout`, if any, is what the
/// old name leads to then.
pub(super) fn rename(
    (old_dir, old): (&Inode<Ext4>, &Dentry<Ext4>),
    (new_dir, new): (&Inode<Ext4>, &Dentry<Ext4>),
    whiteout: Option<&Birth<'_>>,
) -> Result {
    let inode = old.inode().ok_or(ENOENT)?;
    entry(old_dir, old, inode.ino())?;
    let is_dir = inode.is_dir();
    let moves = !same(old_dir, new_dir);
    if let Some(victim) = new.inode() {
        if victim.nlink() == 0 {
            let problem = Problem::new("replacing an inode without links", victim.ino().0.into());
            return Err(inode::report(victim, None, problem));
        }
        if is_dir && !dir::is_empty(victim)? {
            return Err(ENOTEMPTY);
        }
        file::before_replacing(inode);
    } else if is_dir && moves && !has_room_for_child(new_dir) {
        return Err(EMLINK);
    }
    if is_dir && moves {
        check_parent(inode, old_dir)?;
    }
    superblock::with_space(old_dir.sb(), || {
        // The last reference to an inode that was given up goes when the operation has ended.
        let mut last: Option<ARef<Inode<Ext4>>> = None;
        let credits = match whiteout {
            Some(_) => credits::rename_with_whiteout(),
            None => credits::rename(),
        };
        let mut operation = start(old_dir, credits)?;
        if new_dir.is_dirsync() {
            operation.set_sync();
        }
        let stays = match whiteout {
            Some(birth) => Some(new_inode(birth, &mut operation, &mut last)?),
            None => None,
        };
        let (old, new) = ((old_dir, old), (new_dir, new));
        let moved = move_name(old, new, inode, stays.as_deref(), &mut operation);
        last = match (stays, moved) {
            (Some(stays), Err(_)) => Some(abandon(stays, &mut operation)),
            (Some(stays), Ok(())) => Some(stays.unlock()),
            (None, _) => None,
        };
        let stopped = operation.stop();
        drop(last);
        moved.and(stopped)
    })
}

fn move_name(
    (old_dir, old): (&Inode<Ext4>, &Dentry<Ext4>),
    (new_dir, new): (&Inode<Ext4>, &Dentry<Ext4>),
    inode: &Inode<Ext4>,
    whiteout: Option<&Inode<Ext4>>,
    operation: &mut Operation<'_>,
) -> Result {
    let is_dir = inode.is_dir();
    let victim = new.inode();
    match victim {
        Some(victim) => {
            let found = entry(new_dir, new, victim.ino())?;
            let last = is_dir || victim.nlink() <= 1;
            before_loss(victim, last, operation, |operation| {
                dir::redirect(new_dir, new.name(), &found, inode, operation)
            })?;
        }
        None => dir::add(new_dir, new.name(), inode, operation)?,
    }
    // The entry may have moved: adding a name can split the block it is in.
    let found = entry(old_dir, old, inode.ino())?;
    match whiteout {
        Some(stays) => dir::redirect(old_dir, old.name(), &found, stays, operation)?,
        None => dir::remove(old_dir, old.name(), &found, operation)?,
    }
    inode.touch_ctime();
    inode::write_inode_unlocked(inode, operation)?;
    if is_dir && !same(old_dir, new_dir) {
        dir::set_parent(inode, new_dir, operation)?;
        uncount_child(old_dir);
        count_child(new_dir);
    }
    let Some(victim) = victim else {
        return finish_dirs(old_dir, new_dir, is_dir, operation);
    };
    if is_dir {
        uncount_child(new_dir);
        lost_directory(victim, operation)?;
    } else {
        lost_name(victim, operation)?;
    }
    finish_dirs(old_dir, new_dir, is_dir, operation)
}

/// Writes the directories back where their links have changed.
fn finish_dirs(
    old_dir: &Inode<Ext4>,
    new_dir: &Inode<Ext4>,
    is_dir: bool,
    operation: &mut Operation<'_>,
) -> Result {
    if !is_dir {
        return Ok(());
    }
    inode::write_inode_unlocked(old_dir, operation)?;
    if same(old_dir, new_dir) {
        return Ok(());
    }
    inode::write_inode_unlocked(new_dir, operation)
}

/// Exchanges what `a` and `b` stand for.
pub(super) fn exchange(
    a_dir: &Inode<Ext4>,
    a: &Dentry<Ext4>,
    b_dir: &Inode<Ext4>,
    b: &Dentry<Ext4>,
) -> Result {
    let a_inode = a.inode().ok_or(ENOENT)?;
    let b_inode = b.inode().ok_or(ENOENT)?;
    let a_found = entry(a_dir, a, a_inode.ino())?;
    let b_found = entry(b_dir, b, b_inode.ino())?;
    let moves = !same(a_dir, b_dir);
    let both = [(a_inode, a_dir, b_dir), (b_inode, b_dir, a_dir)];
    for (inode, from, to) in both {
        if !moves || !inode.is_dir() {
            continue;
        }
        check_parent(inode, from)?;
        if a_inode.is_dir() != b_inode.is_dir() && !has_room_for_child(to) {
            return Err(EMLINK);
        }
    }
    let mut operation = start(a_dir, credits::rename())?;
    if b_dir.is_dirsync() {
        operation.set_sync();
    }
    dir::redirect(a_dir, a.name(), &a_found, b_inode, &mut operation)?;
    dir::redirect(b_dir, b.name(), &b_found, a_inode, &mut operation)?;
    for (inode, from, to) in both {
        inode.touch_ctime();
        inode::write_inode_unlocked(inode, &mut operation)?;
        if moves && inode.is_dir() {
            dir::set_parent(inode, to, &mut operation)?;
            uncount_child(from);
            count_child(to);
        }
    }
    finish_dirs(a_dir, b_dir, moves, &mut operation)?;
    operation.stop()
}
