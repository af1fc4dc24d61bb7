// SPDX-License-Identifier: GPL-2.0

//! Writing dirty folios out through iomap (`struct iomap_writeback_ops`).
//!
//! iomap walks the dirty folios of a file, locked one at a time, and asks for the blocks of each
//! dirty range. A [`Writeback`] answers with extents; the stretch that it gave last is kept in
//! the context and handed to it again, so that one answer serves many folios while it holds.

use super::{
    inode::Inode,
    ioend::{complete_in_place, complete_in_task, complete_in_worker, Completion},
    iomap::{Extent, Map},
    nofs::NoFs,
};
use crate::bindings;
use core::{marker::PhantomData, ops::Range, ptr};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
};

/// A dirty range that wants to be written.
pub(crate) struct Dirty<'a> {
    /// The range; its folio is locked.
    pub(crate) range: Range<u64>,
    /// Where the whole writeback ends, in bytes: no use in mapping what lies beyond.
    pub(crate) limit: u64,
    /// The stretch that was mapped last, if any.
    pub(crate) current: &'a Map,
}

/// A file system's part in writeback.
pub(crate) trait Writeback: Completion {
    /// Whether any of the inode's data may be written now.
    ///
    /// # Errors
    ///
    /// Nothing is written, and the folios stay dirty.
    fn begin(inode: &Inode<Self::Fs>) -> Result;

    /// The extent to write `dirty.range` to, from its start on: mapped, unwritten, or a hole for what need not be
    /// written. `None` keeps `dirty.current`.
    ///
    /// # Errors
    ///
    /// The range is not written; [`Writeback::discard`] follows.
    fn map(inode: &Inode<Self::Fs>, dirty: &Dirty<'_>) -> Result<Option<Extent>>;

    /// The dirty bytes of `range`, up to the end of its folio, will not be written for `cause`:
    /// gives back what was reserved for them. The folio is locked, and no longer dirty.
    fn discard(inode: &Inode<Self::Fs>, range: Range<u64>, cause: Error);

    /// Whether the completion of data up to byte `end` changes metadata even where the blocks were
    /// written before, and the device takes the data. That of unwritten blocks and errors always
    /// does.
    fn needs_task(inode: &Inode<Self::Fs>, end: u64) -> bool;
}

/// iomap's context, which it hands to the callbacks, and ours around it.
#[repr(C)]
struct Context {
    wpc: bindings::iomap_writepage_ctx,
    /// A folio is locked, and being added to an ioend; a full one is submitted before that.
    adding: bool,
}

/// # Safety
///
/// Called by iomap with the context of `writepages` and the locked folio that holds `pos`.
unsafe extern "C" fn writeback_range<W: Writeback>(
    wpc: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    pos: u64,
    len: kernel::ffi::c_uint,
    end_pos: u64,
) -> isize {
    // Reclaim must not come back to the file system whose folio we hold.
    let _nofs = NoFs::enter();
    // SAFETY: The context is valid, and this thread's alone.
    let (inode, map, limit) = unsafe {
        let range_end = (*(*wpc).wbc).range_end;
        (
            Inode::<W::Fs>::from_raw((*wpc).inode),
            Map::from_raw(&raw mut (*wpc).iomap),
            u64::try_from(range_end).map_or(u64::MAX, |last| last.saturating_add(1)),
        )
    };
    let mapped = W::map(
        inode,
        &Dirty {
            range: pos..pos.saturating_add(len.into()),
            limit,
            current: map,
        },
    )
    .and_then(|extent| match extent {
        Some(extent) => map.set(inode, &extent),
        None => Ok(()),
    })
    .and_then(|()| {
        let context = wpc.cast::<Context>();
        // SAFETY: The context is the first field of ours. All others are iomap's own, passed on;
        // the map covers `pos`.
        let done = unsafe {
            (*context).adding = true;
            let done = bindings::iomap_add_to_ioend(
                wpc,
                folio,
                pos as bindings::loff_t,
                end_pos as bindings::loff_t,
                len,
            );
            let end = pos.saturating_add(done.unsigned_abs() as u64);
            if done > 0 && !(*wpc).wb_ctx.is_null() && W::is_awaited(inode, pos..end) {
                // What waits for it may be what this task meets next, under writeback, and waits
                // for: it must not stay in hand.
                writeback_submit::<W>(wpc, 0);
                (*wpc).wb_ctx = ptr::null_mut();
            }
            (*context).adding = false;
            done
        };
        if done < 0 {
            to_result(done as kernel::ffi::c_int)?;
        }
        Ok(done)
    });
    match mapped {
        Ok(done) => done,
        Err(cause) => {
            // SAFETY: The folio is locked, so its place and size are stable.
            let end = unsafe { bindings::folio_next_pos(folio) } as u64;
            W::discard(inode, pos..end, cause);
            cause.to_errno() as isize
        }
    }
}

/// # Safety
///
/// Called by iomap with the context of `writepages`, which holds an ioend; without locks, but for
/// the folio that is being added.
unsafe extern "C" fn writeback_submit<W: Writeback>(
    wpc: *mut bindings::iomap_writepage_ctx,
    error: kernel::ffi::c_int,
) -> kernel::ffi::c_int {
    // SAFETY: By the function's contract; the context is the first field of ours. The ioend is not
    // submitted yet, and so ours alone. `writepages` keeps the inode.
    unsafe {
        let inode = Inode::<W::Fs>::from_raw((*wpc).inode);
        let ioend = (*wpc).wb_ctx.cast::<bindings::iomap_ioend>();
        let start = (*ioend).io_offset.max(0) as u64;
        let end = start.saturating_add((*ioend).io_size as u64);
        let unwritten = u32::from((*ioend).io_flags) & bindings::IOMAP_IOEND_UNWRITTEN != 0;
        // An error is that of another folio, which has been told so: what is in the ioend has its
        // blocks, and goes there.
        let submit = || match (bindings::iomap_ioend_writeback_submit(wpc, 0), error) {
            (submitted, 0) => submitted,
            (_, error) => error,
        };
        if W::is_awaited(inode, start..end) {
            complete_in_worker::<W>(&mut *ioend);
        } else if !unwritten && !W::needs_task(inode, end) {
            complete_in_place::<W>(&mut *ioend);
        } else if (*wpc.cast::<Context>()).adding {
            // More is to come, with which the worker may merge it.
            complete_in_worker::<W>(&mut *ioend);
        } else {
            return complete_in_task::<W, _>(ioend, submit);
        }
        submit()
    }
}

/// The ops table of `W`.
struct Table<W>(PhantomData<W>);

impl<W: Writeback> Table<W> {
    const OPS: &'static bindings::iomap_writeback_ops = &bindings::iomap_writeback_ops {
        writeback_range: Some(writeback_range::<W>),
        writeback_submit: Some(writeback_submit::<W>),
    };
}

/// `->writepages` of a file system's regular files.
///
/// # Safety
///
/// Called by the VFS with the mapping of an inode of `W::Fs`.
pub(super) unsafe extern "C" fn writepages<W: Writeback>(
    mapping: *mut bindings::address_space,
    wbc: *mut bindings::writeback_control,
) -> kernel::ffi::c_int {
    from_result(|| {
        // SAFETY: By the function's contract.
        W::begin(unsafe { Inode::<W::Fs>::from_raw((*mapping).host) })?;
        // SAFETY: All zero is an empty context; the pointers are valid for the call.
        unsafe {
            let mut context = core::mem::zeroed::<Context>();
            context.wpc.inode = (*mapping).host;
            context.wpc.wbc = wbc;
            context.wpc.ops = Table::<W>::OPS;
            // All of ours, not only of iomap's part, is behind this pointer.
            let wpc = (&raw mut context).cast::<bindings::iomap_writepage_ctx>();
            to_result(bindings::iomap_writepages(wpc))?;
        }
        Ok(0)
    })
}
