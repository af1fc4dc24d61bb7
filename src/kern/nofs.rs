// SPDX-License-Identifier: GPL-2.0

//! Allocation that does not go back into the file system.
//!
//! C header: `include/linux/sched/mm.h`.

use crate::bindings;
use kernel::types::NotThreadSafe;

/// While it lives, every allocation of this task is `GFP_NOFS`, whatever its flags say.
///
/// Taken in writeback and while a journal handle is open: reclaim from there could wait for a
/// transaction that waits for us.
#[must_use = "the scope ends when the value is dropped"]
pub struct NoFs {
    saved: u32,
    _task: NotThreadSafe,
}

impl NoFs {
    /// Enters the scope. Scopes nest.
    pub fn enter() -> Self {
        Self {
            // SAFETY: changes a flag of the current task only.
            saved: unsafe { bindings::memalloc_nofs_save() },
            _task: NotThreadSafe,
        }
    }
}

impl Drop for NoFs {
    fn drop(&mut self) {
        // SAFETY: `saved` came from the matching save, by the same task (the type is not `Send`).
        unsafe { bindings::memalloc_nofs_restore(self.saved) }
    }
}

#[cfg(CONFIG_EXT4RS_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(ext4rs_nofs)]
mod tests {
    use super::*;

    /// Whether this task is in a scope: what entering one more finds.
    fn within() -> bool {
        NoFs::enter().saved != 0
    }

    #[test]
    fn scopes_nest_and_end() {
        assert!(!within());
        let outer = NoFs::enter();
        assert!(within());
        let inner = NoFs::enter();
        drop(inner);
        assert!(within());
        drop(outer);
        assert!(!within());
    }
}
