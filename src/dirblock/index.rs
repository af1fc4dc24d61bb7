// SPDX-License-Identifier: GPL-2.0

//! Index nodes of a hashed directory.
//!
//! The directory's block 0 is the root: `.` and `..` as in any directory, but `..` claims the
//! rest of the block, and in that rest lie four bytes of zeroes, the hash's number, the levels of
//! nodes below the root, and the index entries. A node below the root begins with 8 bytes that
//! look like one free entry. An index entry is the lowest hash of its child and the child's
//! block; the first has no hash, its place holds the capacity and the number of entries. With
//! `metadata_csum` a checksum follows the capacity's end; it covers the entries in use only.
//!
//! A child's hash with its lowest bit set says that names of the same hash lie in the child
//! before it, too.

use super::entry::{needed, Layout};
use super::hash::Algorithm;
use crate::crc32c;
use crate::format::le;
use crate::format::problem::{ensure, Problem};
use crate::format::units::LogicalBlock;
use core::mem::size_of;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of an index entry.
const ENTRY_SIZE: usize = size_of::<RawIndex>();
/// Bytes of the checksum after the entries: four of nothing, four of sum.
const TAIL_SIZE: usize = 8;
/// Where the root's information begins: behind `.` and `..`.
const INFO_AT: usize = needed(1) + needed(2);
/// Where the root's entries begin.
const ROOT_ENTRIES_AT: usize = INFO_AT + size_of::<RawInfo>();
/// Where the entries of the nodes below begin.
const NODE_ENTRIES_AT: usize = 8;
/// Levels of nodes below the root, at most (without `large_dir`).
pub(super) const MAX_LEVELS: u8 = 1;
/// The bits of a child that are its block; the others are reserved.
const BLOCK_MASK: u32 = 0x0fff_ffff;

#[derive(
    Clone,
    Copy,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawIndex {
    hash: U32,
    block: U32,
}

#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawInfo {
    zero: U32,
    hash: u8,
    length: u8,
    levels: u8,
    flags: u8,
}

const _: () = {
    assert!(ENTRY_SIZE == 8);
    assert!(INFO_AT == 24);
    assert!(size_of::<RawInfo>() == 8);
};

/// Which kind of node a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// The directory's block 0.
    Root,
    /// Between the root and the leaves.
    Inner,
}

impl NodeKind {
    fn entries_at(self) -> usize {
        match self {
            Self::Root => ROOT_ENTRIES_AT,
            Self::Inner => NODE_ENTRIES_AT,
        }
    }
}

/// What a root says about the whole index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootInfo {
    /// How names are hashed.
    pub algorithm: Algorithm,
    /// Levels of nodes between the root and the leaves; at most [`MAX_LEVELS`].
    pub levels: u8,
}

impl RootInfo {
    /// Reads and checks the information in a root.
    pub fn parse(block: &[u8]) -> Result<Self, Problem> {
        let short = Problem::new("directory index root is cut short", block.len() as u64);
        let (info, _) = block
            .get(INFO_AT..)
            .and_then(|tail| RawInfo::ref_from_prefix(tail).ok())
            .ok_or(short)?;
        let algorithm = Algorithm::from_disk(info.hash).ok_or(Problem::new(
            "directory index has an unknown hash",
            info.hash.into(),
        ))?;
        ensure(
            info.zero.get() == 0 && usize::from(info.length) == size_of::<RawInfo>(),
            Problem::new("directory index root is malformed", info.length.into()),
        )?;
        ensure(
            info.flags & 1 == 0,
            Problem::new("directory index has unknown flags", info.flags.into()),
        )?;
        ensure(
            info.levels <= MAX_LEVELS,
            Problem::new("directory index is too deep", info.levels.into()),
        )?;
        Ok(Self {
            algorithm,
            levels: info.levels,
        })
    }
}

/// A node whose head was checked: look-ups in it.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Entries that fit.
    limit: usize,
    /// The entries in use; at least one.
    entries: &'a [RawIndex],
}

impl<'a> Node<'a> {
    /// Checks the head of a node and gives access to its entries. Cheap: for every look.
    pub fn parse(layout: &Layout, kind: NodeKind, block: &'a [u8]) -> Result<Self, Problem> {
        if kind == NodeKind::Inner {
            let fake =
                le::u32_at(block, 0) == Some(0) && le::u32_at(block, 4) == Some(block.len() as u32);
            ensure(
                fake,
                Problem::new("directory index node is malformed", block.len() as u64),
            )?;
        }
        let at = kind.entries_at();
        let head = le::u32_at(block, at).unwrap_or(0);
        let (limit, count) = ((head & 0xffff) as usize, (head >> 16) as usize);
        ensure(
            limit == layout.index_capacity(kind, block.len()),
            Problem::new("directory index node has a bad capacity", limit as u64),
        )?;
        let bad_count = Problem::new("directory index node has a bad count", count as u64);
        ensure((1..=limit).contains(&count), bad_count)?;
        let (entries, _) = block
            .get(at..)
            .and_then(|tail| <[RawIndex]>::ref_from_prefix_with_elems(tail, count).ok())
            .ok_or(bad_count)?;
        Ok(Self { limit, entries })
    }

    /// Entries in use; at least 1.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry can be added.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// The lowest hash of child `i`, with its continuation bit; the first child's is 0.
    pub fn hash(&self, i: usize) -> Option<u32> {
        let entry = self.entries.get(i)?;
        Some(if i == 0 { 0 } else { entry.hash.get() })
    }

    /// The block of child `i`.
    pub fn child(&self, i: usize) -> Option<LogicalBlock> {
        let entry = self.entries.get(i)?;
        Some(LogicalBlock(entry.block.get() & BLOCK_MASK))
    }

    /// The child where names of `hash` begin.
    pub fn search(&self, hash: u32) -> usize {
        let later = self.entries.get(1..).unwrap_or(&[]);
        later.partition_point(|entry| entry.hash.get() <= hash)
    }

    /// Checks all entries of a node that was read: hashes in order, children inside the
    /// directory of `blocks` blocks and not its root.
    fn check_entries(&self, blocks: u32) -> Result<(), Problem> {
        let mut low = 0;
        for i in 0..self.count() {
            let hash = self.hash(i).unwrap_or(0);
            ensure(
                hash >= low,
                Problem::new("directory index is out of order", hash.into()),
            )?;
            low = hash;
            let child = self.child(i).map_or(0, |child| child.0);
            ensure(
                child > 0 && child < blocks,
                Problem::new("directory index leads out of the directory", child.into()),
            )?;
        }
        Ok(())
    }
}

impl Layout {
    /// Entries that a node in a block of `len` bytes has room for.
    fn index_capacity(&self, kind: NodeKind, len: usize) -> usize {
        let tail = self.seed.map_or(0, |_| TAIL_SIZE);
        len.saturating_sub(kind.entries_at() + tail) / ENTRY_SIZE
    }

    /// The checksum of a node with `count` entries, and where it lies.
    fn index_checksum(&self, kind: NodeKind, block: &[u8], count: usize) -> Option<(usize, u32)> {
        let seed = self.seed?;
        let used = kind
            .entries_at()
            .checked_add(count.checked_mul(ENTRY_SIZE)?)?;
        let capacity = self.index_capacity(kind, block.len());
        let tail = kind
            .entries_at()
            .checked_add(capacity.checked_mul(ENTRY_SIZE)?)?;
        let sum = crc32c(seed, block.get(..used)?);
        let sum = crc32c(sum, block.get(tail..tail.checked_add(4)?)?);
        Some((tail.checked_add(4)?, crc32c(sum, &[0; 4])))
    }

    /// Checks all of a node once it was read: checksum, order, children inside the directory of
    /// `blocks` blocks; of a root, its information too.
    pub fn check_node(&self, kind: NodeKind, block: &[u8], blocks: u32) -> Result<(), Problem> {
        if kind == NodeKind::Root {
            RootInfo::parse(block)?;
        }
        let node = Node::parse(self, kind, block)?;
        if self.seed.is_some() {
            let (at, sum) = self
                .index_checksum(kind, block, node.count())
                .ok_or(Problem::new("directory index node is malformed", 0))?;
            let found = le::u32_at(block, at).unwrap_or(0);
            ensure(
                found == sum,
                Problem::bad_checksum("directory index checksum is wrong", found),
            )?;
        }
        node.check_entries(blocks)
    }

    /// Sets a node's checksum after an edit, where the file system has any.
    pub fn seal_node(&self, kind: NodeKind, block: &mut [u8]) {
        let count = match Node::parse(self, kind, block) {
            Ok(node) => node.count(),
            Err(_) => return,
        };
        if let Some((at, sum)) = self.index_checksum(kind, block, count) {
            // In range: the checksum was just computed up to there.
            let _ = le::put_u32(block, at, sum);
        }
    }

    /// Adds a child behind child `after` of a node that is not full.
    pub fn insert_child(
        &self,
        kind: NodeKind,
        block: &mut [u8],
        after: usize,
        hash: u32,
        child: LogicalBlock,
    ) -> Result<(), Problem> {
        let node = Node::parse(self, kind, block)?;
        let (count, at) = (node.count(), after.saturating_add(1));
        ensure(
            !node.is_full() && after < count,
            Problem::new("directory index node has no room", count as u64),
        )?;
        let limit = node.limit;
        let entries = raw_entries(kind, block, limit)?;
        entries.copy_within(at..count, at.saturating_add(1));
        if let Some(slot) = entries.get_mut(at) {
            slot.hash = U32::new(hash);
            slot.block = U32::new(child.0);
        }
        set_count(kind, block, limit, count.saturating_add(1));
        self.seal_node(kind, block);
        Ok(())
    }

    /// Makes `block`, a copy of a directory's first block, the root of an index with one child.
    /// The caller keeps the other entries.
    pub(super) fn init_root(
        &self,
        block: &mut [u8],
        algorithm: Algorithm,
        child: LogicalBlock,
    ) -> Result<(), Problem> {
        let (dot, dotdot) = self.dots(block)?;
        let len = block.len();
        let (own, parent) = (dot.inode, dotdot.inode);
        self.without_checksum().init_first(block, own, parent);
        let info = RawInfo {
            zero: U32::new(0),
            hash: algorithm.to_disk(),
            length: size_of::<RawInfo>() as u8,
            levels: 0,
            flags: 0,
        };
        let short = Problem::new("directory block is cut short", len as u64);
        le::put::<8>(
            block,
            INFO_AT,
            info.as_bytes().try_into().map_err(|_| short)?,
        )
        .ok_or(short)?;
        let limit = self.index_capacity(NodeKind::Root, len);
        self.set_only_child(NodeKind::Root, block, limit, child)
    }

    /// Makes `block` a node below the root, with the entries of `from`.
    fn init_inner(&self, block: &mut [u8], from: &[RawIndex]) -> Result<(), Problem> {
        let len = block.len();
        let short = Problem::new("directory block is cut short", len as u64);
        block.fill(0);
        // The length takes two bytes; the name length and type after it are 0.
        le::put_u32(block, 4, len as u32).ok_or(short)?;
        let limit = self.index_capacity(NodeKind::Inner, len);
        let entries = raw_entries(NodeKind::Inner, block, limit)?;
        entries
            .get_mut(..from.len())
            .ok_or(short)?
            .copy_from_slice(from);
        set_count(NodeKind::Inner, block, limit, from.len());
        self.seal_node(NodeKind::Inner, block);
        Ok(())
    }

    fn set_only_child(
        &self,
        kind: NodeKind,
        block: &mut [u8],
        limit: usize,
        child: LogicalBlock,
    ) -> Result<(), Problem> {
        if let Some(first) = raw_entries(kind, block, limit)?.first_mut() {
            first.block = U32::new(child.0);
        }
        set_count(kind, block, limit, 1);
        self.seal_node(kind, block);
        Ok(())
    }

    /// Moves the entries of a full `root`, whose leaves are right below it, into a new node at
    /// `child`, which `inner` becomes; the root keeps only that child.
    pub(super) fn deepen(
        &self,
        root: &mut [u8],
        inner: &mut [u8],
        child: LogicalBlock,
    ) -> Result<(), Problem> {
        let info = RootInfo::parse(root)?;
        ensure(
            info.levels < MAX_LEVELS,
            Problem::new("directory index is too deep", info.levels.into()),
        )?;
        let node = Node::parse(self, NodeKind::Root, root)?;
        self.init_inner(inner, node.entries)?;
        let limit = node.limit;
        if let Some(levels) = root.get_mut(INFO_AT + 6) {
            *levels = info.levels.saturating_add(1);
        }
        self.set_only_child(NodeKind::Root, root, limit, child)
    }

    /// Moves the upper half of the entries of `low` into `high`, a new node; gives the hash with
    /// which `high` enters the parent.
    pub(super) fn split_node(&self, low: &mut [u8], high: &mut [u8]) -> Result<u32, Problem> {
        let node = Node::parse(self, NodeKind::Inner, low)?;
        let (count, limit) = (node.count(), node.limit);
        let keep = count / 2;
        let bad = Problem::new("directory index node has a bad count", count as u64);
        ensure(keep > 0, bad)?;
        let hash = node.hash(keep).ok_or(bad)?;
        self.init_inner(high, node.entries.get(keep..).ok_or(bad)?)?;
        set_count(NodeKind::Inner, low, limit, keep);
        self.seal_node(NodeKind::Inner, low);
        Ok(hash)
    }
}

/// The room for entries of a node.
fn raw_entries(kind: NodeKind, block: &mut [u8], limit: usize) -> Result<&mut [RawIndex], Problem> {
    block
        .get_mut(kind.entries_at()..)
        .and_then(|tail| <[RawIndex]>::mut_from_prefix_with_elems(tail, limit).ok())
        .map(|(entries, _)| entries)
        .ok_or(Problem::new(
            "directory index node is cut short",
            limit as u64,
        ))
}

/// Writes capacity and count, which lie where the first entry's hash would.
fn set_count(kind: NodeKind, block: &mut [u8], limit: usize, count: usize) {
    if let Some(head) = block
        .get_mut(kind.entries_at()..)
        .and_then(|tail| <[U16; 2]>::mut_from_prefix(tail).ok())
    {
        *head.0 = [U16::new(limit as u16), U16::new(count as u16)];
    }
}
