// SPDX-License-Identifier: GPL-2.0

//! The root file system, and what is mounted in it.
//!
//! An initramfs is complete. On User Mode Linux the root is the host's tool
//! tree, which must not change: a layer with what belongs to this guest covers
//! it, and what the guest writes goes to a tmpfs.

use anyhow::{Context, Result};
use rustix::mount::{mount, mount_move, MountFlags};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;

/// Makes the union of tmpfs, the directory `layer` and the tool tree the root.
pub fn enter(layer: &str) -> Result<()> {
    mount_on("tmpfs", "/run", "")?;
    for dir in ["/run/layer", "/run/changed", "/run/work", "/run/root"] {
        fs::create_dir(dir)?;
    }
    // mounted once more, because a union may not have a directory twice
    mount_on("hostfs", "/run/layer", layer)?;
    mount_on(
        "overlay",
        "/run/root",
        "lowerdir=/run/layer:/,upperdir=/run/changed,workdir=/run/work",
    )?;
    std::env::set_current_dir("/run/root")?;
    mount_move(".", "/").context("moving the root")?;
    rustix::process::chroot(".").context("entering the root")?;
    Ok(std::env::set_current_dir("/")?)
}

/// What a Linux userland expects.
pub fn mounts() -> Result<()> {
    for (kind, on, data) in [
        ("devtmpfs", "/dev", ""),
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("tmpfs", "/run", ""),
        ("tmpfs", "/tmp", "size=75%"),
        ("devpts", "/dev/pts", ""),
        ("tmpfs", "/dev/shm", ""),
        ("debugfs", "/sys/kernel/debug", ""),
    ] {
        fs::create_dir_all(on)?;
        mount_on(kind, on, data)?;
    }
    for (name, target) in [
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ] {
        symlink(format!("/proc/self/fd{target}"), format!("/dev/{name}"))?;
    }
    fs::create_dir_all("/mnt")?;
    Ok(())
}

fn mount_on(kind: &str, on: &str, data: &str) -> Result<()> {
    let data = CString::new(data)?;
    mount(kind, on, kind, MountFlags::empty(), Some(data.as_c_str()))
        .with_context(|| format!("mounting {kind} on {on}"))
}
