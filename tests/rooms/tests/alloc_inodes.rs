// SPDX-License-Identifier: GPL-2.0

//! Inode allocation on images that mke2fs made, judged by their bitmaps and by e2fsck.

mod groups;

use groups::{read_desc, Disk, Groups, Image};
use kernel::prelude::*;
use rooms::alloc::{allocate_inode, bits, free_inode, Placement, INODE_CREDITS};
use rooms::format::group_desc::flags::INODE_UNINIT;
use rooms::format::units::{GroupNumber, InodeNumber};
use rooms::store::MetaBlock;
use std::collections::BTreeSet;

const TOP: Placement = Placement::TopDirectory { spread: 7 };

/// Eight groups of 64 inodes; most inode tables were never written.
fn small(name: &str) -> Image {
    Image::make(
        name,
        "8M",
        &[
            "-g",
            "256",
            "-N",
            "512",
            "-G",
            "4",
            "-E",
            "lazy_itable_init=1",
            "-O",
            "^resize_inode,^has_journal",
        ],
    )
}

/// The inodes in use, from the bitmaps on disk, which must be sound; and the directories counted.
fn used_on_disk(disk: &Disk, table: &Groups) -> (BTreeSet<u32>, u32) {
    let geo = &table.geo;
    let mut used = BTreeSet::new();
    let mut directories = 0;
    for group in (0..geo.groups).map(GroupNumber) {
        let desc = read_desc(disk, geo, group);
        directories += desc.used_dirs;
        if desc.has(INODE_UNINIT) {
            assert_eq!(desc.free_inodes, geo.inodes_per_group);
            continue;
        }
        let map = disk.get(desc.inode_bitmap.0);
        desc.verify_inode_bitmap(geo, map.bytes()).unwrap();
        let count = geo.inodes_per_group;
        assert!(
            bits::all(map.bytes(), count..4096 * 8, true),
            "padding of {group}"
        );
        assert_eq!(bits::count_clear(map.bytes(), 0..count), desc.free_inodes);
        let never = count - desc.unused_inodes..count;
        assert!(
            bits::all(map.bytes(), never, false),
            "a never-used inode is in use"
        );
        used.extend(
            (0..count)
                .filter(|bit| bits::all(map.bytes(), *bit..bit + 1, true))
                .map(|bit| geo.inode_at(group, bit).unwrap().0),
        );
    }
    assert_eq!(used.len() as u32, geo.inodes - table.counters.free_inodes());
    assert_eq!(directories, table.counters.directories());
    (used, directories)
}

#[test]
fn every_inode_once_and_back() {
    let image = small("inodes-all");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let (mut used, directories) = used_on_disk(&disk, &table);
    let mut mine = Vec::new();
    for n in 0u32.. {
        let placement = match n % 3 {
            0 => Placement::File,
            1 => Placement::Directory,
            _ => Placement::TopDirectory { spread: n },
        };
        let dirtied = disk.dirtied();
        match allocate_inode(&table, &mut disk, GroupNumber(n % 8), placement) {
            Ok(new) => {
                assert!(disk.dirtied() - dirtied <= INODE_CREDITS as usize);
                assert!(used.insert(new.ino.0), "{} handed out twice", new.ino);
                assert_eq!(table.geo.inode_group(new.ino).unwrap().0, new.group);
                mine.push((new.ino, placement != Placement::File));
            }
            Err(error) => {
                assert_eq!(error, ENOSPC);
                break;
            }
        }
    }
    assert_eq!(used.len() as u32, table.geo.inodes);
    assert_eq!(used_on_disk(&disk, &table).0, used);
    for (ino, is_dir) in mine {
        free_inode(&table, &mut disk, ino, is_dir).unwrap();
        used.remove(&ino.0);
    }
    assert_eq!(used_on_disk(&disk, &table), (used, directories));
    assert_eq!(*table.reports.borrow(), []);
    assert_eq!(table.counters.mismatches(), 0);
    disk.write_back();
    assert_eq!(image.e2fsck(), "");
}

/// The bytes of an inode's slot as a reader finds them.
fn slot(disk: &Disk, table: &Groups, ino: InodeNumber) -> Vec<u8> {
    let (group, block, range) = table.geo.inode_location(ino).unwrap();
    let at = read_desc(disk, &table.geo, group).inode_table.0 + u64::from(block);
    disk.get(at).bytes()[range].to_vec()
}

#[test]
fn garbage_in_an_unwritten_table_is_never_seen() {
    let image = small("inodes-garbage");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let group = GroupNumber(5);
    let desc = read_desc(&disk, &table.geo, group);
    assert!(desc.has(INODE_UNINIT));
    for block in 0..table.geo.inode_table_blocks {
        disk.damage(desc.inode_table.0 + u64::from(block), |bytes| {
            bytes.fill(0xa5)
        });
    }
    disk.damage(desc.inode_bitmap.0, |bytes| bytes.fill(0xa5));
    // Fill the flexible group's earlier group, so that this one is next.
    let mut last = None;
    for n in 0..64 + 20 {
        let new = allocate_inode(&table, &mut disk, group, Placement::File).unwrap();
        assert_eq!(new.group, GroupNumber(4 + n / 64));
        if new.group == group {
            assert_eq!(slot(&disk, &table, new.ino), [0; 256]);
            // As its owner would write it; the next inode's slot must survive.
            let (_, block, range) = table.geo.inode_location(new.ino).unwrap();
            disk.damage(desc.inode_table.0 + u64::from(block), |b| {
                b[range].fill(n as u8)
            });
            if let Some((before, content)) = last.replace((new.ino, n as u8)) {
                assert_eq!(slot(&disk, &table, before), [content; 256]);
            }
        }
    }
    let desc = read_desc(&disk, &table.geo, group);
    assert_eq!(desc.unused_inodes, 64 - 20);
    used_on_disk(&disk, &table);
}

#[test]
fn every_failure_leaves_all_as_it_was() {
    let image = small("inodes-failures");
    for n in 0.. {
        let mut disk = Disk::open(&image.path);
        let table = Groups::load(&disk);
        let before = used_on_disk(&disk, &table);
        disk.countdown.set(Some(n));
        let new = allocate_inode(&table, &mut disk, GroupNumber(5), TOP);
        let freed = new.and_then(|new| free_inode(&table, &mut disk, new.ino, true));
        let done = disk.countdown.replace(None).is_some();
        if !disk.aborted() {
            match (new, freed) {
                (Ok(new), Err(_)) => {
                    assert!(used_on_disk(&disk, &table).0.contains(&new.ino.0));
                    free_inode(&table, &mut disk, new.ino, true).unwrap();
                }
                _ => assert_eq!(used_on_disk(&disk, &table), before),
            }
        }
        if done {
            freed.unwrap();
            assert!(n > 8, "only {n} steps can fail");
            return;
        }
        assert!(freed.is_err(), "failure {n} went unnoticed");
    }
}

#[test]
fn bad_frees_are_refused() {
    let image = small("inodes-bad-free");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let before = used_on_disk(&disk, &table);
    for ino in [0, 2, 7, 10, 513] {
        let freed = free_inode(&table, &mut disk, InodeNumber(ino), false);
        assert_eq!(freed, Err(EFSCORRUPTED), "inode {ino}");
    }
    assert_eq!(used_on_disk(&disk, &table), before);
    let new = allocate_inode(&table, &mut disk, GroupNumber(0), Placement::File).unwrap();
    free_inode(&table, &mut disk, new.ino, false).unwrap();
    let reports = table.reports.borrow().len();
    free_inode(&table, &mut disk, new.ino, false).unwrap();
    assert_eq!(table.reports.borrow().len(), reports + 1);
    assert_eq!(table.reports.borrow().last().unwrap().0, new.group);
    // The group is out of use.
    let next = allocate_inode(&table, &mut disk, GroupNumber(0), Placement::File).unwrap();
    assert_ne!(next.group, new.group);
}

#[test]
fn a_bad_bitmap_is_passed_by() {
    let image = small("inodes-checksum");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let desc = read_desc(&disk, &table.geo, GroupNumber(0));
    disk.damage(desc.inode_bitmap.0, |bytes| bytes[3] ^= 1);
    let new = allocate_inode(&table, &mut disk, GroupNumber(0), Placement::File).unwrap();
    assert_ne!(new.group, GroupNumber(0));
    assert_eq!(table.reports.borrow().len(), 1);
}

#[test]
fn directories_spread_and_files_stay() {
    let image = Image::make("inodes-spread", "16G", &["-G", "16"]);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let mut flexes = BTreeSet::new();
    for n in 0..8 {
        let spread = Placement::TopDirectory { spread: n * 1000 };
        let new = allocate_inode(&table, &mut disk, GroupNumber(0), spread).unwrap();
        flexes.insert(table.geo.flex_group(new.group));
        let file = allocate_inode(&table, &mut disk, new.group, Placement::File).unwrap();
        assert_eq!(file.group, new.group);
        assert_eq!(file.ino.0, new.ino.0 + 1, "packed beside its directory");
        let below = allocate_inode(&table, &mut disk, new.group, Placement::Directory).unwrap();
        assert_eq!(
            table.geo.flex_group(below.group),
            table.geo.flex_group(new.group)
        );
    }
    assert!(flexes.len() >= 6, "{flexes:?}");
}
