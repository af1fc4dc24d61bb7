// SPDX-License-Identifier: GPL-2.0

//! A full disk: what write(2) accepted and fsync(2) confirmed is there, the
//! space of removed files comes back, and filling again fits as much.

use crate::ops::pattern;
use anyhow::{bail, ensure, Context, Result};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const PIECE: usize = 300_000;

/// Writes files until there is no space; returns the confirmed ones.
fn fill(dir: &Path, round: u64) -> Result<Vec<(PathBuf, u64)>> {
    let mut whole = Vec::new();
    for i in 0.. {
        ensure!(i < 100_000, "the disk does not fill");
        let path = dir.join(format!("fill-{i}"));
        let seed = (round << 20) | i;
        match write_synced(&path, seed) {
            Ok(()) => whole.push((path, seed)),
            Err(e) if e.kind() == ErrorKind::StorageFull => break,
            Err(e) => return Err(e).with_context(|| format!("file {i} of a filling disk")),
        }
    }
    ensure!(whole.len() > 20, "only {} files fit", whole.len());
    Ok(whole)
}

fn write_synced(path: &Path, seed: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    for part in 0..3 {
        file.write_all(&pattern(seed, part, PIECE / 3))?;
    }
    file.sync_all()
}

fn verify(files: &[(PathBuf, u64)]) -> Result<()> {
    for (path, seed) in files {
        let expected: Vec<u8> = (0..3)
            .flat_map(|part| pattern(*seed, part, PIECE / 3))
            .collect();
        if fs::read(path)? != expected {
            bail!("{} is not what was written and synced", path.display());
        }
    }
    Ok(())
}

/// Small writes into a full disk: each is accepted whole or refused.
fn squeeze(dir: &Path) -> Result<()> {
    let refused = (0..3000).any(|i| {
        let made =
            File::create(dir.join(format!("small-{i}"))).and_then(|mut f| f.write_all(&[7; 5000]));
        made.is_err_and(|e| e.raw_os_error() == Some(Errno::NOSPC.raw_os_error()))
    });
    ensure!(refused, "a full disk took 3000 small files");
    rustix::fs::sync();
    Ok(())
}

pub fn run(dir: &Path) -> Result<()> {
    rustix::fs::sync();
    let free = rustix::fs::statvfs(dir)?.f_bfree;
    let mut counts = Vec::new();
    for round in 1..=3 {
        let files = fill(dir, round)?;
        squeeze(dir)?;
        fs::write("/proc/sys/vm/drop_caches", "3")?;
        verify(&files)?;
        counts.push(files.len());
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        rustix::fs::sync();
        let now = rustix::fs::statvfs(dir)?.f_bfree;
        ensure!(
            free.abs_diff(now) < 16,
            "{free} blocks were free, after round {round} {now} are"
        );
    }
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let spread = most.zip(least).map_or(0, |(m, l)| m - l);
    ensure!(spread <= 4, "the rounds fit {counts:?} files");
    println!("{counts:?} files fit");
    Ok(())
}
