// SPDX-License-Identifier: GPL-2.0

//! The operations that meet a failure. Each works in a directory of its own.

use super::Scene;
use crate::ops::pattern;
use rustix::fs::{
    fallocate, fcntl_getfl, fcntl_setfl, renameat_with, FallocateFlags, OFlags, RenameFlags, CWD,
};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{symlink, FileExt, PermissionsExt};
use std::path::Path;

/// What the operation finds.
pub enum State {
    /// All that it needs is in memory; or nothing is, where requests to the disk are to fail.
    Warm,
    /// Nothing is in memory: the file system was mounted anew.
    Cold,
    /// Whatever the preparation left in memory and on its way to the disk.
    Dirty,
    /// Not even a mount.
    Unmounted,
}

pub struct Op {
    pub name: &'static str,
    pub state: State,
    pub prepare: fn(&Path) -> io::Result<()>,
    pub run: fn(&Scene<'_>, &Path) -> io::Result<()>,
}

const BLOCK: usize = 4096;

/// What direct I/O writes.
#[repr(align(4096))]
struct Aligned([u8; 8 * BLOCK]);

static ALIGNED: Aligned = Aligned([0x5A; 8 * BLOCK]);

const fn in_state(
    name: &'static str,
    state: State,
    prepare: fn(&Path) -> io::Result<()>,
    run: fn(&Scene<'_>, &Path) -> io::Result<()>,
) -> Op {
    Op {
        name,
        state,
        prepare,
        run,
    }
}

const fn warm(
    name: &'static str,
    prepare: fn(&Path) -> io::Result<()>,
    run: fn(&Scene<'_>, &Path) -> io::Result<()>,
) -> Op {
    in_state(name, State::Warm, prepare, run)
}

const fn cold(
    name: &'static str,
    prepare: fn(&Path) -> io::Result<()>,
    run: fn(&Scene<'_>, &Path) -> io::Result<()>,
) -> Op {
    in_state(name, State::Cold, prepare, run)
}

pub const OPS: &[Op] = &[
    in_state("mount", State::Unmounted, file, |s, _| s.mount()),
    in_state("unmount", State::Dirty, two_files, |s, _| s.unmount()),
    warm("create", nothing, |_, d| {
        File::create(d.join("new")).map(drop)
    }),
    warm("mkdir", nothing, |_, d| fs::create_dir(d.join("new"))),
    warm("symlink", nothing, |_, d| {
        symlink("x".repeat(200), d.join("new"))
    }),
    warm("link", file, |_, d| {
        fs::hard_link(d.join("file"), d.join("new"))
    }),
    warm("unlink", file, |_, d| fs::remove_file(d.join("file"))),
    warm("rmdir", directory, |_, d| fs::remove_dir(d.join("dir"))),
    warm("rename", file, |_, d| {
        fs::rename(d.join("file"), d.join("new"))
    }),
    warm("rename_over", two_files, |_, d| {
        fs::rename(d.join("file"), d.join("other"))
    }),
    warm("rename_whiteout", two_files, |_, d| {
        let (from, to) = (d.join("file"), d.join("other"));
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::WHITEOUT)?)
    }),
    warm("split_directory", many_files, |_, d| {
        (0..60).try_for_each(|i| File::create(d.join(long_name(100 + i))).map(drop))
    }),
    warm("chmod", file, |_, d| {
        fs::set_permissions(d.join("file"), Permissions::from_mode(0o600))
    }),
    warm("write", nothing, |_, d| {
        File::create(d.join("new"))?.write_all(&bytes(9))
    }),
    warm("write_sync", nothing, |_, d| {
        let mut file = File::create(d.join("new"))?;
        file.write_all(&bytes(9))?;
        file.sync_all()
    }),
    warm("overwrite_sync", file, |_, d| {
        let file = open(d)?;
        file.write_all_at(&bytes(3), 2 * BLOCK as u64 + 100)?;
        file.sync_data()
    }),
    warm("append_sync", file, |_, d| {
        let file = open(d)?;
        file.write_all_at(&bytes(3), 16 * BLOCK as u64)?;
        file.sync_all()
    }),
    warm("direct_write", file, |_, d| {
        direct(d)?.write_all_at(&ALIGNED.0, 4 * BLOCK as u64)
    }),
    warm("direct_extend", file, |_, d| {
        direct(d)?.write_all_at(&ALIGNED.0, 64 * BLOCK as u64)
    }),
    warm("truncate_down", sparse, |_, d| {
        open(d)?.set_len(BLOCK as u64 * 5 + 1)
    }),
    warm("truncate_up", file, |_, d| open(d)?.set_len(1 << 20)),
    warm("allocate", file, |_, d| {
        change(d, FallocateFlags::empty(), 32, 64)
    }),
    warm("punch", sparse, |_, d| {
        change(
            d,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            3,
            30,
        )
    }),
    warm("zero", sparse, |_, d| {
        change(d, FallocateFlags::ZERO_RANGE, 3, 30)
    }),
    warm("collapse", sparse, |_, d| {
        change(d, FallocateFlags::COLLAPSE_RANGE, 4, 8)
    }),
    warm("insert", sparse, |_, d| {
        change(d, FallocateFlags::INSERT_RANGE, 4, 8)
    }),
    cold("read", file, |_, d| {
        let mut all = Vec::with_capacity(20 * BLOCK);
        open(d)?.read_to_end(&mut all).map(drop)
    }),
    cold("read_sparse", sparse, |_, d| {
        let mut all = Vec::with_capacity(200 * BLOCK);
        open(d)?.read_to_end(&mut all).map(drop)
    }),
    cold("stat", many_files, |_, d| {
        fs::metadata(d.join(long_name(17))).map(drop)
    }),
    cold("readdir", many_files, |_, d| {
        fs::read_dir(d)?.try_for_each(|entry| entry.map(drop))
    }),
    cold("unlink_cold", sparse, |_, d| {
        fs::remove_file(d.join("file"))
    }),
    warm("sync", file, |_, d| {
        open(d)?.write_all_at(&bytes(3), 40 * BLOCK as u64)?;
        rustix::fs::sync();
        Ok(())
    }),
];

fn nothing(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Sixteen blocks, on disk.
fn file(dir: &Path) -> io::Result<()> {
    let mut file = File::create(dir.join("file"))?;
    file.write_all(&bytes(16))?;
    file.sync_all()
}

fn two_files(dir: &Path) -> io::Result<()> {
    file(dir)?;
    fs::write(dir.join("other"), bytes(4))
}

fn directory(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir.join("dir"))
}

/// Every other block of many: an extent tree with a level of its own.
fn sparse(dir: &Path) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    for block in (0..48).step_by(2) {
        file.write_all_at(&bytes(1), block * BLOCK as u64)?;
        file.sync_data()?;
    }
    Ok(())
}

/// A directory of several blocks.
fn many_files(dir: &Path) -> io::Result<()> {
    (0..60).try_for_each(|i| File::create(dir.join(long_name(i))).map(drop))
}

fn long_name(i: u32) -> String {
    format!("{i:0200}")
}

fn bytes(blocks: usize) -> Vec<u8> {
    pattern(1, 0, blocks * BLOCK)
}

fn open(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join("file"))
}

fn direct(dir: &Path) -> io::Result<File> {
    let file = open(dir)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? | OFlags::DIRECT)?;
    Ok(file)
}

fn change(dir: &Path, how: FallocateFlags, from: u64, blocks: u64) -> io::Result<()> {
    let block = BLOCK as u64;
    Ok(fallocate(open(dir)?, how, from * block, blocks * block)?)
}
