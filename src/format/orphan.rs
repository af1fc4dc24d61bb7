// SPDX-License-Identifier: GPL-2.0

//! Blocks of the orphan file: slots that name inodes to be deleted or truncated after a crash.
//!
//! A block is an array of 32-bit inode numbers (0: free slot), a magic number and a checksum. The
//! blocks are metadata: changed under a handle, by the `super` room's orphan keeper.
//!
//! Format: `Documentation/filesystems/ext4/orphan.rst`.

use super::geometry::Geometry;
use super::le;
use super::problem::{ensure, Problem};
use super::units::{InodeNumber, PhysicalBlock};
use crate::crc32c;

/// `ob_magic`.
const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of magic and checksum at the end of a block.
const TAIL_SIZE: usize = 8;
/// The most blocks that an orphan file has.
pub const MAX_BLOCKS: u32 = 512;

/// Slots in a block of `block_size` bytes.
pub const fn slots_per_block(block_size: usize) -> usize {
    block_size.saturating_sub(TAIL_SIZE) / 4
}

/// Checks magic and checksum of the orphan file's block `at`. `seed` is
/// [`Geometry::inode_seed`] of the orphan file.
pub fn check_block(
    geo: &Geometry,
    seed: u32,
    at: PhysicalBlock,
    block: &[u8],
) -> Result<(), Problem> {
    let short = Problem::new("orphan block is cut short", block.len() as u64);
    let tail = slots_per_block(block.len()).saturating_mul(4);
    let magic = le::u32_at(block, tail).ok_or(short)?;
    ensure(
        magic == MAGIC,
        Problem::new("orphan block has a wrong magic", magic.into()),
    )?;
    let found = le::u32_at(block, tail.saturating_add(4)).ok_or(short)?;
    let good = !geo.metadata_csum() || found == checksum(seed, at, block);
    ensure(
        good,
        Problem::bad_checksum("orphan block checksum is wrong", found),
    )
}

/// Sets the checksum after edits; for file systems with `metadata_csum`.
pub fn seal_block(seed: u32, at: PhysicalBlock, block: &mut [u8]) {
    let sum = checksum(seed, at, block);
    let tail = slots_per_block(block.len()).saturating_mul(4);
    // In range for every block that `check_block` passed.
    let _ = le::put_u32(block, tail.saturating_add(4), sum);
}

/// The inode in slot `i`: `Some(None)` where the slot is free, `None` where there is no slot `i`.
pub fn slot(block: &[u8], i: usize) -> Option<Option<InodeNumber>> {
    if i >= slots_per_block(block.len()) {
        return None;
    }
    let ino = le::u32_at(block, i.checked_mul(4)?)?;
    Some((ino != 0).then_some(InodeNumber(ino)))
}

/// Writes slot `i`; `None`, and nothing written, where there is no such slot. The block is to be
/// [sealed](seal_block) before it goes to the disk.
#[must_use]
pub fn set_slot(block: &mut [u8], i: usize, ino: Option<InodeNumber>) -> Option<()> {
    if i >= slots_per_block(block.len()) {
        return None;
    }
    le::put_u32(block, i.checked_mul(4)?, ino.map_or(0, |ino| ino.0))
}

/// The inodes in a block, each with its slot.
pub fn orphans(block: &[u8]) -> impl Iterator<Item = (usize, InodeNumber)> + '_ {
    (0..slots_per_block(block.len())).filter_map(move |i| Some((i, slot(block, i)??)))
}

/// The checksum covers the block's place and its slots, not the magic.
fn checksum(seed: u32, at: PhysicalBlock, block: &[u8]) -> u32 {
    let slots = slots_per_block(block.len()).saturating_mul(4);
    let seed = crc32c(seed, &at.0.to_le_bytes());
    crc32c(seed, block.get(..slots).unwrap_or(block))
}
