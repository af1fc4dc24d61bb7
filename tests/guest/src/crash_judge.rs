// SPDX-License-Identifier: GPL-2.0

//! Recovers crash states and looks at what is in them.
//!
//! The host puts states on disks, and lists them on a disk of its own: there a batch begins with
//! its number and length. This program asks the device for the next batch again and again, so
//! that one run of it judges all states of a guest.

use anyhow::{anyhow, ensure, Context, Result};
use guest::direct::{Aligned, PAGE};
use guest::world::verify::{verify, Found};
use guest::world::{directory, sql, Crashed, Plan, World};
use guest::{Batch, Judged};
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where states are mounted, each in a directory with the number of its slot.
const AT: &str = "/tmp/states";

/// Judges batch after batch, until one is empty.
pub fn run(list: &Path, slots: &[PathBuf]) -> Result<()> {
    for number in 1.. {
        let batch = next(list, number)?;
        if batch.is_empty() {
            break;
        }
        // Side by side: mounting and unmounting is mostly waiting.
        thread::scope(|scope| {
            let all: Vec<_> = batch
                .iter()
                .map(|crashed| scope.spawn(|| report(slots, crashed)))
                .collect();
            all.into_iter()
                .try_for_each(|one| one.join().map_err(|_| anyhow!("a judge panicked"))?)
        })?;
        println!("batch {number}");
    }
    Ok(())
}

/// Waits for a batch.
fn next(list: &Path, number: u64) -> Result<Vec<Crashed>> {
    let disk = Aligned::open_to_read(list)?;
    loop {
        let head = disk.read(PAGE)?;
        match Batch::parse(&head).filter(|b| b.number == number) {
            Some(batch) => {
                let all = disk.read(PAGE + usize::try_from(batch.length)?)?;
                let text = all.get(PAGE..).unwrap_or_default();
                let text = text.get(..usize::try_from(batch.length)?);
                return Ok(serde_json::from_slice(text.context("a short list")?)?);
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn report(slots: &[PathBuf], crashed: &Crashed) -> Result<()> {
    let slot = crashed.slot;
    let disk = slots.get(slot).context("no such slot")?;
    let result = judge(disk, crashed).map_err(|e| format!("{e:#}"));
    let judged = serde_json::to_string(&Judged { slot, result })?;
    println!("judged {judged}");
    Ok(())
}

fn judge(disk: &Path, crashed: &Crashed) -> Result<()> {
    let at = Path::new(AT).join(crashed.slot.to_string());
    fs::create_dir_all(&at)?;
    mount(disk, &at, &*crashed.fs, MountFlags::empty(), None).context("cannot be mounted")?;
    let result = look(&at, crashed);
    unmount(&at, UnmountFlags::empty()).context("cannot be unmounted")?;
    result
}

fn look(at: &Path, crashed: &Crashed) -> Result<()> {
    for mark in &crashed.marks {
        let dir = at.join(directory(mark.world));
        ensure!(dir.is_dir(), "{} is not there", dir.display());
        match crashed.plan {
            Plan::Sql { .. } => {
                sql::verify(&dir, *mark)?;
            }
            _ => {
                let ops = crashed.plan.ops(mark.world);
                let begun = ops.get(..mark.begun as usize).context("a foreign mark")?;
                let world = World::follow(mark.world, begun)?;
                verify(&world, *mark, &Found::read(&dir)?)?;
            }
        }
    }
    Ok(())
}
