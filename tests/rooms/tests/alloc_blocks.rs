// SPDX-License-Identifier: GPL-2.0

//! Block allocation against a model, against failures, and against e2fsck.

mod groups;

use groups::{read_desc, Disk, Groups, Image};
use kernel::prelude::*;
use proptest::prelude::*;
use rooms::alloc::{
    allocate_blocks, bits, block_goal, free_blocks, hold_free, release_committed,
    unallocate_blocks, Claimant, GroupTable, Request, Run, Space, BLOCK_CREDITS,
};
use rooms::format::group_desc::flags::BLOCK_UNINIT;
use rooms::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rooms::store::MetaBlock;
use std::collections::BTreeSet;

/// Eight groups of 256 blocks, as many as possible never used.
fn small(name: &str) -> Image {
    let options = [
        "-g",
        "256",
        "-N",
        "512",
        "-G",
        "4",
        "-O",
        "^resize_inode,^has_journal",
    ];
    Image::make(name, "8M", &options)
}

fn request(goal: u64, want: u32) -> Request {
    Request {
        goal: PhysicalBlock(goal),
        contiguous: false,
        want,
        min: 1,
        space: Space::Now(Claimant::Completion),
    }
}

fn blocks(run: Run) -> std::ops::Range<u64> {
    run.start.0..run.start.0 + u64::from(run.len)
}

/// The file system's blocks in use, from the bitmaps on disk, which must be sound.
fn used_on_disk(disk: &Disk, table: &Groups) -> BTreeSet<u64> {
    let geo = &table.geo;
    let mut used = BTreeSet::new();
    let mut free_total = 0;
    for group in (0..geo.groups).map(GroupNumber) {
        let desc = read_desc(disk, geo, group);
        let start = geo.group_start(group).unwrap().0;
        let count = geo.group_blocks(group);
        free_total += u64::from(desc.free_blocks);
        if desc.has(BLOCK_UNINIT) {
            let metadata: Vec<u64> = table
                .zone()
                .within(start..start + u64::from(count))
                .flatten()
                .collect();
            assert_eq!(desc.free_blocks, count - metadata.len() as u32);
            used.extend(metadata);
            continue;
        }
        let map = disk.get(desc.block_bitmap.0);
        desc.verify_block_bitmap(geo, map.bytes()).unwrap();
        assert_eq!(
            bits::count_clear(map.bytes(), 0..count),
            desc.free_blocks,
            "{group}"
        );
        assert!(
            bits::all(map.bytes(), count..4096 * 8, true),
            "padding of {group}"
        );
        used.extend(
            (0..count)
                .filter(|b| bits::all(map.bytes(), *b..b + 1, true))
                .map(|b| start + u64::from(b)),
        );
    }
    assert_eq!(free_total, table.counters.free_blocks());
    used
}

#[derive(Clone, Debug)]
enum Op {
    Allocate {
        goal: u64,
        want: u32,
        contiguous: bool,
    },
    /// Part of an allocated run: which one, from where, how much (modulo what there is).
    Free(usize, u32, u32),
    Commit,
    /// Fails the n-th step of the next operation.
    Fail(u64),
    /// Fails the n-th memory allocation of the next operation.
    NoMemory(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0u64..2048, prop_oneof![1u32..20, 1u32..300], any::<bool>())
            .prop_map(|(goal, want, contiguous)| Op::Allocate { goal, want, contiguous }),
        6 => (0usize..1000, 0u32..300, 1u32..300).prop_map(|(i, a, n)| Op::Free(i, a, n)),
        2 => Just(Op::Commit),
        2 => (0u64..8).prop_map(Op::Fail),
        1 => (0u64..2).prop_map(Op::NoMemory),
    ]
}

/// What the file system should hold.
struct Model {
    used: BTreeSet<u64>,
    /// Freed, but not committed.
    held: BTreeSet<u64>,
    runs: Vec<Run>,
}

fn run_ops(image: &Image, ops: Vec<Op>) {
    kernel::alloc::never_fail();
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let mut model = Model {
        used: used_on_disk(&disk, &table),
        held: BTreeSet::new(),
        runs: Vec::new(),
    };
    let total = table.counters.free_blocks();
    for op in ops {
        match op {
            Op::Fail(n) => {
                disk.countdown.set(Some(n));
                continue;
            }
            Op::NoMemory(n) => {
                kernel::alloc::fail_after(n);
                continue;
            }
            Op::Allocate {
                goal,
                want,
                contiguous,
            } => {
                let dirtied = disk.dirtied();
                let request = Request {
                    contiguous,
                    ..request(goal, want)
                };
                let result = allocate_blocks(&table, &mut disk, request);
                assert!(disk.dirtied() - dirtied <= BLOCK_CREDITS as usize);
                match result {
                    Ok(run) => {
                        assert!(run.len >= 1 && run.len <= want);
                        for block in blocks(run) {
                            assert!(model.used.insert(block), "{block} handed out twice");
                            assert!(!model.held.contains(&block), "{block} is not committed");
                        }
                        model.runs.push(run);
                    }
                    Err(ENOSPC) => assert_eq!(model.used.len() + model.held.len(), 2048),
                    Err(ENOMEM) => (),
                    Err(EROFS) => return assert!(disk.aborted()),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Op::Free(index, from, len) => {
                if model.runs.is_empty() {
                    continue;
                }
                let index = index % model.runs.len();
                let whole = model.runs[index];
                let from = from % whole.len;
                let part = Run {
                    start: PhysicalBlock(whole.start.0 + u64::from(from)),
                    len: len.min(whole.len - from),
                };
                match free_blocks(&table, &mut disk, part) {
                    Ok(()) => {
                        for block in blocks(part) {
                            assert!(model.used.remove(&block));
                            model.held.insert(block);
                        }
                        model.runs.swap_remove(index);
                        let after = part.start.0 + u64::from(part.len);
                        for (start, len) in
                            [(whole.start.0, from), (after, whole.len - from - part.len)]
                        {
                            if len > 0 {
                                model.runs.push(Run {
                                    start: PhysicalBlock(start),
                                    len,
                                });
                            }
                        }
                    }
                    Err(ENOMEM) => (),
                    Err(EROFS) => return assert!(disk.aborted()),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Op::Commit => {
                table.committed(disk.commit());
                model.held.clear();
            }
        }
        disk.countdown.set(None);
        kernel::alloc::never_fail();
        assert_eq!(used_on_disk(&disk, &table), model.used);
        assert_eq!(table.counters.reserved(), 0);
        assert_eq!(table.counters.uncommitted(), model.held.len() as u64);
        assert_eq!(table.counters.mismatches(), 0);
        assert_eq!(*table.reports.borrow(), []);
    }
    disk.countdown.set(None);
    kernel::alloc::never_fail();
    for run in std::mem::take(&mut model.runs) {
        free_blocks(&table, &mut disk, run).unwrap();
    }
    assert_eq!(table.counters.free_blocks(), total);
}

#[test]
fn any_sequence_matches_the_model() {
    let image = small("model");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&proptest::collection::vec(op(), 1..80), |ops| {
            run_ops(&image, ops);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_failure_leaves_all_as_it_was() {
    let image = small("failures");
    for n in 0.. {
        // A group that was never used, then one in use; then a free.
        let mut disk = Disk::open(&image.path);
        let table = Groups::load(&disk);
        let before = used_on_disk(&disk, &table);
        disk.countdown.set(Some(n));
        let run = allocate_blocks(&table, &mut disk, request(1600, 20));
        let freed = run.and_then(|run| free_blocks(&table, &mut disk, run));
        let done = disk.countdown.replace(None).is_some();
        if !disk.aborted() {
            let after = used_on_disk(&disk, &table);
            match (run, freed) {
                (Ok(run), Err(_)) => {
                    assert_eq!(after.difference(&before).count(), run.len as usize);
                    free_blocks(&table, &mut disk, run).unwrap();
                }
                _ => assert_eq!(after, before),
            }
            assert_eq!(table.counters.reserved(), 0);
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
fn space_runs_out_exactly() {
    let image = small("full");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let free = table.counters.free_blocks();
    let mut got = 0;
    let mut runs = Vec::new();
    while let Ok(run) = allocate_blocks(&table, &mut disk, request(700, 100)) {
        got += u64::from(run.len);
        runs.push(run);
    }
    assert_eq!(got, free);
    assert_eq!(table.counters.report().free_blocks, 0);
    // What is freed is no use before the commit.
    free_blocks(&table, &mut disk, runs[3]).unwrap();
    assert_eq!(table.counters.uncommitted(), u64::from(runs[3].len));
    assert_eq!(
        allocate_blocks(&table, &mut disk, request(0, 5)),
        Err(ENOSPC)
    );
    table.committed(disk.commit());
    let again = allocate_blocks(&table, &mut disk, request(0, runs[3].len)).unwrap();
    assert_eq!(again, runs[3]);
}

#[test]
fn reserves_are_kept() {
    let image = small("reserves");
    let disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let counters = &table.counters;
    let free = counters.free_blocks() as u32;
    let pool = 2048 / 50;
    counters.set_root_reserve(100);
    assert_eq!(
        counters.reserve(free - pool - 99, Claimant::User),
        Err(ENOSPC)
    );
    counters.reserve(free - pool - 100, Claimant::User).unwrap();
    assert_eq!(counters.report().available_blocks, 0);
    assert_eq!(counters.reserve(101, Claimant::Privileged), Err(ENOSPC));
    counters.reserve(100, Claimant::Privileged).unwrap();
    assert_eq!(
        counters.reserve(pool - pool / 2 + 1, Claimant::Promised),
        Err(ENOSPC)
    );
    counters
        .reserve(pool - pool / 2, Claimant::Promised)
        .unwrap();
    assert_eq!(counters.reserve(1, Claimant::Promised), Err(ENOSPC));
    // That one is on the device already.
    counters.reserve(pool / 2, Claimant::Completion).unwrap();
    assert_eq!(counters.reserve(1, Claimant::Completion), Err(ENOSPC));
    assert_eq!(counters.reserved(), u64::from(free));
    counters.unreserve(free);
    assert_eq!((counters.reserved(), counters.mismatches()), (0, 0));
    counters.unreserve(1);
    assert_eq!(counters.mismatches(), 1);
}

#[test]
fn delayed_blocks_are_claimed() {
    let image = small("delayed");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let free = table.counters.free_blocks();
    table.counters.reserve(30, Claimant::User).unwrap();
    let delayed = Request {
        space: Space::Delayed,
        ..request(300, 30)
    };
    let run = allocate_blocks(&table, &mut disk, delayed).unwrap();
    assert_eq!(run.len, 30);
    assert_eq!(table.counters.reserved(), 0);
    assert_eq!(table.counters.free_blocks(), free - 30);
    // Taken back, they are set aside again, and cannot be had before the commit.
    unallocate_blocks(&table, &mut disk, run).unwrap();
    assert_eq!(
        (table.counters.reserved(), table.counters.uncommitted()),
        (30, 30)
    );
    assert_eq!(table.counters.free_blocks(), free);
    let other = allocate_blocks(&table, &mut disk, delayed).unwrap();
    assert_ne!(other.start, run.start);
    table.committed(disk.commit());
    assert_eq!(
        (table.counters.reserved(), table.counters.uncommitted()),
        (0, 0)
    );
}

/// A group with a fault; allocation passes it by, once reported.
fn with_damage(name: &str, damage: impl Fn(&Disk, u64), reported: &str) {
    let image = small(name);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let desc = read_desc(&disk, &table.geo, GroupNumber(0));
    assert!(!desc.has(BLOCK_UNINIT));
    damage(&disk, desc.block_bitmap.0);
    let free = table.counters.free_blocks();
    let run = allocate_blocks(&table, &mut disk, request(200, 5)).unwrap();
    assert!(run.start.0 >= 256);
    let reports = table.reports.borrow();
    let [(group, problem)] = reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!(group, GroupNumber(0));
    assert!(problem.what.contains(reported), "{problem}");
    assert_eq!(
        table.counters.free_blocks(),
        free - 5 - u64::from(desc.free_blocks)
    );
}

#[test]
fn bad_checksum_is_reported() {
    with_damage(
        "checksum",
        |disk, at| disk.damage(at, |b| b[3] ^= 1),
        "checksum",
    );
}

#[test]
fn unreadable_bitmap_is_reported() {
    with_damage(
        "unreadable",
        |disk, at| disk.unreadable.set(Some(PhysicalBlock(at))),
        "cannot be read",
    );
}

/// What the device does not give is no corruption; and blocks that cannot be freed leak, so that
/// a truncate comes to its end: a bitmap that could not be read made it leave blocks past the end.
#[test]
fn free_with_an_unreadable_bitmap_leaks() {
    let image = small("unreadable-free");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let run = allocate_blocks(&table, &mut disk, request(200, 10)).unwrap();
    let (group, _) = table.geo.group_of(run.start).unwrap();
    let desc = read_desc(&disk, &table.geo, group);
    disk.unreadable.set(Some(desc.block_bitmap));
    let table = Groups::load(&disk);
    free_blocks(&table, &mut disk, run).unwrap();
    {
        let reports = table.reports.borrow();
        let [(reported, problem)] = reports[..] else {
            panic!("{reports:?}")
        };
        assert_eq!((reported, problem.errno()), (group, EIO));
    }
    free_blocks(&table, &mut disk, run).unwrap();
    assert_eq!(table.reports.borrow().len(), 1);
    disk.unreadable.set(None);
    assert_eq!(read_desc(&disk, &table.geo, group), desc);
}

/// The data for which blocks were allocated is still promised its space where they leak.
#[test]
fn taking_back_into_a_bad_group_keeps_the_promise() {
    let image = small("unreadable-unallocate");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    table.counters.reserve(10, Claimant::User).unwrap();
    let delayed = Request {
        space: Space::Delayed,
        ..request(200, 10)
    };
    let run = allocate_blocks(&table, &mut disk, delayed).unwrap();
    assert_eq!((run.len, table.counters.reserved()), (10, 0));
    let (group, _) = table.geo.group_of(run.start).unwrap();
    let desc = read_desc(&disk, &table.geo, group);
    let free = table.counters.free_blocks();
    disk.unreadable.set(Some(desc.block_bitmap));
    unallocate_blocks(&table, &mut disk, run).unwrap();
    assert_eq!(table.counters.reserved(), 10);
    assert_eq!(
        table.counters.free_blocks(),
        free - u64::from(desc.free_blocks)
    );
}

#[test]
fn double_free_and_bad_free_are_refused() {
    let image = small("bad-free");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let run = allocate_blocks(&table, &mut disk, request(600, 10)).unwrap();
    let used = used_on_disk(&disk, &table);
    let metadata = Run {
        start: PhysicalBlock(1),
        len: 1,
    };
    assert_eq!(free_blocks(&table, &mut disk, metadata), Err(EFSCORRUPTED));
    let outside = Run {
        start: PhysicalBlock(2040),
        len: 9,
    };
    assert_eq!(free_blocks(&table, &mut disk, outside), Err(EFSCORRUPTED));
    assert_eq!(used_on_disk(&disk, &table), used);
    free_blocks(&table, &mut disk, run).unwrap();
    free_blocks(&table, &mut disk, run).unwrap();
    assert!(table
        .reports
        .borrow()
        .last()
        .unwrap()
        .1
        .what
        .contains("is free"));
    // The group is out of use now; leaking into it is no error.
    free_blocks(&table, &mut disk, run).unwrap();
    let next = allocate_blocks(&table, &mut disk, request(600, 10)).unwrap();
    assert!(next.start.0 < 512 || next.start.0 >= 768);
}

#[test]
fn a_file_on_an_idle_file_system_stays_whole() {
    let image = Image::make("idle", "4G", &[]);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let ino = InodeNumber(12);
    let mut left = 262_144;
    let mut runs: Vec<Run> = Vec::new();
    while left > 0 {
        let goal = match runs.last() {
            Some(run) => PhysicalBlock(run.start.0 + u64::from(run.len)),
            None => block_goal(&table.geo, ino, true, left),
        };
        let contiguous = !runs.is_empty();
        let wish = Request {
            goal,
            contiguous,
            ..request(0, left)
        };
        let run = allocate_blocks(&table, &mut disk, wish).unwrap();
        left -= run.len;
        runs.push(run);
    }
    assert!(runs.len() <= 10, "{runs:?}");
    assert!(
        table.locks.get() < 40,
        "{} groups locked",
        table.locks.get()
    );
    for run in runs {
        free_blocks(&table, &mut disk, run).unwrap();
    }
}

#[test]
fn a_huge_file_system_is_not_searched_group_by_group() {
    let image = Image::make("huge", "1T", &["-N", "200000", "-J", "size=4"]);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    assert_eq!(table.geo.groups, 8192);
    let far = table.geo.blocks - 100_000;
    for (goal, want) in [(10, 1), (10, 100_000), (far, 30_000), (far, 1)] {
        table.locks.set(0);
        allocate_blocks(&table, &mut disk, request(goal, want)).unwrap();
        assert!(
            table.locks.get() <= 2,
            "{} locks for {want}",
            table.locks.get()
        );
    }
}

#[test]
fn small_files_lie_side_by_side() {
    let image = Image::make("beside", "256M", &[]);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let goal = block_goal(&table.geo, InodeNumber(12), true, 3);
    let first = allocate_blocks(&table, &mut disk, request(goal.0, 3)).unwrap();
    let second = allocate_blocks(&table, &mut disk, request(goal.0, 4)).unwrap();
    assert_eq!(second.start.0, first.start.0 + 3);
}

#[test]
fn e2fsck_finds_nothing() {
    let image = Image::make("fsck", "1G", &[]);
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let mut runs = Vec::new();
    for n in 0..400u32 {
        let wish = request(u64::from(n) * 700, 1 + n * 7 % 1500);
        runs.push(allocate_blocks(&table, &mut disk, wish).unwrap());
    }
    disk.write_back();
    let said = image.e2fsck();
    assert!(said.contains("Block bitmap differences:  -"), "{said}");
    assert!(
        !said.contains("checksum") && !said.contains("Padding"),
        "{said}"
    );
    for run in runs {
        free_blocks(&table, &mut disk, run).unwrap();
    }
    disk.write_back();
    assert_eq!(image.e2fsck(), "");
}

/// What `fstrim` is about to discard must not become anybody's meanwhile.
#[test]
fn what_is_held_is_not_handed_out() {
    let image = small("held");
    let mut disk = Disk::open(&image.path);
    let table = Groups::load(&disk);
    let used = used_on_disk(&disk, &table);
    let total = table.counters.free_blocks();
    let hold = |group, within, min| hold_free(&table, &disk, group, within, min).unwrap();
    assert_eq!(hold(GroupNumber(0), 0..256, 257), None);
    let mut held = Vec::new();
    for group in (0..table.geo.groups).map(GroupNumber) {
        let (first, len) = (
            table.geo.group_start(group).unwrap(),
            table.geo.group_blocks(group),
        );
        let mut from = 0;
        while let Some(run) = hold(group, from..len, 1) {
            assert!(blocks(run).all(|block| !used.contains(&block)));
            from = u32::try_from(run.start.0 - first.0).unwrap() + run.len;
            held.push(run);
        }
        assert_eq!(hold(group, 0..len, 1), None, "held twice");
    }
    let sum: u64 = held.iter().map(|run| u64::from(run.len)).sum();
    assert_eq!(sum, total);
    // They are free all the same.
    assert_eq!(table.counters.free_blocks(), total);
    assert_eq!(table.counters.uncommitted(), total);
    assert_eq!(
        allocate_blocks(&table, &mut disk, request(100, 1)),
        Err(ENOSPC)
    );
    for run in held {
        release_committed(&table, run).unwrap();
    }
    assert_eq!(table.counters.uncommitted(), 0);
    assert_eq!(used_on_disk(&disk, &table), used);
    allocate_blocks(&table, &mut disk, request(100, 1)).unwrap();
}
