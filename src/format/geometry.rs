// SPDX-License-Identifier: GPL-2.0

//! The shape of a file system: what the superblock says, checked once and typed.
//!
//! Everything else in the module takes a [`Geometry`] and trusts it; nothing goes back to the raw
//! superblock for a size or a count. It never changes while mounted.

use super::block_size::{self, BlockSize};
use super::features::{compat, incompat, ro_compat, Features};
use super::problem::{ensure, Problem};
use super::superblock::{flags, RawSuperblock, CHECKSUM_CRC32C, DYNAMIC_REVISION, MAGIC};
use super::units::{GroupNumber, InodeNumber, PhysicalBlock};
use crate::crc32c;
use core::ops::Range;

/// Bytes of the smallest inode, and of the part that all inodes share.
pub const GOOD_OLD_INODE_SIZE: u16 = 128;
/// The first inode that is not reserved, at the least.
const GOOD_OLD_FIRST_INODE: u32 = 11;
/// Block numbers have at most this many bits in an extent.
const MAX_BLOCK_BITS: u32 = 48;
/// Bytes after the first 128 that current ext4 uses of an inode.
const CURRENT_EXTRA_ISIZE: u16 = 32;

/// The inode of the root directory.
pub const ROOT_INODE: InodeNumber = InodeNumber(2);

/// How group descriptors are checksummed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupChecksum {
    /// Not at all; then the `UNINIT` flags of a group mean nothing either.
    None,
    /// `uninit_bg`: CRC-16.
    Crc16,
    /// `metadata_csum`: the low half of a CRC-32C.
    Crc32c,
}

/// The checked shape of a file system.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// The feature words at mount; `super` keeps the changing bits (`needs_recovery`).
    pub features: Features,
    /// The block size.
    pub block_size: BlockSize,
    /// Blocks of the file system; at most 2^48 and at most what the device holds.
    pub blocks: u64,
    /// Blocks kept for the privileged.
    pub reserved_blocks: u64,
    /// The first block that belongs to group 0, and holds the superblock: 1 with blocks of 1 KiB,
    /// which leave the first one to a boot loader, else 0.
    pub first_data_block: PhysicalBlock,
    /// Number of groups; at least 1.
    pub groups: u32,
    /// Blocks of every group but the last; a multiple of 8.
    pub blocks_per_group: u32,
    /// Inodes of every group; a multiple of 8, and of [`Geometry::inodes_per_block`].
    pub inodes_per_group: u32,
    /// Inodes of the file system; `groups * inodes_per_group`.
    pub inodes: u32,
    /// Bytes of an inode: a power of two from 128 to the block size.
    pub inode_size: u16,
    /// Inodes in a block of an inode table; at least 1.
    pub inodes_per_block: u32,
    /// Blocks of a group's inode table.
    pub inode_table_blocks: u32,
    /// The `extra_isize` of new inodes.
    pub want_extra_isize: u16,
    /// Bytes of a group descriptor: 32, or a power of two from 64 to 1024.
    pub desc_size: u16,
    /// Group descriptors in a block; at least 1.
    pub descs_per_block: u32,
    /// Blocks of a copy of the group descriptor table.
    pub gdt_blocks: u32,
    /// Blocks kept after each copy for growing it; 0 without `resize_inode`, which owns them.
    pub reserved_gdt_blocks: u32,
    /// Groups per flexible group: a power of two; 1 without `flex_bg`.
    pub flex_size: u32,
    /// Seed of all metadata checksums.
    pub checksum_seed: u32,
    /// How group descriptors are checksummed.
    pub group_checksum: GroupChecksum,
    /// The file system's UUID.
    pub uuid: [u8; 16],
    /// The first inode that may be allocated to a file.
    pub first_inode: InodeNumber,
    /// The journal's inode, with `has_journal` and an internal journal.
    pub journal_inode: Option<InodeNumber>,
    /// The orphan file's inode, with `orphan_file`.
    pub orphan_file_inode: Option<InodeNumber>,
    /// Seed of directory hashes; all zeroes selects the default seed.
    pub hash_seed: [u32; 4],
    /// Hash of new indexed directories: 0 legacy, 1 half MD4, 2 TEA.
    pub hash_version: u8,
    /// Whether directory hashes treat name bytes as unsigned.
    pub hash_unsigned: bool,
    /// The groups with backups, with `sparse_super2`.
    backup_groups: Option<[u32; 2]>,
}

impl Geometry {
    /// Checks `raw` against itself and against a device of `device_bytes` bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` problems for what is not ext4, is not supported or makes no sense; a checksum
    /// problem.
    pub fn parse(raw: &RawSuperblock, device_bytes: u64) -> Result<Self, Problem> {
        let features = check_identity(raw)?;
        let block_size = check_block_size(raw)?;
        let block_bytes = 1u32 << block_size.bits();
        let inode_size = check_inode_size(raw, block_size)?;
        let desc_size = check_desc_size(raw, &features)?;
        let descs_per_block = block_bytes / u32::from(desc_size);
        let blocks_per_group = check_blocks_per_group(raw, block_size)?;
        let inodes_per_block = block_bytes / u32::from(inode_size);
        let inodes_per_group = check_inodes_per_group(raw, block_size, inodes_per_block)?;
        let (blocks, first) = check_blocks(raw, block_size, device_bytes)?;

        let groups = (blocks - u64::from(first)).div_ceil(blocks_per_group.into());
        let groups = u32::try_from(groups)
            .ok()
            .filter(|g| g.checked_add(descs_per_block).is_some())
            .ok_or(Problem::invalid("too many block groups", groups))?;
        let inodes = groups
            .checked_mul(inodes_per_group)
            .filter(|n| *n == raw.inodes_count.get())
            .ok_or(Problem::invalid(
                "inode count does not match the number of groups",
                raw.inodes_count.get().into(),
            ))?;

        let sparse2 = features.has_compat(compat::SPARSE_SUPER2);
        let mut geo = Self {
            features,
            block_size,
            blocks,
            reserved_blocks: raw.reserved_blocks_count(),
            first_data_block: PhysicalBlock(first.into()),
            groups,
            blocks_per_group,
            inodes_per_group,
            inodes,
            inode_size,
            inodes_per_block,
            inode_table_blocks: inodes_per_group / inodes_per_block,
            want_extra_isize: check_extra_isize(raw, &features, inode_size)?,
            desc_size,
            descs_per_block,
            gdt_blocks: groups.div_ceil(descs_per_block),
            reserved_gdt_blocks: reserved_gdt_blocks(raw, &features),
            flex_size: check_flex_size(raw, &features)?,
            checksum_seed: checksum_seed(raw, &features),
            group_checksum: group_checksum(&features),
            uuid: raw.uuid,
            first_inode: InodeNumber(raw.first_ino.get()),
            journal_inode: None,
            orphan_file_inode: None,
            hash_seed: raw.hash_seed.map(|word| word.get()),
            hash_version: raw.def_hash_version,
            hash_unsigned: raw.flags.get() & flags::UNSIGNED_HASH != 0,
            backup_groups: sparse2.then(|| raw.backup_bgs.map(|group| group.get())),
        };
        geo.check_whole(raw)?;
        geo.set_special_inodes(raw)?;
        Ok(geo)
    }

    /// Checks that need several fields at once.
    fn check_whole(&self, raw: &RawSuperblock) -> Result<(), Problem> {
        ensure(
            self.reserved_blocks <= self.blocks,
            Problem::invalid("more reserved blocks than blocks", self.reserved_blocks),
        )?;
        ensure(
            self.reserved_gdt_blocks as usize <= self.block_size.as_usize() / 4,
            Problem::invalid(
                "too many reserved group descriptor blocks",
                self.reserved_gdt_blocks.into(),
            ),
        )?;
        ensure(
            self.base_meta_blocks(GroupNumber(0)) < self.group_blocks(GroupNumber(0)),
            Problem::invalid(
                "group descriptors do not fit into the first group",
                self.gdt_blocks.into(),
            ),
        )?;
        ensure(
            self.inode_table_blocks < self.blocks_per_group,
            Problem::invalid(
                "an inode table does not fit into its group",
                self.inode_table_blocks.into(),
            ),
        )?;
        ensure(
            self.first_inode.0 >= GOOD_OLD_FIRST_INODE && self.first_inode.0 <= self.inodes,
            Problem::invalid("bad first inode", self.first_inode.0.into()),
        )?;
        ensure(
            self.hash_version <= 2,
            Problem::invalid(
                "bad default hash of directories",
                raw.def_hash_version.into(),
            ),
        )
    }

    fn set_special_inodes(&mut self, raw: &RawSuperblock) -> Result<(), Problem> {
        let journal = raw.journal_inum.get();
        if self.features.has_compat(compat::HAS_JOURNAL) && journal != 0 {
            ensure(
                journal > ROOT_INODE.0 && journal <= self.inodes,
                Problem::invalid("bad journal inode", journal.into()),
            )?;
            self.journal_inode = Some(InodeNumber(journal));
        }
        let orphans = raw.orphan_file_inum.get();
        if self.features.has_compat(compat::ORPHAN_FILE) {
            ensure(
                orphans > ROOT_INODE.0 && orphans <= self.inodes,
                Problem::invalid("bad orphan file inode", orphans.into()),
            )?;
            self.orphan_file_inode = Some(InodeNumber(orphans));
        }
        Ok(())
    }

    /// The longest file that 32-bit logical blocks address, in bytes.
    pub fn max_file_size(&self) -> u64 {
        self.block_size.bytes_of(u32::MAX.into())
    }

    /// How long a file may become, in bytes: without `huge_file` its blocks are counted in 32 bits,
    /// in sectors.
    pub fn size_limit(&self) -> u64 {
        if self.features.has_ro_compat(ro_compat::HUGE_FILE) {
            return self.max_file_size();
        }
        self.block_size.start_of(u64::from(u32::MAX) << 9)
    }

    /// Whether metadata carries CRC-32C checksums.
    pub fn metadata_csum(&self) -> bool {
        self.features.metadata_csum()
    }

    /// The checksum seed of the metadata of an inode: its extent blocks, directory blocks and the
    /// inode itself.
    pub fn inode_seed(&self, ino: InodeNumber, generation: u32) -> u32 {
        let seed = crc32c(self.checksum_seed, &ino.0.to_le_bytes());
        crc32c(seed, &generation.to_le_bytes())
    }

    /// The first block of `group`; `None` for a group that does not exist.
    pub fn group_start(&self, group: GroupNumber) -> Option<PhysicalBlock> {
        if group.0 >= self.groups {
            return None;
        }
        let offset = u64::from(group.0).checked_mul(self.blocks_per_group.into())?;
        self.first_data_block.checked_add(offset)
    }

    /// Blocks of `group`: fewer for the last one, 0 for a group that does not exist.
    pub fn group_blocks(&self, group: GroupNumber) -> u32 {
        let rest = self
            .group_start(group)
            .and_then(|start| self.blocks.checked_sub(start.0))
            .unwrap_or(0);
        u32::try_from(rest).map_or(self.blocks_per_group, |r| r.min(self.blocks_per_group))
    }

    /// The group of `block` and the block's bit in its bitmap; `None` outside the file system.
    pub fn group_of(&self, block: PhysicalBlock) -> Option<(GroupNumber, u32)> {
        if block.0 >= self.blocks {
            return None;
        }
        let offset = block.distance_from(self.first_data_block)?;
        let per_group = u64::from(self.blocks_per_group);
        let group = u32::try_from(offset.checked_div(per_group)?).ok()?;
        let bit = u32::try_from(offset.checked_rem(per_group)?).ok()?;
        Some((GroupNumber(group), bit))
    }

    /// Whether `len` blocks from `start` lie in the file system, past the superblock.
    pub fn contains(&self, start: PhysicalBlock, len: u64) -> bool {
        start > self.first_data_block
            && start
                .checked_add(len)
                .is_some_and(|end| end.0 <= self.blocks)
    }

    /// Whether `ino` is the number of an inode of this file system.
    pub fn contains_inode(&self, ino: InodeNumber) -> bool {
        ino.0 >= 1 && ino.0 <= self.inodes
    }

    /// Whether `ino` may belong to a file in the tree: the root, or neither reserved nor the file
    /// system's own.
    pub fn is_file_inode(&self, ino: InodeNumber) -> bool {
        let reserved = ino < self.first_inode
            || self.journal_inode == Some(ino)
            || self.orphan_file_inode == Some(ino);
        ino == ROOT_INODE || (!reserved && ino.0 <= self.inodes)
    }

    /// The group of an inode and its bit in the inode bitmap; `None` for no inode's number.
    pub fn inode_group(&self, ino: InodeNumber) -> Option<(GroupNumber, u32)> {
        if !self.contains_inode(ino) {
            return None;
        }
        let index = ino.0.checked_sub(1)?;
        Some((
            GroupNumber(index.checked_div(self.inodes_per_group)?),
            index.checked_rem(self.inodes_per_group)?,
        ))
    }

    /// The inode at `bit` of the inode bitmap of `group`.
    pub fn inode_at(&self, group: GroupNumber, bit: u32) -> Option<InodeNumber> {
        if group.0 >= self.groups || bit >= self.inodes_per_group {
            return None;
        }
        let first = group.0.checked_mul(self.inodes_per_group)?;
        Some(InodeNumber(first.checked_add(bit)?.checked_add(1)?))
    }

    /// Where an inode lies: its group, the block in that group's inode table, the bytes in it.
    pub fn inode_location(&self, ino: InodeNumber) -> Option<(GroupNumber, u32, Range<usize>)> {
        let (group, bit) = self.inode_group(ino)?;
        let block = bit.checked_div(self.inodes_per_block)?;
        let slot = bit.checked_rem(self.inodes_per_block)? as usize;
        let start = slot.checked_mul(self.inode_size.into())?;
        Some((
            group,
            block,
            start..start.checked_add(self.inode_size.into())?,
        ))
    }

    /// Where the (primary) descriptor of a group lies: block, and bytes in it.
    pub fn desc_location(&self, group: GroupNumber) -> Option<(PhysicalBlock, Range<usize>)> {
        if group.0 >= self.groups {
            return None;
        }
        let index = group.0.checked_div(self.descs_per_block)?;
        let slot = group.0.checked_rem(self.descs_per_block)? as usize;
        let block = self
            .first_data_block
            .checked_add(u64::from(index).checked_add(1)?)?;
        let start = slot.checked_mul(self.desc_size.into())?;
        Some((block, start..start.checked_add(self.desc_size.into())?))
    }

    /// Whether `group` begins with a copy of superblock and group descriptors.
    pub fn has_super(&self, group: GroupNumber) -> bool {
        let n = group.0;
        if n == 0 {
            return true;
        }
        if let Some(backups) = self.backup_groups {
            return backups.contains(&n);
        }
        if n == 1 || !self.features.has_ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        is_power_of(n, 3) || is_power_of(n, 5) || is_power_of(n, 7)
    }

    /// Blocks at the start of `group` taken by a superblock, group descriptors and their reserve.
    pub fn base_meta_blocks(&self, group: GroupNumber) -> u32 {
        if !self.has_super(group) {
            return 0;
        }
        self.gdt_blocks
            .saturating_add(self.reserved_gdt_blocks)
            .saturating_add(1)
    }

    /// The flexible group of a group.
    pub fn flex_group(&self, group: GroupNumber) -> u32 {
        group.0.checked_div(self.flex_size).unwrap_or(group.0)
    }
}

/// Whether `n` is `base` to some power from 1 up.
fn is_power_of(mut n: u32, base: u32) -> bool {
    while n > base && n % base == 0 {
        n /= base;
    }
    n == base
}

fn check_identity(raw: &RawSuperblock) -> Result<Features, Problem> {
    let magic = raw.magic.get();
    ensure(
        magic == MAGIC,
        Problem::invalid("not an ext4 file system: wrong magic", magic.into()),
    )?;
    let revision = raw.rev_level.get();
    ensure(
        revision == DYNAMIC_REVISION,
        Problem::unsupported("revision of the superblock", revision.into()),
    )?;
    let features = raw.features();
    features.check_mount()?;
    if features.metadata_csum() {
        ensure(
            raw.checksum_type == CHECKSUM_CRC32C,
            Problem::unsupported("checksum type", raw.checksum_type.into()),
        )?;
    }
    raw.verify_checksum()?;
    Ok(features)
}

fn check_block_size(raw: &RawSuperblock) -> Result<BlockSize, Problem> {
    let log = raw.log_block_size.get();
    ensure(
        log <= 6,
        Problem::invalid("absurd block size (log2 of KiB)", log.into()),
    )?;
    let size = BlockSize::from_bits(log + 10).ok_or(Problem::unsupported(
        "a block size of more than 4096 bytes",
        u64::from(block_size::SMALLEST) << log,
    ))?;
    let cluster = raw.log_cluster_size.get();
    ensure(
        cluster == log,
        Problem::invalid("cluster size differs from block size", cluster.into()),
    )?;
    Ok(size)
}

fn check_inode_size(raw: &RawSuperblock, block: BlockSize) -> Result<u16, Problem> {
    let size = raw.inode_size.get();
    ensure(
        size >= GOOD_OLD_INODE_SIZE
            && usize::from(size) <= block.as_usize()
            && size.is_power_of_two(),
        Problem::invalid("bad inode size", size.into()),
    )?;
    Ok(size)
}

fn check_extra_isize(
    raw: &RawSuperblock,
    features: &Features,
    inode_size: u16,
) -> Result<u16, Problem> {
    let room = inode_size.saturating_sub(GOOD_OLD_INODE_SIZE);
    if room == 0 {
        return Ok(0);
    }
    let mut want = CURRENT_EXTRA_ISIZE;
    if features.has_ro_compat(ro_compat::EXTRA_ISIZE) {
        for value in [raw.want_extra_isize.get(), raw.min_extra_isize.get()] {
            ensure(
                value <= room && value % 4 == 0,
                Problem::invalid("bad extra inode size", value.into()),
            )?;
            want = want.max(value);
        }
    }
    Ok(want)
}

fn check_desc_size(raw: &RawSuperblock, features: &Features) -> Result<u16, Problem> {
    if !features.has_incompat(incompat::BITS_64) {
        return Ok(32);
    }
    let size = raw.desc_size.get();
    ensure(
        (64..=1024).contains(&size) && size.is_power_of_two(),
        Problem::invalid("bad group descriptor size", size.into()),
    )?;
    Ok(size)
}

fn check_blocks_per_group(raw: &RawSuperblock, block: BlockSize) -> Result<u32, Problem> {
    let blocks = raw.blocks_per_group.get();
    ensure(
        (8..=block.bitmap_bits()).contains(&blocks) && blocks % 8 == 0,
        Problem::invalid("bad number of blocks per group", blocks.into()),
    )?;
    let clusters = raw.clusters_per_group.get();
    ensure(
        clusters == blocks,
        Problem::invalid("clusters per group differ from blocks", clusters.into()),
    )?;
    Ok(blocks)
}

fn check_inodes_per_group(
    raw: &RawSuperblock,
    block: BlockSize,
    per_block: u32,
) -> Result<u32, Problem> {
    let inodes = raw.inodes_per_group.get();
    ensure(
        (per_block.max(8)..=block.bitmap_bits()).contains(&inodes)
            && inodes % 8 == 0
            && inodes.checked_rem(per_block) == Some(0),
        Problem::invalid("bad number of inodes per group", inodes.into()),
    )?;
    Ok(inodes)
}

/// The number of blocks, and the first block, which is before the end.
fn check_blocks(
    raw: &RawSuperblock,
    block: BlockSize,
    device_bytes: u64,
) -> Result<(u64, u32), Problem> {
    let blocks = raw.blocks_count();
    ensure(
        blocks <= 1 << MAX_BLOCK_BITS,
        Problem::invalid("absurd number of blocks", blocks),
    )?;
    ensure(
        blocks <= block.whole_blocks(device_bytes),
        Problem::invalid("the device is smaller than the file system", blocks),
    )?;
    let first = raw.first_data_block.get();
    ensure(
        (first == 1) == (block.as_usize() == 1024) && first <= 1,
        Problem::invalid("bad first data block", first.into()),
    )?;
    ensure(
        u64::from(first) < blocks,
        Problem::invalid("the file system has no blocks", blocks),
    )?;
    Ok((blocks, first))
}

fn check_flex_size(raw: &RawSuperblock, features: &Features) -> Result<u32, Problem> {
    if !features.has_incompat(incompat::FLEX_BG) {
        return Ok(1);
    }
    let log = raw.log_groups_per_flex;
    1u32.checked_shl(log.into()).ok_or(Problem::invalid(
        "absurd number of groups per flexible group (log2)",
        log.into(),
    ))
}

fn reserved_gdt_blocks(raw: &RawSuperblock, features: &Features) -> u32 {
    if features.has_compat(compat::RESIZE_INODE) {
        raw.reserved_gdt_blocks.get().into()
    } else {
        0
    }
}

fn checksum_seed(raw: &RawSuperblock, features: &Features) -> u32 {
    if features.has_incompat(incompat::CSUM_SEED) {
        raw.checksum_seed.get()
    } else {
        crc32c(!0, &raw.uuid)
    }
}

fn group_checksum(features: &Features) -> GroupChecksum {
    if features.metadata_csum() {
        GroupChecksum::Crc32c
    } else if features.has_ro_compat(ro_compat::GDT_CSUM) {
        GroupChecksum::Crc16
    } else {
        GroupChecksum::None
    }
}
