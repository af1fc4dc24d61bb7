// SPDX-License-Identifier: GPL-2.0

//! The format room against images of mke2fs: every structure parses, and written back is bit for
//! bit what it was, checksums included.

mod images;

use images::{Image, Noise, TempDir};
use rooms::format::extent::{self, Node};
use rooms::format::group_desc::flags as group_flags;
use rooms::format::inode::{flags, Timestamp};
use rooms::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rooms::format::xattr::{Attributes, BlockHeader};
use rooms::format::{orphan, DiskInode, GroupDesc, Kind};
use std::os::unix::fs::symlink;

/// A small tree with one of each kind of file.
fn tree() -> TempDir {
    let dir = TempDir::new();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("hello"), "hello, world\n").unwrap();
    std::fs::write(at("large"), vec![7u8; 3 << 20]).unwrap();
    symlink("hello", at("fast")).unwrap();
    symlink("x".repeat(200), at("slow")).unwrap();
    std::fs::create_dir(at("sub")).unwrap();
    std::fs::hard_link(at("hello"), at("sub/again")).unwrap();
    for i in 0..40 {
        std::fs::write(at(&format!("sub/file{i}")), vec![i as u8; i * 300]).unwrap();
    }
    dir
}

/// Files that `mke2fs -d` does not make.
const SPECIAL: &str = "mknod tty c 4 65\nmknod disk b 259 60000\nmknod fifo p\n\
    set_inode_field hello crtime @8000000000\nset_inode_field hello mtime @-5\n\
    ea_set hello user.small value\n";

/// Every group descriptor, bitmap and inode of an image survives the round trip.
fn check_everything(image: &Image) -> usize {
    let geo = &image.geo;
    let mut used = 0;
    for group in (0..geo.groups).map(GroupNumber) {
        let bytes = image.desc_bytes(group);
        let desc = image.desc(group);
        let mut again = vec![0; bytes.len()];
        desc.encode(geo, group, &mut again).unwrap();
        assert_eq!(bytes, again, "descriptor of group {group}");

        let mut sums = desc;
        if !desc.has(group_flags::BLOCK_UNINIT) {
            let bits = image.read(desc.block_bitmap);
            desc.verify_block_bitmap(geo, &bits).unwrap();
            sums.block_bitmap_csum = 0;
            sums.set_block_bitmap_csum(geo, &bits);
        }
        if !desc.has(group_flags::INODE_UNINIT) {
            let bits = image.read(desc.inode_bitmap);
            desc.verify_inode_bitmap(geo, &bits).unwrap();
            sums.inode_bitmap_csum = 0;
            sums.set_inode_bitmap_csum(geo, &bits);
            used += check_inodes(image, group, &bits);
        }
        assert_eq!(sums, desc, "bitmap checksums of group {group}");
    }
    used
}

fn check_inodes(image: &Image, group: GroupNumber, bits: &[u8]) -> usize {
    let geo = &image.geo;
    let mut used = 0;
    for bit in 0..geo.inodes_per_group {
        let ino = geo.inode_at(group, bit).unwrap();
        let bytes = image.inode_bytes(ino);
        let in_use = bits[bit as usize / 8] & (1 << (bit % 8)) != 0;
        match DiskInode::parse(geo, ino, &bytes) {
            Ok(inode) => {
                assert!(in_use, "inode {ino} is free");
                used += 1;
                let known = 128 + usize::from(inode.extra_isize);
                let mut again = bytes.clone();
                again[..known].fill(0);
                inode.encode(geo, ino, &mut again).unwrap();
                assert_eq!(bytes, again, "inode {ino}");
                check_extents(image, ino, &inode);
            }
            Err(problem) => {
                assert_eq!(problem.kind, Kind::Unused, "inode {ino}: {problem}");
                assert!(!in_use || ino < geo.first_inode, "inode {ino} is in use");
            }
        }
    }
    used
}

/// The checksums of the leaves right below the root; deeper is the extents room's business.
fn check_extents(image: &Image, ino: InodeNumber, inode: &DiskInode) {
    if !inode.has(flags::EXTENTS) {
        return;
    }
    let depth = extent::root_depth(&inode.i_block).unwrap();
    let root = Node::parse(&inode.i_block, depth).unwrap();
    if depth > 0 && image.geo.metadata_csum() {
        let seed = image.geo.inode_seed(ino, inode.generation);
        for entry in root.entries() {
            let block = image.read(entry.index().child);
            let node = Node::parse(&block, depth - 1).unwrap();
            extent::check_checksum(&block, &node, seed).unwrap();
        }
    }
}

#[test]
fn default_image_round_trips() {
    let tree = tree();
    let image = Image::make("64M", &[], Some(tree.path()));
    image.debugfs(SPECIAL);
    assert!(image.geo.metadata_csum());
    assert!(check_everything(&image) > 45);

    let raw = image.raw_superblock();
    raw.verify_checksum().unwrap();
    let mut again = raw.clone();
    again.checksum.set(0);
    assert!(again.verify_checksum().is_err());
    again.set_checksum();
    assert_eq!(again.checksum, raw.checksum);
}

#[test]
fn other_formats_round_trip() {
    let tree = tree();
    for (size, options) in [
        ("8M", &["-O", "^has_journal,^resize_inode"][..]),
        ("300M", &["-O", "^64bit"]),
        ("300M", &["-O", "^metadata_csum,uninit_bg"]),
        ("300M", &["-O", "^metadata_csum,^64bit,uninit_bg"]),
        ("300M", &["-O", "^metadata_csum,^uninit_bg"]),
        ("300M", &["-O", "^flex_bg,^resize_inode"]),
        (
            "300M",
            &["-O", "^metadata_csum_seed,sparse_super2,^resize_inode"],
        ),
        ("300M", &["-b", "1024"]),
        (
            "300M",
            &["-b", "1024", "-O", "^64bit,^metadata_csum,^flex_bg"],
        ),
        ("300M", &["-b", "2048"]),
        ("300M", &["-I", "128"]),
        ("300M", &["-I", "1024", "-g", "8192", "-N", "1000"]),
    ] {
        let image = Image::make(size, options, Some(tree.path()));
        assert!(check_everything(&image) > 45, "{options:?}");
    }
}

#[test]
fn geometry_of_a_large_file_system() {
    let image = Image::make(
        "2T",
        &["-E", "lazy_itable_init=1,lazy_journal_init=1"],
        None,
    );
    let geo = &image.geo;
    assert_eq!(geo.blocks, 1 << 29);
    assert_eq!(geo.groups, 16384);
    assert_eq!(geo.flex_size, 16);
    let last = GroupNumber(geo.groups - 1);
    assert_eq!(geo.group_blocks(last), geo.blocks_per_group);
    let empty = GroupNumber(geo.groups - 2);
    assert!(image.desc(empty).has(group_flags::BLOCK_UNINIT));
    assert_eq!(
        geo.group_of(PhysicalBlock(geo.blocks - 1)),
        Some((last, 32767))
    );
    assert_eq!(geo.group_of(PhysicalBlock(geo.blocks)), None);

    // dumpe2fs names the groups with backups.
    let text = images::tool("dumpe2fs", &[image.name()], &[0]);
    let listed: Vec<u32> = text
        .lines()
        .zip(text.lines().skip(1))
        .filter(|(_, next)| next.contains("superblock at"))
        .filter_map(|(line, _)| line.strip_prefix("Group ")?.split(':').next()?.parse().ok())
        .collect();
    let ours: Vec<u32> = (0..geo.groups)
        .filter(|n| geo.has_super(GroupNumber(*n)))
        .collect();
    assert!(listed.len() > 10);
    assert_eq!(listed, ours);
}

#[test]
fn values_are_those_of_debugfs() {
    let tree = tree();
    let image = Image::make("64M", &[], Some(tree.path()));
    image.debugfs(SPECIAL);
    let get = |path: &str| image.inode(image.lookup(path)).unwrap();

    let hello = get("/hello");
    assert!(hello.is_regular());
    assert_eq!((hello.size, hello.links, hello.blocks), (13, 2, 8));
    assert_eq!(
        hello.mtime,
        Timestamp {
            seconds: -5,
            nanos: 0
        }
    );
    assert_eq!(hello.crtime.seconds, 8_000_000_000);
    let bytes = image.inode_bytes(image.lookup("/hello"));
    let found: Vec<_> = Attributes::in_inode(&bytes, hello.extra_isize)
        .map(|attribute| attribute.unwrap())
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name_index, found[0].name), (1, &b"small"[..]));
    assert_eq!(found[0].value, b"value");

    assert_eq!(
        get("/fast").fast_symlink(image.geo.block_size).unwrap(),
        Some(&b"hello"[..])
    );
    assert_eq!(
        get("/slow").fast_symlink(image.geo.block_size).unwrap(),
        None
    );
    assert_eq!(get("/tty").device(), (4, 65));
    assert_eq!(get("/disk").device(), (259, 60000));
    for path in ["/tty", "/disk"] {
        let inode = get(path);
        let mut again = inode.clone();
        again.set_device(inode.device().0, inode.device().1);
        assert_eq!(again.i_block, inode.i_block, "{path}");
    }
    assert!(get("/sub").is_directory());
}

#[test]
fn attribute_block_round_trips() {
    let tree = tree();
    let image = Image::make("64M", &[], Some(tree.path()));
    let value = image.path.with_file_name("value");
    std::fs::write(&value, vec![b'v'; 2000]).unwrap();
    let value = value.to_str().unwrap();
    image.debugfs(&format!(
        "ea_set -f {value} large user.long\nea_set large user.b 2\n"
    ));
    let inode = image.inode(image.lookup("/large")).unwrap();
    let at = inode.file_acl.expect("an attribute block");
    let block = image.read(at);
    let header = BlockHeader::parse(&image.geo, at, &block).unwrap();
    assert_eq!(header.refcount, 1);
    let names: Vec<_> = Attributes::in_block(&block)
        .map(|attribute| attribute.map(|a| (a.name, a.value.len())))
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(names.contains(&(&b"long"[..], 2000)), "{names:?}");

    let mut again = block.clone();
    again[16..20].fill(0);
    header.encode(&image.geo, at, &mut again).unwrap();
    assert_eq!(block, again);
    assert!(BlockHeader::parse(&image.geo, PhysicalBlock(at.0 + 1), &block).is_err());
}

#[test]
fn orphan_file_round_trips() {
    let image = Image::make("64M", &[], None);
    let ino = image.geo.orphan_file_inode.expect("an orphan file");
    let inode = image.inode(ino).unwrap();
    let seed = image.geo.inode_seed(ino, inode.generation);
    let blocks = image.blocks_of(ino);
    assert!(!blocks.is_empty());
    for at in blocks {
        let mut block = image.read(at);
        orphan::check_block(&image.geo, seed, at, &block).unwrap();
        assert_eq!(orphan::orphans(&block).count(), 0);
        orphan::set_slot(&mut block, 1021, Some(InodeNumber(12))).unwrap();
        assert!(orphan::set_slot(&mut block, 1022, None).is_none());
        assert!(orphan::check_block(&image.geo, seed, at, &block).is_err());
        orphan::seal_block(seed, at, &mut block);
        orphan::check_block(&image.geo, seed, at, &block).unwrap();
        assert_eq!(
            orphan::orphans(&block).collect::<Vec<_>>(),
            [(1021, InodeNumber(12))]
        );
    }
}

/// One flipped bit anywhere under a checksum is noticed.
#[test]
fn flipped_bits_are_noticed() {
    let tree = tree();
    let image = Image::make("64M", &[], Some(tree.path()));
    let geo = &image.geo;
    let group = GroupNumber(0);
    let bytes = image.desc_bytes(group);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let problem = GroupDesc::parse(geo, group, &bad).unwrap_err();
        assert_eq!(problem.kind, Kind::BadChecksum, "bit {bit}");
    }
    let ino = image.lookup("/hello");
    let bytes = image.inode_bytes(ino);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(DiskInode::parse(geo, ino, &bad).is_err(), "bit {bit}");
    }
    assert!(DiskInode::parse(geo, InodeNumber(ino.0 + 1), &bytes).is_err());
}

/// No bytes make a parser panic, with and without checksums.
#[test]
fn noise_is_refused_quietly() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for options in [&["-O", "^metadata_csum,^has_journal"][..], &[]] {
        let tree = tree();
        let image = Image::make("64M", options, Some(tree.path()));
        let ino = image.lookup("/hello");
        let inode = image.inode_bytes(ino);
        let desc = image.desc_bytes(GroupNumber(0));
        let (mut good, mut bad) = (0, 0);
        for round in 0..4000 {
            let (mut a, mut b) = (inode.clone(), desc.clone());
            let mut block = vec![0; 4096];
            if round % 8 == 0 {
                noise.fill(&mut a);
                noise.fill(&mut b);
            } else {
                noise.damage(&mut a);
                noise.damage(&mut b);
            }
            noise.fill(&mut block);
            block[..4].copy_from_slice(&0xea02_0000u32.to_le_bytes());
            block[8..12].copy_from_slice(&1u32.to_le_bytes());
            block[32..36].copy_from_slice(&[3, 1, 0, 1]);
            match DiskInode::parse(&image.geo, ino, &a) {
                Ok(parsed) => {
                    let _ = parsed.fast_symlink(image.geo.block_size);
                    let _ = Attributes::in_inode(&a, parsed.extra_isize).count();
                    let _ = parsed.encode(&image.geo, ino, &mut a);
                    good += 1;
                }
                Err(_) => bad += 1,
            }
            let _ = GroupDesc::parse(&image.geo, GroupNumber(0), &b);
            let _ = Attributes::in_inode(&a, round as u16).count();
            let _ = Attributes::in_block(&block).count();
            let _ = BlockHeader::parse(&image.geo, PhysicalBlock(9), &block);
            let _ = orphan::check_block(&image.geo, 0, PhysicalBlock(9), &block);
            let _ = orphan::check_block(&image.geo, 0, PhysicalBlock(9), &block[..7]);
        }
        assert!(bad > 100);
        assert!(good > 100 || image.geo.metadata_csum());
    }
}
