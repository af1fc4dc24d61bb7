// SPDX-License-Identifier: GPL-2.0

//! Workqueues of our own (`include/linux/workqueue.h`).

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A workqueue with a rescuer, fit for work that memory reclaim waits for.
///
/// # Invariants
///
/// Points to a workqueue that was allocated by `new` and is not destroyed before the drop.
pub(crate) struct Workqueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any thread.
unsafe impl Send for Workqueue {}
// SAFETY: As above.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// A queue called `name`/`instance` in the list of kernel threads. Not bound to a CPU's load:
    /// items run where they were queued.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr, instance: &CStr) -> Result<Self> {
        // SAFETY: Both strings are valid for the call, which copies them.
        let wq = unsafe {
            bindings::alloc_reclaim_workqueue(name.as_char_ptr(), instance.as_char_ptr())
        };
        // INVARIANT: Freshly allocated, or null.
        NonNull::new(wq).map(Self).ok_or(ENOMEM)
    }

    /// The C object, valid for as long as `self`.
    pub(super) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        self.0.as_ptr()
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; `destroy_workqueue()` waits for what is queued.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
