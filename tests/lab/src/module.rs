// SPDX-License-Identifier: GPL-2.0

//! Building what changes: ext4rs.ko and the guest's program.

use crate::cache::{output_of, Cache, Clock};
use crate::kernel::{self, Kernel};
use anyhow::{bail, Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Builds ext4rs.ko against the stock kernel and returns the path of a copy
/// for the guest.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    let kernel = kernel::prepare(cache)?;
    let clock = Clock::start("building ext4rs.ko");
    make(&kernel, cache)?;
    clock.done();
    // The guest does without the debugging information, which is most of it.
    let stripped = cache
        .path("run")
        .join(format!("ext4rs-{}.ko", std::process::id()));
    output_of(
        Command::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .arg(&stripped)
            .arg(cache.repo.join("ext4rs.ko")),
    )?;
    Ok(stripped)
}

/// Removes what Kbuild made in the source tree.
pub fn clean(cache: &Cache) -> Result<()> {
    let source = format!("M={}", cache.repo.display());
    output_of(kernel::prepare(cache)?.make().arg(source).arg("clean"))?;
    Ok(())
}

/// Runs Kbuild; its output is shown.
fn make(kernel: &Kernel, cache: &Cache) -> Result<()> {
    let jobs = std::thread::available_parallelism()?;
    let status = kernel
        .make()
        .arg("--silent")
        .arg(format!("-j{jobs}"))
        .arg(format!("M={}", cache.repo.display()))
        .arg("modules")
        .status()?;
    if !status.success() {
        bail!("the module does not build");
    }
    Ok(())
}

/// Builds the guest's program, statically linked, and returns its path.
pub fn build_guest_program(cache: &Cache) -> Result<PathBuf> {
    let target = "x86_64-unknown-linux-gnu";
    let status = Command::new("cargo")
        .current_dir(cache.repo.join("tests"))
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "-p",
            "guest",
            "--target",
            target,
        ])
        .status()?;
    if !status.success() {
        bail!("the guest's program does not build");
    }
    let dir = std::env::var_os("CARGO_TARGET_DIR").context("CARGO_TARGET_DIR is not set")?;
    Ok(PathBuf::from(dir).join(target).join("release/guest"))
}
