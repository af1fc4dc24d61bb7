// SPDX-License-Identifier: GPL-2.0

//! `make xfstests`: runs an installed xfstests in guests and keeps what came
//! of it.
//!
//! | file | what |
//! |---|---|
//! | [`config`] | configurations: how file systems are made, what is excluded |
//! | [`catalog`] | which tests there are |
//! | [`queue`] | what is still to be run |
//! | [`shard`] | one guest that runs batches of tests |
//! | [`output`] | reading what xfstests prints |
//! | [`record`] | what became of a test; files of records |
//! | [`run_dir`] | where a run is kept, and found again to go on with |
//! | [`page`] | the results as a page |
//! | [`compare`] | two results side by side |

mod catalog;
mod compare;
mod config;
mod output;
mod page;
mod queue;
mod record;
mod run_dir;
mod shard;

pub use compare::{compare, CompareArgs};

use crate::cache::{output_of, Cache};
use crate::kernel::On;
use crate::machine::Parts;
use anyhow::{bail, Context, Result};
use clap::Args;
use config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use page::Report;
use queue::{Batch, Queue};
use record::{Outcome, Record, Results, Writer};
use run_dir::{Meta, RunDir};
use shard::{Lab, Shard};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Args)]
pub struct XfstestsArgs {
    /// An installed xfstests, as its `make install` leaves it
    #[arg(long, env = "XFSTESTS_DIR")]
    xfstests_dir: PathBuf,
    /// Configurations, separated by commas: files of tests/xfstests
    #[arg(long, env = "CONFIG", default_value = "4k", value_delimiter = ',')]
    config: Vec<String>,
    /// The group of tests
    #[arg(long, env = "GROUP", default_value = "quick")]
    group: String,
    /// These tests instead of a group, such as `generic/001`
    #[arg(long, env = "TESTS", default_value = "", value_delimiter = ' ')]
    tests: Vec<String>,
    /// The driver under test: ext4rs, ext4 (the C driver) or xfs
    #[arg(long, env = "FS", default_value = "ext4rs")]
    fs: String,
    /// Where guests run
    #[arg(long, env = "ON", default_value = "uml")]
    on: On,
    /// Guests side by side
    #[arg(long, env = "JOBS", default_value_t = 2)]
    jobs: usize,
    /// Seconds for one test
    #[arg(long, env = "TIMEOUT", default_value_t = 600)]
    limit: u64,
    /// Results of C ext4 to compare with: a run's directory, or a table;
    /// by default the newest run with FS=ext4
    #[arg(long, env = "BASE")]
    base: Option<PathBuf>,
    /// Begin a new run, even where one was cut off
    #[arg(long, env = "FRESH")]
    fresh: Option<String>,
}

pub fn run(cache: &Cache, args: &XfstestsArgs) -> Result<ExitCode> {
    let configs = args.config.iter().map(|name| Config::load(cache, name));
    let configs: Vec<Config> = configs.collect::<Result<_>>()?;
    let named: Vec<String> = args
        .tests
        .iter()
        .filter(|t| !t.is_empty())
        .cloned()
        .collect();
    let fs = shard::guest_fs(&args.fs);
    let tests = catalog::select(&args.xfstests_dir, fs, &args.group, &named)?;
    let parts = Parts::prepare(cache, args.on)?.with_module_for(cache, &args.fs)?;

    let meta = Meta {
        fs: args.fs.clone(),
        kernel: parts.kernel.release.clone(),
        configs: args.config.clone(),
        selection: match named.is_empty() {
            true => format!("-g {}", args.group),
            false => named.join(" "),
        },
        xfstests: args.xfstests_dir.display().to_string(),
        config_texts: configs.iter().map(|c| c.text.clone()).collect(),
        limit: args.limit,
        module: parts.module.as_deref().map(sum_of).transpose()?,
    };
    let dir = RunDir::open(cache, &meta, args.fresh.is_some())?;
    let base = match &args.base {
        Some(path) => Some(Results::load(path)?),
        None => run_dir::newest(cache, "ext4")?.and_then(|d| Results::load(&d).ok()),
    };
    let lab = Lab {
        cache,
        parts: &parts,
        xfstests: args.xfstests_dir.clone(),
        fs: args.fs.clone(),
        limit: args.limit,
        run_dir: dir.path.clone(),
    };
    let report = Report {
        dir: &dir,
        meta: &meta,
        configs: &configs,
        causes: config::causes(cache)?,
    };
    let state = State::new(&report, &tests, base.unwrap_or_default())?;
    state.announce();
    let ended = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..args.jobs.max(1))
            .map(|n| {
                let (state, lab) = (&state, &lab);
                scope.spawn(move || work(state, lab, n))
            })
            .collect();
        let join = |shard: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            shard.join().unwrap_or_else(|_| bail!("a shard panicked"))
        };
        // all are waited for, whatever becomes of one
        let ended: Vec<Result<()>> = shards.into_iter().map(join).collect();
        ended.into_iter().collect::<Result<()>>()
    });
    state.write_page()?;
    ended?;
    dir.finish()?;
    Ok(summary(&report, &state.finish()))
}

/// The SHA-256 of a file.
fn sum_of(path: &Path) -> Result<String> {
    let said = output_of(Command::new("sha256sum").arg(path))?;
    let sum = said.split_whitespace().next();
    Ok(sum.context("sha256sum says nothing")?.to_owned())
}

/// One shard's work: batch after batch, until there is no more.
fn work(state: &State<'_>, lab: &Lab<'_>, number: usize) -> Result<()> {
    let mut shard = Shard::new(lab, number)?;
    let mut failures_to_begin = 0;
    // not `while let`, which would keep the lock while the batch runs
    loop {
        let Some(batch) = state.next_batch() else {
            return Ok(());
        };
        let config = state.report.configs.get(batch.config);
        let config = config.context("no such configuration")?;
        match shard.run(config, &batch.tests, |record| state.add(record)) {
            Ok(left) => {
                failures_to_begin = 0;
                state.lock().queue.put_back(batch.config, left);
                state.write_page()?;
            }
            Err(error) => {
                // Such as a boot that a busy machine made too slow.
                failures_to_begin += 1;
                if failures_to_begin == 3 {
                    return Err(error);
                }
                state.say(&format!("shard {number}: {error:#}"));
                let left = state.not_done(config, batch.tests);
                state.lock().queue.put_back(batch.config, left);
            }
        }
    }
}

/// What the shards share.
struct State<'a> {
    report: &'a Report<'a>,
    inner: Mutex<Inner>,
    bar: Option<ProgressBar>,
}

struct Inner {
    queue: Queue,
    writer: Writer,
    results: Results,
    /// C ext4's.
    base: Results,
}

impl<'a> State<'a> {
    fn new(report: &'a Report<'a>, tests: &[String], base: Results) -> Result<Self> {
        let dir = report.dir;
        let mut results = dir.results()?;
        let mut writer = Writer::open(&dir.path)?;
        let mut todo = Vec::new();
        for (index, config) in report.configs.iter().enumerate() {
            for test in tests {
                if results.get(&config.name, test).is_some() {
                    continue;
                }
                if let Some(reason) = config.exclude.get(test) {
                    let record = Record {
                        config: config.name.clone(),
                        test: test.clone(),
                        outcome: Outcome::Excluded,
                        seconds: 0.0,
                        note: reason.clone(),
                        trouble: Vec::new(),
                    };
                    writer.add(&record)?;
                    results.insert(record);
                    continue;
                }
                todo.push((index, test.clone()));
            }
        }
        let queue = Queue::new(todo, &base);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(u64::try_from(queue.total).unwrap_or_default());
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}  {msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        let inner = Mutex::new(Inner {
            queue,
            writer,
            results,
            base,
        });
        Ok(Self { report, inner, bar })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_batch(&self) -> Option<Batch> {
        self.lock().queue.next_batch()
    }

    fn announce(&self) {
        let inner = self.lock();
        let known = inner.results.all().count();
        println!(
            "{} tests to run{}; kept in {}",
            inner.queue.total,
            if known == 0 {
                String::new()
            } else {
                format!(", {known} are done")
            },
            self.report.dir.path.display()
        );
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Takes a record in, and shows it.
    fn add(&self, record: Record) -> Result<()> {
        let mut inner = self.lock();
        inner.writer.add(&record)?;
        inner.queue.done += 1;
        let base = inner.base.get(&record.config, &record.test);
        let base = base.map_or("", |b| b.outcome.word());
        let left = human(inner.queue.left());
        let line = format!(
            "{:4}/{} {} {:12} {:7} {:4.0} s{}{}  {}",
            inner.queue.done,
            inner.queue.total,
            record.config,
            record.test,
            record.outcome.word(),
            record.seconds,
            if base.is_empty() {
                String::new()
            } else {
                format!("  (C ext4 {base})")
            },
            if self.bar.is_none() {
                format!("  {left} left")
            } else {
                String::new()
            },
            record.note,
        );
        let done = u64::try_from(inner.queue.done)?;
        inner.results.insert(record);
        drop(inner);
        self.say(&line);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{left} left"));
        }
        Ok(())
    }

    fn write_page(&self) -> Result<()> {
        let inner = self.lock();
        self.report.write(&inner.results, &inner.base)
    }

    /// Those of `tests` that have no record.
    fn not_done(&self, config: &Config, tests: Vec<String>) -> Vec<String> {
        let inner = self.lock();
        let missing = |t: &String| inner.results.get(&config.name, t).is_none();
        tests.into_iter().filter(missing).collect()
    }

    fn finish(self) -> Inner {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn human(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

fn summary(report: &Report<'_>, state: &Inner) -> ExitCode {
    let (mut worse, mut not_run) = (0, 0);
    for config in report.configs {
        let count = |outcome| state.results.count(&config.name, outcome);
        println!(
            "{}: {} passed, {} failed, {} hung, {} died, {} not run, {} excluded",
            config.name,
            count(Outcome::Passed),
            count(Outcome::Failed),
            count(Outcome::Hung),
            count(Outcome::Died),
            count(Outcome::NotRun),
            count(Outcome::Excluded),
        );
    }
    for record in state.results.all() {
        let base = state.base.get(&record.config, &record.test);
        match (record.outcome, base.map(|b| b.outcome)) {
            (o, base) if o.is_bad() => worse += usize::from(base.is_none_or(|b| !b.is_bad())),
            (Outcome::NotRun, Some(Outcome::Passed)) => not_run += 1,
            _ => {}
        }
    }
    let passed = state.results.all().any(|r| r.outcome == Outcome::Passed);
    if !passed {
        println!("no test passed");
    }
    println!(
        "{worse} tests fail that do not fail on C ext4, {not_run} are not run that pass there; the page: {}",
        report.path().display()
    );
    if worse == 0 && passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
