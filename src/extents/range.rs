// SPDX-License-Identifier: GPL-2.0

//! Changes of a whole range of a file, extent by extent. Need `i_data_sem` for write.
//!
//! Each step leaves the tree whole and first makes sure of the credits that it takes, so every
//! operation can stop between steps and go on under another handle.

use super::edit::Edit;
use super::insert::plan_joined;
use super::list::Few;
use super::look::{read_node, root_node};
use super::path::Path;
use super::{insert_credits, nodes_for_split, remove_credits, Root, TreeSpace};
use crate::format::extent::{
    capacity, splice, write_header, Extent, Node, RawEntry, State, LOGICAL_END, MAX_UNWRITTEN,
    ROOT_BYTES,
};
use crate::format::units::LogicalBlock;
use crate::store::MetaBlock;
use core::ops::Range;
use kernel::prelude::*;

/// How far an operation on a range came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// It is done.
    Done,
    /// The transaction is full. Under a new handle, with `i_data_sem` taken anew and everything
    /// read before stale, the operation goes on: one that works upwards from this block, one
    /// that works downwards up to it.
    More(LogicalBlock),
}

/// Makes sure of the credits for a change that dirties `touched` blocks of the tree and
/// allocates or frees up to `nodes` of them, and for `extra` blocks besides.
pub(super) fn ensure_credits<S: TreeSpace>(
    space: &mut S,
    touched: u32,
    nodes: u32,
    extra: u32,
) -> Result<bool> {
    let spaces = space.space_credits(1).saturating_mul(nodes);
    space.ensure_credits(touched.saturating_add(spaces).saturating_add(extra))
}

/// Makes the mapped blocks of `range` written, or unwritten; holes in it stay holes.
///
/// Works upwards. Allocates up to [`nodes_for_convert`](super::nodes_for_convert) nodes where it
/// makes blocks written; to make them unwritten may take more, as the longest written extent
/// has to be cut in two.
///
/// # Errors
///
/// As [`insert`](super::insert()). What was converted before the error stays so.
pub fn convert<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    range: Range<LogicalBlock>,
    to: State,
) -> Result<Progress> {
    let mut at = range.start;
    while at < range.end {
        let path = Path::find(space, root, at)?;
        let Some((position, extent)) = first_behind(&path, root, at)? else {
            if path.limit <= at {
                return Err(EFSCORRUPTED);
            }
            at = path.limit;
            continue;
        };
        let Some(part) = extent.clip(at, range.end) else {
            // The extent ends behind `at`, so it begins behind the range.
            break;
        };
        if extent.state() != to {
            let depth = path.depth();
            if !ensure_credits(space, insert_credits(depth), nodes_for_split(depth), 0)? {
                return Ok(Progress::More(at));
            }
            let pieces = converted(&extent, &part, to)?;
            plan_joined(space, root, path, position, 1, &pieces)?.commit(space, root)?;
        }
        at = part.end();
    }
    Ok(Progress::Done)
}

/// The first extent of the path's leaf that ends behind `at`, and its position.
fn first_behind<B: MetaBlock>(
    path: &Path<B>,
    root: &Root,
    at: LogicalBlock,
) -> Result<Option<(usize, Extent)>> {
    let mut position = path.leaf(root)?.search(at).unwrap_or(0);
    while let Some(extent) = path.extent(root, position)? {
        if at < extent.end() {
            return Ok(Some((position, extent)));
        }
        position = position.saturating_add(1);
    }
    Ok(None)
}

/// `extent` in pieces, of which `part` has the state `to`.
fn converted(extent: &Extent, part: &Extent, to: State) -> Result<Few<Extent>> {
    let mut pieces = Few::new();
    if let Some(before) = extent.clip(extent.start(), part.start()) {
        pieces.push(before)?;
    }
    match part.with_state(to) {
        Some(part) => pieces.push(part)?,
        // As long as only written extents may be; then it is all of the extent.
        None => {
            let cut = part.start().checked_add(MAX_UNWRITTEN).ok_or(EINVAL)?;
            for half in [part.start()..cut, cut..part.end()] {
                let half = part.clip(half.start, half.end);
                pieces.push(half.and_then(|half| half.with_state(to)).ok_or(EINVAL)?)?;
            }
        }
    }
    if let Some(behind) = extent.clip(part.end(), extent.end()) {
        pieces.push(behind)?;
    }
    Ok(pieces)
}

/// Makes `range` a hole, and frees the blocks that were mapped there and the nodes that become
/// empty.
///
/// Works downwards. Allocates a node only where the range lies within one extent.
///
/// # Errors
///
/// Those of freeing, of reading, and for a hole within an extent as [`insert`](super::insert()).
/// The tree maps what has not been freed, and nothing else. Where freeing an emptied node
/// fails, its block stays allocated but belongs to no one.
pub fn remove<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    range: Range<LogicalBlock>,
) -> Result<Progress> {
    let mut to = range.end.min(LOGICAL_END);
    while range.start < to {
        let (path, position, extent) = match last_extent(space, root, to)? {
            Last::Extent(path, position, extent) => (path, position, extent),
            Last::None => break,
            Last::Full => return Ok(Progress::More(to)),
        };
        let Some(part) = extent.clip(range.start, to) else {
            break;
        };
        let depth = path.depth();
        let data = space.space_credits(part.len());
        if !ensure_credits(space, remove_credits(depth), nodes_for_split(depth), data)? {
            return Ok(Progress::More(to));
        }
        to = if part == extent {
            remove_whole(space, root, path, position, range.start)?
        } else {
            cut(space, root, path, position, &part)?;
            part.start()
        };
    }
    lift(space, root)?;
    Ok(Progress::Done)
}

/// Removes the extent at `position` of the path's leaf, for which the caller has the credits, and
/// in the same change those before it that begin at block `from` or behind it, as far as credits
/// go. Returns where the first of them began.
fn remove_whole<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    path: Path<S::Block>,
    position: usize,
    from: LogicalBlock,
) -> Result<LogicalBlock> {
    let depth = path.depth();
    let entries = path.leaf(root)?.entries();
    let first = entries.partition_point(|entry| entry.key() < from);
    let end = position.saturating_add(1);
    let count = end.checked_sub(first).ok_or(EINVAL)?;
    let mut edit = Edit::plan(space, root, path, first, count, &Few::new())?;

    // Freed first: blocks that cannot be freed stay mapped, and nothing is mapped twice.
    let mut freed_from = end;
    let mut start = from;
    let mut freed = Ok(true);
    for next in (first..end).rev() {
        freed = edit.extent(root, next).and_then(|extent| {
            let data = space.space_credits(extent.len());
            let (touched, nodes) = (remove_credits(depth), nodes_for_split(depth));
            // Those of the first are there.
            if next != position && !ensure_credits(space, touched, nodes, data)? {
                return Ok(false);
            }
            space.free_data(extent.at(), extent.len())?;
            start = extent.start();
            Ok(true)
        });
        if freed != Ok(true) {
            break;
        }
        freed_from = next;
    }
    if freed_from == end {
        edit.abandon(space);
    } else {
        if first < freed_from {
            edit.remove_only(freed_from, end.saturating_sub(freed_from));
        }
        edit.commit(space, root)?;
    }
    freed.map(|_| start)
}

/// Removes `part` of the extent at `position` of the path's leaf, with the credits for it.
fn cut<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    path: Path<S::Block>,
    position: usize,
    part: &Extent,
) -> Result {
    let extent = path.extent(root, position)?.ok_or(EINVAL)?;
    let mut rest = Few::new();
    let edges = [extent.start()..part.start(), part.end()..extent.end()];
    for edge in edges
        .into_iter()
        .filter_map(|e| extent.clip(e.start, e.end))
    {
        rest.push(edge)?;
    }
    let edit = plan_joined(space, root, path, position, 1, &rest)?;
    // Freed first, as above.
    if let Err(error) = space.free_data(part.at(), part.len()) {
        edit.abandon(space);
        return Err(error);
    }
    edit.commit(space, root)
}

/// What [`last_extent`] found.
pub(super) enum Last<B> {
    /// The extent, its leaf, and its position there.
    Extent(Path<B>, usize, Extent),
    /// No extent begins there.
    None,
    /// The transaction has no room for the clean-up that is due first.
    Full,
}

/// The last extent that begins before `to`. Drops the empty leaves that someone left in the way.
pub(super) fn last_extent<S: TreeSpace>(
    space: &mut S,
    root: &mut Root,
    to: LogicalBlock,
) -> Result<Last<S::Block>> {
    let Some(last) = to.checked_sub(1) else {
        return Ok(Last::None);
    };
    loop {
        let path = Path::find(space, root, last)?;
        let leaf = path.leaf(root)?;
        if let Some(position) = leaf.search(last) {
            let extent = path.extent(root, position)?.ok_or(EINVAL)?;
            return Ok(Last::Extent(path, position, extent));
        }
        if path.depth() == 0 || !leaf.entries().is_empty() {
            return Ok(Last::None);
        }
        if !ensure_credits(space, remove_credits(path.depth()), 1, 0)? {
            return Ok(Last::Full);
        }
        Edit::plan(space, root, path, 0, 0, &Few::new())?.commit(space, root)?;
    }
}

/// Makes the tree less deep while the root has room for what its only child holds.
///
/// Stops early where credits run out: a tree deeper than need be is whole all the same.
pub(super) fn lift<S: TreeSpace>(space: &mut S, root: &mut Root) -> Result {
    loop {
        let node = root_node(space, root)?;
        let ([only], Some(depth)) = (node.entries(), node.depth().checked_sub(1)) else {
            return Ok(());
        };
        let block = read_node(space, only.index(), depth, LOGICAL_END)?;
        let child = Node::parse(block.bytes(), depth)?;
        if child.entries().len() > capacity(ROOT_BYTES) || !ensure_credits(space, 1, 1, 0)? {
            return Ok(());
        }
        let mut lifted = KVec::<RawEntry>::new();
        lifted.extend_from_slice(child.entries(), GFP_KERNEL)?;
        space.free_node(block.number())?;
        write_header(root, depth, capacity(ROOT_BYTES))?;
        splice(root, 0, 0, &lifted)?;
    }
}
