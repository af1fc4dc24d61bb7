// SPDX-License-Identifier: GPL-2.0

//! Races of the data path, forced: one task is held between two lines by an
//! error tag while another one does its worst. Each must end as if one of the
//! two had come first, with true books.

mod faults;
mod size;
mod tag;
mod writeback;

use crate::ops::pattern;
use crate::verdicts::Verdicts;
use anyhow::{bail, ensure, Context, Result};
use rustix::fs::{fadvise, Advice};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tag::Knobs;

const BLOCK: u64 = 4096;

type Race = (&'static str, fn(&Scene) -> Result<()>);

const RACES: &[&[Race]] = &[writeback::RACES, size::RACES, faults::RACES];

/// A file of its own for each race, and the knobs of its file system.
pub struct Scene {
    path: PathBuf,
    knobs: Knobs,
}

impl Scene {
    fn open(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        Ok(options.open(&self.path)?)
    }

    /// A file whose `blocks` blocks are all delayed, each in a folio of its
    /// own, and whose size is on disk already: so a truncate need not wait for
    /// the writeback of what comes before its end.
    fn delayed(&self, blocks: u64) -> Result<File> {
        let file = self.open()?;
        file.set_len(blocks * BLOCK)?;
        file.sync_all()?;
        for block in 0..blocks {
            file.write_all_at(&content(1, block), block * BLOCK)?;
        }
        ensure!(
            self.knobs.delayed_blocks()? == blocks,
            "{} blocks are delayed after writing {blocks}",
            self.knobs.delayed_blocks()?
        );
        Ok(file)
    }

    /// Stores 50 bytes `value` at byte `at` through a mapping.
    fn store(&self, at: u64, value: u8) -> Result<()> {
        let store = format!(
            "xfs_io -c 'mmap -rw 0 {}' -c 'mwrite -S {value} {at} 50' {}",
            at + BLOCK,
            self.path.display()
        );
        let stored = Command::new("sh").args(["-c", &store]).status()?;
        ensure!(stored.success(), "the store failed: {stored}");
        Ok(())
    }

    /// Nothing is reserved any more, as many blocks are allocated as are
    /// expected, and the disk holds what is expected.
    fn judge(&self, file: &File, expected: &[u8], blocks: u64) -> Result<()> {
        file.sync_all().context("the last fsync")?;
        let delayed = self.knobs.delayed_blocks()?;
        ensure!(delayed == 0, "{delayed} blocks stay reserved");
        let found = file.metadata()?.blocks() / (BLOCK / 512);
        ensure!(
            found == blocks,
            "{found} blocks are allocated, expected {blocks}"
        );
        fadvise(file, 0, None, Advice::DontNeed)?;
        self.holds(expected)
    }

    /// The file reads as `expected`.
    fn holds(&self, expected: &[u8]) -> Result<()> {
        let found = std::fs::read(&self.path)?;
        ensure!(
            found.len() == expected.len(),
            "{} bytes, expected {}",
            found.len(),
            expected.len()
        );
        match found.iter().zip(expected).position(|(a, b)| a != b) {
            Some(at) => bail!("byte {at} is not what it should be"),
            None => Ok(()),
        }
    }
}

/// One block's bytes.
fn content(seed: u64, block: u64) -> Vec<u8> {
    pattern(seed, block * BLOCK, BLOCK as usize)
}

/// Blocks one after the other: `Some(block)` is that one's content as
/// [`Scene::delayed`] writes it, `None` reads as zeros.
fn blocks(list: &[Option<u64>]) -> Vec<u8> {
    let block = |b: &Option<u64>| match b {
        Some(b) => content(1, *b),
        None => vec![0; BLOCK as usize],
    };
    list.iter().flat_map(block).collect()
}

/// Runs the races whose names contain one of `only`, or all, each with a file
/// below `dir` on the device `device`.
pub fn run(dir: &Path, device: &str, only: &[String]) -> Result<()> {
    let mut verdicts = Verdicts::default();
    for (name, race) in RACES.iter().copied().flatten() {
        if !only.is_empty() && !only.iter().any(|word| name.contains(word)) {
            continue;
        }
        let scene = Scene {
            path: dir.join(name),
            knobs: Knobs::of(device)?,
        };
        let result = race(&scene);
        scene.knobs.all_off()?;
        rustix::fs::sync();
        verdicts.add(name, result);
    }
    let Verdicts { passed, failed } = verdicts;
    if !failed.is_empty() {
        bail!("{} races lost: {}", failed.len(), failed.join(" "));
    }
    ensure!(passed > 0, "no race matches {only:?}");
    println!("{passed} races ended well");
    Ok(())
}
