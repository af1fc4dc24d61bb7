// SPDX-License-Identifier: GPL-2.0

//! A guest that lives from check to check, with two scratch disks.

use super::Lab;
use crate::kernel::On;
use crate::klog;
use crate::machine::{Disk, Guest, Machine};
use anyhow::{bail, Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Time enough for any single command on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(600);

pub struct Session {
    guest: Option<Guest>,
    /// The guest's first disk; the host reads it between mounts.
    pub image: PathBuf,
    tree: PathBuf,
    /// Where the kernel log of the check begins, and that of the next one.
    mark: u64,
    next_mark: u64,
    /// Log of guests that this check has used up already.
    earlier: String,
    /// Where the kernel log of the check goes.
    log: PathBuf,
    /// Parts of complaints in the kernel log that the check provokes.
    pub expected: Vec<String>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.discard();
        let _ = fs::remove_file(&self.image);
    }
}

impl Session {
    pub fn new(lab: &Lab<'_>) -> Self {
        static SESSIONS: AtomicU32 = AtomicU32::new(0);
        let own = std::process::id();
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let cache = lab.cache;
        Self {
            guest: None,
            image: cache.path("run").join(format!("check-{own}-{number}.img")),
            tree: cache.path("source.tar"),
            mark: 0,
            next_mark: 0,
            earlier: String::new(),
            log: PathBuf::new(),
            expected: Vec::new(),
        }
    }

    /// The running guest, or a new one.
    pub fn guest(&mut self, lab: &Lab<'_>) -> Result<&mut Guest> {
        if self.guest.is_none() {
            File::create(&self.image)?.set_len(2 << 30)?;
            let disks = vec![Disk::new(&self.image), Disk::read_only(&self.tree)];
            let mut machine = lab.parts.machine(lab.cache, disks);
            machine.fio = true;
            let guest = boot_machine(lab, &machine)?;
            self.mark = guest.log_len();
            self.next_mark = self.mark;
            self.guest = Some(guest);
        }
        self.guest.as_mut().context("no guest")
    }

    /// Runs a script that must succeed in the guest. `$FS` is the type to
    /// check and `$DEV` the scratch disk.
    pub fn sh(&mut self, lab: &Lab<'_>, script: &str) -> Result<String> {
        self.sh_within(lab, script, LIMIT)
    }

    /// As [`Self::sh`], with a time limit of its own.
    pub fn sh_within(&mut self, lab: &Lab<'_>, script: &str, limit: Duration) -> Result<String> {
        let script = with_names(lab, script);
        self.guest(lab)?.sh(&script, limit)
    }

    /// Puts a fresh ext4 of this size on the scratch disk.
    pub fn fresh(&mut self, lab: &Lab<'_>, size: &str, options: &str) -> Result<()> {
        self.sh(
            lab,
            &format!("mke2fs -q -F -t ext4 -b 4096 {options} $DEV {size}"),
        )?;
        Ok(())
    }

    /// A whole check: a script that must succeed on a fresh disk, and leave nothing for e2fsck.
    pub fn judged(
        &mut self,
        lab: &Lab<'_>,
        size: &str,
        options: &str,
        script: &str,
    ) -> Result<String> {
        self.fresh(lab, size, options)?;
        self.sh(lab, script)?;
        self.e2fsck()?;
        Ok(String::new())
    }

    /// The first judge: e2fsck finds nothing. The disk must not be mounted.
    pub fn e2fsck(&self) -> Result<()> {
        e2fsck(&self.image)
    }

    /// The next `guest` boots a new one.
    pub fn discard(&mut self) {
        if let Some(guest) = self.guest.take() {
            self.earlier
                .push_str(&guest.log_from(self.mark).unwrap_or_default());
        }
        (self.mark, self.next_mark) = (0, 0);
    }

    pub fn begin(&mut self, lab: &Lab<'_>, check: &str) {
        let name = check.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let file = format!("{}-{name}.kernel.log", lab.parts.kernel.on);
        self.log = lab.cache.path("log").join(file);
        self.earlier.clear();
        self.expected.clear();
        self.mark = self.next_mark;
    }

    pub fn log_since_begin(&self) -> String {
        self.look().0
    }

    /// The kernel log of the check, which ends here: what comes later is the next one's.
    pub fn end(&mut self) -> String {
        let (log, end) = self.look();
        self.next_mark = end;
        log
    }

    fn look(&self) -> (String, u64) {
        let now = self.guest.as_ref();
        let now = now.and_then(|g| g.log_since(self.mark).ok());
        let (now, end) = now.unwrap_or((String::new(), self.mark));
        (format!("{}{now}", self.earlier), end)
    }

    /// Saves the kernel log of this check and returns its path.
    pub fn keep_log(&self) -> &Path {
        let _ = fs::write(&self.log, self.log_since_begin());
        &self.log
    }
}

/// Gives a script `pause FILE`: goes on when the error tag of that file holds a task.
pub const PAUSE: &str = r#"pause() {
    n=0
    until grep -q 'held 1' $1; do
        n=$((n + 1)); [ $n -lt 200 ] || { echo "nobody came to $1"; exit 1; }
        sleep 0.1
    done
}
"#;

/// The names that scripts use: the type to check, the scratch disk with its
/// name alone, the disk after it.
pub fn with_names(lab: &Lab<'_>, script: &str) -> String {
    let (disk, next) = (lab.parts.disk(0), lab.parts.disk(1));
    format!(
        "export FS={} DEV=/dev/{disk} DISK={disk} DEV2=/dev/{next}\n{script}",
        lab.fs
    )
}

/// A guest of a check's own, with these disks and, when it is to be checked, ext4rs loaded. It has
/// one CPU: another lane may have a guest at the same time, and CPUs that get no time of the machine's
/// for long stall.
pub fn boot(lab: &Lab<'_>, disks: Vec<Disk>) -> Result<Guest> {
    let mut machine = lab.parts.machine(lab.cache, disks);
    machine.cpus = 1;
    boot_machine(lab, &machine)
}

/// As [`boot`], of a machine that was made by the caller.
pub fn boot_machine(lab: &Lab<'_>, machine: &Machine<'_>) -> Result<Guest> {
    let mut guest = machine.boot()?;
    if lab.parts.kernel.on == On::Debug {
        guest.sh(super::debug::FORGET_BOOT, LIMIT)?;
    }
    if lab.parts.module.is_some() {
        guest.sh("modprobe ext4rs", LIMIT)?;
    }
    Ok(guest)
}

/// The kernel log from `mark` on has nothing that it must not have.
pub fn quiet(guest: &Guest, mark: u64) -> Result<()> {
    if let Some(line) = klog::trouble(&guest.log_from(mark)?, &[]).first() {
        bail!("kernel log: `{line}` ({})", guest.log_path().display());
    }
    Ok(())
}

/// `e2fsck -fn` must find nothing.
pub fn e2fsck(image: &Path) -> Result<()> {
    let out = Command::new("e2fsck").args(["-fn"]).arg(image).output()?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stdout);
        let found: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with("Pass ") && !l.trim().is_empty())
            .take(6)
            .collect();
        bail!("e2fsck -fn finds: {}", found.join(" / "));
    }
    Ok(())
}
