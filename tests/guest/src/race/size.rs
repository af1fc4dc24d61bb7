// SPDX-License-Identifier: GPL-2.0

//! The end of a file that grows: what waits for its tail, and what a cut that
//! failed leaves behind it.

use super::tag::Task;
use super::{content, Race, Scene, BLOCK};
use anyhow::{ensure, Context, Result};
use guest::direct::Aligned;
use rustix::fs::{fadvise, fallocate, Advice, FallocateFlags};
use rustix::io::{pwritev2, Errno, ReadWriteFlags};
use std::fs::File;
use std::io::IoSlice;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub const RACES: &[Race] = &[
    (
        "fsync_meets_tail_and_later_block",
        fsync_meets_tail_and_later_block,
    ),
    ("grow_after_failed_cut", grow_after_failed_cut),
    ("direct_write_without_waiting", direct_write_without_waiting),
];

/// A block behind the tail that a grow awaits is under writeback, and dirty
/// again: the fsync that sends the tail must not wait for that block with the
/// tail still in its hands.
fn fsync_meets_tail_and_later_block(scene: &Scene) -> Result<()> {
    let file = scene.open()?;
    let size = BLOCK + 1000;
    let mut expected = vec![7; size as usize];
    file.write_all_at(&expected, 0)?;
    // Extents of their own: the write below asks for each.
    fallocate(&file, FallocateFlags::KEEP_SIZE, 2 * BLOCK, 4 * BLOCK)?;
    file.sync_all()?;
    let tag = scene.knobs.tag("write_mapped");
    let (own, piece) = (file.try_clone()?, vec![8; 16 * BLOCK as usize]);
    expected.extend(&piece);
    tag.hold()?;
    let writer = Task::start(move || own.write_all_at(&piece, size));
    tag.wait_held()?;
    // The tail's block, and those allocated ahead, are in the page cache.
    tag.hold_next()?;
    tag.hold_next()?;
    // Starts the writeback of one of these.
    fadvise(&file, 2 * BLOCK, NonZeroU64::new(BLOCK), Advice::DontNeed)?;
    scene.store(2 * BLOCK, 8)?;
    let own = file.try_clone()?;
    let fsync = Task::start(move || own.sync_all());
    fsync.waits();
    tag.release()?;
    writer.join("the write")?.context("the write")?;
    fsync.join("fsync")?.context("fsync")?;
    scene.judge(&file, &expected, 18)
}

/// How a file gets longer.
type Way = fn(&File, &Path) -> Result<()>;

/// The size is 0 on record, and the blocks are still there: whoever makes the
/// file longer again must not find what was in them.
fn grow_after_failed_cut(scene: &Scene) -> Result<()> {
    const BLOCKS: u64 = 16;
    const EIO: i32 = 5;
    let file = scene.open()?;
    let ways: [(&str, Way); 4] = [
        ("truncate", |f, _| Ok(f.set_len(BLOCKS * BLOCK)?)),
        ("fallocate", |f, _| {
            Ok(fallocate(f, FallocateFlags::empty(), 0, BLOCKS * BLOCK)?)
        }),
        ("a write", |f, _| {
            Ok(f.write_all_at(&[0; 100], BLOCKS * BLOCK - 100)?)
        }),
        ("a direct write", |_, p| {
            Aligned::open(p)?.write(&[0; 512], BLOCKS * BLOCK - 512)
        }),
    ];
    for (what, grow) in ways {
        for block in 0..BLOCKS {
            file.write_all_at(&content(1, block), block * BLOCK)?;
        }
        file.sync_all()?;
        scene.knobs.tag("remove").fail(EIO, 1)?;
        let cut = file.set_len(0);
        scene.knobs.all_off()?;
        let error = cut.err().and_then(|e| e.raw_os_error());
        ensure!(error == Some(EIO), "the cut gave {error:?}");
        grow(&file, &scene.path).context(what)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        scene
            .holds(&vec![0; (BLOCKS * BLOCK) as usize])
            .with_context(|| format!("after {what}"))?;
    }
    // Where the cut was made at last nothing is left to be taken away.
    scene.knobs.tag("remove").fail(EIO, 1)?;
    ensure!(file.set_len(0).is_err(), "the cut did not fail");
    scene.knobs.all_off()?;
    file.set_len(0)?;
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, BLOCKS * BLOCK)?;
    file.write_all_at(&[1; 100], 0)?;
    file.sync_all()?;
    let kept = file.metadata()?.blocks() / (BLOCK / 512);
    ensure!(kept == BLOCKS, "{kept} blocks of {BLOCKS} allocated ahead");
    Ok(())
}

/// A direct write that must not wait, and would have to for its second block,
/// writes nothing at all.
fn direct_write_without_waiting(scene: &Scene) -> Result<()> {
    let file = scene.open()?;
    file.set_len(2 * BLOCK)?;
    let direct = Aligned::open(&scene.path)?;
    let (old, new) = (content(1, 0), vec![9; 2 * BLOCK as usize]);
    direct.write(&old, 0)?;
    direct.read(2 * BLOCK as usize)?;
    Aligned::buffer(new.len(), |buffer| -> Result<()> {
        buffer.copy_from_slice(&new);
        for _ in 0..200 {
            // New timestamps need a transaction, once a tick: this write takes them.
            direct.write(&old, 0)?;
            let slices = [IoSlice::new(buffer)];
            let written = pwritev2(&direct.0, &slices, 0, ReadWriteFlags::NOWAIT);
            ensure!(written == Err(Errno::AGAIN), "the write gave {written:?}");
            let found = direct.read(BLOCK as usize)?;
            ensure!(found == old, "the first block was written all the same");
        }
        Ok(())
    })?
}
