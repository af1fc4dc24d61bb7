// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, access control lists, and the flags of chattr.

use super::{block_size, check, pattern, refused, same, Test};
use anyhow::{Context, Result};
use guest::direct::Aligned;
use rustix::fs::{
    getxattr, ioctl_getflags, ioctl_setflags, lgetxattr, listxattr, lremovexattr, lsetxattr,
    openat, removexattr, setxattr, stat, statx, AtFlags, IFlags, Mode, OFlags, StatxAttributes,
    StatxFlags, XattrFlags, CWD,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{symlink, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("attribute_set", attribute_set),
    ("attribute_sizes", attribute_sizes),
    ("attribute_refused", attribute_refused),
    ("attribute_full", attribute_full),
    ("attribute_kinds", attribute_kinds),
    ("acl_access", acl_access),
    ("acl_inherited", acl_inherited),
    ("umask", umask),
    ("flags", flags),
    ("flags_in_statx", flags_in_statx),
    ("direct_alignment_in_statx", direct_alignment),
    ("flags_refused", flags_refused),
    ("flags_immutable", flags_immutable),
    ("flags_inherited", flags_inherited),
];

fn value(path: &Path, name: &str) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 65536];
    let len = getxattr(path, name, buffer.as_mut_slice())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn names(path: &Path) -> Result<BTreeSet<String>> {
    let mut buffer = vec![0; 65536];
    let len = listxattr(path, buffer.as_mut_slice())?;
    buffer.truncate(len);
    let text = String::from_utf8(buffer)?;
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

fn set(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    setxattr(path, name, value, XattrFlags::empty())
}

fn attribute_set(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    same!(names(&p)?, BTreeSet::new(), "names of a new file");
    refused(value(&p, "user.a"), Errno::NODATA, "an absent attribute")?;
    set(&p, "user.a", b"one")?;
    same!(value(&p, "user.a")?, b"one", "value");
    set(&p, "user.a", b"another")?;
    same!(value(&p, "user.a")?, b"another", "replaced value");
    set(&p, "user.empty", b"")?;
    same!(value(&p, "user.empty")?, b"", "empty value");
    set(&p, "trusted.t", b"1")?;
    set(&p, "security.s", b"2")?;
    let all = ["user.a", "user.empty", "trusted.t", "security.s"];
    same!(names(&p)?, all.map(String::from).into(), "names");
    removexattr(&p, "user.a")?;
    refused(value(&p, "user.a"), Errno::NODATA, "a removed attribute")?;
    refused(
        removexattr(&p, "user.a"),
        Errno::NODATA,
        "removing it again",
    )?;
    same!(names(&p)?.len(), 3, "names that are left");
    let before = fs::metadata(&p)?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    set(&p, "user.b", b"")?;
    let after = fs::metadata(&p)?;
    check!(
        (after.ctime(), after.ctime_nsec()) > (before.ctime(), before.ctime_nsec()),
        "setting an attribute moves ctime"
    );
    same!(after.mtime_nsec(), before.mtime_nsec(), "mtime");
    Ok(())
}

/// In the inode, in a block, and from one to the other.
fn attribute_sizes(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    let (sectors, block) = (fs::metadata(&p)?.blocks(), block_size(&p)?);
    let most = usize::try_from(block)? - 96;
    let small = [1, 3, 4, 40, 60, 61, 70, 80, 200];
    for len in small
        .into_iter()
        .chain([most * 3 / 4, most, 3, most / 2, 0])
    {
        set(&p, "user.v", &pattern(1, 0, len))?;
        same!(value(&p, "user.v")?, pattern(1, 0, len), "value");
    }
    same!(fs::metadata(&p)?.blocks(), sectors, "space in the end");
    // As many as fill most of a block.
    let count = block / 100;
    for i in 0..count {
        set(&p, &format!("user.{i}"), &pattern(i, 0, 50))?;
    }
    let with_block = sectors + block / 512;
    same!(fs::metadata(&p)?.blocks(), with_block, "with a block");
    for i in (0..count).step_by(2) {
        removexattr(&p, format!("user.{i}"))?;
    }
    for i in 0..count {
        let name = format!("user.{i}");
        match i % 2 {
            0 => refused(value(&p, &name), Errno::NODATA, &name)?,
            _ => same!(value(&p, &name)?, pattern(i, 0, 50), name),
        }
    }
    let other = d.join("gone");
    fs::write(&other, "x")?;
    set(&other, "user.v", &pattern(2, 0, most))?;
    fs::remove_file(&other)?;
    Ok(())
}

fn attribute_refused(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    set(&p, "user.there", b"1")?;
    refused(
        setxattr(&p, "user.there", b"2", XattrFlags::CREATE),
        Errno::EXIST,
        "making one that is there",
    )?;
    refused(
        setxattr(&p, "user.absent", b"2", XattrFlags::REPLACE),
        Errno::NODATA,
        "replacing one that is not there",
    )?;
    setxattr(&p, "user.there", b"3", XattrFlags::REPLACE)?;
    setxattr(&p, "user.new", b"4", XattrFlags::CREATE)?;
    same!(value(&p, "user.there")?, b"3", "value");
    refused(set(&p, "user.", b"1"), Errno::INVAL, "an empty name")?;
    refused(set(&p, "other.a", b"1"), Errno::OPNOTSUPP, "a family")?;
    refused(
        set(&p, &format!("user.{}", "n".repeat(251)), b"1"),
        Errno::RANGE,
        "a long name",
    )?;
    set(&p, &format!("user.{}", "n".repeat(250)), b"1")?;
    let mut small = [0; 1];
    set(&p, "user.two", b"22")?;
    refused(
        getxattr(&p, "user.two", &mut small),
        Errno::RANGE,
        "a buffer that is too small",
    )?;
    refused(
        listxattr(&p, &mut small),
        Errno::RANGE,
        "a list that is too long",
    )
}

/// A value that has no room is refused, and what was there stays.
fn attribute_full(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    let block = usize::try_from(block_size(&p)?)?;
    let big = pattern(1, 0, block * 3 / 4);
    set(&p, "user.big", &big)?;
    set(&p, "user.small", b"0123456789")?;
    for len in [block / 2, block - 96, block, 2 * block, 65536] {
        refused(
            set(&p, "user.more", &pattern(2, 0, len)),
            Errno::NOSPC,
            "a value without room",
        )?;
        refused(
            set(&p, "user.small", &pattern(2, 0, len)),
            Errno::NOSPC,
            "a value that outgrew its room",
        )?;
    }
    same!(value(&p, "user.big")?, big, "big");
    same!(value(&p, "user.small")?, b"0123456789", "small");
    same!(names(&p)?.len(), 2, "names");
    Ok(())
}

/// Directories and symlinks have attributes too.
fn attribute_kinds(d: &Path) -> Result<()> {
    let dir = d.join("dir");
    fs::create_dir(&dir)?;
    set(&dir, "user.v", &pattern(1, 0, 500))?;
    same!(value(&dir, "user.v")?, pattern(1, 0, 500), "directory");
    for (name, target) in [("fast", "x".to_owned()), ("slow", "y".repeat(100))] {
        let link = d.join(name);
        symlink(&target, &link)?;
        refused(
            lsetxattr(&link, "user.v", b"1", XattrFlags::empty()),
            Errno::PERM,
            "a user's attribute of a symlink",
        )?;
        lsetxattr(&link, "trusted.v", &pattern(2, 0, 500), XattrFlags::empty())?;
        let mut buffer = [0; 600];
        let len = lgetxattr(&link, "trusted.v", &mut buffer)?;
        let expected = pattern(2, 0, 500);
        same!(buffer.get(..len), expected.get(..), "symlink");
        same!(fs::read_link(&link)?, Path::new(&target), "target");
    }
    lremovexattr(d.join("fast"), "trusted.v")?;
    Ok(())
}

/// What `system.posix_acl_*` holds: tag, permissions, owner of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

const NOBODY: u32 = u32::MAX;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
/// u::rw-,u:1000:rwx,g::r--,g:70000:-w-,m::rwx,o::---
const LIST: &[(u16, u16, u32)] = &[
    (0x1, 6, NOBODY),
    (0x2, 7, 1000),
    (0x4, 4, NOBODY),
    (0x8, 2, 70_000),
    (0x10, 7, NOBODY),
    (0x20, 0, NOBODY),
];

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

fn acl_access(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    refused(value(&p, ACCESS), Errno::NODATA, "no list")?;
    set(&p, ACCESS, &acl(LIST))?;
    same!(value(&p, ACCESS)?, acl(LIST), "list");
    same!(names(&p)?, [ACCESS.to_owned()].into(), "names");
    same!(mode(&p)?, 0o670, "the mode follows the list");
    fs::set_permissions(&p, Permissions::from_mode(0o604))?;
    let mut masked = LIST.to_vec();
    masked.retain(|e| e.0 != 0x10 && e.0 != 0x20);
    masked.extend([(0x10, 0, NOBODY), (0x20, 4, NOBODY)]);
    same!(
        value(&p, ACCESS)?,
        acl(&masked),
        "the list follows the mode"
    );
    // One that the mode can say is not kept.
    let plain = acl(&[(0x1, 7, NOBODY), (0x4, 5, NOBODY), (0x20, 1, NOBODY)]);
    set(&p, ACCESS, &plain)?;
    refused(value(&p, ACCESS), Errno::NODATA, "a plain list")?;
    same!(mode(&p)?, 0o751, "mode");
    refused(
        set(&p, DEFAULT, &acl(LIST)),
        Errno::ACCESS,
        "a default list of a file",
    )?;
    set(&p, ACCESS, &acl(LIST))?;
    removexattr(&p, ACCESS)?;
    refused(value(&p, ACCESS), Errno::NODATA, "a removed list")?;
    set(&p, ACCESS, &acl(LIST))?;
    Ok(())
}

fn acl_inherited(d: &Path) -> Result<()> {
    let dir = d.join("dir");
    fs::create_dir(&dir)?;
    set(&dir, DEFAULT, &acl(LIST))?;
    let file = dir.join("file");
    drop(openat(
        CWD,
        &file,
        OFlags::CREATE,
        Mode::from_raw_mode(0o644),
    )?);
    let mut inherited = LIST.to_vec();
    inherited.retain(|e| e.0 != 0x10 && e.0 != 0x20);
    inherited.extend([(0x10, 4, NOBODY), (0x20, 0, NOBODY)]);
    same!(value(&file, ACCESS)?, acl(&inherited), "list of a file");
    same!(mode(&file)?, 0o640, "mode of a file");
    refused(value(&file, DEFAULT), Errno::NODATA, "default of a file")?;
    let sub = dir.join("sub");
    fs::create_dir(&sub)?;
    same!(value(&sub, DEFAULT)?, acl(LIST), "default of a directory");
    same!(mode(&sub)?, 0o670, "mode of a directory");
    symlink("file", dir.join("link"))?;
    removexattr(&dir, DEFAULT)?;
    refused(value(&dir, DEFAULT), Errno::NODATA, "a removed default")?;
    same!(value(&sub, DEFAULT)?, acl(LIST), "default of the child");
    Ok(())
}

/// Without a default list the umask counts, for everything that is made.
fn umask(d: &Path) -> Result<()> {
    let old = rustix::process::umask(Mode::from_raw_mode(0o027));
    let made = (|| {
        let all = Mode::from_raw_mode(0o777);
        drop(openat(CWD, d.join("file"), OFlags::CREATE, all)?);
        rustix::fs::mkdir(d.join("dir"), all)?;
        openat(CWD, d, OFlags::TMPFILE | OFlags::RDWR, all)
    })();
    rustix::process::umask(old);
    let unnamed = File::from(made?);
    same!(mode(&d.join("file"))?, 0o750, "file");
    same!(mode(&d.join("dir"))?, 0o750, "directory");
    same!(
        unnamed.metadata()?.permissions().mode() & 0o7777,
        0o750,
        "unnamed file"
    );
    Ok(())
}

/// `FS_EXTENT_FL`, which rustix does not know.
const EXTENTS: u32 = 0x8_0000;
/// `FS_CASEFOLD_FL`, likewise.
const CASEFOLD: u32 = 0x4000_0000;

fn get_flags(path: &Path) -> Result<u32> {
    Ok(ioctl_getflags(File::open(path)?)?.bits())
}

fn set_flags(path: &Path, flags: u32) -> Result<rustix::io::Result<()>> {
    let file = File::open(path)?;
    Ok(ioctl_setflags(file, IFlags::from_bits_retain(flags)))
}

fn flags(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    same!(get_flags(&p)?, EXTENTS, "flags of a new file");
    let wanted = EXTENTS | (IFlags::NODUMP | IFlags::NOATIME | IFlags::SYNC).bits();
    set_flags(&p, wanted)??;
    same!(get_flags(&p)?, wanted, "flags");
    let before = fs::metadata(&p)?;
    fs::read(&p)?;
    same!(fs::metadata(&p)?.atime_nsec(), before.atime_nsec(), "atime");
    set_flags(&p, EXTENTS | IFlags::NODUMP.bits())??;
    let dir = d.join("dir");
    fs::create_dir(&dir)?;
    set_flags(&dir, EXTENTS | (IFlags::DIRSYNC | IFlags::TOPDIR).bits())??;
    fs::write(dir.join("in it"), "x")?;
    Ok(())
}

/// What direct I/O has to be aligned to: that of a regular file is said, and true; of a directory
/// there is none.
fn direct_alignment(d: &Path) -> Result<()> {
    let p = d.join("file");
    File::create(&p)?;
    let of = |path: &Path| statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN);
    let said = of(&p)?;
    let align = said.stx_dio_offset_align;
    let told = |mask: u32| mask & StatxFlags::DIOALIGN.bits() != 0;
    check!(told(said.stx_mask), "nothing is said of a file");
    check!(
        align.is_power_of_two() && (512..=4096).contains(&align),
        "offsets aligned to {align}"
    );
    let memory = said.stx_dio_mem_align;
    check!(
        memory.is_power_of_two() && memory <= 4096,
        "memory aligned to {memory}"
    );
    let direct = Aligned::open(&p)?;
    direct.write(&vec![7; align as usize], 3 * u64::from(align))?;
    same!(stat(&p)?.st_size, 4 * i64::from(align), "written");
    check!(!told(of(d)?.stx_mask), "said of a directory");
    Ok(())
}

/// What statx says of the flags, each one alone.
fn flags_in_statx(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    for (flag, attribute) in [
        (IFlags::COMPRESSED, StatxAttributes::COMPRESSED),
        (IFlags::NODUMP, StatxAttributes::NODUMP),
        (IFlags::APPEND, StatxAttributes::APPEND),
        (IFlags::IMMUTABLE, StatxAttributes::IMMUTABLE),
    ] {
        set_flags(&p, EXTENTS | flag.bits())??;
        let said = statx(CWD, &p, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
        same!(said.stx_attributes, attribute, "attributes");
        check!(said.stx_attributes_mask.contains(attribute), "the mask");
    }
    set_flags(&p, EXTENTS)??;
    let said = statx(CWD, &p, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    same!(said.stx_attributes, StatxAttributes::empty(), "no flags");
    Ok(())
}

fn flags_refused(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    for (flags, what) in [
        (EXTENTS | IFlags::DIRSYNC.bits(), "a directory's flag"),
        (EXTENTS | IFlags::NOCOW.bits(), "an unknown flag"),
        (EXTENTS | CASEFOLD, "a feature that is off"),
    ] {
        refused(set_flags(&p, flags)?, Errno::OPNOTSUPP, what)?;
    }
    same!(get_flags(&p)?, EXTENTS, "flags");
    Ok(())
}

fn flags_immutable(d: &Path) -> Result<()> {
    let p = d.join("file");
    fs::write(&p, "x")?;
    let mut open = File::options().write(true).open(&p)?;
    set_flags(&p, EXTENTS | IFlags::IMMUTABLE.bits())??;
    let refusal = |r: std::io::Result<()>| r.err().and_then(|e| e.raw_os_error());
    let eperm = Some(Errno::PERM.raw_os_error());
    same!(refusal(open.write_all(b"y")), eperm, "a file that is open");
    same!(refusal(fs::remove_file(&p)), eperm, "removing it");
    same!(refusal(fs::write(&p, "z")), eperm, "writing it");
    same!(refusal(fs::rename(&p, d.join("new"))), eperm, "moving it");
    same!(
        refusal(fs::set_permissions(&p, Permissions::from_mode(0o600))),
        eperm,
        "chmod"
    );
    refused(set(&p, "user.a", b"1"), Errno::PERM, "an attribute")?;
    let more = EXTENTS | (IFlags::IMMUTABLE | IFlags::NODUMP).bits();
    refused(set_flags(&p, more)?, Errno::PERM, "another flag")?;
    set_flags(&p, EXTENTS | IFlags::APPEND.bits())??;
    same!(
        refusal(File::options().write(true).open(&p).map(drop)),
        eperm,
        "opening to overwrite"
    );
    File::options().append(true).open(&p)?.write_all(b"+")?;
    set_flags(&p, EXTENTS)??;
    same!(fs::read(&p)?, b"x+", "content");
    open.write_all_at(b"!", 2).context("in the end")
}

fn flags_inherited(d: &Path) -> Result<()> {
    let dir = d.join("dir");
    fs::create_dir(&dir)?;
    let given = IFlags::NODUMP | IFlags::NOATIME | IFlags::DIRSYNC;
    set_flags(&dir, EXTENTS | given.bits())??;
    fs::write(dir.join("file"), "x")?;
    fs::create_dir(dir.join("sub"))?;
    same!(
        get_flags(&dir.join("file"))?,
        EXTENTS | (IFlags::NODUMP | IFlags::NOATIME).bits(),
        "flags of a file"
    );
    same!(
        get_flags(&dir.join("sub"))?,
        EXTENTS | given.bits(),
        "flags of a directory"
    );
    Ok(())
}
