// SPDX-License-Identifier: GPL-2.0

//! The guest of the bench: three RAM disks, a file system's type on each. A
//! UML guest has the programs of the tool tree, a QEMU guest is given them.

use super::ops::{Amount, FIO_JOBS, ROWS};
use super::results::{Outcome, FILE_SYSTEMS};
use super::Mode;
use crate::cache::Cache;
use crate::kernel::On;
use crate::machine::{root, tail, Guest, Parts};
use anyhow::{Context, Result};
use guest::Storm;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Of one turn, by the clock on the wall: TCG may be shared with others.
const LIMIT: Duration = Duration::from_secs(1200);

/// Made whole before they are measured: no lazy initialisation in the
/// background, no block of a RAM disk that is allocated at first use.
const MKFS: [&str; FILE_SYSTEMS.len()] = [
    "mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard",
    "mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard",
    "mkfs.xfs -q -f -K",
];

pub fn boot(cache: &Cache, parts: &Parts, mode: Mode) -> Result<Guest> {
    if parts.kernel.on == On::Qemu {
        root::bench(cache, &parts.kernel)?;
    }
    let mut machine = parts.machine(cache, Vec::new());
    machine.memory_mib = 3072;
    machine.fio = true;
    machine.bench = true;
    machine.counted = mode == Mode::Counted;
    let mut guest = machine.boot()?;
    let script = format!(
        "set -e; insmod /modules/brd.ko rd_nr=3 rd_size=$((384 * 1024))
        for fs in {}; do modprobe $fs || grep -w $fs /proc/filesystems; done
        for i in 0 1 2; do dd if=/dev/zero of=/dev/ram$i bs=1M oflag=direct 2>/dev/null || true; done
        cat > /tmp/data.fio <<'END'\n{FIO_JOBS}\nEND\n",
        FILE_SYSTEMS.join(" ")
    );
    guest.sh(&script, LIMIT)?;
    Ok(guest)
}

/// One turn of the file system with this index: makes it anew and runs every
/// operation whose name contains a word of `only`.
pub fn turn(
    guest: &mut Guest,
    fs: usize,
    amount: Amount,
    only: &str,
) -> Result<BTreeMap<&'static str, Outcome>> {
    let chosen = |name: &str| only.split(',').any(|word| name.contains(word));
    let sections: Vec<String> = FIO_JOBS
        .lines()
        .filter_map(|l| l.strip_prefix('[')?.strip_suffix(']'))
        .filter(|name| *name != "global" && (name.starts_with('_') || chosen(name)))
        .map(|name| format!("--section='{name}'"))
        .collect();
    // fio's exit code says that a job failed; its report says which
    let script = format!(
        "{}set -e; {} /dev/ram{fs} >/dev/null; mount -t {} /dev/ram{fs} /mnt
        truncate -s $SIZE /mnt/hole; sync
        fio --output-format=json --output=/tmp/fio.json {} /tmp/data.fio >/tmp/fio.log 2>&1 || true
        sync; guest bench /mnt {}
        umount /mnt; cat /tmp/fio.log /tmp/fio.json",
        amount.variables(),
        MKFS[fs],
        FILE_SYSTEMS[fs],
        sections.join(" "),
        amount.files,
    );
    let text = guest.sh(&script, LIMIT)?;
    let (storms, report) = text.split_at(text.find("\n{\n").map_or(text.len(), |at| at + 1));
    let mut outcomes = storms_of(storms)?;
    outcomes.extend(jobs_of(report)?);
    outcomes.retain(|name, _| chosen(name));
    Ok(outcomes)
}

fn row(name: &str) -> Option<&'static str> {
    ROWS.iter().map(|r| r.name).find(|n| *n == name)
}

fn storms_of(text: &str) -> Result<BTreeMap<&'static str, Outcome>> {
    let mut outcomes = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let storm: Storm = serde_json::from_str(line)?;
        let name = row(&storm.name).with_context(|| format!("no row `{}`", storm.name))?;
        outcomes.insert(name, Outcome::Nanoseconds(storm.nanoseconds));
    }
    Ok(outcomes)
}

/// The time of each job of fio's report: its reads, writes and syncs.
fn jobs_of(text: &str) -> Result<BTreeMap<&'static str, Outcome>> {
    let report: Value =
        serde_json::from_str(text).with_context(|| format!("fio's report: `{}`", tail(text, 5)))?;
    let jobs = report["jobs"].as_array().context("fio reports no job")?;
    let mut outcomes = BTreeMap::new();
    for job in jobs {
        let name = job["jobname"].as_str().unwrap_or_default();
        let Some(name) = row(name) else { continue };
        let error = job["error"].as_i64().unwrap_or(0);
        let time = |kind: &str| {
            let lat = &job[kind]["lat_ns"];
            lat["mean"].as_f64().unwrap_or(0.0) * lat["N"].as_f64().unwrap_or(0.0)
        };
        let total = time("read") + time("write") + time("sync");
        let outcome = match error {
            0 if total > 0.0 => Outcome::Nanoseconds(total as u64),
            0 => Outcome::Failed("fio measured nothing".to_owned()),
            e if e == i64::from(NOT_SUPPORTED) => Outcome::NotSupported,
            e => Outcome::Failed(std::io::Error::from_raw_os_error(e as i32).to_string()),
        };
        outcomes.insert(name, outcome);
    }
    Ok(outcomes)
}

/// `EOPNOTSUPP`
const NOT_SUPPORTED: i32 = 95;
