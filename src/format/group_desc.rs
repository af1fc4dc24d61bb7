// SPDX-License-Identifier: GPL-2.0

//! Group descriptors: where a group's bitmaps and inode table lie, and what is free in it.
//!
//! Owned by the `alloc` room, under the group's lock; descriptors share their block with their
//! neighbours, so only a descriptor's own bytes are ever edited.
//!
//! Format: `Documentation/filesystems/ext4/group_descr.rst`; C: `struct ext4_group_desc`.

use super::checksum::{crc16, crc32c_with_hole};
use super::features::incompat::FLEX_BG;
use super::geometry::{Geometry, GroupChecksum};
use super::problem::{ensure, Problem};
use super::units::{GroupNumber, PhysicalBlock};
use crate::crc32c;
use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

/// Bits of `bg_flags`; without group checksums they mean nothing and read as clear.
pub mod flags {
    /// Inode bitmap and table were never written: all inodes are free.
    pub const INODE_UNINIT: u16 = 0x1;
    /// The block bitmap was never written: only the group's own metadata is in use.
    pub const BLOCK_UNINIT: u16 = 0x2;
    /// The inode table is zeroed on disk.
    pub const INODE_ZEROED: u16 = 0x4;
}

/// The part of a descriptor that every file system has.
#[derive(
    Clone,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawLow {
    block_bitmap: U32,
    inode_bitmap: U32,
    inode_table: U32,
    free_blocks: U16,
    free_inodes: U16,
    used_dirs: U16,
    flags: U16,
    exclude_bitmap: U32,
    block_bitmap_csum: U16,
    inode_bitmap_csum: U16,
    itable_unused: U16,
    checksum: U16,
}

/// The upper halves, with `64bit`.
#[derive(
    Clone,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawHigh {
    block_bitmap: U32,
    inode_bitmap: U32,
    inode_table: U32,
    free_blocks: U16,
    free_inodes: U16,
    used_dirs: U16,
    itable_unused: U16,
    exclude_bitmap: U32,
    block_bitmap_csum: U16,
    inode_bitmap_csum: U16,
    reserved: U32,
}

const _: () = {
    assert!(size_of::<RawLow>() == 32);
    assert!(offset_of!(RawLow, flags) == 0x12);
    assert!(offset_of!(RawLow, itable_unused) == 0x1c);
    assert!(offset_of!(RawLow, checksum) == 0x1e);
    assert!(size_of::<RawHigh>() == 32);
    assert!(offset_of!(RawHigh, itable_unused) == 0x12);
    assert!(offset_of!(RawHigh, block_bitmap_csum) == 0x18);
};

/// Where the checksum lies in a descriptor.
const CHECKSUM_AT: usize = offset_of!(RawLow, checksum);

/// A group descriptor, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupDesc {
    /// The block bitmap's block.
    pub block_bitmap: PhysicalBlock,
    /// The inode bitmap's block.
    pub inode_bitmap: PhysicalBlock,
    /// The first block of the inode table, which has [`Geometry::inode_table_blocks`].
    pub inode_table: PhysicalBlock,
    /// Free blocks; at most the group's blocks.
    pub free_blocks: u32,
    /// Free inodes; at most the inodes of a group.
    pub free_inodes: u32,
    /// Directories among the group's inodes.
    pub used_dirs: u32,
    /// Inodes at the end of the table that were never used; the table need not be zeroed there.
    pub unused_inodes: u32,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Checksum of the block bitmap; only the low 16 bits with 32-byte descriptors.
    pub block_bitmap_csum: u32,
    /// Checksum of the inode bitmap; as above.
    pub inode_bitmap_csum: u32,
}

impl GroupDesc {
    /// Checks and converts the descriptor of `group`, [`Geometry::desc_size`] bytes long.
    ///
    /// # Errors
    ///
    /// A bad checksum; bitmaps or inode table outside the file system (without `flex_bg`, outside
    /// the group); counts larger than a group.
    pub fn parse(geo: &Geometry, group: GroupNumber, bytes: &[u8]) -> Result<Self, Problem> {
        let short = Problem::new("group descriptor is cut short", bytes.len() as u64);
        let bytes = bytes.get(..geo.desc_size.into()).ok_or(short)?;
        let (low, rest) = RawLow::ref_from_prefix(bytes).map_err(|_| short)?;
        let high = RawHigh::ref_from_prefix(rest).ok().map(|(high, _)| high);
        let found = low.checksum.get();
        if descriptor_checksum(geo, group, bytes).is_some_and(|sum| sum != found) {
            return Err(Problem::bad_checksum(
                "group descriptor checksum is wrong",
                found.into(),
            ));
        }
        let flags = match geo.group_checksum {
            GroupChecksum::None => 0,
            _ => low.flags.get(),
        };
        let desc = Self {
            block_bitmap: PhysicalBlock(wide(low.block_bitmap, high.map(|h| h.block_bitmap))),
            inode_bitmap: PhysicalBlock(wide(low.inode_bitmap, high.map(|h| h.inode_bitmap))),
            inode_table: PhysicalBlock(wide(low.inode_table, high.map(|h| h.inode_table))),
            free_blocks: joined(low.free_blocks, high.map(|h| h.free_blocks)),
            free_inodes: joined(low.free_inodes, high.map(|h| h.free_inodes)),
            used_dirs: joined(low.used_dirs, high.map(|h| h.used_dirs)),
            unused_inodes: joined(low.itable_unused, high.map(|h| h.itable_unused)),
            flags,
            block_bitmap_csum: joined(low.block_bitmap_csum, high.map(|h| h.block_bitmap_csum)),
            inode_bitmap_csum: joined(low.inode_bitmap_csum, high.map(|h| h.inode_bitmap_csum)),
        };
        desc.check(geo, group)?;
        Ok(desc)
    }

    fn check(&self, geo: &Geometry, group: GroupNumber) -> Result<(), Problem> {
        self.check_place(
            geo,
            group,
            self.block_bitmap,
            1,
            "block bitmap is misplaced",
        )?;
        self.check_place(
            geo,
            group,
            self.inode_bitmap,
            1,
            "inode bitmap is misplaced",
        )?;
        let table = geo.inode_table_blocks;
        self.check_place(
            geo,
            group,
            self.inode_table,
            table,
            "inode table is misplaced",
        )?;
        let inodes = geo.inodes_per_group;
        for (count, max, what) in [
            (
                self.free_blocks,
                geo.group_blocks(group),
                "too many free blocks in a group",
            ),
            (self.free_inodes, inodes, "too many free inodes in a group"),
            (self.used_dirs, inodes, "too many directories in a group"),
            (
                self.unused_inodes,
                inodes,
                "too many unused inodes in a group",
            ),
        ] {
            ensure(count <= max, Problem::new(what, count.into()))?;
        }
        Ok(())
    }

    /// `len` blocks at `at` must lie past the primary descriptors, inside the file system and,
    /// without `flex_bg`, inside the group.
    fn check_place(
        &self,
        geo: &Geometry,
        group: GroupNumber,
        at: PhysicalBlock,
        len: u32,
        what: &'static str,
    ) -> Result<(), Problem> {
        let end = at.checked_add(len.into());
        let inside = if geo.features.has_incompat(FLEX_BG) {
            at.0 > u64::from(geo.gdt_blocks) && end.is_some_and(|e| e.0 <= geo.blocks)
        } else {
            let base = geo.base_meta_blocks(group);
            let start = geo.group_start(group);
            let first = start.and_then(|s| s.checked_add(base.into()));
            let last = start.and_then(|s| s.checked_add(geo.group_blocks(group).into()));
            first.is_some_and(|f| at >= f) && end.is_some() && last.is_some() && end <= last
        };
        ensure(inside, Problem::new(what, at.0))
    }

    /// Writes the descriptor over `bytes`, leaves what ext4rs does not know as it is, and sets
    /// the checksum. `None`, and nothing written, where `bytes` are too short.
    #[must_use]
    pub fn encode(&self, geo: &Geometry, group: GroupNumber, bytes: &mut [u8]) -> Option<()> {
        let bytes = bytes.get_mut(..geo.desc_size.into())?;
        let (low, rest) = RawLow::mut_from_prefix(bytes).ok()?;
        low.block_bitmap = U32::new(self.block_bitmap.0 as u32);
        low.inode_bitmap = U32::new(self.inode_bitmap.0 as u32);
        low.inode_table = U32::new(self.inode_table.0 as u32);
        low.free_blocks = U16::new(self.free_blocks as u16);
        low.free_inodes = U16::new(self.free_inodes as u16);
        low.used_dirs = U16::new(self.used_dirs as u16);
        low.itable_unused = U16::new(self.unused_inodes as u16);
        if geo.group_checksum != GroupChecksum::None {
            low.flags = U16::new(self.flags);
        }
        low.block_bitmap_csum = U16::new(self.block_bitmap_csum as u16);
        low.inode_bitmap_csum = U16::new(self.inode_bitmap_csum as u16);
        if let Ok((high, _)) = RawHigh::mut_from_prefix(rest) {
            high.block_bitmap = U32::new((self.block_bitmap.0 >> 32) as u32);
            high.inode_bitmap = U32::new((self.inode_bitmap.0 >> 32) as u32);
            high.inode_table = U32::new((self.inode_table.0 >> 32) as u32);
            high.free_blocks = U16::new((self.free_blocks >> 16) as u16);
            high.free_inodes = U16::new((self.free_inodes >> 16) as u16);
            high.used_dirs = U16::new((self.used_dirs >> 16) as u16);
            high.itable_unused = U16::new((self.unused_inodes >> 16) as u16);
            high.block_bitmap_csum = U16::new((self.block_bitmap_csum >> 16) as u16);
            high.inode_bitmap_csum = U16::new((self.inode_bitmap_csum >> 16) as u16);
        }
        if let Some(sum) = descriptor_checksum(geo, group, bytes) {
            let (low, _) = RawLow::mut_from_prefix(bytes).ok()?;
            low.checksum = U16::new(sum);
        }
        Some(())
    }

    /// Whether `flag` of [`flags`] is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Checks the block bitmap `bits` (a block) against the descriptor.
    pub fn verify_block_bitmap(&self, geo: &Geometry, bits: &[u8]) -> Result<(), Problem> {
        match bitmap_checksum(geo, bits, geo.blocks_per_group) {
            Some(sum) if sum != self.block_bitmap_csum => Err(Problem::bad_checksum(
                "block bitmap checksum is wrong",
                self.block_bitmap_csum,
            )),
            _ => Ok(()),
        }
    }

    /// Checks the inode bitmap `bits` (a block) against the descriptor.
    pub fn verify_inode_bitmap(&self, geo: &Geometry, bits: &[u8]) -> Result<(), Problem> {
        match bitmap_checksum(geo, bits, geo.inodes_per_group) {
            Some(sum) if sum != self.inode_bitmap_csum => Err(Problem::bad_checksum(
                "inode bitmap checksum is wrong",
                self.inode_bitmap_csum,
            )),
            _ => Ok(()),
        }
    }

    /// Records the checksum of a changed block bitmap; [`encode`](Self::encode) it then.
    pub fn set_block_bitmap_csum(&mut self, geo: &Geometry, bits: &[u8]) {
        if let Some(sum) = bitmap_checksum(geo, bits, geo.blocks_per_group) {
            self.block_bitmap_csum = sum;
        }
    }

    /// Records the checksum of a changed inode bitmap; [`encode`](Self::encode) it then.
    pub fn set_inode_bitmap_csum(&mut self, geo: &Geometry, bits: &[u8]) {
        if let Some(sum) = bitmap_checksum(geo, bits, geo.inodes_per_group) {
            self.inode_bitmap_csum = sum;
        }
    }
}

/// The checksum of the first `count` bits of a bitmap, as wide as the descriptor keeps it; `None`
/// without `metadata_csum`.
fn bitmap_checksum(geo: &Geometry, bits: &[u8], count: u32) -> Option<u32> {
    if !geo.metadata_csum() {
        return None;
    }
    let bits = bits.get(..(count / 8) as usize).unwrap_or(bits);
    let sum = crc32c(geo.checksum_seed, bits);
    Some(if geo.desc_size < 64 {
        sum & 0xffff
    } else {
        sum
    })
}

fn descriptor_checksum(geo: &Geometry, group: GroupNumber, bytes: &[u8]) -> Option<u16> {
    let number = group.0.to_le_bytes();
    match geo.group_checksum {
        GroupChecksum::None => None,
        GroupChecksum::Crc32c => {
            let seed = crc32c(geo.checksum_seed, &number);
            Some(crc32c_with_hole(seed, bytes, CHECKSUM_AT, 2) as u16)
        }
        GroupChecksum::Crc16 => {
            let seed = crc16(crc16(!0, &geo.uuid), &number);
            let crc = crc16(seed, bytes.get(..CHECKSUM_AT)?);
            Some(crc16(crc, bytes.get(CHECKSUM_AT + 2..)?))
        }
    }
}

fn wide(lo: U32, hi: Option<U32>) -> u64 {
    u64::from(lo.get()) | (u64::from(hi.map_or(0, |h| h.get())) << 32)
}

fn joined(lo: U16, hi: Option<U16>) -> u32 {
    u32::from(lo.get()) | (u32::from(hi.map_or(0, |h| h.get())) << 16)
}
