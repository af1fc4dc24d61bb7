// SPDX-License-Identifier: GPL-2.0

//! Stopping the machine, and being loud (`include/linux/panic.h`, `include/asm-generic/bug.h`).

use crate::bindings;
use kernel::prelude::*;

/// Stops the machine because of the file system on device `id`, unless it is being shut down: then
/// the device may just have been switched off.
pub fn panic_unless_going_down(id: &CStr) {
    // SAFETY: A word that only ever moves on.
    let state = unsafe { (&raw const bindings::system_state).read_volatile() };
    if matches!(
        state,
        bindings::system_states_SYSTEM_HALT
            | bindings::system_states_SYSTEM_POWER_OFF
            | bindings::system_states_SYSTEM_RESTART
    ) {
        return;
    }
    // SAFETY: The format takes one string.
    unsafe {
        bindings::panic(
            c"ext4rs (%s): panic forced after an error\n".as_char_ptr(),
            id.as_char_ptr(),
        )
    }
}

/// Warns with a stack trace where `wrong` holds, in a debug build: what cannot be unless there is a
/// bug of ours. A release build has the message of the caller alone.
pub fn debug_warn_on(wrong: bool) {
    if cfg!(CONFIG_EXT4RS_DEBUG) {
        // SAFETY: It may be called anywhere.
        unsafe { bindings::WARN_ON(wrong) };
    }
}
