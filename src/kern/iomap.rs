// SPDX-License-Identifier: GPL-2.0

//! The kernel's iomap library (`include/linux/iomap.h`) for safe code.
//!
//! A file system says what lies in a stretch of a file by implementing [`Mapper`]; each
//! implementation is one way to ask (read, buffered write, zeroing, report) and becomes one ops
//! table of C. The functions below are the library's entry points, generic over the mapper to use.
//!
//! Callbacks run in the context of whoever called the entry point, with the locks that iomap
//! holds there: none for reads and reports, the inode's rwsem for writes, the folio lock for
//! faults.

use super::{fs::FileSystem, inode::Inode};
use crate::bindings;
use core::{marker::PhantomData, ops::Range, ptr};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
};

/// What lies in a stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing; reads as zeros.
    Hole,
    /// Space is reserved, no block chosen yet.
    Delayed,
    /// Written blocks, from this byte of the device on.
    Mapped(u64),
    /// Blocks that read as zeros until written, from this byte of the device on.
    Unwritten(u64),
    /// Bytes in the inode, from this byte of the device on. Only for telling.
    Inline(u64),
}

/// A stretch of a file, all of one [`Kind`]. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) kind: Kind,
    /// This request made it: what the caller does not overwrite must be zeroed, and what it does
    /// not dirty may be given back.
    pub(crate) new: bool,
    /// Metadata that a synchronous write needs is not committed yet.
    pub(crate) dirty: bool,
    /// Compared by [`WriteCheck::valid`] and by writeback: the inode's extent sequence.
    pub(crate) cookie: u64,
}

/// `struct iomap`: an [`Extent`] as the library keeps it between calls.
///
/// # Invariants
///
/// A valid `struct iomap`.
#[repr(transparent)]
pub(crate) struct Map(bindings::iomap);

impl Map {
    /// # Safety
    ///
    /// `ptr` is valid and nobody else writes it while the reference lives.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::iomap) -> &'a mut Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &mut *ptr.cast() }
    }

    /// Whether the map holds a stretch that covers byte `pos`.
    pub(crate) fn covers(&self, pos: u64) -> bool {
        // The library keeps offsets non-negative.
        pos.checked_sub(self.0.offset as u64)
            .is_some_and(|into| into < self.0.length)
    }

    /// The sequence that was noted with the stretch.
    pub(crate) fn cookie(&self) -> u64 {
        self.0.validity_cookie
    }

    /// Whether the request that made this map reserved or allocated the blocks.
    pub(crate) fn is_new(&self) -> bool {
        u32::from(self.0.flags) & bindings::IOMAP_F_NEW != 0
    }

    /// Whether the stretch is delayed.
    pub(crate) fn is_delayed(&self) -> bool {
        u32::from(self.0.type_) == bindings::IOMAP_DELALLOC
    }

    /// Fills the map from `extent`, on the device that holds `inode`.
    pub(super) fn set<F: FileSystem>(&mut self, inode: &Inode<F>, extent: &Extent) -> Result {
        let (kind, addr) = match extent.kind {
            Kind::Hole => (bindings::IOMAP_HOLE, u64::MAX),
            Kind::Delayed => (bindings::IOMAP_DELALLOC, u64::MAX),
            Kind::Mapped(at) => (bindings::IOMAP_MAPPED, at),
            Kind::Unwritten(at) => (bindings::IOMAP_UNWRITTEN, at),
            Kind::Inline(at) => (bindings::IOMAP_INLINE, at),
        };
        let mut flags = 0;
        if extent.new {
            flags |= bindings::IOMAP_F_NEW;
        }
        if extent.dirty {
            flags |= bindings::IOMAP_F_DIRTY;
        }
        let map = &mut self.0;
        map.offset = i64::try_from(extent.offset).map_err(|_| EFBIG)?;
        map.length = extent.length;
        map.type_ = kind as u16;
        map.flags = flags as u16;
        map.addr = addr;
        map.validity_cookie = extent.cookie;
        // SAFETY: The inode is alive, and its super block with it; `s_bdev` does not change while
        // the file system is mounted.
        map.bdev = unsafe { (*(*inode.as_ptr()).i_sb).s_bdev };
        map.dax_dev = ptr::null_mut();
        Ok(())
    }
}

/// What the library wants to do with the stretch it asks for (`IOMAP_*`).
#[derive(Clone, Copy)]
pub(crate) struct Purpose(u32);

impl Purpose {
    /// Must not sleep: `EAGAIN` instead.
    pub(crate) fn nowait(self) -> bool {
        self.0 & bindings::IOMAP_NOWAIT != 0
    }

    /// A page fault; the folio is locked.
    pub(crate) fn fault(self) -> bool {
        self.0 & bindings::IOMAP_FAULT != 0
    }
}

/// A stretch that the library asks for, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) pos: u64,
    pub(crate) len: u64,
    pub(crate) purpose: Purpose,
}

/// A file system's answer to "what lies here?", for one kind of caller.
pub(crate) trait Mapper: Sized + 'static {
    /// The file system that the inodes belong to.
    type Fs: FileSystem;

    /// Says what lies at `request.pos`, making it where the purpose needs that. The extent covers
    /// `request.pos` and should go no further than `request.len` needs.
    fn begin(inode: &Inode<Self::Fs>, request: &Request) -> Result<Extent>;

    /// Ends the use of `map`: of the stretch `request`, the first `done` bytes were processed.
    fn end(_inode: &Inode<Self::Fs>, _request: &Request, _done: u64, _map: &mut Map) -> Result {
        Ok(())
    }
}

/// Finishes the mapping that `map` holds, and puts the next one there. The library's contract
/// (`iomap_iter_next()`): 1 to go on, 0 at the end, or an error.
///
/// # Safety
///
/// Called by iomap with its own iterator, and the maps inside it.
unsafe extern "C" fn next<M: Mapper>(
    iter: *const bindings::iomap_iter,
    map: *mut bindings::iomap,
    source: *mut bindings::iomap,
) -> kernel::ffi::c_int {
    // SAFETY: The iterator is valid for the call. Only plain fields are read, through the raw
    // pointer, because `map` points inside.
    let (inode, start, pos, left, flags) = unsafe {
        (
            Inode::<M::Fs>::from_raw((*iter).inode),
            (*iter).iter_start_pos as u64,
            (*iter).pos as u64,
            (*iter).len,
            (*iter).flags,
        )
    };
    let purpose = Purpose(flags);

    // SAFETY: `map` is valid, and ours for the call.
    if unsafe { (*map).length } != 0 {
        // SAFETY: As above.
        let old = unsafe { Map::from_raw(map) };
        let done = pos.saturating_sub(start);
        let map_end = (old.0.offset as u64).saturating_add(old.0.length);
        let len = left.saturating_add(done).min(map_end.saturating_sub(start));
        let request = Request {
            pos: start,
            len,
            purpose,
        };
        let ended = match M::end(inode, &request, done, old) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        };
        // SAFETY: All three are the library's own, passed on.
        let go_on = unsafe { bindings::iomap_iter_continue(iter, map, source, ended) };
        if go_on <= 0 {
            return go_on;
        }
    }

    from_result(|| {
        let request = Request {
            pos,
            len: left,
            purpose,
        };
        let extent = M::begin(inode, &request)?;
        // SAFETY: `map` is valid, and ours for the call.
        unsafe { Map::from_raw(map) }.set(inode, &extent)?;
        Ok(1)
    })
}

/// As [`next`], for the one mapping of an entry point that needs no iterator (`iomap_begin_fn`).
///
/// # Safety
///
/// Called by iomap with an inode of `M::Fs`, and an empty map.
pub(super) unsafe extern "C" fn begin<M: Mapper>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    len: bindings::loff_t,
    flags: kernel::ffi::c_uint,
    map: *mut bindings::iomap,
    _source: *mut bindings::iomap,
) -> kernel::ffi::c_int {
    from_result(|| {
        // SAFETY: By the function's contract; the map is ours for the call.
        let (inode, map) = unsafe { (Inode::<M::Fs>::from_raw(inode), Map::from_raw(map)) };
        let request = Request {
            pos: pos.max(0) as u64,
            len: len.max(0) as u64,
            purpose: Purpose(flags),
        };
        map.set(inode, &M::begin(inode, &request)?)?;
        Ok(0)
    })
}

/// The ops table of `M`.
struct Table<M>(PhantomData<M>);

impl<M: Mapper> Table<M> {
    const OPS: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: None,
        iomap_end: None,
        iomap_next: Some(next::<M>),
    };
}

/// `struct iomap_ops` of `M`, for entry points in other modules of `kern`.
pub(super) fn ops<M: Mapper>() -> *const bindings::iomap_ops {
    Table::<M>::OPS
}

/// The check that a cached mapping still holds, made with the folio locked, before a buffered
/// write or zeroing touches the folio.
pub(crate) trait WriteCheck: Sized + 'static {
    /// The file system that the inodes belong to.
    type Fs: FileSystem;

    /// Whether `map` still describes the file.
    fn valid(inode: &Inode<Self::Fs>, map: &Map) -> bool;
}

/// # Safety
///
/// Called by iomap with an inode of `C::Fs` and a valid map.
unsafe extern "C" fn valid<C: WriteCheck>(
    inode: *mut bindings::inode,
    map: *const bindings::iomap,
) -> bool {
    // SAFETY: By the function's contract; the map is only read.
    unsafe { C::valid(Inode::from_raw(inode), &*map.cast::<Map>()) }
}

struct WriteTable<C>(PhantomData<C>);

impl<C: WriteCheck> WriteTable<C> {
    const OPS: &'static bindings::iomap_write_ops = &bindings::iomap_write_ops {
        get_folio: None,
        put_folio: None,
        iomap_valid: Some(valid::<C>),
        read_folio_range: None,
    };
}

/// `struct iomap_write_ops` of `C`, for entry points in other modules of `kern`.
pub(super) fn write_ops<C: WriteCheck>() -> *const bindings::iomap_write_ops {
    WriteTable::<C>::OPS
}

/// Zeroes `range` of the file in the page cache, where it does not read as zeros already, and
/// says whether anything was changed. The caller holds the inode's rwsem.
///
/// # Errors
///
/// What reading, writing out or mapping the range meets.
pub(crate) fn zero_range<M, C>(inode: &Inode<M::Fs>, range: Range<u64>) -> Result<bool>
where
    M: Mapper,
    C: WriteCheck<Fs = M::Fs>,
{
    let mut zeroed = false;
    let pos = i64::try_from(range.start).map_err(|_| EFBIG)?;
    let Some(len) = range.end.checked_sub(range.start) else {
        return Ok(false);
    };
    if len == 0 {
        return Ok(false);
    }
    let len = i64::try_from(len).map_err(|_| EFBIG)?;
    // SAFETY: The inode is alive; the tables are static and of the inode's file system.
    to_result(unsafe {
        bindings::iomap_zero_range(
            inode.as_ptr(),
            pos,
            len,
            &mut zeroed,
            Table::<M>::OPS,
            WriteTable::<C>::OPS,
            ptr::null_mut(),
        )
    })?;
    Ok(zeroed)
}

/// Gives back delayed blocks: see [`release_delayed`].
pub(crate) trait Punch: Sized + 'static {
    /// The file system that the inodes belong to.
    type Fs: FileSystem;

    /// Drops the delayed extents, and nothing else, in the byte range `range`, with their
    /// reservation. A folio of the file may be locked by the caller.
    fn punch(inode: &Inode<Self::Fs>, range: Range<u64>);
}

/// # Safety
///
/// Called by iomap with an inode of `P::Fs`.
unsafe extern "C" fn punch<P: Punch>(
    inode: *mut bindings::inode,
    offset: bindings::loff_t,
    length: bindings::loff_t,
    _map: *mut bindings::iomap,
) {
    let (start, length) = (offset.max(0) as u64, length.max(0) as u64);
    // SAFETY: By the function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    P::punch(inode, start..start.saturating_add(length));
}

/// Gives back those blocks of `range`, delayed by the request that made `map`, that no dirty
/// folio covers. Takes the mapping's invalidate lock for writing, unless `locked` says that the
/// caller holds it.
pub(crate) fn release_delayed<P: Punch>(
    inode: &Inode<P::Fs>,
    range: Range<u64>,
    purpose: Purpose,
    map: &mut Map,
    locked: bool,
) {
    let (Ok(start), Ok(end)) = (i64::try_from(range.start), i64::try_from(range.end)) else {
        return;
    };
    // SAFETY: The inode is alive, so its mapping is; `map` is a valid iomap; the lock is taken
    // and released in this function, or held by the caller.
    unsafe {
        let mapping = (*inode.as_ptr()).i_mapping;
        if !locked {
            bindings::filemap_invalidate_lock(mapping);
        }
        bindings::iomap_write_delalloc_release(
            inode.as_ptr(),
            start,
            end,
            purpose.0,
            &mut map.0,
            Some(punch::<P>),
        );
        if !locked {
            bindings::filemap_invalidate_unlock(mapping);
        }
    }
}

/// `SEEK_HOLE`: the first hole at or after `offset`. The caller holds the inode's rwsem shared.
///
/// # Errors
///
/// `ENXIO` past the end of the file.
pub(crate) fn seek_hole<M: Mapper>(inode: &Inode<M::Fs>, offset: i64) -> Result<i64> {
    // SAFETY: The inode is alive; the table is static and of the inode's file system.
    found(unsafe { bindings::iomap_seek_hole(inode.as_ptr(), offset, Table::<M>::OPS) })
}

/// `SEEK_DATA`: the first data at or after `offset`. The caller holds the inode's rwsem shared.
///
/// # Errors
///
/// `ENXIO` where there is none.
pub(crate) fn seek_data<M: Mapper>(inode: &Inode<M::Fs>, offset: i64) -> Result<i64> {
    // SAFETY: As in `seek_hole`.
    found(unsafe { bindings::iomap_seek_data(inode.as_ptr(), offset, Table::<M>::OPS) })
}

/// A position, or an errno in its place.
fn found(value: bindings::loff_t) -> Result<i64> {
    if value < 0 {
        to_result(i32::try_from(value).unwrap_or(-(bindings::EIO as i32)))?;
    }
    Ok(value)
}
