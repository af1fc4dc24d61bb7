// SPDX-License-Identifier: GPL-2.0

//! Who the current task acts for (`include/linux/cred.h`, `include/linux/capability.h`).

use crate::bindings;

/// `CAP_SYS_ADMIN`: may do what else an administrator may.
const CAP_SYS_ADMIN: i32 = 21;
/// `CAP_SYS_RESOURCE`: may go beyond limits, such as root's reserve of blocks.
const CAP_SYS_RESOURCE: i32 = 24;

/// The user that the task accesses files as, in the initial user namespace.
pub fn fsuid() -> u32 {
    // SAFETY: Reads the current task's own credentials; the initial namespace lives for ever.
    unsafe { bindings::from_kuid(&raw mut bindings::init_user_ns, bindings::current_fsuid()) }
}

/// Whether the task belongs to the group `gid` of the initial user namespace.
pub fn in_group(gid: u32) -> bool {
    // SAFETY: Reads the current task's own credentials.
    unsafe { bindings::in_group_p(bindings::kgid_t { val: gid }) != 0 }
}

/// Whether the task has `CAP_SYS_RESOURCE`. Says no to the audit log too.
pub fn has_resource_capability() -> bool {
    // SAFETY: Reads the current task's own credentials; may sleep, as may the callers.
    unsafe { bindings::capable(CAP_SYS_RESOURCE) }
}

/// Whether the task has `CAP_SYS_ADMIN`. Says no to the audit log too.
pub fn has_admin_capability() -> bool {
    // SAFETY: As above.
    unsafe { bindings::capable(CAP_SYS_ADMIN) }
}
