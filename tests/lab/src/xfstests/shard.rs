// SPDX-License-Identifier: GPL-2.0

//! One guest that runs tests, replaced when a test kills it or hangs.
//!
//! A batch of tests is one run of xfstests' `check`, which takes seconds to
//! start. In the guest a watchdog looks at how long ago the last test began:
//! past the limit it dumps the blocked tasks to the kernel log and ends the
//! batch. If the guest does not even do that, the host kills it.

use super::config::Config;
use super::output::{judge, Event, Reader};
use super::record::{Outcome, Record};
use crate::cache::Cache;
use crate::klog;
use crate::machine::{Disk, Guest, Parts};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size of each disk, sparse: test, scratch, log, log-writes.
const DISK_BYTES: u64 = 6 << 30;
const DISKS: [&str; 4] = ["test", "scratch", "log", "logwrites"];
const MEMORY_MIB: u32 = 2048;
/// How much longer than the guest the host waits.
const GRACE: Duration = Duration::from_secs(60);
/// Mounting and making file systems, and starting `check`.
const PREPARE: Duration = Duration::from_secs(300);
/// What the watchdog ends a batch with.
const HUNG: i32 = 124;
/// At most so much of a test's own log is kept.
const KEPT_BYTES: usize = 256 << 10;

/// What all shards have in common.
pub struct Lab<'a> {
    pub cache: &'a Cache,
    pub parts: &'a Parts,
    /// The installed xfstests.
    pub xfstests: PathBuf,
    /// The file system type under test: ext4rs, ext4 or xfs.
    pub fs: String,
    /// Seconds for one test.
    pub limit: u64,
    /// Where the run is kept.
    pub run_dir: PathBuf,
}

impl Lab<'_> {
    /// The type as the guest knows it: ext4rs stands in for ext4.
    pub fn guest_fs(&self) -> &str {
        guest_fs(&self.fs)
    }
}

pub fn guest_fs(fs: &str) -> &str {
    match fs {
        "ext4rs" => "ext4",
        other => other,
    }
}

pub struct Shard<'a> {
    lab: &'a Lab<'a>,
    /// Disks and what the guest shares with the host.
    dir: PathBuf,
    guest: Option<Guest>,
    /// What the guest was prepared for.
    config: String,
    /// Where the kernel log begins that no test was charged with yet.
    log_mark: u64,
}

impl<'a> Shard<'a> {
    pub fn new(lab: &'a Lab<'a>, number: usize) -> Result<Self> {
        let dir = lab.run_dir.join(format!("shard-{number}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("results"))?;
        Ok(Self {
            lab,
            dir,
            guest: None,
            config: String::new(),
            log_mark: 0,
        })
    }

    /// Runs `tests` in their order; `done` sees each record. Returns those
    /// that were not begun because a test before them took the guest along.
    pub fn run(
        &mut self,
        config: &Config,
        tests: &[String],
        mut done: impl FnMut(Record) -> Result<()>,
    ) -> Result<Vec<String>> {
        if self.config != config.name {
            self.guest = None;
        }
        if self.guest.is_none() {
            self.guest = Some(self.boot(config)?);
            self.config.clone_from(&config.name);
        }
        let limit = Duration::from_secs(self.lab.limit);
        let script = batch_script(self.lab, config, tests);
        let whole = PREPARE + (limit + GRACE) * u32::try_from(tests.len())?;
        let mut guest = self.guest.take().context("no guest")?;
        guest.start(&script, whole)?;

        let mut reader = Reader::new(tests);
        let mut since = Instant::now();
        let mut begun: Vec<String> = Vec::new();
        let end = loop {
            let patience = match reader.running() {
                Some(_) => limit + GRACE,
                None => PREPARE,
            };
            let events = match guest.try_event(since + patience) {
                Ok(Some(guest::Event::Output(text))) => reader.feed(&text),
                Ok(Some(guest::Event::Exit(HUNG) | guest::Event::TimedOut) | None) => {
                    break Some(Outcome::Hung)
                }
                Ok(Some(guest::Event::Exit(_))) => break None,
                Ok(Some(guest::Event::Ready)) | Err(_) => break Some(Outcome::Died),
            };
            for event in events {
                match event {
                    Event::Started(test) => {
                        begun.push(test);
                        since = Instant::now();
                    }
                    Event::Ended { test, text } => {
                        done(self.record(config, &guest, since, test, &text, None)?)?;
                    }
                }
            }
        };
        let idle = reader.running().is_none() && begun.is_empty();
        let said = reader.text().to_owned();
        if let Some(Event::Ended { test, text }) = reader.finish() {
            done(self.record(config, &guest, since, test, &text, end)?)?;
        } else if idle {
            guest.kill();
            anyhow::bail!("xfstests did not begin:\n{said}\n{}", guest.log_text()?);
        }
        if end.is_none() {
            self.guest = Some(guest);
        }
        Ok(tests
            .iter()
            .filter(|t| !begun.contains(t))
            .cloned()
            .collect())
    }

    /// The record of a test that ended, or that took the guest along (`end`);
    /// keeps its files where it did not pass.
    fn record(
        &mut self,
        config: &Config,
        guest: &Guest,
        since: Instant,
        test: String,
        text: &str,
        end: Option<Outcome>,
    ) -> Result<Record> {
        let seconds = since.elapsed().as_secs_f64();
        let (log, end_of_log) = guest.log_since(self.log_mark)?;
        self.log_mark = end_of_log;
        let trouble: Vec<String> = log
            .lines()
            .filter(|l| klog::is_trouble(l))
            .map(str::to_owned)
            .take(20)
            .collect();
        let (mut outcome, mut note) = judge(text);
        if let Some(end) = end {
            outcome = end;
            note = match end {
                Outcome::Hung => format!("not done after {seconds:.0} s"),
                _ => "the guest died".to_owned(),
            };
        } else if outcome != Outcome::Failed && !trouble.is_empty() {
            outcome = Outcome::Failed;
        }
        if let (true, Some(line)) = (outcome.is_bad(), trouble.first()) {
            note = format!("{note}; kernel log: {line}");
        }
        if outcome.is_bad() {
            self.keep(&config.name, &test, text, &log)?;
        }
        self.forget(&test);
        Ok(Record {
            config: config.name.clone(),
            test,
            outcome,
            seconds,
            note: note.trim_start_matches("; ").to_owned(),
            trouble,
        })
    }

    /// The path of one of a test's files in xfstests' results.
    fn result(&self, test: &str, suffix: &str) -> PathBuf {
        self.dir.join(format!("results/{test}.{suffix}"))
    }

    fn keep(&self, config: &str, test: &str, text: &str, log: &str) -> Result<()> {
        let to = files_of(&self.lab.run_dir, config, test);
        fs::create_dir_all(&to)?;
        fs::write(to.join("output.txt"), text)?;
        fs::write(to.join("kernel.txt"), log)?;
        for (suffix, name) in [("full", "full.txt"), ("out.bad", "out.bad.txt")] {
            if let Ok(bytes) = fs::read(self.result(test, suffix)) {
                let from = bytes.len().saturating_sub(KEPT_BYTES);
                fs::write(to.join(name), bytes.get(from..).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// The watchdog wants the word that a test was not run.
    fn forget(&self, test: &str) {
        for suffix in ["full", "out.bad", "dmesg"] {
            let _ = fs::remove_file(self.result(test, suffix));
        }
    }

    fn boot(&mut self, config: &Config) -> Result<Guest> {
        let mut disks = Vec::new();
        for name in DISKS {
            let path = self.dir.join(format!("{name}.img"));
            let _ = fs::remove_file(&path);
            File::create(&path)?.set_len(DISK_BYTES)?;
            disks.push(Disk::new(path));
        }
        let mut machine = self.lab.parts.machine(self.lab.cache, disks);
        machine.memory_mib = MEMORY_MIB;
        let mut guest = machine.boot()?;
        self.log_mark = guest.log_len();
        guest
            .sh(&prepare_script(self.lab, config, &self.dir), PREPARE)
            .context("preparing the guest for xfstests")?;
        Ok(guest)
    }
}

impl Drop for Shard<'_> {
    fn drop(&mut self) {
        self.guest = None;
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where what is known of a test that did not pass is kept.
pub fn files_of(run_dir: &Path, config: &str, test: &str) -> PathBuf {
    run_dir.join(config).join(test.replace('/', "-"))
}

/// The users and directories that xfstests wants, the driver, and the file
/// system that stays from test to test.
fn prepare_script(lab: &Lab<'_>, config: &Config, dir: &Path) -> String {
    let driver = match lab.fs.as_str() {
        "ext4rs" => "modprobe ext4rs\nrmmod ext4rs\ninsmod /modules/ext4rs.ko register_ext4=1",
        other => &format!("modprobe {other} || grep -qw {other} /proc/filesystems"),
    };
    let options = config.mkfs_options(lab.guest_fs());
    let make = match lab.guest_fs() {
        "xfs" => format!("mkfs.xfs -q -f {options}"),
        // The image is new: there is nothing to discard, and UML is slow at it.
        fs => format!("mke2fs -q -F -E nodiscard -t {fs} {options}"),
    };
    let test = lab.parts.disk(0);
    format!(
        "set -e
        for user in fsgqa fsgqa2 123456-fsgqa; do
            grep -q \"^$user:\" /etc/passwd || useradd -m $user
        done
        busybox ip link set lo up
        mkdir -p /mnt/test /mnt/scratch /results
        mount -t hostfs -o hostfs={results} none /results
        {driver}
        {make} /dev/{test} >/dev/null",
        results = dir.join("results").display(),
    )
}

/// Runs `check` on the tests, with the watchdog beside it.
fn batch_script(lab: &Lab<'_>, config: &Config, tests: &[String]) -> String {
    let disk = |n| format!("/dev/{}", lab.parts.disk(n));
    format!(
        "export FSTYP={fs} TEST_DEV={test} TEST_DIR=/mnt/test SCRATCH_DEV={scratch} \
            SCRATCH_MNT=/mnt/scratch SCRATCH_LOGDEV={log} LOGWRITES_DEV={logwrites} \
            RESULT_BASE=/results DIFF_LENGTH=0 HOST_OPTIONS=/dev/null KCONFIG_PATH={kconfig} \
            MKFS_OPTIONS='{mkfs}' EXT_MOUNT_OPTIONS='{mount}' XFS_MOUNT_OPTIONS='{mount}'
        cd {dir}
        rm -f /results/*/check_dmesg
        setsid ./check --exact-order {tests} &
        check=$!
        (
            while sleep 10; do
                # check has this file while a test runs, and leaves it when that was not run; it can
                # go while it is looked at
                begun=$(for file in /results/*/check_dmesg; do
                    [ -e $file ] && [ -z \"$(find ${{file%/*}} -name '*.notrun' -newer $file)\" ] &&
                        stat -c %Y $file
                done 2>/dev/null | sort -n | tail -n 1)
                [ -n \"$begun\" ] || continue
                age=$(($(date +%s) - begun))
                [ $age -lt {limit} ] && continue
                echo w > /proc/sysrq-trigger
                echo l > /proc/sysrq-trigger
                touch /run/hung
                kill -KILL -- -$check
                exit
            done
        ) &
        dog=$!
        wait $check
        code=$?
        kill $dog 2>/dev/null
        [ -e /run/hung ] && exit {HUNG}
        exit $((code & 1))",
        fs = lab.guest_fs(),
        kconfig = lab.parts.kernel.config().display(),
        test = disk(0),
        scratch = disk(1),
        log = disk(2),
        logwrites = disk(3),
        mkfs = config.mkfs_options(lab.guest_fs()),
        mount = config.mount,
        dir = lab.xfstests.display(),
        tests = tests.join(" "),
        limit = lab.limit,
    )
}
