// SPDX-License-Identifier: GPL-2.0

//! Failing memory and devices: each operation of a list again and again, and
//! each time another allocation, or another request to the disk, fails: the
//! first, the second, and so on, until the operation runs through.
//!
//! A failure must reach the caller as `ENOMEM` or `EIO`, or be survived; and
//! the file system must be whole afterwards. The kernel does the counting
//! (Documentation/fault-injection/fault-injection.rst, `fail-nth`): it is of
//! this task alone, so work that the kernel does in the background does not
//! fail.

mod nth;
mod ops;

use anyhow::{bail, ensure, Context, Result};
use clap::ValueEnum;
use nth::Nth;
use ops::{Op, State, OPS};
use rustix::io::Errno;
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Allocations of objects and of pages.
    Memory,
    /// Requests to the disk.
    Requests,
}

impl Kind {
    /// What a failed operation may return.
    fn errors(self) -> &'static [Errno] {
        match self {
            Self::Memory => &[Errno::NOMEM],
            // a metadata write that fails ends in an aborted journal
            Self::Requests => &[Errno::IO, Errno::ROFS],
        }
    }

    /// A journal that could not be written is aborted: what comes after is no
    /// longer about the next failure.
    fn needs_a_new_mount(self) -> bool {
        self == Self::Requests
    }
}

/// More failures than an operation can meet.
const MOST: u32 = 3000;

/// The disk, and where it is mounted as what.
pub struct Scene<'a> {
    fs: &'a str,
    device: &'a str,
    dir: &'a Path,
    mounted: Cell<bool>,
}

impl Scene<'_> {
    /// Mounts what is not mounted.
    pub fn mount(&self) -> io::Result<()> {
        if !self.mounted.get() {
            mount(self.device, self.dir, self.fs, MountFlags::empty(), None)?;
            self.mounted.set(true);
        }
        Ok(())
    }

    /// Unmounts what is mounted.
    pub fn unmount(&self) -> io::Result<()> {
        if self.mounted.get() {
            unmount(self.dir, UnmountFlags::empty())?;
            self.mounted.set(false);
        }
        Ok(())
    }

    /// e2fsck of the unmounted disk. After an aborted journal it may replay
    /// and count anew, as it does at every boot, but nothing may be wrong.
    fn check(&self, kind: Kind) -> Result<()> {
        let how = match kind {
            Kind::Memory => "-fn",
            Kind::Requests => "-fp",
        };
        let out = Command::new("e2fsck").arg(how).arg(self.device).output()?;
        let code = out.status.code();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let fine = code == Some(0) || (kind == Kind::Requests && code == Some(1));
        ensure!(fine, "e2fsck {how} ended with {code:?}: {text}");
        Ok(())
    }

    /// Something to go on with after an operation went wrong.
    fn restore(&self) {
        let _ = unmount(self.dir, UnmountFlags::DETACH);
        self.mounted.set(false);
        let _ = Command::new("e2fsck").args(["-fy", self.device]).output();
    }
}

/// How often an operation ended how.
type Outcomes = BTreeMap<String, u32>;

/// The operations whose name contains `only`, in a file system of type `fs` on
/// `device`, mounted at `dir`.
pub fn run(fs: &str, device: &str, dir: &Path, kind: Kind, only: &str) -> Result<()> {
    let scene = Scene {
        fs,
        device,
        dir,
        mounted: Cell::new(false),
    };
    let nth = Nth::of(kind, device)?;
    let (mut faults, mut failed) = (0, Vec::<String>::new());
    for op in OPS.iter().filter(|op| op.name.contains(only)) {
        match sweep(&scene, &nth, kind, op) {
            Ok(outcomes) => {
                faults += outcomes.values().sum::<u32>();
                println!("ok {}: {outcomes:?}", op.name);
            }
            Err(e) => {
                println!("FAILED {}: {e:#}", op.name);
                failed.push(format!("{}: {e:#}", op.name));
                scene.restore();
            }
        }
    }
    ensure!(failed.is_empty(), "not well: {}", failed.join("; "));
    ensure!(faults > 0, "nothing failed");
    println!("{faults} failures taken well");
    Ok(())
}

/// One operation, with the first, the second ... failure, until there is none.
fn sweep(scene: &Scene<'_>, nth: &Nth, kind: Kind, op: &Op) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    // so that nothing but the operation itself is left to allocate
    once(scene, kind, op, "warm", || {})?.context("without a failure")?;
    for n in 1..MOST {
        let result = once(scene, kind, op, &n.to_string(), || nth.arm(n))?;
        let met = nth.disarm()?;
        scene.mount().context("mounting afterwards")?;
        if !met {
            result.context("no failure, and yet")?;
            ensure!(n > 1, "it met no failure at all");
            scene.unmount()?;
            scene.check(kind)?;
            return Ok(outcomes);
        }
        *outcomes.entry(outcome(kind, result, n)?).or_default() += 1;
        if kind.needs_a_new_mount() {
            scene.unmount()?;
            scene
                .check(kind)
                .with_context(|| format!("after failure {n}"))?;
            scene.mount()?;
        }
        // Some operations make hundreds of files, and meet hundreds of failures.
        fs::remove_dir_all(place(scene, op, &n.to_string())).context("tidying up")?;
    }
    bail!("{MOST} failures and no end")
}

/// The directory in which the operation runs for the time with this name.
fn place(scene: &Scene<'_>, op: &Op, name: &str) -> PathBuf {
    scene.dir.join(format!("{}-{name}", op.name))
}

/// Prepares and runs the operation in a directory of its own; `arm` is called
/// in between.
fn once(
    scene: &Scene<'_>,
    kind: Kind,
    op: &Op,
    name: &str,
    arm: impl FnOnce(),
) -> Result<io::Result<()>> {
    scene.mount()?;
    let dir = place(scene, op, name);
    fs::create_dir(&dir).context("preparing")?;
    (op.prepare)(&dir).context("preparing")?;
    match (&op.state, kind) {
        (State::Dirty, _) | (State::Warm, Kind::Memory) => {}
        (State::Cold, _) | (State::Warm, Kind::Requests) => {
            scene.unmount()?;
            scene.mount()?;
        }
        (State::Unmounted, _) => scene.unmount()?,
    }
    arm();
    Ok((op.run)(scene, &dir))
}

fn outcome(kind: Kind, result: io::Result<()>, n: u32) -> Result<String> {
    let Err(e) = result else {
        return Ok("survived".to_owned());
    };
    let code = e.raw_os_error().context("an error without a number")?;
    let error = Errno::from_raw_os_error(code);
    ensure!(
        kind.errors().contains(&error),
        "failure {n} came out as {error}"
    );
    Ok(format!("{error:?}"))
}
