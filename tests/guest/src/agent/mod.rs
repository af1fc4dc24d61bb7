// SPDX-License-Identifier: GPL-2.0

//! Process 1 of the guest: mounts what a Linux userland expects, loads the
//! modules, then serves the host's requests one by one.

mod disks;
mod port;
mod root;

use anyhow::{bail, Context, Result};
use guest::{Event, Request, MODULE_DIR, MODULE_LIST};
use rustix::event::{poll, PollFd, PollFlags};
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::process::{kill_process_group, pidfd_open, Pid, PidfdFlags, Signal};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Never returns in a healthy guest: an end of process 1 is a kernel panic,
/// which ends the guest at once and so reaches the host.
pub fn run() -> Result<()> {
    if let Ok(layer) = std::env::var("LAYER") {
        root::enter(&layer)?;
    }
    root::mounts()?;
    settings();
    disks::limit_requests()?;
    load_modules()?;
    serve(port::open()?)
}

/// Knobs that make trouble visible. A missing one is no reason to stop.
fn settings() {
    for (knob, value) in [
        ("/proc/sys/kernel/hung_task_timeout_secs", "60"),
        ("/proc/sys/kernel/panic_on_oops", "1"),
        ("/proc/sys/kernel/hostname", "guest"),
        // lines with more than one user in a second must not be dropped
        ("/proc/sys/kernel/printk_ratelimit", "0"),
        ("/proc/sys/kernel/printk_devkmsg", "on"),
    ] {
        if let Err(e) = fs::write(knob, value) {
            eprintln!("guest: {knob}: {e}");
        }
    }
}

fn load_modules() -> Result<()> {
    for name in fs::read_to_string(MODULE_LIST)
        .context(MODULE_LIST)?
        .lines()
    {
        let path = Path::new(MODULE_DIR).join(name);
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        rustix::system::finit_module(&file, c"", 0)
            .with_context(|| format!("loading the module {name}"))?;
    }
    Ok(())
}

fn serve(mut port: File) -> Result<()> {
    let lines = BufReader::new(port.try_clone()?);
    say(&mut port, &Event::Ready)?;
    for line in lines.lines() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let request: Request = serde_json::from_str(&line)?;
        let end = match request {
            Request::Shell { script, seconds } => shell(&mut port, &script, seconds)?,
            Request::Interactive => interactive()?,
            Request::PowerOff => {
                rustix::fs::sync();
                rustix::system::reboot(rustix::system::RebootCommand::PowerOff)?;
                continue;
            }
        };
        say(&mut port, &end)?;
    }
    bail!("the host closed the port")
}

fn say(port: &mut File, event: &Event) -> Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(port.write_all(&line)?)
}

fn shell_command() -> Command {
    let mut c = Command::new("/bin/sh");
    c.env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        // Debian's dmsetup leaves the nodes of its devices to udev, which does
        // not run here.
        .env("DM_DISABLE_UDEV", "1")
        .current_dir("/");
    c
}

/// Runs a script in a process group of its own and passes its output on. A process that it left in
/// the background may hold the pipe open for ever, so the script's own end counts, and what is in
/// the pipe by then.
fn shell(port: &mut File, script: &str, seconds: u64) -> Result<Event> {
    let mut child = shell_command()
        .arg("-c")
        .arg(format!("exec 2>&1\n{script}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("/bin/sh")?;
    let mut output = child.stdout.take().context("the script has no output")?;
    let child_fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;

    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut has_writers = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            dump_blocked_tasks();
            kill_group(child.id());
            return Ok(Event::TimedOut);
        }
        let mut fds = vec![PollFd::new(&child_fd, PollFlags::IN)];
        if has_writers {
            fds.push(PollFd::new(&output, PollFlags::IN));
        }
        let left = left.try_into()?;
        retry_on_intr(|| poll(&mut fds, Some(&left)))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.first() == Some(&true) {
            let status = child.wait()?;
            let mut rest = usize::try_from(ioctl_fionread(&output)?)?;
            while rest > 0 {
                rest -= pass_on(port, &mut output, rest)?;
            }
            let code = status.code().or(status.signal().map(|s| 128 + s));
            return Ok(Event::Exit(code.unwrap_or(255)));
        }
        if ready.get(1) == Some(&true) {
            has_writers = pass_on(port, &mut output, usize::MAX)? > 0;
        }
    }
}

/// Passes on what can be read at once, and at most so many bytes; returns how many.
fn pass_on(port: &mut File, from: &mut impl Read, most: usize) -> Result<usize> {
    let mut buffer = [0; 8192];
    let room = most.min(buffer.len());
    let n = from.read(buffer.get_mut(..room).unwrap_or_default())?;
    let text = buffer.get(..n).unwrap_or_default();
    if n > 0 {
        let text = String::from_utf8_lossy(text).into_owned();
        say(port, &Event::Output(text))?;
    }
    Ok(n)
}

/// SysRq w and l: the stacks of blocked tasks and of the CPUs, to the log.
fn dump_blocked_tasks() {
    for key in ["w", "l"] {
        let _ = fs::write("/proc/sysrq-trigger", key);
    }
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn interactive() -> Result<Event> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/hvc0")?;
    let mut child: Child = Command::new("/usr/bin/setsid")
        .args(["-c", "/bin/bash", "-i"])
        .env("HOME", "/root")
        .env("TERM", "linux")
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(console.try_clone()?)
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
        .context("/bin/bash")?;
    Ok(Event::Exit(child.wait()?.code().unwrap_or(255)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the script ended, and what came of its output.
    fn run(script: &str) -> (Event, String) {
        let name = format!(
            "agent-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let path = std::env::temp_dir().join(name);
        let mut port = File::create(&path).unwrap();
        let end = shell(&mut port, script, 60).unwrap();
        let said = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let pieces = said
            .lines()
            .map(|l| match serde_json::from_str(l).unwrap() {
                Event::Output(text) => text,
                other => panic!("{other:?}"),
            });
        (end, pieces.collect())
    }

    #[test]
    fn all_output_comes_through() {
        let (end, text) = run("head -c 300000 /dev/zero | tr '\\0' x; exit 3");
        assert_eq!((end, text.len()), (Event::Exit(3), 300_000));
        // the last words, at once before the end
        for _ in 0..50 {
            let (end, text) = run("echo last words >&2; kill -9 $$");
            assert_eq!((end, text.as_str()), (Event::Exit(137), "last words\n"));
        }
    }

    #[test]
    fn who_holds_the_pipe_is_not_waited_for() {
        let start = Instant::now();
        let (end, text) = run("sleep 30 & echo begun");
        assert_eq!((end, text.as_str()), (Event::Exit(0), "begun\n"));
        let (end, text) = run("echo more; exec >/dev/null 2>&1; sleep 0.1");
        assert_eq!((end, text.as_str()), (Event::Exit(0), "more\n"));
        assert!(start.elapsed() < Duration::from_secs(25));
    }
}
