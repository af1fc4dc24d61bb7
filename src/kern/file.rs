// SPDX-License-Identifier: GPL-2.0

//! Open regular files (`struct file`, `struct kiocb`, `struct vm_fault`).
//!
//! A file system implements [`RegularFile`]; [`operations`] makes the VFS's table of it. What
//! every file system does alike (reading through the page cache, mapping, splicing) goes straight
//! to the VFS's own functions.

use super::{
    fiemap::fiemap,
    fs::FileSystem,
    inode::Inode,
    inode_ops::{list_attributes, AccessLists, FileFlags},
    ioctl::{self, Ioctl},
    iomap::{self, Mapper, WriteCheck},
    ops::{shim2, shim3, shim4, shim5, zeroed, CObject, FromC, IntoC, Table},
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::{self, NonNull},
};
use kernel::{
    error::{from_err_ptr, to_result},
    ffi::c_int,
    prelude::*,
    types::Opaque,
};

/// An open file of a file system `F`.
///
/// # Invariants
///
/// A `struct file` whose inode belongs to `F`.
#[repr(transparent)]
pub(crate) struct File<F>(Opaque<bindings::file>, PhantomData<F>);

// SAFETY: Transparent over the C struct; the tables made here are set on inodes of `F` only.
unsafe impl<F: FileSystem> CObject for File<F> {
    type C = bindings::file;
}

impl<F: FileSystem> File<F> {
    fn as_ptr(&self) -> *mut bindings::file {
        self.0.get()
    }

    /// The inode whose data the file holds.
    pub(crate) fn inode(&self) -> &Inode<F> {
        // SAFETY: By the type invariant; an open file holds a reference to its inode.
        unsafe { Inode::from_raw(bindings::file_inode(self.as_ptr())) }
    }

    /// Whether the file was opened for writing.
    pub(crate) fn writes(&self) -> bool {
        // SAFETY: `f_mode` does not change in this bit once the file is open.
        unsafe { (*self.as_ptr()).f_mode & bindings::FMODE_WRITE != 0 }
    }

    /// Write access to the mount through which the file was opened, for a change that is not one of
    /// the file. Waits for the end of a freeze.
    ///
    /// # Errors
    ///
    /// `EROFS`.
    pub(crate) fn write_access(&self) -> Result<WriteAccess<'_, F>> {
        // SAFETY: An open file.
        to_result(unsafe { bindings::mnt_want_write_file(self.as_ptr()) })?;
        Ok(WriteAccess(self))
    }

    /// Where the mount is through which the file was opened, as the caller sees it; in `buffer`.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` where the path does not fit.
    pub(crate) fn mount_point<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let len = c_int::try_from(buffer.len())?;
        // SAFETY: The file holds a reference to its mount, and that to its root. `d_path` writes
        // into the buffer only, and returns a string in it.
        unsafe {
            let mnt = (*self.as_ptr()).__bindgen_anon_1.f_path.mnt;
            let path = bindings::path {
                mnt,
                dentry: (*mnt).mnt_root,
            };
            let text = from_err_ptr(bindings::d_path(&path, buffer.as_mut_ptr().cast(), len))?;
            Ok(CStr::from_char_ptr(text).to_bytes())
        }
    }

    /// Lets `O_DIRECT` and `RWF_NOWAIT` be used on the file. Only while it is being opened.
    pub(crate) fn allow_direct_and_nowait(&self) {
        // SAFETY: Nobody else sees the file yet.
        unsafe {
            (*self.as_ptr()).f_mode |= bindings::FMODE_CAN_ODIRECT | bindings::FMODE_NOWAIT;
        }
    }

    /// Whether each change is to be on disk before the call returns (`O_SYNC` and `O_DSYNC`, a
    /// synchronous file or file system).
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: The file is open; the flag is looked at once.
        let flags = unsafe { (*self.as_ptr()).f_flags };
        flags & bindings::O_SYNC != 0 || self.inode().is_sync()
    }

    /// `fsync()`'s first half: starts and awaits writeback of `range`, and reports errors that
    /// this file has not been told of.
    ///
    /// # Errors
    ///
    /// What writeback met.
    pub(crate) fn write_and_wait(&self, range: Range<i64>) -> Result {
        // SAFETY: The file is open.
        to_result(unsafe {
            bindings::file_write_and_wait_range(self.as_ptr(), range.start, range.end)
        })
    }

    /// `fsync()`'s end: an error of writeback that this file has not been told of.
    ///
    /// # Errors
    ///
    /// That error.
    pub(crate) fn check_writeback_error(&self) -> Result {
        // SAFETY: The file is open.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.as_ptr()) })
    }

    /// Moves the file position, if `to` is between 0 and `max`.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn set_position(&self, to: i64, max: u64) -> Result<i64> {
        // SAFETY: The file is open.
        position(unsafe { bindings::vfs_setpos(self.as_ptr(), to, limit(max)) })
    }

    /// `lseek()` other than `SEEK_HOLE` and `SEEK_DATA`, in a file of `size` bytes that could
    /// have `max`.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn seek(&self, offset: i64, whence: Whence, max: u64, size: u64) -> Result<i64> {
        // SAFETY: The file is open.
        position(unsafe {
            bindings::generic_file_llseek_size(
                self.as_ptr(),
                offset,
                whence.0,
                limit(max),
                limit(size),
            )
        })
    }

    /// Whether a write needs the inode's rwsem for no more than a share, as there are no
    /// set-user-ID bits or file capabilities to be dropped.
    pub(crate) fn keeps_privileges(&self) -> bool {
        // SAFETY: The file is open, and holds its inode.
        unsafe { bindings::is_nosec(bindings::file_inode(self.as_ptr())) }
    }

    /// Drops set-user-ID bits and file capabilities, and sets the times, as a write does. The
    /// caller holds the inode's rwsem for writing.
    ///
    /// # Errors
    ///
    /// What changing the inode meets.
    pub(crate) fn modified(&self) -> Result {
        // SAFETY: The file is open.
        to_result(unsafe { bindings::file_modified(self.as_ptr()) })
    }
}

/// Write access to a mount, while this lives.
pub(crate) struct WriteAccess<'a, F: FileSystem>(&'a File<F>);

impl<F: FileSystem> Drop for WriteAccess<'_, F> {
    fn drop(&mut self) {
        // SAFETY: Taken in `File::write_access`; the file is still open.
        unsafe { bindings::mnt_drop_write_file(self.0.as_ptr()) }
    }
}

/// A size as C has it.
fn limit(bytes: u64) -> bindings::loff_t {
    bindings::loff_t::try_from(bytes).unwrap_or(bindings::loff_t::MAX)
}

/// A position, or an errno in its place.
fn position(value: bindings::loff_t) -> Result<i64> {
    if value < 0 {
        to_result(c_int::try_from(value).unwrap_or(EINVAL.to_errno()))?;
    }
    Ok(value)
}

/// A count, or an errno in its place.
pub(super) fn count(value: isize) -> Result<usize> {
    match usize::try_from(value) {
        Ok(n) => Ok(n),
        Err(_) => Err(Error::from_errno(
            c_int::try_from(value).unwrap_or(EINVAL.to_errno()),
        )),
    }
}

/// What `lseek()` counts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whence(c_int);

impl Whence {
    /// The next data.
    pub(crate) const DATA: Self = Self(bindings::SEEK_DATA as c_int);
    /// The next hole.
    pub(crate) const HOLE: Self = Self(bindings::SEEK_HOLE as c_int);
}

// SAFETY: A plain number.
unsafe impl FromC for Whence {
    type C = c_int;
    unsafe fn from_c(c: c_int) -> Self {
        Self(c)
    }
}

/// A read or write of a file: where and how (`struct kiocb`), and the user's bytes (`struct
/// iov_iter`).
pub(crate) struct Transfer<'a, F> {
    iocb: NonNull<bindings::kiocb>,
    iter: NonNull<bindings::iov_iter>,
    life: PhantomData<&'a File<F>>,
}

impl<'a, F: FileSystem> Transfer<'a, F> {
    /// The C objects, valid for as long as `self`.
    pub(super) fn as_ptrs(&mut self) -> (*mut bindings::kiocb, *mut bindings::iov_iter) {
        (self.iocb.as_ptr(), self.iter.as_ptr())
    }

    /// The file.
    pub(crate) fn file(&self) -> &'a File<F> {
        // SAFETY: Both are valid for the call that made `self`, and the file is one of `F`.
        unsafe { &*(*self.iocb.as_ptr()).ki_filp.cast() }
    }

    /// The byte position.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: The kiocb is valid for the call that made `self`.
        unsafe { (*self.iocb.as_ptr()).ki_pos }.max(0) as u64
    }

    /// The bytes left.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: The iterator is valid for the call that made `self`.
        unsafe { bindings::iov_iter_count(self.iter.as_ptr()) }
    }

    /// The bytes of the file that are left.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.pos();
        start..start.saturating_add(self.len() as u64)
    }

    fn flag(&self, flag: c_int) -> bool {
        // SAFETY: The kiocb is valid for the call that made `self`.
        unsafe { (*self.iocb.as_ptr()).ki_flags & flag != 0 }
    }

    /// Whether it must not sleep.
    pub(crate) fn nowait(&self) -> bool {
        self.flag(bindings::IOCB_NOWAIT)
    }

    /// Whether it bypasses the page cache.
    pub(crate) fn direct(&self) -> bool {
        self.flag(bindings::IOCB_DIRECT as c_int)
    }

    /// The checks that come before every write: limits, `O_APPEND`, a file that became immutable
    /// after it was opened. Shortens the write to what is allowed and returns what is left. The
    /// caller holds the inode's rwsem.
    ///
    /// # Errors
    ///
    /// `EPERM`, `EFBIG`, `ETXTBSY`, `EINVAL`.
    pub(crate) fn checks(&mut self) -> Result<usize> {
        if self.file().inode().is_immutable() {
            return Err(EPERM);
        }
        // SAFETY: Both are valid for the call that made `self`.
        count(unsafe { bindings::generic_write_checks(self.iocb.as_ptr(), self.iter.as_ptr()) })
    }

    /// As [`File::modified`], respecting [`Transfer::nowait`].
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would sleep; what changing the inode meets.
    pub(crate) fn modified(&mut self) -> Result {
        // SAFETY: The kiocb is valid for the call that made `self`.
        to_result(unsafe { bindings::kiocb_modified(self.iocb.as_ptr()) })
    }

    /// Copies the bytes into the page cache, with blocks from `M`. The caller holds the inode's
    /// rwsem for writing.
    ///
    /// # Errors
    ///
    /// What mapping and copying meet, where nothing was written.
    #[inline]
    pub(crate) fn buffered<M, C>(&mut self) -> Result<usize>
    where
        M: Mapper<Fs = F>,
        C: WriteCheck<Fs = F>,
    {
        // SAFETY: Both are valid for the call that made `self`; the tables are static.
        count(unsafe {
            bindings::iomap_file_buffered_write(
                self.iocb.as_ptr(),
                self.iter.as_ptr(),
                iomap::ops::<M>(),
                iomap::write_ops::<C>(),
                ptr::null_mut(),
            )
        })
    }

    /// As [`buffered`](Self::buffered), for the bytes before byte `end` of the file, if there are any.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn buffered_until<M, C>(&mut self, end: u64) -> Result<usize>
    where
        M: Mapper<Fs = F>,
        C: WriteCheck<Fs = F>,
    {
        let left = self.len();
        let wanted = end.saturating_sub(self.pos());
        let wanted = usize::try_from(wanted).map_or(left, |n| n.min(left));
        if wanted == 0 {
            return Ok(0);
        }
        let later = left.saturating_sub(wanted);
        // SAFETY: The iterator is valid for the call that made `self`, and has as many bytes.
        unsafe { bindings::iov_iter_truncate(self.iter.as_ptr(), wanted as u64) };
        let written = self.buffered::<M, C>();
        let left = self.len().saturating_add(later);
        // SAFETY: As above; these are the bytes that were taken away, and those not written.
        unsafe { bindings::iov_iter_reexpand(self.iter.as_ptr(), left) };
        written
    }

    /// After `written` bytes: waits until they are on disk, where the file or the write asks for
    /// that. The caller no longer holds the inode's rwsem.
    ///
    /// # Errors
    ///
    /// What `fsync()` meets.
    pub(crate) fn sync(&mut self, written: usize) -> Result<usize> {
        let written = isize::try_from(written).map_err(|_| EINVAL)?;
        // SAFETY: The kiocb is valid for the call that made `self`.
        count(unsafe { bindings::generic_write_sync(self.iocb.as_ptr(), written) })
    }
}

/// A regular file's operations.
pub(crate) trait RegularFile: Sized + 'static {
    /// The file system that the files belong to.
    type Fs: FileSystem;
    /// Finds the blocks for stores through mappings.
    type Fault: Mapper<Fs = Self::Fs>;

    /// `open()`.
    fn open(file: &File<Self::Fs>) -> Result;

    /// The last `close()`.
    fn release(inode: &Inode<Self::Fs>, file: &File<Self::Fs>);

    /// `lseek()`.
    fn seek(file: &File<Self::Fs>, offset: i64, whence: Whence) -> Result<i64>;

    /// Whether the file can be mapped now.
    fn may_map(file: &File<Self::Fs>) -> Result;

    /// Whether the file can be read now.
    fn may_read(inode: &Inode<Self::Fs>) -> Result;

    /// `read()` and its kin, past the page cache.
    fn direct_read(read: &mut Transfer<'_, Self::Fs>) -> Result<usize>;

    /// `write()` and its kin.
    fn write(write: &mut Transfer<'_, Self::Fs>) -> Result<usize>;

    /// `fsync()`, or `fdatasync()` where `data_only`, of the bytes from `first` to `last`.
    fn fsync(file: &File<Self::Fs>, first: i64, last: i64, data_only: bool) -> Result;

    /// `fallocate()` of the bytes in `range`.
    fn fallocate(file: &File<Self::Fs>, mode: AllocateMode, range: Range<u64>) -> Result;
}

/// # Safety
///
/// Both are valid for the lifetime of the result, and the file is one of `F`.
unsafe fn transfer<'a, F: FileSystem>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> Result<Transfer<'a, F>> {
    Ok(Transfer {
        iocb: NonNull::new(iocb).ok_or(EINVAL)?,
        iter: NonNull::new(iter).ok_or(EINVAL)?,
        life: PhantomData,
    })
}

/// # Safety
///
/// Called by the VFS with a file of `T::Fs` and an iterator over the bytes to read.
unsafe extern "C" fn read_iter<T: RegularFile>(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the function's contract.
    unsafe {
        let inode = Inode::from_raw(bindings::file_inode((*iocb).ki_filp));
        if let Err(error) = T::may_read(inode) {
            return error.to_errno() as isize;
        }
        if (*iocb).ki_flags & bindings::IOCB_DIRECT as c_int == 0 {
            return bindings::generic_file_read_iter(iocb, to);
        }
        transfer(iocb, to)
            .and_then(|mut read| T::direct_read(&mut read))
            .into_c()
    }
}

/// # Safety
///
/// Called by the VFS with a file of `T::Fs` and an iterator over the bytes to write.
unsafe extern "C" fn write_iter<T: RegularFile>(
    iocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the function's contract.
    let write = unsafe { transfer(iocb, from) };
    write.and_then(|mut write| T::write(&mut write)).into_c()
}

/// # Safety
///
/// Called by the VFS for a writable mapping of a file of `T::Fs`.
unsafe extern "C" fn page_mkwrite<T: RegularFile>(
    fault: *mut bindings::vm_fault,
) -> bindings::vm_fault_t {
    // SAFETY: The fault's mapping holds a reference to its file, and that one to its inode. The
    // locks are taken and released here, in the order super block, mapping, folio.
    unsafe {
        let file = (*(*fault).__bindgen_anon_1.vma).vm_file;
        let inode = bindings::file_inode(file);
        if Inode::<T::Fs>::from_raw(inode).is_immutable() {
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        }
        bindings::sb_start_pagefault((*inode).i_sb);
        bindings::file_update_time(file);
        let mapping = (*inode).i_mapping;
        bindings::filemap_invalidate_lock_shared(mapping);
        let ret = bindings::iomap_page_mkwrite(fault, iomap::ops::<T::Fault>(), ptr::null_mut());
        bindings::filemap_invalidate_unlock_shared(mapping);
        bindings::sb_end_pagefault((*inode).i_sb);
        ret
    }
}

struct VmTable<T>(PhantomData<T>);

impl<T: RegularFile> VmTable<T> {
    const OPS: &'static bindings::vm_operations_struct = &bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(page_mkwrite::<T>),
        ..zeroed()
    };
}

/// # Safety
///
/// Called by the VFS to prepare a mapping of a file of `T::Fs`.
unsafe extern "C" fn mmap_prepare<T: RegularFile>(desc: *mut bindings::vm_area_desc) -> c_int {
    // SAFETY: The descriptor is valid for the call, and its file open.
    unsafe {
        let file = <&File<T::Fs>>::from_c((*desc).file);
        if let Err(error) = T::may_map(file) {
            return error.to_errno();
        }
        bindings::file_accessed((*desc).file);
        (*desc).vm_ops = VmTable::<T>::OPS;
    }
    0
}

fn open<T: RegularFile>(inode: &Inode<T::Fs>, file: &File<T::Fs>) -> Result {
    // SAFETY: The VFS opens this file of this inode.
    to_result(unsafe { bindings::generic_file_open(inode.as_ptr(), file.as_ptr()) })?;
    T::open(file)
}

fn release<T: RegularFile>(inode: &Inode<T::Fs>, file: &File<T::Fs>) -> Result {
    T::release(inode, file);
    Ok(())
}

fn fsync<T: RegularFile>(file: &File<T::Fs>, first: i64, last: i64, data_only: c_int) -> Result {
    T::fsync(file, first, last, data_only != 0)
}

/// What `fallocate()` is to do (`FALLOC_FL_*`).
#[derive(Clone, Copy)]
pub(crate) struct AllocateMode(u32);

impl AllocateMode {
    const KNOWN: u32 = bindings::FALLOC_FL_KEEP_SIZE
        | bindings::FALLOC_FL_PUNCH_HOLE
        | bindings::FALLOC_FL_ZERO_RANGE
        | bindings::FALLOC_FL_COLLAPSE_RANGE
        | bindings::FALLOC_FL_INSERT_RANGE
        | bindings::FALLOC_FL_WRITE_ZEROES;

    /// The file's size stays.
    pub(crate) fn keeps_size(self) -> bool {
        self.0 & bindings::FALLOC_FL_KEEP_SIZE != 0
    }

    /// Blocks are taken away. The size stays.
    pub(crate) fn punches(self) -> bool {
        self.0 & bindings::FALLOC_FL_PUNCH_HOLE != 0
    }

    /// The range is to read as zeros.
    pub(crate) fn zeroes(self) -> bool {
        self.0 & bindings::FALLOC_FL_ZERO_RANGE != 0
    }

    /// The range goes, and what lies behind it moves down.
    pub(crate) fn collapses(self) -> bool {
        self.0 & bindings::FALLOC_FL_COLLAPSE_RANGE != 0
    }

    /// A hole is put in, and what lies behind its start moves up.
    pub(crate) fn inserts(self) -> bool {
        self.0 & bindings::FALLOC_FL_INSERT_RANGE != 0
    }

    /// The range is to read as zeros from written blocks.
    pub(crate) fn writes_zeroes(self) -> bool {
        self.0 & bindings::FALLOC_FL_WRITE_ZEROES != 0
    }

    /// Anything else is asked for.
    pub(crate) fn others(self) -> bool {
        self.0 & !Self::KNOWN != 0
    }
}

// SAFETY: A plain number.
unsafe impl FromC for AllocateMode {
    type C = c_int;
    unsafe fn from_c(c: c_int) -> Self {
        Self(c as u32)
    }
}

fn fallocate<T: RegularFile>(
    file: &File<T::Fs>,
    mode: AllocateMode,
    offset: i64,
    len: i64,
) -> Result<usize> {
    // The VFS has refused what is negative or overflows.
    let start = u64::try_from(offset)?;
    let end = start.checked_add(u64::try_from(len)?).ok_or(EFBIG)?;
    T::fallocate(file, mode, start..end).map(|()| 0)
}

/// The table of a regular file as an inode. Where its data lie says `Q`, where its attributes do
/// `X`.
pub(crate) const fn inode_operations<A, Q, X>() -> Table<bindings::inode_operations>
where
    A: FileFlags + AccessLists,
    Q: Mapper<Fs = A::Fs>,
    X: Mapper<Fs = A::Fs>,
{
    Table::new(bindings::inode_operations {
        setattr: Some(shim3(&A::setattr)),
        getattr: Some(shim5(&A::getattr)),
        listxattr: Some(list_attributes::<A>),
        get_inode_acl: Some(shim3(&A::get_acl)),
        set_acl: Some(shim4(&A::set_acl)),
        fileattr_get: Some(shim2(&A::flags)),
        fileattr_set: Some(shim3(&A::set_flags)),
        fiemap: Some(fiemap::<Q, X>),
        ..zeroed()
    })
}

/// The VFS's table for the files of `T`.
pub(crate) const fn operations<T>() -> Table<bindings::file_operations>
where
    T: RegularFile,
    T::Fs: Ioctl,
{
    Table::new(bindings::file_operations {
        llseek: Some(shim3(&T::seek)),
        read_iter: Some(read_iter::<T>),
        write_iter: Some(write_iter::<T>),
        mmap_prepare: Some(mmap_prepare::<T>),
        open: Some(shim2(&open::<T>)),
        release: Some(shim2(&release::<T>)),
        fsync: Some(shim4(&fsync::<T>)),
        fallocate: Some(shim4(&fallocate::<T>)),
        unlocked_ioctl: Some(ioctl::ioctl::<T::Fs>),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(bindings::compat_ptr_ioctl),
        // a null pointer in a kernel without large pages
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        splice_read: Some(bindings::filemap_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        setlease: Some(bindings::generic_setlease),
        iopoll: Some(bindings::iocb_bio_iopoll),
        fop_flags: bindings::FOP_DONTCACHE
            | bindings::FOP_BUFFER_RASYNC
            | bindings::FOP_BUFFER_WASYNC
            | bindings::FOP_DIO_PARALLEL_WRITE,
        ..zeroed()
    })
}
