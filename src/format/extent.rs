// SPDX-License-Identifier: GPL-2.0

//! Nodes of the extent tree, as bytes.
//!
//! A node is a 12-byte header and an array of 12-byte entries in the order of their first
//! logical block: extents in a leaf (depth 0), pointers to child nodes above. The root is the
//! inode's 60-byte `i_block` and has no checksum of its own; every other node fills a block and
//! carries a CRC-32C right behind the room for its `max` entries.
//!
//! Format: Linux `fs/ext4/ext4_extents.h`, "Extent Tree" in Documentation/filesystems/ext4.

use crate::format::problem::Problem;
use crate::format::units::{LogicalBlock, PhysicalBlock};
use core::ops::Range;
use kernel::prelude::*;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Length of the root node, the inode's `i_block`.
pub const ROOT_BYTES: usize = 60;
/// The deepest tree: the root's depth is at most this, a leaf's is 0.
pub const MAX_DEPTH: u16 = 5;
/// The longest written extent, in blocks.
pub const MAX_WRITTEN: u32 = 1 << 15;
/// The longest unwritten extent, in blocks: one less, as the length's top bit marks the state.
pub const MAX_UNWRITTEN: u32 = MAX_WRITTEN - 1;
/// The end of a file's logical space: no extent reaches past it.
pub const LOGICAL_END: LogicalBlock = LogicalBlock(u32::MAX);

const MAGIC: u16 = 0xf30a;
const HEADER_BYTES: usize = size_of::<RawHeader>();
const ENTRY_BYTES: usize = size_of::<RawEntry>();
const TAIL_BYTES: usize = 4;
/// mke2fs and e2fsck allow a node that many entries less than would fit.
const MAX_SLACK: usize = 2;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U16,
    entries: U16,
    max: U16,
    depth: U16,
    generation: U32,
}

/// One entry of a node, extent or index, as on disk.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawEntry {
    key: U32,
    /// A leaf's entry: length and state, high half of the place.
    /// An index's entry: low word of the child's place.
    a: U16,
    b: U16,
    /// A leaf's entry: low word of the place.
    /// An index's entry: high half of the child's place, unused.
    c: U16,
    d: U16,
}

/// Whether the blocks of an extent hold data or read as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The blocks hold the file's data.
    Written,
    /// The blocks are the file's, but what is in them is not: they read as zeroes.
    Unwritten,
}

impl State {
    /// The longest extent of this state, in blocks.
    pub const fn max_len(self) -> u32 {
        match self {
            State::Written => MAX_WRITTEN,
            State::Unwritten => MAX_UNWRITTEN,
        }
    }
}

/// A run of a file's blocks that lie side by side on the device.
///
/// # Invariants
///
/// One that came from [`Extent::new`] has 1 to [`State::max_len`] blocks, and neither its
/// logical nor its physical end overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    start: LogicalBlock,
    len: u32,
    at: PhysicalBlock,
    state: State,
}

impl Extent {
    /// `len` blocks of the file from `start`, found on the device from `at`; `None` where that
    /// is no extent that the disk could hold.
    pub fn new(start: LogicalBlock, len: u32, at: PhysicalBlock, state: State) -> Option<Self> {
        let end = start.checked_add(len)?;
        let place_end = at.checked_add(u64::from(len))?;
        let fits = len > 0 && len <= state.max_len() && end <= LOGICAL_END;
        // Places have 48 bits.
        (fits && place_end.0 <= 1 << 48).then_some(Self {
            start,
            len,
            at,
            state,
        })
    }

    /// First block in the file.
    pub const fn start(&self) -> LogicalBlock {
        self.start
    }

    /// Length in blocks, never 0.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// First block on the device.
    pub const fn at(&self) -> PhysicalBlock {
        self.at
    }

    /// Whether the blocks hold data.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The block behind the last one in the file.
    pub const fn end(&self) -> LogicalBlock {
        // By the invariant this does not saturate.
        LogicalBlock(self.start.0.saturating_add(self.len))
    }

    /// Whether `block` of the file lies in the extent.
    pub fn contains(&self, block: LogicalBlock) -> bool {
        self.start <= block && block < self.end()
    }

    /// Where `block` of the file lies on the device, if the extent holds it.
    pub fn place_of(&self, block: LogicalBlock) -> Option<PhysicalBlock> {
        if !self.contains(block) {
            return None;
        }
        self.at
            .checked_add(u64::from(block.distance_from(self.start)?))
    }

    /// The part of the extent in `from..to`, if there is one.
    pub fn clip(&self, from: LogicalBlock, to: LogicalBlock) -> Option<Self> {
        let start = self.start.max(from);
        let len = self.end().min(to).distance_from(start)?;
        Self::new(start, len, self.place_of(start)?, self.state)
    }

    /// The same blocks in `state`; `None` where that state does not allow the length.
    pub fn with_state(&self, state: State) -> Option<Self> {
        Self::new(self.start, self.len, self.at, state)
    }

    /// The same blocks as part of the file from `start`; `None` beyond the logical space.
    pub fn moved_to(&self, start: LogicalBlock) -> Option<Self> {
        Self::new(start, self.len, self.at, self.state)
    }

    /// The two as one, where `next` goes on exactly where `self` ends, in the file and on the
    /// device, in the same state, and the sum is not too long.
    pub fn join(&self, next: &Self) -> Option<Self> {
        let adjoins = self.state == next.state
            && self.end() == next.start
            && self.at.checked_add(u64::from(self.len)) == Some(next.at);
        if !adjoins {
            return None;
        }
        Self::new(
            self.start,
            self.len.checked_add(next.len)?,
            self.at,
            self.state,
        )
    }
}

/// A pointer to a child node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The first logical block of the child's first entry.
    pub first: LogicalBlock,
    /// The child's block on the device.
    pub child: PhysicalBlock,
}

/// The two 16-bit halves of a 32-bit word, low first.
fn halves(word: u64) -> (U16, U16) {
    (U16::new(word as u16), U16::new((word >> 16) as u16))
}

/// The 48-bit place whose halves those are, low first.
fn place(low: U16, middle: U16, high: U16) -> PhysicalBlock {
    PhysicalBlock(
        u64::from(low.get()) | (u64::from(middle.get()) << 16) | (u64::from(high.get()) << 32),
    )
}

impl RawEntry {
    /// First logical block of the entry, extent or index.
    pub fn key(&self) -> LogicalBlock {
        LogicalBlock(self.key.get())
    }

    /// The same, from another logical block on.
    pub fn with_key(self, key: LogicalBlock) -> Self {
        Self {
            key: U32::new(key.0),
            ..self
        }
    }

    /// The entry read as a leaf's.
    ///
    /// # Errors
    ///
    /// A length of zero, or a run that overflows.
    pub fn extent(&self) -> Result<Extent, Problem> {
        let raw = u32::from(self.a.get());
        let (len, state) = if raw > MAX_WRITTEN {
            (raw - MAX_WRITTEN, State::Unwritten)
        } else {
            (raw, State::Written)
        };
        Extent::new(self.key(), len, place(self.c, self.d, self.b), state)
            .ok_or(Problem::new("extent of impossible length", u64::from(raw)))
    }

    /// The entry read as an index node's.
    pub fn index(&self) -> Index {
        Index {
            first: self.key(),
            child: place(self.a, self.b, self.c),
        }
    }
}

impl From<Extent> for RawEntry {
    fn from(extent: Extent) -> Self {
        let mark = match extent.state {
            State::Written => 0,
            State::Unwritten => MAX_WRITTEN,
        };
        let (c, d) = halves(extent.at.0);
        Self {
            key: U32::new(extent.start.0),
            // By the type's invariant this fits in 16 bits.
            a: U16::new((extent.len | mark) as u16),
            b: U16::new((extent.at.0 >> 32) as u16),
            c,
            d,
        }
    }
}

impl From<Index> for RawEntry {
    fn from(index: Index) -> Self {
        let (a, b) = halves(index.child.0);
        Self {
            key: U32::new(index.first.0),
            a,
            b,
            c: U16::new((index.child.0 >> 32) as u16),
            d: U16::new(0),
        }
    }
}

/// How many entries a node of `bytes` bytes has room for.
pub const fn capacity(bytes: usize) -> usize {
    if bytes == ROOT_BYTES {
        (ROOT_BYTES - HEADER_BYTES) / ENTRY_BYTES
    } else {
        bytes.saturating_sub(HEADER_BYTES + TAIL_BYTES) / ENTRY_BYTES
    }
}

/// Which depth the root claims; checked as [`Node::parse`] checks it.
///
/// # Errors
///
/// The root is not an extent node, or its depth is impossible.
pub fn root_depth(root: &[u8; ROOT_BYTES]) -> Result<u16, Problem> {
    let Ok((header, _)) = RawHeader::ref_from_prefix(root) else {
        return Err(Problem::new("short extent node", ROOT_BYTES as u64));
    };
    if header.magic.get() != MAGIC {
        return Err(Problem::new(
            "bad extent magic",
            u64::from(header.magic.get()),
        ));
    }
    let depth = header.depth.get();
    if depth > MAX_DEPTH {
        return Err(Problem::new("extent tree too deep", u64::from(depth)));
    }
    Ok(depth)
}

/// A node whose header has been checked.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    depth: u16,
    max: usize,
    entries: &'a [RawEntry],
}

impl<'a> Node<'a> {
    /// Checks the header of a node that should have `depth`, and gives access to its entries.
    ///
    /// Cheap: fit for each look at a node, however often it was checked before. That each depth
    /// is one less than the one above is what ends every descent.
    ///
    /// # Errors
    ///
    /// What is wrong with the header.
    pub fn parse(bytes: &'a [u8], depth: u16) -> Result<Self, Problem> {
        let Ok((header, rest)) = RawHeader::ref_from_prefix(bytes) else {
            return Err(Problem::new("short extent node", bytes.len() as u64));
        };
        if header.magic.get() != MAGIC {
            return Err(Problem::new(
                "bad extent magic",
                u64::from(header.magic.get()),
            ));
        }
        if header.depth.get() != depth {
            return Err(Problem::new(
                "extent node of wrong depth",
                u64::from(header.depth.get()),
            ));
        }
        let max = usize::from(header.max.get());
        let room = capacity(bytes.len());
        if max == 0 || max > room || max.saturating_add(MAX_SLACK) < room {
            return Err(Problem::new("bad extent node capacity", max as u64));
        }
        let count = usize::from(header.entries.get());
        // An index node leads nowhere without a child. A leaf may be empty: it maps nothing.
        if count > max || (count == 0 && depth > 0) {
            return Err(Problem::new("bad extent entry count", count as u64));
        }
        let Ok((entries, _)) = <[RawEntry]>::ref_from_prefix_with_elems(rest, count) else {
            return Err(Problem::new("bad extent entry count", count as u64));
        };
        Ok(Self {
            depth,
            max,
            entries,
        })
    }

    /// Levels below this node; 0 in a leaf.
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// How many entries the node may have.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The entries, in order.
    pub fn entries(&self) -> &'a [RawEntry] {
        self.entries
    }

    /// The last entry that begins at or before `at`.
    pub fn search(&self, at: LogicalBlock) -> Option<usize> {
        self.entries
            .partition_point(|entry| entry.key() <= at)
            .checked_sub(1)
    }

    /// Checks that the node begins at `first` exactly, as its parent says; an empty one may.
    ///
    /// # Errors
    ///
    /// It begins elsewhere.
    pub fn check_first(&self, first: LogicalBlock) -> Result<(), Problem> {
        match self.entries.first() {
            Some(entry) if entry.key() != first => Err(Problem::new(
                "extent node begins elsewhere than its parent says",
                u64::from(entry.key().0),
            )),
            _ => Ok(()),
        }
    }

    /// Checks every entry: sorted, without overlap, within `first..limit`, beginning at `first`
    /// exactly where the parent says so, and each run of blocks good as `valid_run` sees it.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad entry.
    pub fn check_entries(
        &self,
        first: Option<LogicalBlock>,
        limit: LogicalBlock,
        valid_run: impl Fn(PhysicalBlock, u32) -> bool,
    ) -> Result<(), Problem> {
        if let Some(first) = first {
            self.check_first(first)?;
        }
        let mut free_from = LogicalBlock(0);
        for entry in self.entries {
            let key = entry.key();
            let out_of_order = Problem::new("extent entry out of order", u64::from(key.0));
            if key < free_from {
                return Err(out_of_order);
            }
            let (place, len) = if self.depth == 0 {
                let extent = entry.extent()?;
                free_from = extent.end();
                (extent.at(), extent.len())
            } else {
                free_from = key.checked_add(1).ok_or(out_of_order)?;
                (entry.index().child, 1)
            };
            if free_from > limit {
                return Err(Problem::new(
                    "extent entry beyond its node's range",
                    u64::from(key.0),
                ));
            }
            if !valid_run(place, len) {
                return Err(Problem::new("extent entry with bad blocks", place.0));
            }
        }
        Ok(())
    }
}

/// The byte range of the checksum in a node with room for `max` entries.
fn tail_range(max: usize) -> Option<core::ops::Range<usize>> {
    let start = max.checked_mul(ENTRY_BYTES)?.checked_add(HEADER_BYTES)?;
    Some(start..start.checked_add(TAIL_BYTES)?)
}

/// Splits a node in a block into the bytes under the checksum and the checksum.
fn split_tail(bytes: &[u8], max: usize) -> Option<(&[u8], [u8; TAIL_BYTES])> {
    let range = tail_range(max)?;
    let tail = bytes.get(range.clone())?.try_into().ok()?;
    Some((bytes.get(..range.start)?, tail))
}

/// Checks the checksum of a node in a block, as parsed from the same `bytes`.
///
/// # Errors
///
/// The checksum is not that of the bytes under the inode's `seed`.
pub fn check_checksum(bytes: &[u8], node: &Node<'_>, seed: u32) -> Result<(), Problem> {
    let Some((covered, tail)) = split_tail(bytes, node.max()) else {
        return Err(Problem::new("bad extent node capacity", node.max() as u64));
    };
    let stored = u32::from_le_bytes(tail);
    if stored == crate::crc32c(seed, covered) {
        Ok(())
    } else {
        Err(Problem::checksum(stored))
    }
}

/// Stores the checksum of a node in a block. Nothing happens to one whose header leaves no room
/// for it, which [`Node::parse`] never lets through.
pub fn seal(bytes: &mut [u8], seed: u32) {
    let Ok((header, _)) = RawHeader::ref_from_prefix(bytes) else {
        return;
    };
    let max = usize::from(header.max.get());
    let Some((covered, _)) = split_tail(bytes, max) else {
        return;
    };
    let sum = crate::crc32c(seed, covered).to_le_bytes();
    if let Some(tail) = tail_range(max).and_then(|range| bytes.get_mut(range)) {
        tail.copy_from_slice(&sum);
    }
}

/// Makes `bytes` an empty node of `depth` with room for `max` entries. The entries' bytes and
/// the header's generation stay.
///
/// # Errors
///
/// `EINVAL` where `bytes` cannot hold them.
pub fn write_header(bytes: &mut [u8], depth: u16, max: usize) -> Result {
    if max > capacity(bytes.len()) {
        return Err(EINVAL);
    }
    let Ok((header, _)) = RawHeader::mut_from_prefix(bytes) else {
        return Err(EINVAL);
    };
    header.magic = U16::new(MAGIC);
    header.entries = U16::new(0);
    header.max = U16::new(u16::try_from(max)?);
    header.depth = U16::new(depth);
    Ok(())
}

/// Gives the entries of a node at `which` the keys that `key` makes of theirs.
///
/// # Errors
///
/// `EINVAL` where the node has not so many, with nothing changed; or where `key` has none for one,
/// with those before it changed.
pub fn rekey(
    bytes: &mut [u8],
    which: Range<usize>,
    key: impl Fn(LogicalBlock) -> Option<LogicalBlock>,
) -> Result {
    let Ok((header, rest)) = RawHeader::mut_from_prefix(bytes) else {
        return Err(EINVAL);
    };
    let count = usize::from(header.entries.get());
    let Ok((slots, _)) = <[RawEntry]>::mut_from_prefix_with_elems(rest, count) else {
        return Err(EINVAL);
    };
    for entry in slots.get_mut(which).ok_or(EINVAL)? {
        *entry = entry.with_key(key(entry.key()).ok_or(EINVAL)?);
    }
    Ok(())
}

/// Replaces `removed` entries of a node from the `from`th on by `new`, moving those behind.
///
/// # Errors
///
/// `EINVAL` where the node has not so many entries or not the room; nothing has changed then.
pub fn splice(bytes: &mut [u8], from: usize, removed: usize, new: &[RawEntry]) -> Result {
    let Ok((header, rest)) = RawHeader::mut_from_prefix(bytes) else {
        return Err(EINVAL);
    };
    let max = usize::from(header.max.get());
    let old_count = usize::from(header.entries.get());
    let Ok((slots, _)) = <[RawEntry]>::mut_from_prefix_with_elems(rest, max) else {
        return Err(EINVAL);
    };
    let kept_from = from.checked_add(removed).ok_or(EINVAL)?;
    let kept_to = from.checked_add(new.len()).ok_or(EINVAL)?;
    let kept = old_count.checked_sub(kept_from).ok_or(EINVAL)?;
    let new_count = kept_to.checked_add(kept).ok_or(EINVAL)?;
    if new_count > max || old_count > max {
        return Err(EINVAL);
    }
    slots.copy_within(kept_from..old_count, kept_to);
    slots
        .get_mut(from..kept_to)
        .ok_or(EINVAL)?
        .copy_from_slice(new);
    header.entries = U16::new(u16::try_from(new_count)?);
    Ok(())
}
