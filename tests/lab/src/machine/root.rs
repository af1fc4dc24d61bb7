// SPDX-License-Identifier: GPL-2.0

//! The guest's root file system: an initramfs, in parts.
//!
//! - `base.cpio`: busybox, the tools of e2fsprogs and util-linux, the stock
//!   kernel's modules; made once.
//! - `fio.cpio`: fio with its many libraries, for the scenarios that ask.
//! - `bench.cpio`: XFS, for `make bench`.
//! - `sqlite.cpio`: SQLite, for the crash states.
//! - what changes with each run (ext4rs.ko, the `guest` program) is appended
//!   for each boot.
//!
//! A UML guest needs no such archive: its root is the tool tree, with a
//! [`super::layer`] over it.

use super::cpio::Archive;
use crate::cache::{output_of, Cache};
use crate::kernel::Kernel;
use anyhow::{Context, Result};
use guest::{MODULE_DIR, MODULE_LIST};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that busybox has not, or has not well enough.
const PROGRAMS: &[&str] = &[
    "bash",
    "mount",
    "umount",
    "losetup",
    "setsid",
    "fallocate",
    "tar",
    "cp",
    "mv",
    "ln",
    "dd",
    "stat",
    "truncate",
    "touch",
    "sha256sum",
    "mke2fs",
    "e2fsck",
    "debugfs",
    "dumpe2fs",
    "tune2fs",
    "filefrag",
    "chattr",
    "lsattr",
    "getfattr",
    "setfattr",
    "getfacl",
    "setfacl",
    "xfs_io",
    "perl",
    // pjdfstest copies it: busybox under another name is another program
    "sleep",
];

/// Modules that every guest loads when it boots.
const MODULES: &[&str] = &["virtio_blk"];

/// Modules that are loaded when they are needed (`modprobe NAME`, or a mount).
const MODULES_AT_HAND: &[&str] = &["ext4", "jbd2", "loop", "brd", "dm-flakey", "dm-log-writes"];

/// The guest's modprobe. The kernel calls it as well, such as for `fs-ext4`.
const MODPROBE: &[u8] = b"#!/bin/sh
for name; do :; done
list=/modules/${name#fs-}.list
[ -e $list ] || exit 1
while read module; do
    [ -e /sys/module/${module%.ko} ] || insmod /modules/$module || exit 1
done < $list
";

/// What a guest's root is put together in. Names have no leading slash.
pub trait Files {
    fn data(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()>;

    /// Copies a file, with its permissions.
    fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        let context = || from.display().to_string();
        let mode = fs::metadata(from)
            .with_context(context)?
            .permissions()
            .mode();
        self.data(name, mode & 0o7777, &fs::read(from).with_context(context)?)
    }
}

pub fn prepare(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let inputs = format!(
        "{} {PROGRAMS:?} {MODULES:?} {MODULES_AT_HAND:?} 3",
        kernel.release
    );
    cache.step(
        "guest-root",
        "making the guest's root",
        &inputs,
        "run the command again",
        |_| {
            base(cache, kernel)?;
            fio(cache)
        },
    )
}

/// `sqlite.cpio`: a workload of the crash states.
pub fn sqlite(cache: &Cache) -> Result<()> {
    cache.step(
        "guest-sqlite",
        "adding SQLite to the guest",
        "1",
        "run the command again",
        |_| {
            let mut out = create(&cache.path("sqlite.cpio"))?;
            programs(&mut out, &["sqlite3"])?;
            Ok(out.finish()?.flush()?)
        },
    )
}

/// `bench.cpio`: what `make bench` compares with.
pub fn bench(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let inputs = format!("{} 1", kernel.release);
    cache.step(
        "guest-bench",
        "adding XFS to the guest",
        &inputs,
        "run the command again",
        |_| {
            let mut out = create(&cache.path("bench.cpio"))?;
            programs(&mut out, &["mkfs.xfs"])?;
            for path in kernel.module_closure(&["xfs"])? {
                add_module(&mut out, &path)?;
            }
            let list = list_of(kernel, &["xfs"])?;
            out.data("modules/xfs.list", 0o644, list.as_bytes())?;
            out.finish()?.flush()?;
            Ok(())
        },
    )
}

type Out = Archive<BufWriter<File>>;

fn create(path: &Path) -> Result<Out> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(Archive::new(BufWriter::new(file)))
}

fn base(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let mut out = create(&cache.path("base.cpio"))?;
    for dir in [
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "mnt",
        "root",
        "etc",
        "usr/bin",
        "usr/lib",
        "usr/lib64",
    ] {
        out.dir(dir)?;
    }
    for (name, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("usr/sbin", "bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
    ] {
        out.symlink(name, target)?;
    }
    out.symlink("etc/mtab", "/proc/self/mounts")?;
    out.data(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    out.data("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    out.symlink("init", "usr/bin/guest")?;

    programs(&mut out, PROGRAMS)?;
    for (link, target) in [
        ("mkfs.ext4", "mke2fs"),
        ("fsck.ext4", "e2fsck"),
        ("tune2fs", "tune2fs"),
    ] {
        let name = format!("usr/bin/{link}");
        if !out.contains(&name) {
            out.symlink(&name, target)?;
        }
    }
    // busybox's shell would prefer its own applets to the real programs
    out.symlink("usr/bin/sh", "bash")?;
    out.file("etc/mke2fs.conf", Path::new("/etc/mke2fs.conf"))?;
    out.file("usr/bin/busybox", Path::new("/bin/busybox"))?;
    for applet in output_of(Command::new("/bin/busybox").arg("--list"))?.lines() {
        let name = format!("usr/bin/{applet}");
        if !out.contains(&name) {
            out.symlink(&name, "busybox")?;
        }
    }

    modules(&mut out, kernel, "usr/bin/modprobe")?;
    out.finish()?.flush()?;
    Ok(())
}

/// The kernel's modules, and the `modprobe` that loads them.
pub fn modules(out: &mut impl Files, kernel: &Kernel, modprobe: &str) -> Result<()> {
    for path in kernel.module_closure(&[MODULES, MODULES_AT_HAND].concat())? {
        add_module(out, &path)?;
    }
    out.data(
        MODULE_LIST.trim_start_matches('/'),
        0o644,
        list_of(kernel, MODULES)?.as_bytes(),
    )?;
    for name in MODULES_AT_HAND {
        out.data(
            &format!("modules/{name}.list"),
            0o644,
            list_of(kernel, &[name])?.as_bytes(),
        )?;
    }
    out.data(modprobe, 0o755, MODPROBE)
}

/// The file names of modules and of those that they need, one a line.
pub fn list_of(kernel: &Kernel, names: &[&str]) -> Result<String> {
    let mut list = String::new();
    for path in kernel.module_closure(names)? {
        list.push_str(&file_name(&path)?);
        list.push('\n');
    }
    Ok(list)
}

/// The name that a module has in the kernel, with `.ko`.
fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().context("a module without a name")?;
    let name = name.to_string_lossy().replace('-', "_");
    Ok(name.trim_end_matches(".xz").to_owned())
}

/// Adds a module, uncompressed, under the name that it has in the kernel.
fn add_module(out: &mut impl Files, path: &Path) -> Result<()> {
    let to = format!(
        "{}/{}",
        MODULE_DIR.trim_start_matches('/'),
        file_name(path)?
    );
    if path.extension().is_some_and(|e| e == "ko") {
        return out.file(&to, path);
    }
    let data = Command::new("xz").arg("-dc").arg(path).output()?;
    anyhow::ensure!(data.status.success(), "xz cannot read {}", path.display());
    out.data(&to, 0o644, &data.stdout)
}

fn fio(cache: &Cache) -> Result<()> {
    let mut out = create(&cache.path("fio.cpio"))?;
    programs(&mut out, &["fio"])?;
    out.finish()?.flush()?;
    Ok(())
}

/// Programs of the tool tree with the libraries they load.
fn programs(out: &mut Out, names: &[&str]) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for name in names {
        let path = find(name)?;
        libraries.extend(libraries_of(&path)?);
        out.file(&format!("usr/bin/{name}"), &path)?;
    }
    for library in libraries {
        let base = library
            .file_name()
            .context("a library without a name")?
            .to_string_lossy();
        let name = if base.starts_with("ld-linux") {
            format!("usr/lib64/{base}")
        } else {
            format!("usr/lib/{base}")
        };
        out.file(&name, &library)?;
    }
    Ok(())
}

fn find(name: &str) -> Result<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|d| Path::new(d).join(name))
        .find(|p| p.exists())
        .with_context(|| format!("the tool tree has no program {name}: its package is missing in scripts/tree-packages"))
}

/// The libraries of a program, by the loader's own word.
pub fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let out = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    Ok(text
        .lines()
        .filter_map(|l| {
            l.split_whitespace()
                .find(|w| w.starts_with('/'))
                .map(PathBuf::from)
        })
        .collect())
}
