// SPDX-License-Identifier: GPL-2.0

//! Two User Mode Linux kernels from the stock kernel's source: a fast one and
//! one that watches everything. They are ordinary processes, so their guests
//! need no emulation.
//!
//! Their configurations are tests/kernel-config: `common.config` and one file
//! each. A change there is built at the next use.

use super::{stock, Kernel, On};
use crate::cache::{Cache, StepLog};
use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

pub struct Variant {
    on: On,
    name: &'static str,
    title: &'static str,
    /// Variables of make: the compiler, and what it is told.
    make: &'static [&'static str],
}

pub const FAST: Variant = Variant {
    on: On::Uml,
    name: "fast",
    title: "building the fast UML kernel (some 8 minutes)",
    make: &["CC=x86_64-linux-gnu-gcc-14"],
};

/// Rust and KASAN go together only with clang. UML is built for the large code
/// model, for which clang puts all variables into sections of their own that
/// the linker script does not know: they came to lie past the end of `.bss`.
/// Lockdep took no key there for a static one and switched itself off when the
/// kernel started, and kmemleak looked for no pointers there. Modules are
/// far from the kernel and from each other, so theirs stay as they are. The vDSO,
/// built for the small model, has no use for the option.
pub const DEBUG: Variant = Variant {
    on: On::Debug,
    name: "debug",
    title: "building the debug UML kernel (some 11 minutes)",
    make: &[
        "LLVM=-19",
        "KCFLAGS=-mlarge-data-threshold=2147483647 -Wno-unused-command-line-argument",
        "CFLAGS_MODULE=-mlarge-data-threshold=0",
    ],
};

const ADVICE: &str = "make room on the disk and run the command again";

pub fn prepare(cache: &Cache, stock: &Kernel, variant: &Variant) -> Result<Kernel> {
    let dir = cache.path("kernel/uml");
    let source = dir.join("src");
    let lock = cache.lock("uml-source")?;
    cache.step(
        "uml-source",
        "unpacking the source of the UML kernels",
        &stock.release,
        ADVICE,
        |log| unpack(cache, &source, log),
    )?;
    drop(lock);

    // the fast kernel can be used while the debug kernel is being built
    let _lock = cache.lock(&format!("uml-{}", variant.name))?;
    let build_dir = dir.join(variant.name);
    let config = config(cache, variant)?;
    let kernel = Kernel {
        on: variant.on,
        release: format!("{}-uml-{}", stock::version(&stock.release), variant.name),
        image: build_dir.join("linux"),
        modules_dir: build_dir.clone(),
        make_variables: ["ARCH=um"]
            .iter()
            .chain(variant.make)
            .map(|v| (*v).to_owned())
            .collect(),
        build_dir,
    };
    cache.step(
        &format!("uml-{}", variant.name),
        variant.title,
        &format!("{}\n{:?}\n{config}", stock.release, variant.make),
        ADVICE,
        |log| build(&kernel, &source, &config, log),
    )?;
    Ok(kernel)
}

/// The options that both kernels have, then this one's own.
fn config(cache: &Cache, variant: &Variant) -> Result<String> {
    let dir = cache.repo.join("tests/kernel-config");
    let mut text = String::new();
    for name in ["common", variant.name] {
        let path = dir.join(format!("{name}.config"));
        text += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    }
    Ok(text)
}

/// The stock kernel's own build is in its source, and Kbuild builds elsewhere
/// only from a clean one.
fn unpack(cache: &Cache, source: &Path, log: &StepLog) -> Result<()> {
    let _ = fs::remove_dir_all(source);
    fs::create_dir_all(source)?;
    stock::unpack_source(cache, source, log)
}

fn build(kernel: &Kernel, source: &Path, config: &str, log: &StepLog) -> Result<()> {
    let dir = &kernel.build_dir;
    fs::create_dir_all(dir)?;
    let wanted = dir.join("wanted.config");
    fs::write(&wanted, config)?;
    let make = || {
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(source)
            .arg(format!("O={}", dir.display()))
            .args(&kernel.make_variables);
        make
    };
    log.run(
        make()
            .arg(format!("KCONFIG_ALLCONFIG={}", wanted.display()))
            .arg("allnoconfig"),
    )?;
    check_config(&fs::read_to_string(dir.join(".config"))?, config)?;
    let jobs = std::thread::available_parallelism()?;
    log.run(make().arg(format!("-j{jobs}")).arg("all"))
}

/// Kconfig drops what depends on something that is off, without a word. A
/// later line of `wanted` overrides an earlier one.
fn check_config(made: &str, wanted: &str) -> Result<()> {
    let mut last = BTreeMap::new();
    for line in wanted.lines() {
        let off = line
            .strip_prefix("# ")
            .and_then(|l| l.strip_suffix(" is not set"));
        let set = line.split_once('=').map(|(name, _)| name);
        if let Some(name) = off.or(set).filter(|n| n.starts_with("CONFIG_")) {
            last.insert(name, (line, off.is_some()));
        }
    }
    for (name, (line, off)) in last {
        let kept = match off {
            true => !made.lines().any(|l| l.starts_with(&format!("{name}="))),
            false => made.lines().any(|l| l == line),
        };
        ensure!(kept, "Kconfig does not accept `{line}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_config;

    #[test]
    fn an_option_that_kconfig_dropped_is_noticed() {
        let made = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n";
        assert!(check_config(made, "# a comment\nCONFIG_A=y\n# CONFIG_B is not set\n").is_ok());
        assert!(check_config(made, "CONFIG_B=y\n").is_err());
        assert!(check_config(made, "CONFIG_C=y\n").is_err());
        assert!(check_config(made, "CONFIG_C=y\nCONFIG_C=m\n").is_ok());
        assert!(check_config(made, "# CONFIG_A is not set\n").is_err());
    }
}
