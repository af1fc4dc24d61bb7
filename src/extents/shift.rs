// SPDX-License-Identifier: GPL-2.0

//! Moving the tail of a file up or down. Needs `i_data_sem` for write.
//!
//! Extents move into a hole, leaf by leaf and the ones next to the hole first, so that between any
//! two steps the tree is whole; only which blocks have moved yet is known to no one but the caller.
//! Moving needs no space: what a move up may need comes before it, with [`make_way`].

use super::edit::{Distance, Edit};
use super::insert::plan_joined;
use super::list::Few;
use super::look::{lookup, next_extent, Found};
use super::path::Path;
use super::range::{ensure_credits, last_extent, lift, Last};
use super::{insert_credits, nodes_for_split, Progress, Root, TreeSpace};
use crate::format::extent::{Extent, LOGICAL_END};
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// Replaces the path's extent at `position` by `pieces`; false where credits run out before.
fn replace<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    path: Path<S::Block>,
    position: usize,
    pieces: &Few<Extent>,
) -> Result<bool> {
    let depth = path.depth();
    if !ensure_credits(space, insert_credits(depth), nodes_for_split(depth), 0)? {
        return Ok(false);
    }
    plan_joined(space, root, path, position, 1, pieces)?.commit(space, root)?;
    Ok(true)
}

/// Moves the extents at `which` of the path's leaf by `distance`; false where credits run out
/// before.
fn move_all<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    path: Path<S::Block>,
    which: Range<usize>,
    distance: Distance,
) -> Result<bool> {
    // The leaf, the keys above it, and those in the inode.
    let blocks = u32::from(path.depth()).saturating_add(1);
    if !ensure_credits(space, blocks, 0, 0)? {
        return Ok(false);
    }
    Edit::plan_move(space, root, path, which, distance)?.commit(space, root)?;
    Ok(true)
}

/// Moves everything from block `from` of the file on down by `by` blocks, into a hole that ends
/// at `from`.
///
/// Works upwards; goes on with `from` as [`Progress::More`] says, and the same `by`.
///
/// # Errors
///
/// `EINVAL` where there is no such hole; those of reading and of journal write access.
pub fn shift_left<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    from: LogicalBlock,
    by: u32,
) -> Result<Progress> {
    let target = from.checked_sub(by).ok_or(EINVAL)?;
    match lookup(space, root, target)? {
        Found::Hole { start, len } if from <= start.checked_add(len).ok_or(EINVAL)? => {}
        _ => return Err(EINVAL),
    }
    let mut at = from;
    while let Some(extent) = next_extent(space, root, at)? {
        let path = Path::find(space, root, extent.start())?;
        let leaf = path.leaf(root)?;
        let position = leaf.search(extent.start()).ok_or(EINVAL)?;
        let moved = if at == from {
            // It may adjoin what the hole ends at, so it goes alone; the others move as they are.
            let target = extent
                .start()
                .checked_sub(by)
                .and_then(|to| extent.moved_to(to));
            let mut alone = Few::new();
            alone.push(target.ok_or(EINVAL)?)?;
            at = extent.end();
            replace(space, root, path, position, &alone)?
        } else {
            let all = position..leaf.entries().len();
            at = leaf.entries().last().ok_or(EINVAL)?.extent()?.end();
            move_all(space, root, path, all, Distance::Down(by))?
        };
        if !moved {
            return Ok(Progress::More(extent.start()));
        }
    }
    lift(space, root)?;
    Ok(Progress::Done)
}

/// Before a move up by `by` blocks: lets an extent begin at `from`, if it is inside of one, and
/// sees to it that the last block stays within the logical space. Nothing but device and journal
/// can stop [`shift_right`] after that, as long as the lock is held or nobody else changes blocks.
///
/// False where the transaction is full; nothing has changed then.
///
/// # Errors
///
/// `EFBIG` where the last block would pass the end of the logical space; as
/// [`insert`](super::insert()) where an extent has to be split. Nothing has changed then.
pub fn make_way<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    from: LogicalBlock,
    by: u32,
) -> Result<bool> {
    let last = match last_extent(space, root, LOGICAL_END)? {
        Last::Extent(_, _, extent) if from < extent.end() => extent,
        Last::Extent(..) | Last::None => return Ok(true),
        Last::Full => return Ok(false),
    };
    let target = last.start().checked_add(by);
    if target.and_then(|to| last.moved_to(to)).is_none() {
        return Err(EFBIG);
    }
    let path = Path::find(space, root, from)?;
    let Some(position) = path.leaf(root)?.search(from) else {
        return Ok(true);
    };
    let extent = path.extent(root, position)?.ok_or(EINVAL)?;
    let mut halves = Few::new();
    for half in [extent.start()..from, from..extent.end()] {
        match extent.clip(half.start, half.end) {
            Some(half) => halves.push(half)?,
            None => return Ok(true),
        }
    }
    let depth = path.depth();
    if !ensure_credits(space, insert_credits(depth), nodes_for_split(depth), 0)? {
        return Ok(false);
    }
    Edit::plan(space, root, path, position, 1, &halves)?.commit(space, root)?;
    Ok(true)
}

/// Moves everything in `range` up by `by` blocks, and leaves a hole of that length at its start.
/// Nothing is mapped behind the range, save what this moved there before.
///
/// Works downwards; goes on with the range's end as [`Progress::More`] says, and the same `by`.
///
/// # Errors
///
/// `EFBIG` where the last block would pass the end of the logical space; as
/// [`insert`](super::insert()) where an extent has to be split.
pub fn shift_right<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    range: Range<LogicalBlock>,
    by: u32,
) -> Result<Progress> {
    let mut to = range.end;
    while range.start < to {
        let (path, position, extent) = match last_extent(space, root, to)? {
            Last::Extent(path, position, extent) => (path, position, extent),
            Last::None => break,
            Last::Full => return Ok(Progress::More(to)),
        };
        let Some(part) = extent.clip(range.start, extent.end()) else {
            break;
        };
        if part == extent {
            let leaf = path.leaf(root)?;
            let first = leaf
                .entries()
                .partition_point(|entry| entry.key() < range.start);
            let start = leaf.entries().get(first).ok_or(EINVAL)?.key();
            let all = first..position.saturating_add(1);
            if !move_all(space, root, path, all, Distance::Up(by))? {
                return Ok(Progress::More(to));
            }
            to = start;
            continue;
        }
        let target = part.start().checked_add(by).ok_or(EFBIG)?;
        let mut pieces = Few::new();
        if let Some(stays) = extent.clip(extent.start(), part.start()) {
            pieces.push(stays)?;
        }
        pieces.push(part.moved_to(target).ok_or(EFBIG)?)?;
        if !replace(space, root, path, position, &pieces)? {
            return Ok(Progress::More(to));
        }
        to = part.start();
    }
    Ok(Progress::Done)
}
