// SPDX-License-Identifier: GPL-2.0

//! A writer of cpio archives in the `newc` format, which the kernel unpacks
//! as initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
//! The kernel takes several archives one after the other, so the parts that
//! never change are made once and the rest is appended for each run.

use super::root::Files;
use anyhow::Result;
use std::collections::BTreeSet;
use std::io::Write;

const FILE: u32 = 0o100_000;
const DIR: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

pub struct Archive<W: Write> {
    out: W,
    inode: u32,
    seen: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            inode: 0,
            seen: BTreeSet::new(),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.inode += 1;
        let name_size = name.len() + 1;
        write!(
            self.out,
            "070701{:08X}{mode:08X}{:08X}{:08X}",
            self.inode, 0, 0
        )?;
        write!(
            self.out,
            "{:08X}{:08X}{:08X}",
            1,
            0,
            u32::try_from(data.len())?
        )?;
        write!(self.out, "{:08X}{:08X}{:08X}{:08X}", 0, 0, 0, 0)?;
        write!(self.out, "{name_size:08X}{:08X}{name}\0", 0)?;
        self.pad(110 + name_size)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> Result<()> {
        let zeros = written.next_multiple_of(4) - written;
        Ok(self
            .out
            .write_all([0; 4].get(..zeros).unwrap_or_default())?)
    }

    fn parents(&mut self, name: &str) -> Result<()> {
        let Some((parent, _)) = name.rsplit_once('/') else {
            return Ok(());
        };
        self.dir(parent)
    }

    /// A directory and the ones above it. Names have no leading slash.
    pub fn dir(&mut self, name: &str) -> Result<()> {
        if self.seen.contains(name) {
            return Ok(());
        }
        self.parents(name)?;
        self.seen.insert(name.to_owned());
        self.entry(name, DIR | 0o755, &[])
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> Result<()> {
        self.parents(name)?;
        self.seen.insert(name.to_owned());
        self.entry(name, LINK | 0o777, target.as_bytes())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.seen.contains(name)
    }

    /// Ends the archive. Padded, so that another one may follow.
    pub fn finish(mut self) -> Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Files for Archive<W> {
    fn data(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.parents(name)?;
        self.seen.insert(name.to_owned());
        self.entry(name, FILE | mode, data)
    }
}
