// SPDX-License-Identifier: GPL-2.0

//! Extended attributes of inodes.
//!
//! - here: finding, listing and setting attributes, wherever they lie;
//! - [`block`]: the attribute block, which inodes may share;
//! - [`families`]: `user.`, `trusted.` and `security.`, as the VFS asks for them;
//! - [`report`]: where they lie.
//!
//! # Locks
//!
//! An inode's attributes belong to its `i_data_sem`: held for read to look, for write (with a
//! handle open) to change. The bytes of an inode's list are the inode's, under the table lock of
//! their block; those of an attribute block are under the table lock of that block.
//!
//! # Who calls
//!
//! The VFS, by the tables in `families` and those of the inodes; `acl`; `inode::create` for the
//! labels of a new inode, and `inode::evict`.

pub(crate) mod block;
pub(crate) mod families;
pub(crate) mod report;

use crate::format::features::compat;
use crate::format::xattr::set::Failure;
use crate::format::xattr::{prefix, Attribute, AttributeSet, Attributes, Place};
use crate::format::{problem::Problem, units::PhysicalBlock};
use crate::inode::{self, table};
use crate::jbd_glue::{credits, Operation};
use crate::kern::cred::has_admin_capability;
use crate::kern::inode::Inode;
use crate::kern::jbd2::Credits;
use crate::kern::nofs::NoFs;
use crate::kern::xattr::{How, NameList};
use crate::{superblock, Ext4};
use block::Shared;
use core::ops::ControlFlow;
use kernel::prelude::*;

/// What [`set`] dirties: the block and what allocating one and freeing another take, the inode,
/// the feature in the super block.
pub(crate) const CREDITS: Credits = Credits {
    blocks: credits::ATTRIBUTES + credits::INODE + credits::SUPER,
    revokes: 1,
};

/// Runs `each` on the attributes of the inode, until it has seen enough. Neither may it sleep long
/// nor take locks: it runs under several.
///
/// # Errors
///
/// `EFSCORRUPTED` or `EFSBADCRC` (reported), `EIO`, `ENOMEM`.
fn visit(inode: &Inode<Ext4>, mut each: impl FnMut(&Attribute<'_>) -> ControlFlow<()>) -> Result {
    let _nofs = NoFs::enter();
    let _data = inode.info().data.read();
    let mut walk = |list: Attributes<'_>| {
        for attribute in list {
            if each(&attribute?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let bad = |at, problem: Problem| inode::report(inode, at, problem);
    let extra = inode.info().origin().extra_isize;
    let walked = table::look(inode, |bytes| walk(Attributes::in_inode(bytes, extra)))?;
    if walked.map_err(|problem| bad(None, problem))?.is_break() {
        return Ok(());
    }
    let Some(at) = inode.info().file_acl() else {
        return Ok(());
    };
    let shared = Shared::read(inode, at)?;
    let walked = shared.look(|bytes| walk(Attributes::in_block(bytes)))?;
    walked.map_err(|problem| bad(Some(at), problem))?;
    Ok(())
}

/// Whether the inode has no attribute at all, nor a damaged one.
///
/// # Errors
///
/// `EIO`, `ENOMEM`.
pub(crate) fn is_bare(inode: &Inode<Ext4>) -> Result<bool> {
    let info = inode.info();
    let _nofs = NoFs::enter();
    let _data = info.data.read();
    Ok(info.file_acl().is_none() && !has_list(inode)?)
}

/// Whether attributes lie in the inode, damaged ones too. With `i_data_sem` held.
fn has_list(inode: &Inode<Ext4>) -> Result<bool> {
    let extra = inode.info().origin().extra_isize;
    table::look(inode, |bytes| {
        Attributes::in_inode(bytes, extra).next().is_some()
    })
}

/// Runs `use_value` on the value of an attribute: `name` after the prefix `index`.
///
/// # Errors
///
/// `ENODATA` where there is no such attribute; those of the device, of damage, and of `use_value`.
pub(crate) fn get<R>(
    inode: &Inode<Ext4>,
    index: u8,
    name: &[u8],
    use_value: impl FnOnce(&[u8]) -> Result<R>,
) -> Result<R> {
    let mut use_value = Some(use_value);
    let mut used = Err(ENODATA);
    visit(inode, |attribute| {
        if !attribute.is(index, name) {
            return ControlFlow::Continue(());
        }
        if let Some(use_value) = use_value.take() {
            used = use_value(attribute.value);
        }
        ControlFlow::Break(())
    })?;
    used
}

/// Lists the names that the caller may see.
///
/// # Errors
///
/// `ERANGE` where they do not fit; those of the device and of damage.
pub(crate) fn list(inode: &Inode<Ext4>, names: &mut NameList) -> Result {
    // Asked before the locks are taken.
    let privileged = has_admin_capability();
    let mut listed = Ok(());
    visit(inode, |attribute| {
        let prefix: &[u8] = match attribute.name_index {
            prefix::USER => b"user.",
            prefix::SECURITY => b"security.",
            prefix::TRUSTED if privileged => b"trusted.",
            prefix::ACL_ACCESS => b"system.posix_acl_access",
            prefix::ACL_DEFAULT => b"system.posix_acl_default",
            _ => return ControlFlow::Continue(()),
        };
        listed = names.add(prefix, attribute.name);
        match listed {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    listed
}

/// Sets an attribute in an operation of its own.
///
/// # Errors
///
/// As [`set_in`].
fn set(inode: &Inode<Ext4>, index: u8, name: &[u8], value: Option<&[u8]>, how: How) -> Result {
    let sb = inode.sb();
    sb.info().check_writable()?;
    superblock::with_space(sb, || {
        let mut operation = superblock::start(sb, CREDITS)?;
        if inode.is_sync() {
            operation.set_sync();
        }
        set_in(inode, index, name, value, how, &mut operation)?;
        operation.stop()
    })
}

/// Sets an attribute in a running operation, or removes it where `value` is `None`; writes the
/// inode. Dirties as much as [`CREDITS`] says, and where there is a block already no more than
/// that block and the inode.
///
/// # Errors
///
/// `ENODATA` and `EEXIST` as `how` has it; `ENOSPC` where neither the inode nor a block has room;
/// those of device, journal and damage. Nothing has changed then.
pub(crate) fn set_in(
    inode: &Inode<Ext4>,
    index: u8,
    name: &[u8],
    value: Option<&[u8]>,
    how: How,
    operation: &mut Operation<'_>,
) -> Result {
    let fs = inode.sb().info();
    let info = inode.info();
    let extra = info.origin().extra_isize;
    let data = info.data.write();

    // The set borrows from copies: the lists on disk are written over.
    let mut old_inode = KVec::new();
    table::look(inode, |bytes| {
        old_inode.extend_from_slice(bytes, GFP_KERNEL)
    })??;
    let shared = match info.file_acl() {
        Some(at) => Some(Shared::read(inode, at)?),
        None => None,
    };
    let mut old_block = KVec::new();
    if let Some(shared) = &shared {
        shared.look(|bytes| old_block.extend_from_slice(bytes, GFP_KERNEL))??;
    }
    let old_block = shared.as_ref().map(|_| old_block.as_slice());
    let failed = |failure| failed(inode, info.file_acl(), failure);
    let mut set =
        AttributeSet::read(&old_inode, extra, old_block, inode.block_size()).map_err(failed)?;

    match (set.get(index, name), how) {
        (Some(_), How::Create | How::CreateAndReplace) => return Err(EEXIST),
        (None, How::Replace | How::CreateAndReplace) => return Err(ENODATA),
        (old, _) if old == value => return Ok(()),
        _ => {}
    }
    match value {
        None => set.remove(index, name),
        Some(value) => set
            .set(Attribute {
                name_index: index,
                name,
                value,
            })
            .map_err(failed)?,
    }

    if set.has_changed(Place::Block) {
        block::write(inode, &mut set, shared, operation)?;
    }
    if set.has_changed(Place::Inode) {
        // The fields and the checksum are written below.
        table::edit(inode.sb(), inode.ino(), operation, |bytes| {
            set.encode_in_inode(bytes, extra)
        })?
        .ok_or(EFSCORRUPTED)?;
    }
    inode.touch_ctime();
    inode.bump_version();
    inode::write_inode(inode, &data, operation)?;
    if !fs.with_superblock(|raw| raw.features().has_compat(compat::EXT_ATTR))? {
        fs.update_superblock(operation, |raw| {
            raw.feature_compat
                .set(raw.feature_compat.get() | compat::EXT_ATTR);
        })?;
    }
    Ok(())
}

/// The errno for a set that cannot be read or changed.
fn failed(inode: &Inode<Ext4>, block: Option<PhysicalBlock>, failure: Failure) -> Error {
    match failure {
        Failure::Problem(problem) => inode::report(inode, block, problem),
        Failure::NoMemory => ENOMEM,
        Failure::NoSpace => ENOSPC,
    }
}
