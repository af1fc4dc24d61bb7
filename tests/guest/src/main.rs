// SPDX-License-Identifier: GPL-2.0

//! The program of the guest: the agent when it is process 1, else one of the
//! test programs by name.

mod agent;
mod bench;
mod crash;
mod crash_judge;
mod crash_record;
mod faults;
mod fill;
mod grow;
mod hostile;
mod ops;
mod race;
mod split;
mod tree;
mod verdicts;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;

/// Test programs that run in the guest.
#[derive(Parser)]
enum Command {
    /// Each operation against what it must do, below DIR.
    Ops {
        dir: PathBuf,
        /// Only the tests whose name contains this
        #[arg(default_value = "")]
        only: String,
    },
    /// Storms of metadata operations on COUNT files below DIR, timed.
    Bench { dir: PathBuf, count: u64 },
    /// Races of the data path, forced with error tags, below DIR on DEVICE.
    Race {
        dir: PathBuf,
        device: String,
        /// Only the races whose names contain one of these
        only: Vec<String>,
    },
    /// Each operation with its n-th allocation or request failing, for all n.
    Faults {
        fs: String,
        device: String,
        dir: PathBuf,
        kind: faults::Kind,
        /// Only the operations whose name contains this
        #[arg(default_value = "")]
        only: String,
    },
    /// Write to DIR until cut off; say what was synced.
    CrashWrite {
        dir: PathBuf,
        seed: u64,
        seconds: u64,
    },
    /// Check what a cut left in DIR; the list of what is owed is the input.
    CrashVerify { dir: PathBuf },
    /// Carries out PLAN (JSON) below DIR, with marks on DEVICE from byte MARKS_AT on.
    CrashRecord {
        plan: String,
        dir: PathBuf,
        device: PathBuf,
        marks_at: u64,
    },
    /// Judges the crash states on the disks SLOTS, which LIST describes.
    CrashJudge { list: PathBuf, slots: Vec<PathBuf> },
    /// Let files in DIR grow past old bytes; say `ready`, and sleep.
    GrowWrite { dir: PathBuf },
    /// Check what a cut left of them.
    GrowVerify {
        dir: PathBuf,
        /// A commit interval had passed before the cut
        #[arg(long)]
        settled: bool,
    },
    /// Mount damaged images one by one, walk them, write to them.
    Hostile {
        fs: String,
        cases: PathBuf,
        from: usize,
        bases: Vec<PathBuf>,
    },
    /// Fill the file system at DIR, verify, empty it, three times.
    Fill { dir: PathBuf },
    /// Fill the file system at DIR, and write into what was allocated ahead.
    Split { dir: PathBuf },
    /// Print all that must survive a remount, for every file below DIR.
    Snapshot { dir: PathBuf },
    /// Compare the files below DIR with a list as sha256sum prints it.
    Compare {
        dir: PathBuf,
        list: PathBuf,
        /// Paths of the list that were removed
        without: Vec<PathBuf>,
    },
}

fn main() -> Result<()> {
    if std::process::id() == 1 {
        return agent::run();
    }
    match Command::parse() {
        Command::Ops { dir, only } => ops::run(&dir, &only),
        Command::Bench { dir, count } => bench::run(&dir, count),
        Command::Race { dir, device, only } => race::run(&dir, &device, &only),
        Command::Faults {
            fs,
            device,
            dir,
            kind,
            only,
        } => faults::run(&fs, &device, &dir, kind, &only),
        Command::CrashWrite { dir, seed, seconds } => crash::write(&dir, seed, seconds),
        Command::CrashVerify { dir } => crash::verify(&dir),
        Command::CrashRecord {
            plan,
            dir,
            device,
            marks_at,
        } => crash_record::run(&plan, &dir, &device, marks_at),
        Command::CrashJudge { list, slots } => crash_judge::run(&list, &slots),
        Command::GrowWrite { dir } => grow::write(&dir),
        Command::GrowVerify { dir, settled } => grow::verify(&dir, settled),
        Command::Hostile {
            fs,
            cases,
            from,
            bases,
        } => hostile::run(&fs, &cases, from, &bases),
        Command::Fill { dir } => fill::run(&dir),
        Command::Split { dir } => split::run(&dir),
        Command::Snapshot { dir } => tree::snapshot(&dir),
        Command::Compare { dir, list, without } => tree::compare(&dir, &list, &without),
    }
}
