// SPDX-License-Identifier: GPL-2.0

//! `make fuzz`: libFuzzer on the pure rooms (`tests/fuzz`), on the machine itself.
//!
//! The compiler's coverage counters are LLVM's, switched on by flags that the stable compiler
//! has. What is found grows a corpus in the cache, from that of the repository; with `KEEP=1` it
//! is made small again and replaces that one.

use crate::cache::{Cache, Clock};
use crate::damage;
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Counters, comparisons and the table of places, as cargo-fuzz asks for them.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

#[derive(Args)]
pub struct FuzzArgs {
    /// Seconds for each target
    #[arg(long, env = "DURATION", default_value_t = 60)]
    duration: u64,
    /// Only the targets whose name contains one of these words (separated by commas)
    #[arg(long, env = "ONLY", default_value = "")]
    only: String,
    /// Seed; 0 takes one by chance
    #[arg(long, env = "SEED", default_value_t = 0)]
    seed: u32,
    /// Replace the repository's corpus by a minimal one that reaches as much
    #[arg(long, env = "KEEP")]
    keep: Option<String>,
}

/// What libFuzzer says at the end of a run.
struct Figures {
    runs: u64,
    coverage: u64,
    inputs: u64,
}

pub fn run(cache: &Cache, args: &FuzzArgs) -> Result<ExitCode> {
    let program = build(cache)?;
    let targets: Vec<&str> = ::fuzz::TARGETS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| args.only.split(',').any(|word| name.contains(word)))
        .collect();
    ensure!(!targets.is_empty(), "no target matches ONLY={}", args.only);
    seed(cache)?;
    let mut found = 0;
    for name in &targets {
        let fuzzer = Fuzzer::new(cache, &program, name)?;
        match fuzzer.fuzz(args)? {
            Ok(r) => println!(
                "ok      {name}: {} inputs tried, {} places reached, {} inputs kept",
                r.runs, r.coverage, r.inputs
            ),
            Err(why) => {
                found += 1;
                println!("FAILED  {name}: {why}");
            }
        }
        if args.keep.is_some() {
            fuzzer.keep()?;
        }
    }
    println!("{} passed, {found} failed", targets.len() - found);
    Ok(if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn build(cache: &Cache) -> Result<PathBuf> {
    let clock = Clock::start("building the fuzzer");
    let target = "x86_64-unknown-linux-gnu";
    let dir = std::env::var_os("CARGO_TARGET_DIR").context("CARGO_TARGET_DIR is not set")?;
    let dir = PathBuf::from(dir).join("fuzz");
    let status = Command::new("cargo")
        .current_dir(cache.repo.join("tests"))
        // for the crates, not for build scripts
        .env(
            format!(
                "CARGO_TARGET_{}_RUSTFLAGS",
                target.replace('-', "_").to_uppercase()
            ),
            FLAGS,
        )
        .env("CARGO_TARGET_DIR", &dir)
        .env("CXX", "clang++-19")
        .args(["build", "--quiet", "--locked", "--release", "-p", "fuzz"])
        .args(["--features", "libfuzzer", "--target", target])
        .status()?;
    ensure!(status.success(), "the fuzzer does not build");
    clock.done();
    Ok(dir.join(target).join("release/fuzz"))
}

/// What a target takes before the bytes of its structure, such that these are looked at whole.
const HEADS: &[(&str, &[u8])] = &[
    ("superblock", &[1, 0]),
    ("group_desc", &[1]),
    ("inode", &[1, 11]),
    ("extent_node", &[0, 0, 0, 0, 0]),
    ("xattr", &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("orphan", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("dir_block", &[2]),
    ("dir_block", &[11]),
];

/// Puts the structures of a good image into the corpora that grow, and for the targets that take
/// a list of calls one input for each kind of call.
fn seed(cache: &Cache) -> Result<()> {
    let dir = cache.path("fuzz/image");
    fs::create_dir_all(&dir)?;
    let put = |target: &str, name: String, bytes: &[u8]| -> Result<()> {
        let dir = cache.path("fuzz").join(target);
        fs::create_dir_all(&dir)?;
        Ok(fs::write(dir.join(name), bytes)?)
    };
    for (i, (kind, bytes)) in damage::structures(&dir)?.iter().enumerate() {
        for (head, (_, start)) in HEADS.iter().filter(|(k, _)| k == kind).enumerate() {
            put(
                kind,
                format!("seed-{i}-{head}"),
                &[start, bytes.as_slice()].concat(),
            )?;
        }
    }
    for target in ["directory", "extents", "groups"] {
        for kind in 0..12u8 {
            let call = [kind, kind, 3, 1, 0, 20, 0, 7];
            let start = [2, 80, kind, 9, 1, 0, 5, 0];
            put(
                target,
                format!("seed-{kind}"),
                &[start, call, call].concat(),
            )?;
        }
    }
    Ok(())
}

/// A target and its directories.
struct Fuzzer<'a> {
    program: &'a Path,
    name: &'a str,
    /// The repository's corpus.
    kept: PathBuf,
    /// What this machine has found so far.
    grown: PathBuf,
    findings: PathBuf,
    log: PathBuf,
}

impl<'a> Fuzzer<'a> {
    fn new(cache: &Cache, program: &'a Path, name: &'a str) -> Result<Self> {
        let fuzzer = Self {
            program,
            name,
            kept: cache.repo.join("tests/fuzz/corpus").join(name),
            grown: cache.path("fuzz").join(name),
            findings: cache.path("fuzz/findings").join(name),
            log: cache.path("log").join(format!("fuzz-{name}.log")),
        };
        for dir in [&fuzzer.kept, &fuzzer.grown, &fuzzer.findings] {
            fs::create_dir_all(dir)?;
        }
        Ok(fuzzer)
    }

    fn command(&self) -> Result<Command> {
        let log = fs::File::create(&self.log)?;
        let mut command = Command::new(self.program);
        command
            .env("FUZZ_TARGET", self.name)
            .env("RUST_BACKTRACE", "1")
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=6000"])
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Fuzzes for a while; the inner error is a finding.
    fn fuzz(&self, args: &FuzzArgs) -> Result<Result<Figures, String>> {
        let clock = Clock::start(&format!("fuzzing {}", self.name));
        let status = self
            .command()?
            .arg(format!("-max_total_time={}", args.duration.max(1)))
            .arg(format!("-seed={}", args.seed))
            .args(["-print_final_stats=1", "-use_value_profile=1"])
            .args([&self.grown, &self.kept])
            .status()
            .with_context(|| self.program.display().to_string())?;
        clock.done();
        let log = fs::read_to_string(&self.log)?;
        if !status.success() {
            let line = |what: &str| log.lines().find(|l| l.contains(what));
            let why = line("panicked at").or(line("ERROR: libFuzzer"));
            let input = line("Test unit written to").unwrap_or_default();
            return Ok(Err(format!(
                "{} {} ({})",
                why.unwrap_or("it ended early"),
                input.trim(),
                self.log.display()
            )));
        }
        result_of(&log)
            .map(Ok)
            .with_context(|| self.log.display().to_string())
    }

    /// Replaces the repository's corpus.
    fn keep(&self) -> Result<()> {
        let new = self.kept.with_extension("new");
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new)?;
        let merged = self
            .command()?
            .args(["-merge=1"])
            .args([&new, &self.kept, &self.grown])
            .status()?;
        if !merged.success() {
            bail!(
                "the corpus of {} cannot be merged: {}",
                self.name,
                self.log.display()
            );
        }
        fs::remove_dir_all(&self.kept)?;
        fs::rename(&new, &self.kept)?;
        let count = fs::read_dir(&self.kept)?.count();
        println!("        {}: {count} inputs in the repository", self.name);
        Ok(())
    }
}

/// The figures at the end of a log.
fn result_of(log: &str) -> Result<Figures> {
    let stat = |name: &str| -> Option<u64> {
        let line = log
            .lines()
            .find(|l| l.starts_with(&format!("stat::{name}")))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    // `#1234 DONE   cov: 56 ft: 78 corp: 9/12b ...`
    let done = log.lines().find(|l| l.contains("DONE")).unwrap_or_default();
    let after = |key: &str| -> Option<u64> {
        let mut words = done.split_whitespace().skip_while(|w| *w != key);
        words.nth(1)?.split('/').next()?.parse().ok()
    };
    Ok(Figures {
        runs: stat("number_of_executed_units").context("no figures")?,
        coverage: after("cov:").context("no coverage was counted")?,
        inputs: after("corp:").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let log = "INFO: x\n#2000\tDONE   cov: 56 ft: 78 corp: 9/12b lim: 4 exec/s: 0 rss: 27Mb\n\
            stat::number_of_executed_units: 2000\nstat::new_units_added: 3\n";
        let r = result_of(log).unwrap();
        assert_eq!((r.runs, r.coverage, r.inputs), (2000, 56, 9));
        assert!(result_of("nothing").is_err());
    }
}
