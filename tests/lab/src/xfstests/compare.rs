// SPDX-License-Identifier: GPL-2.0

//! `make xfstests-compare A=... B=...`: what differs between two results.

use super::record::Results;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct CompareArgs {
    /// A run's directory, its results.jsonl, or a table
    #[arg(long, env = "A")]
    a: PathBuf,
    /// What to compare with it
    #[arg(long, env = "B")]
    b: PathBuf,
}

/// Prints each test whose outcome differs; those that B does worse come first, and are what the
/// exit code tells of.
pub fn compare(args: &CompareArgs) -> Result<ExitCode> {
    let (a, b) = (Results::load(&args.a)?, Results::load(&args.b)?);
    let (mut same, mut alone) = (0, 0);
    let mut differ = Vec::new();
    for new in b.all() {
        match a.get(&new.config, &new.test) {
            None => alone += 1,
            Some(old) if old.outcome == new.outcome => same += 1,
            Some(old) => differ.push((old, new)),
        }
    }
    let missing = a.all().filter(|r| b.get(&r.config, &r.test).is_none());
    let missing = missing.count();
    differ.sort_by_key(|(old, new)| (!new.outcome.is_worse_than(old.outcome), &new.test));
    for (old, new) in &differ {
        println!(
            "{} {:12} {:8} -> {:8} {}",
            new.config,
            new.test,
            old.outcome.word(),
            new.outcome.word(),
            new.note
        );
    }
    let worse = differ
        .iter()
        .filter(|(old, new)| new.outcome.is_worse_than(old.outcome))
        .count();
    let better = differ
        .iter()
        .filter(|(old, new)| old.outcome.is_worse_than(new.outcome))
        .count();
    println!(
        "{same} the same, {} differ: {worse} worse, {better} better; {missing} only in A, {alone} only in B",
        differ.len()
    );
    Ok(if worse == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
