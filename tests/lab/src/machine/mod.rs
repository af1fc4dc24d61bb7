// SPDX-License-Identifier: GPL-2.0

//! Guests: [`Parts`] are built once a run, a [`Machine`] adds disks and boots,
//! a [`Guest`] runs scripts. [`qemu`] and [`uml`] each start one; nothing
//! outside of them differs.

mod cpio;
mod guest;
mod layer;
mod qemu;
pub mod root;
mod uml;

pub use guest::{tail, End, Guest};
pub use qemu::has_kvm;

use crate::cache::{output_of, Cache};
use crate::kernel::{self, Kernel, On};
use crate::module::{self, Variant};
use ::guest::Event;
use anyhow::{bail, ensure, Result};
use root::Files;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// A kernel that boots has something to say. One that has been silent for so long has lost an
/// interrupt, and waits for it for ever.
const QUIET_LIMIT: Duration = Duration::from_secs(45);

/// What every guest of a run is made of, freshly built.
#[derive(Clone)]
pub struct Parts {
    pub kernel: Kernel,
    pub program: PathBuf,
    /// ext4rs.ko, which the guest finds by `modprobe ext4rs`.
    pub module: Option<PathBuf>,
}

impl Parts {
    /// The kernel and the guest's program, without a module.
    pub fn prepare(cache: &Cache, on: On) -> Result<Self> {
        Ok(Self {
            kernel: kernel::prepare(cache, on)?,
            program: module::build_guest_program(cache)?,
            module: None,
        })
    }

    /// Builds the module, if `fs` is the one that it mounts.
    pub fn with_module_for(mut self, cache: &Cache, fs: &str) -> Result<Self> {
        if fs == "ext4rs" {
            self.module = Some(module::build(
                cache,
                &self.kernel,
                Variant::wanted(self.kernel.on),
            )?);
        }
        Ok(self)
    }

    /// The name of the guest's n-th disk below /dev.
    pub fn disk(&self, n: u8) -> String {
        self.kernel.on.disk(n)
    }

    /// A guest with these disks, in this order.
    pub fn machine<'a>(&'a self, cache: &'a Cache, disks: Vec<Disk>) -> Machine<'a> {
        Machine {
            cache,
            parts: self,
            disks,
            memory_mib: match self.kernel.on {
                On::Qemu | On::Debug => 2048,
                On::Uml => 1024,
            },
            cpus: 2,
            fio: false,
            console: false,
            bench: false,
            sqlite: false,
            counted: false,
        }
    }
}

/// One guest, before it is booted.
pub struct Machine<'a> {
    cache: &'a Cache,
    parts: &'a Parts,
    disks: Vec<Disk>,
    pub memory_mib: u32,
    /// QEMU: how many CPUs, each of which is a thread of the machine's.
    pub cpus: u8,
    /// QEMU: fio is in the initramfs. UML's guests have every program of the
    /// tool tree.
    pub fio: bool,
    /// QEMU: the guest's console is the terminal.
    pub console: bool,
    /// QEMU: what `make bench` compares with is in the initramfs.
    pub bench: bool,
    /// QEMU: SQLite is in the initramfs.
    pub sqlite: bool,
    /// QEMU: one CPU whose clock advances a nanosecond for each instruction,
    /// and jumps when it is idle. Time in the guest is a count of instructions.
    pub counted: bool,
}

/// A raw image.
pub struct Disk {
    path: PathBuf,
    read_only: bool,
    /// QEMU: where its writes are recorded, in the format of dm-log-writes.
    record: Option<PathBuf>,
}

impl Disk {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read_only: false,
            record: None,
        }
    }

    /// A disk whose writes are recorded in the file `record`.
    pub fn recorded(path: impl Into<PathBuf>, record: impl Into<PathBuf>) -> Self {
        Self {
            record: Some(record.into()),
            ..Self::new(path)
        }
    }

    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read_only: true,
            record: None,
        }
    }
}

/// A guest's process and the channel to the agent in it.
struct Started {
    child: Child,
    port: UnixStream,
    /// A request has fewer bytes.
    most_of_a_request: usize,
}

/// A command that is killed when the thread that starts it is gone.
fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

impl Machine<'_> {
    /// Starts the guest and waits until its agent answers. The kernel boots without ext4rs; where
    /// it does not, the emulator's threads starved on a busy machine, and a second try may go.
    pub fn boot(&self) -> Result<Guest> {
        self.boot_once().or_else(|e| {
            eprintln!("{e:#}\nonce more:");
            self.boot_once()
        })
    }

    fn boot_once(&self) -> Result<Guest> {
        let start = Instant::now();
        let dir = self.fresh_dir()?;
        let started = match self.parts.kernel.on {
            On::Qemu => qemu::start(self, &dir)?,
            On::Uml | On::Debug => uml::start(self, &dir)?,
        };
        let mut guest = Guest::new(started, dir)?;
        if let Err(e) = self.wait_until_ready(&mut guest) {
            bail!(
                "the guest did not come up ({e:#}); the end of its log, {}:\n{}",
                guest.log_path().display(),
                tail(&guest.log_text()?, 25)
            );
        }
        guest.boot = start.elapsed();
        Ok(guest)
    }

    /// The agent's first word, or why it is not waited for any longer.
    fn wait_until_ready(&self, guest: &mut Guest) -> Result<()> {
        let start = Instant::now();
        let (mut told, mut told_at) = (0, start);
        loop {
            match guest.try_event(Instant::now() + Duration::from_secs(1))? {
                Some(Event::Ready) => return Ok(()),
                Some(other) => bail!("{other:?} before it was ready"),
                None => {}
            }
            if guest.log_len() != told {
                (told, told_at) = (guest.log_len(), Instant::now());
            }
            let (quiet, all) = (told_at.elapsed(), start.elapsed());
            ensure!(
                quiet < QUIET_LIMIT && all < BOOT_LIMIT,
                "no answer in {} s, no message for {} s, {}",
                all.as_secs(),
                quiet.as_secs(),
                guest.how_busy()
            );
        }
    }

    fn fresh_dir(&self) -> Result<PathBuf> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = self
            .cache
            .path("run")
            .join(format!("{}-{n}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Adds what changes with each run to the guest's root: the agent, the
    /// module, the judges that come as cargo packages.
    fn add_fresh_files(&self, to: &mut impl Files) -> Result<()> {
        to.file("usr/bin/guest", &self.parts.program)?;
        if let Some(module) = &self.parts.module {
            to.file("modules/ext4rs.ko", module)?;
            let needs = output_of(Command::new("modinfo").args(["-F", "depends"]).arg(module))?;
            let needs: Vec<&str> = needs.trim().split(',').filter(|n| !n.is_empty()).collect();
            let list = root::list_of(&self.parts.kernel, &needs)? + "ext4rs.ko\n";
            to.data("modules/ext4rs.list", 0o644, list.as_bytes())?;
        }
        for tool in ["fsx", "pjdfstest"] {
            let path = self.cache.path("tools/bin").join(tool);
            if path.exists() {
                to.file(&format!("usr/bin/{tool}"), &path)?;
            }
        }
        Ok(())
    }
}
