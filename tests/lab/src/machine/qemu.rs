// SPDX-License-Identifier: GPL-2.0

//! A guest in QEMU: the stock kernel and an initramfs of ours. Host and guest
//! speak over a virtio-serial port.
//!
//! Disks have `cache=unsafe`: a flush of the guest's costs nothing.

use super::cpio::Archive;
use super::guest::LOG;
use super::{mortal, Disk, Machine, Started};
use crate::cache::Cache;
use anyhow::{bail, Context, Result};
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
    if machine.sqlite {
        parts.push("sqlite.cpio");
    }
    for part in parts {
        std::io::copy(&mut File::open(machine.cache.path(part))?, &mut out)?;
    }
    let mut archive = Archive::new(out);
    machine.add_fresh_files(&mut archive)?;
    archive.finish()?;
    Ok(())
}

/// Whether guests run on the CPU itself.
pub fn has_kvm(cache: &Cache) -> Result<bool> {
    Ok(accelerator(cache)? == "kvm")
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

pub fn start(machine: &Machine<'_>, dir: &Path) -> Result<Started> {
    let socket = dir.join("port");
    let image = dir.join("initrd");
    initrd(machine, &image)?;
    let accelerator = match machine.counted {
        true => "tcg",
        false => accelerator(machine.cache)?,
    };
    // String moves of these CPUs would count a byte at a time if they had erms or fsrm.
    let cpu = match accelerator {
        "kvm" => "host",
        _ if machine.counted => "Nehalem,+invtsc",
        _ => "Nehalem",
    };
    // -icount is of one CPU.
    let (cpus, counting): (u8, &[&str]) = match machine.counted {
        true => (1, &["-icount", "shift=0,sleep=off"]),
        false => (machine.cpus, &[]),
    };

    let mut qemu = mortal("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-machine", "q35", "-accel", accelerator, "-cpu", cpu])
        .args(["-smp", &cpus.to_string()])
        .arg("-m").arg(format!("{}M", machine.memory_mib))
        .args(counting)
        .args(["-bios", "qboot.rom"])
        .arg("-kernel").arg(&machine.parts.kernel.image)
        .arg("-initrd").arg(&image)
        .args(["-append", "console=ttyS0 loglevel=7 panic=-1 oops=panic random.trust_cpu=on nokaslr mitigations=off audit=0 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"])
        .arg("-serial").arg(format!("file:{}", dir.join(LOG).display()))
        .arg("-chardev").arg(format!("socket,id=port,path={},server=on,wait=off", socket.display()))
        .args(["-device", "virtio-serial-pci", "-device", "virtserialport,nr=1,chardev=port,name=lab"])
        .args(["-device", "virtio-rng-pci"]);
    if machine.console {
        qemu.args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-device",
            "virtconsole,nr=0,chardev=console",
        ]);
    } else {
        qemu.stdin(Stdio::null());
    }
    for (i, disk) in machine.disks.iter().enumerate() {
        add_disk(&mut qemu, i, disk)?;
    }
    let errors = File::create(dir.join("qemu.log"))?;
    let mut child = qemu
        .stderr(errors)
        .spawn()
        .context("qemu-system-x86_64 cannot be started")?;
    match connect(&socket, &mut child) {
        Ok(port) => Ok(Started {
            child,
            port,
            most_of_a_request: usize::MAX,
        }),
        Err(e) => {
            let _ = child.kill();
            let said = fs::read_to_string(dir.join("qemu.log")).unwrap_or_default();
            Err(e.context(said))
        }
    }
}

fn add_disk(qemu: &mut Command, i: usize, disk: &Disk) -> Result<()> {
    let path = disk.path.display();
    match &disk.record {
        None => {
            // Two commands at once may read the same disk: one that is only read needs no lock.
            let (ro, lock) = match disk.read_only {
                true => ("on", "off"),
                false => ("off", "auto"),
            };
            qemu.arg("-drive").arg(format!(
                "file={path},if=none,id=d{i},format=raw,cache=unsafe,discard=unmap,\
                 readonly={ro},file.locking={lock}"
            ));
        }
        Some(record) => {
            File::create(record)?;
            qemu.arg("-blockdev").arg(format!(
                "driver=blklogwrites,node-name=d{i},log-sector-size=512,\
                 file.driver=file,file.cache.no-flush=on,file.filename={path},\
                 log.driver=file,log.cache.no-flush=on,log.filename={}",
                record.display()
            ));
        }
    }
    qemu.arg("-device")
        .arg(format!("virtio-blk-pci,drive=d{i}"));
    Ok(())
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
