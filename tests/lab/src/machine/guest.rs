// SPDX-License-Identifier: GPL-2.0

//! A running guest: the channel to its agent, and its kernel log in a file.
//!
//! A guest that is dropped is killed. Disks are files of the host, and what
//! the guest wrote to them the host sees at once; so a killed guest is a power
//! cut that loses what the guest still had in memory.

use super::Started;
use anyhow::{bail, ensure, Result};
use guest::{Event, Request};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Where a guest's kernel messages are, in the directory of its files.
pub(super) const LOG: &str = "kernel.log";

/// A guest now and then misses an interrupt: that there is input, or that a timer has run out. The next
/// one wakes it. So one that has been silent for so long is sent an empty line, which it passes over.
const NUDGE_AFTER: Duration = Duration::from_secs(20);

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    TimedOut,
    /// The guest is gone: it panicked or was powered off.
    Gone,
}

enum Next {
    Event(Event),
    Nothing,
    Gone,
}

pub struct Guest {
    child: Child,
    port: BufReader<UnixStream>,
    /// A line of which only a part has come yet.
    line: Vec<u8>,
    /// A program, not a person, asked it for something: it can be sent empty lines.
    asked: bool,
    most_of_a_request: usize,
    /// Directory of this guest's files.
    dir: PathBuf,
    log: PathBuf,
    pub boot: Duration,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        // only the logs stay
        for name in ["initrd", "port"] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        let _ = fs::remove_dir_all(self.dir.join("layer"));
    }
}

impl Guest {
    pub(super) fn new(started: Started, dir: PathBuf) -> Result<Self> {
        started.port.set_write_timeout(Some(NUDGE_AFTER))?;
        Ok(Self {
            child: started.child,
            port: BufReader::new(started.port),
            line: Vec::new(),
            asked: false,
            most_of_a_request: started.most_of_a_request,
            log: dir.join(LOG),
            dir,
            boot: Duration::ZERO,
        })
    }

    /// Runs a shell script; `show` sees its output as it comes.
    pub fn run(
        &mut self,
        script: &str,
        limit: Duration,
        mut show: impl FnMut(&str),
    ) -> Result<End> {
        let seconds = limit.as_secs().max(1);
        self.send(&Request::Shell {
            script: script.to_owned(),
            seconds,
        })?;
        // The guest keeps the limit itself; one that does not is stuck.
        let deadline = Instant::now() + limit + Duration::from_secs(30);
        loop {
            match self.event(deadline)? {
                Some(Event::Output(text)) => show(&text),
                Some(Event::Exit(code)) => return Ok(End::Exit(code)),
                Some(Event::TimedOut) => return Ok(End::TimedOut),
                Some(Event::Ready) => bail!("the guest restarted"),
                None => return Ok(End::Gone),
            }
        }
    }

    /// Runs a shell script and returns its output with the way it ended.
    pub fn capture(&mut self, script: &str, limit: Duration) -> Result<(End, String)> {
        let mut text = String::new();
        let end = self.run(script, limit, |t| text.push_str(t))?;
        Ok((end, text))
    }

    /// Runs a shell script that must succeed, and returns its output.
    pub fn sh(&mut self, script: &str, limit: Duration) -> Result<String> {
        let (end, text) = self.capture(script, limit)?;
        match end {
            End::Exit(0) => Ok(text),
            End::Exit(code) => bail!(
                "`{}` exited with {code}:\n{}",
                first_line(script),
                tail(&text, 15)
            ),
            End::TimedOut => bail!(
                "`{}` hung; the stacks are in {}:\n{}",
                first_line(script),
                self.log.display(),
                tail(&text, 15)
            ),
            End::Gone => bail!(
                "the guest died in `{}`; the end of {}:\n{}",
                first_line(script),
                self.log.display(),
                tail(&self.log_text()?, 30)
            ),
        }
    }

    /// Starts a script without waiting for it.
    pub fn start(&mut self, script: &str, limit: Duration) -> Result<()> {
        self.send(&Request::Shell {
            script: script.to_owned(),
            seconds: limit.as_secs(),
        })
    }

    pub fn interactive(&mut self) -> Result<()> {
        self.send(&Request::Interactive)?;
        self.asked = false;
        self.event(Instant::now() + Duration::from_secs(7 * 24 * 3600))?;
        Ok(())
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        ensure!(
            line.len() < self.most_of_a_request,
            "a script makes a request of {} bytes, of which this machine takes fewer than {}",
            line.len(),
            self.most_of_a_request
        );
        self.asked = true;
        Ok(self.port.get_mut().write_all(&line)?)
    }

    /// The next event; `None` when the guest is gone. A guest that says
    /// nothing until `deadline` is killed.
    pub fn event(&mut self, deadline: Instant) -> Result<Option<Event>> {
        match self.next(deadline)? {
            Next::Event(e) => Ok(Some(e)),
            Next::Gone => Ok(None),
            Next::Nothing => {
                let busy = self.how_busy();
                self.kill();
                bail!(
                    "no answer from the guest in time, {busy}; its log is {}",
                    self.log.display()
                );
            }
        }
    }

    /// The next event, or `None` when there is none until `deadline`.
    pub fn try_event(&mut self, deadline: Instant) -> Result<Option<Event>> {
        match self.next(deadline)? {
            Next::Event(e) => Ok(Some(e)),
            Next::Nothing => Ok(None),
            Next::Gone => bail!("the guest died; its log is {}", self.log.display()),
        }
    }

    fn next(&mut self, deadline: Instant) -> Result<Next> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Nothing);
            }
            let left = match self.asked {
                true => left.min(NUDGE_AFTER),
                false => left,
            };
            self.port.get_ref().set_read_timeout(Some(left))?;
            match self.port.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let event = serde_json::from_slice(&self.line)?;
                    self.line.clear();
                    return Ok(Next::Event(event));
                }
                Ok(_) => return Ok(Next::Gone),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) =>
                {
                    if self.asked {
                        // One that is gone shows with the next read; one that is too busy to take
                        // any more is not asleep.
                        let _ = self.port.get_mut().write_all(b"\n");
                    }
                }
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Next::Gone),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Whether a guest that does not answer loops or sleeps.
    pub(super) fn how_busy(&self) -> String {
        const WATCH: Duration = Duration::from_secs(2);
        // fields 14 and 15, in ticks of 10 ms; the second field ends with the last parenthesis
        let ticks = || -> Option<u64> {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
            let fields = stat.rsplit_once(')')?.1.split_whitespace();
            fields.skip(11).take(2).map(|n| n.parse::<u64>().ok()).sum()
        };
        let before = ticks();
        std::thread::sleep(WATCH);
        match (before, ticks()) {
            (Some(before), Some(after)) => {
                let percent = after.saturating_sub(before) / WATCH.as_secs();
                format!("which takes {percent} % of a CPU")
            }
            _ => "which is gone".into(),
        }
    }

    /// The power cut. Does nothing to a guest that is gone. The processes of
    /// a UML guest die with their kernel (`PR_SET_PDEATHSIG`).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Syncs, powers off, and waits for the end.
    pub fn power_off(&mut self) -> Result<()> {
        self.send(&Request::PowerOff)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.event(deadline)?.is_some() {}
        self.child.wait()?;
        Ok(())
    }

    /// The kernel log from byte `from` on.
    pub fn log_from(&self, from: u64) -> Result<String> {
        Ok(self.log_since(from)?.0)
    }

    /// As [`Self::log_from`], and where it ends: the next look begins there. A line that is being
    /// written is waited for, so that it belongs to one of the two.
    pub fn log_since(&self, from: u64) -> Result<(String, u64)> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        for _ in 0..20 {
            file.read_to_end(&mut bytes)?;
            if bytes.last().is_none_or(|b| *b == b'\n') {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        Ok((text, from + bytes.len() as u64))
    }

    pub fn log_text(&self) -> Result<String> {
        self.log_from(0)
    }

    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |m| m.len())
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The last `n` lines.
pub fn tail(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(n);
    lines.get(from..).unwrap_or_default().join("\n")
}
