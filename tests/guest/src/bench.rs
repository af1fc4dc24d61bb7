// SPDX-License-Identifier: GPL-2.0

//! The metadata load of `make bench`: storms of one operation each, timed as a
//! whole.

use anyhow::{ensure, Result};
use guest::Storm;
use rustix::fs::{fallocate, FallocateFlags as Flags};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names are long enough that a directory of a few thousand has an index.
fn name(dir: &Path, n: u64) -> PathBuf {
    dir.join(format!("a file of the bench with the number {n:08}"))
}

/// Times `count` calls of `work` and prints the result.
fn storm(label: &str, count: u64, mut work: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    for n in 0..count {
        work(n)?;
    }
    let nanoseconds = u64::try_from(start.elapsed().as_nanos())?;
    let storm = Storm {
        name: label.to_owned(),
        operations: count,
        nanoseconds,
    };
    println!("{}", serde_json::to_string(&storm)?);
    Ok(())
}

/// Forgets unused dentries and inodes; their blocks stay in memory.
fn forget_inodes() -> Result<()> {
    rustix::fs::sync();
    Ok(fs::write("/proc/sys/vm/drop_caches", "2")?)
}

/// Runs every storm with `count` files below `dir`.
pub fn run(dir: &Path, count: u64) -> Result<()> {
    let [one, other] = ["one", "other"].map(|d| dir.join(d));
    fs::create_dir(&one)?;
    fs::create_dir(&other)?;
    storm("create", count, |n| {
        File::create_new(name(&one, n))?;
        Ok(())
    })?;
    storm("stat", count, |n| {
        fs::metadata(name(&one, n))?;
        Ok(())
    })?;
    forget_inodes()?;
    storm("stat, inodes not cached", count, |n| {
        fs::metadata(name(&one, n))?;
        Ok(())
    })?;
    storm("readdir", 20, |_| {
        let found = fs::read_dir(&one)?.count();
        ensure!(found as u64 == count, "{found} of {count} names");
        Ok(())
    })?;
    storm("rename", count, |n| {
        Ok(fs::rename(name(&one, n), name(&other, n))?)
    })?;
    storm("unlink", count, |n| Ok(fs::remove_file(name(&other, n))?))?;
    storm("mkdir", count / 4, |n| Ok(fs::create_dir(name(&one, n))?))?;
    storm("rmdir", count / 4, |n| Ok(fs::remove_dir(name(&one, n))?))?;
    storm("create, fsync each", count / 8, |n| {
        Ok(File::create_new(name(&one, n))?.sync_all()?)
    })?;
    let block = [0x5a; 4096];
    storm("small files, then sync", count, |n| {
        File::create_new(name(&other, n))?.write_all(&block)?;
        if n + 1 == count {
            rustix::fs::syncfs(File::open(&other)?)?;
        }
        Ok(())
    })?;
    storm("remove small files", count, |n| {
        Ok(fs::remove_file(name(&other, n))?)
    })?;
    pieces(&dir.join("in pieces"), count)
}

/// Changes of a file of which every other block is a hole.
fn pieces(file: &Path, count: u64) -> Result<()> {
    const BLOCK: u64 = 4096;
    let file = File::create_new(file)?;
    fallocate(&file, Flags::empty(), 0, 2 * count * BLOCK)?;
    storm("punch every other block", count, |n| {
        let punch = Flags::PUNCH_HOLE | Flags::KEEP_SIZE;
        Ok(fallocate(&file, punch, 2 * n * BLOCK, BLOCK)?)
    })?;
    storm("collapse, file in pieces", 20, |_| {
        Ok(fallocate(&file, Flags::COLLAPSE_RANGE, 0, BLOCK)?)
    })?;
    storm("insert, file in pieces", 20, |_| {
        Ok(fallocate(&file, Flags::INSERT_RANGE, 0, BLOCK)?)
    })?;
    storm("truncate, file in pieces", 1, |_| Ok(file.set_len(0)?))
}
