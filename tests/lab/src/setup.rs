// SPDX-License-Identifier: GPL-2.0

//! All set-up steps, in order. The tool tree itself is made by
//! scripts/enter, before this program can run.

use crate::cache::{Cache, StepLog};
use crate::kernel::{self, stock, Kernel, On};
use crate::machine::root;
use anyhow::{ensure, Result};
use std::fs::{self, File};
use std::process::Command;

/// Judges that come as cargo packages: name and version.
const CARGO_TOOLS: &[(&str, &str)] = &[("fsx", "0.3.2"), ("pjdfstest", "0.2.2")];

/// The part of the kernel's source that is unpacked on the file system under
/// test: a real tree of files, 6,500 of them.
const SOURCE_PARTS: &[&str] = &["fs", "mm", "block", "ipc", "include/linux", "include/uapi"];

/// Everything but the UML kernels, which are built when a guest wants one.
pub fn all(cache: &Cache) -> Result<Kernel> {
    // a second command waits here while the first one sets up
    let _lock = cache.lock("setup")?;
    let kernel = kernel::prepare(cache, On::Qemu)?;
    root::prepare(cache, &kernel)?;
    cargo_tools(cache)?;
    source_tree(cache, &kernel)?;
    Ok(kernel)
}

fn cargo_tools(cache: &Cache) -> Result<()> {
    for (name, version) in CARGO_TOOLS {
        cache.step(
            &format!("tool-{name}"),
            &format!("building {name}"),
            version,
            "check the network, then run the command again",
            |log| {
                log.run(
                    Command::new("cargo")
                        .args([
                            "install",
                            "--locked",
                            "--force",
                            "--version",
                            version,
                            name,
                            "--root",
                        ])
                        .arg(cache.path("tools"))
                        .env("CARGO_TARGET_DIR", cache.path("target/tools")),
                )
            },
        )?;
    }
    Ok(())
}

/// `source.tar` with `source.sha256`, the list of what is in it.
fn source_tree(cache: &Cache, kernel: &Kernel) -> Result<()> {
    let inputs = format!("{} {SOURCE_PARTS:?}", kernel.release);
    cache.step(
        "source-tree",
        "packing a source tree for the tests",
        &inputs,
        "make room on the disk and run the command again",
        |log| pack(cache, log),
    )
}

fn pack(cache: &Cache, log: &StepLog) -> Result<()> {
    let dir = cache.path("source.tmp");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let tarball = stock::source_tarball(cache)?;
    log.run(
        Command::new("tar")
            .args(["--strip-components=1", "--wildcards", "-C"])
            .arg(&dir)
            .arg("-xf")
            .arg(tarball)
            .args(SOURCE_PARTS.iter().map(|p| format!("linux-source-*/{p}"))),
    )?;
    log.run(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "-C"])
            .arg(&dir)
            .arg("-cf")
            .arg(cache.path("source.tar"))
            .arg("."),
    )?;
    let list = cache.path("source.sha256");
    let status = Command::new("sh")
        .args([
            "-c",
            "find . -type f -printf '%P\\0' | sort -z | xargs -0 sha256sum",
        ])
        .current_dir(&dir)
        .stdout(File::create(&list)?)
        .status()?;
    ensure!(status.success(), "sha256sum failed");
    let count = fs::read_to_string(&list)?.lines().count();
    ensure!(count >= 5000, "the source tree has only {count} files");
    Ok(fs::remove_dir_all(&dir)?)
}
