// SPDX-License-Identifier: GPL-2.0

//! `make bench`: ext4rs, C ext4 and XFS of the stock kernel side by side in
//! one guest, on RAM disks, round by round.
//!
//! | file | what |
//! |---|---|
//! | [`ops`], `data.fio` | the rows: operations, amounts, aims |
//! | [`guest`] | the guest, and one turn of one file system in it |
//! | [`results`] | the figures of a run, as a file to compare with |
//! | [`table`] | ratios with their spread, for people |
//! | [`chart`] | the ratios as a picture |
//!
//! Two modes. *counted*: QEMU advances the guest's clock by a nanosecond for
//! each instruction, so that time is a count of instructions and repeats.
//! *real*: the clock on the wall, in QEMU where there is KVM, else in User Mode
//! Linux, whose page cache has no large folios and whose system calls are slow.

mod chart;
mod guest;
mod ops;
mod results;
mod table;

use crate::cache::{Cache, Clock};
use crate::kernel::On;
use crate::klog;
use crate::machine::{has_kvm, Parts};
use anyhow::{ensure, Context, Result};
use clap::{Args, ValueEnum};
use ops::Amount;
use results::{Results, FILE_SYSTEMS};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct BenchArgs {
    /// What time is
    #[arg(long, env = "MODE", default_value = "counted")]
    mode: Mode,
    /// How often each file system has its turn; 3 where instructions are
    /// counted, 9 by the clock
    #[arg(long, env = "ROUNDS")]
    rounds: Option<usize>,
    /// Only the rows whose names contain one of these words
    #[arg(long, env = "ONLY", default_value = "")]
    only: String,
    /// The commit that is measured
    #[arg(long, env = "REVISION", default_value = "unknown")]
    revision: String,
    /// Results of an earlier run to compare with
    #[arg(long, env = "BASE")]
    base: Option<PathBuf>,
    /// Where results and chart go; without it, into the cache
    #[arg(long, env = "OUT")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One nanosecond for each instruction
    Counted,
    /// The clock on the wall
    Real,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Real => "real",
        }
    }

    fn rounds(self) -> usize {
        match self {
            Self::Counted => 3,
            Self::Real => 9,
        }
    }

    /// Where it is measured, and in words.
    fn place(self, cache: &Cache) -> Result<(On, &'static str)> {
        Ok(match self {
            Self::Counted => (On::Qemu, "QEMU with -icount, 1 CPU"),
            Self::Real if has_kvm(cache)? => (On::Qemu, "QEMU with KVM, 2 CPUs"),
            Self::Real => (On::Uml, "User Mode Linux, 1 CPU"),
        })
    }

    fn amount(self) -> Amount {
        match self {
            Self::Counted => Amount {
                file: 16 << 20,
                small: 1 << 20,
                files: 1600,
            },
            Self::Real => Amount {
                file: 64 << 20,
                small: 4 << 20,
                files: 8000,
            },
        }
    }
}

pub fn run(cache: &Cache, args: &BenchArgs) -> Result<ExitCode> {
    let rounds = args.rounds.unwrap_or(args.mode.rounds());
    ensure!(rounds > 0, "ROUNDS=0 measures nothing");
    let base = args
        .base
        .as_ref()
        .map(|path| Results::load(&cache.repo.join(path)))
        .transpose()?;
    let stem = match &args.out {
        Some(path) => cache.repo.join(path),
        None => cache
            .path("log")
            .join(format!("bench-{}", args.mode.name())),
    };
    if let Some(dir) = stem.parent() {
        // Said before the rounds, not after them.
        ensure!(
            dir.is_dir(),
            "OUT: the tool tree has no directory {}; take one of the project's",
            dir.display()
        );
    }
    let (on, place) = args.mode.place(cache)?;
    let parts = Parts::prepare(cache, on)?.with_module_for(cache, "ext4rs")?;
    let clock = Clock::start(&format!("booting {}", parts.kernel.release));
    let mut guest = guest::boot(cache, &parts, args.mode)?;
    clock.done();

    let kernel = format!("{} in {place}", parts.kernel.release);
    let mut results = Results::new(&kernel, args.mode.name(), &args.revision);
    let (json, svg) = (stem.with_extension("json"), stem.with_extension("svg"));
    for round in 0..rounds {
        let clock = Clock::start(&format!("round {} of {rounds}", round + 1));
        for turn in 0..FILE_SYSTEMS.len() {
            // another one begins in each round
            let fs = (round + turn) % FILE_SYSTEMS.len();
            let turn = guest::turn(&mut guest, fs, args.mode.amount(), &args.only)
                .with_context(|| format!("{} in round {}", FILE_SYSTEMS[fs], round + 1))?;
            results.add(fs, turn);
        }
        // What there is of a run that is cut off can be used.
        results.save(&json)?;
        clock.done();
    }
    let log = guest.log_text()?;
    drop(guest);

    fs::write(&svg, chart::draw(&results))?;
    print!("{}", table::ratios(&results, base.as_ref()));
    println!("results: {}", json.display());
    println!("chart:   {}", svg.display());

    let trouble = klog::trouble(&log, &[]);
    if let Some(line) = trouble.first() {
        anyhow::bail!(
            "the kernel log has {} lines it must not have, such as `{line}`",
            trouble.len()
        );
    }
    let failed = results.failures();
    for failure in &failed {
        println!("FAILED {failure}");
    }
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
