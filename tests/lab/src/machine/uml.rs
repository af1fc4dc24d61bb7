// SPDX-License-Identifier: GPL-2.0

//! A guest in User Mode Linux: a kernel that is a process of the host. Its
//! root is the tool tree by hostfs, covered by a [`Layer`] and, for what it
//! writes there, by a tmpfs (`tests/guest/src/agent/root.rs`).
//!
//! The channel to the agent is a socket, the guest's first serial line; the
//! second one, without input, takes the kernel's messages. No console has a
//! file descriptor of the host's: UML requests and frees the interrupts of
//! such a console where it must not sleep, which the debug kernel notices.
//!
//! A flush of the guest's is an fsync of the image on the host. That is of no
//! use here, where no cut of power takes the host along, and so it is left out
//! as QEMU leaves it out with `cache=unsafe`.

use super::guest::LOG;
use super::layer::Layer;
use super::{mortal, root, Machine, Started};
use anyhow::{ensure, Context, Result};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// So many bytes must not wait in the serial line to be read: the terminal turns its input off when
/// 3,968 do, and no driver turns that on again.
const SERIAL_LINE: usize = 3900;

pub fn start(machine: &Machine<'_>, dir: &Path) -> Result<Started> {
    let layer = dir.join("layer");
    fill(machine, &mut Layer::new(&layer)?)?;
    let (port, line) = UnixStream::pair()?;
    let log = File::create(dir.join(LOG))?;

    // Its processes die with the kernel.
    let mut uml = mortal(&machine.parts.kernel.image);
    uml.arg(format!("mem={}M", machine.memory_mib))
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
        .arg(format!("init={}/usr/bin/guest", layer.display()))
        .arg(format!("LAYER={}", layer.display()))
        .arg("PORT=/dev/ttyS0")
        .args(["ssl0=fd:0", "ssl1=null,fd:1", "con=null"])
        .args(["console=ttyS1", "console=tty0"])
        .args(["loglevel=7", "panic=-1", "oops=panic", "kunit.enable=1"])
        // as Debian has it: e2fsprogs write to what is mounted
        .arg("bdev_allow_write_mounted=1")
        .arg(format!("uml_dir={}", dir.display()))
        .arg("umid=mconsole")
        .current_dir(dir)
        .env("TMPDIR", "/dev/shm")
        .env("LD_PRELOAD", "libeatmydata.so")
        .stdin(OwnedFd::from(line))
        .stderr(log.try_clone()?)
        .stdout(log);
    for (i, disk) in machine.disks.iter().enumerate() {
        ensure!(disk.record.is_none(), "UML records no writes");
        // `d`: no copy-on-write header is looked for in the image
        let flags = if disk.read_only { "rd" } else { "d" };
        uml.arg(format!("ubd{i}{flags}={}", disk.path.display()));
    }
    let child = uml.spawn().context("setpriv cannot be started")?;
    Ok(Started {
        child,
        port,
        most_of_a_request: SERIAL_LINE,
    })
}

fn fill(machine: &Machine<'_>, layer: &mut Layer) -> Result<()> {
    root::modules(layer, &machine.parts.kernel, "usr/sbin/modprobe")?;
    // the scripts are written for this shell, as in the initramfs
    layer.symlink("usr/bin/sh", "bash")?;
    machine.add_fresh_files(layer)
}
