// SPDX-License-Identifier: GPL-2.0

//! Extended attributes on disk.
//!
//! Attributes lie behind the fields of an inode, in one block that inodes with equal attributes
//! may share (it counts them), or both. Both lists are alike: entries with the names from the
//! start, ended by a zero word; values from the end.
//!
//! - here: the attribute block's header;
//! - [`list`]: a safe look at a list of attributes;
//! - [`set`]: all attributes of an inode, changed and written as lists again.
//!
//! Format: `Documentation/filesystems/ext4/attributes.rst`.

pub mod list;
pub mod set;

pub use list::{start_in_inode, Attribute, Attributes};
pub use set::{AttributeSet, Place};

use super::checksum::crc32c_with_hole;
use super::geometry::Geometry;
use super::problem::{ensure, Problem};
use super::units::PhysicalBlock;
use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

/// What the names of attributes begin with, as numbers.
pub mod prefix {
    /// `user.`
    pub const USER: u8 = 1;
    /// `system.posix_acl_access`, the whole name.
    pub const ACL_ACCESS: u8 = 2;
    /// `system.posix_acl_default`, the whole name.
    pub const ACL_DEFAULT: u8 = 3;
    /// `trusted.`
    pub const TRUSTED: u8 = 4;
    /// `security.`
    pub const SECURITY: u8 = 6;
}

/// `h_magic`, of a block and of the list in an inode.
const MAGIC: u32 = 0xea02_0000;
/// Lists in an inode begin after the magic.
const IN_INODE_HEADER: usize = 4;
/// Lists in a block begin after the header.
const IN_BLOCK_HEADER: usize = size_of::<RawHeader>();
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

/// Bytes of an entry, with its name.
fn entry_bytes(name: &[u8]) -> usize {
    padded(size_of::<RawEntry>().saturating_add(name.len()))
}

/// Entries and values take whole words.
fn padded(bytes: usize) -> usize {
    bytes.saturating_add(3) & !3
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

    /// Writes the header and sets the checksum; `None` where `block` is too short.
    #[must_use]
    pub fn encode(&self, geo: &Geometry, at: PhysicalBlock, block: &mut [u8]) -> Option<()> {
        let (raw, _) = RawHeader::mut_from_prefix(block).ok()?;
        raw.magic = U32::new(MAGIC);
        raw.blocks = U32::new(1);
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
