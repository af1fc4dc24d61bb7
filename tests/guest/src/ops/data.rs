// SPDX-License-Identifier: GPL-2.0

//! File data: reads, writes, holes, truncation, syncing.

use super::{check, pattern, refused, same, Test};
use anyhow::{Context, Result};
use rustix::fs::{fdatasync, fsync, open, stat, Mode, OFlags};
use rustix::io::{pwrite, Errno};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("write_read", write_read),
    ("overwrite", overwrite),
    ("append", append),
    ("holes", holes),
    ("truncate_down", truncate_down),
    ("truncate_up", truncate_up),
    ("truncate_open", truncate_open),
    ("grow_by_small_steps", grow_by_small_steps),
    ("many_extents", many_extents),
    ("beyond_4_gib", beyond_4_gib),
    ("sync_calls", sync_calls),
    ("copy", copy),
    ("two_writers", two_writers),
];

pub fn read_write(p: &Path) -> Result<File> {
    Ok(OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(p)?)
}

/// Forgets clean pages of the file, so that the next read is from the disk.
pub fn reread(f: &File) -> Result<()> {
    f.sync_all()?;
    rustix::fs::fadvise(f, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

pub fn expect_data(p: &Path, expected: &[u8], what: &str) -> Result<()> {
    for from_disk in [false, true] {
        if from_disk {
            reread(&File::open(p)?)?;
        }
        let found = fs::read(p)?;
        same!(found.len(), expected.len(), format!("{what}: length"));
        if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
            anyhow::bail!(
                "{what}: byte {at} is {:?}, expected {:?} (read {})",
                found.get(at),
                expected.get(at),
                if from_disk {
                    "from the disk"
                } else {
                    "from the page cache"
                }
            );
        }
    }
    Ok(())
}

fn write_read(d: &Path) -> Result<()> {
    for len in [0usize, 1, 511, 4095, 4096, 4097, 65_536, 1_000_003] {
        let p = d.join(format!("{len}"));
        let data = pattern(len as u64, 0, len);
        fs::write(&p, &data)?;
        expect_data(&p, &data, &format!("a file of {len} bytes"))?;
    }
    Ok(())
}

fn overwrite(d: &Path) -> Result<()> {
    let p = d.join("file");
    let mut data = pattern(1, 0, 300_000);
    fs::write(&p, &data)?;
    let f = read_write(&p)?;
    for (seed, (at, len)) in [
        (0, 10),
        (4090, 12),
        (8192, 4096),
        (100_001, 50_000),
        (299_990, 10),
    ]
    .into_iter()
    .enumerate()
    {
        if seed == 3 {
            f.sync_all()?;
        }
        let new = pattern(100 + seed as u64, 0, len);
        f.write_all_at(&new, at as u64)?;
        data.get_mut(at..at + len)
            .context("out of range")?
            .copy_from_slice(&new);
    }
    expect_data(&p, &data, "an overwritten file")
}

fn append(d: &Path) -> Result<()> {
    let p = d.join("file");
    let mut all = Vec::new();
    for i in 0..100 {
        let piece = pattern(i, 0, 777);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&p)?
            .write_all(&piece)?;
        all.extend(piece);
        if i % 30 == 0 {
            File::open(&p)?.sync_all()?;
        }
    }
    expect_data(&p, &all, "an appended file")
}

fn holes(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    let mut data = vec![0; 1_000_100];
    for at in [5000usize, 200_000, 204_800, 1_000_000] {
        let piece = pattern(at as u64, 0, 100);
        f.write_all_at(&piece, at as u64)?;
        data.get_mut(at..at + 100)
            .context("out of range")?
            .copy_from_slice(&piece);
    }
    expect_data(&p, &data, "a file with holes")?;
    let blocks = stat(&p)?.st_blocks;
    check!(
        blocks <= 8 * 8,
        "a file with four blocks of data occupies {blocks} sectors"
    );
    // a hole filled later
    let piece = pattern(9, 0, 8192);
    f.write_all_at(&piece, 500_000)?;
    data.get_mut(500_000..508_192)
        .context("out of range")?
        .copy_from_slice(&piece);
    expect_data(&p, &data, "a file with a filled hole")
}

fn truncate_down(d: &Path) -> Result<()> {
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        let mut data = pattern(3, 0, 500_000);
        fs::write(&p, &data)?;
        let f = read_write(&p)?;
        for len in [400_000, 262_144, 100_001, 4097, 4095, 1] {
            if synced {
                f.sync_all()?;
            }
            f.set_len(len)?;
            data.truncate(usize::try_from(len)?);
            expect_data(&p, &data, "a shortened file")?;
        }
        f.set_len(0)?;
        f.sync_all()?;
        same!(stat(&p)?.st_blocks, 0, "sectors of a file cut to nothing");
        f.write_all_at(b"again", 10)?;
        expect_data(
            &p,
            b"\0\0\0\0\0\0\0\0\0\0again",
            "a file written after the cut",
        )?;
    }
    Ok(())
}

/// What was cut off must read as zeros when the file grows again.
fn truncate_up(d: &Path) -> Result<()> {
    for synced in [false, true] {
        let p = d.join(format!("file-{synced}"));
        let mut data = pattern(4, 0, 20_000);
        fs::write(&p, &data)?;
        let f = read_write(&p)?;
        for (down, up) in [
            (10_000, 30_000),
            (5000, 8192),
            (8191, 100_000),
            (4096, 4097),
        ] {
            if synced {
                f.sync_all()?;
            }
            f.set_len(down)?;
            f.set_len(up)?;
            data.truncate(usize::try_from(down)?);
            data.resize(usize::try_from(up)?, 0);
            expect_data(
                &p,
                &data,
                &format!("a file cut to {down} and grown to {up}"),
            )?;
        }
    }
    Ok(())
}

fn truncate_open(d: &Path) -> Result<()> {
    let p = d.join("file");
    for i in 0..20 {
        let data = pattern(i, 0, 5000 * usize::try_from(20 - i)?);
        fs::write(&p, &data)?;
        expect_data(&p, &data, "a file rewritten with O_TRUNC")?;
    }
    Ok(())
}

/// Each step ends inside the block that the one before began.
fn grow_by_small_steps(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    let mut data = Vec::new();
    for i in 0..60u64 {
        let piece = pattern(i, 0, 1000);
        // every other step leaves a gap of 500 bytes
        let at = data.len() + if i % 2 == 1 { 500 } else { 0 };
        data.resize(at, 0);
        f.write_all_at(&piece, at as u64)?;
        data.extend(piece);
        if i % 7 == 0 {
            f.sync_data()?;
        }
    }
    expect_data(&p, &data, "a file grown by small steps")
}

/// Every other block, synced one by one: a tree with more than one level.
fn many_extents(d: &Path) -> Result<()> {
    const BLOCK: usize = 4096;
    let p = d.join("file");
    let f = read_write(&p)?;
    let count = 800;
    let mut data = vec![0; count * 2 * BLOCK];
    for i in 0..count {
        let piece = pattern(i as u64, 0, BLOCK);
        let at = i * 2 * BLOCK;
        f.write_all_at(&piece, at as u64)?;
        data.get_mut(at..at + BLOCK)
            .context("out of range")?
            .copy_from_slice(&piece);
        if i % 8 == 7 {
            f.sync_data()?;
        }
    }
    data.truncate((count * 2 - 1) * BLOCK);
    expect_data(&p, &data, "a file with many extents")?;
    fs::copy(&p, d.join("copy"))?;
    // fill some gaps, then cut in the middle
    for i in (0..count / 2).step_by(3) {
        let at = (i * 2 + 1) * BLOCK;
        let piece = pattern(i as u64 + 7000, 0, BLOCK);
        f.write_all_at(&piece, at as u64)?;
        data.get_mut(at..at + BLOCK)
            .context("out of range")?
            .copy_from_slice(&piece);
    }
    expect_data(&p, &data, "a file with filled gaps")?;
    let len = count * BLOCK + 17;
    f.set_len(len as u64)?;
    data.truncate(len);
    expect_data(&p, &data, "a file of many extents cut in the middle")?;
    fs::remove_file(d.join("copy"))?;
    Ok(())
}

fn beyond_4_gib(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    let piece = pattern(5, 0, 6000);
    let places = [0, (1u64 << 32) - 3000, 5 << 30, (1 << 40) + 1];
    for at in places {
        f.write_all_at(&piece, at)?;
    }
    reread(&f)?;
    for at in places {
        let mut found = vec![0; 6000];
        f.read_exact_at(&mut found, at)?;
        check!(found == piece, "other data at {at}");
    }
    let mut zeros = [1; 100];
    f.read_exact_at(&mut zeros, 3 << 30)?;
    check!(zeros == [0; 100], "a hole at 3 GiB is not zero");
    same!(f.metadata()?.len(), (1 << 40) + 6001, "size");
    refused(
        pwrite(&f, b"x", (1 << 44) - 4096),
        Errno::FBIG,
        "a write beyond the largest file",
    )?;
    f.set_len(6000)?;
    expect_data(&p, &piece, "a huge file cut short")
}

fn sync_calls(d: &Path) -> Result<()> {
    let f = open(
        d.join("file"),
        OFlags::CREATE | OFlags::RDWR,
        Mode::from_raw_mode(0o644),
    )?;
    for i in 0..10u64 {
        pwrite(&f, b"data", i * 4)?;
        if i % 2 == 0 {
            fsync(&f)?;
        } else {
            fdatasync(&f)?;
        }
    }
    rustix::fs::syncfs(&f)?;
    let dir = File::open(d)?;
    dir.sync_all()?;
    let s = OFlags::CREATE | OFlags::WRONLY | OFlags::SYNC;
    let f = open(d.join("o_sync"), s, Mode::from_raw_mode(0o644))?;
    pwrite(&f, b"data", 10_000)?;
    same!(
        stat(d.join("o_sync"))?.st_size,
        10_004,
        "size after an O_SYNC write"
    );
    Ok(())
}

fn copy(d: &Path) -> Result<()> {
    let data = pattern(11, 0, 2_000_000);
    fs::write(d.join("from"), &data)?;
    fs::copy(d.join("from"), d.join("to"))?;
    expect_data(&d.join("to"), &data, "a copy")
}

/// Two threads write disjoint parts of one file while it is read and synced.
fn two_writers(d: &Path) -> Result<()> {
    const PIECE: usize = 3000;
    let p = d.join("file");
    let f = read_write(&p)?;
    let write = |first: usize| -> Result<()> {
        for i in (first..400).step_by(2) {
            f.write_all_at(&pattern(i as u64, 0, PIECE), (i * PIECE) as u64)?;
            if i % 50 < 2 {
                f.sync_data()?;
            }
        }
        Ok(())
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..2).map(|t| s.spawn(move || write(t))).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let all: Vec<u8> = (0..400).flat_map(|i| pattern(i, 0, PIECE)).collect();
    expect_data(&p, &all, "a file with two writers")
}
