// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists, which are kept as attributes.

use crate::format::acl::{encode, List};
use crate::format::xattr::prefix;
use crate::inode;
use crate::jbd_glue::Operation;
use crate::kern::acl::{AclKind, Inherited, PosixAcl};
use crate::kern::attr::IdMap;
use crate::kern::dentry::Dentry;
use crate::kern::inode::Inode;
use crate::kern::inode_ops::AccessLists;
use crate::kern::xattr::How;
use crate::{superblock, xattr, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// The attribute that holds a list; it has no name but the prefix.
fn index(kind: AclKind) -> u8 {
    match kind {
        AclKind::Access => prefix::ACL_ACCESS,
        AclKind::Default => prefix::ACL_DEFAULT,
    }
}

impl AccessLists for Ext4 {
    fn get_acl(
        inode: &Inode<Ext4>,
        kind: AclKind,
        must_not_sleep: bool,
    ) -> Result<Option<ARef<PosixAcl>>> {
        if must_not_sleep {
            return Err(ECHILD);
        }
        let found = xattr::get(inode, index(kind), b"", |value| {
            let list = List::parse(value).map_err(|_| EINVAL)?;
            PosixAcl::new(list.entries())
        });
        match found {
            Ok(acl) => Ok(Some(acl)),
            Err(error) if error == ENODATA => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_acl(
        idmap: &IdMap,
        dentry: &Dentry<Ext4>,
        acl: Option<&PosixAcl>,
        kind: AclKind,
    ) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        let sb = inode.sb();
        sb.info().check_writable()?;
        superblock::with_space(sb, || {
            let mut operation = superblock::start(sb, xattr::CREDITS)?;
            if inode.is_sync() {
                operation.set_sync();
            }
            let (mut acl, mut mode) = (acl, inode.mode());
            if kind == AclKind::Access {
                mode = inode.mode_with_acl(idmap, &mut acl)?;
            }
            store(inode, kind, acl, &mut operation)?;
            if mode != inode.mode() {
                inode.set_mode(mode);
                inode.touch_ctime();
                inode::write_inode_unlocked(inode, &mut operation)?;
            }
            operation.stop()
        })
    }
}

/// Keeps a list with the inode, in a running operation; `None` removes it.
fn store(
    inode: &Inode<Ext4>,
    kind: AclKind,
    acl: Option<&PosixAcl>,
    operation: &mut Operation<'_>,
) -> Result {
    if kind == AclKind::Default && !inode.is_dir() {
        return match acl {
            Some(_) => Err(EACCES),
            None => Ok(()),
        };
    }
    let value = match acl {
        Some(acl) => Some(encode(acl.entries())?),
        None => None,
    };
    xattr::set_in(
        inode,
        index(kind),
        b"",
        value.as_deref(),
        How::Any,
        operation,
    )?;
    inode.cache_acl(kind, acl);
    Ok(())
}

/// Notes where a directory that was just read has no lists, so that the VFS passes through it
/// without asking.
///
/// # Errors
///
/// `EIO`.
pub(crate) fn note_absence(inode: &Inode<Ext4>) -> Result {
    if inode.is_dir() && xattr::is_bare(inode)? {
        inode.cache_acl(AclKind::Default, None);
        inode.cache_acl(AclKind::Access, None);
    }
    Ok(())
}

/// Keeps what a new inode inherited, in the operation that makes it.
///
/// # Errors
///
/// As [`xattr::set_in`].
pub(crate) fn init(
    inode: &Inode<Ext4>,
    inherited: &Inherited,
    operation: &mut Operation<'_>,
) -> Result {
    for (kind, acl) in [
        (AclKind::Default, inherited.default.as_deref()),
        (AclKind::Access, inherited.access.as_deref()),
    ] {
        match acl {
            Some(acl) => store(inode, kind, Some(acl), operation)?,
            // So that nobody looks on the disk.
            None => inode.cache_acl(kind, None),
        }
    }
    Ok(())
}
