// SPDX-License-Identifier: GPL-2.0

//! Direct I/O through iomap (`iomap_dio_rw()`): between the user's pages and the device.
//!
//! The library writes out and drops cached folios over the range first; it runs the end of a write
//! in task context.

use super::{
    file::Transfer,
    fs::FileSystem,
    inode::Inode,
    iomap::{self, Mapper},
    nofs::NoFs,
};
use crate::bindings;
use core::{marker::PhantomData, ops::Range, ptr};
use kernel::{
    error::{from_result, to_result},
    ffi::c_int,
    prelude::*,
};

/// What follows when a direct write is on the device.
pub(crate) trait DirectEnd: Sized + 'static {
    /// The file system that the files belong to.
    type Fs: FileSystem;

    /// The bytes of `range` are on the device; `unwritten` where some of the blocks were. May
    /// sleep and start a transaction.
    ///
    /// # Errors
    ///
    /// Become the write's.
    fn written(inode: &Inode<Self::Fs>, range: Range<u64>, unwritten: bool) -> Result;
}

/// # Safety
///
/// Called by iomap at the end of a direct write to a file of `E::Fs`.
unsafe extern "C" fn end_io<E: DirectEnd>(
    iocb: *mut bindings::kiocb,
    size: isize,
    error: c_int,
    flags: kernel::ffi::c_uint,
) -> c_int {
    let _nofs = NoFs::enter();
    from_result(|| {
        to_result(error)?;
        let Ok(size @ 1..) = u64::try_from(size) else {
            return Ok(0);
        };
        // SAFETY: By the function's contract; `ki_pos` is still where the write began.
        let (inode, start) = unsafe {
            (
                Inode::<E::Fs>::from_raw(bindings::file_inode((*iocb).ki_filp)),
                (*iocb).ki_pos.max(0) as u64,
            )
        };
        let unwritten = flags & bindings::IOMAP_DIO_UNWRITTEN != 0;
        E::written(inode, start..start.saturating_add(size), unwritten)?;
        Ok(0)
    })
}

struct Table<E>(PhantomData<E>);

impl<E: DirectEnd> Table<E> {
    const OPS: &'static bindings::iomap_dio_ops = &bindings::iomap_dio_ops {
        end_io: Some(end_io::<E>),
        submit_io: None,
        bio_set: ptr::null_mut(),
    };
}

impl<F: FileSystem> Transfer<'_, F> {
    /// Reads past the page cache. The caller holds a share of the inode's rwsem. [`Mapper::end`]
    /// may not be called.
    ///
    /// # Errors
    ///
    /// `EIOCBQUEUED` where it goes on behind the caller's back; what the device says.
    pub(crate) fn direct_read<M: Mapper<Fs = F>>(&mut self) -> Result<usize> {
        let (iocb, iter) = self.as_ptrs();
        // SAFETY: Both are valid for the call that made `self`; the function and the table are
        // static.
        super::file::count(unsafe {
            bindings::file_accessed((*iocb).ki_filp);
            // A block or less is not worth an iterator.
            let done = bindings::iomap_dio_read_simple(iocb, iter, Some(iomap::begin::<M>));
            if done != -(bindings::ENOTBLK as isize) {
                return super::file::count(done);
            }
            bindings::iomap_dio_rw(
                iocb,
                iter,
                iomap::ops::<M>(),
                ptr::null(),
                0,
                ptr::null_mut(),
                0,
            )
        })
    }

    /// Writes past the page cache. `wait`: not to return before all is done. The caller holds the
    /// inode's rwsem, for writing where the file grows or blocks are written in part.
    ///
    /// # Errors
    ///
    /// `EIOCBQUEUED` as for reads; `ENOTBLK` where the page cache has to be used; what mapping,
    /// the device and [`DirectEnd::written`] say.
    pub(crate) fn direct_write<M, E>(&mut self, wait: bool) -> Result<usize>
    where
        M: Mapper<Fs = F>,
        E: DirectEnd<Fs = F>,
    {
        let flags = if wait {
            bindings::IOMAP_DIO_FORCE_WAIT
        } else {
            0
        };
        let (iocb, iter) = self.as_ptrs();
        // SAFETY: Both are valid for the call that made `self`; the tables are static.
        super::file::count(unsafe {
            bindings::iomap_dio_rw(
                iocb,
                iter,
                iomap::ops::<M>(),
                Table::<E>::OPS,
                flags,
                ptr::null_mut(),
                0,
            )
        })
    }
}
