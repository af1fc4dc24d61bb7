// SPDX-License-Identifier: GPL-2.0

//! Completions of writeback (`struct iomap_ioend`).
//!
//! Where the metadata stays as it is and the device took the data, the folios' writeback ends where
//! the bio does, often in an interrupt.
//!
//! All else needs task context, and for that each inode has a [`CompletionQueue`]. The bio's end
//! puts the ioend on the queue and wakes the queue's work item; the work item takes all that is
//! there, sorts and merges it, hands each merged stretch to [`Completion::complete`], and only then
//! ends the folios' writeback. So whoever waited for a folio's writeback has also waited for what
//! the completion changed in the file's metadata.
//!
//! A device without latency, such as persistent memory, has ended the bio when its submission
//! returns. Then the submitter completes the last ioend of a `writepages` itself: it is about to
//! wait for it, and the way to the worker and back costs two switches of context.
//!
//! Lock order: the queue's spinlock is innermost, taken with interrupts off. `complete` runs
//! without locks, inside a NOFS scope.

use super::{fs::FileSystem, inode::Inode, nofs::NoFs, trace, workqueue::Workqueue};
use crate::bindings;
use core::{marker::PhantomData, ops::Range, ptr};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        new_spinlock_irq, SpinLockIrq,
    },
    types::Opaque,
};

/// A finished stretch of writeback, several adjacent ones merged.
pub(crate) struct Finished {
    /// The bytes of the file; the end never lies past the file's size when it was submitted.
    pub(crate) range: Range<u64>,
    /// Whether the blocks were unwritten when the stretch was submitted.
    pub(crate) unwritten: bool,
    /// What the device said.
    pub(crate) outcome: Result,
}

/// A file system's part in the completion of writeback.
pub(crate) trait Completion: Sized + 'static {
    /// The file system that the inodes belong to.
    type Fs: FileSystem;

    /// The queue of `inode`; the same one in each call.
    fn queue(inode: &Inode<Self::Fs>) -> &CompletionQueue<Self>;

    /// Where the work of `inode`'s queue runs.
    fn workqueue(inode: &Inode<Self::Fs>) -> &Workqueue;

    /// Whether the completion of a stretch from byte `start` on has to wait for one of earlier
    /// bytes, which is on its way or will be: it stays in the queue until that one has arrived.
    fn must_wait(inode: &Inode<Self::Fs>, start: u64) -> bool;

    /// Whether others may be waiting in the queue for the completion of `range`, whose folios are
    /// not submitted yet: it goes through the queue itself then, which looks at them next.
    fn is_awaited(inode: &Inode<Self::Fs>, range: Range<u64>) -> bool;

    /// Records in the metadata that `finished` is on the device, or not. May sleep and start a
    /// transaction. An error makes the folios' writeback fail as an I/O error does.
    fn complete(inode: &Inode<Self::Fs>, finished: &Finished) -> Result;

    /// Notes that a bio's completion ended where the bio did. Called in any context.
    fn completed_in_place(inode: &Inode<Self::Fs>);

    /// Notes that `n` ioends were merged into another one.
    fn merged(inode: &Inode<Self::Fs>, n: u32);
}

/// Finished ioends that wait for the worker: the first one; `io_list.next` leads to the others.
///
/// # Invariants
///
/// Each ioend on the chain is finished, and only the chain refers to it.
struct Chain(*mut bindings::iomap_ioend);

// SAFETY: By the type invariant the chain owns the ioends, and any thread may finish an ioend.
unsafe impl Send for Chain {}

/// An inode's completions on the way to task context.
///
/// # Invariants
///
/// `work` is an initialised work item that runs `run::<C>`.
#[pin_data]
pub(crate) struct CompletionQueue<C> {
    #[pin]
    pending: SpinLockIrq<Chain>,
    #[pin]
    work: Opaque<bindings::work_struct>,
    kind: PhantomData<C>,
}

// SAFETY: The chain is behind its lock, and a work item may be queued from any thread.
unsafe impl<C> Send for CompletionQueue<C> {}
// SAFETY: As above.
unsafe impl<C> Sync for CompletionQueue<C> {}

impl<C: Completion> CompletionQueue<C> {
    /// An empty queue, to be placed in the file system's part of an inode.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The chain is empty.
            pending <- new_spinlock_irq!(Chain(ptr::null_mut())),
            // INVARIANT: `INIT_WORK` initialises the item to run `run::<C>`.
            // SAFETY: `slot` is valid for writes.
            work <- Opaque::ffi_init(|slot| unsafe { bindings::INIT_WORK(slot, Some(run::<C>)) }),
            kind: PhantomData,
        })
    }

    /// Has the worker look again at what [had to wait](Completion::must_wait): nothing has to any
    /// more. Also where nothing is pending: a worker may be about to put it back.
    pub(crate) fn resume(&self, inode: &Inode<C::Fs>) {
        // SAFETY: The item is initialised, and stays while `self` is borrowed; eviction waits for
        // the work.
        unsafe { bindings::queue_work(C::workqueue(inode).as_ptr(), self.work.get()) };
    }

    /// Waits until everything that was queued before the call has been completed, but for what
    /// [has to wait](Completion::must_wait).
    ///
    /// Not to be called with a handle, a folio lock or `i_data_sem` held: completion takes them.
    pub(crate) fn drain(&self) {
        // SAFETY: The item is initialised, and it stays while `self` is borrowed.
        unsafe { bindings::flush_work(self.work.get()) };
    }
}

/// Completes the ioend where its bio ends, if the device takes the data; an error goes to the
/// worker.
pub(super) fn complete_in_place<C: Completion>(ioend: &mut bindings::iomap_ioend) {
    ioend.io_bio.bi_end_io = Some(end_in_place::<C>);
}

/// # Safety
///
/// Called at the end of a bio that lies in an ioend of an inode of `C::Fs`.
unsafe extern "C" fn end_in_place<C: Completion>(bio: *mut bindings::bio) {
    // SAFETY: By the function's contract; from here the ioend is ours alone, and it holds the
    // folios, which are under writeback. With the last of them the inode may go.
    unsafe {
        if (*bio).bi_status != 0 {
            return end_bio::<C>(bio);
        }
        let ioend: *mut bindings::iomap_ioend =
            kernel::container_of!(bio, bindings::iomap_ioend, io_bio);
        let inode = (*ioend).io_inode;
        C::completed_in_place(Inode::<C::Fs>::from_raw(inode));
        // As iomap does it for bios that are left to itself. Those it asks nobody about when they
        // fail.
        let mut part = core::mem::zeroed::<bindings::folio_iter>();
        bindings::bio_first_folio(&mut part, bio, 0);
        while !part.folio.is_null() {
            bindings::iomap_finish_folio_write(inode, part.folio, part.length);
            bindings::bio_next_folio(&mut part, bio);
        }
        bindings::bio_put(bio);
    }
}

/// Submits the ioend by `submit`, to be completed by the worker when its bio ends; or here, where
/// the bio ends before the submission does.
///
/// # Safety
///
/// `ioend` is an ioend of an inode of `C::Fs` that is kept by the caller. `submit` submits its
/// bio. The caller may start a transaction, and has no folio locked.
pub(super) unsafe fn complete_in_task<C: Completion, R>(
    ioend: *mut bindings::iomap_ioend,
    submit: impl FnOnce() -> R,
) -> R {
    // SAFETY: By the function's contract; the ioend lives until the later one of bio's end and
    // submitter gives it up. It is the later one that has it.
    unsafe {
        complete_in_worker::<C>(&mut *ioend);
        (*ioend).io_bio.bi_end_io = Some(end_or_leave::<C>);
        let submitted = submit();
        if is_later(ioend) {
            let inode = Inode::<C::Fs>::from_raw((*ioend).io_inode);
            if C::must_wait(inode, (*ioend).io_offset.max(0) as u64) {
                enqueue::<C>(ioend);
            } else {
                trace::ioend_queue(inode, || about(&*ioend, 0));
                let _nofs = NoFs::enter();
                finish::<C>(ioend);
            }
        }
        submitted
    }
}

/// # Safety
///
/// Called at the end of a bio that `complete_in_task::<C>` submits.
unsafe extern "C" fn end_or_leave<C: Completion>(bio: *mut bindings::bio) {
    // SAFETY: By the function's contract; the later one has the ioend.
    unsafe {
        let ioend: *mut bindings::iomap_ioend =
            kernel::container_of!(bio, bindings::iomap_ioend, io_bio);
        if is_later(ioend) {
            enqueue::<C>(ioend);
        }
    }
}

/// Of the bio's end and the submitter, who each call this once, tells the later one that it is.
/// The other must not touch the ioend any more.
///
/// # Safety
///
/// `ioend` is valid, and `io_private` was null before the first call.
unsafe fn is_later(ioend: *mut bindings::iomap_ioend) -> bool {
    // SAFETY: By the function's contract; the field is the file system's, and until the later one
    // has come nobody uses it but this function.
    unsafe {
        let private = &raw mut (*ioend).io_private;
        // Full: the later one sees all that the other did to the ioend.
        let later = Atomic::from_ptr(private.cast::<usize>()).xchg(1, Full) != 0;
        if later {
            // Only ioends with the same value are merged.
            *private = ptr::null_mut();
        }
        later
    }
}

/// Sends the ioend to the worker when its bio ends.
pub(super) fn complete_in_worker<C: Completion>(ioend: &mut bindings::iomap_ioend) {
    ioend.io_bio.bi_end_io = Some(end_bio::<C>);
    // The worker's task is enough; the block layer need not defer the bio to a task of its own.
    ioend.io_bio.bi_flags &= !(1u16 << bindings::BIO_COMPLETE_IN_TASK);
}

/// # Safety
///
/// Called at the end of a bio that lies in an ioend of an inode of `C::Fs`.
unsafe extern "C" fn end_bio<C: Completion>(bio: *mut bindings::bio) {
    // SAFETY: By the function's contract; from here the ioend is ours alone.
    unsafe { enqueue::<C>(kernel::container_of!(bio, bindings::iomap_ioend, io_bio)) }
}

/// Gives the ioend to the worker.
///
/// # Safety
///
/// `ioend` is a finished ioend of an inode of `C::Fs`, owned by the caller, who gives it up.
unsafe fn enqueue<C: Completion>(ioend: *mut bindings::iomap_ioend) {
    // SAFETY: By the function's contract. The inode stays alive: the folios of the ioend are under
    // writeback, which eviction waits for.
    unsafe {
        let inode = Inode::<C::Fs>::from_raw((*ioend).io_inode);
        trace::ioend_queue(inode, || about(&*ioend, 0));
        let queue = C::queue(inode);
        let mut pending = queue.pending.lock();
        let first = pending.0;
        (*ioend).io_list.next = first.cast();
        // INVARIANT: The bio has ended, and nobody else refers to the ioend.
        pending.0 = ioend;
        // The inode may go as soon as a worker has finished this ioend. So the work is queued
        // with the lock held, which a worker that runs already has to take first. Also where the
        // chain is not empty: those on it may have been waiting for this one.
        bindings::queue_work(C::workqueue(inode).as_ptr(), queue.work.get());
    }
}

/// # Safety
///
/// Called by the workqueue with the work item of a `CompletionQueue<C>`.
unsafe extern "C" fn run<C: Completion>(work: *mut bindings::work_struct) {
    let _nofs = NoFs::enter();
    // SAFETY: By the function's contract. `Opaque` is transparent. The queue stays alive until
    // the last ioend taken below is finished: eviction waits for the folios, then drains.
    let queue: &CompletionQueue<C> =
        unsafe { &*kernel::container_of!(Opaque::cast_from(work), CompletionQueue<C>, work) };

    let mut first = core::mem::replace(&mut queue.pending.lock().0, ptr::null_mut());
    // SAFETY: By the invariant of `Chain`, all that was on it is ours now; the ioends are linked
    // into a list whose head lives on this stack until all are taken off it.
    unsafe {
        let mut list = core::mem::zeroed::<bindings::list_head>();
        let list = ptr::addr_of_mut!(list);
        bindings::INIT_LIST_HEAD(list);
        while !first.is_null() {
            let ioend = first;
            first = (*ioend).io_list.next.cast();
            // The chain is last in, first out.
            bindings::list_add(ptr::addr_of_mut!((*ioend).io_list), list);
        }
        bindings::iomap_sort_ioends(list);
        while let Some(ioend) = first_of(list) {
            let inode = Inode::<C::Fs>::from_raw((*ioend).io_inode);
            if C::must_wait(inode, (*ioend).io_offset.max(0) as u64) {
                // Sorted as they are, so do those behind it.
                put_back(queue, list);
                break;
            }
            bindings::list_del_init(ptr::addr_of_mut!((*ioend).io_list));
            bindings::iomap_ioend_try_merge(ioend, list);
            finish::<C>(ioend);
        }
    }
}

/// The first ioend on a list; it stays there.
///
/// # Safety
///
/// `list` heads a list of ioends that belong to the caller.
unsafe fn first_of(list: *mut bindings::list_head) -> Option<*mut bindings::iomap_ioend> {
    // SAFETY: By the function's contract; what is linked is the head or in an ioend.
    unsafe {
        let next = (*list).next;
        (next != list).then(|| kernel::container_of!(next, bindings::iomap_ioend, io_list))
    }
}

/// Moves all ioends on `list` back to the queue's chain.
///
/// # Safety
///
/// `list` heads a list of finished ioends that belong to the caller, who gives them up.
unsafe fn put_back<C: Completion>(queue: &CompletionQueue<C>, list: *mut bindings::list_head) {
    let mut pending = queue.pending.lock();
    // SAFETY: By the function's contract the list and its ioends are ours.
    unsafe {
        while let Some(ioend) = first_of(list) {
            bindings::list_del_init(ptr::addr_of_mut!((*ioend).io_list));
            (*ioend).io_list.next = pending.0.cast();
            // INVARIANT: The ioend is finished, and only the chain refers to it now.
            pending.0 = ioend;
        }
    }
}

/// What the tracepoints say of an ioend.
fn about(ioend: &bindings::iomap_ioend, merged: u32) -> (u64, u64, bool, u32, i32) {
    // SAFETY: A pure function of its argument.
    let error = unsafe { bindings::blk_status_to_errno(ioend.io_bio.bi_status) };
    (
        ioend.io_offset.max(0) as u64,
        ioend.io_size as u64,
        u32::from(ioend.io_flags) & bindings::IOMAP_IOEND_UNWRITTEN != 0,
        merged,
        error,
    )
}

/// Completes `ioend` and those that were merged into it.
///
/// # Safety
///
/// `ioend` is a finished ioend of an inode of `C::Fs`, owned by the caller, who gives it up.
unsafe fn finish<C: Completion>(ioend: *mut bindings::iomap_ioend) {
    // SAFETY: By the function's contract the ioend is valid until `iomap_finish_ioends()` below,
    // and with its folios under writeback so is the inode.
    unsafe {
        let inode = Inode::<C::Fs>::from_raw((*ioend).io_inode);
        let head = ptr::addr_of_mut!((*ioend).io_list);
        let (mut merged, mut next) = (0, (*head).next);
        while next != head {
            merged += 1;
            next = (*next).next;
        }
        if merged != 0 {
            trace::ioend_merge(inode, || about(&*ioend, merged));
            C::merged(inode, merged);
        }
        let start = (*ioend).io_offset.max(0) as u64;
        let status = bindings::blk_status_to_errno((*ioend).io_bio.bi_status);
        let finished = Finished {
            range: start..start.saturating_add((*ioend).io_size as u64),
            unwritten: u32::from((*ioend).io_flags) & bindings::IOMAP_IOEND_UNWRITTEN != 0,
            outcome: to_result(status),
        };
        let result = C::complete(inode, &finished).and(finished.outcome);
        let error = match result {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        };
        bindings::iomap_finish_ioends(ioend, error);
    }
}
