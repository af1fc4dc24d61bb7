// SPDX-License-Identifier: GPL-2.0

//! The block size of a file system, and what turns bytes into blocks and back.

use super::units::LogicalBlock;
use core::ops::Range;

/// The smallest block that ext4 knows, in bytes.
pub const SMALLEST: u32 = 1 << SMALLEST_BITS;

const SMALLEST_BITS: u8 = 10;
/// A block is no larger than a page (x86-64's): a folio holds whole blocks.
const LARGEST_BITS: u8 = 12;

/// The block size: 1024, 2048 or 4096 bytes.
///
/// The shifts are `wrapping` ones because they never wrap, and so need no check in the write path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockSize {
    /// `log2` of the bytes.
    bits: u8,
}

impl BlockSize {
    /// The block of `1 << bits` bytes; `None` for a size that is not supported.
    #[inline]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < SMALLEST_BITS as u32 || bits > LARGEST_BITS as u32 {
            return None;
        }
        Some(Self { bits: bits as u8 })
    }

    /// As [`from_bits`](Self::from_bits), for what was a supported size when it was put away: the VFS
    /// keeps it with each inode.
    #[inline]
    pub const fn kept(bits: u8) -> Self {
        Self { bits }
    }

    /// `log2` of the bytes.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.bits as u32
    }

    /// Bytes of a block.
    #[inline]
    pub const fn bytes(self) -> u64 {
        1u64.wrapping_shl(self.bits())
    }

    /// Bytes of a block, as the length of a slice.
    #[inline]
    pub const fn as_usize(self) -> usize {
        1usize.wrapping_shl(self.bits())
    }

    /// Bits of a bitmap that fills a block.
    pub const fn bitmap_bits(self) -> u32 {
        8u32.wrapping_shl(self.bits())
    }

    /// `log2` of a block's sectors of 512 bytes, in which `i_blocks` counts.
    pub const fn sector_bits(self) -> u32 {
        self.bits().saturating_sub(9)
    }

    /// Bytes of so many blocks; all that fits 64 bits where they do not.
    #[inline]
    pub const fn bytes_of(self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.bytes())
    }

    /// How many whole blocks so many bytes are.
    #[inline]
    pub const fn whole_blocks(self, bytes: u64) -> u64 {
        bytes.wrapping_shr(self.bits())
    }

    /// The bits of a byte's number that say where in its block it lies.
    #[inline]
    const fn within(self) -> u64 {
        !u64::MAX.wrapping_shl(self.bits())
    }

    /// The start of the block that byte `pos` lies in.
    #[inline]
    pub const fn start_of(self, pos: u64) -> u64 {
        pos & !self.within()
    }

    /// The end of the block that byte `pos` lies in; `pos` itself where it lies between two blocks.
    #[inline]
    pub const fn end_of(self, pos: u64) -> u64 {
        self.start_of(pos.saturating_add(self.within()))
    }

    /// The first byte of a block of a file.
    #[inline]
    pub const fn byte_of(self, block: LogicalBlock) -> u64 {
        (block.0 as u64).wrapping_shl(self.bits())
    }

    /// The blocks that the bytes of `range` touch, as far as a file can have them: up to, and
    /// without, `end`.
    #[inline]
    pub fn blocks_of(self, range: Range<u64>, end: LogicalBlock) -> Range<LogicalBlock> {
        let clamp = |block: u64| u32::try_from(block).map_or(end, |n| LogicalBlock(n).min(end));
        let first = clamp(self.whole_blocks(range.start));
        let behind = clamp(self.whole_blocks(range.end.saturating_add(self.within())));
        first..behind.max(first)
    }
}
