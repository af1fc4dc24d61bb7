// SPDX-License-Identifier: GPL-2.0

//! Taking blocks away: truncate, punch, eviction, and what a short write did not fill.

use super::env::{MapperEnv, Operation};
use crate::extent_status::Spare;
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// Makes `range` a hole: frees its blocks and gives back what was reserved for delayed ones. To
/// truncate, the range ends at [`END_OF_FILE_SPACE`](crate::extent_status::END_OF_FILE_SPACE).
///
/// Goes on in new transactions, with `i_data_sem` dropped in between, for as long as it takes. So
/// the caller has seen to it that a crash in the middle finds a consistent file (for a truncate:
/// the new size and the orphan entry are in `handle`'s transaction), that no folio over the range
/// is left in the page cache and none can be made (invalidate_lock), and that writeback and
/// completion of the range have been drained. The handle has credits for [`Operation::Remove`].
///
/// # Errors
///
/// Those of tree, allocator and journal, with part of the blocks gone. `ENOMEM` with nothing
/// done, and not for a range that ends at the end of the file space.
pub fn remove_blocks<E: MapperEnv>(
    env: &E,
    range: Range<LogicalBlock>,
    handle: &mut E::Handle,
) -> Result {
    let mut left = range.clone();
    while !left.is_empty() {
        let mut data = env.lock_write();
        // First in the status tree, each time for the whole range: while the lock was dropped, a
        // reader may have cached what was not gone yet. A lookup which comes now finds nothing
        // there and waits for the lock; one that came before finds its sequence passed.
        drop_status(env, &range)?;
        left.end = env.tree_remove(&mut data, handle, left.clone())?;
        drop(data);
        if !left.is_empty() {
            env.renew_handle(handle, Operation::Remove)?;
        }
    }
    Ok(())
}

/// Forgets `range`, with `i_data_sem` held for write, and settles for its delayed blocks.
pub(super) fn drop_status<E: MapperEnv>(env: &E, range: &Range<LogicalBlock>) -> Result {
    let mut spare = Spare::new();
    loop {
        match env.with_status(|tree| tree.remove(range.clone(), &mut spare)) {
            Ok(change) => {
                if change.dropped > 0 {
                    env.unreserve(change.dropped);
                }
                return Ok(());
            }
            Err(need) => spare.fill(need)?,
        }
    }
}

/// Makes the delayed blocks of `range` holes again and gives their reservation back: a write that
/// came short, or data that writeback had to give up. Allocated blocks stay. Returns how many
/// blocks were released.
///
/// The caller holds invalidate_lock and knows that no dirty folio covers the range.
///
/// # Errors
///
/// `ENOMEM`, only for a part in the middle of a delayed extent. It then stays delayed and
/// reserved, until it is written or the file is truncated.
pub fn release_delayed<E: MapperEnv>(env: &E, range: Range<LogicalBlock>) -> Result<u32> {
    let mut released = 0u32;
    let mut spare = Spare::new();
    let _data = env.lock_write();
    loop {
        match env.with_status(|tree| tree.remove_delayed(&range, &mut spare)) {
            Ok(change) if change.dropped == 0 => return Ok(released),
            Ok(change) => {
                env.unreserve(change.dropped);
                released = released.saturating_add(change.dropped);
            }
            Err(need) => spare.fill(need)?,
        }
    }
}
