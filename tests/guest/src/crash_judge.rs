// SPDX-License-Identifier: GPL-2.0

//! Recovers crash states and looks at what is in them.
//!
//! The host puts states on disks, and lists them on a disk of its own: there a batch begins with
//! its number and length. This program asks the device for the next batch again and again, so
//! that one run of it judges all states of a guest.

use anyhow::{ensure, Context, Result};
use guest::direct::{Aligned, PAGE};
use guest::world::verify::{verify, Found};
use guest::world::{directory, sql, Crashed, Plan, World};
use guest::{Batch, Judged};
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

const AT: &str = "/mnt";

/// Judges batch after batch, until one is empty.
pub fn run(list: &Path, slots: &[PathBuf]) -> Result<()> {
    for number in 1.. {
        let batch = next(list, number)?;
        if batch.is_empty() {
            break;
        }
        for crashed in batch {
            let slot = crashed.slot;
            let disk = slots.get(slot).context("no such slot")?;
            let result = judge(disk, &crashed).map_err(|e| format!("{e:#}"));
            let judged = serde_json::to_string(&Judged { slot, result })?;
            println!("judged {judged}");
        }
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
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn judge(disk: &Path, crashed: &Crashed) -> Result<()> {
    mount(disk, AT, &*crashed.fs, MountFlags::empty(), None).context("cannot be mounted")?;
    let result = look(crashed);
    unmount(AT, UnmountFlags::empty()).context("cannot be unmounted")?;
    result
}

fn look(crashed: &Crashed) -> Result<()> {
    for mark in &crashed.marks {
        let dir = Path::new(AT).join(directory(mark.world));
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
