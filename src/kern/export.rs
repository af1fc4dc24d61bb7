// SPDX-License-Identifier: GPL-2.0

//! File handles: how NFS and `open_by_handle_at` find an inode again.
//!
//! A handle is the inode's number and generation, and for a file on request those of its
//! directory.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::fs::FileSystem;
use super::inode::Inode;
use super::ops::{shim1, zeroed, Table};
use super::super_block::SuperBlock;
use crate::bindings;
use crate::format::units::InodeNumber;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// How the VFS finds inodes by handle.
pub type ExportTable = Table<bindings::export_operations>;

/// A file system whose inodes can be found by a handle.
pub trait Export: FileSystem {
    /// The inode `ino`, which is in use with this generation; 0 stands for any.
    ///
    /// # Errors
    ///
    /// `ESTALE` where that is no inode, or another one by now.
    fn by_handle(
        sb: &SuperBlock<Self>,
        ino: InodeNumber,
        generation: u32,
    ) -> Result<ARef<Inode<Self>>>;

    /// Waits until all that was changed of `inode` is on disk: names in it, where it is a directory.
    ///
    /// # Errors
    ///
    /// Those of the journal.
    fn commit_metadata(inode: &Inode<Self>) -> Result;

    /// The directory that a directory is in. No lock is held.
    fn parent(dir: &Inode<Self>) -> Result<ARef<Inode<Self>>>;
}

/// The table of `F`.
pub const fn operations<F: Export>() -> ExportTable {
    Table::new(bindings::export_operations {
        encode_fh: Some(bindings::generic_encode_ino32_fh),
        fh_to_dentry: Some(fh_to_dentry::<F>),
        fh_to_parent: Some(fh_to_parent::<F>),
        get_parent: Some(get_parent::<F>),
        commit_metadata: Some(shim1(&F::commit_metadata)),
        ..zeroed()
    })
}

/// # Safety
///
/// Called by [`fh_to_dentry`] and [`fh_to_parent`] through C, with their super block.
unsafe extern "C" fn get_inode<F: Export>(
    sb: *mut bindings::super_block,
    ino: u64,
    generation: u32,
) -> *mut bindings::inode {
    let Ok(ino) = u32::try_from(ino) else {
        return ESTALE.to_ptr();
    };
    // SAFETY: By the function's contract.
    let sb = unsafe { SuperBlock::<F>::from_raw(sb) };
    match F::by_handle(sb, InodeNumber(ino), generation) {
        Ok(inode) => ARef::into_raw(inode).as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// The VFS calls it for a mounted file system of `F`.
unsafe extern "C" fn fh_to_dentry<F: Export>(
    sb: *mut bindings::super_block,
    handle: *mut bindings::fid,
    len: c_int,
    kind: c_int,
) -> *mut bindings::dentry {
    // SAFETY: By the function's contract.
    unsafe { bindings::generic_fh_to_dentry(sb, handle, len, kind, Some(get_inode::<F>)) }
}

/// # Safety
///
/// The VFS calls it for a mounted file system of `F`.
unsafe extern "C" fn fh_to_parent<F: Export>(
    sb: *mut bindings::super_block,
    handle: *mut bindings::fid,
    len: c_int,
    kind: c_int,
) -> *mut bindings::dentry {
    // SAFETY: By the function's contract.
    unsafe { bindings::generic_fh_to_parent(sb, handle, len, kind, Some(get_inode::<F>)) }
}

/// # Safety
///
/// The VFS calls it for a dentry of a directory of `F`.
unsafe extern "C" fn get_parent<F: Export>(child: *mut bindings::dentry) -> *mut bindings::dentry {
    // SAFETY: By the function's contract the dentry has an inode, which it keeps.
    let dir = unsafe { Inode::<F>::from_raw((*child).d_inode) };
    match F::parent(dir) {
        // SAFETY: Takes the reference over.
        Ok(parent) => unsafe { bindings::d_obtain_alias(ARef::into_raw(parent).as_ptr().cast()) },
        Err(error) => error.to_ptr(),
    }
}
