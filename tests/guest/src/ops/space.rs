// SPDX-License-Identifier: GPL-2.0

//! `fallocate()` in all its modes, and the map of a file: holes, data, extents.

use super::data::{expect_data, read_write, reread};
use super::state::commits;
use super::{block_size, blocks_touched, check, pattern, refused, same, Test};
use anyhow::{bail, ensure, Context, Result};
use guest::chance::Chance;
use guest::direct::Aligned;
use rustix::fs::{
    fallocate, removexattr, seek, setxattr, stat, FallocateFlags as Flags, SeekFrom, XattrFlags,
};
use rustix::io::Errno;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    ("allocate", allocate),
    ("allocate_refused", allocate_refused),
    ("punch_hole", punch_hole),
    ("zero_range", zero_range),
    ("zero_range_over_dirty_unwritten", zero_dirty_unwritten),
    ("write_zeroes", write_zeroes),
    ("collapse_range", collapse_range),
    ("insert_range", insert_range),
    ("moves_refused", moves_refused),
    ("moves_over_many_extents", moves_many),
    ("moves_in_one_transaction", moves_at_once),
    ("random_changes", random_changes),
    ("holes_and_data", holes_and_data),
    ("extents_reported", extents_reported),
    ("attributes_reported", attributes_reported),
    ("directory_reported", directory_reported),
    ("block_map_of_dirty_data", block_map_of_dirty_data),
    ("swap_file", swap_file),
];

const BLOCK: u64 = 4096;

/// Fails unless the file occupies `blocks` blocks, and a node of the extent tree at most.
fn occupies(p: &Path, blocks: u64, what: &str) -> Result<()> {
    let found = u64::try_from(stat(p)?.st_blocks)?;
    let sectors = block_size(p)? / 512;
    check!(
        [blocks * sectors, (blocks + 1) * sectors].contains(&found),
        "{what}: {found} sectors, not those of {blocks} blocks"
    );
    Ok(())
}

fn allocate(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    fallocate(&f, Flags::empty(), 1000, 100_000)?;
    same!(f.metadata()?.len(), 101_000, "size");
    occupies(&p, blocks_touched(d, 1000..101_000)?, "sectors")?;
    expect_data(&p, &[0; 101_000], "allocated and not written")?;
    fallocate(&f, Flags::KEEP_SIZE, 101_000, 500_000)?;
    same!(f.metadata()?.len(), 101_000, "size that was to be kept");
    let more = blocks_touched(d, 1000..601_000)?;
    occupies(&p, more, "sectors past the end")?;
    let piece = pattern(1, 0, 5000);
    f.write_all_at(&piece, 50_000)?;
    f.write_all_at(&piece, 110_000)?;
    let mut data = vec![0; 115_000];
    data[50_000..55_000].copy_from_slice(&piece);
    data[110_000..].copy_from_slice(&piece);
    expect_data(&p, &data, "written into allocated blocks")?;
    occupies(&p, more, "sectors after writing")?;
    // What was allocated past the end goes with a truncate to the same size.
    f.set_len(115_000)?;
    f.sync_all()?;
    let fewer = blocks_touched(d, 1000..115_000)?;
    occupies(&p, fewer, "without those past the end")
}

fn allocate_refused(d: &Path) -> Result<()> {
    let f = read_write(&d.join("file"))?;
    for flags in [
        Flags::UNSHARE_RANGE,
        Flags::UNSHARE_RANGE | Flags::KEEP_SIZE,
        Flags::PUNCH_HOLE,
        Flags::COLLAPSE_RANGE | Flags::KEEP_SIZE,
        Flags::INSERT_RANGE | Flags::KEEP_SIZE,
        Flags::COLLAPSE_RANGE | Flags::ZERO_RANGE,
    ] {
        refused(fallocate(&f, flags, 0, 4096), Errno::OPNOTSUPP, "a mode")?;
    }
    refused(fallocate(&f, Flags::empty(), 0, 0), Errno::INVAL, "nothing")?;
    refused(
        fallocate(&f, Flags::empty(), 1 << 44, 4096),
        Errno::FBIG,
        "past the largest file",
    )?;
    refused(
        fallocate(File::open(d.join("file"))?, Flags::empty(), 0, 1),
        Errno::BADF,
        "a file opened for reading",
    )
}

/// A file of `len` patterned bytes, on disk or not.
fn patterned(p: &Path, len: usize, synced: bool) -> Result<(File, Vec<u8>)> {
    let f = read_write(p)?;
    let data = pattern(len as u64, 0, len);
    f.set_len(0)?;
    f.write_all_at(&data, 0)?;
    if synced {
        reread(&f)?;
    }
    Ok((f, data))
}

const RANGES: [Range<usize>; 7] = [
    0..100,
    4096..8192,
    5000..6000,
    5000..20_000,
    8000..50_001,
    90_000..100_000,
    99_000..300_000,
];

fn punch_hole(d: &Path) -> Result<()> {
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        for range in RANGES {
            let (f, mut data) = patterned(&p, 100_000, synced)?;
            let flags = Flags::PUNCH_HOLE | Flags::KEEP_SIZE;
            fallocate(&f, flags, range.start as u64, range.len() as u64)?;
            data[range.start..range.end.min(100_000)].fill(0);
            expect_data(&p, &data, &format!("a hole at {range:?}"))?;
        }
        let f = read_write(&p)?;
        fallocate(&f, Flags::PUNCH_HOLE | Flags::KEEP_SIZE, 0, 1 << 30)?;
        f.sync_all()?;
        same!(stat(&p)?.st_blocks, 0, "sectors of a file that is all hole");
    }
    Ok(())
}

fn zero_range(d: &Path) -> Result<()> {
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        for range in RANGES {
            for keep in [false, true] {
                let (f, mut data) = patterned(&p, 100_000, synced)?;
                let mut flags = Flags::ZERO_RANGE;
                flags.set(Flags::KEEP_SIZE, keep);
                fallocate(&f, flags, range.start as u64, range.len() as u64)?;
                if !keep {
                    data.resize(data.len().max(range.end), 0);
                }
                let end = range.end.min(data.len());
                data[range.start..end].fill(0);
                expect_data(&p, &data, &format!("zeros at {range:?}, {flags:?}"))?;
                let blocks = blocks_touched(d, 0..range.end.max(100_000) as u64)?;
                occupies(&p, blocks, "sectors")?;
            }
        }
    }
    Ok(())
}

/// Data in the page cache over blocks that were allocated ahead must go, and what is written
/// afterwards must stay.
fn zero_dirty_unwritten(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    for round in 0..4u64 {
        f.set_len(0)?;
        fallocate(&f, Flags::empty(), 0, 64 << 10)?;
        let mut data = pattern(round, 0, 64 << 10);
        f.write_all_at(&data, 0)?;
        if round & 1 == 1 {
            f.sync_data()?;
        }
        let (from, to) = (3000, 30_000);
        fallocate(&f, Flags::ZERO_RANGE, from, to - from)?;
        data[3000..30_000].fill(0);
        if round & 2 == 2 {
            let again = pattern(round + 9, 0, 10_000);
            f.write_all_at(&again, 10_000)?;
            data[10_000..20_000].copy_from_slice(&again);
        }
        expect_data(&p, &data, "zeros over dirty data")?;
    }
    Ok(())
}

/// `WRITE_ZEROES` is for devices that can write zeros by themselves; others refuse it, and the
/// file stays as it is.
fn write_zeroes(d: &Path) -> Result<()> {
    let p = d.join("file");
    let (f, mut data) = patterned(&p, 100_000, true)?;
    let device = f.metadata()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let limit = format!("/sys/dev/block/{major}:{minor}/queue/write_zeroes_unmap_max_hw_bytes");
    let able = std::fs::read_to_string(limit).is_ok_and(|bytes| bytes.trim() != "0");
    // `FALLOC_FL_WRITE_ZEROES`, newer than the crate
    let mode = Flags::from_bits_retain(0x80);
    let done = fallocate(&f, mode, 8192, 20_480);
    if able {
        done?;
        data[8192..28_672].fill(0);
    } else {
        refused(done, Errno::OPNOTSUPP, "a device that cannot write zeros")?;
    }
    expect_data(&p, &data, "zeros that the device writes")
}

fn collapse_range(d: &Path) -> Result<()> {
    let block = block_size(d)?;
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        for (at, len) in [(0, 1), (1, 1), (3, 10), (0, 24), (23, 1)] {
            let (f, mut data) = patterned(&p, 100_000, synced)?;
            fallocate(&f, Flags::COLLAPSE_RANGE, at * block, len * block)?;
            let range = usize::try_from(at * block)?..usize::try_from((at + len) * block)?;
            data.drain(range);
            expect_data(&p, &data, &format!("{len} blocks cut out at {at}"))?;
            let blocks = blocks_touched(d, 0..data.len() as u64)?;
            occupies(&p, blocks, "sectors")?;
        }
    }
    Ok(())
}

fn insert_range(d: &Path) -> Result<()> {
    let block = block_size(d)?;
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        for (at, len) in [(0, 1), (1, 1), (3, 10), (24, 100), (7, 3000)] {
            let (f, mut data) = patterned(&p, 100_000, synced)?;
            fallocate(&f, Flags::INSERT_RANGE, at * block, len * block)?;
            let start = usize::try_from(at * block)?;
            let zeros = vec![0; usize::try_from(len * block)?];
            data.splice(start..start, zeros);
            expect_data(&p, &data, &format!("{len} blocks put in at {at}"))?;
            occupies(&p, blocks_touched(d, 0..100_000)?, "sectors")?;
        }
    }
    Ok(())
}

fn moves_refused(d: &Path) -> Result<()> {
    let block = block_size(d)?;
    let p = d.join("file");
    let (f, data) = patterned(&p, 100_000, false)?;
    for flags in [Flags::COLLAPSE_RANGE, Flags::INSERT_RANGE] {
        for (at, len) in [(1, block), (block, 100), (100, 100)] {
            refused(
                fallocate(&f, flags, at, len),
                Errno::INVAL,
                "part of a block",
            )?;
        }
    }
    for (at, len) in [(0, 102_400), (24 * BLOCK, BLOCK), (40 * BLOCK, BLOCK)] {
        let done = fallocate(&f, Flags::COLLAPSE_RANGE, at, len);
        refused(done, Errno::INVAL, "a cut that reaches the end")?;
    }
    let done = fallocate(&f, Flags::INSERT_RANGE, 25 * BLOCK, BLOCK);
    refused(done, Errno::INVAL, "a hole behind the end")?;
    let done = fallocate(&f, Flags::INSERT_RANGE, 0, (1 << 44) - 8192);
    refused(done, Errno::FBIG, "a hole that makes the file too long")?;
    expect_data(&p, &data, "a file that nothing was done to")
}

/// A file of `count` single blocks with a hole behind each, and what is in it; on disk.
fn scattered(p: &Path, count: usize) -> Result<(File, Vec<u8>)> {
    let f = read_write(p)?;
    let mut data = vec![0; count * 8192];
    for i in 0..count {
        let piece = pattern(i as u64, 0, 4096);
        data[i * 8192..i * 8192 + 4096].copy_from_slice(&piece);
        f.write_all_at(&piece, i as u64 * 8192)?;
    }
    f.set_len(data.len() as u64)?;
    f.sync_all()?;
    Ok((f, data))
}

/// Blocks and size reach the disk together: a power cut finds all of a move, or nothing. A move
/// that went on in another transaction would have asked for the commit of the first.
fn moves_at_once(d: &Path) -> Result<()> {
    let mut seen = 0;
    // Somebody else may have asked for a commit.
    for attempt in 0..3 {
        let (f, _) = scattered(&d.join(format!("file-{attempt}")), 600)?;
        rustix::fs::sync();
        let before = commits()?;
        fallocate(&f, Flags::COLLAPSE_RANGE, 7 * BLOCK, 300 * BLOCK)?;
        fallocate(&f, Flags::INSERT_RANGE, 2 * BLOCK, 50 * BLOCK)?;
        sleep(Duration::from_secs(1));
        seen = commits()? - before;
        if seen == 0 {
            return Ok(());
        }
    }
    bail!("{seen} commits during a collapse and an insert")
}

/// More extents than one block of the tree holds.
fn moves_many(d: &Path) -> Result<()> {
    let p = d.join("file");
    let (f, mut data) = scattered(&p, 900)?;
    for (at, len) in [(5u64, 1u64), (100, 501), (0, 2)] {
        fallocate(&f, Flags::INSERT_RANGE, at * BLOCK, len * BLOCK)?;
        let start = usize::try_from(at * BLOCK)?;
        data.splice(start..start, vec![0; usize::try_from(len * BLOCK)?]);
        fallocate(&f, Flags::COLLAPSE_RANGE, (at + 40) * BLOCK, 300 * BLOCK)?;
        let start = usize::try_from((at + 40) * BLOCK)?;
        data.drain(start..start + 300 * 4096);
    }
    expect_data(&p, &data, "a file of many extents after moves")
}

/// All changes that a file can see, at random, against a vector.
fn random_changes(d: &Path) -> Result<()> {
    const MOST: u64 = 256 << 10;
    let p = d.join("file");
    let f = read_write(&p)?;
    let direct = Aligned::open(&p)?;
    let mut data: Vec<u8> = Vec::new();
    let block = block_size(d)?;
    let mut chance = Chance::new(20);
    for step in 0..700 {
        let size = data.len() as u64;
        let at = chance.below(size.max(1) + 9000).min(MOST);
        let len = 1 + chance.below(40_000);
        let (block_at, block_len) = (at / block * block, (len / block + 1) * block);
        let what = chance.below(11);
        let name = match what {
            0 | 1 => {
                let piece = pattern(step, at, usize::try_from(len)?);
                f.write_all_at(&piece, at)?;
                put(&mut data, at, &piece)?;
                "write"
            }
            2 | 3 => {
                let unit = if what == 2 { block } else { 512 };
                let (at, len) = (at / unit * unit, (len / unit + 1) * unit);
                let piece = pattern(step, at, usize::try_from(len)?);
                direct.write(&piece, at)?;
                put(&mut data, at, &piece)?;
                "direct write"
            }
            4 => {
                f.set_len(at)?;
                data.resize(usize::try_from(at)?, 0);
                "truncate"
            }
            5 => {
                fallocate(&f, Flags::PUNCH_HOLE | Flags::KEEP_SIZE, at, len)?;
                zero(&mut data, at, len)?;
                "punch"
            }
            6 => {
                fallocate(&f, Flags::ZERO_RANGE, at, len)?;
                zero(&mut data, at, len)?;
                data.resize(data.len().max(usize::try_from(at + len)?), 0);
                let end = usize::try_from(at + len)?;
                data[usize::try_from(at)?..end].fill(0);
                "zero"
            }
            7 => {
                fallocate(&f, Flags::empty(), at, len)?;
                data.resize(data.len().max(usize::try_from(at + len)?), 0);
                "allocate"
            }
            8 if block_at + block_len < size => {
                fallocate(&f, Flags::COLLAPSE_RANGE, block_at, block_len)?;
                data.drain(usize::try_from(block_at)?..usize::try_from(block_at + block_len)?);
                "collapse"
            }
            9 if block_at < size && size < MOST => {
                fallocate(&f, Flags::INSERT_RANGE, block_at, block_len)?;
                let start = usize::try_from(block_at)?;
                data.splice(start..start, vec![0; usize::try_from(block_len)?]);
                "insert"
            }
            _ => {
                if chance.below(2) == 0 {
                    reread(&f)?;
                } else {
                    f.sync_data()?;
                }
                "sync"
            }
        };
        same!(
            f.metadata()?.len(),
            data.len() as u64,
            format!("size after step {step}, {name} of {len} at {at}")
        );
        if step % 5 == 0 {
            let found = if step % 10 == 0 {
                std::fs::read(&p)?
            } else {
                direct.read(data.len())?
            };
            let bad = found.iter().zip(&data).position(|(a, b)| a != b);
            ensure!(
                bad.is_none() && found.len() == data.len(),
                "step {step}, {name} of {len} at {at}: byte {bad:?} of {} is wrong",
                data.len()
            );
        }
    }
    expect_data(&p, &data, "a file after many changes")
}

fn put(data: &mut Vec<u8>, at: u64, piece: &[u8]) -> Result<()> {
    let at = usize::try_from(at)?;
    data.resize(data.len().max(at + piece.len()), 0);
    data[at..at + piece.len()].copy_from_slice(piece);
    Ok(())
}

fn zero(data: &mut [u8], at: u64, len: u64) -> Result<()> {
    let end = usize::try_from(at + len)?.min(data.len());
    if let Some(range) = data.get_mut(usize::try_from(at)?..end) {
        range.fill(0);
    }
    Ok(())
}

/// `SEEK_HOLE` and `SEEK_DATA` see data that only the page cache has.
fn holes_and_data(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    fallocate(&f, Flags::empty(), 0, 1 << 20)?;
    f.write_all_at(&pattern(1, 0, 8192), 64 << 10)?;
    f.set_len(2 << 20)?;
    f.write_all_at(&pattern(2, 0, 4096), 3 << 19)?;
    for synced in [false, true] {
        if synced {
            f.sync_all()?;
        }
        let mut found = Vec::new();
        let mut at = 0;
        while let Ok(data) = seek(&f, SeekFrom::Data(at)) {
            at = seek(&f, SeekFrom::Hole(data))?;
            found.push((data, at));
        }
        let expected = vec![(64 << 10, 72 << 10), (3 << 19, (3 << 19) + 4096)];
        same!(found, expected, format!("data, synced {synced}"));
    }
    refused(
        seek(&f, SeekFrom::Hole(2 << 20)),
        Errno::NXIO,
        "a hole behind the end",
    )
}

/// The flags of an extent that tests look at.
const SHOWN: [&str; 5] = ["last", "unwritten", "delalloc", "unknown_loc", "inline"];

/// The extents that `filefrag` shows, in blocks, with their flags.
fn extents(p: &Path, sync: bool) -> Result<Vec<(u64, u64, String)>> {
    let options: &[&str] = if sync { &["-b4096", "-s"] } else { &["-b4096"] };
    filefrag(p, options)
}

/// The extents that `filefrag` shows with `options`: place in the file, length, flags.
fn filefrag(p: &Path, options: &[&str]) -> Result<Vec<(u64, u64, String)>> {
    let out = Command::new("filefrag")
        .arg("-v")
        .args(options)
        .arg(p)
        .output()?;
    ensure!(out.status.success(), "filefrag failed: {out:?}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut found = Vec::new();
    for line in text.lines() {
        // ext: logical_offset: physical_offset: length: expected: flags:
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let Some(Ok(_)) = fields.first().map(|n| n.parse::<u32>()) else {
            continue;
        };
        let logical = fields.get(1).context("no offset")?;
        let first = logical.split("..").next().unwrap_or_default().trim();
        let length = fields.get(3).context("no length")?;
        let flags = (fields.last().copied().unwrap_or_default())
            .split(',')
            .filter(|flag| SHOWN.contains(flag))
            .collect::<Vec<_>>()
            .join(",");
        found.push((first.parse()?, length.parse()?, flags));
    }
    Ok(found)
}

/// Where attributes lie: in the inode, in a block, nowhere.
fn attributes_reported(d: &Path) -> Result<()> {
    let last = |length: u64, flags: &str| vec![(0, length, flags.to_owned())];
    let (inline, block, none) = (d.join("inline"), d.join("block"), d.join("none"));
    for p in [&inline, &block, &none] {
        fs::write(p, "data")?;
    }
    fs::create_dir(d.join("dir"))?;
    same!(filefrag(&none, &["-x"])?, [], "no attributes");
    // Behind the fields of an inode of 256 bytes.
    for p in [&inline, &d.join("dir")] {
        setxattr(p, "user.a", b"small", XattrFlags::empty())?;
        same!(
            filefrag(p, &["-x"])?,
            last(96, "last,inline"),
            "in the inode"
        );
    }
    let most = vec![b'x'; usize::try_from(block_size(d)? * 3 / 4)?];
    setxattr(&block, "user.a", &most, XattrFlags::empty())?;
    same!(filefrag(&block, &["-x"])?, last(1, "last"), "in a block");
    removexattr(&block, "user.a")?;
    same!(filefrag(&block, &["-x"])?, [], "removed");
    Ok(())
}

/// The blocks of a directory, which has several when it has many names.
fn directory_reported(d: &Path) -> Result<()> {
    let (size, unit) = (block_size(d)?, format!("-b{}", block_size(d)?));
    let blocks = |p: &Path| -> Result<u64> { Ok(filefrag(p, &[&unit])?.iter().map(|e| e.1).sum()) };
    same!(blocks(d)?, 1, "blocks of an empty directory");
    for n in 0..200 {
        fs::write(d.join(format!("a name that takes some room, {n:060}")), "")?;
        if n % 50 == 0 {
            same!(
                blocks(d)?,
                d.metadata()?.len() / size,
                format!("after {n} names")
            );
        }
    }
    same!(blocks(d)?, d.metadata()?.len() / size, "at the end");
    check!(blocks(d)? > 3, "it is not large");
    Ok(())
}

/// `FIBMAP` of data that has no blocks yet: it gets some.
fn block_map_of_dirty_data(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    f.write_all_at(&pattern(1, 0, 3 * 4096), 0)?;
    let out = Command::new("filefrag").arg("-B").arg(&p).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    check!(
        text.contains(": 1 extent found"),
        "the blocks of dirty data: {text}"
    );
    same!(
        extents(&p, false)?,
        [(0, 3, "last".to_owned())],
        "after that"
    );
    Ok(())
}

fn extents_reported(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    f.write_all_at(&pattern(1, 0, 8192), 0)?;
    f.sync_all()?;
    fallocate(&f, Flags::empty(), 16 << 10, 8 << 10)?;
    f.write_all_at(&pattern(2, 0, 8192), 40 << 10)?;
    let shape = |flags: &[&str]| -> Vec<(u64, u64, String)> {
        let places = [(0, 2), (4, 2), (10, 2)];
        (places.iter().zip(flags))
            .map(|((a, n), f)| (*a, *n, (*f).to_owned()))
            .collect()
    };
    let found = extents(&p, false)?;
    let delayed = found.iter().map(|e| e.2.as_str()).collect::<Vec<_>>();
    check!(
        delayed == ["", "unwritten", "last,unknown_loc,delalloc"]
            || delayed == ["", "unwritten", "last"],
        "extents with delayed data: {found:?}"
    );
    same!(
        extents(&p, true)?,
        shape(&["", "unwritten", "last"]),
        "extents after a sync"
    );
    Ok(())
}

fn run(program: &str, p: &Path) -> Result<bool> {
    Ok(Command::new(program).arg(p).output()?.status.success())
}

fn swap_file(d: &Path) -> Result<()> {
    let p = d.join("swap");
    let f = read_write(&p)?;
    f.write_all_at(&vec![0; 4 << 20], 0)?;
    f.sync_all()?;
    ensure!(run("mkswap", &p)?, "mkswap");
    ensure!(run("swapon", &p)?, "swapon");
    let refused_while_used = fallocate(&f, Flags::empty(), 0, 4096);
    let write = rustix::io::pwrite(&f, b"x", 0);
    ensure!(run("swapoff", &p)?, "swapoff");
    refused(
        refused_while_used,
        Errno::TXTBSY,
        "allocating in a swap file",
    )?;
    refused(write, Errno::TXTBSY, "writing to a swap file")?;
    // With a hole it is no use.
    fallocate(&f, Flags::PUNCH_HOLE | Flags::KEEP_SIZE, 1 << 20, 4096)?;
    ensure!(!run("swapon", &p)?, "swapon of a file with a hole");
    Ok(std::fs::remove_file(p)?)
}
