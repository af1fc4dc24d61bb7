// SPDX-License-Identifier: GPL-2.0

//! A writer to be cut off at any moment, and the check of what is left.
//!
//! Every sector says which file, generation and place it belongs to, so that
//! a reader can tell data of this file from anything else on the disk. The
//! writer tells on standard output what the file system owes it:
//!
//! - `synced FILE GENERATION LENGTH`: from now on the first LENGTH bytes of
//!   FILE are those of GENERATION;
//! - `unsure FILE`: from now on FILE may be in any state that it went through.

use anyhow::{bail, ensure, Context, Result};
use guest::chance::Chance;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;
const FILES: u64 = 40;
const MAGIC: u64 = 0x6578_7434_7273_0000;

/// Sector `index` of `file` in `generation`.
fn sector(file: u64, generation: u64, index: u64) -> [u8; SECTOR] {
    let mut chance = Chance::new((file << 48) ^ (generation << 24) ^ index);
    let mut out = [0; SECTOR];
    for (i, word) in out.chunks_exact_mut(8).enumerate() {
        let value = match i {
            0 => MAGIC ^ file,
            1 => (generation << 32) | index,
            _ => chance.word(),
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
    out
}

/// Bytes `from..to` of `file` in `generation`.
fn content(file: u64, generation: u64, from: u64, to: u64) -> Vec<u8> {
    let first = from / SECTOR as u64;
    let bytes = (first..=to / SECTOR as u64).flat_map(|i| sector(file, generation, i));
    let skip = usize::try_from(from % SECTOR as u64).unwrap_or_default();
    let take = usize::try_from(to.saturating_sub(from)).unwrap_or_default();
    bytes.skip(skip).take(take).collect()
}

#[derive(Clone, Copy, Default)]
struct Known {
    generation: u64,
    length: u64,
}

struct Writer {
    dir: PathBuf,
    chance: Chance,
    known: Vec<Known>,
    generation: u64,
    /// Open files without a name: orphans, should the power go now.
    nameless: VecDeque<File>,
    churned: u64,
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

impl Writer {
    fn path(&self, file: u64) -> PathBuf {
        self.dir.join(format!("f{file}"))
    }

    fn known(&mut self, file: u64) -> Result<&mut Known> {
        self.known
            .get_mut(usize::try_from(file)?)
            .context("no such file")
    }

    fn synced(&mut self, file: u64) -> Result<()> {
        let k = *self.known(file)?;
        say(&format!("synced {file} {} {}", k.generation, k.length))
    }

    /// Writes all of a new generation to `path`.
    fn write_new(&mut self, file: u64, path: &Path) -> Result<File> {
        self.generation += 1;
        let scale = 1 << self.chance.below(20);
        let length = self.chance.below(1 + scale);
        let generation = self.generation;
        let out = File::create(path)?;
        let mut at = 0;
        while at < length {
            let to = length.min(at + 1 + self.chance.below(80_000));
            out.write_all_at(&content(file, generation, at, to), at)?;
            at = to;
        }
        *self.known(file)? = Known { generation, length };
        Ok(out)
    }

    fn step(&mut self) -> Result<()> {
        let file = self.chance.below(FILES);
        let path = self.path(file);
        match self.chance.below(10) {
            0 | 1 => {
                say(&format!("unsure {file}"))?;
                let out = self.write_new(file, &path)?;
                if self.chance.below(2) == 0 {
                    out.sync_all()?;
                    self.synced(file)?;
                }
            }
            2..=4 => {
                let k = *self.known(file)?;
                let Ok(out) = OpenOptions::new().write(true).open(&path) else {
                    return Ok(());
                };
                let to = k.length + 1 + self.chance.below(30_000);
                out.write_all_at(&content(file, k.generation, k.length, to), k.length)?;
                self.known(file)?.length = to;
                if self.chance.below(2) == 0 {
                    out.sync_data()?;
                    self.synced(file)?;
                }
            }
            5 => {
                // the careful way to replace a file
                let new = self.dir.join(format!("new{file}"));
                let out = self.write_new(file, &new)?;
                out.sync_all()?;
                say(&format!("unsure {file}"))?;
                fs::rename(&new, &path)?;
                File::open(&self.dir)?.sync_all()?;
                self.synced(file)?;
            }
            6 => {
                say(&format!("unsure {file}"))?;
                let _ = fs::remove_file(&path);
                *self.known(file)? = Known::default();
            }
            7 => {
                // cut, then grown over the cut by the next append
                let k = *self.known(file)?;
                if let Ok(out) = OpenOptions::new().write(true).open(&path) {
                    say(&format!("unsure {file}"))?;
                    let length = self.chance.below(k.length + 1);
                    out.set_len(length)?;
                    self.known(file)?.length = length;
                }
            }
            8 => {
                let name = self.dir.join("nameless");
                let out = File::create(&name)?;
                out.write_all_at(&content(99, 1, 0, 100_000), 0)?;
                fs::remove_file(&name)?;
                self.nameless.push_back(out);
                if self.nameless.len() > 5 {
                    self.nameless.pop_front();
                }
            }
            _ => self.churn()?,
        }
        Ok(())
    }

    /// Names come and go in a directory of their own.
    fn churn(&mut self) -> Result<()> {
        self.churned += 1;
        let n = self.churned;
        let dir = self.dir.join(format!("d{}", n % 8));
        match fs::create_dir(&dir) {
            Ok(()) => {
                for i in 0..60 {
                    File::create(dir.join(format!("{i}-{}", "n".repeat(i))))?;
                }
                fs::rename(dir.join("0-"), self.dir.join(format!("m{}", n % 8)))?;
            }
            Err(_) => fs::remove_dir_all(&dir)?,
        }
        Ok(())
    }
}

/// Writes until it is cut off (or `seconds` are over).
pub fn write(dir: &Path, seed: u64, seconds: u64) -> Result<()> {
    let start = std::time::Instant::now();
    let mut writer = Writer {
        dir: dir.to_owned(),
        chance: Chance::new(seed),
        known: vec![Known::default(); usize::try_from(FILES)?],
        // generations of earlier runs on the same disk are smaller
        generation: std::time::UNIX_EPOCH.elapsed()?.as_secs() & 0xFFF_FFFF,
        nameless: VecDeque::new(),
        churned: 0,
    };
    for file in 0..FILES {
        let _ = fs::remove_file(writer.path(file));
    }
    say("writing")?;
    while start.elapsed().as_secs() < seconds {
        writer.step()?;
    }
    Ok(())
}

/// Checks what a cut left in `dir`. Standard input lists what is owed, as
/// `FILE GENERATION LENGTH`.
pub fn verify(dir: &Path) -> Result<()> {
    let mut owed = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().context("a number is missing");
        let (file, generation, length) = (next()??, next()??, next()??);
        let found = fs::read(dir.join(format!("f{file}")))
            .with_context(|| format!("the synced file f{file}"))?;
        ensure!(
            found.len() as u64 >= length,
            "f{file} has {} bytes, but {length} were synced",
            found.len()
        );
        let expected = content(file, generation, 0, length);
        if let Some(at) = expected.iter().zip(&found).position(|(a, b)| a != b) {
            bail!("f{file}: byte {at} of {length} synced ones is not what was written");
        }
        owed += 1;
    }
    let mut seen = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix('f').or_else(|| name.strip_prefix("new"));
        let Some(file) = number.and_then(|n| n.parse().ok()) else {
            continue;
        };
        only_own(file, &fs::read(entry.path())?).with_context(|| name.clone())?;
        seen += 1;
    }
    println!("{owed} synced files whole, {seen} files with no byte that is not theirs");
    Ok(())
}

/// Every sector is zero, or one that was written to this file at this place.
fn only_own(file: u64, data: &[u8]) -> Result<()> {
    for (index, found) in data.chunks(SECTOR).enumerate() {
        if found.iter().all(|b| *b == 0) {
            continue;
        }
        let word: [u8; 8] = match found.get(8..16) {
            Some(w) => w.try_into()?,
            None => continue,
        };
        let generation = u64::from_le_bytes(word) >> 32;
        let expected = sector(file, generation, index as u64);
        // an append that was cut off may leave zeros after its start
        let same = found
            .iter()
            .zip(&expected)
            .take_while(|(a, b)| a == b)
            .count();
        let rest_zero = found.get(same..).is_some_and(|r| r.iter().all(|b| *b == 0));
        ensure!(
            same == found.len() || (same > 0 && rest_zero),
            "sector {index} holds bytes that were never written to it: {:02x?}",
            found.get(..16)
        );
    }
    Ok(())
}
