// SPDX-License-Identifier: GPL-2.0

//! Attributes: `chmod`, `chown`, `truncate`, `utimes`, `stat`.

use super::table;
use crate::format::inode::flags;
use crate::jbd_glue::credits;
use crate::kern::attr::{AttrChange, IdMap, Stat, StatAttr, StatPath};
use crate::kern::dentry::Dentry;
use crate::kern::inode::Inode;
use crate::kern::inode_ops::{special_inode_table, Attributes, InodeTable};
use crate::kern::xattr::NameList;
use crate::{superblock, truncate, xattr, Ext4};
use kernel::prelude::*;

/// Bytes beyond the first 128 that an inode needs to know when it was created.
const CRTIME_END: u16 = 24;

/// Inodes with attributes only: devices, fifos, sockets.
pub(crate) static SPECIAL_INODE: InodeTable = special_inode_table::<Ext4>();

impl Attributes for Ext4 {
    type Fs = Ext4;

    fn setattr(idmap: &IdMap, dentry: &Dentry<Ext4>, change: AttrChange<'_>) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        inode.sb().info().check_writable()?;
        if inode.is_immutable() || (inode.is_append_only() && change.touches_ownership()) {
            return Err(EPERM);
        }
        change.prepare(idmap, dentry)?;
        // Cutting a file to the size that it has is no change that anybody counts.
        let counts = change.size() != Some(inode.size());
        if let Some(size) = change.size() {
            if !inode.is_regular() {
                return Err(EINVAL);
            }
            truncate::set_size(inode, size)?;
        }
        update(inode, || {
            change.apply(idmap, inode);
            if counts {
                inode.bump_version();
            }
        })?;
        if change.touches_mode() {
            dentry.follow_mode_with_acl(idmap, inode)?;
        }
        Ok(())
    }

    fn getattr(
        idmap: &IdMap,
        path: StatPath<'_, Ext4>,
        stat: Stat<'_>,
        request: u32,
        _flags: u32,
    ) -> Result {
        let inode = path.dentry().inode().ok_or(ENOENT)?;
        let info = inode.info();
        let origin = info.origin();
        stat.fill(idmap, request, inode);
        if origin.extra_isize >= CRTIME_END {
            stat.set_birth_time(origin.crtime);
        }
        for (flag, attr) in [
            (flags::COMPR, StatAttr::Compressed),
            (flags::IMMUTABLE, StatAttr::Immutable),
            (flags::APPEND, StatAttr::Append),
            (flags::NODUMP, StatAttr::NoDump),
        ] {
            stat.set_attr(attr, info.has_flags(flag));
        }
        if inode.is_regular() {
            // Data in the page cache that has no block yet will have one.
            let delayed = inode.block_size().bytes_of(info.delayed_blocks().into());
            stat.add_blocks(delayed / 512);
            if Stat::asks_for_direct_alignment(request) {
                stat.set_direct_alignment(inode.sb().info().device.direct_alignment());
            }
        }
        Ok(())
    }

    fn list_attributes(dentry: &Dentry<Ext4>, names: &mut NameList) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        xattr::list(inode, names)
    }
}

/// Makes `change` and writes the inode, in an operation of its own.
pub(super) fn update(inode: &Inode<Ext4>, change: impl FnOnce()) -> Result {
    let mut operation = superblock::start(inode.sb(), credits::inode_update())?;
    if inode.is_sync() {
        operation.set_sync();
    }
    change();
    table::write_inode_unlocked(inode, &mut operation)?;
    operation.stop()
}
