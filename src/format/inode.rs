// SPDX-License-Identifier: GPL-2.0

//! Inodes on disk.
//!
//! [`DiskInode`] is the typed form, made by [`DiskInode::parse`] and written back by
//! [`DiskInode::encode`] over the old bytes, so that what ext4rs does not know (and extended
//! attributes kept in the inode) survives. Where an inode lies is
//! [`Geometry::inode_location`].
//!
//! Format: `Documentation/filesystems/ext4/inodes.rst`; C: `struct ext4_inode`.

use super::block_size::BlockSize;
use super::checksum::crc32c_with_hole;
use super::features::{compat, incompat, ro_compat};
use super::geometry::{Geometry, GOOD_OLD_INODE_SIZE};
use super::problem::{ensure, Problem};
pub use super::timestamp::Timestamp;
use super::units::{InodeNumber, PhysicalBlock};
use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

/// Bytes of `i_block`: an extent root, block numbers, or a short symlink's target.
pub const I_BLOCK_SIZE: usize = 60;
/// The longest path a symlink holds in [`DiskInode::i_block`], in bytes.
pub const FAST_SYMLINK_MAX: u64 = I_BLOCK_SIZE as u64 - 1;

/// Bits of `i_flags`; names are C's.
pub mod flags {
    #![allow(missing_docs)]
    pub const SECRM: u32 = 0x1;
    pub const UNRM: u32 = 0x2;
    pub const COMPR: u32 = 0x4;
    pub const SYNC: u32 = 0x8;
    pub const IMMUTABLE: u32 = 0x10;
    pub const APPEND: u32 = 0x20;
    pub const NODUMP: u32 = 0x40;
    pub const NOATIME: u32 = 0x80;
    pub const DIRTY: u32 = 0x100;
    pub const COMPRBLK: u32 = 0x200;
    pub const NOCOMPR: u32 = 0x400;
    pub const ENCRYPT: u32 = 0x800;
    pub const INDEX: u32 = 0x1000;
    pub const JOURNAL_DATA: u32 = 0x4000;
    pub const NOTAIL: u32 = 0x8000;
    pub const DIRSYNC: u32 = 0x1_0000;
    pub const TOPDIR: u32 = 0x2_0000;
    pub const HUGE_FILE: u32 = 0x4_0000;
    pub const EXTENTS: u32 = 0x8_0000;
    pub const VERITY: u32 = 0x10_0000;
    pub const EA_INODE: u32 = 0x20_0000;
    pub const EOFBLOCKS: u32 = 0x40_0000;
    pub const DAX: u32 = 0x200_0000;
    pub const INLINE_DATA: u32 = 0x1000_0000;
    pub const PROJINHERIT: u32 = 0x2000_0000;
    pub const CASEFOLD: u32 = 0x4000_0000;

    /// What a new inode takes over from its directory.
    pub const INHERITED: u32 = SECRM
        | UNRM
        | COMPR
        | SYNC
        | NODUMP
        | NOATIME
        | NOCOMPR
        | JOURNAL_DATA
        | NOTAIL
        | DIRSYNC
        | PROJINHERIT
        | CASEFOLD
        | DAX;
    /// What `chattr` may change, as far as the file system can do it.
    pub const CHANGEABLE: u32 = SECRM
        | UNRM
        | COMPR
        | SYNC
        | IMMUTABLE
        | APPEND
        | NODUMP
        | NOATIME
        | JOURNAL_DATA
        | NOTAIL
        | DIRSYNC
        | TOPDIR
        | EXTENTS
        | EOFBLOCKS
        | DAX
        | PROJINHERIT
        | CASEFOLD;
    /// What `lsattr` shows.
    pub const VISIBLE: u32 =
        CHANGEABLE | DIRTY | COMPRBLK | NOCOMPR | ENCRYPT | INDEX | VERITY | INLINE_DATA;

    /// The flags that make sense for a file whose mode is `mode`.
    pub const fn fitting(mode: u16) -> u32 {
        match mode & super::mode::TYPE {
            super::mode::DIRECTORY => !0,
            super::mode::REGULAR => !(DIRSYNC | TOPDIR | CASEFOLD | PROJINHERIT),
            _ => NODUMP | NOATIME,
        }
    }
}

/// File types in the mode.
pub mod mode {
    #![allow(missing_docs)]
    pub const TYPE: u16 = 0o170000;
    pub const FIFO: u16 = 0o010000;
    pub const CHAR: u16 = 0o020000;
    pub const DIRECTORY: u16 = 0o040000;
    pub const BLOCK: u16 = 0o060000;
    pub const REGULAR: u16 = 0o100000;
    pub const SYMLINK: u16 = 0o120000;
    pub const SOCKET: u16 = 0o140000;
}

/// The part of an inode that every file system has.
#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawBase {
    mode: U16,
    uid_lo: U16,
    size_lo: U32,
    atime: U32,
    ctime: U32,
    mtime: U32,
    dtime: U32,
    gid_lo: U16,
    links: U16,
    blocks_lo: U32,
    flags: U32,
    version_lo: U32,
    i_block: [u8; I_BLOCK_SIZE],
    generation: U32,
    file_acl_lo: U32,
    size_hi: U32,
    fragment: U32,
    blocks_hi: U16,
    file_acl_hi: U16,
    uid_hi: U16,
    gid_hi: U16,
    checksum_lo: U16,
    reserved: U16,
}

/// The part after the first 128 bytes; `extra_isize` says how much of it is in use.
#[derive(
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Immutable,
    zerocopy_derive::Unaligned,
)]
#[repr(C)]
struct RawExtra {
    extra_isize: U16,
    checksum_hi: U16,
    ctime_extra: U32,
    mtime_extra: U32,
    atime_extra: U32,
    crtime: U32,
    crtime_extra: U32,
    version_hi: U32,
    projid: U32,
}

const _: () = {
    assert!(size_of::<RawBase>() == GOOD_OLD_INODE_SIZE as usize);
    assert!(offset_of!(RawBase, links) == 0x1a);
    assert!(offset_of!(RawBase, i_block) == 0x28);
    assert!(offset_of!(RawBase, generation) == 0x64);
    assert!(offset_of!(RawBase, blocks_hi) == 0x74);
    assert!(offset_of!(RawBase, checksum_lo) == 0x7c);
    assert!(size_of::<RawExtra>() == 32);
    assert!(offset_of!(RawExtra, crtime) == 0x10);
    assert!(offset_of!(RawExtra, projid) == 0x1c);
};

/// An inode, checked.
///
/// Fields that the inode's `extra_isize` has no room for read as 0 and are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskInode {
    /// File type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Hard links.
    pub links: u16,
    /// Space used, in units of 512 bytes, whatever the unit on disk.
    pub blocks: u64,
    /// Bits of [`flags`]; `HUGE_FILE` is dealt with by parse and encode and reads as clear.
    pub flags: u32,
    /// Distinguishes the users of a re-used inode number; part of the checksum seed.
    pub generation: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Creation.
    pub crtime: Timestamp,
    /// Time of deletion, or the next inode of the orphan list.
    pub dtime: u32,
    /// The block of extended attributes.
    pub file_acl: Option<PhysicalBlock>,
    /// Extent root, short symlink's target or device number.
    pub i_block: [u8; I_BLOCK_SIZE],
    /// Bytes in use after the first 128, a multiple of 4; in-inode attributes follow.
    pub extra_isize: u16,
    /// Project.
    pub projid: u32,
    /// NFS change counter.
    pub version: u64,
}

impl DiskInode {
    /// An empty inode for a new file.
    pub fn new(geo: &Geometry, mode: u16, generation: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            links: 0,
            blocks: 0,
            flags: 0,
            generation,
            atime: Timestamp::default(),
            ctime: Timestamp::default(),
            mtime: Timestamp::default(),
            crtime: Timestamp::default(),
            dtime: 0,
            file_acl: None,
            i_block: [0; I_BLOCK_SIZE],
            extra_isize: geo.want_extra_isize,
            projid: 0,
            version: 0,
        }
    }

    /// Checks and converts the inode `ino` from its [`Geometry::inode_size`] bytes.
    ///
    /// The extent root in `i_block` is left to the `extents` room. An inode without links is
    /// fine here: it may be an orphan.
    ///
    /// # Errors
    ///
    /// `ESTALE` for an inode that is not in use, `EFSBADCRC`, `EFSCORRUPTED`.
    pub fn parse(geo: &Geometry, ino: InodeNumber, bytes: &[u8]) -> Result<Self, Problem> {
        let short = Problem::new("inode is cut short", bytes.len() as u64);
        let bytes = bytes.get(..geo.inode_size.into()).ok_or(short)?;
        let (base, rest) = RawBase::ref_from_prefix(bytes).map_err(|_| short)?;
        let raw_extra = RawExtra::ref_from_prefix(rest).ok().map(|(extra, _)| extra);

        if base.mode.get() == 0 && base.links.get() == 0 {
            return Err(Problem::unused("inode is not in use", ino.0.into()));
        }
        let on_disk = raw_extra.map_or(0, |extra| extra.extra_isize.get());
        ensure(
            usize::from(on_disk) <= rest.len() && on_disk % 4 == 0,
            Problem::new("bad extra inode size", on_disk.into()),
        )?;
        verify_checksum(geo, ino, bytes, base, raw_extra)?;

        // An old kernel left the space unused: the checksum was made without it, but from now on
        // it is ours, as it is C ext4's.
        let extra_isize = match on_disk {
            0 => geo.want_extra_isize,
            n => n,
        };
        let field = |get: fn(&RawExtra) -> U32, end: usize| {
            raw_extra.filter(|_| end <= on_disk.into()).map(get)
        };
        let inode = Self {
            mode: base.mode.get(),
            uid: u32::from(base.uid_lo.get()) | (u32::from(base.uid_hi.get()) << 16),
            gid: u32::from(base.gid_lo.get()) | (u32::from(base.gid_hi.get()) << 16),
            size: decode_size(base),
            links: base.links.get(),
            blocks: decode_blocks(geo, base)?,
            flags: base.flags.get() & !flags::HUGE_FILE,
            generation: base.generation.get(),
            atime: Timestamp::decode(base.atime, field(|e| e.atime_extra, ATIME_END)),
            ctime: Timestamp::decode(base.ctime, field(|e| e.ctime_extra, CTIME_END)),
            mtime: Timestamp::decode(base.mtime, field(|e| e.mtime_extra, MTIME_END)),
            crtime: field(|e| e.crtime, CRTIME_END - 4).map_or(Timestamp::default(), |seconds| {
                Timestamp::decode(seconds, field(|e| e.crtime_extra, CRTIME_END))
            }),
            dtime: base.dtime.get(),
            file_acl: decode_file_acl(geo, base),
            i_block: base.i_block,
            extra_isize,
            projid: field(|e| e.projid, PROJID_END).map_or(0, |id| id.get()),
            version: u64::from(base.version_lo.get())
                | (u64::from(field(|e| e.version_hi, VERSION_END).map_or(0, |hi| hi.get())) << 32),
        };
        inode.check(geo)?;
        Ok(inode)
    }

    fn check(&self, geo: &Geometry) -> Result<(), Problem> {
        let (block, bad_size) = (geo.block_size, Problem::new("bad inode size", self.size));
        match self.mode & mode::TYPE {
            mode::REGULAR => ensure(self.size <= geo.max_file_size(), bad_size)?,
            mode::DIRECTORY => ensure(block.start_of(self.size) == self.size, bad_size)?,
            mode::SYMLINK => ensure(self.size < block.bytes(), bad_size)?,
            mode::FIFO | mode::CHAR | mode::BLOCK | mode::SOCKET => {}
            _ => return Err(Problem::new("bad file type", self.mode.into())),
        }
        let bad_flags = Problem::new("flag of a feature that is off", self.flags.into());
        for (flag, feature) in [
            (flags::INLINE_DATA, incompat::INLINE_DATA),
            (flags::ENCRYPT, incompat::ENCRYPT),
            (flags::CASEFOLD, incompat::CASEFOLD),
            (flags::EA_INODE, incompat::EA_INODE),
        ] {
            let off = !geo.features.has_incompat(feature);
            ensure(self.flags & flag == 0 || !off, bad_flags)?;
        }
        let no_index = !geo.features.has_compat(compat::DIR_INDEX) && geo.metadata_csum();
        ensure(self.flags & flags::INDEX == 0 || !no_index, bad_flags)?;
        if self.is_symlink() {
            ensure(
                self.flags & (flags::IMMUTABLE | flags::APPEND) == 0,
                Problem::new("symlink is immutable", self.flags.into()),
            )?;
        }
        if let Some(block) = self.file_acl {
            ensure(
                geo.contains(block, 1),
                Problem::new("attribute block outside the file system", block.0),
            )?;
        }
        Ok(())
    }

    /// Writes the inode over `bytes` ([`Geometry::inode_size`] of them), keeps what it does not
    /// know, and sets the checksum.
    ///
    /// # Errors
    ///
    /// Nothing is written where `bytes` are too short, or the space used cannot be expressed.
    pub fn encode(
        &self,
        geo: &Geometry,
        ino: InodeNumber,
        bytes: &mut [u8],
    ) -> Result<(), Problem> {
        let short = Problem::new("inode is cut short", bytes.len() as u64);
        let bytes = bytes.get_mut(..geo.inode_size.into()).ok_or(short)?;
        let (blocks, huge) = self.encode_blocks(geo)?;
        let (base, rest) = RawBase::mut_from_prefix(bytes).map_err(|_| short)?;
        let mut extra = RawExtra::mut_from_prefix(rest).ok().map(|(extra, _)| extra);
        let room = extra.as_ref().map_or(0, |_| usize::from(self.extra_isize));

        base.mode = U16::new(self.mode);
        base.uid_lo = U16::new(self.uid as u16);
        base.uid_hi = U16::new((self.uid >> 16) as u16);
        base.gid_lo = U16::new(self.gid as u16);
        base.gid_hi = U16::new((self.gid >> 16) as u16);
        base.size_lo = U32::new(self.size as u32);
        base.size_hi = U32::new((self.size >> 32) as u32);
        base.links = U16::new(self.links);
        base.blocks_lo = U32::new(blocks as u32);
        base.blocks_hi = U16::new((blocks >> 32) as u16);
        base.flags = U32::new(self.flags & !flags::HUGE_FILE | huge);
        base.generation = U32::new(self.generation);
        base.dtime = U32::new(self.dtime);
        let acl = self.file_acl.map_or(0, |block| block.0);
        base.file_acl_lo = U32::new(acl as u32);
        base.file_acl_hi = U16::new((acl >> 32) as u16);
        base.i_block = self.i_block;
        base.version_lo = U32::new(self.version as u32);

        let (atime, atime_extra) = self.atime.encode(room >= ATIME_END);
        let (ctime, ctime_extra) = self.ctime.encode(room >= CTIME_END);
        let (mtime, mtime_extra) = self.mtime.encode(room >= MTIME_END);
        let (crtime, crtime_extra) = self.crtime.encode(room >= CRTIME_END);
        base.atime = atime;
        base.ctime = ctime;
        base.mtime = mtime;
        if let Some(extra) = extra.as_mut() {
            extra.extra_isize = U16::new(self.extra_isize);
            for (end, slot, value) in [
                (ATIME_END, &mut extra.atime_extra, atime_extra),
                (CTIME_END, &mut extra.ctime_extra, ctime_extra),
                (MTIME_END, &mut extra.mtime_extra, mtime_extra),
                (CRTIME_END - 4, &mut extra.crtime, crtime),
                (CRTIME_END, &mut extra.crtime_extra, crtime_extra),
                (
                    VERSION_END,
                    &mut extra.version_hi,
                    U32::new((self.version >> 32) as u32),
                ),
                (PROJID_END, &mut extra.projid, U32::new(self.projid)),
            ] {
                if end <= room {
                    *slot = value;
                }
            }
        }
        set_checksum(geo, ino, bytes);
        Ok(())
    }

    /// As [`encode`](Self::encode) for an inode that is newly in use: what the bytes held before
    /// is wiped.
    pub fn encode_new(
        &self,
        geo: &Geometry,
        ino: InodeNumber,
        bytes: &mut [u8],
    ) -> Result<(), Problem> {
        self.encode_blocks(geo)?;
        bytes.fill(0);
        self.encode(geo, ino, bytes)
    }

    /// The number for `i_blocks` and the flag that tells its unit.
    fn encode_blocks(&self, geo: &Geometry) -> Result<(u64, u32), Problem> {
        let too_many = Problem::new("an inode uses too much space", self.blocks);
        if self.blocks <= u32::MAX.into() {
            return Ok((self.blocks, 0));
        }
        ensure(geo.features.has_ro_compat(ro_compat::HUGE_FILE), too_many)?;
        if self.blocks <= MAX_48 {
            return Ok((self.blocks, 0));
        }
        let blocks = self.blocks >> geo.block_size.sector_bits();
        ensure(blocks <= MAX_48, too_many)?;
        Ok((blocks, flags::HUGE_FILE))
    }

    /// Whether all of `bits` of [`flags`] are set.
    pub fn has(&self, bits: u32) -> bool {
        self.flags & bits == bits
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & mode::TYPE == mode::DIRECTORY
    }

    /// Whether this is a regular file.
    pub fn is_regular(&self) -> bool {
        self.mode & mode::TYPE == mode::REGULAR
    }

    /// Whether this is a symlink.
    pub fn is_symlink(&self) -> bool {
        self.mode & mode::TYPE == mode::SYMLINK
    }

    /// The target of a symlink that is kept in the inode itself; `Ok(None)` where it has a block
    /// of its own (or the inode is no symlink).
    pub fn fast_symlink(&self, block: BlockSize) -> Result<Option<&[u8]>, Problem> {
        let attributes = match self.file_acl {
            Some(_) => 1u64 << block.sector_bits(),
            None => 0,
        };
        if !self.is_symlink() || self.blocks != attributes {
            return Ok(None);
        }
        let bad = Problem::new("bad length of a symlink", self.size);
        let len = usize::try_from(self.size).map_err(|_| bad)?;
        ensure(len > 0 && self.size <= FAST_SYMLINK_MAX, bad)?;
        let target = self.i_block.get(..len).ok_or(bad)?;
        ensure(
            !target.contains(&0) && self.i_block.get(len) == Some(&0),
            bad,
        )?;
        Ok(Some(target))
    }

    /// Major and minor number of a device node.
    pub fn device(&self) -> (u32, u32) {
        let word = |at| super::le::u32_at(&self.i_block, at).unwrap_or(0);
        match word(0) {
            0 => {
                let new = word(4);
                ((new >> 8) & 0xfff, new & 0xff | (new >> 12) & 0xfff00)
            }
            old => ((old >> 8) & 0xff, old & 0xff),
        }
    }

    /// Makes this the device node `major`:`minor` (12 and 20 bits).
    pub fn set_device(&mut self, major: u32, minor: u32) {
        let small = major < 256 && minor < 256;
        let old = if small { (major << 8) | minor } else { 0 };
        let new = minor & 0xff | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12);
        self.i_block = [0; I_BLOCK_SIZE];
        let (at, word) = if small { (0, old) } else { (4, new) };
        // In range: both words lie in the first 8 of the 60 bytes.
        let _ = super::le::put_u32(&mut self.i_block, at, word);
    }
}

const MAX_48: u64 = (1 << 48) - 1;

/// Where each extra field ends: it exists where `extra_isize` reaches that far.
const CTIME_END: usize = offset_of!(RawExtra, ctime_extra) + 4;
const MTIME_END: usize = offset_of!(RawExtra, mtime_extra) + 4;
const ATIME_END: usize = offset_of!(RawExtra, atime_extra) + 4;
const CRTIME_END: usize = offset_of!(RawExtra, crtime_extra) + 4;
const VERSION_END: usize = offset_of!(RawExtra, version_hi) + 4;
const PROJID_END: usize = offset_of!(RawExtra, projid) + 4;
const CHECKSUM_HI_END: usize = offset_of!(RawExtra, checksum_hi) + 2;

/// The high half of the size is a directory's ACL in very old file systems.
fn decode_size(base: &RawBase) -> u64 {
    let high = match base.mode.get() & mode::TYPE {
        mode::REGULAR => base.size_hi.get(),
        _ => 0,
    };
    u64::from(base.size_lo.get()) | (u64::from(high) << 32)
}

fn decode_blocks(geo: &Geometry, base: &RawBase) -> Result<u64, Problem> {
    let low = u64::from(base.blocks_lo.get());
    if !geo.features.has_ro_compat(ro_compat::HUGE_FILE) {
        return Ok(low);
    }
    let count = low | (u64::from(base.blocks_hi.get()) << 32);
    if base.flags.get() & flags::HUGE_FILE == 0 {
        return Ok(count);
    }
    // 48 bits shifted by 3 at the most fit.
    Ok(count << geo.block_size.sector_bits())
}

fn decode_file_acl(geo: &Geometry, base: &RawBase) -> Option<PhysicalBlock> {
    let high = match geo.features.has_incompat(incompat::BITS_64) {
        true => base.file_acl_hi.get(),
        false => 0,
    };
    match u64::from(base.file_acl_lo.get()) | (u64::from(high) << 32) {
        0 => None,
        block => Some(PhysicalBlock(block)),
    }
}

/// The inode's checksum: over all its bytes, with both halves of the checksum itself (as far as
/// they exist) counted as zeroes.
fn checksum(geo: &Geometry, ino: InodeNumber, generation: u32, bytes: &[u8], has_hi: bool) -> u32 {
    let seed = geo.inode_seed(ino, generation);
    let (base, extra) = bytes
        .split_at_checked(GOOD_OLD_INODE_SIZE.into())
        .unwrap_or((bytes, &[]));
    let sum = crc32c_with_hole(seed, base, offset_of!(RawBase, checksum_lo), 2);
    if has_hi {
        crc32c_with_hole(sum, extra, offset_of!(RawExtra, checksum_hi), 2)
    } else {
        crate::crc32c(sum, extra)
    }
}

/// The size and the `i_dtime` word of an inode's bytes, unchecked: what a writer compares with and
/// keeps. Zeroes where the bytes are too few.
pub fn size_and_dtime(bytes: &[u8]) -> (u64, u32) {
    match RawBase::ref_from_prefix(bytes) {
        Ok((base, _)) => (decode_size(base), base.dtime.get()),
        Err(_) => (0, 0),
    }
}

/// Sets the `i_dtime` word alone (the next inode of the orphan list), and the checksum.
pub fn set_dtime(geo: &Geometry, ino: InodeNumber, bytes: &mut [u8], dtime: u32) {
    if let Ok((base, _)) = RawBase::mut_from_prefix(bytes) {
        base.dtime = U32::new(dtime);
    }
    set_checksum(geo, ino, bytes);
}

fn verify_checksum(
    geo: &Geometry,
    ino: InodeNumber,
    bytes: &[u8],
    base: &RawBase,
    extra: Option<&RawExtra>,
) -> Result<(), Problem> {
    if !geo.metadata_csum() {
        return Ok(());
    }
    let extra = extra.filter(|e| usize::from(e.extra_isize.get()) >= CHECKSUM_HI_END);
    let computed = checksum(geo, ino, base.generation.get(), bytes, extra.is_some());
    let low = u32::from(base.checksum_lo.get());
    let good = match extra {
        Some(extra) => computed == low | (u32::from(extra.checksum_hi.get()) << 16),
        None => computed & 0xffff == low,
    };
    ensure(good, Problem::bad_checksum("inode checksum is wrong", low))
}

fn set_checksum(geo: &Geometry, ino: InodeNumber, bytes: &mut [u8]) {
    if !geo.metadata_csum() {
        return;
    }
    let (generation, has_hi) = match RawBase::ref_from_prefix(bytes) {
        Ok((base, rest)) => {
            let extra = RawExtra::ref_from_prefix(rest).ok();
            let isize = extra.map_or(0, |(extra, _)| extra.extra_isize.get());
            (base.generation.get(), usize::from(isize) >= CHECKSUM_HI_END)
        }
        Err(_) => return,
    };
    let sum = checksum(geo, ino, generation, bytes, has_hi);
    if let Ok((base, rest)) = RawBase::mut_from_prefix(bytes) {
        base.checksum_lo = U16::new(sum as u16);
        if let (true, Ok((extra, _))) = (has_hi, RawExtra::mut_from_prefix(rest)) {
            extra.checksum_hi = U16::new((sum >> 16) as u16);
        }
    }
}
