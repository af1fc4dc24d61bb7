// SPDX-License-Identifier: GPL-2.0

//! The host tool: sets the cache up, builds the module, runs guests, and
//! judges what ext4rs wrote. It runs inside the tool tree (scripts/enter).

mod bench;
mod cache;
mod check;
mod damage;
mod fuzz;
mod kernel;
mod klog;
mod machine;
mod module;
mod mutants;
mod record;
mod run;
mod setup;
mod shell;
mod xfstests;

use anyhow::Result;
use cache::Cache;
use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "lab",
    about = "Runs ext4rs in a guest with Debian's stock kernel"
)]
enum Cli {
    /// Fetch and prepare everything that the other commands need.
    Setup,
    /// Build ext4rs.ko for the stock kernel.
    Module,
    /// Remove what building the module left in the source tree.
    Clean,
    /// Run one shell command in a fresh guest.
    Guest(shell::GuestArgs),
    /// The whole way once: real files, then every judge.
    Run(run::RunArgs),
    /// Every check there is.
    Check(check::CheckArgs),
    /// A long time of load in the debug kernel.
    CheckLoad(check::LoadArgs),
    /// Thousands of crash states, recovered and looked at.
    CheckCrash(check::CrashArgs),
    /// Thousands of damaged images, in the debug kernel.
    CheckHostile(check::HostileArgs),
    /// Fuzz the pure rooms on the host.
    Fuzz(fuzz::FuzzArgs),
    /// ext4rs, C ext4 and XFS side by side, measured.
    Bench(bench::BenchArgs),
    /// Show that the tests notice when a protective step is gone.
    Mutants(mutants::MutantArgs),
    /// Run an installed xfstests.
    Xfstests(xfstests::XfstestsArgs),
    /// What differs between two results of xfstests.
    XfstestsCompare(xfstests::CompareArgs),
    /// An interactive shell in a guest with the file system at /mnt.
    Shell(shell::ShellArgs),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("ext4rs: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    let cache = Cache::from_environment()?;
    let stock = setup::all(&cache)?;
    match cli {
        Cli::Setup => Ok(ExitCode::SUCCESS),
        Cli::Clean => module::clean(&cache, &stock).map(|()| ExitCode::SUCCESS),
        Cli::Module => module::install(&cache, &stock).map(|()| ExitCode::SUCCESS),
        Cli::Run(args) => run::run(&cache, &args),
        Cli::Check(args) => check::run(&cache, &args),
        Cli::CheckLoad(args) => check::load(&cache, &args),
        Cli::CheckCrash(args) => check::crash(&cache, &args),
        Cli::CheckHostile(args) => check::hostile(&cache, &args),
        Cli::Fuzz(args) => fuzz::run(&cache, &args),
        Cli::Bench(args) => bench::run(&cache, &args),
        Cli::Mutants(args) => mutants::run(&cache, &args),
        Cli::Xfstests(args) => xfstests::run(&cache, &args),
        Cli::XfstestsCompare(args) => xfstests::compare(&args),
        Cli::Guest(args) => shell::guest(&cache, &args),
        Cli::Shell(args) => shell::interactive(&cache, &args),
    }
}
