// SPDX-License-Identifier: GPL-2.0

//! Operations, and carrying them out.
//!
//! Paths are below the world's directory; places and lengths in files count cells.

use super::content::{mapped_byte, Value, CELL};
use crate::direct;
use anyhow::{ensure, Context, Result};
use rustix::fs::{fallocate, FallocateFlags};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{symlink, FileExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a write gets into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Buffered,
    Direct,
    /// By stores to a mapping.
    Mapped,
}

/// What fallocate(2) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Allocate,
    /// With KEEP_SIZE.
    Reserve,
    Punch,
    Zero,
    /// Whole blocks only, as the next one.
    Collapse,
    Insert,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create(String),
    Mkdir(String),
    Symlink {
        path: String,
        target: String,
    },
    Link {
        from: String,
        to: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink(String),
    /// Unlinked while it is open: an orphan, should the power go.
    Orphan(String),
    Rmdir(String),
    Write {
        path: String,
        at: u32,
        cells: u32,
        how: How,
    },
    Truncate {
        path: String,
        cells: u32,
    },
    Space {
        path: String,
        what: Space,
        at: u32,
        cells: u32,
    },
    /// Of a file or, with an empty path or that of one, a directory.
    Fsync(String),
    Fdatasync(String),
    Sync,
}

/// The directory that a name is in.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn bytes(cells: u32) -> u64 {
    u64::from(cells) * CELL as u64
}

/// Carries out the operations of one world.
pub struct Actor {
    world: u32,
    top: PathBuf,
    /// Open files without a name.
    orphans: VecDeque<File>,
    /// For operations on the whole file system.
    held: File,
}

impl Actor {
    /// Makes the directory `top`.
    pub fn new(world: u32, top: &Path) -> Result<Self> {
        fs::create_dir(top)?;
        Ok(Self {
            world,
            top: top.to_owned(),
            orphans: VecDeque::new(),
            held: File::open(top)?,
        })
    }

    fn open(&self, path: &str) -> Result<File> {
        let at = self.top.join(path);
        let mut options = OpenOptions::new();
        Ok(options.read(true).write(true).open(at)?)
    }

    /// Carries out operation `number`.
    pub fn act(&mut self, number: u32, op: &Op) -> Result<()> {
        let at = |path: &str| self.top.join(path);
        match op {
            Op::Create(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).open(at(path))?;
            }
            Op::Mkdir(path) => fs::create_dir(at(path))?,
            Op::Symlink { path, target } => symlink(target, at(path))?,
            Op::Link { from, to } => fs::hard_link(at(from), at(to))?,
            Op::Rename { from, to } => fs::rename(at(from), at(to))?,
            Op::Unlink(path) => fs::remove_file(at(path))?,
            Op::Orphan(path) => {
                let file = self.open(path)?;
                fs::remove_file(at(path))?;
                self.orphans.push_back(file);
                if self.orphans.len() > 4 {
                    self.orphans.pop_front();
                }
            }
            Op::Rmdir(path) => fs::remove_dir(at(path))?,
            Op::Write {
                path,
                at: from,
                cells,
                how,
            } => self.write(number, path, *from, *cells, *how)?,
            Op::Truncate { path, cells } => self.open(path)?.set_len(bytes(*cells))?,
            Op::Space {
                path,
                what,
                at: from,
                cells,
            } => {
                let flags = match what {
                    Space::Allocate => FallocateFlags::empty(),
                    Space::Reserve => FallocateFlags::KEEP_SIZE,
                    Space::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    Space::Zero => FallocateFlags::ZERO_RANGE,
                    Space::Collapse => FallocateFlags::COLLAPSE_RANGE,
                    Space::Insert => FallocateFlags::INSERT_RANGE,
                };
                fallocate(self.open(path)?, flags, bytes(*from), bytes(*cells))?;
            }
            Op::Fsync(path) => File::open(at(path))?.sync_all()?,
            Op::Fdatasync(path) => File::open(at(path))?.sync_data()?,
            Op::Sync => rustix::fs::syncfs(&self.held)?,
        }
        Ok(())
    }

    fn write(&self, number: u32, path: &str, from: u32, cells: u32, how: How) -> Result<()> {
        let content = || -> Vec<u8> {
            let value = |cell| Value::Stamp {
                world: self.world,
                op: number,
                cell,
            };
            (from..from + cells)
                .flat_map(|cell| value(cell).bytes())
                .collect()
        };
        match how {
            How::Buffered => self.open(path)?.write_all_at(&content(), bytes(from))?,
            How::Direct => {
                direct::Aligned::open(&self.top.join(path))?.write(&content(), bytes(from))?
            }
            How::Mapped => {
                let name = self.top.join(path);
                let (at, len) = (bytes(from), bytes(cells));
                let out = Command::new("xfs_io")
                    .args(["-c", &format!("mmap -rw 0 {}", at + len)])
                    .args([
                        "-c",
                        &format!("mwrite -S {} {at} {len}", mapped_byte(number)),
                    ])
                    .arg(&name)
                    .output()
                    .context("xfs_io")?;
                ensure!(
                    out.status.success() && out.stderr.is_empty(),
                    "xfs_io: {}",
                    String::from_utf8_lossy(&out.stderr)
                );
            }
        }
        Ok(())
    }
}
