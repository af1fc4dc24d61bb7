// SPDX-License-Identifier: GPL-2.0

//! Inodes by handle, for NFS and `open_by_handle_at`.

use crate::format::units::InodeNumber;
use crate::inode::{iget, Purpose};
use crate::kern::export::{operations, Export, ExportTable};
use crate::kern::inode::Inode;
use crate::kern::super_block::SuperBlock;
use crate::kern::super_ops::SuperOperations;
use crate::{dir, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// How the VFS finds inodes by handle.
pub(crate) static EXPORT: ExportTable = operations::<Ext4>();

impl Export for Ext4 {
    fn by_handle(
        sb: &SuperBlock<Ext4>,
        ino: InodeNumber,
        generation: u32,
    ) -> Result<ARef<Inode<Ext4>>> {
        let inode = iget(sb, ino, Purpose::Handle)?;
        if generation != 0 && inode.generation() != generation {
            return Err(ESTALE);
        }
        Ok(inode)
    }

    fn commit_metadata(inode: &Inode<Ext4>) -> Result {
        // The VFS would write inodes that it takes for dirty, and none ever is.
        <Ext4 as SuperOperations>::write(inode, true)
    }

    fn parent(dir: &Inode<Ext4>) -> Result<ARef<Inode<Ext4>>> {
        let _shared = dir.lock_shared();
        iget(dir.sb(), dir::parent(dir)?, Purpose::Name)
    }
}
