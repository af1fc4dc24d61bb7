// SPDX-License-Identifier: GPL-2.0

//! What a file system hangs on the kernel's objects.

/// A file system type, as the generic wrappers here see it.
///
/// [`SuperBlock<F>`](super::super_block::SuperBlock) carries an `F::Super`, an inode of such a
/// super block an `F::Inode`.
pub trait FileSystem: Sized + 'static {
    /// What `s_fs_info` points to.
    type Super: Send + Sync;

    /// What follows the VFS inode in the same allocation.
    type Inode: Send + Sync;
}
