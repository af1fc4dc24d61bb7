// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: the attribute block's header, and a safe look at lists of attributes.
//!
//! Attributes lie behind the fields of an inode, in one block that inodes with equal attributes
//! share (it counts them), or both. For now ext4rs reads them, and drops a share of the block
//! when it deletes an inode.
//!
//! Format: `Documentation/filesystems/ext4/attributes.rst`.

use super::checksum::crc32c_with_hole;
use super::geometry::{Geometry, GOOD_OLD_INODE_SIZE};
use super::le;
use super::problem::{ensure, Problem};
use super::units::PhysicalBlock;
use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

/// `h_magic`, of a block and of the list in an inode.
const MAGIC: u32 = 0xea02_0000;
/// Lists in an inode begin after the magic.
const IN_INODE_HEADER: usize = 4;
/// A block is shared by at most so many inodes.
pub const MAX_REFCOUNT: u32 = 1024;

#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    refcount: U32,
    blocks: U32,
    hash: U32,
    checksum: U32,
    reserved: [U32; 3],
}

#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawEntry {
    name_len: u8,
    name_index: u8,
    value_offset: U16,
    value_inode: U32,
    value_size: U32,
    hash: U32,
}

const _: () = {
    assert!(size_of::<RawHeader>() == 32);
    assert!(offset_of!(RawHeader, checksum) == 16);
    assert!(size_of::<RawEntry>() == 16);
};

/// The header of an attribute block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Inodes that share the block; at least 1.
    pub refcount: u32,
    /// Hash of all its attributes.
    pub hash: u32,
}

impl BlockHeader {
    /// Checks the header and the checksum of the attribute block `at`.
    pub fn parse(geo: &Geometry, at: PhysicalBlock, block: &[u8]) -> Result<Self, Problem> {
        let short = Problem::new("attribute block is cut short", block.len() as u64);
        let (raw, _) = RawHeader::ref_from_prefix(block).map_err(|_| short)?;
        let magic = raw.magic.get();
        ensure(
            magic == MAGIC,
            Problem::new("attribute block has a wrong magic", magic.into()),
        )?;
        let blocks = raw.blocks.get();
        ensure(
            blocks == 1,
            Problem::new("attribute block is not one block", blocks.into()),
        )?;
        let found = raw.checksum.get();
        let good = !geo.metadata_csum() || found == checksum(geo, at, block);
        ensure(
            good,
            Problem::bad_checksum("attribute block checksum is wrong", found),
        )?;
        let refcount = raw.refcount.get();
        ensure(
            refcount > 0 && refcount <= MAX_REFCOUNT,
            Problem::new("bad reference count of an attribute block", refcount.into()),
        )?;
        Ok(Self {
            refcount,
            hash: raw.hash.get(),
        })
    }

    /// Writes the header back and sets the checksum; `None` where `block` is too short.
    #[must_use]
    pub fn encode(&self, geo: &Geometry, at: PhysicalBlock, block: &mut [u8]) -> Option<()> {
        let (raw, _) = RawHeader::mut_from_prefix(block).ok()?;
        raw.refcount = U32::new(self.refcount);
        raw.hash = U32::new(self.hash);
        if geo.metadata_csum() {
            let sum = checksum(geo, at, block);
            let (raw, _) = RawHeader::mut_from_prefix(block).ok()?;
            raw.checksum = U32::new(sum);
        }
        Some(())
    }
}

fn checksum(geo: &Geometry, at: PhysicalBlock, block: &[u8]) -> u32 {
    let seed = crate::crc32c(geo.checksum_seed, &at.0.to_le_bytes());
    crc32c_with_hole(seed, block, offset_of!(RawHeader, checksum), 4)
}

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which prefix the name has: 1 `user.`, 2 and 3 the ACLs, 4 `trusted.`, 6 `security.` ...
    pub name_index: u8,
    /// The name after the prefix.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// The attributes of one list, each checked as it is reached.
pub struct Attributes<'a> {
    /// What value offsets count from.
    base: &'a [u8],
    /// Where the next entry begins in `base`; `None` at the end.
    next: Option<usize>,
}

impl<'a> Attributes<'a> {
    /// The list in an attribute block; check it with [`BlockHeader::parse`] first.
    pub fn in_block(block: &'a [u8]) -> Self {
        Self {
            base: block,
            next: Some(size_of::<RawHeader>()),
        }
    }

    /// The list in an inode of `extra_isize`, from all the inode's bytes; empty where there is
    /// none.
    pub fn in_inode(inode: &'a [u8], extra_isize: u16) -> Self {
        let at = usize::from(GOOD_OLD_INODE_SIZE) + usize::from(extra_isize);
        let has_list = le::u32_at(inode, at) == Some(MAGIC);
        Self {
            base: inode.get(at + IN_INODE_HEADER..).unwrap_or(&[]),
            next: has_list.then_some(0),
        }
    }

    fn step(&mut self, at: usize) -> Result<Option<Attribute<'a>>, Problem> {
        let bad = Problem::new("attribute list runs past its end", at as u64);
        if le::u32_at(self.base, at).ok_or(bad)? == 0 {
            return Ok(None);
        }
        let tail = self.base.get(at..).ok_or(bad)?;
        let (raw, rest) = RawEntry::ref_from_prefix(tail).map_err(|_| bad)?;
        let name = rest.get(..raw.name_len.into()).ok_or(bad)?;
        ensure(
            !name.contains(&0),
            Problem::new("attribute name holds a zero byte", at as u64),
        )?;
        let inode = raw.value_inode.get();
        ensure(
            inode == 0,
            Problem::new("attribute value in an inode", inode.into()),
        )?;
        let start = usize::from(raw.value_offset.get());
        let len = raw.value_size.get() as usize;
        let value = match len {
            0 => &[],
            _ => start
                .checked_add(len)
                .and_then(|end| self.base.get(start..end))
                .ok_or(Problem::new(
                    "attribute value outside its block",
                    start as u64,
                ))?,
        };
        let size = size_of::<RawEntry>().saturating_add(name.len());
        self.next = at.checked_add(size.next_multiple_of(4));
        Ok(Some(Attribute {
            name_index: raw.name_index,
            name,
            value,
        }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        self.step(at).transpose()
    }
}
