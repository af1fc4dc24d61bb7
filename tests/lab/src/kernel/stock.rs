// SPDX-License-Identifier: GPL-2.0

//! The stock kernel: finds the newest package of the pinned series, fetches
//! image, modules, headers and source, and re-makes in the source what
//! Debian's headers packages lack: the metadata of the kernel's Rust crates.

use super::{Kernel, On};
use crate::cache::{output_of, Cache, StepLog};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// scripts/kernel.pin
struct Pin {
    series: String,
    flavour: String,
    tested: String,
}

impl Pin {
    fn read(cache: &Cache) -> Result<Self> {
        let text = fs::read_to_string(cache.repo.join("scripts/kernel.pin"))?;
        let get = |key: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
                .map(|v| v.trim().to_owned())
                .with_context(|| format!("scripts/kernel.pin has no line {key}="))
        };
        Ok(Self {
            series: get("KERNEL_SERIES")?,
            flavour: get("KERNEL_FLAVOUR")?,
            tested: get("KERNEL_TESTED")?,
        })
    }
}

fn dir(cache: &Cache) -> PathBuf {
    cache.path("kernel")
}

/// The kernel of a release, whether it is in the cache already or not.
fn kernel(cache: &Cache, release: &str) -> Kernel {
    let modules = dir(cache).join("pkg/usr/lib/modules").join(release);
    Kernel {
        on: On::Qemu,
        release: release.to_owned(),
        build_dir: dir(cache).join("src"),
        image: modules.join("vmlinuz"),
        modules_dir: modules,
        make_variables: vec![
            "ARCH=x86".into(),
            format!("LOCALVERSION={}", local_version(release)),
            // the compiler that Debian built it with
            "CC=x86_64-linux-gnu-gcc-14".into(),
        ],
    }
}

/// `7.3.4` of `7.3.4+deb13-amd64`.
pub fn version(release: &str) -> &str {
    release.split('+').next().unwrap_or_default()
}

/// `+deb13-amd64`: what follows the version.
fn local_version(release: &str) -> &str {
    release.find('+').map_or("", |at| release.split_at(at).1)
}

const NETWORK: &str = "check the network and the machine's apt sources, then run the command again";

/// All steps for the kernel of the pin.
pub fn prepare(cache: &Cache) -> Result<Kernel> {
    let pin = Pin::read(cache)?;
    let wanted = format!("{} {}", pin.series, pin.flavour);
    let dir = dir(cache);
    fs::create_dir_all(&dir)?;

    cache.step(
        "kernel-packages",
        "fetching the kernel's packages",
        &wanted,
        NETWORK,
        |log| {
            let release = fetch(cache, &pin, log)?;
            Ok(fs::write(dir.join("release"), release)?)
        },
    )?;
    let release = fs::read_to_string(dir.join("release"))?;
    let kernel = kernel(cache, &release);
    let release = release.as_str();

    cache.step(
        "kernel-unpack",
        "unpacking the kernel's packages",
        release,
        "make room on the disk and run the command again",
        |log| unpack(cache, &kernel, log),
    )?;
    cache.step("kernel-prepare", "preparing the kernel for Rust modules", release, "if its log shows no reason, remove the cache's `stamps` directory and run the command again", |log| {
        modules_prepare(cache, &kernel, log)
    })?;
    Ok(kernel)
}

/// Downloads the packages to `debs` and returns the kernel's release.
fn fetch(cache: &Cache, pin: &Pin, log: &StepLog) -> Result<String> {
    log.run(Command::new("apt-get").arg("update"))?;
    let release = newest(pin)?;
    let version = version(&release);
    if version != pin.tested {
        eprintln!(
            "note: the archive has kernel {version}; the project was last tested with {}",
            pin.tested
        );
    }
    let package = format!("linux-image-{release}");
    let policy = output_of(Command::new("apt-cache").args(["policy", &package]))?;
    let exact = policy
        .lines()
        .find_map(|l| l.trim().strip_prefix("Candidate: "))
        .with_context(|| format!("apt names no version of {package}"))?
        .to_owned();

    let debs = cache.path("debs");
    let fresh = cache.path("debs.tmp");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    log.run(
        Command::new("apt-get")
            .current_dir(&fresh)
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .arg(format!("linux-binary-{release}={exact}"))
            .arg(format!("linux-modules-{release}={exact}"))
            .arg(format!("linux-headers-{release}={exact}"))
            .arg(format!("linux-source-{}={exact}", pin.series)),
    )?;
    let _ = fs::remove_dir_all(&debs);
    fs::rename(fresh, debs)?;
    Ok(release)
}

/// The release of the newest kernel of the series that the archive has.
fn newest(pin: &Pin) -> Result<String> {
    let names = output_of(Command::new("apt-cache").args(["pkgnames", "linux-image-"]))?;
    let releases = || names.lines().filter_map(|n| n.strip_prefix("linux-image-"));
    let suffix = format!("-{}", pin.flavour);
    let mut found: Vec<(u32, &str)> = releases()
        .filter_map(|r| {
            // 7.3.4+deb13-amd64, but not 7.3.4+deb13-cloud-amd64
            let rest = r.strip_prefix(pin.series.as_str())?.strip_prefix('.')?;
            let (patch, local) = rest.split_once('+')?;
            let distribution = local.strip_suffix(suffix.as_str())?;
            let plain = !distribution.contains('-');
            Some((patch.parse().ok().filter(|_| plain)?, r))
        })
        .collect();
    found.sort_unstable();
    if let Some((_, release)) = found.pop() {
        return Ok(release.to_owned());
    }
    let mut others: Vec<&str> = releases()
        .filter(|r| r.ends_with(suffix.as_str()) && r.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    others.sort_unstable();
    bail!(
        "the archive has no linux-image-{}.*{suffix}; it has: {}. Set KERNEL_SERIES in scripts/kernel.pin to one of these series",
        pin.series,
        if others.is_empty() { "none at all (are trixie-backports in apt's sources?)".into() } else { others.join(", ") },
    )
}

fn unpack(cache: &Cache, kernel: &Kernel, log: &StepLog) -> Result<()> {
    let pkg = dir(cache).join("pkg");
    let src = &kernel.build_dir;
    for old in [&pkg, src] {
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(src)?;
    for deb in fs::read_dir(cache.path("debs"))? {
        log.run(Command::new("dpkg").arg("-x").arg(deb?.path()).arg(&pkg))?;
    }
    unpack_source(cache, src, log)
}

/// Unpacks linux-source to the directory `to`.
pub fn unpack_source(cache: &Cache, to: &Path, log: &StepLog) -> Result<()> {
    log.run(
        Command::new("tar")
            .args(["--strip-components=1", "-C"])
            .arg(to)
            .arg("-xf")
            .arg(source_tarball(cache)?),
    )
}

/// linux-source's tarball, named after the series.
pub fn source_tarball(cache: &Cache) -> Result<PathBuf> {
    let dir = dir(cache).join("pkg/usr/src");
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("linux-source-") && name.ends_with(".tar.xz") {
            return Ok(path);
        }
    }
    bail!("{} holds no linux-source tarball", dir.display())
}

fn modules_prepare(cache: &Cache, kernel: &Kernel, log: &StepLog) -> Result<()> {
    let headers = dir(cache)
        .join("pkg/usr/src")
        .join(format!("linux-headers-{}", kernel.release));
    let src = &kernel.build_dir;
    fs::copy(headers.join(".config"), src.join(".config"))?;
    let jobs = std::thread::available_parallelism()?;
    log.run(
        kernel
            .make()
            .arg(format!("-j{jobs}"))
            .arg("modules_prepare"),
    )?;
    fs::copy(headers.join("Module.symvers"), src.join("Module.symvers"))?;
    let made = fs::read_to_string(src.join("include/config/kernel.release"))?;
    ensure!(
        made.trim() == kernel.release,
        "the prepared source calls itself {}, the stock kernel {}",
        made.trim(),
        kernel.release
    );
    ensure!(
        src.join("rust/libkernel.rmeta").exists(),
        "the kernel's Rust metadata was not made: is CONFIG_RUST still set in this kernel?"
    );
    Ok(())
}
