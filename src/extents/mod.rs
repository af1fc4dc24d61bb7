// SPDX-License-Identifier: GPL-2.0

//! The extent tree: which blocks of the device hold which blocks of a file.
//!
//! # Data
//!
//! The tree's root is the 60 bytes of the inode's `i_block`, passed in as `root`; the nodes
//! below are blocks read through a [`Store`]. Nothing is kept between calls. The bytes of a
//! node are [`crate::format::extent`]'s affair; here is what makes them a tree:
//!
//! - every path from the root to a leaf has the same length, the root's depth, at most
//!   [`MAX_DEPTH`](crate::format::extent::MAX_DEPTH);
//! - the key by which a parent points to a child is the first key in that child;
//! - extents are in the order of the file and do not overlap.
//!
//! # Who calls it, and locks
//!
//! The block mapper, truncate and their like, with the inode's `i_data_sem` held: for read in
//! `look`, for write in all that takes a [`TreeSpace`]. After a change the caller writes the
//! inode back under the same handle, also where the change returned an error.
//!
//! # Changes
//!
//! Every change is a replacement of a few neighbouring extents of one leaf by a few others
//! (`edit`), which passes up the tree what follows from it. It has two phases: all that can fail
//! (memory, blocks for new nodes, journal write access) comes first, and is given back if it
//! does fail; then come the updates, which fail only where the journal has aborted. Operations
//! on ranges (`range`) are loops over such changes, so whatever fails, and wherever a loop stops
//! for want of credits, the tree is whole.

mod edit;
mod insert;
mod list;
mod look;
mod path;
mod range;
mod shift;

pub use insert::insert;
pub use look::{for_each_extent, lookup, next_extent, Found};
pub use range::{convert, remove, Progress};
pub use shift::{make_way, shift_left, shift_right};

use crate::format::extent::{self, ROOT_BYTES};
use crate::format::problem::Problem;
use crate::format::units::PhysicalBlock;
use crate::store::{Store, Transaction};
use kernel::prelude::*;

/// The root of a tree: an inode's `i_block`.
pub type Root = [u8; ROOT_BYTES];

/// What reading an inode's tree takes, besides the blocks.
pub trait TreeView: Store {
    /// The inode's checksum seed; `None` on a file system without metadata checksums.
    fn seed(&self) -> Option<u32>;

    /// Whether `blocks` blocks from `start` all lie on the device, and none of them in the file
    /// system's own metadata.
    fn valid_run(&self, start: PhysicalBlock, blocks: u32) -> bool;

    /// Told of each corruption found, in the tree's node at `node` or, where that is `None`, in
    /// its root. The call in progress then returns the problem's error.
    fn report(&self, node: Option<PhysicalBlock>, problem: Problem);
}

/// What changing an inode's tree takes: a running transaction, and blocks to be had.
pub trait TreeSpace: Transaction + TreeView {
    /// Allocates a block for a node, best near the node `near` of the same tree, and accounts
    /// it to the inode. It has not been touched yet: [`Transaction::create`] follows.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `EDQUOT`, those of the journal and of reading bitmaps; nothing has happened
    /// then.
    fn allocate_node(&mut self, near: Option<PhysicalBlock>) -> Result<PhysicalBlock>;

    /// Frees a node's block, and forgets and revokes it in the journal.
    ///
    /// # Errors
    ///
    /// As [`TreeSpace::free_data`].
    fn free_node(&mut self, at: PhysicalBlock) -> Result;

    /// Frees a run of the file's blocks and takes it off the inode's account.
    ///
    /// # Errors
    ///
    /// Those of the journal and of reading bitmaps. The blocks stay allocated then.
    fn free_data(&mut self, start: PhysicalBlock, blocks: u32) -> Result;

    /// How many blocks allocating or freeing a run of `blocks` blocks dirties at most: bitmaps
    /// and group descriptors.
    fn space_credits(&self, blocks: u32) -> u32;
}

/// Makes `root` the root of an empty tree.
pub fn init_root(root: &mut Root) {
    *root = [0; ROOT_BYTES];
    // A root has room for its own capacity.
    let _ = extent::write_header(root, 0, extent::capacity(ROOT_BYTES));
}

/// Levels of nodes below the root.
///
/// # Errors
///
/// `EFSCORRUPTED`, after a report, where the root's header is bad.
pub fn depth<V: TreeView>(view: &V, root: &Root) -> Result<u16> {
    extent::root_depth(root).map_err(|problem| look::corrupt(view, None, problem))
}

/// How many nodes one [`insert`], or one split at an edge of [`convert`] or [`remove`],
/// allocates at most in a tree of that depth: one a level, and one when the root overflows.
pub const fn nodes_for_split(depth: u16) -> u32 {
    depth as u32 + 1
}

/// How many nodes a [`convert`] to written allocates at most, whatever its range: what
/// completion sets aside beforehand, so that it cannot fail for want of space.
///
/// Only the two edges of the range add entries; the second may find a tree one level deeper.
/// There is no way to convert part of an extent without that reserve: filling the rest with
/// zeroes on disk instead would race with writes to it that are still under way.
pub const fn nodes_for_convert(depth: u16) -> u32 {
    nodes_for_split(depth) + nodes_for_split(depth.saturating_add(1))
}

/// How many tree blocks one [`insert`] dirties at most in a tree of that depth: every node on
/// the path, and every new one. Not counted: the inode's block, and
/// [`TreeSpace::space_credits`] of one block for each of [`nodes_for_split`].
pub const fn insert_credits(depth: u16) -> u32 {
    depth as u32 + nodes_for_split(depth)
}

/// How many tree blocks a step of [`remove`] or of a shift dirties at most in a tree of that
/// depth. It is an insert's, as a hole may split an extent. Not counted: as for
/// [`insert_credits`], and `space_credits` of the data.
///
/// The operations themselves ask [`Transaction::ensure_credits`] for all of it before each step.
pub const fn remove_credits(depth: u16) -> u32 {
    insert_credits(depth)
}
