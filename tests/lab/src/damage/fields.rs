// SPDX-License-Identifier: GPL-2.0

//! Which fields are damaged, and with what.

use super::image::{Image, Sum, BLOCK, SUPER};
use anyhow::{Context, Result};
use guest::Case;

/// A field: name, offset in its structure, bytes, values to try.
pub type Field = (&'static str, usize, usize, &'static [u64]);

const MAX: u64 = u64::MAX;

/// struct ext4_super_block
const SUPERBLOCK: &[Field] = &[
    ("inodes_count", 0x0, 4, &[0, MAX]),
    ("blocks_count_lo", 0x4, 4, &[0, 1, MAX]),
    ("r_blocks_count_lo", 0x8, 4, &[MAX]),
    ("free_blocks_count_lo", 0xC, 4, &[MAX]),
    ("free_inodes_count", 0x10, 4, &[MAX]),
    ("first_data_block", 0x14, 4, &[1, 5000, MAX]),
    ("log_block_size", 0x18, 4, &[0, 1, 7, 20, MAX]),
    ("log_cluster_size", 0x1C, 4, &[5, MAX]),
    ("blocks_per_group", 0x20, 4, &[0, 1, 7, 40_000, MAX]),
    ("clusters_per_group", 0x24, 4, &[0, 5]),
    ("inodes_per_group", 0x28, 4, &[0, 1, 40_000, MAX]),
    ("magic", 0x38, 2, &[0]),
    ("state", 0x3A, 2, &[0, 2, 4, 0xFFFF]),
    ("rev_level", 0x4C, 4, &[0, 7]),
    ("first_ino", 0x54, 4, &[0, MAX]),
    ("inode_size", 0x58, 2, &[0, 1, 127, 128, 8192, 0xFFFF]),
    ("block_group_nr", 0x5A, 2, &[9]),
    ("feature_compat", 0x5C, 4, &[0, MAX]),
    (
        "feature_incompat",
        0x60,
        4,
        &[0, 0x2C2 | 1, 0x2C2 | (1 << 20), MAX],
    ),
    ("feature_ro_compat", 0x64, 4, &[0, 0x46B | (1 << 25), MAX]),
    ("uuid", 0x68, 4, &[0]),
    ("journal_inum", 0xE0, 4, &[0, 2, 12, MAX]),
    ("journal_dev", 0xE4, 4, &[0x0801]),
    ("last_orphan", 0xE8, 4, &[2, 12, 100_000, MAX]),
    ("def_hash_version", 0xFC, 1, &[77]),
    ("desc_size", 0xFE, 2, &[0, 32, 63, 128, 0xFFFF]),
    ("first_meta_bg", 0x104, 4, &[MAX]),
    ("blocks_count_hi", 0x150, 4, &[1, MAX]),
    ("free_blocks_count_hi", 0x158, 4, &[MAX]),
    ("min_extra_isize", 0x15C, 2, &[0xFFFF]),
    ("want_extra_isize", 0x15E, 2, &[0xFFFF, 3]),
    ("log_groups_per_flex", 0x174, 1, &[31, 255]),
    ("checksum_type", 0x175, 1, &[0, 9]),
    ("error_count", 0x194, 4, &[MAX]),
    ("checksum_seed", 0x270, 4, &[0]),
    ("orphan_file_inum", 0x280, 4, &[0, 2, 12, MAX]),
    ("checksum", 0x3FC, 4, &[0]),
];

/// struct ext4_group_desc
const GROUP: &[Field] = &[
    ("block_bitmap_lo", 0x0, 4, &[0, 1, 3, MAX]),
    ("inode_bitmap_lo", 0x4, 4, &[0, 1, MAX]),
    ("inode_table_lo", 0x8, 4, &[0, 1, 4095, MAX]),
    ("free_blocks_count_lo", 0xC, 2, &[0, 0xFFFF]),
    ("free_inodes_count_lo", 0xE, 2, &[0, 0xFFFF]),
    ("used_dirs_count_lo", 0x10, 2, &[0xFFFF]),
    ("flags", 0x12, 2, &[7, 0xFFFF]),
    ("block_bitmap_csum_lo", 0x18, 2, &[0x1234]),
    ("inode_bitmap_csum_lo", 0x1A, 2, &[0x1234]),
    ("itable_unused_lo", 0x1C, 2, &[0, 0xFFFF]),
    ("checksum", 0x1E, 2, &[0x1234]),
    ("block_bitmap_hi", 0x20, 4, &[1, MAX]),
    ("inode_table_hi", 0x28, 4, &[MAX]),
];

/// struct ext4_inode, with the extent header that begins i_block.
const INODE: &[Field] = &[
    ("mode", 0x0, 2, &[0, 0xF1FF, 0x2180]),
    ("size_lo", 0x4, 4, &[0, 1, MAX]),
    ("dtime", 0x14, 4, &[1]),
    ("links_count", 0x1A, 2, &[0, 0xFFFF]),
    ("blocks_lo", 0x1C, 4, &[0, MAX]),
    ("flags", 0x20, 4, &[0, 0x1000_0000, 0x0008_0800, MAX]),
    ("i_block eh_magic", 0x28, 2, &[0]),
    ("i_block eh_entries", 0x2A, 2, &[0, 5, 0xFFFF]),
    ("i_block eh_max", 0x2C, 2, &[0, 0xFFFF]),
    ("i_block eh_depth", 0x2E, 2, &[1, 5, 6, 0xFFFF]),
    ("i_block ee_block", 0x34, 4, &[9, MAX]),
    ("i_block ee_len", 0x38, 2, &[0, 0x8000, 0xFFFF]),
    ("i_block ee_start_hi", 0x3A, 2, &[1, 0xFFFF]),
    ("i_block ee_start_lo", 0x3C, 4, &[0, 1, 2, MAX]),
    ("generation", 0x64, 4, &[77]),
    ("file_acl_lo", 0x68, 4, &[1, MAX]),
    ("size_high", 0x6C, 4, &[1, MAX]),
    ("checksum_lo", 0x7C, 2, &[0x1234]),
    ("extra_isize", 0x80, 2, &[0, 3, 0xFFFF]),
];

/// A node of the extent tree in a block of its own.
const EXTENTS: &[Field] = &[
    ("eh_magic", 0x0, 2, &[0]),
    ("eh_entries", 0x2, 2, &[0, 341, 0xFFFF]),
    ("eh_max", 0x4, 2, &[0, 1, 0xFFFF]),
    ("eh_depth", 0x6, 2, &[1, 0xFFFF]),
    ("first ee_block", 0xC, 4, &[7, MAX]),
    ("first ee_len", 0x10, 2, &[0, 5, 0xFFFF]),
    ("first ee_start_lo", 0x14, 4, &[0, 1, MAX]),
    ("second ee_block", 0x18, 4, &[0, 1, MAX]),
    ("second ee_start_hi", 0x1E, 2, &[0xFFFF]),
];

/// struct ext4_dir_entry_2
const ENTRY: &[Field] = &[
    ("inode", 0x0, 4, &[0, 1, 3, 8, 1024, MAX]),
    ("rec_len", 0x4, 2, &[0, 4, 8, 13, 4096, 0xFFFF]),
    ("name_len", 0x6, 1, &[0, 255]),
    ("file_type", 0x7, 1, &[0, 2, 255]),
    ("name", 0x8, 1, &[0, b'/' as u64]),
];

/// struct dx_root, after its two dot entries.
const INDEX: &[Field] = &[
    ("dot inode", 0x0, 4, &[0, 2]),
    ("dot rec_len", 0x4, 2, &[0, 16]),
    ("dotdot rec_len", 0x10, 2, &[0, 12]),
    ("reserved_zero", 0x18, 4, &[1]),
    ("hash_version", 0x1C, 1, &[0, 77]),
    ("info_length", 0x1D, 1, &[0, 255]),
    ("indirect_levels", 0x1E, 1, &[1, 2, 255]),
    ("limit", 0x20, 2, &[0, 1, 0xFFFF]),
    ("count", 0x22, 2, &[0, 500, 0xFFFF]),
    ("first block", 0x24, 4, &[0, 999, MAX]),
    ("second hash", 0x28, 4, &[0, MAX]),
    ("second block", 0x2C, 4, &[0, 1, MAX]),
];

/// struct ext4_xattr_header, with the first struct ext4_xattr_entry.
const ATTRIBUTES: &[Field] = &[
    ("magic", 0x0, 4, &[0]),
    ("refcount", 0x4, 4, &[0, 2, 1025, MAX]),
    ("blocks", 0x8, 4, &[0, 2, MAX]),
    ("first name_len", 0x20, 1, &[0, 255]),
    ("first name_index", 0x21, 1, &[0, 2, 7, 255]),
    ("first value_offs", 0x22, 2, &[0, 4095, 4096, 0xFFFF]),
    ("first value_inum", 0x24, 4, &[2, 12, MAX]),
    ("first value_size", 0x28, 4, &[4096, 0xFFFF, MAX]),
    ("second name_len", 0x34, 1, &[255]),
];

/// journal_superblock_t; big-endian.
const JOURNAL: &[Field] = &[
    ("magic", 0x0, 4, &[0]),
    ("blocktype", 0x4, 4, &[0, 1, 3, MAX]),
    ("blocksize", 0xC, 4, &[0, 1024, MAX]),
    ("maxlen", 0x10, 4, &[0, 1, 100, MAX]),
    ("first", 0x14, 4, &[0, MAX]),
    ("sequence", 0x18, 4, &[0, MAX]),
    ("start", 0x1C, 4, &[3, 1023, MAX]),
    ("errno", 0x20, 4, &[5]),
    ("feature_incompat", 0x28, 4, &[0, MAX]),
    ("nr_users", 0x40, 4, &[0, 99]),
    ("checksum_type", 0x50, 1, &[0, 99]),
    ("checksum", 0xFC, 4, &[0x1234]),
];

/// A descriptor block of the journal; big-endian.
const DESCRIPTOR: &[Field] = &[
    ("h_magic", 0x0, 4, &[0]),
    ("h_blocktype", 0x4, 4, &[0, 2, 5, MAX]),
    ("h_sequence", 0x8, 4, &[0, MAX]),
    ("t_blocknr", 0xC, 4, &[0, 1, MAX]),
    ("t_flags", 0x10, 4, &[0, MAX]),
];

/// Where a structure is, its fields, and what its checksum is.
pub struct Place {
    pub name: String,
    pub at: usize,
    pub sum: Sum,
    pub fields: Vec<Field>,
    big_endian: bool,
    /// Whether the walk is sure to read it, so that a wrong checksum cannot
    /// pass unnoticed.
    is_read: bool,
}

impl Place {
    fn new(name: &str, at: usize, sum: Sum, is_read: bool, fields: &[Field]) -> Self {
        Self {
            name: name.to_owned(),
            at,
            sum,
            fields: fields.to_vec(),
            big_endian: false,
            is_read,
        }
    }

    /// A value as it is written there.
    pub fn bytes(&self, value: u64, size: usize) -> Vec<u8> {
        let little = value.to_le_bytes();
        let mut bytes = little.get(..size).unwrap_or_default().to_vec();
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    /// Each field with each value, checksum left alone and mended.
    fn damage(&self, base: usize, image: &Image, all: &mut Vec<Case>) -> Result<()> {
        for &(field, offset, size, values) in &self.fields {
            for &value in values {
                let new = self.bytes(value, size);
                if image.get(self.at + offset, size)? == new {
                    continue;
                }
                let mut raw = image.clone();
                raw.put(self.at + offset, &new)?;
                let name = format!("{} {field} = {}", self.name, hex(&new));
                let mut mended = raw.clone();
                mended.mend(self.sum)?;
                let patches = image.patches(&mended);
                let same = mended.bytes == raw.bytes;
                if !matches!(self.sum, Sum::None) && !patches.is_empty() && !same {
                    let name = format!("{name}, checksum mended");
                    push(all, base, name, patches, false);
                }
                // one raw case a field is enough: the checksum speaks first
                if values.first() == Some(&value) || same {
                    let must = self.is_read && !matches!(self.sum, Sum::None) && !same;
                    push(all, base, name, image.patches(&raw), must);
                }
            }
        }
        Ok(())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

pub fn push(
    all: &mut Vec<Case>,
    base: usize,
    name: String,
    patches: Vec<(u64, Vec<u8>)>,
    must_notice: bool,
) {
    if all
        .iter()
        .any(|c| c.base == base && c.patches == patches && c.length.is_none())
    {
        return;
    }
    all.push(Case {
        number: 0,
        name,
        base,
        patches,
        length: None,
        answer: String::new(),
        must_notice,
    });
}

/// The structures of an image that was unmounted cleanly.
pub fn clean_places(image: &Image) -> Result<Vec<Place>> {
    let find = |path| image.find(path);
    let first =
        |inode| -> Result<usize> { image.blocks(inode)?.first().copied().context("no block") };
    let (plain, linear, indexed) = (find("plain")?, find("linear")?, find("indexed")?);
    let (pieces, fast, slow) = (find("pieces")?, find("fast")?, find("slow")?);
    let orphans = image.u32(SUPER + 0x280)?;
    let few = |fields: &'static [Field], step: usize| -> Vec<Field> {
        fields.iter().copied().step_by(step).collect()
    };

    let mut all = vec![
        Place::new("superblock", SUPER, Sum::Super, true, SUPERBLOCK),
        Place::new("group 0", image.group(0), Sum::Group(0), true, GROUP),
        Place::new(
            "group 1",
            image.group(1),
            Sum::Group(1),
            true,
            &few(GROUP, 2),
        ),
    ];
    for (name, number, step) in [
        ("root inode", 2, 1),
        ("inode of a file", plain, 1),
        ("inode of a deep file", pieces, 1),
        ("inode of an indexed directory", indexed, 2),
        ("inode of a fast symlink", fast, 3),
        ("inode of a slow symlink", slow, 3),
        ("journal inode", 8, 2),
        ("orphan file inode", orphans, 3),
    ] {
        let at = image.inode(number)?;
        all.push(Place::new(
            name,
            at,
            Sum::Inode(number),
            true,
            &few(INODE, step),
        ));
    }
    let block = image.extents(pieces)?.1.context("no extent block")?;
    let sum = Sum::Extents(pieces, block);
    all.push(Place::new("extent block", block, sum, true, EXTENTS));
    let at = image.entry(linear, "name-3")?.0;
    let sum = Sum::Directory(linear, first(linear)?);
    all.push(Place::new("directory entry", at, sum, true, ENTRY));
    let at = image.entry(2, "..")?.0;
    let sum = Sum::Directory(2, first(2)?);
    all.push(Place::new("entry .. of the root", at, sum, true, ENTRY));
    let at = first(indexed)?;
    let sum = Sum::Index(indexed, at);
    all.push(Place::new("directory index", at, sum, false, INDEX));
    let at = first(orphans)?;
    let fields: &[Field] = &[
        ("first entry", 0x0, 4, &[2, 12, 100_000, MAX]),
        ("magic", BLOCK - 8, 4, &[0]),
        ("checksum", BLOCK - 4, 4, &[0x1234]),
    ];
    all.push(Place::new(
        "orphan file",
        at,
        Sum::Orphans(orphans, at),
        false,
        fields,
    ));
    for group in 0..image.groups()? {
        for (name, field, sum) in [
            ("block bitmap", 0x0, Sum::BlockBitmap(group)),
            ("inode bitmap", 0x4, Sum::InodeBitmap(group)),
        ] {
            let at = image.group_block(group, field)?;
            let fields: &[Field] = &[
                ("first bytes", 0, 8, &[0, MAX]),
                ("later bytes", 0x80, 8, &[0, MAX, 0x55AA_55AA]),
            ];
            let name = format!("{name} of group {group}");
            all.push(Place::new(&name, at, sum, false, fields));
        }
    }
    let at = image.attribute_block(plain)?;
    let sum = Sum::Attributes(at);
    all.push(Place::new("attribute block", at, sum, false, ATTRIBUTES));
    Ok(all)
}

/// Damage to an image that was unmounted cleanly.
pub fn clean(image: &Image, all: &mut Vec<Case>) -> Result<()> {
    for place in clean_places(image)? {
        place.damage(0, image, all)?;
    }
    shapes(image, all)
}

/// Damage that is more than one field.
fn shapes(image: &Image, all: &mut Vec<Case>) -> Result<()> {
    let mut shape = |name: &str, change: &dyn Fn(&mut Image) -> Result<()>| -> Result<()> {
        let mut changed = image.clone();
        change(&mut changed)?;
        push(all, 0, name.to_owned(), image.patches(&changed), true);
        Ok(())
    };
    let pieces = image.find("pieces")?;
    let block = image.extents(pieces)?.1.context("no extent block")?;
    shape("an extent block that is its own child", &|i| {
        let root = i.inode(pieces)? + 0x28;
        i.put(root + 6, &2u16.to_le_bytes())?;
        i.put(block + 2, &1u16.to_le_bytes())?;
        i.put(block + 6, &1u16.to_le_bytes())?;
        i.put(block + 12 + 4, &u32::try_from(block / BLOCK)?.to_le_bytes())?;
        i.mend(Sum::Extents(pieces, block))?;
        i.mend(Sum::Inode(pieces))
    })?;
    for (name, target) in [
        ("the superblock", 0),
        ("the group descriptors", 1),
        (
            "the journal",
            image.blocks(8)?.first().copied().unwrap_or(0) / BLOCK,
        ),
    ] {
        shape(&format!("a file whose data is {name}"), &|i| {
            let plain = i.find("plain")?;
            let at = i.inode(plain)? + 0x3C;
            i.put(at, &u32::try_from(target)?.to_le_bytes())?;
            i.mend(Sum::Inode(plain))
        })?;
    }
    shape("overlapping extents", &|i| {
        i.put(block + 24, &0u32.to_le_bytes())?;
        i.mend(Sum::Extents(pieces, block))
    })?;
    for (name, len) in [
        ("half", image.bytes.len() / 2),
        ("a quarter", image.bytes.len() / 4),
        ("its first blocks", 3 * BLOCK),
        ("2000 bytes", 2000),
    ] {
        all.push(Case {
            number: 0,
            name: format!("a device cut to {name}"),
            base: 0,
            patches: Vec::new(),
            length: Some(len as u64),
            answer: String::new(),
            must_notice: true,
        });
    }
    Ok(())
}

/// The structures of a journal that has to be replayed.
pub fn dirty_places(image: &Image) -> Result<Vec<Place>> {
    let blocks = image.blocks(8)?;
    let at = *blocks.first().context("an empty journal")?;
    // only a journal with checksums of its own (v2 or v3) has one here
    let features = u32::from_be_bytes(image.get(at + 0x28, 4)?.try_into()?);
    let is_summed = features & 0x18 != 0;
    let start = u32::from_be_bytes(image.get(at + 0x1C, 4)?.try_into()?);
    let descriptor = *blocks
        .get(start as usize)
        .context("the journal starts beyond its end")?;
    let mut all = vec![
        Place::new("journal superblock", at, Sum::Journal, is_summed, JOURNAL),
        Place::new(
            "journal descriptor",
            descriptor,
            Sum::None,
            false,
            DESCRIPTOR,
        ),
    ];
    for place in &mut all {
        place.big_endian = true;
    }
    Ok(all)
}

/// Damage to an image whose journal has to be replayed.
pub fn dirty(image: &Image, all: &mut Vec<Case>) -> Result<()> {
    for place in dirty_places(image)? {
        place.damage(1, image, all)?;
    }
    Ok(())
}
