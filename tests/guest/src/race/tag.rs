// SPDX-License-Identifier: GPL-2.0

//! The error tags of a mounted ext4rs, and its counters (a build with `DEBUG=1`).

use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long enough for a task to get anywhere on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to say that a task which has not got on by now is waiting.
const WAITS: Duration = Duration::from_millis(400);

/// The directories in which a mounted file system tells about itself.
pub struct Knobs {
    sys: PathBuf,
    proc: PathBuf,
}

impl Knobs {
    /// Those of the file system on the device `name` ("vda").
    pub fn of(name: &str) -> Result<Self> {
        let sys = Path::new("/sys/fs/ext4rs").join(name);
        ensure!(
            sys.join("errortag").exists(),
            "{} has no errortag directory: is the module built with DEBUG=1?",
            sys.display()
        );
        let proc = Path::new("/proc/fs/ext4rs").join(name);
        Ok(Self { sys, proc })
    }

    pub fn tag(&self, name: &str) -> Tag {
        Tag(self.sys.join("errortag").join(name))
    }

    /// All tags off; whoever is held goes on.
    pub fn all_off(&self) -> Result<()> {
        for entry in fs::read_dir(self.sys.join("errortag"))? {
            fs::write(entry?.path(), "off")?;
        }
        Ok(())
    }

    /// Blocks that are reserved for delayed allocation, in all files.
    pub fn delayed_blocks(&self) -> Result<u64> {
        let text = fs::read_to_string(self.sys.join("delayed_allocation_blocks"))?;
        Ok(text.trim().parse()?)
    }

    /// How often the mapper has found its lookup stale.
    pub fn retries(&self) -> Result<u64> {
        let text = fs::read_to_string(self.proc.join("writeback"))?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("recheck_retries "));
        Ok(line.context("no recheck_retries")?.trim().parse()?)
    }
}

/// One tag.
pub struct Tag(PathBuf);

impl Tag {
    /// The next task that comes by is held, until [`release`](Self::release).
    pub fn hold(&self) -> Result<()> {
        Ok(fs::write(&self.0, "hold 60000")?)
    }

    /// The next `count` tasks fail with `error`.
    pub fn fail(&self, error: i32, count: u32) -> Result<()> {
        Ok(fs::write(&self.0, format!("fail {error} {count}"))?)
    }

    pub fn release(&self) -> Result<()> {
        Ok(fs::write(&self.0, "off")?)
    }

    fn number(&self, word: &str) -> Result<u64> {
        let text = fs::read_to_string(&self.0)?;
        let mut words = text.split_whitespace().skip_while(|w| *w != word);
        let number = words.nth(1);
        Ok(number.with_context(|| format!("no {word}"))?.parse()?)
    }

    /// Waits until the tag holds a task.
    pub fn wait_held(&self) -> Result<()> {
        self.wait_for(|| Ok(self.number("held")? > 0))
    }

    /// Lets the task go on that the tag holds, and holds the next that comes by.
    pub fn hold_next(&self) -> Result<()> {
        let passed = self.number("passed")?;
        self.hold()?;
        self.wait_for(|| Ok(self.number("passed")? > passed && self.number("held")? == 1))
    }

    fn wait_for(&self, there: impl Fn() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !there()? {
            ensure!(Instant::now() < end, "nobody came to {}", self.0.display());
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// A task beside the test's own.
pub struct Task<T>(std::thread::JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(std::thread::spawn(work))
    }

    /// Whether the task is still at it after a while.
    pub fn waits(&self) -> bool {
        sleep(WAITS);
        !self.0.is_finished()
    }

    /// Fails unless the task is still at it after a while.
    pub fn must_wait(&self, what: &str) -> Result<()> {
        ensure!(self.waits(), "{what} did not wait");
        Ok(())
    }

    /// The result of the task; one that hangs is reported.
    pub fn join(self, what: &str) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        while !self.0.is_finished() {
            if Instant::now() > end {
                bail!("{what} hangs");
            }
            sleep(Duration::from_millis(2));
        }
        self.0
            .join()
            .map_err(|_| anyhow::anyhow!("{what} panicked"))
    }
}
