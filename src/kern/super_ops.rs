// SPDX-License-Identifier: GPL-2.0

//! The operations of a mounted file system (`struct super_operations`).
//!
//! C header: `include/linux/fs/super_types.h`.

use super::dentry::Dentry;
use super::fs::FileSystem;
use super::inode::{alloc_inode, free_inode, Inode, InodeMaker};
use super::ops::{shim1, shim2, zeroed, CObject, Table};
use super::super_block::{put_super, Close, SuperBlock};
use crate::bindings;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::types::Opaque;

/// What a mounted file system can be asked to do.
pub trait SuperOperations: Close + InodeMaker {
    /// The last reference to `inode` is gone, and it is not kept in memory.
    fn evict(inode: &Inode<Self>);

    /// The VFS has changed `inode` in memory, its timestamps mostly; `only_lazy_time` asks for no
    /// more than to write them one day. May sleep.
    fn dirtied(inode: &Inode<Self>, only_lazy_time: bool);

    /// Writes `inode` to disk, and waits for it where `wait` is set.
    ///
    /// # Errors
    ///
    /// Those of the journal.
    fn write(inode: &Inode<Self>, wait: bool) -> Result;

    /// Brings what has been changed onto the disk, and waits for it where `wait` is set. Dirty data
    /// has been written.
    ///
    /// # Errors
    ///
    /// Those of journal and device.
    fn sync(sb: &SuperBlock<Self>, wait: bool) -> Result;

    /// Brings the device into a state that needs no recovery; nobody writes until
    /// [`unfreeze`](Self::unfreeze).
    ///
    /// # Errors
    ///
    /// Those of journal and device; the file system is not frozen then.
    fn freeze(sb: &SuperBlock<Self>) -> Result;

    /// Ends [`freeze`](Self::freeze).
    fn unfreeze(sb: &SuperBlock<Self>) -> Result;

    /// The device has gone.
    fn device_gone(sb: &SuperBlock<Self>);

    /// The figures of statfs(2).
    fn figures(sb: &SuperBlock<Self>) -> Figures;

    /// Prints the mount options, each with a comma before it.
    fn show_options(sb: &SuperBlock<Self>, out: &SeqFile);
}

/// The figures of statfs(2), in file-system blocks.
pub struct Figures {
    /// `f_bsize`, bytes.
    pub block_size: isize,
    /// `f_blocks`.
    pub blocks: u64,
    /// `f_bfree`.
    pub free: u64,
    /// `f_bavail`.
    pub available: u64,
    /// `f_files`.
    pub inodes: u64,
    /// `f_ffree`.
    pub free_inodes: u64,
    /// `f_type`.
    pub magic: isize,
    /// `f_namelen`.
    pub name_len: isize,
    /// The UUID, for `f_fsid`.
    pub uuid: [u8; 16],
}

/// Where the figures go.
#[repr(transparent)]
pub struct StatBuffer(Opaque<bindings::kstatfs>);

// SAFETY: Transparent over the C struct.
unsafe impl CObject for StatBuffer {
    type C = bindings::kstatfs;
}

// SAFETY: Transparent over the C struct, which both bindings describe alike; one thread uses it
// during `show`.
unsafe impl CObject for SeqFile {
    type C = bindings::seq_file;
}

impl StatBuffer {
    fn fill(&self, figures: &Figures) {
        let uuid = u128::from_le_bytes(figures.uuid);
        // The halves of the UUID, folded: what C calls `uuid_to_fsid()`.
        let id = (uuid >> 64) as u64 ^ uuid as u64;
        // SAFETY: The VFS passes a buffer that is ours during the call.
        unsafe {
            let stat = self.0.get();
            (*stat).f_type = figures.magic;
            (*stat).f_bsize = figures.block_size;
            (*stat).f_blocks = figures.blocks;
            (*stat).f_bfree = figures.free;
            (*stat).f_bavail = figures.available;
            (*stat).f_files = figures.inodes;
            (*stat).f_ffree = figures.free_inodes;
            (*stat).f_namelen = figures.name_len;
            (*stat).f_fsid.val = [id as i32, (id >> 32) as i32];
        }
    }
}

/// Why an inode is written.
#[repr(transparent)]
pub struct WritebackControl(Opaque<bindings::writeback_control>);

// SAFETY: Transparent over the C struct.
unsafe impl CObject for WritebackControl {
    type C = bindings::writeback_control;
}

impl WritebackControl {
    /// Whether somebody waits for the data to be on disk, and sync(2) is not about to commit
    /// everything anyway.
    fn waits(&self) -> bool {
        // SAFETY: The VFS passes a control that nobody changes during the call.
        unsafe {
            let wbc = self.0.get();
            (*wbc).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL && (*wbc).for_sync() == 0
        }
    }
}

fn write<F: SuperOperations>(inode: &Inode<F>, control: &WritebackControl) -> Result {
    F::write(inode, control.waits())
}

fn dirtied<F: SuperOperations>(inode: &Inode<F>, flags: i32) {
    F::dirtied(
        inode,
        flags as u32 == bindings::inode_state_flags_enum_I_DIRTY_TIME,
    );
}

fn sync<F: SuperOperations>(sb: &SuperBlock<F>, wait: i32) -> Result {
    F::sync(sb, wait != 0)
}

fn statfs<F: SuperOperations>(dentry: &Dentry<F>, buffer: &StatBuffer) -> Result {
    buffer.fill(&F::figures(super_block(dentry)));
    Ok(())
}

fn show_options<F: SuperOperations>(out: &SeqFile, root: &Dentry<F>) -> Result {
    F::show_options(super_block(root), out);
    Ok(())
}

/// The super block that `dentry` belongs to.
fn super_block<F: FileSystem>(dentry: &Dentry<F>) -> &SuperBlock<F> {
    // SAFETY: A dentry lives shorter than its super block, which is one of `F`.
    unsafe { SuperBlock::from_raw((*dentry.as_ptr()).d_sb) }
}

/// A table of operations.
pub type SuperTable = Table<bindings::super_operations>;

/// The table of `F`.
pub const fn operations<F: SuperOperations>() -> SuperTable {
    Table::new(bindings::super_operations {
        alloc_inode: Some(alloc_inode::<F>),
        free_inode: Some(free_inode::<F>),
        dirty_inode: Some(shim2(&dirtied::<F>)),
        write_inode: Some(shim2(&write::<F>)),
        evict_inode: Some(shim1(&F::evict)),
        put_super: Some(put_super::<F>()),
        sync_fs: Some(shim2(&sync::<F>)),
        freeze_fs: Some(shim1(&F::freeze)),
        unfreeze_fs: Some(shim1(&F::unfreeze)),
        shutdown: Some(shim1(&F::device_gone)),
        statfs: Some(shim2(&statfs::<F>)),
        show_options: Some(shim2(&show_options::<F>)),
        ..zeroed()
    })
}
