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
use std::time::Duration;

/// Time for one forced race, hangs included.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct MutantArgs {
    /// Only the mutants whose name contains this
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
    /// A test of the `rooms` crate, as `binary::test`.
    model: Option<String>,
    /// Forced races (`guest race`), by name.
    #[serde(default)]
    races: Vec<String>,
}

/// The mutants of the repository at `repo`.
fn read(repo: &Path) -> Result<Vec<Mutant>> {
    let list = fs::read_to_string(repo.join("tests/mutants.toml"))?;
    let list: List = toml::from_str(&list).context("tests/mutants.toml")?;
    Ok(list.mutant)
}

impl Mutant {
    /// The file's text without the protective step.
    fn applied(&self, repo: &Path) -> Result<String> {
        let text = fs::read_to_string(repo.join(&self.file)).with_context(|| self.file.clone())?;
        let found = text.matches(&self.find).count();
        ensure!(
            found == 1,
            "mutant `{}`: its text occurs {found} times in {}",
            self.name,
            self.file
        );
        Ok(text.replacen(&self.find, &self.replace, 1))
    }

    /// Binary and name of the model's test.
    fn model(&self) -> Result<Option<(&str, &str)>> {
        let Some(model) = &self.model else {
            ensure!(
                !self.races.is_empty(),
                "mutant `{}` names no test",
                self.name
            );
            return Ok(None);
        };
        let parts = model.split_once("::");
        parts
            .with_context(|| format!("`{model}` is not of the form binary::test"))
            .map(Some)
    }
}

pub fn run(cache: &Cache, args: &MutantArgs) -> Result<ExitCode> {
    let list = read(&cache.repo)?;
    let mut parts = Parts::prepare(cache, args.on)?;
    let copy = cache.with_repo(cache.path("mutant"));
    let (mut caught, mut missed) = (0, 0);
    let chosen = |m: &&Mutant| m.name.contains(&args.only);
    for mutant in list.iter().filter(chosen) {
        let model = mutant.model()?;
        copy_source(cache, &copy.repo)?;
        fs::write(copy.repo.join(&mutant.file), mutant.applied(&cache.repo)?)?;
        if let Some((binary, test)) = model {
            let clock = Clock::start(&format!("{}: {test}", mutant.name));
            let noticed = model_notices(&copy, binary, test)?;
            clock.done_with(verdict(noticed));
            *if noticed { &mut caught } else { &mut missed } += 1;
        }
        if mutant.races.is_empty() {
            continue;
        }
        parts.module = Some(module::build(&copy, &parts.kernel, Variant::Mutant)?);
        for race in &mutant.races {
            let clock = Clock::start(&format!("{}: race {race}", mutant.name));
            let noticed = race_notices(cache, &parts, race)?;
            clock.done_with(verdict(noticed));
            *if noticed { &mut caught } else { &mut missed } += 1;
        }
    }
    ensure!(caught + missed > 0, "no mutant matches ONLY={}", args.only);
    // In the words of a test run: a mutant that lives is a failure.
    println!("{caught} passed, {missed} failed");
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

/// Whether the race fails, hangs, or upsets the kernel; and passes otherwise
/// (`make check` shows that).
fn race_notices(cache: &Cache, parts: &Parts, race: &str) -> Result<bool> {
    let image = cache
        .path("run")
        .join(format!("mutant-{}.img", std::process::id()));
    shell::fresh_image(&image, "256M", "")?;
    let mut guest = parts.machine(cache, vec![Disk::new(&image)]).boot()?;
    let disk = parts.disk(0);
    let script = format!(
        "modprobe ext4rs && mount -t ext4rs /dev/{disk} /mnt && guest race /mnt {disk} {race} && umount /mnt"
    );
    let (end, text) = guest.capture(&script, LIMIT)?;
    let upset = guest.log_text()?.lines().any(klog::is_trouble);
    drop(guest);
    let damaged = check::e2fsck(&image).is_err();
    fs::remove_file(&image)?;
    match end {
        End::Exit(0) => Ok(upset || damaged),
        End::Exit(_) if text.contains("races lost") => Ok(true),
        End::Exit(_) => bail!("race {race} could not be run: {}", text.trim()),
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
            mutant.applied(&repo).unwrap();
            mutant.model().unwrap();
        }
    }
}
