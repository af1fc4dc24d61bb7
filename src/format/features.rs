// SPDX-License-Identifier: GPL-2.0

//! Feature bits of the superblock: their names, and which of them ext4rs knows.
//!
//! Three sets, three rules: an unknown *incompat* bit forbids the mount, an unknown *ro_compat*
//! bit forbids writing, an unknown *compat* bit is harmless.
//!
//! Format: `Documentation/filesystems/ext4/super.rst`.

use super::problem::Problem;

/// Features that a driver may ignore.
pub mod compat {
    #![allow(missing_docs)]
    pub const DIR_PREALLOC: u32 = 0x1;
    pub const IMAGIC_INODES: u32 = 0x2;
    pub const HAS_JOURNAL: u32 = 0x4;
    pub const EXT_ATTR: u32 = 0x8;
    pub const RESIZE_INODE: u32 = 0x10;
    pub const DIR_INDEX: u32 = 0x20;
    pub const SPARSE_SUPER2: u32 = 0x200;
    pub const FAST_COMMIT: u32 = 0x400;
    pub const STABLE_INODES: u32 = 0x800;
    pub const ORPHAN_FILE: u32 = 0x1000;
}

/// Features that a driver must know to mount at all.
pub mod incompat {
    #![allow(missing_docs)]
    pub const COMPRESSION: u32 = 0x1;
    pub const FILETYPE: u32 = 0x2;
    pub const RECOVER: u32 = 0x4;
    pub const JOURNAL_DEV: u32 = 0x8;
    pub const META_BG: u32 = 0x10;
    pub const EXTENTS: u32 = 0x40;
    pub const BITS_64: u32 = 0x80;
    pub const MMP: u32 = 0x100;
    pub const FLEX_BG: u32 = 0x200;
    pub const EA_INODE: u32 = 0x400;
    pub const DIRDATA: u32 = 0x1000;
    pub const CSUM_SEED: u32 = 0x2000;
    pub const LARGEDIR: u32 = 0x4000;
    pub const INLINE_DATA: u32 = 0x8000;
    pub const ENCRYPT: u32 = 0x10000;
    pub const CASEFOLD: u32 = 0x20000;

    /// What ext4rs mounts.
    pub const SUPPORTED: u32 = FILETYPE | RECOVER | EXTENTS | BITS_64 | FLEX_BG | CSUM_SEED;
    /// What ext4rs needs: it knows no other form of directory entry or block map.
    pub const REQUIRED: u32 = FILETYPE | EXTENTS;
}

/// Features that a driver must know to write.
pub mod ro_compat {
    #![allow(missing_docs)]
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const LARGE_FILE: u32 = 0x2;
    pub const BTREE_DIR: u32 = 0x4;
    pub const HUGE_FILE: u32 = 0x8;
    pub const GDT_CSUM: u32 = 0x10;
    pub const DIR_NLINK: u32 = 0x20;
    pub const EXTRA_ISIZE: u32 = 0x40;
    pub const QUOTA: u32 = 0x100;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    pub const READONLY: u32 = 0x1000;
    pub const PROJECT: u32 = 0x2000;
    pub const VERITY: u32 = 0x8000;
    pub const ORPHAN_PRESENT: u32 = 0x10000;

    /// What ext4rs mounts for writing.
    pub const SUPPORTED: u32 = SPARSE_SUPER
        | LARGE_FILE
        | HUGE_FILE
        | GDT_CSUM
        | DIR_NLINK
        | EXTRA_ISIZE
        | METADATA_CSUM
        | ORPHAN_PRESENT;
    /// What changes the meaning of the geometry itself, so that not even reading is safe.
    pub const NOT_EVEN_READ: u32 = BIGALLOC;
}

/// Names as `dumpe2fs` prints them.
const INCOMPAT_NAMES: [(u32, &str); 16] = [
    (incompat::COMPRESSION, "compression"),
    (incompat::FILETYPE, "filetype"),
    (incompat::RECOVER, "needs_recovery"),
    (incompat::JOURNAL_DEV, "journal_dev"),
    (incompat::META_BG, "meta_bg"),
    (incompat::EXTENTS, "extent"),
    (incompat::BITS_64, "64bit"),
    (incompat::MMP, "mmp"),
    (incompat::FLEX_BG, "flex_bg"),
    (incompat::EA_INODE, "ea_inode"),
    (incompat::DIRDATA, "dirdata"),
    (incompat::CSUM_SEED, "metadata_csum_seed"),
    (incompat::LARGEDIR, "large_dir"),
    (incompat::INLINE_DATA, "inline_data"),
    (incompat::ENCRYPT, "encrypt"),
    (incompat::CASEFOLD, "casefold"),
];

const RO_COMPAT_NAMES: [(u32, &str); 14] = [
    (ro_compat::SPARSE_SUPER, "sparse_super"),
    (ro_compat::LARGE_FILE, "large_file"),
    (ro_compat::BTREE_DIR, "btree_dir"),
    (ro_compat::HUGE_FILE, "huge_file"),
    (ro_compat::GDT_CSUM, "uninit_bg"),
    (ro_compat::DIR_NLINK, "dir_nlink"),
    (ro_compat::EXTRA_ISIZE, "extra_isize"),
    (ro_compat::QUOTA, "quota"),
    (ro_compat::BIGALLOC, "bigalloc"),
    (ro_compat::METADATA_CSUM, "metadata_csum"),
    (ro_compat::READONLY, "read-only"),
    (ro_compat::PROJECT, "project"),
    (ro_compat::VERITY, "verity"),
    (ro_compat::ORPHAN_PRESENT, "orphan_present"),
];

/// The file system by whose name a mount was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Generation {
    Ext2,
    Ext3,
    Ext4,
}

/// The three feature words of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Bits of [`compat`].
    pub compat: u32,
    /// Bits of [`incompat`].
    pub incompat: u32,
    /// Bits of [`ro_compat`].
    pub ro_compat: u32,
}

impl Features {
    /// Whether all of `bits` of [`compat`] are set.
    pub const fn has_compat(&self, bits: u32) -> bool {
        self.compat & bits == bits
    }

    /// Whether all of `bits` of [`incompat`] are set.
    pub const fn has_incompat(&self, bits: u32) -> bool {
        self.incompat & bits == bits
    }

    /// Whether all of `bits` of [`ro_compat`] are set.
    pub const fn has_ro_compat(&self, bits: u32) -> bool {
        self.ro_compat & bits == bits
    }

    /// Whether metadata carries CRC-32C checksums.
    pub const fn metadata_csum(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Whether ext4rs can mount at all; names the first feature that forbids it.
    pub fn check_mount(&self) -> Result<(), Problem> {
        let unknown = self.incompat & !incompat::SUPPORTED;
        if unknown != 0 {
            let name = first_name(&INCOMPAT_NAMES, unknown);
            return Err(Problem::unsupported(name, unknown.into()));
        }
        let unreadable = self.ro_compat & ro_compat::NOT_EVEN_READ;
        if unreadable != 0 {
            let name = first_name(&RO_COMPAT_NAMES, unreadable);
            return Err(Problem::unsupported(name, unreadable.into()));
        }
        if !self.has_incompat(incompat::FILETYPE) {
            return Err(Problem::unsupported("a file system without filetype", 0));
        }
        if !self.has_incompat(incompat::EXTENTS) {
            return Err(Problem::unsupported("a file system without extent", 0));
        }
        Ok(())
    }

    /// Whether `generation` has all of the features; names the first that it has not.
    pub fn check_generation(&self, generation: Generation, read_only: bool) -> Result<(), Problem> {
        const INCOMPAT: u32 = incompat::FILETYPE | incompat::META_BG;
        const RO_COMPAT: u32 =
            ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | ro_compat::BTREE_DIR;
        let known = match generation {
            Generation::Ext4 => return Ok(()),
            Generation::Ext3 => INCOMPAT | incompat::RECOVER,
            Generation::Ext2 => INCOMPAT,
        };
        if generation == Generation::Ext3 && !self.has_compat(compat::HAS_JOURNAL) {
            return Err(Problem::unsupported("an ext3 without a journal", 0));
        }
        let newer = self.incompat & !known;
        if newer != 0 {
            let name = first_name(&INCOMPAT_NAMES, newer);
            return Err(Problem::unsupported(name, newer.into()));
        }
        let newer = self.ro_compat & !RO_COMPAT;
        if newer != 0 && !read_only {
            let name = first_name(&RO_COMPAT_NAMES, newer);
            return Err(Problem::unsupported(name, newer.into()));
        }
        Ok(())
    }

    /// Whether ext4rs can mount for writing; names the first feature that forbids it.
    pub fn check_write(&self) -> Result<(), Problem> {
        let unknown = self.ro_compat & !ro_compat::SUPPORTED;
        if unknown != 0 {
            let name = first_name(&RO_COMPAT_NAMES, unknown);
            return Err(Problem::unsupported(name, unknown.into()));
        }
        Ok(())
    }
}

fn first_name(names: &[(u32, &'static str)], bits: u32) -> &'static str {
    names
        .iter()
        .find(|(bit, _)| bits & bit != 0)
        .map_or("a feature without a known name", |(_, name)| name)
}
