// SPDX-License-Identifier: GPL-2.0

//! Writeback, held between lookup and lock, between mapping and bio, or before
//! its completion, against whoever takes blocks away or brings some.

use super::tag::{Tag, Task};
use super::{blocks, content, Race, Scene, BLOCK};
use anyhow::{bail, ensure, Context, Result};
use rustix::fs::{fadvise, fallocate, Advice, FallocateFlags};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::process::Command;

pub const RACES: &[Race] = &[
    ("truncate_after_lookup", truncate_after_lookup),
    ("truncate_and_rewrite", truncate_and_rewrite),
    ("punch_after_lookup", punch_after_lookup),
    ("zero_range_after_lookup", zero_range_after_lookup),
    ("collapse_after_lookup", collapse_after_lookup),
    ("insert_after_lookup", insert_after_lookup),
    ("write_after_lookup", write_after_lookup),
    ("truncate_before_submission", truncate_before_submission),
    ("punch_before_submission", punch_before_submission),
    ("reclaim_before_submission", reclaim_before_submission),
    ("truncate_before_completion", truncate_before_completion),
    ("punch_before_completion", punch_before_completion),
    ("fsync_waits_for_completion", fsync_waits_for_completion),
    ("overwrite_before_completion", overwrite_before_completion),
    ("read_before_completion", read_before_completion),
    ("read_during_truncate", read_during_truncate),
    ("read_during_punch", read_during_punch),
    ("write_over_reclaimed_block", write_over_reclaimed_block),
    (
        "buffered_read_of_direct_write",
        buffered_read_of_direct_write,
    ),
    ("truncate_of_direct_write", truncate_of_direct_write),
    (
        "store_in_large_folio_then_grow",
        store_in_large_folio_then_grow,
    ),
];

/// Starts `work`, of which something is held at `tag`.
fn held<T: Send + 'static>(
    tag: &Tag,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Task<T>> {
    tag.hold()?;
    let task = Task::start(work);
    tag.wait_held()?;
    Ok(task)
}

/// Starts an fsync, which is held at `tag`.
fn held_fsync(file: &File, tag: &Tag) -> Result<Task<std::io::Result<()>>> {
    let own = file.try_clone()?;
    held(tag, move || own.sync_all())
}

/// Does what has to wait for whoever is held at `tag`; lets that one go on.
fn must_wait_for(
    tag: &Tag,
    file: &File,
    what: &'static str,
    other: impl FnOnce(&File) -> Result<()> + Send + 'static,
) -> Result<()> {
    let own = file.try_clone()?;
    let task = Task::start(move || other(&own));
    task.must_wait(what)?;
    tag.release()?;
    task.join(what)?
}

/// Holds an fsync between lookup and lock, lets `other` change the blocks that
/// were looked up, and lets the fsync go on: it must notice.
fn after_lookup(scene: &Scene, file: &File, other: impl FnOnce() -> Result<()>) -> Result<()> {
    let retries = scene.knobs.retries()?;
    let tag = scene.knobs.tag("map_found");
    let fsync = held_fsync(file, &tag)?;
    let done = other();
    tag.release()?;
    fsync.join("fsync")?.context("the fsync that was held")?;
    done?;
    ensure!(
        scene.knobs.retries()? > retries,
        "the mapper did not see that its lookup was stale"
    );
    Ok(())
}

fn change(file: &File, mode: FallocateFlags, from: u64, len: u64) -> Result<()> {
    fallocate(file, mode, from * BLOCK, len * BLOCK)
        .with_context(|| format!("fallocate with {mode:?}"))
}

/// The table of the review mail: a delayed extent of three blocks is found, a
/// truncate drops two of them.
fn truncate_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    after_lookup(scene, &file, || Ok(file.set_len(BLOCK)?))?;
    scene.judge(&file, &blocks(&[Some(0)]), 1)
}

/// As above, and the blocks behind come back delayed before the lock is taken.
fn truncate_and_rewrite(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    after_lookup(scene, &file, || {
        file.set_len(BLOCK)?;
        Ok(file.write_all_at(&content(1, 3), 3 * BLOCK)?)
    })?;
    scene.judge(&file, &blocks(&[Some(0), None, None, Some(3)]), 2)
}

fn punch_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    after_lookup(scene, &file, || change(&file, mode, 1, 2))?;
    scene.judge(&file, &blocks(&[Some(0), None, None, Some(3)]), 2)
}

fn zero_range_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    after_lookup(scene, &file, || {
        change(&file, FallocateFlags::ZERO_RANGE, 1, 2)
    })?;
    let expected = blocks(&[Some(0), None, None, Some(3)]);
    scene.holds(&expected).context("in the page cache")?;
    scene.judge(&file, &expected, 4)
}

fn collapse_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    after_lookup(scene, &file, || {
        change(&file, FallocateFlags::COLLAPSE_RANGE, 1, 1)
    })?;
    scene.judge(&file, &blocks(&[Some(0), Some(2), Some(3)]), 3)
}

fn insert_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    after_lookup(scene, &file, || {
        change(&file, FallocateFlags::INSERT_RANGE, 1, 1)
    })?;
    scene.judge(&file, &blocks(&[Some(0), None, Some(1), Some(2)]), 3)
}

/// A write makes more of the file delayed meanwhile.
fn write_after_lookup(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    after_lookup(scene, &file, || {
        Ok(file.write_all_at(&content(1, 2), 2 * BLOCK)?)
    })?;
    scene.judge(&file, &blocks(&[Some(0), Some(1), Some(2)]), 3)
}

/// The folio is mapped and locked, its bio not submitted: a truncate that takes
/// the folio has to wait, and then takes its block too.
fn truncate_before_submission(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    let tag = scene.knobs.tag("writeback_mapped");
    let fsync = held_fsync(&file, &tag)?;
    let what = "truncate of a folio that is being written";
    must_wait_for(&tag, &file, what, |file| Ok(file.set_len(0)?))?;
    fsync.join("fsync")??;
    scene.judge(&file, &[], 0)
}

/// The mapping that writeback keeps for the folios to come has lost a block
/// when it gets there: the new data of that block must not go to the old place.
///
/// Writeback looks up some tens of folios at once, and an fsync only those that
/// were dirty at its start; so the block lies far behind, and this is no fsync.
fn punch_before_submission(scene: &Scene) -> Result<()> {
    const ALL: u64 = 64;
    const FAR: u64 = 50;
    let file = scene.delayed(ALL)?;
    let tag = scene.knobs.tag("writeback_mapped");
    let own = file.try_clone()?;
    let flush = held(&tag, move || fadvise(&own, 0, None, Advice::DontNeed))?;
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    change(&file, mode, FAR, 1)?;
    file.write_all_at(&content(1, 99), FAR * BLOCK)?;
    tag.release()?;
    flush.join("flush")??;
    let now: Vec<_> = (0..ALL)
        .map(|block| Some(if block == FAR { 99 } else { block }))
        .collect();
    scene.judge(&file, &blocks(&now), ALL)
}

fn reclaim_before_submission(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    let tag = scene.knobs.tag("writeback_mapped");
    let fsync = held_fsync(&file, &tag)?;
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    tag.release()?;
    fsync.join("fsync")??;
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    scene.judge(&file, &blocks(&[Some(0), Some(1), Some(2), Some(3)]), 4)
}

/// Takes blocks away whose data is on the device, and whose conversion is held
/// up: has to wait for it.
fn before_completion(
    scene: &Scene,
    file: &File,
    what: &'static str,
    other: impl FnOnce(&File) -> Result<()> + Send + 'static,
) -> Result<()> {
    let tag = scene.knobs.tag("completion");
    let fsync = held_fsync(file, &tag)?;
    must_wait_for(&tag, file, what, other)?;
    Ok(fsync.join("fsync")??)
}

fn truncate_before_completion(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    before_completion(scene, &file, "truncate", |file| Ok(file.set_len(BLOCK)?))?;
    scene.judge(&file, &blocks(&[Some(0)]), 1)
}

fn punch_before_completion(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    before_completion(scene, &file, "punch", move |file| change(file, mode, 1, 1))?;
    scene.judge(&file, &blocks(&[Some(0), None, Some(2)]), 2)
}

/// Data is not on disk before what leads to it is recorded.
fn fsync_waits_for_completion(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    let tag = scene.knobs.tag("completion");
    let fsync = held_fsync(&file, &tag)?;
    fsync.must_wait("fsync of data that is not recorded")?;
    tag.release()?;
    fsync.join("fsync")??;
    scene.judge(&file, &blocks(&[Some(0), Some(1)]), 2)
}

/// New data for a folio under writeback goes to the page cache, and to the disk
/// with the next writeback.
fn overwrite_before_completion(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    let tag = scene.knobs.tag("completion");
    let fsync = held_fsync(&file, &tag)?;
    file.write_all_at(&content(1, 5), 0)?;
    tag.release()?;
    fsync.join("fsync")??;
    scene.judge(&file, &blocks(&[Some(5), Some(1)]), 2)
}

/// A reader never sees anything but the data, however far its conversion is.
fn read_before_completion(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    let tag = scene.knobs.tag("completion");
    let fsync = held_fsync(&file, &tag)?;
    let mut found = vec![0; BLOCK as usize];
    file.read_exact_at(&mut found, BLOCK)?;
    ensure!(found == content(1, 1), "a reader sees something else");
    tag.release()?;
    fsync.join("fsync")??;
    scene.judge(&file, &blocks(&[Some(0), Some(1)]), 2)
}

/// A truncate has dropped the page cache and not yet the blocks: a read must
/// not bring back what is being removed.
fn read_during_truncate(scene: &Scene) -> Result<()> {
    let file = scene.delayed(4)?;
    file.sync_all()?;
    let tag = scene.knobs.tag("remove");
    tag.hold()?;
    let own = file.try_clone()?;
    let truncate = Task::start(move || own.set_len(BLOCK));
    tag.wait_held()?;
    let mut found = vec![0; BLOCK as usize];
    let read = file.read_at(&mut found, 2 * BLOCK)?;
    ensure!(read == 0, "{read} bytes can be read past the new end");
    tag.release()?;
    truncate.join("truncate")??;
    file.write_all_at(&content(1, 3), 3 * BLOCK)?;
    scene.judge(&file, &blocks(&[Some(0), None, None, Some(3)]), 2)
}

/// Between the page cache and the blocks of a punch, a read has to wait, or it
/// would bring the old data back into the page cache.
fn read_during_punch(scene: &Scene) -> Result<()> {
    let file = scene.delayed(3)?;
    file.sync_all()?;
    let tag = scene.knobs.tag("remove");
    tag.hold()?;
    let own = file.try_clone()?;
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let punch = Task::start(move || change(&own, mode, 1, 1));
    tag.wait_held()?;
    let own = file.try_clone()?;
    let read = Task::start(move || {
        let mut found = vec![0; BLOCK as usize];
        own.read_exact_at(&mut found, BLOCK).map(|()| found)
    });
    read.must_wait("read of a block that is being punched")?;
    tag.release()?;
    punch.join("punch")??;
    let found = read.join("read")??;
    ensure!(found.iter().all(|b| *b == 0), "the read shows old data");
    scene.judge(&file, &blocks(&[Some(0), None, Some(2)]), 2)
}

/// A write of a part of a block finds the block delayed; before it locks the
/// folio, the block is written out and reclaimed. The rest of it must be read
/// then, not zeroed.
fn write_over_reclaimed_block(scene: &Scene) -> Result<()> {
    let file = scene.delayed(2)?;
    let tag = scene.knobs.tag("write_mapped");
    let own = file.try_clone()?;
    let write = held(&tag, move || own.write_all_at(&[9; 100], BLOCK + 1000))?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    tag.release()?;
    write.join("write")??;
    let mut expected = blocks(&[Some(0), Some(1)]);
    let from = BLOCK as usize + 1000;
    expected.splice(from..from + 100, [9; 100]);
    scene.judge(&file, &expected, 2)
}

fn direct(scene: &Scene) -> Result<File> {
    const O_DIRECT: i32 = 0o40000;
    let mut options = OpenOptions::new();
    Ok(options
        .write(true)
        .custom_flags(O_DIRECT)
        .open(&scene.path)?)
}

/// A block-aligned buffer: a part of a larger one.
fn aligned(data: &[u8]) -> (Vec<u8>, usize) {
    let mut buffer = vec![0; data.len() + BLOCK as usize];
    let shift = buffer.as_ptr().align_offset(BLOCK as usize);
    buffer.splice(shift..shift + data.len(), data.iter().copied());
    (buffer, shift)
}

/// Starts a direct write of block 1, whose end is held up.
fn held_direct_write(scene: &Scene, tag: &Tag) -> Result<Task<std::io::Result<()>>> {
    let file = direct(scene)?;
    held(tag, move || {
        let (buffer, shift) = aligned(&content(1, 7));
        let data = buffer.get(shift..shift + BLOCK as usize);
        file.write_all_at(data.unwrap_or_default(), BLOCK)
    })
}

/// A buffered read that comes between a direct write's data and its conversion
/// may see zeros, but must not leave them in the page cache.
fn buffered_read_of_direct_write(scene: &Scene) -> Result<()> {
    let file = scene.open()?;
    file.set_len(3 * BLOCK)?;
    file.sync_all()?;
    let tag = scene.knobs.tag("direct_done");
    let write = held_direct_write(scene, &tag)?;
    let mut found = vec![0; BLOCK as usize];
    file.read_exact_at(&mut found, BLOCK)?;
    ensure!(
        found == content(1, 7) || found.iter().all(|b| *b == 0),
        "a reader sees bytes that nobody wrote"
    );
    tag.release()?;
    write.join("direct write")??;
    file.read_exact_at(&mut found, BLOCK)?;
    ensure!(
        found == content(1, 7),
        "the page cache still has the old bytes"
    );
    scene.judge(&file, &blocks(&[None, Some(7), None]), 1)
}

/// Starts an asynchronous direct write of block 1, whose end is held up.
fn held_async_write(scene: &Scene, tag: &Tag) -> Result<Task<Result<()>>> {
    let mut fio = Command::new("fio");
    fio.args(["--name=async", "--ioengine=libaio", "--direct=1"])
        .args(["--rw=write", "--bs=4k", "--offset=4k", "--size=4k"])
        .args(["--fallocate=none", "--minimal"])
        .arg(format!("--filename={}", scene.path.display()));
    held(tag, move || {
        let out = fio.output().context("fio")?;
        let text = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success(),
            "fio ended with {}: {text}",
            out.status
        );
        Ok(())
    })
}

/// A direct write goes on when its submitter has given back the rwsem, and a truncate has to wait
/// for it.
fn truncate_of_direct_write(scene: &Scene) -> Result<()> {
    const TRIES: u32 = 20;
    let tag = scene.knobs.tag("direct_done");
    for _ in 0..TRIES {
        let file = scene.open()?;
        file.set_len(0)?;
        file.set_len(3 * BLOCK)?;
        file.sync_all()?;
        let write = held_async_write(scene, &tag)?;
        // Where the device is faster than the submitter, that one ends the write, and is held up,
        // with the rwsem.
        let own = file.try_clone()?;
        let chmod = Task::start(move || own.set_permissions(Permissions::from_mode(0o600)));
        if chmod.waits() {
            tag.release()?;
            chmod.join("chmod")??;
            write.join("direct write")??;
            continue;
        }
        let what = "truncate under a direct write";
        must_wait_for(&tag, &file, what, |file| Ok(file.set_len(0)?))?;
        write.join("direct write")??;
        return scene.judge(&file, &[], 0);
    }
    bail!("{TRIES} times the device was faster than the submitter")
}

/// A large folio stays when the file is cut inside it, because it is dirty, and
/// whole, because a pipe refers to it. A store before the end dirties all of it; then the file grows,
/// and the writeback meets dirty blocks for which nothing was reserved.
fn store_in_large_folio_then_grow(scene: &Scene) -> Result<()> {
    let file = scene.open()?;
    let size = 16 * BLOCK;
    file.write_all_at(&vec![7; size as usize], 0)?;
    file.sync_all()?;
    let (reader, writer) = rustix::pipe::pipe()?;
    let mut from = 0;
    let flags = rustix::pipe::SpliceFlags::empty();
    let page = BLOCK as usize;
    let spliced = rustix::pipe::splice(&file, Some(&mut from), &writer, None, page, flags)?;
    ensure!(spliced == page, "spliced {spliced} bytes");
    file.write_all_at(&[7], 0)?;
    file.set_len(BLOCK + 100)?;
    scene.store(BLOCK, 9)?;
    file.set_len(size)?;
    let mut expected = vec![7; (BLOCK + 100) as usize];
    for byte in expected.iter_mut().skip(page).take(50) {
        *byte = 9;
    }
    expected.resize(size as usize, 0);
    let judged = scene.judge(&file, &expected, 2);
    drop((reader, writer));
    judged
}
