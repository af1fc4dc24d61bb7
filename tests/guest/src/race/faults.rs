// SPDX-License-Identifier: GPL-2.0

//! Errors where they hurt: no space and no device in the middle of writeback.

use super::tag::PATIENCE;
use super::{blocks, content, Race, Scene, BLOCK};
use anyhow::{ensure, Context, Result};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

pub const RACES: &[Race] = &[
    ("no_space_in_writeback", no_space_in_writeback),
    ("no_memory_in_writeback", no_memory_in_writeback),
    ("conversion_fails", conversion_fails),
    ("no_space_in_conversion", no_space_in_conversion),
    ("short_copy", short_copy),
    ("device_fails_in_writeback", device_fails_in_writeback),
];

const ENOMEM: i32 = 12;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn failed_with(result: io::Result<()>, error: i32) -> Result<()> {
    let found = result.err().and_then(|e| e.raw_os_error());
    ensure!(
        found == Some(error),
        "fsync gave {found:?}, expected error {error}"
    );
    Ok(())
}

/// The reservation promised space that is not there: what cannot be written is
/// reported, given back, and the file can be written again.
fn no_space_in_writeback(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    let start = Instant::now();
    scene.knobs.tag("map_allocate").fail(ENOSPC, 1000)?;
    let result = file.sync_all();
    scene.knobs.all_off()?;
    failed_with(result, ENOSPC)?;
    ensure!(start.elapsed() < PATIENCE, "it took too long to give up");
    let delayed = scene.knobs.delayed_blocks()?;
    ensure!(delayed == 0, "{delayed} blocks stay reserved for lost data");
    file.write_all_at(&content(1, 1), BLOCK)?;
    scene.judge(&file, &blocks(&[None, Some(1), None]), 1)
}

fn no_memory_in_writeback(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    scene.knobs.tag("map_allocate").fail(ENOMEM, 1000)?;
    let result = file.sync_all();
    scene.knobs.all_off()?;
    failed_with(result, ENOMEM)?;
    for block in 0..2 {
        file.write_all_at(&content(1, block), block * BLOCK)?;
    }
    scene.judge(&file, &blocks(&[Some(0), Some(1)]), 2)
}

/// The data is on the device and cannot be recorded: that is an I/O error, and
/// what was not recorded reads as zeros.
fn conversion_fails(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    scene.knobs.tag("convert").fail(EIO, 1000)?;
    let result = file.sync_all();
    scene.knobs.all_off()?;
    failed_with(result, EIO)?;
    scene.judge(&file, &blocks(&[None, None]), 2)
}

/// A split that finds no space waits for blocks that were freed, and nothing is
/// lost.
fn no_space_in_conversion(scene: &Scene) -> Result<()> {
    let other = scene.path.with_extension("freed");
    std::fs::write(&other, content(1, 0))?;
    rustix::fs::sync();
    let file = scene.delayed(2)?;
    file.sync_all()?;
    file.write_all_at(&content(1, 2), 2 * BLOCK)?;
    std::fs::remove_file(&other)?;
    scene.knobs.tag("convert").fail(ENOSPC, 2)?;
    let result = file.sync_all();
    scene.knobs.all_off()?;
    result.context("fsync though there is space after a commit")?;
    scene.judge(&file, &blocks(&[Some(0), Some(1), Some(2)]), 3)
}

/// Writes from memory of which only the first bytes are there: those are
/// written, and nothing stays reserved for the others.
fn short_copy(scene: &Scene) -> Result<()> {
    // mmap two pages, munmap the second; write(2) from so many bytes before it
    const SCRIPT: &str =
        "my $at = syscall(9, 0, 8192, 3, 0x22, -1, 0); syscall(11, $at + 4096, 4096);
        syscall(0, 0, $at, 4096) == 4096 or die 'no input';
        open(my $f, '+<', $ARGV[0]) or die $!; sysseek($f, $ARGV[1], 0);
        my $n = syscall(1, fileno($f), $at + 4096 - $ARGV[2], 16384); print $n;";
    let file = scene.open()?;
    file.set_len(8 * BLOCK)?;
    file.sync_all()?;
    let write = |from: u64, there: u64| -> Result<i64> {
        let input = scene.path.with_extension("input");
        std::fs::write(&input, content(1, 0))?;
        let (from, there) = (from.to_string(), there.to_string());
        let out = std::process::Command::new("perl")
            .args(["-e", SCRIPT])
            .arg(&scene.path)
            .args([from, there])
            .stdin(std::fs::File::open(&input)?)
            .output()?;
        std::fs::remove_file(&input)?;
        let said = String::from_utf8_lossy(&out.stderr);
        let number = String::from_utf8_lossy(&out.stdout);
        number.trim().parse().with_context(|| said.into_owned())
    };
    ensure!(
        write(0, 4096)? == 4096,
        "a write of which one page is there"
    );
    let delayed = scene.knobs.delayed_blocks()?;
    ensure!(delayed == 1, "{delayed} blocks are reserved for one");
    ensure!(
        write(4 * BLOCK, 100)? == 100,
        "a write of which 100 bytes are there"
    );
    let delayed = scene.knobs.delayed_blocks()?;
    ensure!(delayed == 2, "{delayed} blocks are reserved for two");
    ensure!(write(6 * BLOCK, 0)? == -1, "a write from nothing");
    let delayed = scene.knobs.delayed_blocks()?;
    ensure!(
        delayed == 2,
        "{delayed} blocks are reserved after a write from nothing"
    );
    let mut expected = blocks(&[Some(0), None, None, None, None, None, None, None]);
    let tail: Vec<u8> = content(1, 0).split_off(BLOCK as usize - 100);
    let at = 4 * BLOCK as usize;
    expected.splice(at..at + 100, tail);
    scene.judge(&file, &expected, 2)
}

fn device_fails_in_writeback(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    scene.knobs.tag("completion").fail(EIO, 1000)?;
    let result = file.sync_all();
    scene.knobs.all_off()?;
    failed_with(result, EIO)?;
    ensure!(scene.knobs.delayed_blocks()? == 0, "blocks stay reserved");
    file.write_all_at(&content(1, 0), 0)?;
    scene.judge(&file, &blocks(&[Some(0), None]), 2)
}
