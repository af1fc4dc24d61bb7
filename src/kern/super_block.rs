// SPDX-License-Identifier: GPL-2.0

//! `struct super_block`.
//!
//! Life: `sget_fc()` makes it; [`fill_super`](super::fs_context) hands it to the file system as a
//! [`NewSuperBlock`], which becomes a [`Filling`] (that is, a [`SuperBlock`]) when it gets its
//! `F::Super`; when the last inode is gone, `put_super` closes the `F::Super`, and `kill_sb` frees it.
//!
//! C header: `include/linux/fs/super_types.h`.

use super::buffer::Device;
use super::export::ExportTable;
use super::fs::FileSystem;
use super::inode::Inode;
use super::ops::{CObject, Table};
use super::xattr::Handlers;
use crate::bindings;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
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

    /// The device's size in bytes.
    pub fn device_bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { bindings::bdev_nr_bytes((*self.as_ptr()).s_bdev) }.unsigned_abs()
    }
}

impl<F: FileSystem> SuperBlock<F> {
    /// Writes out all data and metadata, as sync(2) for this file system does. `s_umount` is held.
    pub fn sync_filesystem(&self) -> Result {
        // SAFETY: The super block lives; the callers (remount) hold `s_umount`.
        to_result(unsafe { bindings::sync_filesystem(self.as_ptr()) })
    }

    /// Runs `f` while the device is frozen: data and metadata are on disk, and nobody writes. No
    /// handle is open.
    ///
    /// # Errors
    ///
    /// Those of freezing; `f` has not run then.
    pub(crate) fn with_frozen_device(&self, f: impl FnOnce()) -> Result {
        // SAFETY: The device is open as long as the super block lives, and thawed again here.
        unsafe {
            let device = (*self.as_ptr()).s_bdev;
            to_result(bindings::bdev_freeze(device))?;
            f();
            to_result(bindings::bdev_thaw(device))
        }
    }

    /// Sets or clears `SB_RDONLY` in the middle of a remount or while the super block is filled;
    /// the VFS sets it to the same value afterwards.
    pub fn set_read_only(&self, read_only: bool) {
        // SAFETY: `s_umount` is held for writing by the VFS in both cases; readers look at the
        // word alone.
        unsafe {
            let flags = &raw mut (*self.as_ptr()).s_flags;
            let old = flags.read_volatile();
            flags.write_volatile(if read_only {
                old | flags::RDONLY
            } else {
                old & !flags::RDONLY
            });
        }
    }
}

impl Device {
    /// 512-byte sectors written to the device since the machine started.
    pub(crate) fn sectors_written(&self) -> u64 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_sectors_written(self.as_ptr()) }
    }

    /// Whether the device itself refuses writes.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_read_only(self.as_ptr()) }
    }
}

/// A super block that has no `F::Super` yet.
///
/// # Invariants
///
/// Made by `sget_fc()` for `F`, locked, with its device open, seen by nobody else.
pub struct NewSuperBlock<'a, F: FileSystem>(
    NonNull<bindings::super_block>,
    PhantomData<(&'a (), F)>,
);

/// What the VFS wants to know of a file system.
pub struct Traits {
    /// `s_magic`.
    pub magic: usize,
    /// The largest file size in bytes.
    pub max_bytes: i64,
    /// The granularity of timestamps, in nanoseconds.
    pub time_gran: u32,
    /// The range of timestamps, in seconds since 1970.
    pub time_range: (i64, i64),
    /// The UUID.
    pub uuid: [u8; 16],
    /// The operations.
    pub operations: &'static Table<bindings::super_operations>,
    /// How inodes are found by handle.
    pub export: &'static ExportTable,
    /// The families of extended attributes.
    pub attributes: &'static Handlers,
}

impl<'a, F: FileSystem> NewSuperBlock<'a, F> {
    /// Wraps a super block in `fill_super`.
    ///
    /// # Safety
    ///
    /// As the type's invariant.
    pub(super) unsafe fn from_raw(sb: NonNull<bindings::super_block>) -> Self {
        // INVARIANT: By the caller's word.
        Self(sb, PhantomData)
    }

    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.as_ptr()
    }

    /// The device's name, for messages.
    pub fn id(&self) -> &'a CStr {
        // SAFETY: `s_id` is a terminated string in the object, set before `fill_super`.
        unsafe { CStr::from_char_ptr((&raw const (*self.0.as_ptr()).s_id).cast()) }
    }

    /// The device's size in bytes.
    pub fn device_bytes(&self) -> u64 {
        // SAFETY: By the invariant the device is open.
        unsafe { bindings::bdev_nr_bytes((*self.0.as_ptr()).s_bdev) }.unsigned_abs()
    }

    /// Whether `ro` was asked for.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: By the invariant nobody else changes the word.
        unsafe { (*self.0.as_ptr()).s_flags & flags::RDONLY != 0 }
    }

    /// Asks for `ro`, whatever the user asked for.
    pub fn make_read_only(&mut self) {
        // SAFETY: By the invariant nobody else sees the super block.
        unsafe { (*self.0.as_ptr()).s_flags |= flags::RDONLY };
    }

    /// Sets or clears `bit` of the `SB_*` flags.
    pub fn set_flag(&mut self, bit: usize, on: bool) {
        // SAFETY: By the invariant nobody else sees the super block.
        unsafe {
            let flags = &mut (*self.0.as_ptr()).s_flags;
            *flags = if on { *flags | bit } else { *flags & !bit };
        }
    }

    /// Sets the block size, in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device cannot have it.
    pub(crate) fn set_block_size(&mut self, bytes: u32) -> Result<Device> {
        let size = c_int::try_from(bytes)?;
        // SAFETY: By the invariant.
        if unsafe { bindings::sb_set_blocksize(self.0.as_ptr(), size) } == 0 {
            return Err(EINVAL);
        }
        self.device()
    }

    /// Sets the block size to `bytes`, or to the device's own where that is larger.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device cannot have it.
    pub(crate) fn set_least_block_size(&mut self, bytes: u32) -> Result<Device> {
        let size = c_int::try_from(bytes)?;
        // SAFETY: By the invariant.
        if unsafe { bindings::sb_min_blocksize(self.0.as_ptr(), size) } == 0 {
            return Err(EINVAL);
        }
        self.device()
    }

    /// The device, with the block size that has been set.
    fn device(&self) -> Result<Device> {
        // SAFETY: By the invariant `s_bdev` is set, and open until the super block dies, which is
        // after everything that the file system makes from it.
        unsafe {
            let bdev = NonNull::new((*self.0.as_ptr()).s_bdev).ok_or(EINVAL)?;
            let bytes = u32::try_from((*self.0.as_ptr()).s_blocksize)?;
            Ok(Device::from_raw(bdev, bytes))
        }
    }

    /// Gives the super block its file system.
    pub fn set_info(self, info: Pin<KBox<F::Super>>, traits: Traits) -> Filling<'a, F> {
        let sb = self.0.as_ptr();
        // SAFETY: By the invariant nobody else sees the super block, and it has no info yet. The
        // box goes back to being one in `kill`.
        unsafe {
            (*sb).s_fs_info = KBox::into_raw(Pin::into_inner_unchecked(info)).cast();
            (*sb).s_magic = traits.magic;
            (*sb).s_maxbytes = traits.max_bytes;
            (*sb).s_time_gran = traits.time_gran;
            (*sb).s_time_min = traits.time_range.0;
            (*sb).s_time_max = traits.time_range.1;
            (*sb).s_op = traits.operations.as_ptr();
            (*sb).s_export_op = traits.export.as_ptr();
            (*sb).s_xattr = traits.attributes.as_ptr();
            (*sb).s_flags |= bindings::SB_POSIXACL;
            (*sb).s_iflags |= bindings::SB_I_CGROUPWB as usize;
            bindings::super_set_uuid(sb, traits.uuid.as_ptr(), 16);
            bindings::super_set_sysfs_name_bdev(sb);
            // INVARIANT: The info is there.
            Filling(SuperBlock::from_raw(sb))
        }
    }
}

/// A super block on its way to be mounted.
pub struct Filling<'a, F: FileSystem>(&'a SuperBlock<F>);

impl<F: FileSystem> Deref for Filling<'_, F> {
    type Target = SuperBlock<F>;

    fn deref(&self) -> &SuperBlock<F> {
        self.0
    }
}

impl<'a, F: FileSystem> Filling<'a, F> {
    /// The same, for those who want it without the means to set the root.
    pub fn get(&self) -> &'a SuperBlock<F> {
        self.0
    }

    /// Makes `inode` the root of the tree.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the reference is gone then.
    pub fn set_root(&self, inode: ARef<Inode<F>>) -> Result {
        let sb = self.as_ptr();
        let inode = ARef::into_raw(inode).as_ptr().cast();
        // SAFETY: The super block is being filled, by us alone, and has no root; `d_make_root`
        // takes the reference over, whatever comes.
        unsafe {
            bindings::generic_set_sb_d_ops(sb);
            (*sb).s_root = bindings::d_make_root(inode);
            if (*sb).s_root.is_null() {
                return Err(ENOMEM);
            }
        }
        Ok(())
    }

    /// A reference for the file system's own part to keep.
    pub fn back_reference(&self) -> BackReference<F> {
        BackReference(NonNull::from(self.0))
    }
}

/// The way from an `F::Super`, or from something that it owns, back to its super block.
///
/// # Invariants
///
/// Lives inside the super block's own `F::Super`, which dies before the super block.
pub struct BackReference<F: FileSystem>(NonNull<SuperBlock<F>>);

// SAFETY: A shared reference to something `Sync`.
unsafe impl<F: FileSystem> Send for BackReference<F> {}
// SAFETY: As above.
unsafe impl<F: FileSystem> Sync for BackReference<F> {}

impl<F: FileSystem> Deref for BackReference<F> {
    type Target = SuperBlock<F>;

    fn deref(&self) -> &SuperBlock<F> {
        // SAFETY: By the invariant.
        unsafe { self.0.as_ref() }
    }
}

/// A piece of work on a super block that is done later, in task context, once for any number of
/// requests.
#[pin_data]
pub struct DeferredWork<F: FileSystem> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    sb: AtomicPtr<bindings::super_block>,
    run: fn(&SuperBlock<F>),
}

// SAFETY: The kernel's work items may be scheduled from anywhere.
unsafe impl<F: FileSystem> Send for DeferredWork<F> {}
// SAFETY: As above.
unsafe impl<F: FileSystem> Sync for DeferredWork<F> {}

impl<F: FileSystem> DeferredWork<F> {
    /// Work that calls `run`.
    pub fn new(run: fn(&SuperBlock<F>)) -> impl PinInit<Self> {
        pin_init!(Self {
            work <- Opaque::ffi_init(|work: *mut bindings::work_struct| {
                // SAFETY: `work` is valid for writes and pinned.
                unsafe { bindings::INIT_WORK(work, Some(Self::run)) }
            }),
            sb: AtomicPtr::new(core::ptr::null_mut()),
            run,
        })
    }

    /// Asks for the work to be done for `sb`, whose `F::Super` owns `self`. From any context.
    pub fn schedule(&self, sb: &SuperBlock<F>) {
        self.sb.store(sb.as_ptr(), Release);
        // SAFETY: Initialised by `new` and pinned; `put` below ends it before `self` dies.
        unsafe { bindings::schedule_work(self.work.get()) };
    }

    /// Waits for what was asked for.
    pub fn flush(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::flush_work(self.work.get()) };
    }

    /// Waits for what was asked for, and ignores all requests from now on.
    fn disable(&self) {
        self.flush();
        // SAFETY: Initialised by `new`.
        unsafe { bindings::disable_work_sync(self.work.get()) };
    }

    /// What the workqueue calls.
    ///
    /// # Safety
    ///
    /// `work` is the field of a `DeferredWork<F>` that was scheduled.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: By the caller's word the field lies in one of us.
        let this = unsafe {
            let this = work.byte_sub(core::mem::offset_of!(Self, work));
            &*this.cast::<Self>()
        };
        // SAFETY: `schedule` stored a super block that owns us; `put` waits for us before that
        // dies.
        let sb = unsafe { SuperBlock::from_raw(this.sb.load(Acquire)) };
        (this.run)(sb);
    }
}

/// Keeps the file system from being frozen, for changes that the file system makes of its own
/// accord and the VFS does not know of.
pub struct FreezeGuard<'a, F: FileSystem>(&'a SuperBlock<F>);

impl<'a, F: FileSystem> FreezeGuard<'a, F> {
    /// Waits until `sb` is not frozen. Before any handle is started.
    pub fn new(sb: &'a SuperBlock<F>) -> Self {
        // SAFETY: The super block lives.
        unsafe { bindings::sb_start_intwrite(sb.as_ptr()) };
        Self(sb)
    }

    /// As [`new`](Self::new), without waiting: `None` where `sb` is frozen, or is just getting so.
    pub fn try_new(sb: &'a SuperBlock<F>) -> Option<Self> {
        // SAFETY: The super block lives.
        unsafe { bindings::sb_start_intwrite_trylock(sb.as_ptr()) }.then(|| Self(sb))
    }
}

impl<F: FileSystem> Drop for FreezeGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: Started in `new` or `try_new`.
        unsafe { bindings::sb_end_intwrite(self.0.as_ptr()) }
    }
}

/// The end of a super block's life.
pub trait Close: FileSystem {
    /// The deferred work that the info owns.
    fn work(info: &Self::Super) -> &DeferredWork<Self>;

    /// Closes the file system: the last inode is gone, or the mount failed. Nobody else uses
    /// `info`, and the device is still there.
    fn close(info: Pin<&mut Self::Super>, read_only: bool);
}

/// Super operation `put_super`; also ends a failed `fill_super`.
///
/// # Safety
///
/// Called once for a super block of `F` that has its info, with no inode left.
pub(super) unsafe extern "C" fn put<F: Close>(sb: *mut bindings::super_block) {
    // SAFETY: By the caller's word. The references end before `info` is made.
    let read_only = unsafe {
        let sb = SuperBlock::<F>::from_raw(sb);
        F::work(sb.info()).disable();
        sb.is_read_only()
    };
    // SAFETY: No inode, no operation and, after `disable`, no deferred work is left that could hold
    // a reference. The info is pinned in its box.
    let info = unsafe { Pin::new_unchecked(&mut *(*sb).s_fs_info.cast::<F::Super>()) };
    F::close(info, read_only);
}

/// The slot of `super_operations` for the end of a super block's life.
pub const fn put_super<F: Close>() -> unsafe extern "C" fn(*mut bindings::super_block) {
    put::<F>
}

/// Frees the info.
///
/// # Safety
///
/// Called once, after `put`, or for a super block that never got its info.
pub(super) unsafe fn free_info<F: Close>(sb: *mut bindings::super_block) {
    // SAFETY: By the caller's word nobody uses the super block any more, but for lockless path
    // walks, which end with the grace period. The pointer came from a box in `set_info`.
    unsafe {
        let info = (*sb).s_fs_info.cast::<F::Super>();
        if info.is_null() {
            return;
        }
        bindings::synchronize_rcu();
        (*sb).s_fs_info = core::ptr::null_mut();
        drop(Pin::new_unchecked(KBox::from_raw(info)));
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
