// SPDX-License-Identifier: GPL-2.0

//! `make run`: the whole way once. A real tree of files goes through ext4rs
//! onto a 4 GiB image; then e2fsck, C ext4 and the kernel log judge it.

use crate::cache::{Cache, Clock};
use crate::kernel::On;
use crate::klog;
use crate::machine::{Disk, Guest, Parts};
use crate::shell::fresh_image;
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(900);

/// Directories of the source tree that the run removes again.
const REMOVED: &[&str] = &["fs/smb", "fs/nfs", "include/uapi/linux"];

#[derive(Args)]
pub struct RunArgs {
    /// File system type: ext4rs, or ext4 to compare
    #[arg(long, env = "FS", default_value = "ext4rs")]
    fs: String,
    /// Keep the image
    #[arg(long, env = "KEEP")]
    keep: Option<String>,
}

/// The work, as steps in the guest: a title and a script. `$SIZE` is the
/// length of fio's files.
const STEPS: &[(&str, &str)] = &[
    ("mount", "mount -t $FS $DEV /mnt"),
    ("unpack the source tree", "mkdir /mnt/source && tar -xf /dev/vdb -C /mnt/source && sync"),
    (
        "overwrite with fio",
        "mkdir /mnt/fio && fio --directory=/mnt/fio --name=overwrite --rw=write --bs=1m --size=64m --end_fsync=1 --minimal --output=/dev/null \
         && fio --directory=/mnt/fio --name=overwrite --rw=randwrite --bs=16k --size=64m --verify=crc32c --do_verify=1 --fsync=256 --minimal --output=/dev/null",
    ),
    (
        "append with fio",
        "for i in 0 1 2 3; do fio --directory=/mnt/fio --name=append --rw=write --bs=100k --size=8m --offset=$((8 * i))m --end_fsync=1 \
         --verify=crc32c --do_verify=1 --minimal --output=/dev/null || exit 1; done",
    ),
    ("one file in one go", "dd if=/dev/zero of=/mnt/big bs=1M count=1024 conv=fsync 2>/dev/null"),
    ("remove a part", "cd /mnt/source && rm -r $REMOVED && cd /"),
    ("sync and drop the caches", "sync && echo 3 > /proc/sys/vm/drop_caches"),
    ("re-read all through the same driver", "guest compare /mnt/source /tmp/source.sha256 $REMOVED"),
];

/// The second judge's script: C ext4 of the same kernel.
const JUDGE: &str = "mount -t ext4 -o ro $DEV /mnt && guest compare /mnt/source /tmp/source.sha256 $REMOVED \
    && fio --directory=/mnt/fio --name=overwrite --rw=read --bs=16k --size=64m --verify=crc32c --verify_header_seed=0 --minimal --output=/dev/null";

struct Report {
    seconds: BTreeMap<&'static str, f64>,
    counters: BTreeMap<String, u64>,
    files: String,
}

pub fn run(cache: &Cache, args: &RunArgs) -> Result<ExitCode> {
    let parts = Parts::prepare(cache, On::Qemu)?.with_module_for(cache, &args.fs)?;
    let image = cache
        .path("run")
        .join(format!("run-{}.img", std::process::id()));
    fresh_image(&image, "4G", "")?;
    let mut machine = parts.machine(
        cache,
        vec![
            Disk::new(&image),
            Disk::read_only(cache.path("source.tar")),
            Disk::read_only(cache.path("source.sha256")),
        ],
    );
    machine.fio = true;
    let clock = Clock::start(&format!("booting {}", parts.kernel.release));
    let mut guest = machine.boot()?;
    clock.done();
    let result = judge_all(&mut guest, args, &image);
    let log = guest.log_path().to_owned();
    drop(guest);
    if args.keep.is_some() {
        println!("image kept: {}", image.display());
    } else {
        let _ = fs::remove_file(&image);
    }
    let objections = result.with_context(|| format!("kernel log: {}", log.display()))?;
    if objections.is_empty() {
        println!("\nno judge objects");
        return Ok(ExitCode::SUCCESS);
    }
    println!();
    for o in &objections {
        println!("OBJECTION {o:#}");
    }
    println!("kernel log: {}", log.display());
    Ok(ExitCode::FAILURE)
}

/// Does the work and asks every judge; returns what they object to.
fn judge_all(guest: &mut Guest, args: &RunArgs, image: &Path) -> Result<Vec<anyhow::Error>> {
    let names = format!(
        "export DEV=/dev/vda FS={} REMOVED='{}'\n",
        args.fs,
        REMOVED.join(" ")
    );
    let sh = |guest: &mut Guest, script: &str| guest.sh(&format!("{names}{script}"), LIMIT);
    // the list came on a disk, padded with zeros to whole sectors
    sh(
        guest,
        "tr -d '\\0' < /dev/vdc > /tmp/source.sha256; modprobe $FS",
    )?;

    let mut report = Report {
        seconds: BTreeMap::new(),
        counters: BTreeMap::new(),
        files: String::new(),
    };
    let mut objections = Vec::new();
    for (title, script) in STEPS {
        let clock = Clock::start(title);
        let start = Instant::now();
        let said = sh(guest, script).with_context(|| format!("step `{title}`"));
        report.seconds.insert(title, start.elapsed().as_secs_f64());
        match said {
            Ok(text) => clock.done_with(text.lines().last().unwrap_or_default()),
            Err(e) => {
                objections.push(e);
                break;
            }
        }
    }
    if objections.is_empty() {
        let text = sh(guest, "cat /proc/fs/$FS/vda/writeback 2>/dev/null || true")?;
        report.counters = counters(&text);
        if let Err(e) = sh(guest, "umount /mnt") {
            objections.push(e);
        }
    }
    if objections.is_empty() {
        let clock = Clock::start("judge: e2fsck -fn");
        objections.extend(e2fsck(image, &mut report).err());
        clock.done();
        let clock = Clock::start("judge: C ext4 reads it all");
        match sh(guest, JUDGE) {
            Ok(text) => {
                text.lines()
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut report.files);
                clock.done();
            }
            Err(e) => objections.push(e.context("C ext4")),
        }
        match extents(guest, &names) {
            Ok(text) => println!("\n{text}"),
            Err(e) => objections.push(e),
        }
        print_report(&report);
    }
    let log = guest.log_text()?;
    let trouble = klog::trouble(&log, &[]);
    if let Some(line) = trouble.first() {
        objections.push(anyhow::anyhow!(
            "the kernel log has {} lines it must not have, such as `{line}`",
            trouble.len()
        ));
    }
    Ok(objections)
}

/// `key value` lines.
fn counters(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|l| {
            let (key, value) = l.split_once([' ', ':'])?;
            Some((key.trim().to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

fn e2fsck(image: &Path, report: &mut Report) -> Result<()> {
    let _ = report;
    let out = Command::new("e2fsck").arg("-fn").arg(image).output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        let found: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with("Pass "))
            .take(8)
            .collect();
        bail!("e2fsck -fn finds: {}", found.join(" / "));
    }
    Ok(())
}

/// Extents of the files, counted by filefrag through C ext4.
fn extents(guest: &mut Guest, names: &str) -> Result<String> {
    let text = guest.sh(
        &format!("{names}find /mnt/source /mnt/fio /mnt/big -type f -print0 | xargs -0 filefrag | sed 's/.*: //; s/ extent.*//' | sort -n | uniq -c; filefrag /mnt/big; umount /mnt"),
        LIMIT,
    )?;
    let mut histogram = BTreeMap::new();
    let mut big = "?";
    for line in text.lines() {
        if let Some((_, n)) = line.split_once("/mnt/big: ") {
            big = n.split(' ').next().unwrap_or("?");
        } else if let [count, extents] = line.split_whitespace().collect::<Vec<_>>().as_slice() {
            histogram.insert(extents.parse::<u64>()?, count.parse::<u64>()?);
        }
    }
    let files: u64 = histogram.values().sum();
    let total: u64 = histogram.iter().map(|(e, n)| e * n).sum();
    ensure!(files > 0, "filefrag counted no file: {text}");
    let several: u64 = histogram.range(2..).map(|(_, n)| n).sum();
    Ok(format!(
        "extents            {:.3} per file on average, {several} of {files} files have more than one; the 1 GiB file has {big}",
        total as f64 / files as f64
    ))
}

fn print_report(report: &Report) {
    println!("files              {}", report.files);
    let seconds: f64 = report.seconds.values().sum();
    println!("seconds            {seconds:.1} for the work itself");
    let get = |key: &str| report.counters.get(key).copied();
    if let (Some(calls), Some(maps), Some(blocks)) = (
        get("writeback_range_calls"),
        get("writeback_map_calls"),
        get("writeback_mapped_blocks"),
    ) {
        let average = blocks as f64 / maps.max(1) as f64;
        println!(
            "writeback_range    {calls} calls, {maps} of them asked the mapper and got {average:.1} blocks ({:.0} KiB) each",
            average * 4.0
        );
    }
    for (key, title) in [
        ("recheck_retries", "sequence retries"),
        ("completions_interrupt", "completed in irq"),
        ("completions_task", "completed in task"),
        ("completions_merged", "completions merged"),
        ("journal_commits", "journal commits"),
    ] {
        if let Some(value) = get(key) {
            println!("{title:18} {value}");
        }
    }
}
