// SPDX-License-Identifier: GPL-2.0

//! `make check`: every check, one after the other, each with its verdict.
//! A failed check does not stop the others.

mod crash;
mod errors;
mod files;
mod hostile;
mod pjdfstest;
mod races;
mod session;
mod source;
mod stand_in;

use crate::cache::Cache;
use crate::kernel::On;
use crate::klog;
use crate::machine::Parts;
use crate::module::{self, Variant};
use anyhow::{bail, Result};
use clap::Args;
pub use session::e2fsck;
use session::Session;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Args)]
pub struct CheckArgs {
    /// Run only the checks whose name contains one of these words
    /// (separated by commas)
    #[arg(long, env = "ONLY", default_value = "")]
    only: String,
    /// Seed of everything that is drawn by chance; printed, so that a failed
    /// run can be repeated
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
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

/// What the checks share.
pub struct Lab<'a> {
    pub cache: &'a Cache,
    /// Without a module until the guest checks, and when C ext4 is checked.
    pub parts: Parts,
    pub fs: String,
    pub seed: u64,
    pub case: Option<String>,
}

type Check = (&'static str, fn(&mut Lab<'_>) -> Result<String>);
type GuestCheck = (&'static str, fn(&Lab<'_>, &mut Session) -> Result<String>);

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
    ("stand-in for C ext4", stand_in::stand_in),
    ("operations", files::operations),
    ("operations on C ext4", files::operations_on_ext4),
    ("full disk", files::full_disk),
    ("fio with verify", files::fio),
    ("fsx", files::fsx),
    ("pjdfstest", pjdfstest::pjdfstest),
    ("tree from C ext4 and back", files::round_trip),
    ("errors=continue", errors::goes_on),
    ("errors=remount-ro", errors::remount_ro),
    ("errors=panic", errors::panic),
    ("hostile images", hostile::images),
    ("power cuts", crash::power_cuts),
    ("grown files after a power cut", crash::grown_files),
];

/// In guests, with a debug build of the module only.
const DEBUG: &[GuestCheck] = &[("forced races", races::forced)];

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

pub fn run(cache: &Cache, args: &CheckArgs) -> Result<ExitCode> {
    let parts = Parts::prepare(cache, args.on)?;
    let seed = match args.seed {
        Some(s) => s,
        None => std::time::UNIX_EPOCH.elapsed()?.as_secs(),
    };
    let start = Instant::now();
    println!(
        "checking {} on {}, SEED={seed}",
        args.fs, parts.kernel.release
    );
    let mut lab = Lab {
        cache,
        parts,
        fs: args.fs.clone(),
        seed,
        case: args.case.clone(),
    };
    let chosen = |name: &str| args.only.split(',').any(|word| name.contains(word));
    let (mut passed, mut failed) = (0, 0);
    let mut count = |ok: bool| if ok { passed += 1 } else { failed += 1 };

    for (name, check) in SOURCE.iter().filter(|(n, _)| chosen(n)) {
        count(report(name, || check(&mut lab)));
    }
    let variant = Variant::wanted(&lab.parts.kernel);
    let mut guest_checks = GUEST.to_vec();
    if lab.fs == "ext4rs" && variant == Variant::Debug {
        guest_checks.extend(DEBUG);
    }
    guest_checks.retain(|(name, _)| chosen(name));
    if lab.fs == "ext4rs" && !guest_checks.is_empty() {
        match module::build(cache, &lab.parts.kernel, variant) {
            Ok(path) => lab.parts.module = Some(path),
            Err(e) => {
                println!("FAILED: no guest check can run: {e:#}");
                count(false);
            }
        }
    }
    if lab.fs != "ext4rs" || lab.parts.module.is_some() {
        let mut session = Session::new(cache);
        for (name, check) in guest_checks {
            count(report(name, || in_session(&lab, &mut session, check)));
        }
    }
    if passed + failed == 0 {
        bail!("no check matches ONLY={}", args.only);
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a check in the session's guest; a failure or a word in the kernel log
/// that was not expected costs the guest its life, and the next check gets a
/// new one.
fn in_session(
    lab: &Lab<'_>,
    session: &mut Session,
    check: fn(&Lab<'_>, &mut Session) -> Result<String>,
) -> Result<String> {
    session.begin();
    let result = check(lab, session);
    let log = session.log_since_begin();
    let expected: Vec<&str> = session.expected.iter().map(String::as_str).collect();
    let trouble = klog::trouble(&log, &expected);
    let kept = session.keep_log();
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
