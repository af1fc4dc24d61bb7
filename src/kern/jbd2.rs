// SPDX-License-Identifier: GPL-2.0

//! The kernel's journal, jbd2 (`include/linux/jbd2.h`).
//!
//! A [`Journal`] owns the journal of one mounted file system; a [`Handle`] is one running
//! operation in it. A task holds at most one handle of its own: a start while one runs joins it
//! (jbd2 counts), so the innermost [`Handle`] ends nothing.
//!
//! Lock order: a handle starts before `i_data_sem` is taken, never under it; with a handle open
//! no folio lock is taken and no writeback waited for.

use crate::bindings;
use crate::format::units::PhysicalBlock;
use crate::kern::buffer::{Buffer, Device};
use crate::kern::fs::FileSystem;
use crate::kern::inode::Inode;
use crate::store::MetaBlock;
use core::{marker::PhantomData, ops::Range, ptr::NonNull, slice};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    sync::{aref::ARef, Arc},
};

/// A transaction's number. Wraps around; only jbd2 compares two of them.
pub(crate) type Tid = bindings::tid_t;

/// What wants to know of a committed transaction.
pub(crate) trait CommitHook: Send + Sync + 'static {
    /// Called in the journal thread after transaction `tid` is on disk. May sleep and take group
    /// locks; starts no handle. Not called once the journal has aborted: jbd2 ends transactions
    /// then that never reach the disk.
    fn committed(&self, tid: Tid);

    /// The bytes of block `at`, of which [`Journal::seal_at_commit`] was told, are about to go
    /// into the journal: its checksum is set. Under a spinlock of jbd2's; nobody changes the block
    /// meanwhile, but others may look at what this does not write.
    fn seal(&self, at: PhysicalBlock, bytes: &mut [u8]);
}

/// What jbd2 calls for a block when a commit fixes its content.
///
/// # Invariants
///
/// `hook` is that of the journal which owns the trigger, and outlives it.
#[repr(C)]
struct Trigger<H> {
    c: bindings::jbd2_buffer_trigger_type,
    hook: *const H,
}

/// How much of the journal an operation may dirty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credits {
    /// Metadata blocks that may become dirty.
    pub(crate) blocks: u32,
    /// Metadata blocks that may be revoked.
    pub(crate) revokes: u32,
}

impl Credits {
    /// `blocks` blocks, and as many revokes as an ordinary operation needs.
    pub(crate) const fn blocks(blocks: u32) -> Self {
        Self { blocks, revokes: 8 }
    }

    fn as_c(self) -> Result<(c_int, c_int)> {
        Ok((self.blocks.try_into()?, self.revokes.try_into()?))
    }
}

/// The journal of a mounted file system.
///
/// # Invariants
///
/// `ptr` is a journal that this value owns; its `j_private` is the `Arc`'s content. That and the
/// trigger live at least as long as the journal.
pub(crate) struct Journal<H: CommitHook> {
    ptr: NonNull<bindings::journal_t>,
    trigger: KBox<Trigger<H>>,
    hook: Arc<H>,
}

// SAFETY: jbd2 does its own locking; the hook is `Send + Sync`.
unsafe impl<H: CommitHook> Send for Journal<H> {}
// SAFETY: As above.
unsafe impl<H: CommitHook> Sync for Journal<H> {}

/// How the blocks of an empty journal lose what they held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    /// The device may forget them.
    Discard,
    /// They are zeroed.
    Zero,
}

/// How a journal behaves; see the mount options of the same names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalParams {
    /// Seconds between commits.
    pub(crate) commit_interval: u32,
    /// Whether commits flush the device's cache.
    pub(crate) barrier: bool,
    /// Microseconds that a synchronous operation waits for others to join its transaction.
    pub(crate) min_batch_time: u32,
    /// Upper limit of the same, microseconds.
    pub(crate) max_batch_time: u32,
}

impl<H: CommitHook> Journal<H> {
    /// Opens the journal that lies in `inode`. Nothing is recovered yet: see
    /// [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// `EINVAL` or `EFSCORRUPTED` where the inode holds no journal, `EIO`, `ENOMEM`.
    pub(crate) fn open<F: FileSystem>(
        inode: ARef<Inode<F>>,
        hook: Arc<H>,
        params: JournalParams,
    ) -> Result<Self> {
        let c = bindings::jbd2_buffer_trigger_type {
            t_frozen: Some(Self::frozen_callback),
            t_abort: None,
        };
        // INVARIANT: The hook is the journal's, which keeps it for longer than the trigger.
        let trigger = Trigger {
            c,
            hook: Arc::as_ptr(&hook),
        };
        let trigger = KBox::new(trigger, GFP_KERNEL)?;
        // SAFETY: The inode is referenced; on success the journal owns the reference and gives it
        // back in `jbd2_journal_destroy()`.
        let ptr = from_err_ptr(unsafe { bindings::jbd2_journal_init_inode(inode.as_ptr()) })?;
        core::mem::forget(inode);
        let ptr = NonNull::new(ptr).ok_or(EINVAL)?;
        // SAFETY: The journal was just made and nobody else knows it; `hook` outlives it because
        // it is dropped after the journal is destroyed, in `Drop`.
        unsafe {
            let j = ptr.as_ptr();
            (*j).j_private = Arc::as_ptr(&hook).cast_mut().cast::<c_void>();
            (*j).j_commit_callback = Some(Self::commit_callback);
        }
        // INVARIANT: See above.
        let journal = Self { ptr, trigger, hook };
        journal.set_params(params);
        Ok(journal)
    }

    /// jbd2's call after a commit.
    ///
    /// # Safety
    ///
    /// Called by jbd2 only, with a journal set up by [`open`](Self::open).
    unsafe extern "C" fn commit_callback(
        journal: *mut bindings::journal_t,
        transaction: *mut bindings::transaction_t,
    ) {
        // SAFETY: `j_private` is our hook by the type invariant; the transaction is valid during
        // the callback.
        let (hook, tid, flags) = unsafe {
            (
                &*(*journal).j_private.cast::<H>(),
                (*transaction).t_tid,
                (&raw const (*journal).j_flags).read_volatile(),
            )
        };
        if flags & bindings::JBD2_ABORT as c_ulong == 0 {
            hook.committed(tid);
        }
    }

    /// jbd2's call when it fixes the content of a block for a commit.
    ///
    /// # Safety
    ///
    /// Called by jbd2 only, with the trigger of a journal, a buffer in that journal, and its
    /// `size` bytes at `data`.
    unsafe extern "C" fn frozen_callback(
        trigger: *mut bindings::jbd2_buffer_trigger_type,
        bh: *mut bindings::buffer_head,
        data: *mut c_void,
        size: usize,
    ) {
        // SAFETY: By the function's contract `trigger` is the first field of a `Trigger`, whose
        // hook is alive by its invariant; jbd2 keeps writers out during the callback, and what
        // the hook writes no reader looks at.
        unsafe {
            let hook = &*(*trigger.cast::<Trigger<H>>()).hook;
            let bytes = slice::from_raw_parts_mut(data.cast::<u8>(), size);
            hook.seal(PhysicalBlock((*bh).b_blocknr), bytes);
        }
    }

    /// Has the hook [seal](CommitHook::seal) `block` at the end of each transaction that changes
    /// it. Called after each change, in its handle: jbd2 forgets it with the buffer's last use.
    pub(crate) fn seal_at_commit(&self, block: &Buffer) {
        // SAFETY: The buffer is valid by its invariant. The trigger outlives the journal, and so
        // all its buffers; C only reads it.
        unsafe {
            bindings::jbd2_journal_set_triggers(
                block.as_ptr(),
                (&raw const self.trigger.c).cast_mut(),
            );
        }
    }

    /// Changes how the journal behaves; at mount and remount.
    pub(crate) fn set_params(&self, params: JournalParams) {
        let j = self.ptr.as_ptr();
        // SAFETY: The journal is valid by the type invariant; the flags change under
        // `j_state_lock`, the intervals are plain words that jbd2 reads without a lock.
        unsafe {
            bindings::write_lock(&raw mut (*j).j_state_lock);
            if params.barrier {
                (*j).j_flags |= bindings::JBD2_BARRIER as c_ulong;
            } else {
                (*j).j_flags &= !(bindings::JBD2_BARRIER as c_ulong);
            }
            // Number transactions on across mounts, as C ext4 does.
            (*j).j_flags |= bindings::JBD2_CYCLE_RECORD as c_ulong;
            bindings::write_unlock(&raw mut (*j).j_state_lock);
            (*j).j_commit_interval =
                (params.commit_interval as c_ulong).saturating_mul(bindings::HZ);
            (*j).j_min_batch_time = params.min_batch_time;
            (*j).j_max_batch_time = params.max_batch_time;
        }
    }

    /// Recovers what a crash left, and makes the journal ready for handles.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` for a journal that does not hold together, `EIO`, `EROFS`, `ENOMEM`.
    pub(crate) fn load(&self) -> Result {
        // SAFETY: Valid by the type invariant; not loaded yet.
        to_result(unsafe { bindings::jbd2_journal_load(self.ptr.as_ptr()) })
    }

    /// Forgets what the journal holds; for a file system that needs no recovery.
    pub(crate) fn wipe(&self, write: bool) -> Result {
        // SAFETY: Valid by the type invariant; not loaded yet.
        to_result(unsafe { bindings::jbd2_journal_wipe(self.ptr.as_ptr(), write.into()) })
    }

    /// Sets features of the journal's super block: (compat, incompat).
    ///
    /// # Errors
    ///
    /// `EINVAL` where the journal cannot have them.
    pub(crate) fn set_features(&self, compat: u32, incompat: u32) -> Result {
        let j = self.ptr.as_ptr();
        // SAFETY: Valid by the type invariant.
        let set = unsafe {
            bindings::jbd2_journal_set_features(j, compat as c_ulong, 0, incompat as c_ulong)
        };
        if set == 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Whether the journal's super block has this incompat feature.
    pub(crate) fn has_feature(&self, incompat: u32) -> bool {
        // SAFETY: Valid by the type invariant.
        let used = unsafe {
            bindings::jbd2_journal_check_used_features(self.ptr.as_ptr(), 0, 0, incompat as c_ulong)
        };
        used != 0
    }

    /// Clears features of the journal's super block: (compat, incompat).
    pub(crate) fn clear_features(&self, compat: u32, incompat: u32) {
        let j = self.ptr.as_ptr();
        // SAFETY: Valid by the type invariant.
        unsafe {
            bindings::jbd2_journal_clear_features(j, compat as c_ulong, 0, incompat as c_ulong)
        };
    }

    /// Starts an operation that may dirty `credits`. May wait for a commit. From here to the
    /// handle's end allocations do not enter file systems (jbd2 sets the task's NOFS scope).
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `ENOSPC` where it is too small for `credits`,
    /// `ENOMEM`.
    pub(crate) fn start(&self, credits: Credits) -> Result<Handle<'_>> {
        let (blocks, revokes) = credits.as_c()?;
        // SAFETY: Valid by the type invariant.
        let ptr = from_err_ptr(unsafe {
            bindings::jbd2__journal_start(
                self.ptr.as_ptr(),
                blocks,
                0,
                revokes,
                bindings::GFP_NOFS,
                0,
                0,
            )
        })?;
        // INVARIANT: jbd2 gave us one count of this task's handle.
        Ok(Handle {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
            _journal: PhantomData,
            _not_send: PhantomData,
        })
    }

    /// Stops the journal for good: nothing that has not committed will reach the disk.
    pub(crate) fn abort(&self, why: Error) {
        // SAFETY: Valid by the type invariant. Sleeps.
        unsafe { bindings::jbd2_journal_abort(self.ptr.as_ptr(), why.to_errno()) };
    }

    /// Whether the journal has aborted.
    pub(crate) fn is_aborted(&self) -> bool {
        // SAFETY: Valid by the type invariant; a word read without lock, as jbd2 itself does.
        let flags = unsafe { (&raw const (*self.ptr.as_ptr()).j_flags).read_volatile() };
        flags & bindings::JBD2_ABORT as c_ulong != 0
    }

    /// The error that the journal recorded in an earlier mount or this one.
    pub(crate) fn errno(&self) -> Result {
        // SAFETY: Valid by the type invariant.
        to_result(unsafe { bindings::jbd2_journal_errno(self.ptr.as_ptr()) })
    }

    /// Clears the recorded error, once the super block has taken it over.
    pub(crate) fn clear_errno(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe {
            bindings::jbd2_journal_clear_err(self.ptr.as_ptr());
            bindings::jbd2_journal_ack_err(self.ptr.as_ptr());
        }
    }

    /// Commits transaction `tid` if it has not been, and waits. With no handle open.
    ///
    /// # Errors
    ///
    /// `EIO` where the journal has aborted.
    pub(crate) fn complete(&self, tid: Tid) -> Result {
        // SAFETY: Valid by the type invariant.
        to_result(unsafe { bindings::jbd2_complete_transaction(self.ptr.as_ptr(), tid) })
    }

    /// Whether the commit of `tid` will itself flush the device's cache after the caller's data.
    pub(crate) fn will_flush_device(&self, tid: Tid) -> bool {
        // SAFETY: Valid by the type invariant.
        unsafe { bindings::jbd2_trans_will_send_data_barrier(self.ptr.as_ptr(), tid) != 0 }
    }

    /// Asks for a commit of the running transaction; its number, where there is one to wait for.
    pub(crate) fn start_commit(&self) -> Option<Tid> {
        let mut tid: Tid = 0;
        // SAFETY: Valid by the type invariant.
        let started = unsafe { bindings::jbd2_journal_start_commit(self.ptr.as_ptr(), &mut tid) };
        (started != 0).then_some(tid)
    }

    /// The running transaction's number, or the last one's.
    pub(crate) fn latest(&self) -> Tid {
        // SAFETY: Valid by the type invariant.
        unsafe { bindings::jbd2_get_latest_transaction(self.ptr.as_ptr()) }
    }

    /// Waits for the commit of `tid`.
    pub(crate) fn wait_commit(&self, tid: Tid) -> Result {
        // SAFETY: Valid by the type invariant.
        to_result(unsafe { bindings::jbd2_log_wait_commit(self.ptr.as_ptr(), tid) })
    }

    /// Commits all that is running, and waits. With no handle open.
    pub(crate) fn force_commit(&self) -> Result {
        // SAFETY: Valid by the type invariant.
        to_result(unsafe { bindings::jbd2_journal_force_commit(self.ptr.as_ptr()) })
    }

    /// Commits and writes everything to its place, so that the journal is empty. What its blocks
    /// held stays in them.
    pub(crate) fn flush(&self) -> Result {
        self.flush_with(0)
    }

    /// The same, and does away with what the blocks held. With updates locked.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where the device cannot do that, `EIO`.
    pub(crate) fn flush_and_erase(&self, erase: Erase) -> Result {
        self.flush_with(match erase {
            Erase::Discard => bindings::JBD2_JOURNAL_FLUSH_DISCARD,
            Erase::Zero => bindings::JBD2_JOURNAL_FLUSH_ZEROOUT,
        })
    }

    fn flush_with(&self, flags: u32) -> Result {
        // SAFETY: Valid by the type invariant.
        to_result(unsafe { bindings::jbd2_journal_flush(self.ptr.as_ptr(), flags) })
    }

    /// Keeps new handles from starting and waits for the running ones: freeze, remount.
    pub(crate) fn lock_updates(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe { bindings::jbd2_journal_lock_updates(self.ptr.as_ptr()) };
    }

    /// Ends [`lock_updates`](Self::lock_updates).
    pub(crate) fn unlock_updates(&self) {
        // SAFETY: Valid by the type invariant; the caller locked.
        unsafe { bindings::jbd2_journal_unlock_updates(self.ptr.as_ptr()) };
    }

    /// The newest transaction that may hold a change made before the call: the running one, else
    /// the one that is being committed, else the last that was.
    pub(crate) fn newest_tid(&self) -> Tid {
        let j = self.ptr.as_ptr();
        // SAFETY: Valid by the type invariant; transactions come and go under `j_state_lock`.
        unsafe {
            bindings::read_lock(&raw mut (*j).j_state_lock);
            let running = (*j).j_running_transaction;
            let newest = if running.is_null() {
                (*j).j_committing_transaction
            } else {
                running
            };
            let tid = if newest.is_null() {
                (*j).j_commit_sequence
            } else {
                (*newest).t_tid
            };
            bindings::read_unlock(&raw mut (*j).j_state_lock);
            tid
        }
    }

    /// What hears of commits.
    pub(crate) fn hook(&self) -> &Arc<H> {
        &self.hook
    }
}

impl<H: CommitHook> Drop for Journal<H> {
    fn drop(&mut self) {
        // SAFETY: Owned by us by the type invariant. Hook and trigger are dropped after this.
        let _ = unsafe { bindings::jbd2_journal_destroy(self.ptr.as_ptr()) };
    }
}

/// One running operation in the journal.
///
/// # Invariants
///
/// `ptr` is this task's handle, of which this value owns one count.
pub(crate) struct Handle<'j> {
    ptr: NonNull<bindings::handle_t>,
    _journal: PhantomData<&'j ()>,
    /// A handle belongs to the task that started it.
    _not_send: PhantomData<*mut ()>,
}

impl Handle<'_> {
    fn as_ptr(&self) -> *mut bindings::handle_t {
        self.ptr.as_ptr()
    }

    /// The transaction that the operation runs in.
    pub(crate) fn tid(&self) -> Tid {
        // SAFETY: By the type invariant the handle runs. After a failed restart it has no
        // transaction any more.
        unsafe {
            let transaction = (*self.as_ptr()).__bindgen_anon_1.h_transaction;
            if transaction.is_null() {
                0
            } else {
                (*transaction).t_tid
            }
        }
    }

    /// Makes [`stop`](Self::stop) wait for the commit: for synchronous operations.
    pub(crate) fn set_sync(&mut self) {
        // SAFETY: The handle is ours alone.
        unsafe { (*self.as_ptr()).set_h_sync(1) };
    }

    /// How many more blocks the handle may dirty.
    pub(crate) fn credits_left(&self) -> u32 {
        if self.is_detached() {
            return 0;
        }
        // SAFETY: The handle runs in a transaction.
        let left = unsafe { bindings::jbd2_handle_buffer_credits(self.as_ptr()) };
        u32::try_from(left).unwrap_or(0)
    }

    /// How many more blocks the handle may revoke.
    pub(crate) fn revokes_left(&self) -> u32 {
        // SAFETY: The handle is ours.
        let left = unsafe { (*self.as_ptr()).h_revoke_credits };
        u32::try_from(left).unwrap_or(0)
    }

    /// Whether a failed restart left the handle without a transaction.
    fn is_detached(&self) -> bool {
        // SAFETY: The handle is ours.
        unsafe { (*self.as_ptr()).__bindgen_anon_1.h_transaction.is_null() }
    }

    /// Asks for more credits in the running transaction; `Ok(false)` where it has no room.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted.
    pub(crate) fn extend(&mut self, more: Credits) -> Result<bool> {
        if self.is_detached() {
            return Err(EROFS);
        }
        let (blocks, revokes) = more.as_c()?;
        // SAFETY: The handle runs by the type invariant.
        let answer = unsafe { bindings::jbd2_journal_extend(self.as_ptr(), blocks, revokes) };
        to_result(answer)?;
        Ok(answer == 0)
    }

    /// Ends the operation's part so far, and goes on in a later transaction with `credits`.
    /// What was changed before may commit without what comes after, so it must be consistent;
    /// `i_data_sem` is not held.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `ENOMEM`. The handle is of no use then.
    pub(crate) fn restart(&mut self, credits: Credits) -> Result {
        if self.is_detached() {
            return Err(EROFS);
        }
        let (blocks, revokes) = credits.as_c()?;
        // SAFETY: The handle runs by the type invariant.
        to_result(unsafe {
            bindings::jbd2__journal_restart(self.as_ptr(), blocks, revokes, bindings::GFP_NOFS)
        })
    }

    /// Gets write access to `block`.
    ///
    /// # Errors
    ///
    /// `EROFS` where the journal has aborted, `EIO`, `ENOMEM`.
    pub(crate) fn write_access(&mut self, block: &Buffer) -> Result {
        if self.is_detached() {
            return Err(EROFS);
        }
        // SAFETY: Handle and buffer are valid by their type invariants.
        to_result(unsafe { bindings::jbd2_journal_get_write_access(self.as_ptr(), block.as_ptr()) })
    }

    /// Gets write access, edits `range` of the block, and marks it dirty in the transaction. The
    /// caller holds the lock that owns these bytes (see [`crate::store`]).
    ///
    /// # Errors
    ///
    /// As [`write_access`](Self::write_access), and `EINVAL` where the range leaves the block.
    pub(crate) fn update<R>(
        &mut self,
        block: &Buffer,
        range: Range<usize>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        if range.start > range.end || range.end > block.bytes().len() {
            return Err(EINVAL);
        }
        self.write_access(block)?;
        // SAFETY: Write access was just got; the lock that owns these bytes is held by the
        // caller, which every room's lock order documents; the slice ends with `edit`.
        let bytes = unsafe { block.bytes_mut(range) }.ok_or(EINVAL)?;
        let result = edit(bytes);
        // SAFETY: Handle and buffer are valid by their type invariants.
        to_result(unsafe { bindings::jbd2_journal_dirty_metadata(self.as_ptr(), block.as_ptr()) })?;
        Ok(result)
    }

    /// A block that was just allocated for metadata: zeroed, up to date, with write access.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EROFS` where the journal has aborted.
    pub(crate) fn create(&mut self, device: &Device, at: PhysicalBlock) -> Result<Buffer> {
        if self.is_detached() {
            return Err(EROFS);
        }
        let block = device.blank(at)?;
        block.with_lock(|| {
            // SAFETY: Handle and buffer are valid; the buffer is locked, as jbd2 demands.
            to_result(unsafe {
                bindings::jbd2_journal_get_create_access(self.as_ptr(), block.as_ptr())
            })?;
            // SAFETY: The block was just allocated, so nobody else looks at its bytes; write
            // access was just got.
            if let Some(bytes) = unsafe { block.bytes_mut(0..device.block_size()) } {
                bytes.fill(0);
            }
            block.set_uptodate();
            block.set_verified();
            Ok::<(), Error>(())
        })?;
        Ok(block)
    }

    /// Takes a freed metadata block out of the journal and revokes it. Uses one revoke credit.
    ///
    /// # Errors
    ///
    /// `EIO` where the journal finds itself inconsistent, `EROFS`, `ENOMEM`.
    pub(crate) fn revoke(&mut self, device: &Device, at: PhysicalBlock) -> Result {
        if self.is_detached() {
            return Err(EROFS);
        }
        let bh = match device.find(at) {
            // jbd2 gives the reference back in any case.
            Some(buffer) => core::mem::ManuallyDrop::new(buffer).as_ptr(),
            None => core::ptr::null_mut(),
        };
        // SAFETY: The handle is valid by the type invariant; `bh` is null or a reference that
        // jbd2 takes over.
        to_result(unsafe { bindings::jbd2_journal_revoke(self.as_ptr(), at.0, bh) })
    }

    /// Ends the operation. Where [`set_sync`](Self::set_sync) was called, waits for the commit.
    ///
    /// # Errors
    ///
    /// `EIO` where the journal has aborted: the operation may be lost.
    pub(crate) fn stop(self) -> Result {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: One count is ours by the type invariant; it is given back once.
        to_result(unsafe { bindings::jbd2_journal_stop(this.as_ptr()) })
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: One count is ours by the type invariant. An error means an aborted journal,
        // which whoever comes next is told of.
        let _ = unsafe { bindings::jbd2_journal_stop(self.as_ptr()) };
    }
}
