// SPDX-License-Identifier: GPL-2.0

//! Shapes of damage that have brought down ext4 drivers, by name. Checksums fit, for what an
//! attacker makes has them right.

use super::fields::push;
use super::image::{Image, Sum, BLOCK, SUPER};
use anyhow::{Context, Result};
use guest::Case;

/// How the names of these cases begin.
pub const PREFIX: &str = "kind: ";

/// A shape: its name, what it is like, whether it must be noticed, and the damage.
struct Kind {
    name: &'static str,
    /// A CVE of the same kind, where one is known for certain; else empty.
    like: &'static str,
    must_notice: bool,
    damage: fn(&mut Image) -> Result<()>,
}

const fn kind(
    name: &'static str,
    like: &'static str,
    must_notice: bool,
    damage: fn(&mut Image) -> Result<()>,
) -> Kind {
    Kind {
        name,
        like,
        must_notice,
        damage,
    }
}

/// Adds all of them.
pub fn all(clean: &Image, dirty: &Image, all: &mut Vec<Case>) -> Result<()> {
    for (base, image, kinds) in [(0, clean, CLEAN), (1, dirty, DIRTY)] {
        for kind in kinds {
            let mut changed = image.clone();
            (kind.damage)(&mut changed).with_context(|| kind.name)?;
            let like = match kind.like {
                "" => String::new(),
                like => format!(" ({like})"),
            };
            push(
                all,
                base,
                format!("{PREFIX}{}{like}", kind.name),
                image.patches(&changed),
                kind.must_notice,
            );
        }
    }
    Ok(())
}

fn le16(value: usize) -> [u8; 2] {
    (value as u16).to_le_bytes()
}

fn le32(value: usize) -> [u8; 4] {
    (value as u32).to_le_bytes()
}

/// Field `offset` of the superblock.
fn superblock(i: &mut Image, offset: usize, bytes: &[u8]) -> Result<()> {
    i.put(SUPER + offset, bytes)?;
    i.mend(Sum::Super)
}

/// Field `offset` of a group descriptor.
fn group(i: &mut Image, number: u32, offset: usize, bytes: &[u8]) -> Result<()> {
    i.put(i.group(number) + offset, bytes)?;
    i.mend(Sum::Group(number))
}

/// Field `offset` of an inode.
fn inode(i: &mut Image, number: u32, offset: usize, bytes: &[u8]) -> Result<()> {
    i.put(i.inode(number)? + offset, bytes)?;
    i.mend(Sum::Inode(number))
}

fn inode_of(i: &mut Image, path: &str, offset: usize, bytes: &[u8]) -> Result<()> {
    let number = i.find(path)?;
    inode(i, number, offset, bytes)
}

/// The block number of a group's structure.
fn block_of(i: &Image, number: u32, field: usize) -> Result<usize> {
    Ok(i.group_block(number, field)? / BLOCK)
}

/// The first block of an inode, as an offset.
fn first(i: &Image, number: u32) -> Result<usize> {
    i.blocks(number)?.first().copied().context("no block")
}

/// Points the only extent of an inode elsewhere.
fn extent_to(i: &mut Image, path: &str, block: usize) -> Result<()> {
    inode_of(i, path, 0x3C, &le32(block))
}

/// The extent block of the file `pieces`.
fn node(i: &Image) -> Result<(u32, usize)> {
    let pieces = i.find("pieces")?;
    let at = i.extents(pieces)?.1.context("no extent block")?;
    Ok((pieces, at))
}

/// Changes the extent block of `pieces`.
fn in_node(i: &mut Image, offset: usize, bytes: &[u8]) -> Result<()> {
    let (pieces, at) = node(i)?;
    i.put(at + offset, bytes)?;
    i.mend(Sum::Extents(pieces, at))
}

/// Changes the attribute block of `plain`.
fn in_attributes(i: &mut Image, offset: usize, bytes: &[u8]) -> Result<()> {
    let at = i.attribute_block(i.find("plain")?)?;
    i.put(at + offset, bytes)?;
    i.mend(Sum::Attributes(at))
}

/// Changes the attributes in the inode of `inner/deeper/bottom`; offsets count from the first
/// entry.
fn in_inode_attributes(i: &mut Image, offset: usize, bytes: &[u8]) -> Result<()> {
    let number = i.find("inner/deeper/bottom")?;
    let at = i.inode(number)?;
    let extra = usize::from(i.u16(at + 0x80)?);
    i.put(at + 128 + extra + 4 + offset, bytes)?;
    i.mend(Sum::Inode(number))
}

/// Changes a directory's first block.
fn in_directory(i: &mut Image, path: &str, offset: usize, bytes: &[u8]) -> Result<()> {
    let number = i.find(path)?;
    let at = first(i, number)?;
    i.put(at + offset, bytes)?;
    i.mend(Sum::Directory(number, at))
}

/// Changes the index of the directory `indexed`.
fn in_index(i: &mut Image, offset: usize, bytes: &[u8]) -> Result<()> {
    let number = i.find("indexed")?;
    let at = first(i, number)?;
    i.put(at + offset, bytes)?;
    i.mend(Sum::Index(number, at))
}

/// An entry's field.
fn entry(i: &mut Image, dir: &str, name: &str, offset: usize, bytes: &[u8]) -> Result<()> {
    let number = i.find(dir)?;
    let at = i.entry(number, name)?.0;
    i.put(at + offset, bytes)?;
    i.mend(Sum::Directory(number, at / BLOCK * BLOCK))
}

/// Makes all bits of a bitmap 0 or 1.
fn bitmap(i: &mut Image, number: u32, field: usize, byte: u8, sum: Sum) -> Result<()> {
    let at = i.group_block(number, field)?;
    let bits = if field == 0 { 0x20 } else { 0x28 };
    let len = i.u32(SUPER + bits)? as usize / 8;
    i.put(at, &vec![byte; len])?;
    i.mend(sum)
}

const CLEAN: &[Kind] = &[
    // metadata that overlaps
    kind(
        "block bitmap in the inode table",
        "CVE-2018-1093",
        true,
        |i| {
            let table = block_of(i, 0, 0x8)?;
            group(i, 0, 0x0, &le32(table + 1))
        },
    ),
    kind(
        "block bitmap beyond the device",
        "CVE-2018-1093",
        true,
        |i| group(i, 1, 0x0, &le32(1_000_000)),
    ),
    kind("inode bitmap is the block bitmap", "", true, |i| {
        let bitmap = block_of(i, 0, 0x0)?;
        group(i, 0, 0x4, &le32(bitmap))
    }),
    kind(
        "inode table over the superblock",
        "CVE-2018-10878",
        true,
        |i| group(i, 0, 0x8, &le32(0)),
    ),
    kind("two groups with one inode table", "", true, |i| {
        let table = block_of(i, 0, 0x8)?;
        group(i, 1, 0x8, &le32(table))
    }),
    kind("inode table that runs off the device", "", true, |i| {
        let last = i.u32(SUPER + 0x4)? as usize - 1;
        group(i, 1, 0x8, &le32(last))
    }),
    kind("block bitmap all zero", "", false, |i| {
        bitmap(i, 0, 0x0, 0, Sum::BlockBitmap(0))
    }),
    kind("block bitmap all ones, count says free", "", false, |i| {
        bitmap(i, 0, 0x0, 0xFF, Sum::BlockBitmap(0))
    }),
    kind("inode bitmap all zero", "", false, |i| {
        bitmap(i, 0, 0x4, 0, Sum::InodeBitmap(0))
    }),
    kind(
        "group in use marked as not initialised",
        "CVE-2018-10876",
        false,
        |i| group(i, 0, 0x12, &le16(3)),
    ),
    // counts
    kind("more free blocks than the group has", "", false, |i| {
        group(i, 0, 0xC, &le16(0xFFFF))
    }),
    kind("more free inodes than the group has", "", false, |i| {
        group(i, 0, 0xE, &le16(0xFFFF))
    }),
    kind("more directories than inodes", "", false, |i| {
        group(i, 0, 0x10, &le16(0xFFFF))
    }),
    kind("more unused inodes than there are", "", false, |i| {
        group(i, 0, 0x1C, &le16(0xFFFF))
    }),
    kind("negative free blocks", "", false, |i| {
        superblock(i, 0x158, &le32(0x8000_0000))
    }),
    kind("more reserved blocks than blocks", "", false, |i| {
        superblock(i, 0x8, &le32(0x7FFF_FFFF))
    }),
    kind("root inode with no links", "CVE-2018-1092", true, |i| {
        inode(i, 2, 0x1A, &le16(0))
    }),
    kind("file with no links", "", false, |i| {
        inode_of(i, "plain", 0x1A, &le16(0))
    }),
    kind("directory with one link", "", false, |i| {
        inode_of(i, "linear", 0x1A, &le16(1))
    }),
    kind("negative block count of a file", "", false, |i| {
        inode_of(i, "plain", 0x1C, &le32(0xFFFF_FFFF))?;
        inode_of(i, "plain", 0x74, &le16(0xFFFF))
    }),
    kind("no block counted", "", false, |i| {
        inode_of(i, "pieces", 0x1C, &le32(0))
    }),
    // dimensions
    kind("flex groups of 2^31", "CVE-2009-4307", false, |i| {
        superblock(i, 0x174, &[31])
    }),
    kind("flex groups of 2^255", "CVE-2012-2100", false, |i| {
        superblock(i, 0x174, &[255])
    }),
    kind(
        "first meta group out of range",
        "CVE-2016-10208",
        false,
        |i| superblock(i, 0x104, &le32(0xFFFF_FFF0)),
    ),
    kind("inodes of 127 bytes", "", true, |i| {
        superblock(i, 0x58, &le16(127))
    }),
    kind("inodes as large as two blocks", "", true, |i| {
        superblock(i, 0x58, &le16(8192))
    }),
    kind("one inode a group too many", "", true, |i| {
        let n = i.u32(SUPER + 0x28)? as usize;
        superblock(i, 0x28, &le32(n + 1))
    }),
    kind("descriptors larger than a block", "", true, |i| {
        superblock(i, 0xFE, &le16(8192))
    }),
    kind("block number space overflows", "", true, |i| {
        superblock(i, 0x150, &le32(0xFFFF_FFFF))
    }),
    kind("extra size that overlaps the inode's end", "", true, |i| {
        inode_of(i, "plain", 0x80, &le16(252))
    }),
    kind("wanted extra size beyond the inode", "", false, |i| {
        superblock(i, 0x15E, &le16(0xFFFC))
    }),
    // sizes
    kind("negative size of a file", "", true, |i| {
        inode_of(i, "plain", 0x6C, &le32(0xFFFF_FFFF))
    }),
    kind("largest size of a file", "", false, |i| {
        inode_of(i, "plain", 0x6C, &le32(0xFFF))?;
        inode_of(i, "plain", 0x4, &le32(0xFFFF_F000))
    }),
    kind("negative size of a directory", "", false, |i| {
        inode_of(i, "linear", 0x6C, &le32(0x8000_0000))
    }),
    kind("directory of no size", "", false, |i| {
        inode_of(i, "linear", 0x4, &le32(0))
    }),
    kind("directory of half a block", "", true, |i| {
        inode_of(i, "linear", 0x4, &le32(2048))
    }),
    kind("directory far longer than its blocks", "", false, |i| {
        inode_of(i, "linear", 0x4, &le32(0x4000_0000))
    }),
    kind("fast symlink longer than its room", "", false, |i| {
        inode_of(i, "fast", 0x4, &le32(200))
    }),
    kind("symlink of four gigabytes", "", false, |i| {
        inode_of(i, "slow", 0x4, &le32(0xFFFF_FFFF))
    }),
    kind("symlink without an end", "", false, |i| {
        let at = first(i, i.find("slow")?)?;
        i.put(at, &[b'x'; BLOCK])?;
        inode_of(i, "slow", 0x4, &le32(BLOCK))
    }),
    // extent trees
    kind("extent node that is its own child", "", true, |i| {
        let (pieces, at) = node(i)?;
        i.put(i.inode(pieces)? + 0x28 + 6, &le16(2))?;
        i.put(at + 2, &le16(1))?;
        i.put(at + 6, &le16(1))?;
        i.put(at + 12 + 4, &le32(at / BLOCK))?;
        i.mend(Sum::Extents(pieces, at))?;
        i.mend(Sum::Inode(pieces))
    }),
    kind(
        "extent nodes that are each other's children",
        "",
        true,
        |i| {
            let (pieces, at) = node(i)?;
            let other = 3000 * BLOCK;
            i.put(i.inode(pieces)? + 0x28 + 6, &le16(3))?;
            i.put(at + 2, &le16(1))?;
            i.put(at + 6, &le16(2))?;
            i.put(at + 12 + 4, &le32(other / BLOCK))?;
            let mut copy = i.get(at, BLOCK)?.to_vec();
            copy.get_mut(6..8)
                .context("short")?
                .copy_from_slice(&le16(1));
            copy.get_mut(16..20)
                .context("short")?
                .copy_from_slice(&le32(at / BLOCK));
            i.put(other, &copy)?;
            i.mend(Sum::Extents(pieces, at))?;
            i.mend(Sum::Extents(pieces, other))?;
            i.mend(Sum::Inode(pieces))
        },
    ),
    kind("extent tree of depth 65535", "CVE-2018-10877", true, |i| {
        inode_of(i, "pieces", 0x28 + 6, &le16(0xFFFF))
    }),
    kind("extent root with more entries than room", "", true, |i| {
        inode_of(i, "pieces", 0x28 + 2, &le16(9))?;
        inode_of(i, "pieces", 0x28 + 4, &le16(9))
    }),
    kind("extent node with more entries than room", "", true, |i| {
        in_node(i, 2, &le16(400))?;
        in_node(i, 4, &le16(400))
    }),
    kind("extent node without entries", "", true, |i| {
        in_node(i, 2, &le16(0))
    }),
    kind("extent of no length", "", true, |i| {
        in_node(i, 0x10, &le16(0))
    }),
    kind(
        "extent that ends beyond the last block",
        "CVE-2011-2695",
        true,
        |i| inode_of(i, "plain", 0x34, &le32(0xFFFF_FFFF)),
    ),
    kind("extents out of order", "", true, |i| {
        in_node(i, 0x18, &le32(0))
    }),
    kind("extents that overlap", "", true, |i| {
        in_node(i, 0x10, &le16(9))
    }),
    kind("extent over the superblock", "", true, |i| {
        extent_to(i, "plain", 0)
    }),
    kind("extent over the inode table", "", true, |i| {
        let table = block_of(i, 0, 0x8)?;
        extent_to(i, "plain", table)
    }),
    kind("extent over the journal", "", true, |i| {
        let journal = first(i, 8)? / BLOCK;
        extent_to(i, "plain", journal)
    }),
    kind("extent beyond the device", "", true, |i| {
        extent_to(i, "plain", 0x00FF_FFFF)
    }),
    kind("file over its own extent node", "", false, |i| {
        let (_, at) = node(i)?;
        in_node(i, 0x14, &le32(at / BLOCK))
    }),
    kind("two files with the same blocks", "", false, |i| {
        let other = first(i, i.find("pieces")?)? / BLOCK;
        extent_to(i, "plain", other)
    }),
    kind("file over a directory", "", false, |i| {
        let other = first(i, i.find("linear")?)? / BLOCK;
        extent_to(i, "plain", other)
    }),
    kind("extent node over a directory", "", true, |i| {
        let other = first(i, i.find("linear")?)? / BLOCK;
        inode_of(i, "pieces", 0x28 + 16, &le32(other))
    }),
    // extended attributes
    kind(
        "attribute value past the end of its block",
        "CVE-2018-10840",
        false,
        |i| in_attributes(i, 0x22, &le16(4090)),
    ),
    kind("attribute value of four gigabytes", "", false, |i| {
        in_attributes(i, 0x28, &le32(0xFFFF_FFFF))
    }),
    kind("attribute value over the entries", "", false, |i| {
        in_attributes(i, 0x22, &le16(0x20))
    }),
    kind("attribute name past the end", "", false, |i| {
        in_attributes(i, 0x20, &[255])
    }),
    kind(
        "attribute value in an inode that is itself",
        "CVE-2018-11412",
        false,
        |i| {
            let plain = i.find("plain")? as usize;
            in_attributes(i, 0x24, &le32(plain))
        },
    ),
    kind("attribute block in the journal", "", true, |i| {
        let from = i.attribute_block(i.find("plain")?)?;
        let to = first(i, 8)? + 9 * BLOCK;
        let copy = i.get(from, BLOCK)?.to_vec();
        i.put(to, &copy)?;
        i.mend(Sum::Attributes(to))?;
        inode_of(i, "plain", 0x68, &le32(to / BLOCK))
    }),
    kind("attribute block with no references", "", false, |i| {
        in_attributes(i, 0x4, &le32(0))
    }),
    kind("attribute block that many share", "", false, |i| {
        in_attributes(i, 0x4, &le32(1024))
    }),
    kind("attribute block over the superblock", "", false, |i| {
        inode_of(i, "plain", 0x68, &le32(0))?;
        inode_of(i, "linear", 0x68, &le32(1))
    }),
    kind(
        "attribute block over the inode table",
        "CVE-2018-10879",
        false,
        |i| {
            let table = block_of(i, 0, 0x8)?;
            inode_of(i, "linear", 0x68, &le32(table))
        },
    ),
    kind("attribute block is a directory", "", false, |i| {
        let other = first(i, i.find("linear")?)? / BLOCK;
        inode_of(i, "plain", 0x68, &le32(other))
    }),
    kind(
        "attribute in an inode past its end",
        "CVE-2019-19319",
        false,
        |i| in_inode_attributes(i, 2, &le16(0xFF0)),
    ),
    kind(
        "attribute in an inode of a negative size",
        "CVE-2019-19319",
        false,
        |i| in_inode_attributes(i, 8, &le32(0xFFFF_FFF0)),
    ),
    kind("attribute in an inode without an end", "", false, |i| {
        in_inode_attributes(i, 0, &[0x41; 90])
    }),
    kind(
        "inline data without room for it",
        "CVE-2018-11412",
        false,
        |i| inode_of(i, "plain", 0x20, &le32(0x1000_0000)),
    ),
    kind(
        "inline data and extents at once",
        "CVE-2018-10881",
        false,
        |i| inode_of(i, "plain", 0x20, &le32(0x1008_0000)),
    ),
    // directories
    kind("directory entry of no length", "", true, |i| {
        entry(i, "linear", "name-3", 4, &le16(0))
    }),
    kind("directory entry that leaves its block", "", true, |i| {
        entry(i, "linear", "name-3", 4, &le16(0xFFFC))
    }),
    kind("directory entry whose name leaves it", "", true, |i| {
        entry(i, "linear", "name-3", 6, &[200])
    }),
    kind("directory entry to an inode out of range", "", true, |i| {
        entry(i, "linear", "name-3", 0, &le32(0xFFFF_FFFF))
    }),
    kind(
        "directory entry to the journal",
        "CVE-2018-10882",
        true,
        |i| entry(i, "linear", "name-3", 0, &le32(8)),
    ),
    kind("directory entry to a free inode", "", true, |i| {
        entry(i, "linear", "name-3", 0, &le32(1000))
    }),
    kind("directory in itself", "", false, |i| {
        let linear = i.find("linear")? as usize;
        entry(i, "linear", "name-3", 0, &le32(linear))?;
        entry(i, "linear", "name-3", 7, &[2])
    }),
    kind("directory in its child", "", false, |i| {
        let inner = i.find("inner")? as usize;
        entry(i, "inner/deeper", "bottom", 0, &le32(inner))?;
        entry(i, "inner/deeper", "bottom", 7, &[2])
    }),
    kind("two directories with one block", "", false, |i| {
        let other = first(i, i.find("linear")?)? / BLOCK;
        extent_to(i, "inner/deeper", other)
    }),
    kind("directory without . and ..", "", false, |i| {
        in_directory(i, "inner/deeper", 0, &le32(0))?;
        in_directory(i, "inner/deeper", 12, &le32(0))
    }),
    kind(
        "index with more entries than its limit",
        "CVE-2022-1184",
        true,
        |i| in_index(i, 0x22, &le16(600)),
    ),
    kind(
        "index with a limit beyond its block",
        "CVE-2022-1184",
        false,
        |i| in_index(i, 0x20, &le16(4000)),
    ),
    kind("index that is its own leaf", "CVE-2022-1184", false, |i| {
        in_index(i, 0x24, &le32(0))?;
        in_index(i, 0x2C, &le32(0))
    }),
    kind("index deeper than any", "", false, |i| {
        in_index(i, 0x1E, &[9])
    }),
    kind("index of an unknown hash", "", false, |i| {
        in_index(i, 0x1C, &[6])
    }),
    kind("index in a directory that has none", "", false, |i| {
        inode_of(i, "linear", 0x20, &le32(0x0008_1000))
    }),
    // special inodes
    kind("root is a file", "", true, |i| {
        inode(i, 2, 0x0, &le16(0x81A4))
    }),
    kind("root is encrypted", "", false, |i| {
        inode(i, 2, 0x20, &le32(0x0008_0800))
    }),
    kind("journal is a directory", "", true, |i| {
        superblock(i, 0xE0, &le32(2))
    }),
    kind("journal of no size", "", true, |i| {
        inode(i, 8, 0x4, &le32(0))
    }),
    kind("journal without blocks", "", true, |i| {
        inode(i, 8, 0x28 + 2, &le16(0))
    }),
    kind("journal over the inode table", "", true, |i| {
        let table = block_of(i, 0, 0x8)?;
        inode(i, 8, 0x3C, &le32(table))
    }),
    kind("orphan list through a file in use", "", false, |i| {
        let plain = i.find("plain")? as usize;
        superblock(i, 0xE8, &le32(plain))
    }),
    kind("orphan list that is a circle", "", false, |i| {
        let plain = i.find("plain")?;
        inode(i, plain, 0x14, &le32(plain as usize))?;
        superblock(i, 0xE8, &le32(plain as usize))
    }),
    kind("orphan list through the root", "", false, |i| {
        superblock(i, 0xE8, &le32(2))
    }),
    kind("orphan list through the journal", "", false, |i| {
        superblock(i, 0xE8, &le32(8))
    }),
    kind("orphan list to a damaged tree", "", false, |i| {
        let pieces = i.find("pieces")?;
        in_node(i, 0x1C, &le16(0xFFFF))?;
        inode(i, pieces, 0x1A, &le16(0))?;
        superblock(i, 0xE8, &le32(pieces as usize))
    }),
    kind("orphan file that names the root", "", false, |i| {
        orphan(i, 2)
    }),
    kind("orphan file that names itself", "", false, |i| {
        let own = i.u32(SUPER + 0x280)?;
        orphan(i, own)
    }),
    kind(
        "orphan file that names a directory in use",
        "",
        false,
        |i| {
            let linear = i.find("linear")?;
            orphan(i, linear)
        },
    ),
    kind("orphan file is a directory", "", false, |i| {
        superblock(i, 0x280, &le32(2))
    }),
    kind("orphan file is the journal", "", false, |i| {
        superblock(i, 0x280, &le32(8))
    }),
];

/// Puts an inode into the orphan file, and says that there is one.
fn orphan(i: &mut Image, number: u32) -> Result<()> {
    let own = i.u32(SUPER + 0x280)?;
    let at = first(i, own)?;
    i.put(at, &number.to_le_bytes())?;
    i.mend(Sum::Orphans(own, at))?;
    let features = i.u32(SUPER + 0x64)? | 0x1_0000;
    superblock(i, 0x64, &features.to_le_bytes())
}

/// Field `offset` of the journal's superblock.
fn journal(i: &mut Image, offset: usize, value: u32) -> Result<()> {
    let at = first(i, 8)?;
    i.put(at + offset, &value.to_be_bytes())?;
    i.mend(Sum::Journal)
}

/// The block of the journal that is `n` behind its start.
fn journal_block(i: &Image, n: usize) -> Result<usize> {
    let blocks = i.blocks(8)?;
    let at = *blocks.first().context("an empty journal")?;
    let start = u32::from_be_bytes(i.get(at + 0x1C, 4)?.try_into()?) as usize;
    blocks.get(start + n).copied().context("behind the journal")
}

const DIRTY: &[Kind] = &[
    kind("journal longer than its inode", "", true, |i| {
        journal(i, 0x10, 1 << 20)
    }),
    kind("journal of one block", "", true, |i| journal(i, 0x10, 1)),
    kind(
        "journal whose first block is its superblock",
        "",
        true,
        |i| journal(i, 0x14, 0),
    ),
    kind(
        "journal whose first block is behind its end",
        "",
        true,
        |i| journal(i, 0x14, 0x7FFF_FFFF),
    ),
    kind("journal that starts behind its end", "", true, |i| {
        journal(i, 0x1C, 0x7FFF_FFFF)
    }),
    kind("journal of blocks of 64 bytes", "", true, |i| {
        journal(i, 0xC, 64)
    }),
    kind("journal of an unknown feature", "", true, |i| {
        journal(i, 0x28, 0x4000_0000)
    }),
    kind("journal with two kinds of checksum", "", false, |i| {
        journal(i, 0x28, 0x1A)
    }),
    kind(
        "journal with more fast commit blocks than blocks",
        "",
        false,
        |i| {
            journal(i, 0x28, 0x32)?;
            journal(i, 0x54, 0x7FFF_FFFF)
        },
    ),
    kind("journal of 4 billion users", "", false, |i| {
        journal(i, 0x40, 0xFFFF_FFFF)
    }),
    kind("journal that writes over itself", "", false, |i| {
        let own = u32::try_from(first(i, 8)? / BLOCK)?;
        let at = journal_block(i, 0)?;
        i.put(at + 0xC, &own.to_be_bytes())
    }),
    kind("journal that writes beyond the device", "", false, |i| {
        let at = journal_block(i, 0)?;
        i.put(at + 0xC, &0x7FFF_FFFFu32.to_be_bytes())
    }),
    kind(
        "journal of revokes that leave their block",
        "",
        false,
        |i| {
            let at = journal_block(i, 0)?;
            i.put(at + 4, &5u32.to_be_bytes())?;
            i.put(at + 0xC, &0xFFFF_FFF0u32.to_be_bytes())
        },
    ),
    kind("journal of descriptors only", "", false, |i| {
        let head = i.get(journal_block(i, 0)?, 12)?.to_vec();
        for n in 0..200 {
            let at = journal_block(i, n)?;
            i.put(at, &head)?;
        }
        Ok(())
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{Bases, Scratch};
    use std::collections::BTreeSet;

    /// Each kind damages its image, each in a way of its own, and passes the first look where
    /// it is to be found by the second: its checksums are those that mending leaves.
    #[test]
    fn every_kind_is_a_damage_of_its_own() -> Result<()> {
        let scratch = Scratch::new("kinds")?;
        let bases = Bases::read(&scratch.paths)?;
        let mut cases = Vec::new();
        all(&bases.clean, &bases.dirty, &mut cases)?;
        assert_eq!(cases.len(), CLEAN.len() + DIRTY.len());
        assert!(cases.len() >= 100);
        let names: BTreeSet<&str> = cases.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            assert!(!case.patches.is_empty(), "{}", case.name);
        }
        Ok(())
    }
}
