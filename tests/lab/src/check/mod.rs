// SPDX-License-Identifier: GPL-2.0

//! `make check`: every check, in two lanes side by side, each with its verdict.
//! A failed check does not stop the others.

mod crash;
mod debug;
mod defaults;
mod direct;
mod errors;
mod faults;
mod files;
mod hostile;
mod huge;
mod load;
mod names;
mod pjdfstest;
mod races;
mod repairs;
mod session;
mod source;
mod stand_in;
mod states;
mod tracepoints;
mod writes;

use crate::cache::Cache;
use crate::kernel::On;
use crate::klog;
use crate::machine::Parts;
use crate::module::Variant;
use anyhow::{bail, Result};
use clap::Args;
pub use session::e2fsck;
use session::Session;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

#[derive(Args)]
pub struct CheckArgs {
    /// Run only the checks whose name contains one of these words
    /// (separated by commas)
    #[arg(long, env = "ONLY", default_value = "")]
    only: String,
    /// Seed of everything that is drawn by chance; printed, so that a failed
    /// run can be repeated
    #[arg(long, env = "SEED", default_value_t = seed_of_now())]
    seed: u64,
    /// Of the hostile images, run those with this number or word, or `all`
    #[arg(long, env = "CASE")]
    case: Option<String>,
    /// File system type to check: ext4 shows that the checks are right
    #[arg(long, env = "FS", default_value = "ext4rs")]
    fs: String,
    /// Where the guests run
    #[arg(long, env = "ON", default_value = "qemu")]
    on: On,
}

/// The seed of a run that is given none; the same on every kernel.
fn seed_of_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs())
}

/// What the checks share.
#[derive(Clone)]
pub struct Lab<'a> {
    pub cache: &'a Cache,
    /// Without a module until the guest checks, and when C ext4 is checked.
    pub parts: Parts,
    pub fs: String,
    pub seed: u64,
    pub case: Option<String>,
}

type HostFn = fn(&Lab<'_>) -> Result<String>;
type GuestFn = fn(&Lab<'_>, &mut Session) -> Result<String>;
type Check = (&'static str, HostFn);
type GuestCheck = (&'static str, GuestFn);

/// On the machine itself.
const SOURCE: &[Check] = &[
    ("format", source::format),
    ("lints", source::lints),
    ("module lints", source::module_lints),
    ("host tests", source::host_tests),
    ("module build", source::module_build),
];

/// In guests; those in a row that leave the guest healthy share it.
const GUEST: &[GuestCheck] = &[
    ("mount", files::mount),
    ("mount refused", files::mount_refused),
    ("superblock", files::superblock),
    ("operations", files::operations),
    ("operations on C ext4", files::operations_on_ext4),
    (
        "small blocks: operations",
        files::operations_in_small_blocks,
    ),
    ("change counters", files::change_counters),
    ("discards", files::discards),
    ("link counts", names::link_counts),
    ("damaged directory", names::damaged_directory_stays),
    (
        "orphan file without a name",
        names::no_name_for_the_orphan_file,
    ),
    ("default mount options", defaults::mount_options),
    ("fast_commit", defaults::fast_commit),
    ("reserve changes", repairs::reserve_changes),
    ("longest file", repairs::longest_file),
    ("broken orphan list", repairs::broken_orphan_list),
    ("full disk", files::full_disk),
    ("full disk: no room for a node", files::no_room_for_a_node),
    ("full disk: directories", files::directories_on_a_full_disk),
    ("full disk: splits", files::splits_on_a_full_disk),
    ("fio with verify", files::fio),
    ("fsx", files::fsx),
    ("fsx with nodelalloc", files::fsx_nodelalloc),
    ("small blocks: fsx", files::fsx_in_small_blocks),
    ("pjdfstest", pjdfstest::pjdfstest),
    ("tree from C ext4 and back", files::round_trip),
    ("errors=continue", errors::goes_on),
    ("errors=remount-ro", errors::remount_ro),
];

/// The last: each takes the guest along, and the one after it has nothing to tell of the checks
/// before.
const PANICS: &[GuestCheck] = &[("errors=panic", errors::panic)];

/// The same, in the debug kernel only.
const DEBUG_PANICS: &[GuestCheck] = &[("failing data: panic", faults::data_error_panics)];

/// In guests of their own: whichever lane is free takes the next.
const ALONE: &[GuestCheck] = &[
    ("power cuts", crash::power_cuts),
    ("hostile images", hostile::images),
    ("grown files after a power cut", crash::grown_files),
    ("16 TiB", huge::huge),
];

/// The same, in QEMU only, which can record the writes of a guest and take a disk away.
const STOCK: &[GuestCheck] = &[
    ("crash states", states::sample),
    ("device removed", faults::device_removed),
];

/// In guests, with a debug build of the module only.
const RACES: &[GuestCheck] = &[("forced races", races::forced)];

/// What only ext4rs has. The first of them wants a guest where C ext4 is not loaded yet.
const OWN: &[GuestCheck] = &[
    ("stand-in for C ext4", stand_in::stand_in),
    ("tracepoints", tracepoints::tracepoints),
    ("discards: aborted", files::no_discard_after_an_abort),
    ("remount after a repair", repairs::remount_after_repair),
];

/// In guests with the debug kernel only.
const DEBUG: &[GuestCheck] = &[
    ("KUnit", debug::kunit),
    ("journal erased", files::journal_erased),
    ("label", files::label),
    ("direct append", writes::direct_append),
    ("grow beside a direct write", direct::grow_beside_a_write),
    ("unfinished cut", repairs::unfinished_cut),
    ("thaw without a device", faults::thaw_without_device),
    ("mapping fails", writes::mapping_fails),
    ("zeroing without space", writes::zeroing_without_space),
    ("allocation with O_DSYNC", writes::allocation_is_synchronous),
    ("interrupted truncate", writes::interrupted_truncate),
    ("stress", debug::stress),
    ("failing memory", faults::memory),
    ("failing requests", faults::requests),
    ("device gone", faults::device_gone),
    ("failing writes", faults::writes_fail),
    ("bad blocks", faults::bad_blocks),
    ("read-only device", faults::read_only_device),
    ("failing data: data_err=", faults::data_errors),
    ("lockdep watches", debug::lockdep),
    ("leaks", debug::leaks),
];

/// What `make check` has of the debug kernel.
const SHORT: &[GuestCheck] = &[
    ("debug kernel: KUnit", debug::kunit),
    ("debug kernel: operations", files::operations),
    ("debug kernel: fsx", files::fsx),
    ("debug kernel: tracepoints", tracepoints::tracepoints),
    ("debug kernel: journal erased", files::journal_erased),
    ("debug kernel: label", files::label),
    ("debug kernel: direct append", writes::direct_append),
    ("debug kernel: unfinished cut", repairs::unfinished_cut),
    (
        "debug kernel: grow beside a direct write",
        direct::grow_beside_a_write,
    ),
    ("debug kernel: mapping fails", writes::mapping_fails),
    (
        "debug kernel: zeroing without space",
        writes::zeroing_without_space,
    ),
    (
        "debug kernel: allocation with O_DSYNC",
        writes::allocation_is_synchronous,
    ),
    (
        "debug kernel: interrupted truncate",
        writes::interrupted_truncate,
    ),
    ("debug kernel: forced races", races::forced),
    ("debug kernel: lockdep watches", debug::lockdep),
    ("debug kernel: leaks", debug::leaks),
];

/// Runs one check and prints its line.
fn report(name: &str, work: impl FnOnce() -> Result<String>) -> bool {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(note) => println!(
            "ok      {seconds:7.1} s  {name}{}{note}",
            if note.is_empty() { "" } else { ": " }
        ),
        Err(e) => println!("FAILED  {seconds:7.1} s  {name}: {e:#}"),
    }
    result.is_ok()
}

/// How many checks ended how.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    fn count(&mut self, ok: bool) {
        if ok {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }
}

impl CheckArgs {
    fn chosen(&self, name: &str) -> bool {
        self.only.split(',').any(|word| name.contains(word))
    }

    /// Those of `checks` that are asked for, with what they need; `None` where none is.
    fn lane<'a, C: Copy>(
        &self,
        cache: &'a Cache,
        on: On,
        checks: &[(&'static str, C)],
    ) -> Result<Option<Lane<'a, C>>> {
        let chosen = checks.iter().filter(|(name, _)| self.chosen(name));
        let left: VecDeque<_> = chosen.copied().collect();
        if left.is_empty() {
            return Ok(None);
        }
        let lab = self.lab(cache, on)?;
        let left = Mutex::new(left);
        Ok(Some(Lane { lab, left }))
    }

    /// What all checks on one kernel share.
    fn lab<'a>(&self, cache: &'a Cache, on: On) -> Result<Lab<'a>> {
        let parts = Parts::prepare(cache, on)?;
        println!(
            "checking {} on {}, SEED={}",
            self.fs, parts.kernel.release, self.seed
        );
        Ok(Lab {
            cache,
            parts,
            fs: self.fs.clone(),
            seed: self.seed,
            case: self.case.clone(),
        })
    }

    /// As [`Self::lab`], with the module.
    fn lab_with_module<'a>(&self, cache: &'a Cache, on: On) -> Result<Lab<'a>> {
        self.lab(cache, on)?.with_module()
    }
}

impl Lab<'_> {
    /// With the module built where it is what is checked.
    fn with_module(mut self) -> Result<Self> {
        self.parts = self.parts.with_module_for(self.cache, &self.fs)?;
        Ok(self)
    }
}

/// `make check`, in two lanes: most checks keep one CPU busy.
pub fn run(cache: &Cache, args: &CheckArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let mut guest_checks = Vec::new();
    if args.fs == "ext4rs" {
        guest_checks.extend(OWN);
    }
    guest_checks.extend(GUEST);
    if args.fs == "ext4rs" && Variant::wanted(args.on) == Variant::Debug {
        guest_checks.extend(RACES);
    }
    if args.on == On::Debug {
        guest_checks.extend(DEBUG);
        guest_checks.extend(DEBUG_PANICS);
    }
    guest_checks.extend(PANICS);
    let source = if args.on == On::Debug { &[] } else { SOURCE };
    let short = match args.on {
        On::Qemu if args.fs == "ext4rs" => SHORT,
        _ => &[],
    };
    // Kernels are built before that: a guest's time is measured, and it starves beside a compiler.
    let guests = args.lane(cache, args.on, &guest_checks)?;
    let source = args.lane(cache, args.on, source)?;
    let debug = args.lane(cache, On::Debug, short)?;
    let mut alone = ALONE.to_vec();
    if args.on == On::Qemu {
        alone.extend(STOCK);
    }
    let alone = args.lane(cache, args.on, &alone)?;
    let tally = thread::scope(|scope| -> Result<Tally> {
        let beside = || {
            let tally = on_machine(source.as_ref()).add(in_guests(debug.as_ref()));
            tally.add(in_guests(alone.as_ref()))
        };
        let beside = scope.spawn(beside);
        let tally = in_guests(guests.as_ref()).add(in_guests(alone.as_ref()));
        match beside.join() {
            Ok(others) => Ok(tally.add(others)),
            Err(_) => bail!("the lane of the host's checks panicked"),
        }
    })?;
    finish(&tally, start, args)
}

#[derive(Args)]
pub struct HostileArgs {
    #[command(flatten)]
    check: CheckArgs,
    /// Damaged images, with those that are drawn by chance
    #[arg(long, env = "ROUNDS", default_value_t = 3000)]
    rounds: usize,
}

/// `make check-hostile`: in the debug kernel, or where `ON` says.
pub fn hostile(cache: &Cache, args: &HostileArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let on = match args.check.on {
        On::Qemu => On::Debug,
        on => on,
    };
    let lab = args.check.lab_with_module(cache, on)?;
    tally.count(report("hostile images", || {
        hostile::many_images(&lab, args.rounds)
    }));
    finish(&tally, start, &args.check)
}

#[derive(Args)]
pub struct LoadArgs {
    #[command(flatten)]
    check: CheckArgs,
    /// Seconds of load
    #[arg(long, env = "DURATION", default_value_t = 1800)]
    duration: u64,
}

/// `make check-load`.
pub fn load(cache: &Cache, args: &LoadArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let lab = args.check.lab_with_module(cache, On::Debug)?;
    let mut session = Session::new(&lab);
    let work = |lab: &Lab<'_>, s: &mut Session| load::load(lab, s, args.duration);
    tally.count(report("load", || {
        in_session(&lab, &mut session, "load", work)
    }));
    finish(&tally, start, &args.check)
}

#[derive(Args)]
pub struct CrashArgs {
    #[command(flatten)]
    check: CheckArgs,
    /// Crash states; a few hundred are a sample, of short workloads
    #[arg(long, env = "ROUNDS", default_value_t = 6000)]
    rounds: usize,
}

/// `make check-crash`: recorded on the stock kernel; judged on the fast one, or where `ON` says.
pub fn crash(cache: &Cache, args: &CrashArgs) -> Result<ExitCode> {
    let extent = states::Extent::of(args.rounds);
    let args = &args.check;
    let start = Instant::now();
    let mut tally = Tally::default();
    let on = match args.on {
        On::Qemu => On::Uml,
        on => on,
    };
    let recorder = args.lab_with_module(cache, On::Qemu)?;
    let judge = args.lab_with_module(cache, on)?;
    tally.count(report("crash states", || {
        states::crash_states(&recorder, &judge, &extent)
    }));
    finish(&tally, start, args)
}

fn finish(tally: &Tally, start: Instant, args: &CheckArgs) -> Result<ExitCode> {
    let Tally { passed, failed } = tally;
    if passed + failed == 0 {
        bail!("no check matches ONLY={}", args.only);
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    Ok(if *failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks that are asked for, and what they need. Several threads may take from it.
struct Lane<'a, C> {
    lab: Lab<'a>,
    left: Mutex<VecDeque<(&'static str, C)>>,
}

impl<C> Lane<'_, C> {
    fn left(&self) -> MutexGuard<'_, VecDeque<(&'static str, C)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs checks on the machine itself.
fn on_machine(lane: Option<&Lane<'_, HostFn>>) -> Tally {
    let mut tally = Tally::default();
    let Some(lane) = lane else { return tally };
    let next = || lane.left().pop_front();
    while let Some((name, check)) = next() {
        tally.count(report(name, || check(&lane.lab)));
    }
    tally
}

/// Runs checks in guests on one kernel, in a session of its own.
fn in_guests(lane: Option<&Lane<'_, GuestFn>>) -> Tally {
    let mut tally = Tally::default();
    let Some(lane) = lane.filter(|lane| !lane.left().is_empty()) else {
        return tally;
    };
    let lab = &match lane.lab.clone().with_module() {
        Ok(lab) => lab,
        Err(e) => {
            println!("FAILED: no guest check can run: {e:#}");
            lane.left().clear();
            tally.count(false);
            return tally;
        }
    };
    let mut session = Session::new(lab);
    let next = || lane.left().pop_front();
    while let Some((name, check)) = next() {
        tally.count(report(name, || in_session(lab, &mut session, name, check)));
    }
    tally
}

/// Runs a check in the session's guest; a failure or a word in the kernel log
/// that was not expected costs the guest its life, and the next check gets a
/// new one.
fn in_session(
    lab: &Lab<'_>,
    session: &mut Session,
    name: &str,
    check: impl FnOnce(&Lab<'_>, &mut Session) -> Result<String>,
) -> Result<String> {
    session.begin(lab, name);
    let result = check(lab, session);
    let log = session.end();
    let expected: Vec<&str> = session.expected.iter().map(String::as_str).collect();
    let trouble = klog::trouble(&log, &expected);
    let kept = session.keep_log().to_owned();
    if result.is_err() || !trouble.is_empty() {
        session.discard();
    }
    if let (Ok(_), Some(line)) = (&result, trouble.first()) {
        bail!(
            "the kernel log has {} lines it must not have, such as `{line}` ({})",
            trouble.len(),
            kept.display()
        );
    }
    result.map_err(|e| match trouble.first() {
        Some(line) => e.context(format!("kernel log: `{line}` ({})", kept.display())),
        None => e.context(format!("kernel log: {}", kept.display())),
    })
}
