// SPDX-License-Identifier: GPL-2.0

//! `make mutants`: what the tests are worth. Each mutant of tests/mutants.toml
//! is the data path with one protective step removed; the model and the forced
//! races that it names must notice.

use crate::cache::{output_of, Cache, Clock};
use crate::kernel::On;
use crate::machine::{Disk, End, Parts};
use crate::module::{self, Variant};
use crate::{check, klog, shell};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Time for one forced race, hangs included.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct MutantArgs {
    /// Only the mutants whose name contains one of these words (separated by
    /// commas)
    #[arg(long, env = "ONLY", default_value = "")]
    only: String,
    /// Where the forced races run
    #[arg(long, env = "ON", default_value = "uml")]
    on: On,
}

#[derive(Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// One protective step, and who misses it.
#[derive(Deserialize)]
struct Mutant {
    name: String,
    /// The file to edit.
    file: String,
    /// Occurs there exactly once...
    find: String,
    /// ...and becomes this.
    replace: String,
    /// More of the same kind, where a step has two parts.
    #[serde(default)]
    also: Vec<Edit>,
    /// A test of the `rooms` crate, as `binary::test`.
    model: Option<String>,
    /// Forced races (`guest race`), by name.
    #[serde(default)]
    races: Vec<String>,
    /// Other programs of the guest that must notice, by name.
    #[serde(default)]
    programs: Vec<String>,
    /// Needs large folios, which only the stock kernel has.
    #[serde(default)]
    large_folios: bool,
}

/// An edit beside the mutant's own.
#[derive(Deserialize)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

/// The mutants of the repository at `repo`.
fn read(repo: &Path) -> Result<Vec<Mutant>> {
    let list = fs::read_to_string(repo.join("tests/mutants.toml"))?;
    let list: List = toml::from_str(&list).context("tests/mutants.toml")?;
    Ok(list.mutant)
}

/// The text of `file` with `find`, which occurs there once, as `replace`.
fn edited(repo: &Path, file: &str, find: &str, replace: &str) -> Result<String> {
    let text = fs::read_to_string(repo.join(file)).with_context(|| file.to_owned())?;
    let found = text.matches(find).count();
    ensure!(
        found == 1,
        "the text `{find}` occurs {found} times in {file}"
    );
    Ok(text.replacen(find, replace, 1))
}

impl Mutant {
    /// Removes the protective step from the source at `repo`.
    fn apply(&self, repo: &Path) -> Result<()> {
        for (file, text) in self.texts(repo)? {
            fs::write(repo.join(file), text)?;
        }
        Ok(())
    }

    /// The files that change, and what they become.
    fn texts(&self, repo: &Path) -> Result<Vec<(&str, String)>> {
        let own = (&self.file, &self.find, &self.replace);
        let also = self.also.iter().map(|e| (&e.file, &e.find, &e.replace));
        std::iter::once(own)
            .chain(also)
            .map(|(file, find, replace)| {
                let text = edited(repo, file, find, replace);
                Ok((file.as_str(), text.with_context(|| self.name.clone())?))
            })
            .collect()
    }

    /// Binary and name of the model's test.
    fn model(&self) -> Result<Option<(&str, &str)>> {
        let Some(model) = &self.model else {
            ensure!(self.needs_guest(), "mutant `{}` names no test", self.name);
            return Ok(None);
        };
        let parts = model.split_once("::");
        parts
            .with_context(|| format!("`{model}` is not of the form binary::test"))
            .map(Some)
    }

    fn needs_guest(&self) -> bool {
        !self.races.is_empty() || !self.programs.is_empty()
    }
}

/// Who was asked about a mutant, and what came of it.
struct Row {
    mutant: String,
    test: String,
    noticed: bool,
    seconds: u64,
}

/// Asks one test; keeps what it says.
fn ask(
    rows: &mut Vec<Row>,
    mutant: &Mutant,
    test: &str,
    notices: impl FnOnce() -> Result<bool>,
) -> Result<()> {
    let clock = Clock::start(&format!("{}: {test}", mutant.name));
    let start = Instant::now();
    let noticed = notices()?;
    clock.done_with(verdict(noticed));
    rows.push(Row {
        mutant: mutant.name.clone(),
        test: test.to_owned(),
        noticed,
        seconds: start.elapsed().as_secs(),
    });
    Ok(())
}

pub fn run(cache: &Cache, args: &MutantArgs) -> Result<ExitCode> {
    let list = read(&cache.repo)?;
    let copy = cache.with_repo(cache.path("mutant"));
    let mut prepared: Vec<Healthy> = Vec::new();
    let mut rows = Vec::new();
    let chosen = |m: &&Mutant| args.only.split(',').any(|word| m.name.contains(word));
    for mutant in list.iter().filter(chosen) {
        copy_source(cache, &copy.repo)?;
        mutant.apply(&copy.repo)?;
        if let Some((binary, test)) = mutant.model()? {
            ask(&mut rows, mutant, &format!("model {test}"), || {
                model_notices(&copy, binary, test)
            })?;
        }
        if !mutant.needs_guest() {
            continue;
        }
        let on = if mutant.large_folios {
            On::Qemu
        } else {
            args.on
        };
        let at = match prepared.iter().position(|h| h.parts.kernel.on == on) {
            Some(at) => at,
            None => {
                prepared.push(Healthy::prepare(cache, on)?);
                prepared.len() - 1
            }
        };
        let healthy = &mut prepared[at];
        let mut parts = healthy.parts.clone();
        parts.module = Some(module::build(&copy, &parts.kernel, Variant::Mutant)?);
        for race in &mutant.races {
            let command = format!("guest race /mnt {} {race}", parts.disk(0));
            healthy.passes(cache, &command)?;
            ask(&mut rows, mutant, &format!("race {race}"), || {
                guest_notices(cache, &parts, &command)
            })?;
        }
        for program in &mutant.programs {
            let command = format!("guest {program} /mnt");
            healthy.passes(cache, &command)?;
            ask(&mut rows, mutant, &format!("`{command}`"), || {
                guest_notices(cache, &parts, &command)
            })?;
        }
    }
    ensure!(!rows.is_empty(), "no mutant matches ONLY={}", args.only);
    println!("| mutant | test | | seconds |\n|---|---|---|---|");
    for row in &rows {
        let Row {
            mutant,
            test,
            noticed,
            seconds,
        } = row;
        println!("| {mutant} | {test} | {} | {seconds} |", verdict(*noticed));
    }
    // In the words of a test run: a mutant that lives is a failure.
    let missed = rows.iter().filter(|row| !row.noticed).count();
    println!("{} passed, {missed} failed", rows.len() - missed);
    Ok(ExitCode::from(u8::from(missed > 0)))
}

fn verdict(noticed: bool) -> &'static str {
    if noticed {
        "noticed"
    } else {
        "MISSED"
    }
}

/// What the module and the host tests are built from.
fn copy_source(cache: &Cache, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    output_of(
        Command::new("rsync")
            .args(["-a", "--delete", "--checksum", "--exclude=.git"])
            .arg(format!("{}/", cache.repo.display()))
            .arg(to),
    )?;
    Ok(())
}

/// Whether the test fails. A mutant that does not build proves nothing.
fn model_notices(copy: &Cache, binary: &str, test: &str) -> Result<bool> {
    let cargo = |rest: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(copy.repo.join("tests"))
            // Cargo tells workspaces apart by their shape, not by their place: in a directory
            // shared with the real one, each would take the other's objects for its own.
            .env("CARGO_TARGET_DIR", copy.path("target/mutant"))
            .args([
                "test", "--quiet", "--locked", "-p", "rooms", "--test", binary,
            ])
            .args(rest);
        cargo
    };
    output_of(&mut cargo(&["--no-run"])).context("the mutant's host tests do not build")?;
    let tested = cargo(&[test]).output()?;
    let text = String::from_utf8_lossy(&tested.stdout);
    ensure!(
        !text.contains("running 0 tests"),
        "there is no test {test} in {binary}"
    );
    Ok(!tested.status.success())
}

/// A kernel with the module as it is, and what was seen to pass there: a command that fails anyway
/// notices nothing.
struct Healthy {
    parts: Parts,
    passed: Vec<String>,
}

impl Healthy {
    fn prepare(cache: &Cache, on: On) -> Result<Self> {
        let mut parts = Parts::prepare(cache, on)?;
        parts.module = Some(module::build(cache, &parts.kernel, Variant::Debug)?);
        let passed = Vec::new();
        Ok(Self { parts, passed })
    }

    fn passes(&mut self, cache: &Cache, command: &str) -> Result<()> {
        if !self.passed.iter().any(|c| c == command) {
            let upset = guest_notices(cache, &self.parts, command)?;
            ensure!(!upset, "`{command}` does not pass without a mutant");
            self.passed.push(command.to_owned());
        }
        Ok(())
    }
}

/// Whether the command fails, hangs, or upsets the kernel or the disk.
fn guest_notices(cache: &Cache, parts: &Parts, command: &str) -> Result<bool> {
    let image = cache
        .path("run")
        .join(format!("mutant-{}.img", std::process::id()));
    shell::fresh_image(&image, "256M", "")?;
    let mut guest = parts.machine(cache, vec![Disk::new(&image)]).boot()?;
    let mark = guest.log_len();
    let disk = parts.disk(0);
    let script = format!(
        "modprobe ext4rs && mount -t ext4rs /dev/{disk} /mnt || exit 99
        {command}; r=$?
        umount /mnt || exit 1
        exit $r"
    );
    let (end, text) = guest.capture(&script, LIMIT)?;
    let upset = guest.log_from(mark)?.lines().any(klog::is_trouble);
    drop(guest);
    let damaged = check::e2fsck(&image).is_err();
    fs::remove_file(&image)?;
    match end {
        End::Exit(0) => Ok(upset || damaged),
        // what the shell or the program says of a command that it does not know
        End::Exit(2 | 99 | 127) => bail!("`{command}` could not be run: {}", text.trim()),
        End::Exit(_) => Ok(true),
        End::TimedOut | End::Gone => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No mutant outlives the code that it is made from.
    #[test]
    fn every_mutant_applies() {
        let repo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let list = read(&repo).unwrap();
        assert!(!list.is_empty());
        for mutant in list {
            mutant.texts(&repo).unwrap();
            mutant.model().unwrap();
        }
    }
}
