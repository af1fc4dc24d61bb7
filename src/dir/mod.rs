// SPDX-License-Identifier: GPL-2.0

//! Directories: [`crate::dirblock`] works on their entries, here are the blocks it asks for, and
//! what the VFS asks about open directories.
//!
//! Blocks of directories are metadata: read through buffers, never through the page cache, and
//! changed in a handle. The directory's rwsem owns them, shared to look, exclusive to change.

pub(crate) mod blocks;

use crate::dirblock::{self, file_type, Format, Position};
use crate::format::units::InodeNumber;
use crate::jbd_glue::Operation;
use crate::kern::dir_context::DirContext;
use crate::kern::inode::{Inode, InodeKind};
use crate::kern::inode_ops::DirFile;
use crate::{inode, Ext4};
use blocks::{DirEdit, DirView};
use kernel::prelude::*;

/// The longest name, in bytes.
pub(crate) const NAME_MAX: usize = dirblock::NAME_MAX;

/// An entry that was found; see [`dirblock::Found`].
pub(crate) type Found = dirblock::Found<crate::kern::buffer::Buffer>;

/// What the blocks of `dir` are like.
pub(crate) fn format(dir: &Inode<Ext4>) -> Format {
    Format::new(&dir.sb().info().geometry, dir.ino(), dir.generation())
}

/// Finds `name` in `dir`.
///
/// # Errors
///
/// `ENAMETOOLONG`; `EFSCORRUPTED` or `EFSBADCRC`, reported; `EIO`, `ENOMEM`.
pub(crate) fn find(dir: &Inode<Ext4>, name: &[u8]) -> Result<Option<Found>> {
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    dirblock::lookup(&DirView(dir), &format(dir), name)
}

/// Adds `name` for `inode` to `dir`, where it is not yet; sets times and version of `dir`, and
/// writes it back.
///
/// # Errors
///
/// As [`find`], and `ENOSPC`. The name is not there then.
pub(crate) fn add(
    dir: &Inode<Ext4>,
    name: &[u8],
    inode: &Inode<Ext4>,
    operation: &mut Operation<'_>,
) -> Result {
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    let file_type = file_type::from_mode(inode.mode());
    let mut blocks = DirEdit::new(dir, operation);
    let added = dirblock::add(&mut blocks, &format(dir), name, inode.ino(), file_type);
    if added.is_err() {
        // The directory may have got an index on the way to a block that was not there. Where this
        // fails the journal has aborted, and nothing of it will be seen.
        let _ = inode::write_inode_unlocked(dir, operation);
        return added;
    }
    changed(dir, operation)
}

/// Removes the entry `found` of `name` from `dir`; the rest as [`add`].
pub(crate) fn remove(
    dir: &Inode<Ext4>,
    name: &[u8],
    found: &Found,
    operation: &mut Operation<'_>,
) -> Result {
    let mut blocks = DirEdit::new(dir, operation);
    dirblock::remove(&mut blocks, &format(dir), name, found)?;
    changed(dir, operation)
}

/// Makes the entry `found` of `name` in `dir` lead to `inode`, of type `file_type`; the rest as
/// [`add`].
pub(crate) fn redirect(
    dir: &Inode<Ext4>,
    name: &[u8],
    found: &Found,
    inode: &Inode<Ext4>,
    operation: &mut Operation<'_>,
) -> Result {
    let file_type = file_type::from_mode(inode.mode());
    let mut blocks = DirEdit::new(dir, operation);
    dirblock::change(
        &mut blocks,
        &format(dir),
        name,
        found,
        inode.ino(),
        file_type,
    )?;
    changed(dir, operation)
}

fn changed(dir: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    dir.touch_mtime();
    dir.bump_version();
    inode::write_inode_unlocked(dir, operation)
}

/// Gives the new directory `dir`, a child of `parent`, its first block.
pub(crate) fn init(
    dir: &Inode<Ext4>,
    parent: &Inode<Ext4>,
    operation: &mut Operation<'_>,
) -> Result {
    let mut blocks = DirEdit::new(dir, operation);
    dirblock::init(&mut blocks, &format(dir), dir.ino(), parent.ino())
}

/// The inode that `..` of `dir` leads to.
pub(crate) fn parent(dir: &Inode<Ext4>) -> Result<InodeNumber> {
    dirblock::parent(&DirView(dir), &format(dir))
}

/// Makes `..` of `dir` lead to `parent`.
pub(crate) fn set_parent(
    dir: &Inode<Ext4>,
    parent: &Inode<Ext4>,
    operation: &mut Operation<'_>,
) -> Result {
    let mut blocks = DirEdit::new(dir, operation);
    dirblock::set_parent(&mut blocks, &format(dir), parent.ino())
}

/// Whether `dir` holds nothing but `.` and `..`.
pub(crate) fn is_empty(dir: &Inode<Ext4>) -> Result<bool> {
    dirblock::is_empty(&DirView(dir), &format(dir))
}

/// Reads entries of an open directory into `ctx`.
pub(crate) fn iterate(file: &DirFile<Ext4>, ctx: &mut DirContext) -> Result {
    let dir = file.inode();
    let mut position = Position {
        cookie: ctx.pos(),
        skip: u32::try_from(file.taken()).unwrap_or(0),
        short: file.has_short_positions(),
    };
    let read = dirblock::read_dir(
        &DirView(dir),
        &format(dir),
        &mut position,
        |cookie, name, ino, file_type| {
            ctx.set_pos(cookie);
            ctx.emit(name, ino, kind(file_type))
        },
    );
    ctx.set_pos(position.cookie);
    file.set_taken(usize::try_from(position.skip)?);
    read
}

/// Where the positions of an open directory end.
pub(crate) fn end_position(file: &DirFile<Ext4>) -> u64 {
    let dir = file.inode();
    let view = DirView(dir);
    match (
        dirblock::is_by_hash(&view, &format(dir)),
        file.has_short_positions(),
    ) {
        (true, false) => dirblock::END,
        (true, true) => dirblock::SHORT_END,
        (false, _) => dir.size().max(dir.block_size().bytes()),
    }
}

fn kind(file_type: u8) -> Option<InodeKind> {
    Some(match file_type {
        file_type::REGULAR => InodeKind::Regular,
        file_type::DIRECTORY => InodeKind::Directory,
        file_type::CHAR => InodeKind::CharDevice,
        file_type::BLOCK => InodeKind::BlockDevice,
        file_type::FIFO => InodeKind::Fifo,
        file_type::SOCKET => InodeKind::Socket,
        file_type::SYMLINK => InodeKind::Symlink,
        _ => return None,
    })
}
