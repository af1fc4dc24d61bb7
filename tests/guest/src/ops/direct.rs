// SPDX-License-Identifier: GPL-2.0

//! Direct I/O, alone and together with buffered I/O; `RWF_NOWAIT`, `RWF_DSYNC`.

use super::data::{expect_data, read_write, reread};
use super::{check, pattern, refused, same, Test};
use anyhow::{Context, Result};
use guest::direct::{Aligned, PAGE};
use rustix::fs::{fallocate, stat, FallocateFlags, OFlags};
use rustix::io::{preadv2, pwritev2, Errno, ReadWriteFlags};
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("direct_write_read", write_read),
    ("direct_refused", direct_refused),
    ("direct_and_buffered", direct_and_buffered),
    ("direct_writers", direct_writers),
    ("direct_append_mode", append_mode),
    ("nowait", nowait),
    ("dsync_writes", dsync_writes),
    ("uncached", uncached),
];

fn write_read(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = Aligned::open(&p)?;
    let mut data = Vec::new();
    // over the end, into blocks, over parts of them, past a gap
    for (i, (at, len)) in [
        (0, 4096),
        (4096, 12_288),
        (0, 8192),
        (512, 512),
        (16_384, 512),
        (16_896, 1536),
        (40_960, 65_536),
        (30_208, 1024),
        (8192, 20_480),
        (110_592, 512),
    ]
    .into_iter()
    .enumerate()
    {
        let piece = pattern(i as u64, 0, len);
        f.write(&piece, at as u64)?;
        data.resize(data.len().max(at + len), 0);
        data[at..at + len].copy_from_slice(&piece);
        check!(
            f.read(data.len())? == data,
            "write {i}: other data, read directly"
        );
        expect_data(&p, &data, &format!("direct write {i}"))?;
    }
    // into blocks that were allocated ahead
    fallocate(&f.0, FallocateFlags::empty(), 200_000, 100_000)?;
    data.resize(300_000, 0);
    let piece = pattern(50, 0, 5120);
    f.write(&piece, 204_800 + 1024)?;
    data[205_824..210_944].copy_from_slice(&piece);
    expect_data(&p, &data, "direct writes into allocated blocks")?;
    same!(
        f.0.read_at(&mut vec![0; 4096], 400_000).ok(),
        Some(0),
        "read behind the end"
    );
    Ok(())
}

fn direct_refused(d: &Path) -> Result<()> {
    let f = Aligned::open(&d.join("file"))?;
    f.write(&[1; 8192], 0)?;
    Aligned::buffer(8192, |buffer| -> Result<()> {
        let odd = buffer.get(..100).context("short")?;
        refused(rustix::io::pwrite(&f.0, odd, 0), Errno::INVAL, "100 bytes")?;
        let whole = buffer.get(..512).context("short")?;
        refused(
            rustix::io::pwrite(&f.0, whole, 100),
            Errno::INVAL,
            "a place between sectors",
        )
    })?
}

/// The one sees what the other wrote, at once.
fn direct_and_buffered(d: &Path) -> Result<()> {
    let p = d.join("file");
    let direct = Aligned::open(&p)?;
    let cached = read_write(&p)?;
    let mut data = pattern(0, 0, 200_000);
    cached.write_all_at(&data, 0)?;
    check!(direct.read(200_000)? == data, "direct read of dirty data");
    for i in 0..30u64 {
        let at = usize::try_from(i * 5120 % 180_000)? / 512 * 512;
        let piece = pattern(i + 1, 0, 2048);
        if i % 2 == 0 {
            direct.write(&piece, at as u64)?;
        } else {
            cached.write_all_at(&piece, at as u64)?;
        }
        data[at..at + 2048].copy_from_slice(&piece);
        let found = if i % 3 == 0 {
            direct.read(data.len())?
        } else {
            std::fs::read(&p)?
        };
        check!(found == data, "step {i}: other data");
    }
    // appended through the cache, not synced, and then directly
    data.resize(204_800, 0);
    cached.set_len(204_800)?;
    let tail = pattern(77, 0, 10_240);
    cached.write_all_at(&tail, 204_800)?;
    direct.write(&tail, 215_040)?;
    data.extend(&tail);
    data.extend(&tail);
    expect_data(&p, &data, "appended both ways")
}

/// Several threads write disjoint blocks directly, while one writes through the cache.
fn direct_writers(d: &Path) -> Result<()> {
    let p = d.join("file");
    let pieces = 240u64;
    fallocate(&read_write(&p)?, FallocateFlags::empty(), 0, 100 * 4096)?;
    let write = |thread: u64| -> Result<()> {
        let (direct, cached) = (Aligned::open(&p)?, read_write(&p)?);
        for i in (thread..pieces).step_by(4) {
            let piece = pattern(i, 0, PAGE);
            if thread == 3 {
                cached.write_all_at(&piece, i * PAGE as u64)?;
            } else {
                direct.write(&piece, i * PAGE as u64)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|t| s.spawn(move || write(t))).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let all: Vec<u8> = (0..pieces).flat_map(|i| pattern(i, 0, PAGE)).collect();
    expect_data(&p, &all, "a file with direct writers")
}

fn append_mode(d: &Path) -> Result<()> {
    let p = d.join("file");
    let flags = i32::try_from((OFlags::DIRECT | OFlags::APPEND).bits())?;
    let mut all = Vec::new();
    for i in 0..10 {
        let f = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(flags)
            .open(&p)?;
        let piece = pattern(i, 0, 1536);
        Aligned::buffer(1536, |buffer| {
            buffer.copy_from_slice(&piece);
            std::io::Write::write_all(&mut &f, buffer)
        })??;
        all.extend(piece);
    }
    expect_data(&p, &all, "direct appends")
}

fn read_nowait(f: &File, at: u64) -> std::result::Result<usize, Errno> {
    let mut bytes = [0; 4096];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    preadv2(f, &mut slices, at, ReadWriteFlags::NOWAIT)
}

/// What is at hand can be had without waiting, and what is not says so.
fn nowait(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    f.write_all_at(&pattern(1, 0, 65_536), 0)?;
    same!(read_nowait(&f, 8192), Ok(4096), "a read of cached data");
    reread(&f)?;
    // the call starts the read; a fast disk may have it done before it looks again
    let found = read_nowait(&f, 8192);
    check!(
        matches!(found, Err(Errno::AGAIN) | Ok(4096)),
        "a read of data on disk: {found:?}"
    );
    f.read_exact_at(&mut [0; 4096], 8192)?;
    same!(
        read_nowait(&f, 8192),
        Ok(4096),
        "a read of data read before"
    );
    let direct = Aligned::open(&p)?;
    // The blocks are known from here on.
    same!(direct.read(65_536)?.len(), 65_536, "direct read");
    let data = pattern(2, 0, PAGE);
    Aligned::buffer(PAGE, |buffer| -> Result<()> {
        buffer.copy_from_slice(&data);
        let mut done = false;
        for _ in 0..500 {
            // New timestamps need a transaction, once a tick: this write takes them.
            direct.write(&data, 4096)?;
            let slices = [IoSlice::new(buffer)];
            match pwritev2(&direct.0, &slices, 4096, ReadWriteFlags::NOWAIT) {
                Ok(n) => {
                    same!(n, PAGE, "bytes of a write that does not wait");
                    done = true;
                    break;
                }
                Err(Errno::AGAIN) => {}
                Err(e) => return Err(e).context("a direct write that does not wait"),
            }
        }
        check!(done, "no direct overwrite went without waiting");
        let slices = [IoSlice::new(buffer)];
        refused(
            pwritev2(&direct.0, &slices, 65_536, ReadWriteFlags::NOWAIT),
            Errno::AGAIN,
            "a direct append that must not wait",
        )
    })??;
    let mut expected = pattern(1, 0, 65_536);
    expected[4096..8192].copy_from_slice(&data);
    expect_data(&p, &expected, "a file written without waiting")
}

/// `RWF_DONTCACHE`: buffered, and not kept in the page cache.
fn uncached(d: &Path) -> Result<()> {
    let flags = ReadWriteFlags::from_bits_retain(0x80);
    let p = d.join("file");
    let f = read_write(&p)?;
    let mut data = Vec::new();
    for i in 0..20u64 {
        let piece = pattern(i, 0, 50_000);
        let at = i * 40_000;
        let n = pwritev2(&f, &[IoSlice::new(&piece)], at, flags)?;
        same!(n, 50_000, "bytes of an uncached write");
        let at = usize::try_from(at)?;
        data.resize(data.len().max(at + 50_000), 0);
        data[at..at + 50_000].copy_from_slice(&piece);
        let mut found = vec![0; 50_000];
        let n = preadv2(&f, &mut [IoSliceMut::new(&mut found)], at as u64, flags)?;
        check!(
            n == 50_000 && found == piece,
            "uncached read {i}: other data"
        );
    }
    expect_data(&p, &data, "a file of uncached writes")
}

fn dsync_writes(d: &Path) -> Result<()> {
    let p = d.join("file");
    let f = read_write(&p)?;
    let direct = Aligned::open(&p)?;
    let mut data = Vec::new();
    for i in 0..12u64 {
        let piece = pattern(i, 0, 3000);
        let at = i * 2500;
        let flags = [ReadWriteFlags::DSYNC, ReadWriteFlags::SYNC][usize::try_from(i % 2)?];
        let n = pwritev2(&f, &[IoSlice::new(&piece)], at, flags)?;
        same!(n, 3000, "bytes of a synchronous write");
        let at = usize::try_from(at)?;
        data.resize(data.len().max(at + 3000), 0);
        data[at..at + 3000].copy_from_slice(&piece);
    }
    let piece = pattern(40, 0, PAGE);
    for at in [8192u64, 40_960] {
        Aligned::buffer(PAGE, |buffer| {
            buffer.copy_from_slice(&piece);
            pwritev2(
                &direct.0,
                &[IoSlice::new(buffer)],
                at,
                ReadWriteFlags::DSYNC,
            )
        })??;
        let at = usize::try_from(at)?;
        data.resize(data.len().max(at + PAGE), 0);
        data[at..at + PAGE].copy_from_slice(&piece);
    }
    same!(u64::try_from(stat(&p)?.st_size)?, data.len() as u64, "size");
    expect_data(&p, &data, "a file of synchronous writes")
}
