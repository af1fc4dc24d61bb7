// SPDX-License-Identifier: GPL-2.0

//! The page cache of a regular file (`struct address_space`, `struct folio`).

use super::{
    fs::FileSystem,
    inode::Inode,
    iomap::{self, Mapper},
    ops::{zeroed, Table},
    writeback::{self, Writeback},
};
use crate::bindings;
use core::ops::Range;
use kernel::{error::to_result, prelude::*};

/// # Safety
///
/// Called by the VFS with a locked folio of an inode of `M::Fs`.
unsafe extern "C" fn read_folio<M: Mapper>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> kernel::ffi::c_int {
    // SAFETY: All zero is an empty context; the folio is locked and ours to read into.
    unsafe {
        let mut ctx = core::mem::zeroed::<bindings::iomap_read_folio_ctx>();
        ctx.ops = &raw const bindings::iomap_bio_read_ops;
        ctx.cur_folio = folio;
        bindings::iomap_read_folio(iomap::ops::<M>(), &mut ctx, core::ptr::null_mut());
    }
    0
}

/// # Safety
///
/// Called by the VFS with a readahead request for an inode of `M::Fs`.
unsafe extern "C" fn readahead<M: Mapper>(rac: *mut bindings::readahead_control) {
    // SAFETY: All zero is an empty context; `rac` is valid for the call.
    unsafe {
        let mut ctx = core::mem::zeroed::<bindings::iomap_read_folio_ctx>();
        ctx.ops = &raw const bindings::iomap_bio_read_ops;
        ctx.rac = rac;
        bindings::iomap_readahead(iomap::ops::<M>(), &mut ctx, core::ptr::null_mut());
    }
}

/// # Safety
///
/// Called by the VFS with the mapping of an inode of `M::Fs`.
unsafe extern "C" fn bmap<M: Mapper>(
    mapping: *mut bindings::address_space,
    block: bindings::sector_t,
) -> bindings::sector_t {
    // SAFETY: By the function's contract.
    unsafe { bindings::iomap_bmap(mapping, block, iomap::ops::<M>()) }
}

/// # Safety
///
/// Called by the VFS with a file of `M::Fs` that is to be swapped to.
unsafe extern "C" fn swap_activate<M: Mapper>(
    swap: *mut bindings::swap_info_struct,
    file: *mut bindings::file,
    span: *mut bindings::sector_t,
) -> kernel::ffi::c_int {
    // SAFETY: By the function's contract.
    unsafe { bindings::iomap_swapfile_activate(swap, file, span, iomap::ops::<M>()) }
}

/// The operations of a mapping that is read through `R`, reported through `Q` and written back
/// through `W`.
pub(crate) const fn operations<R, Q, W>() -> Table<bindings::address_space_operations>
where
    R: Mapper,
    Q: Mapper<Fs = R::Fs>,
    W: Writeback<Fs = R::Fs>,
{
    Table::new(bindings::address_space_operations {
        read_folio: Some(read_folio::<R>),
        readahead: Some(readahead::<R>),
        writepages: Some(writeback::writepages::<W>),
        dirty_folio: Some(bindings::iomap_dirty_folio),
        release_folio: Some(bindings::iomap_release_folio),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        bmap: Some(bmap::<Q>),
        swap_activate: Some(swap_activate::<Q>),
        ..zeroed()
    })
}

/// The mapping's invalidate lock, held for writing: no page fault or readahead brings a folio in.
#[must_use]
pub(crate) struct InvalidateLock<'a, F: FileSystem>(&'a Inode<F>);

impl<F: FileSystem> Drop for InvalidateLock<'_, F> {
    fn drop(&mut self) {
        // SAFETY: Taken by `invalidate_lock`, by this task.
        unsafe { bindings::filemap_invalidate_unlock(self.0.mapping()) };
    }
}

/// The page cache of an inode. Offsets are in bytes; positions past `i64::MAX` mean the end.
impl<F: FileSystem> Inode<F> {
    /// The C object, valid for as long as `self`.
    pub(super) fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: The inode is alive; `i_mapping` of our inodes never changes.
        unsafe { (*self.as_ptr()).i_mapping }
    }

    /// Takes the invalidate lock for writing. Sleeps; comes after the inode's rwsem and before
    /// any folio lock.
    pub(crate) fn invalidate_lock(&self) -> InvalidateLock<'_, F> {
        // SAFETY: The mapping is alive while the inode is.
        unsafe { bindings::filemap_invalidate_lock(self.mapping()) };
        InvalidateLock(self)
    }

    /// Gives a new inode's page cache its operations, and lets it use folios of every size.
    pub(crate) fn set_mapping(
        &self,
        operations: &'static Table<bindings::address_space_operations>,
    ) {
        // SAFETY: The mapping is alive while the inode is, and nobody else looks at it yet. The
        // table lives for ever.
        unsafe {
            (*self.mapping()).a_ops = operations.as_ptr();
            bindings::mapping_set_large_folios(self.mapping());
        }
    }

    /// Starts and awaits writeback of `range`. Not with a handle or a folio lock held.
    ///
    /// # Errors
    ///
    /// What writeback met, or an earlier error that nobody has been told of.
    pub(crate) fn write_and_wait(&self, range: Range<u64>) -> Result {
        let Some((first, last)) = span(&range) else {
            return Ok(());
        };
        // SAFETY: The mapping is alive while the inode is.
        to_result(unsafe { bindings::filemap_write_and_wait_range(self.mapping(), first, last) })
    }

    /// Starts writeback of all dirty folios of `range`, those included that are being written
    /// already, and does not wait for it.
    ///
    /// # Errors
    ///
    /// What writeback met before the device was asked.
    pub(crate) fn start_writing_all(&self, range: Range<u64>) -> Result {
        let Some((first, last)) = span(&range) else {
            return Ok(());
        };
        // SAFETY: The mapping is alive while the inode is.
        to_result(unsafe { bindings::filemap_fdatawrite_range(self.mapping(), first, last) })
    }

    /// Starts writeback of `range`, as far as it is not being written, and does not wait.
    pub(crate) fn start_writing(&self, range: Range<u64>) -> Result {
        let Some((first, last)) = span(&range) else {
            return Ok(());
        };
        // SAFETY: The mapping is alive while the inode is.
        to_result(unsafe { bindings::filemap_flush_range(self.mapping(), first, last) })
    }

    /// Starts and awaits writeback of the whole file, and leaves errors for the next `fsync()`. Not
    /// with a handle or a folio lock held.
    pub(crate) fn write_all_quietly(&self) {
        // SAFETY: The mapping is alive while the inode is.
        unsafe {
            // An error is kept in the mapping.
            let _ = bindings::filemap_fdatawrite(self.mapping());
            bindings::filemap_fdatawait_keep_errors(self.mapping());
        }
    }

    /// As [`write_all_quietly`](Self::write_all_quietly), for the folios over `range`.
    pub(crate) fn write_quietly(&self, range: Range<u64>) {
        let Some((first, last)) = span(&range) else {
            return;
        };
        // SAFETY: The mapping is alive while the inode is.
        unsafe {
            // An error is kept in the mapping.
            let _ = bindings::filemap_fdatawrite_range(self.mapping(), first, last);
            bindings::filemap_fdatawait_range_keep_errors(self.mapping(), first, last);
        }
    }

    /// Drops all folios past the file's new end `size` from the cache, and the mapped pages with
    /// them; waits for writeback of what it drops. The caller has set the size and holds the
    /// invalidate lock.
    pub(crate) fn truncate_cache(&self, size: u64) {
        // SAFETY: The inode is alive.
        unsafe { bindings::truncate_pagecache(self.as_ptr(), size as bindings::loff_t) };
    }

    /// Drops the folios that lie within `range` and zeroes the parts at its ends. The caller
    /// holds the invalidate lock.
    pub(crate) fn truncate_cache_range(&self, range: Range<u64>) {
        let Some((first, last)) = span(&range) else {
            return;
        };
        // SAFETY: The inode is alive.
        unsafe { bindings::truncate_pagecache_range(self.as_ptr(), first, last) };
    }

    /// Tells the page cache that the size has grown from `from` to `to`, so that a store through
    /// an existing mapping of the old last page faults again and gets its blocks.
    pub(crate) fn cache_extended(&self, from: u64, to: u64) {
        // SAFETY: The inode is alive, and the caller holds its rwsem.
        unsafe {
            bindings::pagecache_isize_extended(
                self.as_ptr(),
                from as bindings::loff_t,
                to as bindings::loff_t,
            )
        };
    }

    /// Whether the caller may make the file `size` bytes long: resource limits, the largest file.
    ///
    /// # Errors
    ///
    /// `EFBIG`, after a `SIGXFSZ` where that is due.
    pub(crate) fn may_have_size(&self, size: u64) -> Result {
        let size = bindings::loff_t::try_from(size).map_err(|_| EFBIG)?;
        // SAFETY: The inode is alive.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_ptr(), size) })
    }

    /// Drops clean folios of `range` from the cache, as far as nobody uses them.
    pub(crate) fn drop_clean(&self, range: Range<u64>) {
        let Some((first, last)) = span(&range) else {
            return;
        };
        let page = |byte: bindings::loff_t| byte as usize / bindings::PAGE_SIZE;
        // SAFETY: The mapping is alive while the inode is.
        unsafe { bindings::invalidate_mapping_pages(self.mapping(), page(first), page(last)) };
    }

    /// Whether direct I/O is in flight.
    pub(crate) fn has_direct_io(&self) -> bool {
        // SAFETY: The inode is alive.
        unsafe { !bindings::inode_dio_finished(self.as_ptr()) }
    }

    /// Waits for direct I/O in flight. The caller holds the rwsem for writing.
    pub(crate) fn wait_for_direct_io(&self) {
        // SAFETY: The inode is alive.
        unsafe { bindings::inode_dio_wait(self.as_ptr()) };
    }
}

/// The first byte of the page that byte `pos` of a file lies in.
pub(crate) fn page_start(pos: u64) -> u64 {
    pos & !WITHIN_PAGE
}

/// The end of that page; `pos` itself where it lies between two pages.
pub(crate) fn page_end(pos: u64) -> u64 {
    page_start(pos.saturating_add(WITHIN_PAGE))
}

/// The bits of a byte's number that say where in its page it lies.
const WITHIN_PAGE: u64 = bindings::PAGE_SIZE as u64 - 1;

/// First and last byte of `range` as C wants them; `None` if it is empty.
fn span(range: &Range<u64>) -> Option<(bindings::loff_t, bindings::loff_t)> {
    let last = range.end.checked_sub(1)?;
    if last < range.start {
        return None;
    }
    let first = bindings::loff_t::try_from(range.start).ok()?;
    Some((
        first,
        bindings::loff_t::try_from(last).unwrap_or(bindings::loff_t::MAX),
    ))
}
