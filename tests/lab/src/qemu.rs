// SPDX-License-Identifier: GPL-2.0

//! One guest: QEMU with the stock kernel, our initramfs, a channel to the
//! agent in it, and its kernel log in a file.
//!
//! A guest that is dropped is killed. Disks are files of the host; the guest
//! writes them with `cache=unsafe`, so the host sees at once what the guest
//! wrote, and a killed guest is a power cut that loses what the guest still
//! had in memory.

use crate::cache::{output_of, Cache};
use crate::cpio::Archive;
use crate::guest_root::list_of;
use crate::kernel::Kernel;
use anyhow::{bail, Context, Result};
use guest::{Event, Request};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// What a guest is made of. `ext4rs.ko` is loaded when there is one.
pub struct Machine<'a> {
    pub cache: &'a Cache,
    pub kernel: &'a Kernel,
    pub program: &'a Path,
    pub module: Option<&'a Path>,
    /// /dev/vda, /dev/vdb, ...: raw images and whether they are read-only.
    pub disks: Vec<Disk>,
    pub fio: bool,
    pub console: bool,
    /// With what `make bench` needs: a little more memory, XFS.
    pub bench: bool,
    /// One CPU whose clock advances a nanosecond for each instruction, and jumps when it is idle:
    /// time in the guest is a count of instructions.
    pub counted: bool,
}

pub struct Disk {
    pub path: PathBuf,
    pub read_only: bool,
}

impl Disk {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read_only: false,
        }
    }

    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read_only: true,
        }
    }
}

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
    /// Directory of this guest's files: socket, initrd, log.
    dir: PathBuf,
    log: PathBuf,
    pub boot: Duration,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        for name in ["initrd", "port"] {
            let _ = fs::remove_file(self.dir.join(name));
        }
    }
}

fn fresh_dir(cache: &Cache) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = cache
        .path("run")
        .join(format!("{}-{n}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The parts of the initramfs, one after the other.
fn initrd(machine: &Machine<'_>, to: &Path) -> Result<()> {
    let mut out = File::create(to)?;
    let mut parts = vec!["base.cpio"];
    if machine.fio {
        parts.push("fio.cpio");
    }
    if machine.bench {
        parts.push("bench.cpio");
    }
    for part in parts {
        std::io::copy(&mut File::open(machine.cache.path(part))?, &mut out)?;
    }
    let mut archive = Archive::new(out);
    archive.file("usr/bin/guest", machine.program)?;
    if let Some(module) = machine.module {
        archive.file("modules/ext4rs.ko", module)?;
        let needs = output_of(Command::new("modinfo").args(["-F", "depends"]).arg(module))?;
        let needs: Vec<&str> = needs.trim().split(',').filter(|n| !n.is_empty()).collect();
        let list = list_of(machine.kernel, &needs)? + "ext4rs.ko\n";
        archive.data("modules/ext4rs.list", 0o644, list.as_bytes())?;
    }
    for tool in ["fsx", "pjdfstest"] {
        let path = machine.cache.path("tools/bin").join(tool);
        if path.exists() {
            archive.file(&format!("usr/bin/{tool}"), &path)?;
        }
    }
    archive.finish()?;
    Ok(())
}

/// KVM if the CPU has it and a guest really runs with it; found out once.
fn accelerator(cache: &Cache) -> Result<&'static str> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let has = info
        .lines()
        .any(|l| l.starts_with("flags") && l.split(' ').any(|f| f == "vmx" || f == "svm"));
    if !has || !Path::new("/dev/kvm").exists() {
        return Ok("tcg,thread=multi");
    }
    let verdict = cache.path("run/kvm-probe");
    if !verdict.exists() {
        // The BIOS alone, which ends in a reset for want of a disk to boot:
        // a KVM that cannot run it fails at once or hangs.
        let mut probe = Command::new("timeout")
            .args([
                "10",
                "qemu-system-x86_64",
                "-accel",
                "kvm",
                "-nodefaults",
                "-display",
                "none",
            ])
            .args(["-no-reboot", "-boot", "reboot-timeout=1", "-m", "64"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        fs::write(
            &verdict,
            if probe.wait()?.success() {
                "kvm"
            } else {
                "tcg"
            },
        )?;
    }
    Ok(match fs::read_to_string(&verdict)?.as_str() {
        "kvm" => "kvm",
        _ => "tcg,thread=multi",
    })
}

impl Machine<'_> {
    /// Starts the guest and waits until its agent answers.
    pub fn boot(&self) -> Result<Guest> {
        let start = Instant::now();
        let dir = fresh_dir(self.cache)?;
        let log = dir.join("kernel.log");
        let socket = dir.join("port");
        let image = dir.join("initrd");
        initrd(self, &image)?;
        let accelerator = match self.counted {
            true => "tcg",
            false => accelerator(self.cache)?,
        };
        // String moves of these CPUs would count a byte at a time if they had erms or fsrm.
        let cpu = match accelerator {
            "kvm" => "host",
            _ if self.counted => "Nehalem,+invtsc",
            _ => "Nehalem",
        };
        let counting: &[&str] = match self.counted {
            true => &["-icount", "shift=0,sleep=off"],
            false => &[],
        };

        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args(["-machine", "q35", "-accel", accelerator, "-cpu", cpu])
            .args(["-smp", if self.counted { "1" } else { "2" }])
            .args(["-m", if self.bench { "3G" } else { "2G" }])
            .args(counting)
            .args(["-bios", "qboot.rom"])
            .arg("-kernel").arg(self.kernel.image())
            .arg("-initrd").arg(&image)
            .args(["-append", "console=ttyS0 loglevel=7 panic=-1 oops=panic random.trust_cpu=on nokaslr mitigations=off audit=0 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"])
            .arg("-serial").arg(format!("file:{}", log.display()))
            .arg("-chardev").arg(format!("socket,id=port,path={},server=on,wait=off", socket.display()))
            .args(["-device", "virtio-serial-pci", "-device", "virtserialport,nr=1,chardev=port,name=lab"])
            .args(["-device", "virtio-rng-pci"]);
        if self.console {
            qemu.args([
                "-chardev",
                "stdio,id=console,signal=off",
                "-device",
                "virtconsole,nr=0,chardev=console",
            ]);
        } else {
            qemu.stdin(Stdio::null());
        }
        for (i, disk) in self.disks.iter().enumerate() {
            let ro = if disk.read_only { "on" } else { "off" };
            qemu.arg("-drive")
                .arg(format!(
                    "file={},if=none,id=d{i},format=raw,cache=unsafe,discard=unmap,readonly={ro}",
                    disk.path.display()
                ))
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive=d{i}"));
        }
        let errors = File::create(dir.join("qemu.log"))?;
        let mut child = qemu
            .stderr(errors)
            .spawn()
            .context("qemu-system-x86_64 cannot be started")?;
        let stream = match connect(&socket, &mut child) {
            Ok(s) => s,
            Err(e) => {
                let _ = child.kill();
                let said = fs::read_to_string(dir.join("qemu.log")).unwrap_or_default();
                return Err(e.context(said));
            }
        };
        let mut guest = Guest {
            child,
            port: BufReader::new(stream),
            line: Vec::new(),
            dir,
            log,
            boot: Duration::ZERO,
        };
        match guest.event(start + BOOT_LIMIT) {
            Ok(Some(Event::Ready)) => {}
            other => bail!(
                "the guest did not come up ({other:?}); the end of its log, {}:\n{}",
                guest.log.display(),
                tail(&guest.log_text()?, 25)
            ),
        }
        guest.boot = start.elapsed();
        Ok(guest)
    }
}

fn connect(socket: &Path, child: &mut Child) -> Result<UnixStream> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(socket) {
            Ok(s) => return Ok(s),
            Err(e) if Instant::now() > end => return Err(e).context("no answer from QEMU"),
            Err(_) => {
                if let Some(status) = child.try_wait()? {
                    bail!("QEMU ended: {status}");
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Guest {
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
        self.event(Instant::now() + Duration::from_secs(7 * 24 * 3600))?;
        Ok(())
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        Ok(self.port.get_mut().write_all(&line)?)
    }

    /// The next event; `None` when the guest is gone. A guest that says
    /// nothing until `deadline` is killed.
    pub fn event(&mut self, deadline: Instant) -> Result<Option<Event>> {
        match self.next(deadline)? {
            Next::Event(e) => Ok(Some(e)),
            Next::Gone => Ok(None),
            Next::Nothing => {
                self.kill();
                bail!(
                    "no answer from the guest in time; its log is {}",
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
                    ) => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Next::Gone),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Kills QEMU: the power cut. Does nothing to a guest that is gone.
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
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
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

pub fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The last `n` lines.
pub fn tail(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(n);
    lines.get(from..).unwrap_or_default().join("\n")
}
