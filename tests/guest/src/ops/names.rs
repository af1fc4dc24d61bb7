// SPDX-License-Identifier: GPL-2.0

//! Names: create, link, unlink, rename, symlinks, special files, directories.

use super::{block_size, check, refused, same, Test};
use anyhow::{Context, Result};
use rustix::fs::{
    linkat, lstat, mkdir, mknodat, open, openat, readlink, rename, renameat_with, rmdir, stat,
    symlink, unlink, AtFlags, FileType, Mode, OFlags, RenameFlags, CWD,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("create", create),
    ("create_refused", create_refused),
    ("odd_names", odd_names),
    ("mkdir_rmdir", mkdir_rmdir),
    ("deep", deep),
    ("unlink", unlink_counts),
    ("unlink_open", unlink_open),
    ("link", link),
    ("symlink_fast", symlink_fast),
    ("symlink_slow", symlink_slow),
    ("mknod", mknod),
    ("rename_plain", rename_plain),
    ("rename_replace", rename_replace),
    ("rename_directory", rename_directory),
    ("rename_with_whiteout", rename_with_whiteout),
    ("rename_refused", rename_refused),
    ("directory_grows", directory_grows),
    ("directory_shrinks", directory_shrinks),
    ("directory_long_names", directory_long_names),
    ("remove_while_reading", remove_while_reading),
    ("many_at_once", many_at_once),
];

const RW: Mode = Mode::from_raw_mode(0o644);

fn names_of(dir: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        check!(names.insert(name.clone()), "readdir gave {name} twice");
    }
    Ok(names)
}

fn expect_names(dir: &Path, expected: impl IntoIterator<Item = String>) -> Result<()> {
    let found = names_of(dir)?;
    let expected: BTreeSet<String> = expected.into_iter().collect();
    let missing: Vec<_> = expected.difference(&found).take(5).collect();
    let extra: Vec<_> = found.difference(&expected).take(5).collect();
    check!(
        missing.is_empty() && extra.is_empty(),
        "{}: of {} entries {missing:?} are missing and {extra:?} should not be there",
        dir.display(),
        expected.len()
    );
    Ok(())
}

fn create(d: &Path) -> Result<()> {
    let f = d.join("file");
    let parent_before = fs::metadata(d)?;
    drop(open(
        &f,
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY,
        Mode::from_raw_mode(0o640),
    )?);
    let s = stat(&f)?;
    same!(
        FileType::from_raw_mode(s.st_mode),
        FileType::RegularFile,
        "type"
    );
    same!(s.st_mode & 0o7777, 0o640, "mode");
    same!(s.st_nlink, 1, "links");
    same!(s.st_size, 0, "size");
    same!(s.st_blocks, 0, "blocks of an empty file");
    let parent = fs::metadata(d)?;
    same!(parent.nlink(), parent_before.nlink(), "links of the parent");
    check!(
        (parent.mtime(), parent.mtime_nsec())
            >= (parent_before.mtime(), parent_before.mtime_nsec()),
        "the parent's mtime went back"
    );
    expect_names(d, ["file".to_owned()])
}

fn create_refused(d: &Path) -> Result<()> {
    fs::write(d.join("file"), "x")?;
    fs::create_dir(d.join("dir"))?;
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    refused(
        open(d.join("file"), new, RW),
        Errno::EXIST,
        "O_EXCL on an existing file",
    )?;
    refused(
        open(d.join("none"), OFlags::RDONLY, RW),
        Errno::NOENT,
        "open of a missing file",
    )?;
    refused(
        open(d.join("none/x"), new, RW),
        Errno::NOENT,
        "create under a missing directory",
    )?;
    refused(
        open(d.join("file/x"), new, RW),
        Errno::NOTDIR,
        "create under a file",
    )?;
    refused(
        open(d.join("dir"), OFlags::WRONLY, RW),
        Errno::ISDIR,
        "write-open of a directory",
    )?;
    refused(
        open(d.join("n".repeat(256)), new, RW),
        Errno::NAMETOOLONG,
        "a name of 256 bytes",
    )?;
    refused(
        mkdir(d.join("dir"), RW),
        Errno::EXIST,
        "mkdir of an existing directory",
    )?;
    expect_names(d, ["file", "dir"].map(String::from))
}

fn odd_names(d: &Path) -> Result<()> {
    let names = [
        "n".repeat(255),
        "with space".into(),
        "new\nline".into(),
        "...".into(),
        "ümläut-名前-🗄".into(),
        "a".into(),
        "\u{1}\u{7f}".into(),
    ];
    for n in &names {
        fs::write(d.join(n), n)?;
    }
    expect_names(d, names.clone())?;
    for n in &names {
        same!(
            &fs::read_to_string(d.join(n))?,
            n,
            "content behind an odd name"
        );
    }
    Ok(())
}

fn mkdir_rmdir(d: &Path) -> Result<()> {
    let base = stat(d)?.st_nlink;
    let sub = d.join("sub");
    mkdir(&sub, Mode::from_raw_mode(0o750))?;
    let s = stat(&sub)?;
    same!(s.st_nlink, 2, "links of a new directory");
    same!(s.st_mode & 0o7777, 0o750, "mode of a new directory");
    same!(stat(d)?.st_nlink, base + 1, "links of its parent");
    same!(stat(sub.join("."))?.st_ino, s.st_ino, "inode of `.`");
    same!(
        stat(sub.join(".."))?.st_ino,
        stat(d)?.st_ino,
        "inode of `..`"
    );
    fs::write(sub.join("file"), "x")?;
    refused(rmdir(&sub), Errno::NOTEMPTY, "rmdir of a full directory")?;
    refused(unlink(&sub), Errno::ISDIR, "unlink of a directory")?;
    refused(rmdir(sub.join("file")), Errno::NOTDIR, "rmdir of a file")?;
    unlink(sub.join("file"))?;
    rmdir(&sub)?;
    refused(stat(&sub), Errno::NOENT, "stat of a removed directory")?;
    same!(stat(d)?.st_nlink, base, "links of the parent after rmdir");
    for i in 0..20 {
        mkdir(d.join(format!("d{i}")), RW)?;
    }
    same!(stat(d)?.st_nlink, base + 20, "links with 20 directories");
    Ok(())
}

fn deep(d: &Path) -> Result<()> {
    let mut p = d.to_owned();
    for i in 0..100 {
        p.push(format!("level{i}"));
        fs::create_dir(&p)?;
    }
    fs::write(p.join("bottom"), "here")?;
    same!(
        fs::read_to_string(p.join("bottom"))?,
        "here",
        "content 100 levels down"
    );
    Ok(())
}

fn unlink_counts(d: &Path) -> Result<()> {
    for i in 0..50 {
        fs::write(d.join(format!("f{i}")), format!("{i}"))?;
    }
    for i in (0..50).step_by(2) {
        unlink(d.join(format!("f{i}")))?;
    }
    refused(unlink(d.join("f0")), Errno::NOENT, "unlink twice")?;
    expect_names(d, (1..50).step_by(2).map(|i| format!("f{i}")))
}

/// A file lives on while it is open.
fn unlink_open(d: &Path) -> Result<()> {
    let f = d.join("file");
    let fd = open(&f, OFlags::CREATE | OFlags::RDWR, RW)?;
    rustix::io::pwrite(&fd, b"before", 0)?;
    unlink(&f)?;
    same!(
        rustix::fs::fstat(&fd)?.st_nlink,
        0,
        "links of an unlinked file"
    );
    rustix::io::pwrite(&fd, b"after!", 100_000)?;
    let mut b = [0; 6];
    rustix::io::pread(&fd, &mut b, 0)?;
    same!(&b, b"before", "content after unlink");
    rustix::fs::fsync(&fd)?;
    rustix::io::pread(&fd, &mut b, 100_000)?;
    same!(&b, b"after!", "content written after unlink");
    expect_names(d, [])
}

fn link(d: &Path) -> Result<()> {
    let (a, b) = (d.join("a"), d.join("b"));
    fs::write(&a, "one")?;
    linkat(CWD, &a, CWD, &b, AtFlags::empty())?;
    let (sa, sb) = (stat(&a)?, stat(&b)?);
    same!(sa.st_ino, sb.st_ino, "inode of a link");
    same!(sa.st_nlink, 2, "links of a linked file");
    fs::write(&b, "two")?;
    same!(
        fs::read_to_string(&a)?,
        "two",
        "content through the other name"
    );
    unlink(&a)?;
    same!(stat(&b)?.st_nlink, 1, "links after unlink");
    same!(
        fs::read_to_string(&b)?,
        "two",
        "content after unlink of one name"
    );
    refused(
        linkat(CWD, &b, CWD, &b, AtFlags::empty()),
        Errno::EXIST,
        "link onto itself",
    )?;
    fs::create_dir(d.join("dir"))?;
    refused(
        linkat(CWD, d.join("dir"), CWD, d.join("x"), AtFlags::empty()),
        Errno::PERM,
        "link to a directory",
    )?;
    for i in 0..100 {
        linkat(CWD, &b, CWD, d.join(format!("l{i}")), AtFlags::empty())?;
    }
    same!(stat(&b)?.st_nlink, 101, "links of a file with 101 names");
    Ok(())
}

fn symlink_of(d: &Path, lengths: &[usize]) -> Result<()> {
    for &n in lengths {
        let p = d.join(format!("link{n}"));
        let target = "t".repeat(n);
        symlink(target.as_str(), &p)?;
        let s = lstat(&p)?;
        same!(
            FileType::from_raw_mode(s.st_mode),
            FileType::Symlink,
            "type"
        );
        same!(s.st_size, i64::try_from(n)?, "size of a symlink");
        let found = readlink(&p, Vec::new())?;
        check!(
            found.to_bytes() == target.as_bytes(),
            "a symlink of {n} bytes reads back as {} others",
            found.to_bytes().len()
        );
    }
    Ok(())
}

fn symlink_fast(d: &Path) -> Result<()> {
    symlink_of(d, &[1, 58, 59])?;
    fs::write(d.join("file"), "through")?;
    symlink("file", d.join("good"))?;
    same!(
        fs::read_to_string(d.join("good"))?,
        "through",
        "content through a symlink"
    );
    symlink("self", d.join("self"))?;
    refused(stat(d.join("self")), Errno::LOOP, "a symlink to itself")?;
    symlink("nowhere", d.join("dangling"))?;
    refused(stat(d.join("dangling")), Errno::NOENT, "a dangling symlink")?;
    unlink(d.join("good"))?;
    same!(
        fs::read_to_string(d.join("file"))?,
        "through",
        "target after unlink of the symlink"
    );
    Ok(())
}

fn symlink_slow(d: &Path) -> Result<()> {
    let block = usize::try_from(block_size(d)?)?;
    symlink_of(d, &[60, 61, 255, 1000, block - 1])?;
    refused(
        symlink("t".repeat(block).as_str(), d.join("long")),
        Errno::NAMETOOLONG,
        "a symlink of a whole block",
    )?;
    for n in [60, block - 1] {
        unlink(d.join(format!("link{n}")))?;
    }
    let target = format!("{}file", "./".repeat(100));
    fs::write(d.join("file"), "far")?;
    symlink(target.as_str(), d.join("good"))?;
    same!(
        fs::read_to_string(d.join("good"))?,
        "far",
        "content through a slow symlink"
    );
    Ok(())
}

fn mknod(d: &Path) -> Result<()> {
    let nodes = [
        ("fifo", FileType::Fifo, 0, 0),
        ("socket", FileType::Socket, 0, 0),
        ("char", FileType::CharacterDevice, 1, 3),
        ("block", FileType::BlockDevice, 259, 70_000),
        ("old", FileType::BlockDevice, 255, 255),
    ];
    for (name, kind, major, minor) in nodes {
        let device = rustix::fs::makedev(major, minor);
        mknodat(CWD, d.join(name), kind, Mode::from_raw_mode(0o600), device)
            .with_context(|| name.to_owned())?;
        let s = lstat(d.join(name))?;
        same!(FileType::from_raw_mode(s.st_mode), kind, name);
        same!(s.st_rdev, device, "device number");
        same!(s.st_mode & 0o7777, 0o600, "mode");
    }
    check!(
        fs::read(d.join("char"))?.is_empty(),
        "/dev/null through a made node is not empty"
    );
    Ok(())
}

fn rename_plain(d: &Path) -> Result<()> {
    fs::write(d.join("a"), "a")?;
    let ino = stat(d.join("a"))?.st_ino;
    rename(d.join("a"), d.join("b"))?;
    same!(stat(d.join("b"))?.st_ino, ino, "inode after rename");
    fs::create_dir(d.join("sub"))?;
    rename(d.join("b"), d.join("sub/c"))?;
    same!(
        fs::read_to_string(d.join("sub/c"))?,
        "a",
        "content after rename"
    );
    expect_names(d, ["sub".to_owned()])?;
    expect_names(&d.join("sub"), ["c".to_owned()])?;
    linkat(CWD, d.join("sub/c"), CWD, d.join("sub/d"), AtFlags::empty())?;
    rename(d.join("sub/c"), d.join("sub/d"))?;
    expect_names(&d.join("sub"), ["c", "d"].map(String::from))?;
    same!(
        stat(d.join("sub/c"))?.st_nlink,
        2,
        "a rename between two names of one file does nothing"
    );
    // a longer name than the old one, many times over: entries move about
    for i in 0..200 {
        let (from, to) = (
            format!("x{}", "y".repeat(i)),
            format!("x{}", "y".repeat(i + 1)),
        );
        if i == 0 {
            fs::write(d.join(&from), "roaming")?;
        }
        rename(d.join(from), d.join(to))?;
    }
    same!(
        fs::read_to_string(d.join(format!("x{}", "y".repeat(200))))?,
        "roaming",
        "content after 200 renames"
    );
    Ok(())
}

fn rename_replace(d: &Path) -> Result<()> {
    for i in 0..30 {
        fs::write(d.join("new"), format!("version {i}"))?;
        rename(d.join("new"), d.join("kept"))?;
        same!(
            fs::read_to_string(d.join("kept"))?,
            format!("version {i}"),
            "content after replacing"
        );
    }
    expect_names(d, ["kept".to_owned()])?;
    same!(stat(d.join("kept"))?.st_nlink, 1, "links after replacing");
    // the replaced one lives on while it is open, or under another name
    let old = open(d.join("kept"), OFlags::RDONLY, RW)?;
    linkat(CWD, d.join("kept"), CWD, d.join("other"), AtFlags::empty())?;
    fs::write(d.join("new"), "last")?;
    rename(d.join("new"), d.join("kept"))?;
    same!(
        rustix::fs::fstat(&old)?.st_nlink,
        1,
        "links of a replaced file with another name"
    );
    same!(
        fs::read_to_string(d.join("other"))?,
        "version 29",
        "content under the other name"
    );
    fs::create_dir(d.join("empty"))?;
    fs::create_dir(d.join("full"))?;
    fs::write(d.join("full/file"), "x")?;
    let links = stat(d)?.st_nlink;
    rename(d.join("full"), d.join("empty"))?;
    same!(
        fs::read_to_string(d.join("empty/file"))?,
        "x",
        "content of a directory that replaced another"
    );
    same!(
        stat(d)?.st_nlink,
        links - 1,
        "links of the parent after a directory replaced another"
    );
    Ok(())
}

fn rename_directory(d: &Path) -> Result<()> {
    for p in ["a", "b", "a/sub", "a/sub/deeper"] {
        fs::create_dir(d.join(p))?;
    }
    fs::write(d.join("a/sub/file"), "x")?;
    rename(d.join("a/sub"), d.join("b/moved"))?;
    same!(stat(d.join("a"))?.st_nlink, 2, "links of the old parent");
    same!(stat(d.join("b"))?.st_nlink, 3, "links of the new parent");
    same!(
        stat(d.join("b/moved/.."))?.st_ino,
        stat(d.join("b"))?.st_ino,
        "`..` after the move"
    );
    same!(
        fs::read_to_string(d.join("b/moved/file"))?,
        "x",
        "content in a moved directory"
    );
    refused(
        renameat_with(CWD, d.join("a"), CWD, d.join("b"), RenameFlags::NOREPLACE),
        Errno::EXIST,
        "RENAME_NOREPLACE",
    )?;
    renameat_with(CWD, d.join("a"), CWD, d.join("c"), RenameFlags::NOREPLACE)?;
    expect_names(d, ["b", "c"].map(String::from))
}

/// What a union mount leaves where something is hidden: a device with the number 0.
fn rename_with_whiteout(d: &Path) -> Result<()> {
    let whiteout = |old: &str, new: &str| {
        renameat_with(CWD, d.join(old), CWD, d.join(new), RenameFlags::WHITEOUT)?;
        let left = stat(d.join(old))?;
        same!(left.st_mode, 0o20000, "mode of what is left");
        same!(left.st_rdev, 0, "number of what is left");
        same!(left.st_nlink, 1, "links of what is left");
        anyhow::Ok(())
    };
    fs::create_dir_all(d.join("a/dir/sub"))?;
    fs::create_dir(d.join("b"))?;
    fs::write(d.join("a/file"), "x")?;
    fs::write(d.join("b/file"), "y")?;
    whiteout("a/file", "a/moved")?;
    whiteout("a/moved", "b/file")?;
    same!(fs::read_to_string(d.join("b/file"))?, "x", "content");
    whiteout("a/dir", "b/dir")?;
    same!(stat(d.join("a"))?.st_nlink, 2, "links of the old parent");
    same!(stat(d.join("b"))?.st_nlink, 3, "links of the new parent");
    expect_names(&d.join("a"), ["dir", "file", "moved"].map(String::from))?;
    for name in ["dir", "file", "moved"] {
        fs::remove_file(d.join("a").join(name))?;
    }
    Ok(fs::remove_dir(d.join("a"))?)
}

fn rename_refused(d: &Path) -> Result<()> {
    for p in ["dir", "full", "full/sub"] {
        fs::create_dir(d.join(p))?;
    }
    fs::write(d.join("file"), "x")?;
    refused(
        rename(d.join("dir"), d.join("full")),
        Errno::NOTEMPTY,
        "rename onto a full directory",
    )?;
    refused(
        rename(d.join("dir"), d.join("file")),
        Errno::NOTDIR,
        "a directory onto a file",
    )?;
    refused(
        rename(d.join("file"), d.join("dir")),
        Errno::ISDIR,
        "a file onto a directory",
    )?;
    refused(
        rename(d.join("full"), d.join("full/sub/x")),
        Errno::INVAL,
        "a directory into itself",
    )?;
    refused(
        rename(d.join("none"), d.join("x")),
        Errno::NOENT,
        "a missing file",
    )?;
    expect_names(d, ["dir", "full", "file"].map(String::from))
}

/// Enough entries for an index with several leaves.
const MANY: usize = 3000;

fn directory_grows(d: &Path) -> Result<()> {
    let dir = openat(CWD, d, OFlags::DIRECTORY | OFlags::RDONLY, RW)?;
    for i in 0..MANY {
        openat(
            &dir,
            format!("entry-{i:05}"),
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY,
            RW,
        )
        .with_context(|| format!("entry {i}"))?;
        // the one just added, and some older one
        for j in [i, i / 2] {
            rustix::fs::statat(&dir, format!("entry-{j:05}"), AtFlags::empty())
                .with_context(|| format!("lookup of {j} after adding {i}"))?;
        }
    }
    expect_names(d, (0..MANY).map(|i| format!("entry-{i:05}")))?;
    refused(
        stat(d.join("entry-99999")),
        Errno::NOENT,
        "a name that is not there",
    )
}

fn directory_shrinks(d: &Path) -> Result<()> {
    let count = 1200;
    for i in 0..count {
        fs::write(d.join(format!("{i}")), "")?;
    }
    for i in (0..count).filter(|i| i % 3 != 0) {
        unlink(d.join(format!("{i}")))?;
    }
    expect_names(d, (0..count).step_by(3).map(|i| format!("{i}")))?;
    for i in (0..count).filter(|i| i % 3 == 1) {
        fs::write(d.join(format!("{i}")), "")?;
    }
    expect_names(d, (0..count).filter(|i| i % 3 != 2).map(|i| format!("{i}")))?;
    let sub = d.join("emptied");
    fs::create_dir(&sub)?;
    for i in 0..count {
        fs::write(sub.join(format!("{i}")), "")?;
    }
    fs::remove_dir_all(&sub)?;
    refused(stat(&sub), Errno::NOENT, "a removed directory")
}

/// Few entries fit a block, so that splits come early and are uneven.
fn directory_long_names(d: &Path) -> Result<()> {
    let name = |i: usize| format!("{i}-{}", "n".repeat(i % 240));
    for i in 0..800 {
        fs::write(d.join(name(i)), "")?;
    }
    expect_names(d, (0..800).map(name))
}

/// What `rm -r` does: entries vanish under the reader.
fn remove_while_reading(d: &Path) -> Result<()> {
    for i in 0..1000 {
        fs::write(d.join(format!("f{i}")), "")?;
    }
    let mut seen = 0;
    for entry in fs::read_dir(d)? {
        fs::remove_file(entry?.path())?;
        seen += 1;
    }
    same!(seen, 1000, "entries seen while removing them");
    expect_names(d, [])
}

/// Four threads in one directory.
fn many_at_once(d: &Path) -> Result<()> {
    let work = |t: usize| -> Result<()> {
        for i in 0..150 {
            let p = d.join(format!("t{t}-{i}"));
            fs::write(&p, format!("{t} {i}"))?;
            if i % 3 == 0 {
                rename(&p, d.join(format!("t{t}-renamed-{i}")))?;
            } else if i % 3 == 1 {
                unlink(&p)?;
            }
            names_of(d)?;
        }
        Ok(())
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|t| s.spawn(move || work(t))).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    expect_names(
        d,
        (0..4).flat_map(|t| {
            (0..150).filter(|i| i % 3 != 1).map(move |i| {
                if i % 3 == 0 {
                    format!("t{t}-renamed-{i}")
                } else {
                    format!("t{t}-{i}")
                }
            })
        }),
    )
}
