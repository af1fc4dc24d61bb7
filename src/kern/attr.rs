// SPDX-License-Identifier: GPL-2.0

//! Attributes: what `chmod`, `chown`, `truncate` and `utimes` ask for, what `stat` answers, and
//! the map of owners of the mount that the caller came through.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h) (`struct iattr`),
//! [`include/linux/stat.h`](srctree/include/linux/stat.h) (`struct kstat`),
//! [`include/linux/mnt_idmapping.h`](srctree/include/linux/mnt_idmapping.h)

use super::dentry::Dentry;
use super::fs::FileSystem;
use super::inode::{Inode, Timestamp};
use super::ops::{CObject, FromC};
use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// How a mount maps owners.
#[repr(transparent)]
pub struct IdMap(Opaque<bindings::mnt_idmap>);

// SAFETY: Transparent over the C struct.
unsafe impl CObject for IdMap {
    type C = bindings::mnt_idmap;
}

impl IdMap {
    pub(super) fn as_ptr(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }

    /// Gives a fresh inode its owner, group and mode, as a child of `dir`.
    pub fn init_owner<F: FileSystem>(&self, inode: &Inode<F>, dir: &Inode<F>, mode: u16) {
        // SAFETY: Both inodes are live, the map is valid.
        unsafe { bindings::inode_init_owner(self.as_ptr(), inode.as_ptr(), dir.as_ptr(), mode) }
    }

    /// As [`init_owner`](Self::init_owner), but always with the group of `dir`, and the mode as it
    /// is: what BSD does.
    pub fn init_owner_as_bsd<F: FileSystem>(&self, inode: &Inode<F>, dir: &Inode<F>, mode: u16) {
        self.init_owner(inode, dir, mode);
        inode.set_owner(inode.uid(), dir.gid());
        inode.set_mode(mode);
    }
}

/// A request to change attributes (`struct iattr`), which belongs to the call it came with.
pub struct AttrChange<'a>(&'a Opaque<bindings::iattr>);

// SAFETY: The VFS passes a valid `struct iattr` that only this call uses.
unsafe impl FromC for AttrChange<'_> {
    type C = *mut bindings::iattr;

    unsafe fn from_c(c: Self::C) -> Self {
        // SAFETY: As above.
        Self(unsafe { &*c.cast() })
    }
}

impl AttrChange<'_> {
    fn valid(&self) -> u32 {
        // SAFETY: The pointer is valid, and nobody else changes the struct.
        unsafe { (*self.0.get()).ia_valid }
    }

    /// The new size, where one is asked for.
    pub fn size(&self) -> Option<u64> {
        // SAFETY: As above. CAST: `setattr_prepare()` has refused negative sizes, and the VFS too.
        (self.valid() & bindings::ATTR_SIZE != 0).then(|| unsafe { (*self.0.get()).ia_size as u64 })
    }

    /// Whether mode, owner, or explicit times are to change: what append-only files forbid.
    pub fn touches_ownership(&self) -> bool {
        const MASK: u32 = bindings::ATTR_MODE
            | bindings::ATTR_UID
            | bindings::ATTR_GID
            | bindings::ATTR_TIMES_SET;
        self.valid() & MASK != 0
    }

    /// Whether the mode is to change.
    pub fn touches_mode(&self) -> bool {
        self.valid() & bindings::ATTR_MODE != 0
    }

    /// Asks the VFS whether the caller may do this.
    pub fn prepare<F: FileSystem>(&self, idmap: &IdMap, dentry: &Dentry<F>) -> Result {
        // SAFETY: All three are valid for the call; the function may clear bits in the request.
        to_result(unsafe {
            bindings::setattr_prepare(idmap.as_ptr(), dentry.as_ptr(), self.0.get())
        })
    }

    /// Copies everything but the size into the inode.
    ///
    /// The inode's rwsem is held for write, as the VFS does for `setattr`.
    pub fn apply<F: FileSystem>(&self, idmap: &IdMap, inode: &Inode<F>) {
        // SAFETY: All three are valid for the call.
        unsafe { bindings::setattr_copy(idmap.as_ptr(), inode.as_ptr(), self.0.get()) }
    }
}

/// What `chattr` asks for and `lsattr` is answered (`struct file_kattr`), which belongs to the call
/// it came with.
pub struct FileAttr<'a>(&'a Opaque<bindings::file_kattr>);

// SAFETY: The VFS passes a valid `struct file_kattr` that only this call uses.
unsafe impl FromC for FileAttr<'_> {
    type C = *mut bindings::file_kattr;

    unsafe fn from_c(c: Self::C) -> Self {
        // SAFETY: As above.
        Self(unsafe { &*c.cast() })
    }
}

impl FileAttr<'_> {
    /// The flags (`FS_*_FL`, which are ext4's on disk) that are asked for; what the caller did not
    /// speak of is as it was.
    pub fn flags(&self) -> u32 {
        // SAFETY: Valid for the call, and nobody else's.
        unsafe { (*self.0.get()).flags }
    }

    /// The project that is asked for.
    pub fn project(&self) -> u32 {
        // SAFETY: As above.
        unsafe { (*self.0.get()).fsx_projid }
    }

    /// Answers with these flags.
    pub fn answer(&self, flags: u32) {
        // SAFETY: As above.
        unsafe { bindings::fileattr_fill_flags(self.0.get(), flags) }
    }
}

/// The path of a `stat`, of which only the dentry is of use.
pub struct StatPath<'a, F: FileSystem>(&'a Dentry<F>);

// SAFETY: The VFS passes a valid path of this file system.
unsafe impl<F: FileSystem> FromC for StatPath<'_, F> {
    type C = *const bindings::path;

    unsafe fn from_c(c: Self::C) -> Self {
        // SAFETY: As above.
        Self(unsafe { Dentry::from_raw((*c).dentry) })
    }
}

impl<F: FileSystem> StatPath<'_, F> {
    /// The dentry.
    pub fn dentry(&self) -> &Dentry<F> {
        self.0
    }
}

/// The answer to a `stat` (`struct kstat`), which belongs to the call it came with.
pub struct Stat<'a>(&'a Opaque<bindings::kstat>);

// SAFETY: The VFS passes a valid `struct kstat` that only this call uses.
unsafe impl FromC for Stat<'_> {
    type C = *mut bindings::kstat;

    unsafe fn from_c(c: Self::C) -> Self {
        // SAFETY: As above.
        Self(unsafe { &*c.cast() })
    }
}

/// An attribute that `statx` can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u64)]
pub enum StatAttr {
    Compressed = bindings::STATX_ATTR_COMPRESSED as u64,
    Immutable = bindings::STATX_ATTR_IMMUTABLE as u64,
    Append = bindings::STATX_ATTR_APPEND as u64,
    NoDump = bindings::STATX_ATTR_NODUMP as u64,
}

impl Stat<'_> {
    /// Fills in what the VFS knows of the inode.
    pub fn fill<F: FileSystem>(&self, idmap: &IdMap, request: u32, inode: &Inode<F>) {
        // SAFETY: All are valid for the call.
        unsafe {
            bindings::generic_fillattr(idmap.as_ptr(), request, inode.as_ptr(), self.0.get());
        }
    }

    /// Reports when the file was created.
    pub fn set_birth_time(&self, t: Timestamp) {
        let stat = self.0.get();
        // SAFETY: Valid for the call, and nobody else's.
        unsafe {
            (*stat).result_mask |= bindings::STATX_BTIME;
            (*stat).btime.tv_sec = t.secs;
            (*stat).btime.tv_nsec = t.nanos as isize;
        }
    }

    /// Whether `request` asks for the alignment of direct I/O.
    pub fn asks_for_direct_alignment(request: u32) -> bool {
        request & bindings::STATX_DIOALIGN != 0
    }

    /// Reports what direct I/O has to be aligned to, in bytes, in memory and in the file.
    pub fn set_direct_alignment(&self, (memory, file): (u32, u32)) {
        let stat = self.0.get();
        // SAFETY: Valid for the call, and nobody else's.
        unsafe {
            (*stat).result_mask |= bindings::STATX_DIOALIGN;
            (*stat).dio_mem_align = memory;
            (*stat).dio_offset_align = file;
        }
    }

    /// Reports whether the file has `attr`.
    pub fn set_attr(&self, attr: StatAttr, on: bool) {
        let stat = self.0.get();
        // SAFETY: Valid for the call, and nobody else's.
        unsafe {
            (*stat).attributes_mask |= attr as u64;
            if on {
                (*stat).attributes |= attr as u64;
            }
        }
    }

    /// Adds bytes that are promised but not yet allocated to the space used.
    pub fn add_blocks(&self, sectors: u64) {
        // SAFETY: Valid for the call, and nobody else's.
        unsafe { (*self.0.get()).blocks = (*self.0.get()).blocks.saturating_add(sectors) }
    }
}
