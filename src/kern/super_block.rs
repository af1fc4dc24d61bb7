// SPDX-License-Identifier: GPL-2.0

//! `struct super_block`.
//!
//! C header: `include/linux/fs/super_types.h`. Life: `sget_fc()` makes it, our `fill_super` gives it
//! an `F::Super` ([`NewSuperBlock`] becomes [`SuperBlock`]), `kill_sb` takes that away after the last
//! inode is gone.

use super::buffer::Device;
use super::fs::FileSystem;
use super::ops::CObject;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A super block of file system `F`.
///
/// # Invariants
///
/// `s_fs_info` points to an `F::Super` that outlives every `&SuperBlock<F>`.
#[repr(transparent)]
pub struct SuperBlock<F: FileSystem>(Opaque<bindings::super_block>, PhantomData<F>);

// SAFETY: what is reached through `&SuperBlock` is either written while it was set up, or changed by
// the kernel under its own rules and read as single words here.
unsafe impl<F: FileSystem> Sync for SuperBlock<F> {}
// SAFETY: a super block belongs to no task.
unsafe impl<F: FileSystem> Send for SuperBlock<F> {}

// SAFETY: transparent; our operations are only called between `fill_super` and `kill_sb`, when the
// type's invariant holds.
unsafe impl<F: FileSystem> CObject for SuperBlock<F> {
    type C = bindings::super_block;
}

impl<F: FileSystem> SuperBlock<F> {
    /// The super block at `sb`.
    ///
    /// # Safety
    ///
    /// `sb` belongs to `F`, between the end of its set-up and its `kill_sb`, as long as `'a`.
    pub unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: transparent; valid by the caller's word.
        unsafe { &*sb.cast::<Self>() }
    }

    /// The C object.
    pub fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    /// The file system's own part.
    pub fn info(&self) -> &F::Super {
        // SAFETY: by the invariant; the field does not change while `self` can be seen.
        unsafe { &*(*self.as_ptr()).s_fs_info.cast::<F::Super>() }
    }

    /// The device's name, for messages ("vda").
    pub fn id(&self) -> &CStr {
        // SAFETY: `s_id` is a terminated string in the object, written before `fill_super` only.
        unsafe { CStr::from_char_ptr((&raw const (*self.as_ptr()).s_id).cast()) }
    }

    /// Whether nothing may be written (`SB_RDONLY`), at this moment.
    pub fn is_read_only(&self) -> bool {
        self.flags() & flags::RDONLY != 0
    }

    /// The `SB_*` flags, at this moment.
    pub fn flags(&self) -> usize {
        // SAFETY: an aligned word that other CPUs may change.
        unsafe { (&raw const (*self.as_ptr()).s_flags).read_volatile() }
    }

    /// Turns the file system read-only for good, after an error. Safe at any time: the VFS looks at
    /// the flag with each write and tolerates that it appears.
    pub fn force_read_only(&self) {
        // SAFETY: as C file systems do: a plain update, to which the VFS's own changes (under
        // s_umount) only add; losing a race leaves the journal aborted, which stops writes too.
        unsafe {
            let flags = &raw mut (*self.as_ptr()).s_flags;
            flags.write_volatile(flags.read_volatile() | flags::RDONLY);
        }
    }

    /// The device, for metadata I/O.
    pub(crate) fn device(&self) -> Device {
        // SAFETY: `s_bdev` is open, and the block size set, from before `fill_super` until after
        // the last inode and the journal are gone.
        unsafe {
            let sb = self.as_ptr();
            Device::from_raw(
                NonNull::new_unchecked((*sb).s_bdev),
                (*sb).s_blocksize as u32,
            )
        }
    }

    /// Whether the device itself refuses writes.
    pub fn device_is_read_only(&self) -> bool {
        // SAFETY: `s_bdev` is open while the super block lives.
        unsafe { bindings::bdev_read_only((*self.as_ptr()).s_bdev) }
    }

    /// The device's size in bytes.
    pub fn device_bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { bindings::bdev_nr_bytes((*self.as_ptr()).s_bdev) }.unsigned_abs()
    }
}

/// The `SB_*` flags that we look at (`include/linux/fs/super_types.h`).
pub mod flags {
    use crate::bindings;

    /// No writes.
    pub const RDONLY: usize = bindings::SB_RDONLY;
    /// Write at once.
    pub const SYNCHRONOUS: usize = bindings::SB_SYNCHRONOUS;
    /// Write directories at once.
    pub const DIRSYNC: usize = bindings::SB_DIRSYNC;
    /// Access control lists.
    pub const POSIXACL: usize = bindings::SB_POSIXACL;
    /// Times are written lazily.
    pub const LAZYTIME: usize = bindings::SB_LAZYTIME;
    /// Files carry change counters.
    pub const I_VERSION: usize = bindings::SB_I_VERSION;
}
