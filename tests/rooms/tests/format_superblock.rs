// SPDX-License-Identifier: GPL-2.0

//! Superblocks that are damaged field by field are refused, each with its own reason.

mod images;

use images::{Image, Noise};
use rooms::format::superblock::RawSuperblock;
use rooms::format::timestamp::Times;
use rooms::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rooms::format::{Geometry, Kind, Problem};
use zerocopy::IntoBytes;

const SIZE: u64 = 512 << 20;

fn good() -> RawSuperblock {
    Image::make("512M", &[], None).raw_superblock()
}

fn parse(mut raw: RawSuperblock) -> Result<Geometry, Problem> {
    raw.set_checksum();
    Geometry::parse(&raw, SIZE)
}

#[test]
fn absurd_values_have_their_reasons() {
    type Damage = fn(&mut RawSuperblock);
    let cases: &[(&str, Kind, Damage)] = &[
        ("magic", Kind::Invalid, |sb| sb.magic.set(0xef52)),
        ("revision", Kind::Unsupported, |sb| sb.rev_level.set(0)),
        ("checksum type", Kind::Unsupported, |sb| {
            sb.checksum_type = 2
        }),
        ("block size (log2", Kind::Invalid, |sb| {
            sb.log_block_size.set(4_000_000_000)
        }),
        ("block size of more", Kind::Unsupported, |sb| {
            sb.log_block_size.set(3)
        }),
        ("cluster size", Kind::Invalid, |sb| sb.log_block_size.set(0)),
        ("cluster size", Kind::Invalid, |sb| {
            sb.log_cluster_size.set(3)
        }),
        ("inode size", Kind::Invalid, |sb| sb.inode_size.set(0)),
        ("inode size", Kind::Invalid, |sb| sb.inode_size.set(200)),
        ("inode size", Kind::Invalid, |sb| sb.inode_size.set(8192)),
        ("extra inode size", Kind::Invalid, |sb| {
            sb.want_extra_isize.set(132)
        }),
        ("extra inode size", Kind::Invalid, |sb| {
            sb.min_extra_isize.set(30)
        }),
        ("descriptor size", Kind::Invalid, |sb| sb.desc_size.set(0)),
        ("descriptor size", Kind::Invalid, |sb| {
            sb.desc_size.set(65535)
        }),
        ("blocks per group", Kind::Invalid, |sb| {
            sb.blocks_per_group.set(0)
        }),
        ("blocks per group", Kind::Invalid, |sb| {
            sb.blocks_per_group.set(32769)
        }),
        ("clusters per group", Kind::Invalid, |sb| {
            sb.clusters_per_group.set(8)
        }),
        ("inodes per group", Kind::Invalid, |sb| {
            sb.inodes_per_group.set(0)
        }),
        ("inodes per group", Kind::Invalid, |sb| {
            sb.inodes_per_group.set(8193)
        }),
        ("inodes per group", Kind::Invalid, |sb| {
            sb.inodes_per_group.set(u32::MAX)
        }),
        ("number of blocks", Kind::Invalid, |sb| {
            sb.blocks_count_hi.set(u32::MAX)
        }),
        ("device is smaller", Kind::Invalid, |sb| {
            sb.blocks_count_lo.set(131073)
        }),
        ("no blocks", Kind::Invalid, |sb| sb.blocks_count_lo.set(0)),
        ("first data block", Kind::Invalid, |sb| {
            sb.first_data_block.set(1)
        }),
        ("inode count", Kind::Invalid, |sb| sb.inodes_count.set(1)),
        ("inode count", Kind::Invalid, |sb| sb.blocks_count_lo.set(5)),
        ("reserved blocks", Kind::Invalid, |sb| {
            sb.r_blocks_count_hi.set(1)
        }),
        ("reserved group desc", Kind::Invalid, |sb| {
            sb.reserved_gdt_blocks.set(1025)
        }),
        ("first inode", Kind::Invalid, |sb| sb.first_ino.set(2)),
        ("first inode", Kind::Invalid, |sb| {
            sb.first_ino.set(u32::MAX)
        }),
        ("default hash", Kind::Invalid, |sb| sb.def_hash_version = 6),
        ("journal inode", Kind::Invalid, |sb| {
            sb.journal_inum.set(u32::MAX)
        }),
        ("orphan file", Kind::Invalid, |sb| {
            sb.orphan_file_inum.set(0)
        }),
        ("flexible", Kind::Invalid, |sb| sb.log_groups_per_flex = 32),
        ("bigalloc", Kind::Unsupported, |sb| {
            let bits = sb.feature_ro_compat.get();
            sb.feature_ro_compat.set(bits | 0x200);
        }),
        ("without a known name", Kind::Unsupported, |sb| {
            let bits = sb.feature_incompat.get();
            sb.feature_incompat.set(bits | 0x8000_0000);
        }),
        ("without extent", Kind::Unsupported, |sb| {
            let bits = sb.feature_incompat.get();
            sb.feature_incompat.set(bits & !0x40);
        }),
    ];
    let good = good();
    parse(good.clone()).expect("the undamaged superblock");
    for (what, kind, damage) in cases {
        let mut raw = good.clone();
        damage(&mut raw);
        let problem = parse(raw).expect_err(what);
        assert_eq!(problem.kind, *kind, "{what}: {problem}");
        assert!(problem.what.contains(what), "{what}: {problem}");
    }
}

/// xfstests ext4/059: a count of reserved blocks that no inode owns means nothing.
#[test]
fn blocks_are_reserved_for_growing_only_with_the_inode_that_owns_them() {
    let mut raw = good();
    let reserved = u32::from(raw.reserved_gdt_blocks.get());
    let geo = parse(raw.clone()).unwrap();
    assert!(reserved > 0);
    assert_eq!(geo.reserved_gdt_blocks, reserved);

    let resize_inode = 0x10;
    raw.feature_compat
        .set(raw.feature_compat.get() & !resize_inode);
    let geo = parse(raw).unwrap();
    assert_eq!(geo.reserved_gdt_blocks, 0);
    assert_eq!(geo.base_meta_blocks(GroupNumber(0)), 1 + geo.gdt_blocks);
}

/// xfstests ext4/043: the smallest inodes have no room for fractions of a second, nor for more
/// than 32 bits of seconds.
#[test]
fn the_size_of_inodes_decides_which_times_they_hold() {
    let small = Times::of(128);
    assert_eq!(small.granularity, 1_000_000_000);
    assert_eq!(small.range, (-(1 << 31), (1 << 31) - 1));
    let large = Times::of(256);
    assert_eq!(large.granularity, 1);
    assert_eq!(large.range, (-(1 << 31), (1 << 34) - (1 << 31) - 1));
}

#[test]
fn unsupported_features_are_named() {
    for (features, name) in [
        ("meta_bg,^resize_inode", "meta_bg"),
        ("mmp", "mmp"),
        ("ea_inode", "ea_inode"),
        ("large_dir", "large_dir"),
        ("inline_data", "inline_data"),
        ("encrypt", "encrypt"),
        ("casefold", "casefold"),
    ] {
        let dir = images::TempDir::new();
        let path = dir.path().join("image");
        let path = path.to_str().unwrap();
        let args = [
            "-q", "-F", "-t", "ext4", "-b", "4096", "-O", features, path, "64M",
        ];
        images::tool("mke2fs", &args, &[0]);
        let bytes = std::fs::read(path).unwrap();
        let raw = RawSuperblock::ref_from(&bytes[1024..]).unwrap();
        let problem = Geometry::parse(raw, 64 << 20).unwrap_err();
        assert_eq!((problem.what, problem.kind), (name, Kind::Unsupported));
    }
    let quota = Image::make("64M", &["-O", "quota"], None);
    let problem = quota.geo.features.check_write().unwrap_err();
    assert_eq!(problem.what, "quota");
}

#[test]
fn flipped_bits_are_noticed() {
    let good = good();
    // The feature bit that says that there is a checksum is the one blind spot.
    let metadata_csum = 0x64 * 8 + 10;
    for bit in (0..8192).filter(|bit| *bit != metadata_csum) {
        let mut bytes = [0; 1024];
        bytes.copy_from_slice(good.as_bytes());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let raw = RawSuperblock::ref_from(&bytes).unwrap();
        assert!(Geometry::parse(raw, SIZE).is_err(), "bit {bit}");
    }
}

/// Whatever geometry is accepted, its arithmetic holds together.
#[test]
fn accepted_geometries_are_sound() {
    let small = Image::make("512M", &["-b", "1024"], None).raw_superblock();
    for good in [good(), small] {
        geometries_near_are_sound(&good);
    }
}

fn geometries_near_are_sound(good: &RawSuperblock) {
    let mut noise = Noise(0x0123_4567_89ab_cdef);
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut bytes = [0; 1024];
        bytes.copy_from_slice(good.as_bytes());
        noise.damage(&mut bytes[..0x180]);
        let raw = RawSuperblock::ref_from(&bytes).unwrap().clone();
        let Ok(geo) = parse(raw) else {
            continue;
        };
        accepted += 1;
        let size = geo.block_size;
        assert!(size.bytes_of(geo.blocks) <= SIZE);
        let mut blocks = geo.first_data_block.0;
        for group in (0..geo.groups).map(GroupNumber) {
            let start = geo.group_start(group).unwrap();
            assert_eq!(geo.group_of(start), Some((group, 0)));
            blocks += u64::from(geo.group_blocks(group));
            let (at, range) = geo.desc_location(group).unwrap();
            assert!(at.0 <= geo.first_data_block.0 + u64::from(geo.gdt_blocks));
            assert!(range.end <= size.as_usize());
        }
        assert_eq!(blocks, geo.blocks);
        assert_eq!(geo.inode_location(InodeNumber(0)), None);
        let last = InodeNumber(geo.inodes);
        let (group, block, range) = geo.inode_location(last).unwrap();
        assert_eq!(group.0, geo.groups - 1);
        assert_eq!(block, geo.inode_table_blocks - 1);
        assert_eq!(range.end, size.as_usize());
        let (group, bit) = geo.inode_group(last).unwrap();
        assert_eq!(geo.inode_at(group, bit), Some(last));
        assert_eq!(geo.inode_location(InodeNumber(geo.inodes + 1)), None);
        assert!(!geo.contains(PhysicalBlock(geo.blocks - 1), 2));
        assert!(!geo.contains(PhysicalBlock(u64::MAX), 2));
    }
    assert!(accepted > 1000, "{accepted}");
}
