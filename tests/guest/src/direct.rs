// SPDX-License-Identifier: GPL-2.0

//! Direct I/O.

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What buffers are aligned to, in bytes.
pub const PAGE: usize = 4096;

/// A file opened with `O_DIRECT`, and buffers that suit it.
pub struct Aligned(pub File);

impl Aligned {
    pub fn open(p: &Path) -> Result<Self> {
        Self::open_with(p, OpenOptions::new().write(true).create(true))
    }

    /// A file that is there and is not written to.
    pub fn open_to_read(p: &Path) -> Result<Self> {
        Self::open_with(p, &mut OpenOptions::new())
    }

    fn open_with(p: &Path, options: &mut OpenOptions) -> Result<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits())?;
        let options = options.read(true).truncate(false);
        Ok(Self(options.custom_flags(flags).open(p)?))
    }

    /// Calls `f` with a buffer of `len` bytes that begins at a page.
    pub fn buffer<R>(len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        let mut room = vec![0u8; len + PAGE];
        let skip = room.as_ptr().align_offset(PAGE);
        Ok(f(room.get_mut(skip..skip + len).context("no buffer")?))
    }

    pub fn write(&self, data: &[u8], at: u64) -> Result<()> {
        Self::buffer(data.len(), |buffer| {
            buffer.copy_from_slice(data);
            self.0.write_all_at(buffer, at)
        })??;
        Ok(())
    }

    /// The first `len` bytes of the file.
    pub fn read(&self, len: usize) -> Result<Vec<u8>> {
        let whole = len.next_multiple_of(PAGE).max(PAGE);
        Self::buffer(whole, |buffer| {
            let n = self.0.read_at(buffer, 0)?;
            Ok(buffer.get(..n).context("read more than there is")?.to_vec())
        })?
    }
}
