// SPDX-License-Identifier: GPL-2.0

//! Files that grow past a block in which old bytes lie behind their end, for a power cut.
//!
//! Each file begins with [`OLD`] bytes on the device, and is cut in the middle of a block, so that
//! the device still holds old bytes behind the end. Then it grows. Neither is synced. A truncate
//! has to be on disk with the next commit. No file may show an old byte behind the cut.

use crate::ops::pattern;
use anyhow::{ensure, Context, Result};
use rustix::fs::{fallocate, FallocateFlags, OFlags};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const OLD: u8 = 0xaa;
/// The size before the grow.
const CUT: u64 = 5000;
/// The size after it.
const GROWN: u64 = 40_000;

/// A way to grow, and whether the size is on disk after a commit.
type Way = (&'static str, bool, fn(&File) -> Result<()>);

const WAYS: &[Way] = &[
    ("truncate", true, |f| Ok(f.set_len(GROWN)?)),
    ("truncate_in_block", true, |f| {
        f.set_len(CUT + 1000)?;
        f.set_len(GROWN)?;
        Ok(())
    }),
    ("fallocate", true, |f| {
        Ok(fallocate(f, FallocateFlags::empty(), CUT, GROWN - CUT)?)
    }),
    ("append", false, |f| {
        Ok(f.write_all_at(&pattern(1, CUT, usize::try_from(GROWN - CUT)?), CUT)?)
    }),
    ("gap", false, |f| {
        Ok(f.write_all_at(&pattern(1, 20_000, 20_000), 20_000)?)
    }),
    ("gap_synced", true, |f| {
        f.write_all_at(&pattern(1, 20_000, 20_000), 20_000)?;
        Ok(f.sync_data()?)
    }),
    ("append_then_truncate", true, |f| {
        f.write_all_at(&pattern(1, CUT, 10_000), CUT)?;
        Ok(f.set_len(GROWN)?)
    }),
    ("direct_over_delayed", true, |f| {
        f.write_all_at(&pattern(1, CUT, 27_768), CUT)?;
        direct(f, 32_768, 8192)?;
        Ok(f.set_len(GROWN)?)
    }),
];

/// Writes zeros with `O_DIRECT`, and then a byte that says so.
fn direct(f: &File, at: u64, len: usize) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(f)?;
    rustix::fs::fcntl_setfl(f, flags | OFlags::DIRECT)?;
    let room = vec![0u8; len + 4096];
    let skip = room.as_ptr().align_offset(4096);
    let aligned = room.get(skip..skip + len).context("no aligned buffer")?;
    let written = f.write_all_at(aligned, at);
    rustix::fs::fcntl_setfl(f, flags)?;
    Ok(written?)
}

fn open(path: &Path) -> Result<File> {
    Ok(OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?)
}

/// Makes the files, lets them grow, and says `ready`.
pub fn write(dir: &Path) -> Result<()> {
    for (name, _, _) in WAYS {
        let path = dir.join(name);
        let f = open(&path)?;
        f.set_len(0)?;
        f.write_all_at(&vec![OLD; 8192], 0)?;
        f.sync_all()?;
        // Not synced: the zeros behind the cut are in the page cache only.
        f.set_len(CUT)?;
    }
    for (name, _, grow) in WAYS {
        grow(&open(&dir.join(name))?).with_context(|| (*name).to_owned())?;
    }
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(600));
    Ok(())
}

/// Checks what the cut left; `settled`: a commit interval had passed.
pub fn verify(dir: &Path, settled: bool) -> Result<()> {
    let mut grown = 0;
    for (name, due, _) in WAYS {
        let data = fs::read(dir.join(name)).with_context(|| (*name).to_owned())?;
        let len = data.len() as u64;
        if !settled && data == [OLD; 8192] {
            continue;
        }
        ensure!(
            (CUT..=GROWN.next_multiple_of(4096)).contains(&len)
                && (!settled || !due || len == GROWN),
            "{name}: {len} bytes after the cut, of {GROWN}"
        );
        let cut = usize::try_from(CUT)?;
        let old = data.iter().take(cut).filter(|b| **b == OLD).count();
        ensure!(old == cut, "{name}: {old} of {cut} synced bytes are left");
        let expected = pattern(1, CUT, data.len().saturating_sub(cut));
        let stale = (data.iter().skip(cut))
            .zip(&expected)
            .position(|(found, expected)| *found != 0 && found != expected);
        ensure!(
            stale.is_none(),
            "{name}: {stale:?} bytes behind the cut there is a byte that was never written there"
        );
        grown += u32::from(len == GROWN);
    }
    println!("{grown} of {} files have their new size", WAYS.len());
    Ok(())
}
