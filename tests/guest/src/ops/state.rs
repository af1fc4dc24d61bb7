// SPDX-License-Identifier: GPL-2.0

//! What an inode and the file system say about themselves.

use super::{block_size, check, pattern, same, Test};
use anyhow::{Context, Result};
use rustix::fs::{chownat, stat, statvfs, utimensat, AtFlags, Gid, Timespec, Timestamps, Uid, CWD};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    ("chmod", chmod),
    ("chown", chown),
    ("setgid_directory", setgid_directory),
    ("times_set", times_set),
    ("times_move", times_move),
    ("statfs", statfs),
    ("blocks_counted", blocks_counted),
    ("fsync_after_reload", fsync_after_reload),
    ("reservations_shown", reservations_shown),
];

fn chmod(d: &Path) -> Result<()> {
    for mode in [0o000, 0o777, 0o600, 0o4755, 0o2755, 0o1777, 0o7777] {
        let p = d.join(format!("{mode:o}"));
        fs::write(&p, "x")?;
        fs::set_permissions(&p, Permissions::from_mode(mode))?;
        same!(
            fs::metadata(&p)?.permissions().mode() & 0o7777,
            mode,
            "mode"
        );
    }
    Ok(())
}

fn chown(d: &Path) -> Result<()> {
    for id in [0, 1, 65_535, 65_536, 4_000_000_000] {
        let p = d.join(format!("{id}"));
        fs::write(&p, "x")?;
        chownat(
            CWD,
            &p,
            Some(Uid::from_raw(id)),
            Some(Gid::from_raw(id ^ 1)),
            AtFlags::empty(),
        )?;
        let m = fs::metadata(&p)?;
        same!((m.uid(), m.gid()), (id, id ^ 1), "owner");
    }
    let p = d.join("setuid");
    fs::write(&p, "x")?;
    fs::set_permissions(&p, Permissions::from_mode(0o4755))?;
    chownat(CWD, &p, Some(Uid::from_raw(7)), None, AtFlags::empty())?;
    same!(
        fs::metadata(&p)?.permissions().mode() & 0o7777,
        0o755,
        "chown drops setuid"
    );
    Ok(())
}

fn setgid_directory(d: &Path) -> Result<()> {
    let dir = d.join("dir");
    fs::create_dir(&dir)?;
    chownat(CWD, &dir, None, Some(Gid::from_raw(77)), AtFlags::empty())?;
    fs::set_permissions(&dir, Permissions::from_mode(0o2775))?;
    fs::write(dir.join("file"), "x")?;
    fs::create_dir(dir.join("sub"))?;
    same!(
        fs::metadata(dir.join("file"))?.gid(),
        77,
        "group of a file in a setgid directory"
    );
    let sub = fs::metadata(dir.join("sub"))?;
    same!(sub.gid(), 77, "group of a directory in a setgid directory");
    check!(
        sub.permissions().mode() & 0o2000 != 0,
        "setgid is inherited by directories"
    );
    Ok(())
}

/// The range that 34 bits of seconds and 30 of nanoseconds can hold.
fn times_set(d: &Path) -> Result<()> {
    let times = [
        (0, 0),
        (1, 999_999_999),
        (-1, 1),
        (-(1 << 31), 0),
        ((1 << 31) - 1, 999_999_999),
        (1 << 31, 5),
        (1 << 32, 123_456_789),
        ((1 << 34) - (1 << 31) - 1, 0),
    ];
    for (i, (tv_sec, tv_nsec)) in times.into_iter().enumerate() {
        let p = d.join(format!("{i}"));
        fs::write(&p, "x")?;
        let t = Timespec { tv_sec, tv_nsec };
        let both = Timestamps {
            last_access: t,
            last_modification: t,
        };
        utimensat(CWD, &p, &both, AtFlags::empty())?;
        let m = fs::metadata(&p)?;
        same!((m.mtime(), m.mtime_nsec()), (tv_sec, tv_nsec), "mtime");
        same!((m.atime(), m.atime_nsec()), (tv_sec, tv_nsec), "atime");
    }
    Ok(())
}

/// Which operation moves which time.
fn times_move(d: &Path) -> Result<()> {
    let p = d.join("file");
    let pause = || sleep(Duration::from_millis(30));
    let times = |p: &Path| -> Result<_> {
        let m = fs::symlink_metadata(p)?;
        Ok(((m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec())))
    };
    let dir0 = times(d)?;
    pause();
    fs::write(&p, "one")?;
    let (dir1, f1) = (times(d)?, times(&p)?);
    check!(
        dir1.0 > dir0.0 && dir1.1 > dir0.1,
        "create moves mtime and ctime of the directory"
    );
    pause();
    fs::write(&p, "two")?;
    let f2 = times(&p)?;
    check!(f2.0 > f1.0 && f2.1 > f1.1, "write moves mtime and ctime");
    same!(
        times(d)?,
        dir1,
        "times of the directory after a write to the file"
    );
    pause();
    fs::set_permissions(&p, Permissions::from_mode(0o600))?;
    let f3 = times(&p)?;
    check!(f3.0 == f2.0 && f3.1 > f2.1, "chmod moves ctime only");
    pause();
    fs::hard_link(&p, d.join("link"))?;
    let f4 = times(&p)?;
    check!(f4.0 == f3.0 && f4.1 > f3.1, "link moves ctime only");
    pause();
    File::options().write(true).open(&p)?.set_len(1)?;
    let f5 = times(&p)?;
    check!(f5.0 > f4.0 && f5.1 > f4.1, "truncate moves mtime and ctime");
    pause();
    let dir5 = times(d)?;
    fs::remove_file(d.join("link"))?;
    let f6 = times(&p)?;
    check!(
        f6.0 == f5.0 && f6.1 > f5.1,
        "unlink of another name moves ctime only"
    );
    check!(times(d)?.0 > dir5.0, "unlink moves mtime of the directory");
    Ok(())
}

fn statfs(d: &Path) -> Result<()> {
    let s = rustix::fs::statfs(d)?;
    same!(s.f_type, 0xEF53, "magic");
    same!(
        s.f_bsize,
        i64::try_from(d.metadata()?.blksize())?,
        "block size"
    );
    same!(s.f_namelen, 255, "longest name");
    let before = statvfs(d)?;
    check!(
        before.f_bfree >= before.f_bavail && before.f_blocks > before.f_bfree,
        "odd counts of blocks"
    );
    for i in 0..10 {
        fs::write(d.join(format!("f{i}")), "x")?;
    }
    rustix::fs::sync();
    let after = statvfs(d)?;
    same!(
        before.f_ffree - after.f_ffree,
        10,
        "inodes taken by ten files"
    );
    check!(
        before.f_bfree - after.f_bfree >= 10,
        "ten files of one block took {} blocks",
        before.f_bfree - after.f_bfree
    );
    Ok(())
}

/// Space is taken by data and comes back.
fn blocks_counted(d: &Path) -> Result<()> {
    const BLOCKS: u64 = 512;
    rustix::fs::sync();
    let (before, size) = (statvfs(d)?.f_bfree, block_size(d)?);
    let p = d.join("file");
    fs::write(&p, pattern(1, 0, usize::try_from(BLOCKS * size)?))?;
    let delayed = before
        .checked_sub(statvfs(d)?.f_bfree)
        .context("free space grew")?;
    check!(
        delayed >= BLOCKS,
        "{BLOCKS} delayed blocks took {delayed} of the free count"
    );
    File::open(&p)?.sync_all()?;
    let written = before
        .checked_sub(statvfs(d)?.f_bfree)
        .context("free space grew")?;
    check!(
        (BLOCKS..BLOCKS + 16).contains(&written),
        "{BLOCKS} blocks took {written} of the free count"
    );
    same!(
        stat(&p)?.st_blocks,
        i64::try_from(BLOCKS * size / 512)?,
        "sectors of the file"
    );
    fs::remove_file(&p)?;
    rustix::fs::sync();
    let after = statvfs(d)?.f_bfree;
    check!(
        before.abs_diff(after) < 4,
        "of {before} free blocks {after} are left after writing and removing a file"
    );
    Ok(())
}

/// A change of an inode that memory has forgotten meanwhile, but the disk does not have yet, is on
/// disk after `fsync()`: an inode read anew must not be taken for one without changes.
fn fsync_after_reload(d: &Path) -> Result<()> {
    let p = d.join("f");
    File::create(&p)?;
    // A commit in the background between the change and the count would hide the one awaited.
    for mode in [0o600, 0o640, 0o644] {
        rustix::fs::sync();
        fs::set_permissions(&p, Permissions::from_mode(mode))?;
        // The first rounds only take the marks of recent use away.
        for _ in 0..5 {
            fs::write("/proc/sys/vm/drop_caches", "2")?;
        }
        let before = commits()?;
        File::open(&p)?.sync_all()?;
        if commits()? > before {
            return Ok(());
        }
    }
    anyhow::bail!("fsync of a changed inode committed nothing")
}

/// How many transactions the journals of all mounted file systems have committed.
pub(super) fn commits() -> Result<u64> {
    let mut sum = 0;
    for journal in fs::read_dir("/proc/fs/jbd2").context("no jbd2 in /proc")? {
        let info = fs::read_to_string(journal?.path().join("info"))?;
        let first = info.split_whitespace().next().unwrap_or_default();
        sum += first.parse::<u64>().with_context(|| info.clone())?;
    }
    Ok(sum)
}

/// `delayed_allocation_blocks` of the file system that `p` is on.
fn delayed_blocks(p: &Path) -> Result<u64> {
    let device = stat(p)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let node = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let name = node.file_name().context("a device without a name")?;
    for kind in ["ext4rs", "ext4"] {
        let file = Path::new("/sys/fs").join(kind).join(name);
        if let Ok(text) = fs::read_to_string(file.join("delayed_allocation_blocks")) {
            return Ok(text.trim().parse()?);
        }
    }
    anyhow::bail!("no delayed_allocation_blocks for {name:?}")
}

/// What is reserved for data that has no blocks yet, and that it comes back: when the data is
/// written, cut off, and gone with its file.
fn reservations_shown(d: &Path) -> Result<()> {
    rustix::fs::sync();
    same!(delayed_blocks(d)?, 0, "reserved when all is written");
    let path = d.join("file");
    let size = block_size(d)?;
    let data = pattern(1, 0, usize::try_from(100 * size)?);
    let dirty = || -> Result<File> {
        let file = File::create(&path)?;
        file.write_all_at(&data, 0)?;
        same!(delayed_blocks(d)?, 100, "reserved for 100 dirty blocks");
        Ok(file)
    };
    dirty()?.sync_all()?;
    same!(delayed_blocks(d)?, 0, "reserved after fsync");
    fs::remove_file(&path)?;
    let file = dirty()?;
    file.set_len(30 * size)?;
    // Those that stay may be written out first.
    let left = delayed_blocks(d)?;
    check!(left <= 30, "{left} blocks reserved for a file of 30");
    file.set_len(0)?;
    same!(delayed_blocks(d)?, 0, "reserved for an empty file");
    drop(file);
    fs::remove_file(&path)?;
    drop(dirty()?);
    fs::remove_file(&path)?;
    same!(delayed_blocks(d)?, 0, "reserved for a file that is gone");
    Ok(())
}
