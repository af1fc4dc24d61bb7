// SPDX-License-Identifier: GPL-2.0

//! What each operation of a file system must do, as POSIX and ext4 have it.
//! The same list passes on C ext4; that is how the expectations are kept
//! honest.
//!
//! Every test gets a fresh directory and leaves its last state there, for the
//! caller to compare after a remount and through another driver.

mod attributes;
mod data;
mod direct;
mod names;
mod space;
mod state;

use crate::verdicts::Verdicts;
use anyhow::{bail, Result};
use rustix::io::Errno;
use std::fs;
use std::ops::Range;
use std::path::Path;

type Test = (&'static str, fn(&Path) -> Result<()>);

const TESTS: &[&[Test]] = &[
    names::TESTS,
    data::TESTS,
    direct::TESTS,
    space::TESTS,
    state::TESTS,
    attributes::TESTS,
];

/// Runs the tests whose name contains `only` in `dir`; says how each went.
pub fn run(dir: &Path, only: &str) -> Result<()> {
    let mut verdicts = Verdicts::default();
    for (name, test) in TESTS
        .iter()
        .copied()
        .flatten()
        .filter(|(n, _)| n.contains(only))
    {
        let own = dir.join(name);
        let result = fs::create_dir(&own)
            .map_err(Into::into)
            .and_then(|()| test(&own));
        verdicts.add(name, result);
    }
    let Verdicts { passed, failed } = verdicts;
    if !failed.is_empty() {
        bail!(
            "{passed} operations as expected, {} not: {}",
            failed.len(),
            failed.join(" ")
        );
    }
    if passed == 0 {
        bail!("no test matches `{only}`");
    }
    println!("{passed} operations as expected");
    Ok(())
}

/// Fails the test with a text unless the condition holds.
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            anyhow::bail!($($text)+);
        }
    };
}
use check;

/// Fails unless the two are equal; says what was found.
macro_rules! same {
    ($found:expr, $expected:expr, $what:expr) => {{
        let (found, expected) = (&$found, &$expected);
        if found != expected {
            anyhow::bail!("{}: found {:?}, expected {:?}", $what, found, expected);
        }
    }};
}
use same;

/// Fails unless the call failed with exactly this error.
fn refused<T>(result: std::result::Result<T, Errno>, error: Errno, what: &str) -> Result<()> {
    match result {
        Err(e) if e == error => Ok(()),
        Err(e) => bail!("{what}: refused with {e}, expected {error}"),
        Ok(_) => bail!("{what}: accepted, expected {error}"),
    }
}

/// Bytes of a block of the file system that `p` is in.
fn block_size(p: &Path) -> Result<u64> {
    Ok(rustix::fs::statvfs(p)?.f_bsize)
}

/// How many blocks of the file system that `p` is in the bytes of `range` touch.
fn blocks_touched(p: &Path, range: Range<u64>) -> Result<u64> {
    let size = block_size(p)?;
    Ok(range.end.div_ceil(size) - range.start / size)
}

/// Bytes that differ at every position and between seeds.
pub fn pattern(seed: u64, from: u64, len: usize) -> Vec<u8> {
    (from..)
        .take(len)
        .map(|i| {
            let x = (i ^ (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            x.to_le_bytes().get(5).copied().unwrap_or_default()
        })
        .collect()
}
