// SPDX-License-Identifier: GPL-2.0

//! Damaged images: each is refused or survived, and what must be noticed is.

use super::session::{boot, with_names, Session, LIMIT};
use super::Lab;
use crate::damage;
use crate::klog;
use crate::machine::{Disk, Guest};
use anyhow::{bail, ensure, Context, Result};
use guest::{Case, Event, Outcome};
use rustix::io::Errno;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that one image may take.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What a mount may be refused with.
const REFUSALS: &[Errno] = &[
    Errno::INVAL,
    Errno::UCLEAN,
    Errno::BADMSG,
    Errno::IO,
    Errno::ROFS,
    Errno::FBIG,
    Errno::OPNOTSUPP,
];

/// What a call may fail with on a damaged file system. Anything else, such as
/// EFAULT, ENOMEM or EBUSY, is a defect.
const FAILURES: &[Errno] = &[
    Errno::UCLEAN,
    Errno::BADMSG,
    Errno::IO,
    Errno::INVAL,
    Errno::ROFS,
    Errno::NOSPC,
    Errno::NOENT,
    Errno::EXIST,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::NOTEMPTY,
    Errno::LOOP,
    Errno::NAMETOOLONG,
    Errno::MLINK,
    Errno::PERM,
    Errno::ACCESS,
    Errno::FBIG,
    Errno::NXIO,
    Errno::OVERFLOW,
    Errno::STALE,
    Errno::OPNOTSUPP,
    Errno::SHUTDOWN,
    Errno::NODEV,
    Errno::TXTBSY,
];

fn is_one_of(error: i32, list: &[Errno]) -> bool {
    list.contains(&Errno::from_raw_os_error(error))
}

/// `make check`: a quarter of the listed cases, by the seed, and all of the named kinds.
pub fn images(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.discard();
    let quarter = |case: &Case| damage::is_kind(case) || case.number as u64 % 4 == lab.seed % 4;
    with_bases(lab, |bases| {
        let mut cases = damage::many_cases(bases, lab.seed, 0)?;
        choose(lab, &mut cases, quarter);
        Ok(cases)
    })
}

/// `make check-hostile`: all the listed cases, and so many more by the seed that there are
/// `count`.
pub fn many_images(lab: &Lab<'_>, count: usize) -> Result<String> {
    with_bases(lab, |bases| {
        let mut cases = damage::many_cases(bases, lab.seed, count)?;
        choose(lab, &mut cases, |_| true);
        Ok(cases)
    })
}

/// Keeps the cases that `CASE` asks for or, where it asks for none, those that `usual` has.
fn choose(lab: &Lab<'_>, cases: &mut Vec<Case>, usual: impl Fn(&Case) -> bool) {
    match lab.case.as_deref() {
        Some("all") => {}
        Some(only) => cases.retain(|c| c.name.contains(only) || c.number.to_string() == only),
        None => cases.retain(|c| usual(c)),
    }
}

fn with_bases(
    lab: &Lab<'_>,
    cases: impl FnOnce(&[PathBuf]) -> Result<Vec<Case>>,
) -> Result<String> {
    let dir = lab
        .cache
        .path("run")
        .join(format!("hostile-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let bases = damage::make_bases(&dir)?;
    let cases = cases(&bases)?;
    ensure!(!cases.is_empty(), "no such case");
    let start_time = Instant::now();
    let list = dir.join("cases");
    write_list(&list, &cases)?;

    let mut run = Run::default();
    let mut next = 0;
    while next < cases.len() {
        let mut guest = start(lab, &list, &bases)?;
        run.boots += 1;
        next = run.some(lab, &mut guest, &cases, next)?;
    }
    let report = lab.cache.path("log").join("hostile.log");
    fs::write(&report, run.lines.join("\n"))?;
    if !run.bad.is_empty() {
        let shown: Vec<&str> = run.bad.iter().take(6).map(String::as_str).collect();
        bail!(
            "{} of {} images: {} (all: {})",
            run.bad.len(),
            cases.len(),
            shown.join("; "),
            report.display()
        );
    }
    let _ = fs::remove_dir_all(&dir);
    let kinds = cases.iter().filter(|c| damage::is_kind(c)).count();
    Ok(format!(
        "{} images in {:.0} s, {kinds} of them of the named kinds: {} refused, {} noticed while mounted, {} harmless; {} boots",
        cases.len(),
        start_time.elapsed().as_secs_f64(),
        run.refused,
        run.noticed,
        run.harmless,
        run.boots
    ))
}

fn name(error: i32) -> String {
    std::io::Error::from_raw_os_error(error).to_string()
}

fn write_list(path: &Path, cases: &[Case]) -> Result<()> {
    let mut out = fs::File::create(path)?;
    for case in cases {
        writeln!(out, "{}", serde_json::to_string(case)?)?;
    }
    let len = out.metadata()?.len();
    Ok(out.set_len(len.next_multiple_of(4096))?)
}

fn start(lab: &Lab<'_>, list: &Path, bases: &[PathBuf]) -> Result<Guest> {
    let mut disks = vec![Disk::read_only(list)];
    disks.extend(bases.iter().map(Disk::read_only));
    let mut guest = boot(lab, disks)?;
    guest.sh("modprobe loop", LIMIT)?;
    Ok(guest)
}

#[derive(Default)]
struct Run {
    refused: usize,
    noticed: usize,
    harmless: usize,
    boots: usize,
    bad: Vec<String>,
    /// A line for each image.
    lines: Vec<String>,
}

impl Run {
    /// Runs cases from index `from` on until all are done or the guest is
    /// lost; returns the index to go on with.
    fn some(
        &mut self,
        lab: &Lab<'_>,
        guest: &mut Guest,
        cases: &[Case],
        from: usize,
    ) -> Result<usize> {
        let mut mark = guest.log_len();
        guest.start(
            &with_names(
                lab,
                &format!(
                    "guest hostile $FS $DEV {from} $DEV2 /dev/{}",
                    lab.parts.disk(2)
                ),
            ),
            Duration::from_secs(4 * 3600),
        )?;
        let mut index = from;
        let mut text = String::new();
        let mut deadline = Instant::now() + CASE_LIMIT;
        loop {
            let lost = match guest.try_event(deadline) {
                Ok(Some(Event::Output(piece))) => {
                    text.push_str(&piece);
                    None
                }
                Ok(Some(Event::Exit(0))) => return Ok(cases.len()),
                Ok(Some(other)) => Some(format!("the program stopped: {other:?} {}", text.trim())),
                Ok(None) => Some("hung".to_owned()),
                Err(_) => Some("the kernel died".to_owned()),
            };
            if let Some(why) = lost {
                let case = cases
                    .get(index)
                    .context("the guest was lost between cases")?;
                guest.kill();
                let log = self.keep(lab, guest, mark, case)?;
                self.fail(case, &format!("{why} ({log})"));
                return Ok(index + 1);
            }
            while let Some((line, rest)) = text.split_once('\n') {
                if let Some(outcome) = line.strip_prefix("end ") {
                    let case = cases.get(index).context("more outcomes than cases")?;
                    let (log, end) = guest.log_since(mark)?;
                    let clean = self.judge(case, &serde_json::from_str(outcome)?, &log);
                    if !clean {
                        // a kernel that has tripped once is no witness
                        let log = self.keep(lab, guest, mark, case)?;
                        self.lines.push(log);
                        return Ok(index + 1);
                    }
                    mark = end;
                    index += 1;
                    deadline = Instant::now() + CASE_LIMIT;
                }
                text = rest.to_owned();
            }
        }
    }

    fn fail(&mut self, case: &Case, why: &str) {
        self.bad
            .push(format!("#{} {}: {why}", case.number, case.name));
        self.lines
            .push(format!("#{} {}: BAD: {why}", case.number, case.name));
    }

    fn keep(&self, lab: &Lab<'_>, guest: &Guest, mark: u64, case: &Case) -> Result<String> {
        let path = lab
            .cache
            .path("log")
            .join(format!("hostile-{}.kernel.log", case.number));
        fs::write(&path, guest.log_from(mark)?)?;
        Ok(path.display().to_string())
    }

    /// Counts the outcome; false when the kernel log shows a defect.
    fn judge(&mut self, case: &Case, outcome: &Outcome, log: &str) -> bool {
        let defect = log.lines().find(|l| klog::is_trouble(l));
        let complaint = log.lines().find(|l| klog::is_complaint(l));
        let odd = outcome.errors.iter().find(|e| !is_one_of(**e, FAILURES));
        let damage = &[Errno::UCLEAN, Errno::BADMSG];
        let noticed = complaint.is_some() || outcome.errors.iter().any(|e| is_one_of(*e, damage));
        match (&outcome.mount, &outcome.unmount, odd) {
            _ if defect.is_some() => self.fail(case, defect.unwrap_or_default()),
            (Some(e), ..) if !is_one_of(*e, REFUSALS) => {
                self.fail(case, &format!("refused with {}", name(*e)))
            }
            (_, Some(e), _) => self.fail(case, &format!("cannot be unmounted: {}", name(*e))),
            (_, _, Some(e)) => self.fail(case, &format!("a call failed with {}", name(*e))),
            (None, None, None) if case.must_notice && !noticed => self.fail(case, "not noticed"),
            (Some(e), ..) => {
                self.refused += 1;
                self.lines.push(format!(
                    "#{} {}: refused, {}",
                    case.number,
                    case.name,
                    name(*e)
                ));
            }
            _ if noticed => {
                self.noticed += 1;
                self.lines.push(format!(
                    "#{} {}: {}",
                    case.number,
                    case.name,
                    complaint.unwrap_or("noticed")
                ));
            }
            _ => {
                self.harmless += 1;
                self.lines.push(format!(
                    "#{} {}: harmless {:?}",
                    case.number, case.name, outcome.errors
                ));
            }
        }
        defect.is_none()
    }
}
