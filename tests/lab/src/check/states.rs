// SPDX-License-Identifier: GPL-2.0

//! Crash states: workloads are recorded on the stock kernel, write by write; from the records
//! states of the disk are made that a cut of power could have left; ext4rs and C ext4 recover
//! each of them, what they find there must be what the workload is owed, and e2fsck finds
//! nothing (`tests/guest/src/world`).

use super::session::{boot_machine, e2fsck, quiet, with_names, Session};
use super::Lab;
use crate::klog;
use crate::machine::{root, Disk, Guest};
use crate::record::{Draw, Log, State};
use crate::shell::fresh_image;
use anyhow::{bail, ensure, Context, Result};
use guest::chance::Chance;
use guest::world::generate::Profile;
use guest::world::{ace, mark, Crashed, Mark, Plan};
use guest::{Batch, Event, Judged};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size of the file systems, in MiB. Small, so that states are made and checked fast.
const SIZE_MIB: u64 = 32;

/// What a recording may take, and what a batch of states.
const RECORD_LIMIT: Duration = Duration::from_secs(900);
const BATCH_LIMIT: Duration = Duration::from_secs(90);

/// States in a batch. Each takes a slot for either driver, and two batches have slots at once.
const BATCH: usize = 3;
const DRIVERS: usize = 2;
const SLOTS: usize = 2 * BATCH * DRIVERS;

/// States in the sample of `make check`.
const SAMPLE: usize = 120;

/// Failures after which the rest is left out.
const MOST_FAILURES: usize = 8;

/// How much is done.
pub struct Extent {
    /// States in all, at least.
    states: usize,
    /// Whether each flush gives one, however many there are.
    every_flush: bool,
    /// Operations in each list drawn by chance, and lists of each profile.
    ops: usize,
    lists: u64,
    transactions: u32,
    /// Sequences of two and of three operations; `None` is all.
    pairs: Option<usize>,
    triples: usize,
}

impl Extent {
    /// For so many states; less than some thousands are a sample.
    pub fn of(states: usize) -> Self {
        match states {
            0..1000 => Self {
                states,
                every_flush: false,
                ops: 50,
                lists: 1,
                transactions: 12,
                pairs: Some(8),
                triples: 4,
            },
            _ => Self {
                states,
                every_flush: true,
                ops: 250,
                lists: 2,
                transactions: 120,
                pairs: None,
                triples: 200,
            },
        }
    }
}

/// A workload, on a disk of its own.
struct Recording {
    name: String,
    plan: Plan,
    /// What was on the disk when it began, what the guest writes to, and the record.
    before: PathBuf,
    image: PathBuf,
    record: PathBuf,
}

/// Directories that go away with the value, unless something is to be kept.
struct Place {
    /// Records, on the disk.
    records: PathBuf,
    /// Images that are read and written again and again, in memory.
    slots: PathBuf,
    keep: bool,
}

impl Place {
    fn new(lab: &Lab<'_>) -> Result<Self> {
        let own = format!("crash-{}", std::process::id());
        let place = Self {
            records: lab.cache.path("run").join(&own),
            slots: Path::new("/dev/shm").join(format!("ext4rs-{own}")),
            keep: false,
        };
        fs::create_dir_all(&place.records)?;
        fs::create_dir_all(&place.slots)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.slots);
        if !self.keep {
            let _ = fs::remove_dir_all(&self.records);
        }
    }
}

/// What `make check` has of it, all on the kernel that is checked.
pub fn sample(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.discard();
    crash_states(lab, lab, &Extent::of(SAMPLE))
}

/// Records on the kernel of `recorder`, judges on that of `judge`.
pub fn crash_states(recorder: &Lab<'_>, judge: &Lab<'_>, extent: &Extent) -> Result<String> {
    let mut place = Place::new(judge)?;
    let start = Instant::now();
    let recordings = record(recorder, &place, extent)?;
    let recorded = start.elapsed();
    let result = judge_all(judge, &place, &recordings, extent);
    if result.is_err() {
        place.keep = true;
    }
    let tally = result.with_context(|| {
        format!(
            "SEED={}, records in {}",
            judge.seed,
            place.records.display()
        )
    })?;
    Ok(format!(
        "{tally}; {} workloads recorded in {:.0} s",
        recordings.len(),
        recorded.as_secs_f64()
    ))
}

/// Everything that is recorded.
fn plans(seed: u64, extent: &Extent) -> Vec<(String, Plan)> {
    let mut chance = Chance::new(seed);
    let mut list = Vec::new();
    for n in 0..extent.lists {
        for profile in Profile::ALL {
            let tasks = if profile == Profile::Mixed { 2 } else { 1 };
            let plan = Plan::Random {
                profile,
                seed: chance.word() >> 8,
                ops: extent.ops,
                tasks,
            };
            list.push((format!("{profile:?}-{n}").to_lowercase(), plan));
        }
    }
    for wal in [true, false] {
        let name = if wal { "sqlite-wal" } else { "sqlite-rollback" };
        let transactions = extent.transactions;
        list.push((name.to_owned(), Plan::Sql { wal, transactions }));
    }
    let mut pairs = ace::all_pairs();
    if let Some(few) = extent.pairs {
        pairs = (0..few)
            .filter_map(|_| chance.pick(&pairs).copied())
            .collect();
    }
    list.push(("pairs".to_owned(), Plan::Ace { sequences: pairs }));
    let triples = (0..extent.triples)
        .map(|_| ace::number(3, chance.below(ace::count(3).into()) as u32))
        .collect();
    list.push(("triples".to_owned(), Plan::Ace { sequences: triples }));
    list
}

fn boot_with_sqlite(lab: &Lab<'_>, disks: Vec<Disk>) -> Result<Guest> {
    root::sqlite(lab.cache)?;
    let mut machine = lab.parts.machine(lab.cache, disks);
    machine.sqlite = true;
    machine.cpus = 1;
    boot_machine(lab, &machine)
}

fn record(lab: &Lab<'_>, place: &Place, extent: &Extent) -> Result<Vec<Recording>> {
    let mut list = Vec::new();
    for (name, plan) in plans(lab.seed, extent) {
        let at = |what: &str| place.records.join(format!("{name}.{what}"));
        let recording = Recording {
            plan,
            before: at("before"),
            image: at("image"),
            record: at("record"),
            name,
        };
        // Every other one in small blocks; which, the seed says.
        let small = (list.len() as u64 + lab.seed) % 2 == 1;
        let options = if small { "-N 1024 -b 1024" } else { "-N 1024" };
        fresh_image(&recording.image, &format!("{SIZE_MIB}M"), options)?;
        let file = File::options().write(true).open(&recording.image)?;
        file.set_len((SIZE_MIB << 20) + mark::ROOM)?;
        fs::copy(&recording.image, &recording.before)?;
        list.push(recording);
    }
    let disks = list
        .iter()
        .map(|r| Disk::recorded(&r.image, &r.record))
        .collect();
    let mut guest = boot_with_sqlite(lab, disks)?;
    let mark = guest.log_len();
    for (i, recording) in list.iter().enumerate() {
        let disk = lab.parts.disk(u8::try_from(i)?);
        let plan = serde_json::to_string(&recording.plan)?;
        let script = format!(
            "mount -t $FS /dev/{disk} /mnt || exit 1
            guest crash-record '{plan}' /mnt /dev/{disk} {} || exit 1
            umount /mnt",
            SIZE_MIB << 20
        );
        guest
            .sh(&with_names(lab, &script), RECORD_LIMIT)
            .with_context(|| format!("recording {}", recording.name))?;
    }
    guest.power_off()?;
    quiet(&guest, mark).context("while recording")?;
    for recording in &list {
        e2fsck(&recording.image).with_context(|| format!("after recording {}", recording.name))?;
        fs::remove_file(&recording.image)?;
    }
    Ok(list)
}

/// The marks that a state is judged by, or `None` where the stage was still being set.
fn owed(plan: &Plan, marks: &BTreeMap<u32, Mark>) -> Option<Vec<Mark>> {
    match plan {
        Plan::Ace { .. } => {
            // the sequences come one after the other: the last one that began counts
            let last = marks.values().last().copied()?;
            (!last.over && last.ended >= plan.stage()).then(|| vec![last])
        }
        _ => Some(marks.values().copied().collect()),
    }
}

fn judge_all(
    lab: &Lab<'_>,
    place: &Place,
    recordings: &[Recording],
    extent: &Extent,
) -> Result<String> {
    let mut logs = Vec::new();
    let mut windows = 0;
    for recording in recordings {
        let log = Log::open(&recording.record)?;
        windows += count_windows(recording, &log)?;
        logs.push(log);
    }
    ensure!(windows > 0, "nothing was flushed");
    let mut judge = Judge::new(lab, place)?;
    let start = Instant::now();
    let mut chance = Chance::new(lab.seed ^ 0x7374_6174_6573);
    // draws that repeat a state are dropped, so somewhat more are asked for
    let mut each = extent.states as f64 * 1.15 / windows as f64;
    if extent.every_flush {
        each = each.max(1.0);
    }
    for (recording, log) in recordings.iter().zip(&logs) {
        let seed = chance.word();
        let mut draw = Draw::new(log, fs::read(&recording.before)?, SIZE_MIB << 20, seed);
        let before = judge.tally.states;
        while draw.advance()? {
            // a fraction of a state a window is a state in a fraction of the windows
            let part = (chance.below(1000) as f64) / 1000.0;
            let count = (each + part).floor() as usize;
            if count == 0 {
                continue;
            }
            for state in draw.states(count)? {
                let Some(marks) = owed(&recording.plan, &state.marks) else {
                    break;
                };
                judge.add(recording, &draw, state, marks)?;
            }
            if judge.tally.bad.len() >= MOST_FAILURES {
                break;
            }
        }
        judge.finish()?;
        judge.tally.parts.push(format!(
            "{} {}",
            recording.name,
            judge.tally.states - before
        ));
    }
    let seconds = start.elapsed().as_secs_f64();
    let tally = judge.end()?;
    if !tally.bad.is_empty() {
        // The first line says which state was nearest, the others are for the file.
        let first_line = |f: &Failure| f.to_string().lines().next().map(str::to_owned);
        let shown: Vec<String> = tally.bad.iter().take(4).filter_map(first_line).collect();
        let report = lab.cache.path("log").join("crash-states.log");
        let all: Vec<String> = tally.bad.iter().map(Failure::to_string).collect();
        fs::write(&report, all.join("\n"))?;
        bail!(
            "{} of {} judgements bad: {} (all: {})",
            tally.bad.len(),
            tally.recoveries,
            shown.join("; "),
            report.display()
        );
    }
    Ok(format!(
        "{} states of {windows} windows, {} recoveries and e2fsck runs in {seconds:.0} s, {:.0} states a second ({})",
        tally.states,
        tally.recoveries,
        tally.states as f64 / seconds,
        tally.parts.join(", ")
    ))
}

/// The windows from which states are drawn. Some of them owe something: a world without a mark
/// is not looked at.
fn count_windows(recording: &Recording, log: &Log) -> Result<usize> {
    let mut draw = Draw::new(log, Vec::new(), SIZE_MIB << 20, 0);
    let (mut count, mut marked) = (0, false);
    while draw.advance()? {
        let first = draw.states(1)?;
        let marks = first.first().and_then(|s| owed(&recording.plan, &s.marks));
        count += usize::from(marks.is_some());
        marked |= marks.is_some_and(|m| !m.is_empty());
    }
    ensure!(marked, "{}: nothing is owed", recording.name);
    Ok(count)
}

struct Failure {
    what: String,
    why: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

#[derive(Default)]
struct Tally {
    states: usize,
    recoveries: usize,
    parts: Vec<String>,
    bad: Vec<Failure>,
}

/// A state in a slot, for one driver.
struct Slot {
    crashed: Crashed,
    /// Which state this is.
    what: String,
    /// What it was before its recovery, should it be wanted.
    patched: Patched,
}

/// A state as a copy of the disk takes too much memory for all that are under way; this is
/// shared by the drivers of a state.
type Patched = std::rc::Rc<Vec<u8>>;

/// A guest that recovers states, while the host makes the next ones and runs e2fsck on the last.
struct Judge<'a> {
    lab: &'a Lab<'a>,
    place: &'a Place,
    guest: Option<Guest>,
    log_mark: u64,
    /// Number of the last batch that this guest was given.
    number: u64,
    /// What the guest says, not yet a line.
    text: String,
    list: PathBuf,
    slots: Vec<PathBuf>,
    /// Which half of the slots is filled now.
    upper: bool,
    filling: Vec<Slot>,
    running: Vec<Slot>,
    tally: Tally,
}

impl<'a> Judge<'a> {
    fn new(lab: &'a Lab<'a>, place: &'a Place) -> Result<Self> {
        let list = place.slots.join("list");
        File::create(&list)?.set_len(1 << 20)?;
        let slots: Vec<PathBuf> = (0..SLOTS)
            .map(|n| place.slots.join(format!("slot-{n}")))
            .collect();
        for slot in &slots {
            File::create(slot)?.set_len((SIZE_MIB << 20) + mark::ROOM)?;
        }
        Ok(Self {
            lab,
            place,
            guest: None,
            log_mark: 0,
            number: 0,
            text: String::new(),
            list,
            slots,
            upper: false,
            filling: Vec::new(),
            running: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// Puts a state into slots; a full batch goes to the guest.
    fn add(
        &mut self,
        recording: &Recording,
        draw: &Draw<'_>,
        state: State,
        marks: Vec<Mark>,
    ) -> Result<()> {
        let mut disk = draw.disk().to_vec();
        for (at, bytes) in draw.patches(&state)? {
            let place = disk.get_mut(at..at + bytes.len());
            place
                .context("a write behind the disk")?
                .copy_from_slice(&bytes);
        }
        let disk = Patched::new(disk);
        for fs in [self.lab.fs.as_str(), "ext4"] {
            let half = if self.upper { SLOTS / 2 } else { 0 };
            let slot = half + self.filling.len();
            let path = self.slots.get(slot).context("no slot")?;
            fill(path, &disk)?;
            self.filling.push(Slot {
                crashed: Crashed {
                    slot,
                    fs: fs.to_owned(),
                    plan: recording.plan.clone(),
                    marks: marks.clone(),
                },
                what: format!("{}, {}, by {fs}", recording.name, state.describe()),
                patched: disk.clone(),
            });
        }
        self.tally.states += 1;
        if self.filling.len() == SLOTS / 2 {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for the batch in the guest, gives it the next one, and runs e2fsck meanwhile.
    fn turn(&mut self) -> Result<()> {
        let judged = self.collect()?;
        if !self.filling.is_empty() {
            self.running = std::mem::take(&mut self.filling);
            self.upper = !self.upper;
            self.send()?;
        }
        for (slot, result) in judged {
            self.tally.recoveries += 1;
            let path = self.slots.get(slot.crashed.slot).context("no slot")?;
            let verdict = match result {
                Ok(()) => e2fsck(path).map_err(|e| format!("{e:#}")),
                bad => bad,
            };
            if let Err(why) = verdict {
                self.fail(&slot, &why)?;
            }
        }
        Ok(())
    }

    /// Everything that is under way comes to its end.
    fn finish(&mut self) -> Result<()> {
        self.turn()?;
        self.turn()
    }

    fn fail(&mut self, slot: &Slot, why: &str) -> Result<()> {
        let n = self.tally.bad.len();
        let path = self.place.records.join(format!("bad-{n}.img"));
        fill(&path, &slot.patched)?;
        self.tally.bad.push(Failure {
            what: format!("{} ({})", slot.what, path.display()),
            why: why.to_owned(),
        });
        Ok(())
    }

    /// Hands the batch in `running` to the guest.
    fn send(&mut self) -> Result<()> {
        if self.guest.is_none() {
            self.boot()?;
        }
        self.number += 1;
        let crashed: Vec<&Crashed> = self.running.iter().map(|s| &s.crashed).collect();
        let text = serde_json::to_vec(&crashed)?;
        self.announce(&text)
    }

    fn announce(&self, text: &[u8]) -> Result<()> {
        let file = File::options().write(true).open(&self.list)?;
        let length = text.len() as u64;
        ensure!(
            length + 4096 < file.metadata()?.len(),
            "the list is too long"
        );
        // the head comes last: the guest waits for it
        file.write_all_at(text, 4096)?;
        let number = self.number;
        Ok(file.write_all_at(&Batch { number, length }.bytes(), 0)?)
    }

    fn boot(&mut self) -> Result<()> {
        self.number = 0;
        File::options()
            .write(true)
            .open(&self.list)?
            .write_all_at(&[0; 4096], 0)?;
        let mut disks = vec![Disk::read_only(&self.list)];
        disks.extend(self.slots.iter().map(Disk::new));
        let mut guest = boot_with_sqlite(self.lab, disks)?;
        self.log_mark = guest.log_len();
        let mut script = "modprobe ext4; guest crash-judge $DEV".to_owned();
        for n in 0..SLOTS {
            let disk = self.lab.parts.disk(u8::try_from(n + 1)?);
            script.push_str(&format!(" /dev/{disk}"));
        }
        let days = Duration::from_secs(24 * 3600);
        guest.start(&with_names(self.lab, &script), days)?;
        self.text.clear();
        self.guest = Some(guest);
        Ok(())
    }

    /// What became of the batch in the guest.
    fn collect(&mut self) -> Result<Vec<(Slot, Result<(), String>)>> {
        let mut waiting = std::mem::take(&mut self.running);
        let mut done = Vec::new();
        let end = Instant::now() + BATCH_LIMIT;
        while !waiting.is_empty() {
            let guest = self.guest.as_mut().context("no guest")?;
            let lost = match guest.try_event(end) {
                Ok(Some(Event::Output(piece))) => {
                    self.text.push_str(&piece);
                    None
                }
                Ok(Some(other)) => Some(format!("the judge ended: {other:?}")),
                Ok(None) => Some("hung".to_owned()),
                Err(_) => Some("the kernel died".to_owned()),
            };
            while let Some((line, rest)) = self.text.split_once('\n') {
                if let Some(judged) = line.strip_prefix("judged ") {
                    let judged: Judged = serde_json::from_str(judged)?;
                    let is_it = |s: &Slot| s.crashed.slot == judged.slot;
                    let at = waiting.iter().position(is_it).context("a foreign slot")?;
                    done.push((waiting.remove(at), judged.result));
                }
                self.text = rest.to_owned();
            }
            if let Some(why) = lost {
                let why = format!(
                    "{why}: {} ({})",
                    self.text.trim(),
                    guest.log_path().display()
                );
                // the one that it was at, and those that it did not come to
                done.extend(waiting.drain(..).map(|slot| (slot, Err(why.clone()))));
                self.guest = None;
            }
        }
        self.kernel_log(&mut done)?;
        Ok(done)
    }

    /// A word in the kernel log is laid to the charge of the whole batch.
    fn kernel_log(&mut self, done: &mut [(Slot, Result<(), String>)]) -> Result<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        let (log, end) = guest.log_since(self.log_mark)?;
        self.log_mark = end;
        if let Some(line) = klog::trouble(&log, &[]).first() {
            let why = format!("kernel log: `{line}` ({})", guest.log_path().display());
            for (_, result) in done.iter_mut().filter(|(_, r)| r.is_ok()) {
                *result = Err(why.clone());
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Tally> {
        if self.guest.is_some() {
            // an empty batch
            self.number += 1;
            self.announce(b"[]")?;
        }
        Ok(self.tally)
    }
}

/// Makes a file's content that of `disk`, which is mostly zeros.
fn fill(path: &Path, disk: &[u8]) -> Result<()> {
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    file.set_len(disk.len() as u64)?;
    const CHUNK: usize = 65_536;
    // compared as a whole: byte by byte it takes most of the time of a run
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    for (i, chunk) in disk.chunks(CHUNK).enumerate() {
        if ZEROS.get(..chunk.len()) != Some(chunk) {
            file.write_all_at(chunk, (i * CHUNK) as u64)?;
        }
    }
    Ok(())
}
