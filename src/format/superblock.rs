// SPDX-License-Identifier: GPL-2.0

//! The superblock as it lies on disk.
//!
//! [`RawSuperblock`] is only bytes with names; [`Geometry`](super::Geometry) is what the rest of
//! the module uses. Fields that change at run time (state, counts, error record, orphan list) are
//! edited in place through the raw form by the `super` room, which then calls
//! [`RawSuperblock::set_checksum`].
//!
//! Format: `Documentation/filesystems/ext4/super.rst`; C: `struct ext4_super_block`.

use super::features::{ro_compat, Features};
use super::problem::Problem;
use crate::crc32c;
use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

/// Where the primary superblock begins on the device, in bytes.
pub const SUPERBLOCK_OFFSET: u64 = 1024;
/// Bytes of a superblock.
pub const SUPERBLOCK_SIZE: usize = 1024;
/// `s_magic` of every ext2, ext3 and ext4.
pub const MAGIC: u16 = 0xef53;
/// `s_rev_level` with variable inode sizes and feature words.
pub const DYNAMIC_REVISION: u32 = 1;
/// The only value of `s_checksum_type`: CRC-32C.
pub const CHECKSUM_CRC32C: u8 = 1;

/// Bits of `s_state`.
pub mod state {
    /// Unmounted cleanly.
    pub const VALID: u16 = 0x1;
    /// Errors were found.
    pub const ERROR: u16 = 0x2;
    /// Orphans are being recovered.
    pub const ORPHAN: u16 = 0x4;
    /// Fast commits are being replayed.
    pub const FAST_COMMIT_REPLAY: u16 = 0x20;
}

/// Values of `s_errors`: what to do when corruption is found.
pub mod errors {
    /// Go on.
    pub const CONTINUE: u16 = 1;
    /// Remount read-only.
    pub const REMOUNT_RO: u16 = 2;
    /// Panic.
    pub const PANIC: u16 = 3;
}

/// Bits of `s_default_mount_opts` (`EXT4_DEFM_*`): what holds where nothing is asked for.
pub mod default_option {
    /// `grpid`.
    pub const BSDGROUPS: u32 = 0x2;
    /// `nouid32`.
    pub const UID16: u32 = 0x10;
    /// The bits of `data=`.
    pub const DATA_MODE: u32 = 0x60;
    /// `data=journal`, of those.
    pub const DATA_JOURNAL: u32 = 0x20;
    /// `nobarrier`.
    pub const NOBARRIER: u32 = 0x100;
    /// `discard`.
    pub const DISCARD: u32 = 0x400;
    /// `nodelalloc`.
    pub const NODELALLOC: u32 = 0x800;
}

/// Bits of `s_flags`.
pub mod flags {
    /// Directory hashes treat name bytes as signed.
    pub const SIGNED_HASH: u32 = 0x1;
    /// Directory hashes treat name bytes as unsigned.
    pub const UNSIGNED_HASH: u32 = 0x2;
    /// A file system for testing development code.
    pub const TEST_FILESYSTEM: u32 = 0x4;
}

/// The superblock's 1024 bytes. Names are C's without the `s_`.
#[derive(
    Clone,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
#[allow(missing_docs)]
pub struct RawSuperblock {
    pub inodes_count: U32,
    pub blocks_count_lo: U32,
    pub r_blocks_count_lo: U32,
    pub free_blocks_count_lo: U32,
    pub free_inodes_count: U32,
    pub first_data_block: U32,
    pub log_block_size: U32,
    pub log_cluster_size: U32,
    pub blocks_per_group: U32,
    pub clusters_per_group: U32,
    pub inodes_per_group: U32,
    pub mtime: U32,
    pub wtime: U32,
    pub mnt_count: U16,
    pub max_mnt_count: U16,
    pub magic: U16,
    pub state: U16,
    pub errors: U16,
    pub minor_rev_level: U16,
    pub lastcheck: U32,
    pub checkinterval: U32,
    pub creator_os: U32,
    pub rev_level: U32,
    pub def_resuid: U16,
    pub def_resgid: U16,
    pub first_ino: U32,
    pub inode_size: U16,
    pub block_group_nr: U16,
    pub feature_compat: U32,
    pub feature_incompat: U32,
    pub feature_ro_compat: U32,
    pub uuid: [u8; 16],
    pub volume_name: [u8; 16],
    pub last_mounted: [u8; 64],
    pub algorithm_usage_bitmap: U32,
    pub prealloc_blocks: u8,
    pub prealloc_dir_blocks: u8,
    pub reserved_gdt_blocks: U16,
    pub journal_uuid: [u8; 16],
    pub journal_inum: U32,
    pub journal_dev: U32,
    pub last_orphan: U32,
    pub hash_seed: [U32; 4],
    pub def_hash_version: u8,
    pub jnl_backup_type: u8,
    pub desc_size: U16,
    pub default_mount_opts: U32,
    pub first_meta_bg: U32,
    pub mkfs_time: U32,
    pub jnl_blocks: [U32; 17],
    pub blocks_count_hi: U32,
    pub r_blocks_count_hi: U32,
    pub free_blocks_count_hi: U32,
    pub min_extra_isize: U16,
    pub want_extra_isize: U16,
    pub flags: U32,
    pub raid_stride: U16,
    pub mmp_update_interval: U16,
    pub mmp_block: U64,
    pub raid_stripe_width: U32,
    pub log_groups_per_flex: u8,
    pub checksum_type: u8,
    pub encryption_level: u8,
    pub reserved_pad: u8,
    pub kbytes_written: U64,
    pub snapshot_inum: U32,
    pub snapshot_id: U32,
    pub snapshot_r_blocks_count: U64,
    pub snapshot_list: U32,
    pub error_count: U32,
    pub first_error_time: U32,
    pub first_error_ino: U32,
    pub first_error_block: U64,
    pub first_error_func: [u8; 32],
    pub first_error_line: U32,
    pub last_error_time: U32,
    pub last_error_ino: U32,
    pub last_error_line: U32,
    pub last_error_block: U64,
    pub last_error_func: [u8; 32],
    pub mount_opts: [u8; 64],
    pub usr_quota_inum: U32,
    pub grp_quota_inum: U32,
    pub overhead_clusters: U32,
    pub backup_bgs: [U32; 2],
    pub encrypt_algos: [u8; 4],
    pub encrypt_pw_salt: [u8; 16],
    pub lpf_ino: U32,
    pub prj_quota_inum: U32,
    pub checksum_seed: U32,
    pub wtime_hi: u8,
    pub mtime_hi: u8,
    pub mkfs_time_hi: u8,
    pub lastcheck_hi: u8,
    pub first_error_time_hi: u8,
    pub last_error_time_hi: u8,
    pub first_error_errcode: u8,
    pub last_error_errcode: u8,
    pub encoding: U16,
    pub encoding_flags: U16,
    pub orphan_file_inum: U32,
    pub def_resuid_hi: U16,
    pub def_resgid_hi: U16,
    pub reserved: [U32; 93],
    pub checksum: U32,
}

const _: () = {
    assert!(size_of::<RawSuperblock>() == SUPERBLOCK_SIZE);
    assert!(offset_of!(RawSuperblock, magic) == 0x38);
    assert!(offset_of!(RawSuperblock, first_ino) == 0x54);
    assert!(offset_of!(RawSuperblock, uuid) == 0x68);
    assert!(offset_of!(RawSuperblock, journal_inum) == 0xe0);
    assert!(offset_of!(RawSuperblock, hash_seed) == 0xec);
    assert!(offset_of!(RawSuperblock, desc_size) == 0xfe);
    assert!(offset_of!(RawSuperblock, blocks_count_hi) == 0x150);
    assert!(offset_of!(RawSuperblock, log_groups_per_flex) == 0x174);
    assert!(offset_of!(RawSuperblock, error_count) == 0x194);
    assert!(offset_of!(RawSuperblock, mount_opts) == 0x200);
    assert!(offset_of!(RawSuperblock, checksum_seed) == 0x270);
    assert!(offset_of!(RawSuperblock, orphan_file_inum) == 0x280);
    assert!(offset_of!(RawSuperblock, checksum) == 0x3fc);
};

impl RawSuperblock {
    /// The superblock in `bytes`; `None` where they are shorter than a superblock.
    pub fn ref_from(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(sb, _)| sb)
    }

    /// The superblock in `bytes`, to edit in place; `None` where they are too short.
    pub fn mut_from(bytes: &mut [u8]) -> Option<&mut Self> {
        Self::mut_from_prefix(bytes).ok().map(|(sb, _)| sb)
    }

    /// The feature words.
    pub fn features(&self) -> Features {
        Features {
            compat: self.feature_compat.get(),
            incompat: self.feature_incompat.get(),
            ro_compat: self.feature_ro_compat.get(),
        }
    }

    fn has_checksum(&self) -> bool {
        self.feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0
    }

    fn computed_checksum(&self) -> u32 {
        let covered = offset_of!(RawSuperblock, checksum);
        crc32c(!0, self.as_bytes().get(..covered).unwrap_or(&[]))
    }

    /// Checks the checksum, where the file system has any.
    pub fn verify_checksum(&self) -> Result<(), Problem> {
        if self.has_checksum() && self.checksum.get() != self.computed_checksum() {
            return Err(Problem::bad_checksum(
                "superblock checksum is wrong",
                self.checksum.get(),
            ));
        }
        Ok(())
    }

    /// Sets the checksum after an edit, where the file system has any.
    pub fn set_checksum(&mut self) {
        if self.has_checksum() {
            self.checksum = U32::new(self.computed_checksum());
        }
    }

    /// Takes the record of errors (from `error_count` to before `mount_opts`) over from `other`, a
    /// superblock's bytes; the caller sets the checksum.
    pub fn restore_errors(&mut self, other: &[u8]) {
        let record = offset_of!(RawSuperblock, error_count)..offset_of!(RawSuperblock, mount_opts);
        if let (Some(to), Some(from)) = (
            self.as_mut_bytes().get_mut(record.clone()),
            other.get(record),
        ) {
            to.copy_from_slice(from);
        }
    }

    /// Blocks of the file system.
    pub fn blocks_count(&self) -> u64 {
        join(self.blocks_count_lo, self.high(self.blocks_count_hi))
    }

    /// Blocks kept for the privileged.
    pub fn reserved_blocks_count(&self) -> u64 {
        join(self.r_blocks_count_lo, self.high(self.r_blocks_count_hi))
    }

    /// Free blocks as of the last clean unmount; the group descriptors know better.
    pub fn free_blocks_count(&self) -> u64 {
        join(
            self.free_blocks_count_lo,
            self.high(self.free_blocks_count_hi),
        )
    }

    /// Records the number of free blocks; the caller sets the checksum.
    pub fn set_free_blocks_count(&mut self, blocks: u64) {
        self.free_blocks_count_lo = U32::new(blocks as u32);
        self.free_blocks_count_hi = U32::new((blocks >> 32) as u32);
    }

    /// The high half of a count: meaningful with `64bit` only.
    fn high(&self, hi: U32) -> u32 {
        if self
            .features()
            .has_incompat(super::features::incompat::BITS_64)
        {
            hi.get()
        } else {
            0
        }
    }
}

fn join(lo: U32, hi: u32) -> u64 {
    u64::from(lo.get()) | (u64::from(hi) << 32)
}
