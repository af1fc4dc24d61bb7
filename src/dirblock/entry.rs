// SPDX-License-Identifier: GPL-2.0

//! Directory entries: reading them out of a block, with every field checked.
//!
//! A block is filled from end to end by entries; each says how long it is, and keeps what its
//! name does not need as free space. Inode 0 marks an entry that is all free. With
//! `metadata_csum` the last 12 bytes look like such an entry and hold the checksum.

use crate::crc32c;
use crate::format::le;
use crate::format::problem::{ensure, Problem};
use crate::format::units::InodeNumber;
use crate::format::Geometry;
use core::mem::size_of;
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

/// Bytes of an entry before its name.
pub(super) const HEADER_SIZE: usize = size_of::<RawEntry>();
/// Bytes of the smallest entry.
const MIN_SIZE: usize = needed(1);
/// Bytes of the checksum at the end of a leaf block.
const TAIL_SIZE: usize = 12;
/// The type that marks the checksum as no entry.
const TAIL_TYPE: u8 = 0xde;
/// The longest name, in bytes.
pub const NAME_MAX: usize = 255;

/// File types as entries have them; names are C's.
pub mod file_type {
    #![allow(missing_docs)]
    use crate::format::inode::mode;

    pub const UNKNOWN: u8 = 0;
    pub const REGULAR: u8 = 1;
    pub const DIRECTORY: u8 = 2;
    pub const CHAR: u8 = 3;
    pub const BLOCK: u8 = 4;
    pub const FIFO: u8 = 5;
    pub const SOCKET: u8 = 6;
    pub const SYMLINK: u8 = 7;

    /// The type for an inode's mode.
    pub fn from_mode(mode: u16) -> u8 {
        match mode & mode::TYPE {
            mode::REGULAR => REGULAR,
            mode::DIRECTORY => DIRECTORY,
            mode::CHAR => CHAR,
            mode::BLOCK => BLOCK,
            mode::FIFO => FIFO,
            mode::SOCKET => SOCKET,
            mode::SYMLINK => SYMLINK,
            _ => UNKNOWN,
        }
    }
}

#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
pub(super) struct RawEntry {
    pub inode: U32,
    pub rec_len: U16,
    pub name_len: u8,
    pub file_type: u8,
}

const _: () = assert!(size_of::<RawEntry>() == 8);

/// Bytes that an entry needs for a name of `name_len` bytes.
pub(super) const fn needed(name_len: usize) -> usize {
    (HEADER_SIZE + name_len).next_multiple_of(4)
}

/// An entry in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it begins in its block.
    pub offset: usize,
    /// The inode.
    pub inode: InodeNumber,
    /// A value of [`file_type`].
    pub file_type: u8,
    /// The name.
    pub name: &'a [u8],
}

/// A stretch of a block: an entry and the free space after its name, or all free.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    pub offset: usize,
    /// Bytes to the next slot.
    pub len: usize,
    pub entry: Option<Entry<'a>>,
}

impl Slot<'_> {
    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.entry.map_or(0, |entry| needed(entry.name.len()))
    }
}

/// What the blocks of one directory have in common.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Seed of the directory's checksums, with `metadata_csum`.
    pub(super) seed: Option<u32>,
    /// The highest inode number.
    max_inode: u32,
}

impl Layout {
    /// The layout of the directory `ino`.
    pub fn new(geo: &Geometry, ino: InodeNumber, generation: u32) -> Self {
        Self {
            seed: geo.metadata_csum().then(|| geo.inode_seed(ino, generation)),
            max_inode: geo.inodes,
        }
    }

    /// For blocks whose entries reach to their end: index roots.
    pub(super) const fn without_checksum(self) -> Self {
        Self { seed: None, ..self }
    }

    /// Where the entries of a leaf block of `len` bytes end.
    pub(super) fn entries_end(&self, len: usize) -> usize {
        match self.seed {
            Some(_) => len.saturating_sub(TAIL_SIZE),
            None => len,
        }
    }

    /// The slots of a leaf block.
    pub(super) fn slots<'a>(&self, block: &'a [u8]) -> Slots<'a> {
        Slots {
            block,
            next: 0,
            end: self.entries_end(block.len()),
            max_inode: self.max_inode,
        }
    }

    /// The entries in use of a leaf block, in their order. Ends after the first problem.
    pub fn entries<'a>(
        &self,
        block: &'a [u8],
    ) -> impl Iterator<Item = Result<Entry<'a>, Problem>> + 'a {
        self.slots(block)
            .filter_map(|slot| slot.map(|slot| slot.entry).transpose())
    }

    /// Checks all of a leaf block once it was read: checksum, every entry, every name.
    pub fn check_leaf(&self, block: &[u8]) -> Result<(), Problem> {
        if let Some(seed) = self.seed {
            let end = self.check_tail(block)?;
            let found = le::u32_at(block, end.saturating_add(8)).unwrap_or(0);
            let good = found == crc32c(seed, block.get(..end).unwrap_or(block));
            ensure(
                good,
                Problem::bad_checksum("directory block checksum is wrong", found),
            )?;
        }
        for entry in self.entries(block) {
            let entry = entry?;
            let good = !entry.name.contains(&0) && !entry.name.contains(&b'/');
            ensure(
                good,
                Problem::new(
                    "directory entry has an impossible name",
                    entry.offset as u64,
                ),
            )?;
        }
        Ok(())
    }

    /// With checksums: that a leaf block ends in one. Cheap; tells leaves from index nodes.
    pub(super) fn check_tail(&self, block: &[u8]) -> Result<usize, Problem> {
        let end = self.entries_end(block.len());
        if self.seed.is_some() {
            let bad = Problem::new("directory block has no room for its checksum", end as u64);
            let (tail, _) = block
                .get(end..)
                .and_then(|tail| RawEntry::ref_from_prefix(tail).ok())
                .ok_or(bad)?;
            let good = tail.inode.get() == 0
                && usize::from(tail.rec_len.get()) == TAIL_SIZE
                && tail.name_len == 0
                && tail.file_type == TAIL_TYPE;
            ensure(good, bad)?;
        }
        Ok(end)
    }

    /// Sets the checksum of a leaf block after an edit, where the file system has any.
    pub fn seal_leaf(&self, block: &mut [u8]) {
        let Some(seed) = self.seed else {
            return;
        };
        let end = self.entries_end(block.len());
        let sum = crc32c(seed, block.get(..end).unwrap_or(block));
        // In range: every block that gets here has its tail.
        let _ = le::put_u32(block, end.saturating_add(8), sum);
    }

    /// Writes the tail, without the checksum itself, of a new leaf block.
    pub(super) fn init_tail(&self, block: &mut [u8]) {
        if self.seed.is_none() {
            return;
        }
        let end = self.entries_end(block.len());
        if let Some(tail) = block.get_mut(end..) {
            tail.fill(0);
            if let Ok((tail, _)) = RawEntry::mut_from_prefix(tail) {
                tail.rec_len = U16::new(TAIL_SIZE as u16);
                tail.file_type = TAIL_TYPE;
            }
        }
    }
}

/// Iterates over the slots of a block; ends after the first problem.
pub(super) struct Slots<'a> {
    block: &'a [u8],
    next: usize,
    end: usize,
    max_inode: u32,
}

impl<'a> Slots<'a> {
    fn step(&self) -> Result<Slot<'a>, Problem> {
        let offset = self.next;
        let bad = |what| Problem::new(what, offset as u64);
        let tail = self
            .block
            .get(offset..self.end)
            .ok_or(bad("directory entry leaves its block"))?;
        let (raw, rest) =
            RawEntry::ref_from_prefix(tail).map_err(|_| bad("directory entry leaves its block"))?;
        let len = usize::from(raw.rec_len.get());
        let name_len = usize::from(raw.name_len);
        let inode = raw.inode.get();
        let left = tail
            .len()
            .checked_sub(len)
            .ok_or(bad("directory entry leaves its block"))?;
        ensure(len >= MIN_SIZE, bad("directory entry is too short"))?;
        ensure(len % 4 == 0, bad("directory entry has an odd length"))?;
        ensure(
            len >= needed(name_len),
            bad("directory entry is too short for its name"),
        )?;
        ensure(
            left == 0 || left >= MIN_SIZE,
            bad("directory entry ends too close to the end of its block"),
        )?;
        ensure(
            inode <= self.max_inode,
            bad("directory entry has an impossible inode number"),
        )?;
        ensure(
            inode == 0 || name_len > 0,
            bad("directory entry has no name"),
        )?;
        let name = rest
            .get(..name_len)
            .ok_or(bad("directory entry leaves its block"))?;
        let entry = (inode != 0).then_some(Entry {
            offset,
            inode: InodeNumber(inode),
            file_type: raw.file_type,
            name,
        });
        Ok(Slot { offset, len, entry })
    }
}

impl<'a> Iterator for Slots<'a> {
    type Item = Result<Slot<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let slot = self.step();
        self.next = match &slot {
            Ok(slot) => slot.offset.saturating_add(slot.len),
            Err(_) => self.end,
        };
        Some(slot)
    }
}
