// SPDX-License-Identifier: GPL-2.0

//! Process 1 of the guest: mounts what a Linux userland expects, loads the
//! modules, then serves the host's requests one by one.

mod port;
mod root;

use anyhow::{bail, Context, Result};
use guest::{Event, Request, MODULE_DIR, MODULE_LIST};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Never returns in a healthy guest: an end of process 1 is a kernel panic,
/// which ends the guest at once and so reaches the host.
pub fn run() -> Result<()> {
    if let Ok(layer) = std::env::var("LAYER") {
        root::enter(&layer)?;
    }
    root::mounts()?;
    settings();
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

/// Runs a script in a process group of its own and passes its output on.
fn shell(port: &mut File, script: &str, seconds: u64) -> Result<Event> {
    let mut child = shell_command()
        .arg("-c")
        .arg(format!("exec 2>&1\n{script}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("/bin/sh")?;
    let reader = child.stdout.take().context("the script has no output")?;

    // The reader ends when the last holder of the pipe is gone; a process
    // left in the background must not keep the request open, so the script's
    // own end counts, and what is in the pipe by then.
    let (send, receive) = channel();
    let output = send.clone();
    thread::spawn(move || pump(reader, |text| output.send(Some(text)).is_ok()));
    let (ended, end_of_child) = channel();
    let pid = child.id();
    thread::spawn(move || {
        let status = child.wait();
        thread::sleep(Duration::from_millis(20));
        let _ = ended.send(status);
        let _ = send.send(None);
    });

    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Some(text)) => say(port, &Event::Output(text))?,
            Ok(None) => {
                while let Ok(Some(text)) = receive.recv_timeout(Duration::from_millis(5)) {
                    say(port, &Event::Output(text))?;
                }
                let status = end_of_child.recv()??;
                let code = status.code().or(status.signal().map(|s| 128 + s));
                return Ok(Event::Exit(code.unwrap_or(255)));
            }
            Err(RecvTimeoutError::Timeout) => {
                dump_blocked_tasks();
                kill_group(pid);
                return Ok(Event::TimedOut);
            }
            Err(RecvTimeoutError::Disconnected) => bail!("lost track of the script"),
        }
    }
}

fn pump(mut from: impl Read, mut to: impl FnMut(String) -> bool) {
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let text = buffer.get(..n).unwrap_or_default();
        if !to(String::from_utf8_lossy(text).into_owned()) {
            break;
        }
    }
}

/// SysRq w and l: the stacks of blocked tasks and of the CPUs, to the log.
fn dump_blocked_tasks() {
    for key in ["w", "l"] {
        let _ = fs::write("/proc/sysrq-trigger", key);
    }
}

fn kill_group(pid: u32) {
    use rustix::process::{kill_process_group, Pid, Signal};
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
