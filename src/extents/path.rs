// SPDX-License-Identifier: GPL-2.0

//! The way from the root to a leaf, with the blocks on it pinned.

use super::list::List;
use super::look::{child_towards, node_in, read_node, root_node};
use super::{Root, TreeView};
use crate::format::extent::{Extent, Node, LOGICAL_END, MAX_DEPTH};
use crate::format::units::LogicalBlock;
use crate::store::MetaBlock;
use kernel::prelude::*;

/// A node on a path.
pub(super) struct Level<B> {
    /// The node's block; `None` for the root.
    pub(super) block: Option<B>,
    /// Which of its entries the path takes; in the leaf, 0.
    pub(super) position: usize,
}

/// A path from the root, which comes first, to a leaf, which comes last.
///
/// # Invariants
///
/// There are as many levels as the root's depth and one, every node has been checked, and
/// nothing in the tree has changed since.
pub(super) struct Path<B> {
    levels: List<Level<B>, { MAX_DEPTH as usize + 1 }>,
    /// Where the leaf's range ends.
    pub(super) limit: LogicalBlock,
}

impl<B: MetaBlock> Path<B> {
    /// The path to the leaf in which block `at` of the file is, or would be.
    pub(super) fn find<V: TreeView<Block = B>>(
        view: &V,
        root: &Root,
        at: LogicalBlock,
    ) -> Result<Self> {
        let mut path = Self {
            levels: List::new(),
            limit: LOGICAL_END,
        };
        let mut depth = root_node(view, root)?.depth();
        let mut block = None;
        while depth > 0 {
            let node = node_in(root, block.as_ref(), depth)?;
            let (position, index, limit) = child_towards(&node, at, path.limit)?;
            path.levels.push(Level { block, position })?;
            path.limit = limit;
            depth = depth.checked_sub(1).ok_or(EFSCORRUPTED)?;
            block = Some(read_node(view, index, depth, limit)?);
        }
        let position = 0;
        path.levels.push(Level { block, position })?;
        Ok(path)
    }

    /// Nodes on the path.
    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }

    /// Levels below the root.
    pub(super) fn depth(&self) -> u16 {
        // There are at most `MAX_DEPTH + 1`.
        self.levels.len().saturating_sub(1) as u16
    }

    /// The `level`th node from the root.
    pub(super) fn level(&self, level: usize) -> Result<&Level<B>> {
        self.levels.get(level).ok_or(EINVAL)
    }

    /// The entries of the `level`th node from the root.
    pub(super) fn node<'a>(&'a self, root: &'a Root, level: usize) -> Result<Node<'a>> {
        let depth = usize::from(self.depth()).checked_sub(level).ok_or(EINVAL)?;
        node_in(root, self.level(level)?.block.as_ref(), depth as u16)
    }

    /// The entries of the leaf.
    pub(super) fn leaf<'a>(&'a self, root: &'a Root) -> Result<Node<'a>> {
        self.node(root, usize::from(self.depth()))
    }

    /// The leaf's `position`th extent, if it has so many.
    pub(super) fn extent(&self, root: &Root, position: usize) -> Result<Option<Extent>> {
        let leaf = self.leaf(root)?;
        Ok(match leaf.entries().get(position) {
            Some(entry) => Some(entry.extent()?),
            None => None,
        })
    }

    /// Whether nothing in the tree lies behind the `level`th node.
    pub(super) fn is_last(&self, root: &Root, level: usize) -> Result<bool> {
        for above in 0..level {
            let behind = self.level(above)?.position.checked_add(1).ok_or(EINVAL)?;
            if behind < self.node(root, above)?.entries().len() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
