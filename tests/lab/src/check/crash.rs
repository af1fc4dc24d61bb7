// SPDX-License-Identifier: GPL-2.0

//! Power cuts: a guest is killed while it writes; the next one recovers the
//! journal by mounting, finds every synced file whole and no byte in a file
//! that was not written there, and unmounts; then e2fsck judges.

use super::session::{boot, e2fsck, quiet, with_names, Session, LIMIT};
use super::Lab;
use crate::machine::{Disk, Guest};
use crate::shell::fresh_image;
use anyhow::{bail, ensure, Context, Result};
use guest::Event;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const CUTS: u64 = 10;

/// What the file system owes: file -> (generation, length).
type Owed = BTreeMap<u64, (u64, u64)>;

pub fn power_cuts(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.discard();
    let image = lab
        .cache
        .path("run")
        .join(format!("cut-{}.img", std::process::id()));
    fresh_image(&image, "512M", "")?;
    let result = all_cuts(lab, &image);
    if result.is_ok() {
        let _ = std::fs::remove_file(&image);
    }
    result.with_context(|| format!("SEED={}, image {}", lab.seed, image.display()))
}

fn all_cuts(lab: &Lab<'_>, image: &Path) -> Result<String> {
    let mut owed = Owed::new();
    let mut synced = 0;
    for cut in 0..=CUTS {
        let mut guest = boot(lab, vec![Disk::new(image)])?;
        let mark = guest.log_len();
        if cut > 0 {
            recover(lab, &mut guest, image, &owed).with_context(|| format!("after cut {cut}"))?;
        }
        if cut < CUTS {
            owed = write_and_cut(lab, &mut guest, cut)
                .with_context(|| format!("before cut {}", cut + 1))?;
            synced += owed.len();
        }
        quiet(&guest, mark).with_context(|| format!("at cut {cut}"))?;
    }
    ensure!(synced > 0, "no writer got as far as an fsync");
    Ok(format!("{CUTS} cuts, {synced} synced files found whole"))
}

/// Mounts, which replays the journal, checks the files, unmounts, e2fsck.
fn recover(lab: &Lab<'_>, guest: &mut Guest, image: &Path, owed: &Owed) -> Result<()> {
    let list = owed.iter().fold(String::new(), |text, (f, (g, n))| {
        text + &format!("{f} {g} {n}\n")
    });
    let script = format!(
        "mount -t $FS $DEV /mnt || exit 1
        guest crash-verify /mnt <<'END'\n{list}END
        r=$?
        umount /mnt || exit 1
        exit $r"
    );
    let verdict = guest.sh(&with_names(lab, &script), LIMIT);
    let fsck = e2fsck(image);
    verdict.map(|_| ()).and(fsck)
}

/// Lets a writer run for a while and kills the guest.
fn write_and_cut(lab: &Lab<'_>, guest: &mut Guest, cut: u64) -> Result<Owed> {
    let seed = lab.seed.wrapping_add(cut);
    // spread over the first commits and the quiet times between them
    let run = Duration::from_millis(300 + seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 7000);
    let script = format!("mount -t $FS $DEV /mnt && guest crash-write /mnt {seed} 120");
    guest.start(&with_names(lab, &script), Duration::from_secs(200))?;
    let mut owed = Owed::new();
    let mut text = String::new();
    let mut end = Instant::now() + LIMIT;
    let mut started = false;
    while Instant::now() < end {
        match guest.try_event(end)? {
            Some(Event::Output(piece)) => text.push_str(&piece),
            Some(other) => bail!("the writer ended by itself ({other:?}): {}", text.trim()),
            None => continue,
        }
        while let Some((line, rest)) = text.split_once('\n') {
            if line == "writing" {
                started = true;
                end = Instant::now() + run;
            } else {
                note(&mut owed, line)?;
            }
            text = rest.to_owned();
        }
    }
    ensure!(started, "the writer did not start");
    guest.kill();
    Ok(owed)
}

/// Files that grew before the cut: a truncate is on disk after a commit interval, and none shows
/// what had been behind its end.
pub fn grown_files(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.discard();
    let image = lab
        .cache
        .path("run")
        .join(format!("grow-{}.img", std::process::id()));
    fresh_image(&image, "128M", "")?;
    // The commit interval is 5 seconds; the pages of a truncate would be written after 30.
    let waits = [Some(10), None, Some(10), None];
    let result = (0..=waits.len()).try_for_each(|round| {
        let mut guest = boot(lab, vec![Disk::new(&image)])?;
        let mark = guest.log_len();
        if let Some(before) = round.checked_sub(1).and_then(|i| waits.get(i)) {
            let settled = if before.is_some() { "--settled" } else { "" };
            let script = format!(
                "mount -t $FS $DEV /mnt || exit 1
                guest grow-verify /mnt {settled}; r=$?
                umount /mnt || exit 1
                exit $r"
            );
            guest.sh(&with_names(lab, &script), LIMIT)?;
            e2fsck(&image)?;
        }
        if let Some(wait) = waits.get(round) {
            let random = lab
                .seed
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(13 * u32::try_from(round)?)
                % 6000;
            let wait = wait.map_or(Duration::from_millis(random), Duration::from_secs);
            grow_and_cut(lab, &mut guest, wait)?;
        }
        quiet(&guest, mark)
    });
    if result.is_ok() {
        let _ = std::fs::remove_file(&image);
    }
    result.with_context(|| format!("SEED={}, image {}", lab.seed, image.display()))?;
    Ok(format!("{} cuts", waits.len()))
}

/// Lets files grow, and kills the guest so long after.
fn grow_and_cut(lab: &Lab<'_>, guest: &mut Guest, wait: Duration) -> Result<()> {
    let script = "mount -t $FS $DEV /mnt && guest grow-write /mnt";
    guest.start(&with_names(lab, script), LIMIT)?;
    let end = Instant::now() + LIMIT;
    loop {
        match guest.try_event(end)? {
            Some(Event::Output(text)) if text.contains("ready") => break,
            Some(Event::Output(_)) => {}
            Some(other) => bail!("the writer ended by itself ({other:?})"),
            None => ensure!(Instant::now() < end, "the writer does not get ready"),
        }
    }
    std::thread::sleep(wait);
    guest.kill();
    Ok(())
}

fn note(owed: &mut Owed, line: &str) -> Result<()> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["synced", file, generation, length] => {
            owed.insert(file.parse()?, (generation.parse()?, length.parse()?));
        }
        ["unsure", file] => {
            owed.remove(&file.parse()?);
        }
        _ => bail!("the writer says `{line}`"),
    }
    Ok(())
}
