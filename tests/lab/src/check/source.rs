// SPDX-License-Identifier: GPL-2.0

//! Checks of the source: formatting, lints, host tests, module build.

use super::Lab;
use crate::cache::{output_of, run_logged, Cache};
use crate::module::{self, Variant};
use anyhow::{bail, Context, Result};
use std::path::PathBuf;
use std::process::Command;

fn cargo(cache: &Cache, args: &[&str]) -> Command {
    let mut c = Command::new("cargo");
    c.current_dir(cache.repo.join("tests")).args(args);
    c
}

fn log(cache: &Cache, name: &str) -> PathBuf {
    cache.path("log").join(name)
}

fn logged(cache: &Cache, name: &str, command: &mut Command) -> Result<()> {
    let log = log(cache, name);
    let _ = std::fs::remove_file(&log);
    run_logged(command, &log)
}

/// What the last tests to fail said: all that a run on another machine leaves.
fn last_panics(text: &str) -> String {
    const LINES: usize = 8;
    let mut said = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.contains(" panicked at ") {
            said.push(line);
            said.extend(lines.next());
        }
    }
    said.split_off(said.len().saturating_sub(LINES)).join("\n")
}

/// rustfmt finds nothing to change, in the module and in the host crates.
pub fn format(lab: &Lab<'_>) -> Result<String> {
    output_of(&mut cargo(
        lab.cache,
        &["fmt", "--all", "--check", "--", "--color=never"],
    ))
    .map_err(|e| e.context("run `cargo fmt` in tests/"))?;
    let root = lab.cache.repo.join("src/fs_ext4rs.rs");
    output_of(
        Command::new("rustfmt")
            .arg("--check")
            .arg("--color=never")
            .arg(root),
    )?;
    Ok(String::new())
}

/// Clippy and the compiler's warnings are errors in every host crate; the
/// pure rooms among them are the module's own files.
pub fn lints(lab: &Lab<'_>) -> Result<String> {
    let args = [
        "clippy",
        "--locked",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-Dwarnings",
    ];
    logged(lab.cache, "lints.log", &mut cargo(lab.cache, &args))?;
    Ok(String::new())
}

/// The kernel's clippy on the module itself. Its objects are not the ones
/// that the module is linked from.
pub fn module_lints(lab: &Lab<'_>) -> Result<String> {
    let kernel = &lab.parts.kernel;
    // Of its own for each kernel: with another one's notes of what depends on what, Kbuild makes files
    // in the other one's source anew, for this one.
    let output = format!("{}-clippy", kernel.release);
    let (mut make, _) = module::kbuild(lab.cache, kernel, Variant::Release, &output)?;
    make.args(["CLIPPY=1", "src/fs_ext4rs.o"]);
    logged(lab.cache, "module-lints.log", &mut make)?;
    Ok(String::new())
}

/// Unit and property tests of the pure rooms and of the tools.
pub fn host_tests(lab: &Lab<'_>) -> Result<String> {
    let name = "host-tests.log";
    let args = ["test", "--locked", "--workspace"];
    let result = logged(lab.cache, name, &mut cargo(lab.cache, &args));
    let text = std::fs::read_to_string(log(lab.cache, name))?;
    result.with_context(|| last_panics(&text))?;
    let passed: u32 = text
        .lines()
        .filter_map(|l| {
            l.strip_prefix("test result: ok. ")?
                .split(' ')
                .next()?
                .parse::<u32>()
                .ok()
        })
        .sum();
    if passed == 0 {
        bail!("no host test ran");
    }
    Ok(format!("{passed} tests"))
}

/// Kbuild makes ext4rs.ko for the kernel, warnings being errors.
pub fn module_build(lab: &Lab<'_>) -> Result<String> {
    let kernel = &lab.parts.kernel;
    module::try_build(lab.cache, kernel, Variant::wanted(kernel.on))?;
    Ok(kernel.release.clone())
}
