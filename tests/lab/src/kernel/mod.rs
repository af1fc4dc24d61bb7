// SPDX-License-Identifier: GPL-2.0

//! The kernels that ext4rs runs in, all of one version: Debian's stock kernel
//! ([`stock`]) and two User Mode Linux kernels built from its source
//! ([`uml`]).

pub mod stock;
mod uml;

use crate::cache::{output_of, Cache};
use anyhow::Result;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// Where a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// The stock kernel in QEMU.
    Qemu,
    /// User Mode Linux, the fast kernel.
    Uml,
    /// User Mode Linux, the kernel with everything that finds mistakes.
    Debug,
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
            Self::Uml => "uml",
            Self::Debug => "debug",
        })
    }
}

impl On {
    /// The name of the guest's n-th disk below /dev.
    pub fn disk(self, n: u8) -> String {
        let letter = char::from(b'a' + n);
        match self {
            Self::Qemu => format!("vd{letter}"),
            Self::Uml | Self::Debug => format!("ubd{letter}"),
        }
    }
}

/// A kernel in the cache.
#[derive(Clone)]
pub struct Kernel {
    pub on: On,
    /// Such as `7.3.4+deb13-amd64`.
    pub release: String,
    /// What a module is built against (KDIR).
    build_dir: PathBuf,
    /// What is booted.
    pub image: PathBuf,
    /// Its modules are somewhere below.
    modules_dir: PathBuf,
    /// Variables of each `make`: the architecture and the compiler.
    make_variables: Vec<String>,
}

impl Kernel {
    /// How it is configured.
    pub fn config(&self) -> PathBuf {
        self.build_dir.join(".config")
    }

    /// `make` in the build directory.
    pub fn make(&self) -> Command {
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(&self.build_dir)
            .args(&self.make_variables);
        make
    }

    /// The modules that `names` need, each after the ones it depends on.
    /// Built-in ones are left out.
    pub fn module_closure(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let listing = output_of(
            Command::new("find")
                .arg(&self.modules_dir)
                .args(["-name", "*.ko", "-o", "-name", "*.ko.xz"]),
        )?;
        let canonical = |s: &str| s.replace('-', "_");
        let files: BTreeMap<String, PathBuf> = listing
            .lines()
            .filter_map(|l| {
                let base = l.rsplit('/').next()?.split(".ko").next()?;
                Some((canonical(base), PathBuf::from(l)))
            })
            .collect();
        let mut order: Vec<PathBuf> = Vec::new();
        let mut stack: Vec<(String, bool)> =
            names.iter().rev().map(|n| (canonical(n), false)).collect();
        while let Some((name, dependencies_done)) = stack.pop() {
            // What is no module is built in; were it missing, the guest says so.
            let Some(path) = files.get(&name) else {
                continue;
            };
            if order.contains(path) {
                continue;
            }
            if dependencies_done {
                order.push(path.clone());
                continue;
            }
            stack.push((name, true));
            let depends = output_of(Command::new("modinfo").args(["-F", "depends"]).arg(path))?;
            stack.extend(
                depends
                    .trim()
                    .split(',')
                    .filter(|d| !d.is_empty())
                    .map(|d| (canonical(d), false)),
            );
        }
        Ok(order)
    }
}

/// The kernel to run on; what is missing of it in the cache is made.
pub fn prepare(cache: &Cache, on: On) -> Result<Kernel> {
    let stock = stock::prepare(cache)?;
    match on {
        On::Qemu => Ok(stock),
        On::Uml => uml::prepare(cache, &stock, &uml::FAST),
        On::Debug => uml::prepare(cache, &stock, &uml::DEBUG),
    }
}
