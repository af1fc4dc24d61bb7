// SPDX-License-Identifier: GPL-2.0

//! Building what changes: ext4rs.ko and the guest's program.
//!
//! The objects of each kernel's module are in a directory of their own, so
//! that going from one kernel to another builds nothing anew.

use crate::cache::{output_of, Cache, Clock};
use crate::kernel::{Kernel, On};
use anyhow::{bail, Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the module is built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// What users load.
    Release,
    /// Invariants are checked, and tests can set error tags.
    Debug,
    /// As [`Debug`](Self::Debug), from a source with a step removed.
    Mutant,
}

impl Variant {
    /// The debug kernel always has the debug build, others with `DEBUG=1`.
    pub fn wanted(on: On) -> Self {
        let asked = std::env::var_os("DEBUG").is_some_and(|v| !v.is_empty());
        if asked || on == On::Debug {
            Self::Debug
        } else {
            Self::Release
        }
    }

    /// The name of the directory for its objects.
    fn objects(self, kernel: &Kernel) -> String {
        let suffix = match self {
            Self::Release => "",
            Self::Debug => "-debug",
            Self::Mutant => "-mutant",
        };
        format!("{}{suffix}", kernel.release)
    }
}

/// Builds ext4rs.ko for a kernel and returns the path of a copy for the guest.
pub fn build(cache: &Cache, kernel: &Kernel, variant: Variant) -> Result<PathBuf> {
    let clock = Clock::start(&format!("building ext4rs.ko for {}", kernel.release));
    let _alone = alone();
    let built = make(kernel, cache, variant)?;
    clock.done();
    // The guest does without the debugging information, which is most of it.
    let stripped = cache.path("run").join(format!(
        "ext4rs-{}-{}.ko",
        variant.objects(kernel),
        std::process::id()
    ));
    // Another lane may be reading the copy that it made.
    let new = stripped.with_extension("new");
    output_of(
        Command::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .arg(&new)
            .arg(built),
    )?;
    std::fs::rename(&new, &stripped)?;
    Ok(stripped)
}

/// Builds ext4rs.ko, and leaves it at that.
pub fn try_build(cache: &Cache, kernel: &Kernel, variant: Variant) -> Result<()> {
    let _alone = alone();
    make(kernel, cache, variant).map(|_| ())
}

/// Builds ext4rs.ko and puts it into the repository, for `make install`.
pub fn install(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let _alone = alone();
    std::fs::copy(
        make(kernel, cache, Variant::wanted(kernel.on))?,
        cache.repo.join("ext4rs.ko"),
    )?;
    Ok(())
}

/// Removes what Kbuild made, here and in the source tree (`make KDIR=...`).
pub fn clean(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let _ = std::fs::remove_dir_all(target_dir()?.join("kbuild"));
    clean_source(cache, kernel)
}

fn clean_source(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let source = format!("M={}", cache.repo.display());
    output_of(kernel.make().arg(source).arg("clean"))?;
    Ok(())
}

fn target_dir() -> Result<PathBuf> {
    let dir = std::env::var_os("CARGO_TARGET_DIR").context("CARGO_TARGET_DIR is not set")?;
    Ok(dir.into())
}

/// `make` for the module. Its objects go to the directory `output`, which is returned.
pub fn kbuild(
    cache: &Cache,
    kernel: &Kernel,
    variant: Variant,
    output: &str,
) -> Result<(Command, PathBuf)> {
    if cache.repo.join("modules.order").exists() {
        // Kbuild builds elsewhere only from a clean source.
        clean_source(cache, kernel)?;
    }
    let output = target_dir()?.join("kbuild").join(output);
    std::fs::create_dir_all(&output)?;
    let jobs = std::thread::available_parallelism()?;
    let mut make = kernel.make();
    make.arg("--silent")
        .arg(format!("-j{jobs}"))
        .arg(format!("M={}", cache.repo.display()))
        .arg(format!("MO={}", output.display()));
    if variant != Variant::Release {
        make.arg("CONFIG_EXT4RS_DEBUG=y");
    }
    if variant == Variant::Mutant {
        make.arg("EXT4RS_MUTANT=y");
    }
    if kernel.on == On::Debug {
        make.arg("CONFIG_EXT4RS_KUNIT_TEST=y");
    }
    Ok((make, output))
}

/// One lane builds at a time.
fn alone() -> MutexGuard<'static, ()> {
    static BUILDING: Mutex<()> = Mutex::new(());
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs Kbuild; its output is shown. The caller is [`alone`].
fn make(kernel: &Kernel, cache: &Cache, variant: Variant) -> Result<PathBuf> {
    let (mut make, output) = kbuild(cache, kernel, variant, &variant.objects(kernel))?;
    if !make.arg("modules").status()?.success() {
        bail!("the module does not build");
    }
    Ok(output.join("ext4rs.ko"))
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
    Ok(target_dir()?.join(target).join("release/guest"))
}
