// SPDX-License-Identifier: GPL-2.0

//! The cache directory, and steps that are done once.
//!
//! A step leaves a stamp only after it succeeded. The stamp holds what the
//! step was made from (versions, lists, sizes): when that changes, or the
//! stamp is missing because the step was interrupted, the step is done anew.

use anyhow::{bail, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Paths of the cache and of the repository.
pub struct Cache {
    pub dir: PathBuf,
    pub repo: PathBuf,
}

impl Cache {
    pub fn from_environment() -> Result<Self> {
        let get = |name| {
            std::env::var_os(name).map(PathBuf::from).with_context(|| {
                format!("{name} is not set: start this tool with make or scripts/enter")
            })
        };
        let cache = Self {
            dir: get("EXT4RS_CACHE")?,
            repo: get("EXT4RS_REPO")?,
        };
        for d in ["stamps", "log", "run"] {
            fs::create_dir_all(cache.dir.join(d))?;
        }
        cache.forget_old_runs()?;
        Ok(cache)
    }

    /// Logs and images of runs more than a day ago.
    fn forget_old_runs(&self) -> Result<()> {
        for entry in fs::read_dir(self.path("run"))? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > Duration::from_secs(24 * 3600) {
                let _ = match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path()),
                    false => fs::remove_file(entry.path()),
                };
            }
        }
        self.forget_disks()
    }

    /// The disks of commands that did not come to their end.
    fn forget_disks(&self) -> Result<()> {
        for path in entries(Path::new("/dev/shm"))? {
            let owner = name_behind(&path, "ext4rs-crash-");
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(&path);
            }
        }
        for run in entries(&self.path("xfstests-runs"))? {
            let mut disks = Vec::new();
            for dir in entries(&run)? {
                if name_behind(&dir, "shard-").is_some() {
                    disks.extend(entries(&dir)?);
                }
            }
            disks.retain(|p| p.extension().is_some_and(|e| e == "img"));
            if disks.is_empty() {
                continue;
            }
            if let Ok(Some(_alone)) = try_lock(&run) {
                for disk in disks {
                    let _ = fs::remove_file(disk);
                }
            }
        }
        Ok(())
    }

    /// The same cache, for another copy of the repository.
    pub fn with_repo(&self, repo: PathBuf) -> Self {
        let dir = self.dir.clone();
        Self { dir, repo }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    /// Waits until no other command has this lock; held while the returned
    /// file is open.
    pub fn lock(&self, name: &str) -> Result<File> {
        let file = File::create(self.path(&format!("{name}.lock")))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// Runs `work` unless its stamp says it was done from the same `inputs`.
    /// `advice` tells what to do when it fails.
    pub fn step(
        &self,
        name: &str,
        title: &str,
        inputs: &str,
        advice: &str,
        work: impl FnOnce(&StepLog) -> Result<()>,
    ) -> Result<()> {
        let stamp = self.path("stamps").join(name);
        if fs::read_to_string(&stamp).is_ok_and(|s| s == inputs) {
            return Ok(());
        }
        let _ = fs::remove_file(&stamp);
        let log = StepLog {
            path: self.path("log").join(format!("{name}.log")),
        };
        File::create(&log.path)?;
        let clock = Clock::start(title);
        work(&log).with_context(|| {
            format!("{title} failed: {advice} (details: {})", log.path.display())
        })?;
        fs::write(&stamp, inputs)?;
        clock.done();
        Ok(())
    }
}

/// What is in a directory; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(list) => list.map(|entry| Ok(entry?.path())).collect(),
        Err(_) => Ok(Vec::new()),
    }
}

/// What comes after `prefix` in the name of a file.
fn name_behind<'a>(path: &'a Path, prefix: &str) -> Option<&'a str> {
    path.file_name()?.to_str()?.strip_prefix(prefix)
}

/// The lock of a directory, held while the returned file is open; `None` where another command
/// has it.
pub fn try_lock(dir: &Path) -> Result<Option<File>> {
    let file = File::open(dir)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Where the commands of a step leave their output.
pub struct StepLog {
    path: PathBuf,
}

impl StepLog {
    /// Runs a command; its output goes to the log of the step.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        run_logged(command, &self.path)
    }
}

/// Runs a command with its output appended to `log`; fails with its last
/// lines when it fails.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(4).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{:?}: {status}\n{}", command.get_program(), tail.join("\n"));
    }
    Ok(())
}

/// The standard output of a command that must succeed.
pub fn output_of(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    if !out.status.success() {
        bail!(
            "{:?}: {}: {}",
            command.get_program(),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// Shows what is going on and for how long: a spinner on a terminal, else a
/// line now and one at the end.
pub struct Clock {
    title: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Clock {
    pub fn start(title: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() {
            eprintln!("{title} ...");
        }
        Self {
            title: title.to_owned(),
            start: Instant::now(),
            bar,
        }
    }

    pub fn done(self) {
        self.done_with("");
    }

    /// As [`Self::done`], with a note on the line.
    pub fn done_with(self, note: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let note = if note.is_empty() {
            String::new()
        } else {
            format!(" ({note})")
        };
        eprintln!("{}: done in {seconds:.1} s{note}", self.title);
    }
}
