// SPDX-License-Identifier: GPL-2.0

//! `make guest` and `make shell`: a guest for people.

use crate::cache::{output_of, Cache};
use crate::kernel::On;
use crate::machine::{Disk, End, Parts};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

#[derive(Args)]
pub struct Common {
    /// Where the guest runs
    #[arg(long, env = "ON", default_value = "qemu")]
    on: On,
    /// Size of the scratch disk, as mke2fs takes it
    #[arg(long, env = "DISK", default_value = "1G")]
    disk: String,
    /// File system type to mount: ext4rs, or ext4 to compare
    #[arg(long, env = "FS", default_value = "ext4rs")]
    fs: String,
    /// Options for mke2fs
    #[arg(long, env = "MKFS", default_value = "")]
    mkfs: String,
    /// Options for mount
    #[arg(long, env = "MOUNT", default_value = "defaults")]
    mount: String,
    /// Keep the disk's image
    #[arg(long, env = "KEEP")]
    keep: Option<String>,
}

#[derive(Args)]
pub struct GuestArgs {
    #[command(flatten)]
    common: Common,
    /// Shell command to run; $DEV is the scratch disk, $FS the type
    #[arg(long, env = "CMD")]
    cmd: String,
    /// Seconds before the command is given up
    #[arg(long, env = "TIMEOUT", default_value_t = 300)]
    timeout: u64,
}

#[derive(Args)]
pub struct ShellArgs {
    #[command(flatten)]
    common: Common,
}

/// A sparse image with a fresh ext4, made as mke2fs makes it by default but
/// with 4 KiB blocks, unless `options` have others.
pub fn fresh_image(path: &Path, size: &str, options: &str) -> Result<()> {
    let _ = std::fs::remove_file(path);
    output_of(
        Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096"])
            .args(options.split_whitespace())
            .arg(path)
            .arg(size),
    )?;
    Ok(())
}

fn image(cache: &Cache, common: &Common) -> Result<PathBuf> {
    let path = cache
        .path("run")
        .join(format!("{}.img", std::process::id()));
    fresh_image(&path, &common.disk, &common.mkfs)?;
    Ok(path)
}

/// Loads ext4rs when it is to be used.
fn load(fs: &str) -> &'static str {
    if fs == "ext4rs" {
        "modprobe ext4rs || exit 1\n"
    } else {
        ""
    }
}

pub fn guest(cache: &Cache, args: &GuestArgs) -> Result<ExitCode> {
    let parts = Parts::prepare(cache, args.common.on)?.with_module_for(cache, &args.common.fs)?;
    let image = image(cache, &args.common)?;
    let mut machine = parts.machine(cache, vec![Disk::new(&image)]);
    machine.fio = args.cmd.contains("fio");
    let mut guest = machine.boot()?;
    eprintln!("guest: up in {:.1} s", guest.boot.as_secs_f64());
    let mark = guest.log_len();
    let script = format!(
        "export DEV=/dev/{} FS={}\n{}{}",
        parts.disk(0),
        args.common.fs,
        load(&args.common.fs),
        args.cmd
    );
    let end = guest.run(&script, Duration::from_secs(args.timeout), |text| {
        print!("{text}");
        let _ = std::io::stdout().flush();
    })?;
    eprintln!("--- kernel log since boot ({})", guest.log_path().display());
    eprint!("{}", guest.log_from(mark)?);
    guest.kill();
    if args.common.keep.is_some() {
        eprintln!("--- image kept: {}", image.display());
    } else {
        let _ = std::fs::remove_file(&image);
    }
    Ok(match end {
        End::Exit(code) => {
            eprintln!("--- exit {code}");
            ExitCode::from(u8::try_from(code).unwrap_or(255))
        }
        End::TimedOut => {
            eprintln!("--- timed out after {} s", args.timeout);
            ExitCode::from(124)
        }
        End::Gone => {
            eprintln!("--- the guest died");
            ExitCode::from(125)
        }
    })
}

pub fn interactive(cache: &Cache, args: &ShellArgs) -> Result<ExitCode> {
    ensure!(
        args.common.on == On::Qemu,
        "a UML guest has no console for a shell: use `make guest`, or ON=qemu"
    );
    let parts = Parts::prepare(cache, args.common.on)?.with_module_for(cache, &args.common.fs)?;
    let image = image(cache, &args.common)?;
    let mut machine = parts.machine(cache, vec![Disk::new(&image)]);
    machine.fio = true;
    machine.console = true;
    let mut guest = machine.boot()?;
    let device = format!("/dev/{}", parts.disk(0));
    let fs = &args.common.fs;
    guest
        .sh(
            &format!(
                "{}mount -t {fs} -o {} {device} /mnt",
                load(fs),
                args.common.mount
            ),
            Duration::from_secs(60),
        )
        .context("mounting in the guest")?;
    println!("{fs} is mounted at /mnt, its disk is {device}; `exit` ends the guest.");
    let terminal = Terminal::raw();
    let end = guest.interactive();
    drop(terminal);
    end?;
    let _ = guest.sh("umount /mnt", Duration::from_secs(60));
    guest.power_off()?;
    if args.common.keep.is_some() {
        println!("image kept: {}", image.display());
    } else {
        let _ = std::fs::remove_file(&image);
    }
    Ok(ExitCode::SUCCESS)
}

/// The host's terminal without line editing, while the guest's has it.
struct Terminal(Option<String>);

impl Terminal {
    fn stty(args: &[&str]) -> Option<String> {
        let tty = File::open("/dev/tty").ok()?;
        let out = Command::new("stty").args(args).stdin(tty).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    fn raw() -> Self {
        let saved = Self::stty(&["-g"]);
        Self::stty(&["raw", "-echo"]);
        Self(saved)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            Self::stty(&[saved]);
        }
    }
}
