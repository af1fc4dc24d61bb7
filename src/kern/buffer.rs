// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks in the block device's page cache (`include/linux/buffer_head.h`).
//!
//! A [`Buffer`] is a counted reference to a `buffer_head` that holds one file-system block and is
//! up to date. The buffer's *content* belongs to whoever holds the lock that owns that kind of
//! block (see [`crate::store`]); this module only pins the memory.

use crate::bindings;
use crate::format::units::PhysicalBlock;
use crate::store::MetaBlock;
use core::{ops::Range, ptr::NonNull, slice};
use kernel::prelude::*;

/// The device that a mounted file system lives on, with the file system's block size.
///
/// # Invariants
///
/// `bdev` stays open for as long as any `Device` made from it exists: a super block holds its
/// device open until its last inode, buffer and handle are gone.
#[derive(Clone, Copy)]
pub(crate) struct Device {
    bdev: NonNull<bindings::block_device>,
    block_size: u32,
}

// SAFETY: A `block_device` may be used from any thread; the buffer cache does its own locking.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

impl Device {
    /// # Safety
    ///
    /// `bdev` is open and stays so until the value and all its copies are gone; `block_size` is
    /// the block size set on it, in bytes.
    pub(crate) unsafe fn from_raw(bdev: NonNull<bindings::block_device>, block_size: u32) -> Self {
        // INVARIANT: By the caller's promise.
        Self { bdev, block_size }
    }

    /// The C object, valid for as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// The file-system block size in bytes.
    pub(crate) fn block_size(&self) -> usize {
        self.block_size as usize
    }

    /// Reads the block at `at`, or finds it in memory. Sleeps.
    ///
    /// # Errors
    ///
    /// `EIO` where the device cannot read it.
    pub(crate) fn read(&self, at: PhysicalBlock) -> Result<Buffer> {
        // SAFETY: By the type invariant the device is open.
        let bh = unsafe { bindings::__bread_gfp(self.as_ptr(), at.0, self.block_size, 0) };
        // INVARIANT: `__bread_gfp()` gives a counted, mapped and up-to-date buffer, or null.
        NonNull::new(bh).map(Buffer).ok_or(EIO)
    }

    /// Starts reading the block at `at` without waiting for it.
    pub(crate) fn read_ahead(&self, at: PhysicalBlock) {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::__breadahead(self.as_ptr(), at.0, self.block_size) };
    }

    /// The buffer for the block at `at`, not read from the device: for a block whose old content
    /// does not matter. Its bytes are whatever the page cache holds until the caller fills them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also for a block past the end of the device.
    pub(super) fn blank(&self, at: PhysicalBlock) -> Result<Buffer> {
        // SAFETY: By the type invariant the device is open.
        let bh = unsafe {
            bindings::bdev_getblk(
                self.as_ptr(),
                at.0,
                self.block_size,
                bindings::GFP_NOFS | bindings::__GFP_MOVABLE,
            )
        };
        // INVARIANT: `bdev_getblk()` gives a counted and mapped buffer, or null. The callers in
        // this crate (`Handle::create`) make it up to date before they hand it out.
        NonNull::new(bh).map(Buffer).ok_or(ENOMEM)
    }

    /// The buffer for the block at `at` if it is in memory.
    pub(super) fn find(&self, at: PhysicalBlock) -> Option<Buffer> {
        // SAFETY: By the type invariant the device is open.
        let bh =
            unsafe { bindings::__find_get_block_nonatomic(self.as_ptr(), at.0, self.block_size) };
        NonNull::new(bh).map(Buffer)
    }

    /// Sends the device a cache flush and waits for it.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: By the type invariant the device is open.
        kernel::error::to_result(unsafe { bindings::blkdev_issue_flush(self.as_ptr()) })
    }

    /// So many blocks in the block layer's sectors of 512 bytes.
    fn sectors(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(u64::from(self.block_size) / 512)
    }

    /// Whether the device can make blocks zero without being sent the zeros.
    pub(crate) fn can_write_zeroes(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_write_zeroes_unmap_sectors(self.as_ptr()) != 0 }
    }

    /// What a direct transfer has to be aligned to, in bytes: in memory, and on the device.
    pub(crate) fn direct_alignment(&self) -> (u32, u32) {
        // SAFETY: By the type invariant the device is open.
        let (mask, sector) = unsafe {
            (
                bindings::bdev_dma_alignment(self.as_ptr()),
                bindings::bdev_logical_block_size(self.as_ptr()),
            )
        };
        (
            u32::try_from(mask).map_or(sector, |mask| mask.saturating_add(1)),
            sector,
        )
    }

    /// Whether the device wants to know which blocks nobody needs.
    pub(crate) fn can_discard(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_max_discard_sectors(self.as_ptr()) != 0 }
    }

    /// How many bytes the device can discard at least.
    pub(crate) fn discard_granularity(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_discard_granularity(self.as_ptr()) }
    }

    /// Tells the device that nobody needs the content of `blocks` blocks from `start` on, and waits
    /// for it.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(crate) fn discard(&self, start: PhysicalBlock, blocks: u32) -> Result {
        // SAFETY: By the type invariant the device is open.
        kernel::error::to_result(unsafe {
            bindings::blkdev_issue_discard(
                self.as_ptr(),
                self.sectors(start.0),
                self.sectors(blocks.into()),
                bindings::GFP_NOFS,
            )
        })
    }

    /// Makes `blocks` blocks from `start` on zero, and waits for it.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(crate) fn write_zeroes(&self, start: PhysicalBlock, blocks: u32) -> Result {
        // SAFETY: By the type invariant the device is open.
        kernel::error::to_result(unsafe {
            bindings::blkdev_issue_zeroout(
                self.as_ptr(),
                self.sectors(start.0),
                self.sectors(blocks.into()),
                bindings::GFP_NOFS,
                0,
            )
        })
    }
}

/// A counted reference to a metadata block in memory.
///
/// # Invariants
///
/// Points to a `buffer_head` with a reference of ours, mapped to one block of the file system and
/// up to date, so that `b_data` is `b_size` readable bytes for as long as the reference lasts.
pub(crate) struct Buffer(NonNull<bindings::buffer_head>);

// SAFETY: References to a buffer_head are counted atomically and may be dropped by any thread.
unsafe impl Send for Buffer {}
// SAFETY: Reading a buffer's bytes from several threads is fine; writers are kept out by the lock
// that owns the block.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// The C object, valid for as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut bindings::buffer_head {
        self.0.as_ptr()
    }

    fn len(&self) -> usize {
        // SAFETY: By the type invariant the buffer is valid; `b_size` never changes while mapped.
        unsafe { (*self.as_ptr()).b_size }
    }

    /// The bytes in `range` for writing, or `None` where the range leaves the block.
    ///
    /// # Safety
    ///
    /// The caller holds the lock that owns these bytes for writing, and journal write access, and
    /// no other slice of the same bytes is alive.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn bytes_mut(&self, range: Range<usize>) -> Option<&mut [u8]> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        // SAFETY: In bounds by the check above; alive by the type invariant; exclusive by the
        // caller's promise.
        Some(unsafe {
            slice::from_raw_parts_mut(
                (*self.as_ptr()).b_data.cast::<u8>().add(range.start),
                range.end - range.start,
            )
        })
    }

    /// Runs `f` with the buffer locked against I/O.
    pub(super) fn with_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: The buffer is valid by the type invariant; the lock is dropped right below, and
        // `f` cannot unwind in the kernel.
        unsafe { bindings::lock_buffer(self.as_ptr()) };
        let result = f();
        // SAFETY: Locked above.
        unsafe { bindings::unlock_buffer(self.as_ptr()) };
        result
    }

    /// Notes that the bytes are what the block should hold, whatever the device says.
    pub(super) fn set_uptodate(&self) {
        // SAFETY: The buffer is valid by the type invariant.
        unsafe { bindings::set_buffer_uptodate(self.as_ptr()) };
    }

    /// Edits a block outside of any transaction and writes it at once, with forced unit access
    /// where `barrier` is set: for the super block only.
    ///
    /// # Errors
    ///
    /// `EIO` where the device fails, `EINVAL` where the range leaves the block.
    ///
    /// # Safety
    ///
    /// As [`Buffer::bytes_mut`], but for the journal write access.
    pub(super) unsafe fn write_through(
        &self,
        range: Range<usize>,
        barrier: bool,
        edit: impl FnOnce(&mut [u8]),
    ) -> Result {
        // SAFETY: The buffer is valid by the type invariant; unlocked on every way out below.
        unsafe { bindings::lock_buffer(self.as_ptr()) };
        // SAFETY: By the caller's promise.
        let Some(bytes) = (unsafe { self.bytes_mut(range) }) else {
            // SAFETY: Locked above.
            unsafe { bindings::unlock_buffer(self.as_ptr()) };
            return Err(EINVAL);
        };
        edit(bytes);
        // A failed earlier write leaves the buffer not up to date; the bytes in memory are right.
        self.set_uptodate();
        let sync = bindings::req_op_REQ_OP_WRITE | bindings::REQ_SYNC;
        let opf = if barrier {
            sync | bindings::REQ_FUA
        } else {
            sync
        };
        // SAFETY: The buffer is valid, mapped and locked; `bh_end_write()` unlocks it when the
        // write is done. The dirty bit goes first, since what it stands for is written now.
        unsafe {
            bindings::clear_buffer_dirty(self.as_ptr());
            bindings::bh_submit(self.as_ptr(), opf, Some(bindings::bh_end_write));
            bindings::wait_on_buffer(self.as_ptr());
        }
        // SAFETY: The buffer is valid by the type invariant.
        if unsafe { bindings::buffer_uptodate(self.as_ptr()) } == 0 {
            // The bytes in memory are still the ones to go on with.
            self.set_uptodate();
            return Err(EIO);
        }
        Ok(())
    }
}

impl MetaBlock for Buffer {
    fn number(&self) -> PhysicalBlock {
        // SAFETY: The buffer is valid by the type invariant.
        PhysicalBlock(unsafe { (*self.as_ptr()).b_blocknr })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: By the type invariant `b_data` is `b_size` readable bytes for as long as `self`
        // lives. Who reads them holds the lock that owns this kind of block, which keeps writers
        // out (see `crate::store`).
        unsafe { slice::from_raw_parts((*self.as_ptr()).b_data.cast::<u8>(), self.len()) }
    }

    fn verified(&self) -> bool {
        // SAFETY: The buffer is valid by the type invariant.
        unsafe { bindings::buffer_verified(self.as_ptr()) != 0 }
    }

    fn set_verified(&self) {
        // SAFETY: The buffer is valid by the type invariant.
        unsafe { bindings::set_buffer_verified(self.as_ptr()) };
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        // SAFETY: The buffer is valid by the type invariant.
        unsafe { bindings::get_bh(self.as_ptr()) };
        // INVARIANT: The new reference was just taken.
        Self(self.0)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, and give it back once.
        unsafe { bindings::__brelse(self.as_ptr()) };
    }
}
