// SPDX-License-Identifier: GPL-2.0

//! Structures of one piece.

use super::input::Input;
use rooms::alloc::ZoneBuilder;
use rooms::format::extent::{self, Node, LOGICAL_END};
use rooms::format::superblock::RawSuperblock;
use rooms::format::units::{GroupNumber, InodeNumber, LogicalBlock, PhysicalBlock};
use rooms::format::xattr::{Attributes, BlockHeader};
use rooms::format::{inode, orphan, DiskInode, Geometry, GroupDesc};
use std::sync::OnceLock;

/// A superblock that mke2fs made (64 MiB, its defaults with 4 KiB blocks).
const SUPERBLOCK: &[u8; 1024] = include_bytes!("../superblock");
const DEVICE: u64 = 64 << 20;

const METADATA_CSUM: u32 = 0x400;

/// The superblock of [`SUPERBLOCK`], after a change; the checksum fits.
fn geometry_with(edit: impl FnOnce(&mut [u8])) -> Option<Geometry> {
    let mut bytes = SUPERBLOCK.to_vec();
    edit(&mut bytes);
    let raw = RawSuperblock::mut_from(&mut bytes)?;
    raw.set_checksum();
    Geometry::parse(raw, DEVICE).ok()
}

/// With checksums, and without.
pub fn geometries() -> &'static [Geometry; 2] {
    static BOTH: OnceLock<[Geometry; 2]> = OnceLock::new();
    BOTH.get_or_init(|| {
        let plain = |bytes: &mut [u8]| {
            let at = 0x64;
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            let features = u32::from_le_bytes(word) & !METADATA_CSUM;
            bytes[at..at + 4].copy_from_slice(&features.to_le_bytes());
            // no seed of a checksum either
            bytes[0x61] &= !0x20;
        };
        [
            geometry_with(|_| {}).unwrap(),
            geometry_with(plain).unwrap(),
        ]
    })
}

/// The one without checksums.
pub fn plain() -> &'static Geometry {
    &geometries()[1]
}

/// The first byte of an input chooses.
fn geometry(input: &mut Input<'_>) -> &'static Geometry {
    &geometries()[usize::from(input.byte() % 2)]
}

/// The 1024 bytes of a superblock; the first byte says whether the checksum is mended, and the
/// next ones how long the device is.
pub fn superblock(data: &[u8]) {
    let mut input = Input(data);
    let mends = input.byte() % 2 == 1;
    let device = match input.byte() % 3 {
        0 => DEVICE,
        1 => u64::MAX,
        _ => input.u64(),
    };
    let mut bytes = input.filled(1024);
    let Some(raw) = RawSuperblock::mut_from(&mut bytes) else {
        return;
    };
    if mends {
        raw.set_checksum();
    }
    let _ = (
        raw.blocks_count(),
        raw.free_blocks_count(),
        raw.reserved_blocks_count(),
    );
    let Ok(geo) = Geometry::parse(raw, device) else {
        return;
    };
    let last = geo.groups.saturating_sub(1);
    let mut groups: Vec<u32> = vec![0, 1, 2, 3, 5, 7, 9, last / 2, last.saturating_sub(1), last];
    groups.push(input.u32());
    for group in groups.into_iter().map(GroupNumber) {
        let start = geo.group_start(group);
        let blocks = geo.group_blocks(group);
        if let (Some(start), true) = (start, group.0 < geo.groups) {
            assert!(blocks > 0 && start.0 + u64::from(blocks) <= geo.blocks);
            assert_eq!(geo.group_of(start), Some((group, 0)));
        }
        let _ = (
            geo.has_super(group),
            geo.base_meta_blocks(group),
            geo.flex_group(group),
        );
        if let Some((_, range)) = geo.desc_location(group) {
            assert!(range.end <= geo.block_size.as_usize());
        }
        for bit in [0, geo.inodes_per_group.saturating_sub(1), u32::MAX] {
            let Some(ino) = geo.inode_at(group, bit) else {
                continue;
            };
            if let Some((group, block, range)) = geo.inode_location(ino) {
                assert!(group.0 < geo.groups && block < geo.inode_table_blocks);
                assert!(range.end <= geo.block_size.as_usize());
            }
        }
    }
    let _ = geo.inode_location(InodeNumber(input.u32()));
    let _ = geo.contains(PhysicalBlock(input.u64()), input.u64());
}

/// Descriptors of the groups of a small file system, one behind the other; then a bitmap.
pub fn group_desc(data: &[u8]) {
    let mut input = Input(data);
    let geo = geometry(&mut input);
    let mut all = Vec::new();
    for group in (0..geo.groups.min(4)).map(GroupNumber) {
        let bytes = input.filled(64);
        let Ok(desc) = GroupDesc::parse(geo, group, &bytes) else {
            continue;
        };
        let mut again = bytes.clone();
        desc.encode(geo, group, &mut again).unwrap();
        assert_eq!(GroupDesc::parse(geo, group, &again).ok(), Some(desc));
        let bits = input.bytes(4096);
        let _ = desc.verify_block_bitmap(geo, bits);
        let _ = desc.verify_inode_bitmap(geo, bits);
        all.push(desc);
    }
    let find = |group: GroupNumber| all.get(group.0 as usize).copied();
    if let Ok(builder) = ZoneBuilder::of_groups(geo, find) {
        if let Ok(zone) = builder.finish() {
            let _ = zone.overlaps(PhysicalBlock(input.u64()), input.u64());
            assert!(zone.within(0..geo.blocks).count() <= 64);
        }
    }
}

/// An inode of 256 bytes: what it holds, its attributes, the root of its tree.
pub fn inode(data: &[u8]) {
    let mut input = Input(data);
    let geo = geometry(&mut input);
    let ino = InodeNumber(u32::from(input.byte()) + 1);
    let bytes = input.filled(usize::from(geo.inode_size));
    let _ = inode::size_and_dtime(&bytes);
    if let Ok(found) = DiskInode::parse(geo, ino, &bytes) {
        let mut again = bytes.clone();
        if found.encode(geo, ino, &mut again).is_ok() {
            let back = DiskInode::parse(geo, ino, &again);
            assert_eq!(back.ok().map(|i| i.size), Some(found.size));
        }
        let _ = (found.fast_symlink(geo.block_size), found.device());
        for attribute in Attributes::in_inode(&bytes, found.extra_isize).take(1000) {
            if attribute.is_err() {
                break;
            }
        }
        if let Ok(depth) = extent::root_depth(&found.i_block) {
            node(&found.i_block, depth);
        }
    }
    let mut freed = bytes;
    inode::set_dtime(geo, ino, &mut freed, 5);
}

/// Looks at a node in every way that there is.
fn node(bytes: &[u8], depth: u16) {
    let Ok(node) = Node::parse(bytes, depth) else {
        return;
    };
    assert!(node.entries().len() <= node.max());
    let good = node.check_entries(None, LOGICAL_END, |at, len| {
        plain().contains(at, len.into())
    });
    for at in [0, 1, 7, 1 << 20, u32::MAX - 1, u32::MAX].map(LogicalBlock) {
        let found = node.search(at);
        assert!(found.is_none_or(|p| p < node.entries().len()));
        let _ = node.check_first(at);
    }
    for entry in node.entries() {
        let _ = (entry.key(), entry.index());
        match entry.extent() {
            Ok(extent) => {
                let _ = (
                    extent.place_of(extent.start()),
                    extent.clip(extent.start(), extent.end()),
                );
                let _ = extent.join(&extent);
            }
            Err(_) => assert!(depth > 0 || good.is_err()),
        }
    }
}

/// A node in a block.
pub fn extent_node(data: &[u8]) {
    let mut input = Input(data);
    let depth = u16::from(input.byte() % 7);
    let seed = input.u32();
    let mut bytes = input.bytes(4096).to_vec();
    node(&bytes, depth);
    if let Ok(node) = Node::parse(&bytes, depth) {
        let _ = extent::check_checksum(&bytes, &node, seed);
        extent::seal(&mut bytes, seed);
    }
}

/// A block of attributes, its checksum mended where the header is good.
pub fn xattr(data: &[u8]) {
    let mut input = Input(data);
    let geo = geometry(&mut input);
    let at = PhysicalBlock(input.u64());
    let mut block = input.filled(4096);
    if input.byte() % 2 == 0 {
        let header = BlockHeader {
            refcount: 1,
            hash: 0,
        };
        let _ = header.encode(geo, at, &mut block);
    }
    let _ = BlockHeader::parse(geo, at, &block);
    let mut count = 0;
    for attribute in Attributes::in_block(&block) {
        count += 1;
        assert!(count <= block.len(), "an endless list");
        if let Ok(attribute) = attribute {
            assert!(attribute.name.len() <= 255 && attribute.value.len() <= block.len());
        } else {
            break;
        }
    }
}

/// A block of the orphan file.
pub fn orphan(data: &[u8]) {
    let mut input = Input(data);
    let geo = geometry(&mut input);
    let (seed, at) = (input.u32(), PhysicalBlock(input.u64()));
    let slot = usize::from(input.u16());
    let mut block = input.bytes(4096).to_vec();
    let _ = orphan::check_block(geo, seed, at, &block);
    for (slot, ino) in orphan::orphans(&block) {
        assert!(slot < orphan::slots_per_block(block.len()) && ino.0 != 0);
    }
    let _ = orphan::set_slot(&mut block, slot, Some(InodeNumber(12)));
    let _ = orphan::slot(&block, slot);
    orphan::seal_block(seed, at, &mut block);
    if block.len() >= 8 {
        let _ = orphan::check_block(geo, seed, at, &block);
    }
}
