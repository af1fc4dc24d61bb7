// SPDX-License-Identifier: GPL-2.0

//! What must be done, and has no memory to be done with.
//!
//! Data on its way to the disk and the space of a deleted file would be lost. Memory comes back, as
//! others write and free theirs; so it is tried a few times.

use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};

/// Does `work`, and does it again, after a while, where it fails with `ENOMEM` and `again` says that
/// it can be begun anew. Sleeps for up to 111 milliseconds in all.
///
/// # Errors
///
/// Those of `work`.
pub(crate) fn without_memory<R>(
    mut work: impl FnMut() -> Result<R>,
    again: impl Fn() -> bool,
) -> Result<R> {
    for millis in [1, 10, 100] {
        match work() {
            Err(error) if error == ENOMEM && again() => fsleep(Delta::from_millis(millis)),
            result => return result,
        }
    }
    work()
}
