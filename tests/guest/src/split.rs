// SPDX-License-Identifier: GPL-2.0

//! A disk without a free block: what was allocated ahead can still be written,
//! though that splits its extents and takes room in the trees. Who asks for a
//! block gets an error, and nothing else changes.

use crate::ops::pattern;
use anyhow::{ensure, Context, Result};
use guest::direct::Aligned;
use rustix::fs::{fallocate, fdatasync, FallocateFlags};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const BLOCK: u64 = 4096;
/// Pieces of three blocks in one file, each an extent that a write into its
/// middle makes three of.
const PIECES: u64 = 1500;
/// Files of two pieces: six extents do not fit the inode, so each takes a block.
const FILES: u64 = 150;

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    Ok(options.open(path)?)
}

fn small(dir: &Path, i: u64) -> PathBuf {
    dir.join(format!("two-{i}"))
}

fn allocate(file: &File, pieces: u64) -> Result<()> {
    for piece in 0..pieces {
        fallocate(file, FallocateFlags::empty(), piece * 4 * BLOCK, 3 * BLOCK)?;
    }
    Ok(())
}

/// Takes every block that root can have.
fn fill(dir: &Path) -> Result<()> {
    let mut filler = File::create(dir.join("filler"))?;
    let data = vec![1; 1 << 20];
    for len in [1 << 20, 64 << 10, 4096, 4096] {
        while filler
            .write_all(data.get(..len).unwrap_or_default())
            .is_ok()
        {}
        rustix::fs::sync();
    }
    let more = filler.write_all(&[1; 4096]);
    ensure!(is_full(more.err()), "the disk does not fill");
    Ok(())
}

fn is_full(error: Option<std::io::Error>) -> bool {
    error.and_then(|e| e.raw_os_error()) == Some(Errno::NOSPC.raw_os_error())
}

/// Writes into the middle of each piece, and waits until that is on disk: past
/// the page cache for every third one.
fn write_middles(path: &Path, pieces: u64) -> Result<()> {
    let (cached, direct) = (open(path)?, Aligned::open(path)?);
    for piece in 0..pieces {
        let (data, at) = (middle(piece), (piece * 4 + 1) * BLOCK);
        if piece % 3 == 0 {
            direct.write(&data, at)?;
        } else {
            cached.write_all_at(&data, at)?;
        }
    }
    Ok(fdatasync(&cached)?)
}

fn middle(piece: u64) -> Vec<u8> {
    pattern(piece, 0, BLOCK as usize)
}

fn expect_middles(path: &Path, pieces: u64) -> Result<()> {
    let found = fs::read(path)?;
    ensure!(found.len() as u64 == (pieces * 4 - 1) * BLOCK, "size");
    for (block, found) in (0u64..).zip(found.chunks(BLOCK as usize)) {
        let right = if block % 4 == 1 {
            found == middle(block / 4)
        } else {
            found.iter().all(|byte| *byte == 0)
        };
        ensure!(right, "block {block} of {} is lost", path.display());
    }
    Ok(())
}

/// What has no block yet does not get one.
fn refusals(dir: &Path) -> Result<()> {
    let path = dir.join("refused");
    let file = open(&path)?;
    // From the blocks ahead of the others: they are the only ones there are.
    let data = fs::read(small(dir, 0))?;
    let old = (fs::metadata(small(dir, 0))?, data);
    let direct = Aligned::open(&small(dir, 0))?;
    let appended = direct.write(&pattern(9, 0, 8 * BLOCK as usize), old.0.len() + BLOCK);
    let error = appended.err().context("a direct write found space")?;
    ensure!(
        is_full(error.downcast().ok()),
        "a direct write on a full disk was refused with another error"
    );
    let now = fs::metadata(small(dir, 0))?;
    ensure!(
        (now.len(), now.blocks()) == (old.0.len(), old.0.blocks()),
        "a refused direct write left {} bytes in {} sectors, there were {} in {}",
        now.len(),
        now.blocks(),
        old.0.len(),
        old.0.blocks()
    );
    ensure!(fs::read(small(dir, 0))? == old.1, "its data changed");

    file.set_len(4 * BLOCK)?;
    let store = Command::new("xfs_io")
        .args(["-c", "mmap -rw 0 16k", "-c", "mwrite -S 7 4k 100"])
        .arg(&path)
        .status()?;
    const SIGBUS: i32 = 7;
    ensure!(
        store.signal() == Some(SIGBUS) || store.code() == Some(128 + SIGBUS),
        "a store into a hole of a full disk ended with {store}"
    );
    file.sync_all()?;
    ensure!(
        fs::read(&path)? == vec![0; 4 * BLOCK as usize] && file.metadata()?.blocks() == 0,
        "a refused store left something"
    );
    Ok(())
}

pub fn run(dir: &Path) -> Result<()> {
    let many = dir.join("many");
    allocate(&open(&many)?, PIECES)?;
    for i in 0..FILES {
        allocate(&open(&small(dir, i))?, 2)?;
    }
    rustix::fs::sync();
    fill(dir)?;
    write_middles(&many, PIECES).context("one file of many pieces")?;
    for i in 0..FILES {
        write_middles(&small(dir, i), 2).with_context(|| format!("file {i} of two pieces"))?;
    }
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    expect_middles(&many, PIECES)?;
    for i in 0..FILES {
        expect_middles(&small(dir, i), 2)?;
    }
    refusals(dir)?;
    println!("{} extents were split", PIECES + 2 * FILES);
    Ok(())
}
