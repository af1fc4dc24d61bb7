// SPDX-License-Identifier: GPL-2.0

//! Random numbers (`include/linux/random.h`).

use crate::bindings;

/// A random number.
pub fn u32() -> u32 {
    // SAFETY: May be called from anywhere.
    unsafe { bindings::get_random_u32() }
}
