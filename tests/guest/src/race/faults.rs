// SPDX-License-Identifier: GPL-2.0

//! Errors where they hurt: no space and no device in the middle of writeback.

use super::tag::PATIENCE;
use super::{blocks, content, Race, Scene, BLOCK};
use anyhow::{ensure, Result};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

pub const RACES: &[Race] = &[
    ("no_space_in_writeback", no_space_in_writeback),
    ("no_memory_in_writeback", no_memory_in_writeback),
    ("conversion_fails", conversion_fails),
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
