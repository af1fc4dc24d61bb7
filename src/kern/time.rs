// SPDX-License-Identifier: GPL-2.0

//! The time of day (`include/linux/timekeeping.h`).

use crate::bindings;

/// Seconds since 1970.
pub fn real_seconds() -> i64 {
    // SAFETY: Reads the clock.
    unsafe { bindings::ktime_get_real_seconds() }
}
