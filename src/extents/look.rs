// SPDX-License-Identifier: GPL-2.0

//! Finding extents. Needs `i_data_sem` for read.
//!
//! What the disk says is believed only so far: each node's header is checked at every look, and
//! its checksum and entries once after it was read from the device. A descent ends because the
//! depth it demands falls by one with each node.

use super::{Root, TreeView};
use crate::format::extent::{check_checksum, root_depth, Extent, Index, Node, LOGICAL_END};
use crate::format::problem::Problem;
use crate::format::units::{LogicalBlock, PhysicalBlock};
use crate::store::MetaBlock;
use core::ops::ControlFlow;
use kernel::prelude::*;

/// What is at a block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The extent that holds the block.
    Mapped(Extent),
    /// Nothing, nor for the blocks around it.
    Hole {
        /// Where the hole begins: the end of the extent before it.
        start: LogicalBlock,
        /// Its length up to the next extent, or to the end of the logical space.
        len: u32,
    },
}

/// Reports `problem` and makes it an error.
pub(super) fn corrupt<V: TreeView>(
    view: &V,
    node: Option<PhysicalBlock>,
    problem: Problem,
) -> Error {
    view.report(node, problem);
    problem.into()
}

/// The root, checked.
pub(super) fn root_node<'a, V: TreeView>(view: &V, root: &'a Root) -> Result<Node<'a>> {
    let check = || {
        let node = Node::parse(root, root_depth(root)?)?;
        node.check_entries(None, LOGICAL_END, |at, len| view.valid_run(at, len))?;
        Ok(node)
    };
    check().map_err(|problem| corrupt(view, None, problem))
}

/// Reads the node that `index` leads to and checks it: it has to have `depth` and to end at
/// `limit`.
pub(super) fn read_node<V: TreeView>(
    view: &V,
    index: Index,
    depth: u16,
    limit: LogicalBlock,
) -> Result<V::Block> {
    let block = view.read(index.child)?;
    let check = || {
        let node = Node::parse(block.bytes(), depth)?;
        if block.verified() {
            // Another parent may lead here too, and then wrongly.
            return node.check_first(index.first);
        }
        if let Some(seed) = view.seed() {
            check_checksum(block.bytes(), &node, seed)?;
        }
        node.check_entries(Some(index.first), limit, |at, len| view.valid_run(at, len))?;
        block.set_verified();
        Ok(())
    };
    match check() {
        Ok(()) => Ok(block),
        Err(problem) => Err(corrupt(view, Some(index.child), problem)),
    }
}

/// A node's child on the way to `at`: its position, the pointer to it, and where its range ends,
/// given that the node's own ends at `limit`. What lies before the first child belongs to it.
pub(super) fn child_towards(
    node: &Node<'_>,
    at: LogicalBlock,
    limit: LogicalBlock,
) -> Result<(usize, Index, LogicalBlock)> {
    let position = node.search(at).unwrap_or(0);
    let mut from_it = node.entries().iter().skip(position);
    // An index node that passed its check has an entry.
    let index = from_it.next().ok_or(EFSCORRUPTED)?.index();
    let limit = from_it.next().map_or(limit, |next| next.key());
    Ok((position, index, limit))
}

/// What is at block `at` of the file.
///
/// # Errors
///
/// `EFSCORRUPTED` or `EFSBADCRC` after a [`TreeView::report`]; those of reading.
pub fn lookup<V: TreeView>(view: &V, root: &Root, at: LogicalBlock) -> Result<Found> {
    let mut depth = root_node(view, root)?.depth();
    let mut block = None;
    let (mut first, mut limit) = (LogicalBlock(0), LOGICAL_END);
    loop {
        let node = node_in(root, block.as_ref(), depth)?;
        if depth == 0 {
            return find_in_leaf(&node, first, at, limit);
        }
        let (_, index, end) = child_towards(&node, at, limit)?;
        // To the left of all keys the leaf's range begins with the file.
        if index.first <= at {
            first = index.first;
        }
        limit = end;
        depth = depth.checked_sub(1).ok_or(EFSCORRUPTED)?;
        block = Some(read_node(view, index, depth, limit)?);
    }
}

/// The node in `block`, or without one the root, both checked before.
pub(super) fn node_in<'a, B: MetaBlock>(
    root: &'a Root,
    block: Option<&'a B>,
    depth: u16,
) -> Result<Node<'a>> {
    let bytes = block.map_or(root.as_slice(), |block| block.bytes());
    Ok(Node::parse(bytes, depth)?)
}

/// What is at block `at`, in the leaf for `first..limit`.
fn find_in_leaf(
    leaf: &Node<'_>,
    first: LogicalBlock,
    at: LogicalBlock,
    limit: LogicalBlock,
) -> Result<Found> {
    let position = leaf.search(at);
    let mut start = first;
    if let Some(entry) = position.and_then(|p| leaf.entries().get(p)) {
        let extent = entry.extent()?;
        if extent.contains(at) {
            return Ok(Found::Mapped(extent));
        }
        start = extent.end();
    }
    let next = position.map_or(Some(0), |p| p.checked_add(1));
    let end = next
        .and_then(|p| leaf.entries().get(p))
        .map_or(limit, |entry| entry.key());
    Ok(Found::Hole {
        start,
        len: end.distance_from(start).ok_or(EFSCORRUPTED)?,
    })
}

/// The first extent that ends behind `at`: the one that holds `at`, or the next.
///
/// # Errors
///
/// As [`lookup`].
pub fn next_extent<V: TreeView>(
    view: &V,
    root: &Root,
    mut at: LogicalBlock,
) -> Result<Option<Extent>> {
    while at < LOGICAL_END {
        match lookup(view, root, at)? {
            Found::Mapped(extent) => return Ok(Some(extent)),
            Found::Hole { start, len } => {
                let end = start.checked_add(len).ok_or(EFSCORRUPTED)?;
                if end <= at {
                    return Err(EFSCORRUPTED);
                }
                at = end;
            }
        }
    }
    Ok(None)
}

/// Calls `visit` for every extent that ends behind `from`, in order, until it breaks.
///
/// # Errors
///
/// As [`lookup`].
pub fn for_each_extent<V: TreeView>(
    view: &V,
    root: &Root,
    from: LogicalBlock,
    mut visit: impl FnMut(Extent) -> ControlFlow<()>,
) -> Result {
    let mut at = from;
    while let Some(extent) = next_extent(view, root, at)? {
        if visit(extent).is_break() {
            break;
        }
        at = extent.end();
    }
    Ok(())
}
