// SPDX-License-Identifier: GPL-2.0

//! Free blocks of which the device is told that nobody needs their content (`fstrim`).
//!
//! Meanwhile nobody may have them, or new data could be thrown away. So they are *held*: in the
//! allocator's bitmap and in the books they are what blocks are that were freed by a transaction
//! which has not committed. [`release_committed`](super::release_committed) ends it.

use super::blocks::{on_device, Run};
use super::group::Part;
use super::table::{locked, GroupTable};
use crate::format::units::GroupNumber;
use crate::store::Store;
use core::ops::Range;
use kernel::prelude::*;

/// Holds the first run of at least `min` free blocks among the bits `within` of `group`; `None`
/// where there is none, or the group's bitmap is known as corrupt.
///
/// # Errors
///
/// `EFSCORRUPTED`, reported, past the last group or where the bitmap turns out bad; `ENOMEM`.
pub fn hold_free<T: GroupTable, S: Store>(
    table: &T,
    store: &S,
    group: GroupNumber,
    within: Range<u32>,
    min: u32,
) -> Result<Option<Run>> {
    let geo = table.geometry();
    let summary = table.summary(group).ok_or(EFSCORRUPTED)?;
    if summary.longest() < min {
        return Ok(None);
    }
    let held = locked(table, group, Part::Blocks, |state, _| {
        if state.is_corrupt(Part::Blocks) {
            return Ok(None);
        }
        state.load(geo, table.zone(), store)?;
        Ok(state.hold(within, min))
    })?;
    let Some(bits) = held else {
        return Ok(None);
    };
    table.counters().held(bits.len);
    on_device(geo, group, bits).map(Some)
}
