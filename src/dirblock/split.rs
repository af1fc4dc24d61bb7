// SPDX-License-Identifier: GPL-2.0

//! Splits, worked out on the side: new contents of blocks, to be written once everything that
//! can fail has not.

use super::entry::{needed, Entry, Layout};
use super::hash::{Hasher, NameHash};
use super::index::NodeKind;
use crate::format::problem::{ensure, Problem};
use crate::format::units::LogicalBlock;
use kernel::prelude::*;

/// Why a plan was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// The blocks are bad.
    Problem(Problem),
    /// No memory.
    NoMemory,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<kernel::alloc::AllocError> for Failure {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::NoMemory
    }
}

/// New contents of two blocks: one that exists, one to be appended.
pub(super) struct Split {
    /// What the old block becomes.
    pub(super) low: KVec<u8>,
    /// What the new block becomes.
    pub(super) high: KVec<u8>,
    /// With which hash the new block enters the index, continuation bit included.
    pub(super) hash: u32,
}

impl Split {
    /// Whether a name belongs into the new block.
    pub(super) fn is_high(&self, name: NameHash) -> bool {
        name.major >= self.hash & !1
    }
}

/// Memory for a block's new content.
fn scratch(like: &[u8]) -> Result<KVec<u8>, Failure> {
    let mut bytes = KVec::new();
    bytes.extend_from_slice(like, GFP_KERNEL)?;
    Ok(bytes)
}

/// The entries of a leaf with their hashes, in the order of the hashes.
fn by_hash<'a>(
    layout: &Layout,
    hasher: &Hasher,
    leaf: &'a [u8],
) -> Result<KVec<(u32, Entry<'a>)>, Failure> {
    let mut entries = KVec::new();
    for entry in layout.entries(leaf) {
        let entry = entry?;
        entries.push((hasher.hash(entry.name).major, entry), GFP_KERNEL)?;
    }
    crate::sort::sort_by(&mut entries, |(a, at), (b, bt)| {
        (a, at.offset).cmp(&(b, bt.offset))
    });
    Ok(entries)
}

/// Splits a leaf: about half of the bytes, those of the higher hashes, go to a new leaf.
///
/// # Errors
///
/// A bad block, one with fewer than two entries included; no memory.
pub(super) fn split_leaf(layout: &Layout, hasher: &Hasher, leaf: &[u8]) -> Result<Split, Failure> {
    let entries = by_hash(layout, hasher, leaf)?;
    let bad = Problem::new("directory block is full of nothing", entries.len() as u64);
    let total: usize = entries.iter().map(|(_, e)| needed(e.name.len())).sum();
    let mut size = 0usize;
    let mut keep = 0usize;
    for (_, entry) in &entries {
        let needed = needed(entry.name.len());
        // The entry across the middle goes where more of it lies: so both halves have room for the
        // longest name, in the smallest blocks, too.
        if size.saturating_add(needed / 2) > total / 2 {
            break;
        }
        size = size.saturating_add(needed);
        keep = keep.saturating_add(1);
    }
    keep = keep.max(1);
    let (lower, upper) = entries.split_at_checked(keep).ok_or(bad)?;
    let (last, _) = lower.last().ok_or(bad)?;
    let (first, _) = upper.first().ok_or(bad)?;
    let continued = u32::from(last == first);

    let mut split = Split {
        low: scratch(leaf)?,
        high: scratch(leaf)?,
        hash: first | continued,
    };
    layout.pack(&mut split.low, lower.iter().map(|(_, entry)| *entry))?;
    layout.pack(&mut split.high, upper.iter().map(|(_, entry)| *entry))?;
    Ok(split)
}

/// Splits a full node below the root.
pub(super) fn split_node(layout: &Layout, node: &[u8]) -> Result<Split, Failure> {
    let mut split = Split {
        low: scratch(node)?,
        high: scratch(node)?,
        hash: 0,
    };
    split.hash = layout.split_node(&mut split.low, &mut split.high)?;
    Ok(split)
}

/// Puts a level between a full root and its leaves: `low` is the root, `high` the node at
/// `child`.
pub(super) fn deepen(layout: &Layout, root: &[u8], child: LogicalBlock) -> Result<Split, Failure> {
    let mut split = Split {
        low: scratch(root)?,
        high: scratch(root)?,
        hash: 0,
    };
    layout.deepen(&mut split.low, &mut split.high, child)?;
    Ok(split)
}

/// Makes an index of a directory of one block: `low` is the root, `high` the leaf at `child`
/// with all entries but `.` and `..`.
pub(super) fn make_index(
    layout: &Layout,
    hasher: &Hasher,
    first: &[u8],
    child: LogicalBlock,
) -> Result<Split, Failure> {
    let mut split = Split {
        low: scratch(first)?,
        high: scratch(first)?,
        hash: 0,
    };
    let mut files = KVec::new();
    for entry in layout.entries(first) {
        let entry = entry?;
        if !matches!(entry.name, b"." | b"..") {
            files.push(entry, GFP_KERNEL)?;
        }
    }
    layout.pack(&mut split.high, files.iter().copied())?;
    layout.init_root(&mut split.low, hasher.algorithm, child)?;
    Ok(split)
}

/// A node with one child more, behind child `after`.
pub(super) fn insert_child(
    layout: &Layout,
    kind: NodeKind,
    node: &[u8],
    after: usize,
    hash: u32,
    child: LogicalBlock,
) -> Result<KVec<u8>, Failure> {
    let mut bytes = scratch(node)?;
    ensure(
        child.0 > 0,
        Problem::new("directory index leads out of the directory", 0),
    )?;
    layout.insert_child(kind, &mut bytes, after, hash, child)?;
    Ok(bytes)
}
