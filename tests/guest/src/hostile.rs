// SPDX-License-Identifier: GPL-2.0

//! Mounts damaged images one by one, walks them, writes to them, unmounts.
//!
//! Nothing is judged here but the error numbers: the host reads the kernel
//! log, where each case is announced by a line of its own.

use anyhow::{ensure, Context, Result};
use guest::{Case, Outcome};
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const IMAGE: &str = "/tmp/hostile.img";
const LOOP: &str = "/dev/loop0";
const AT: &str = "/mnt";

/// Entries looked at in one image: a damaged tree may have no end.
const MOST_ENTRIES: usize = 400;
const DEEPEST: usize = 8;

/// Runs the cases on the disk `cases`, from number `from` on. `bases` are the
/// undamaged images.
pub fn run(fs_type: &str, cases: &Path, from: usize, bases: &[PathBuf]) -> Result<()> {
    let bases: Vec<Vec<u8>> = bases.iter().map(fs::read).collect::<std::io::Result<_>>()?;
    for line in BufReader::new(File::open(cases)?).lines().skip(from) {
        let line = line?;
        if !line.starts_with('{') {
            break; // the padding at the end of the disk
        }
        let case: Case = serde_json::from_str(&line)?;
        println!("begin {}", case.number);
        fs::write("/dev/kmsg", format!("<6>hostile: case {}", case.number))?;
        let base = bases.get(case.base).context("no such base image")?;
        make_image(&case, base)?;
        let outcome = one(fs_type, &case)?;
        println!("end {}", serde_json::to_string(&outcome)?);
    }
    println!("done");
    Ok(())
}

fn make_image(case: &Case, base: &[u8]) -> Result<()> {
    let file = File::create(IMAGE)?;
    for (i, chunk) in base.chunks(65_536).enumerate() {
        if chunk.iter().any(|b| *b != 0) {
            file.write_all_at(chunk, i as u64 * 65_536)?;
        }
    }
    file.set_len(base.len() as u64)?;
    for (at, bytes) in &case.patches {
        file.write_all_at(bytes, *at)?;
    }
    if let Some(len) = case.length {
        file.set_len(len)?;
    }
    Ok(())
}

fn losetup(args: &[&str]) -> Result<()> {
    let status = Command::new("losetup").args(args).status()?;
    ensure!(status.success(), "losetup {args:?}: {status}");
    Ok(())
}

fn one(fs_type: &str, case: &Case) -> Result<Outcome> {
    losetup(&[LOOP, IMAGE])?;
    let options = std::ffi::CString::new(format!("errors={}", case.answer))?;
    let mut outcome = Outcome::default();
    match mount(
        LOOP,
        AT,
        fs_type,
        MountFlags::empty(),
        Some(options.as_c_str()),
    ) {
        Err(e) => outcome.mount = Some(e.raw_os_error()),
        Ok(()) => {
            let mut errors = Errors::default();
            walk_and_write(Path::new(AT), &mut errors);
            outcome.errors = errors.0.into_iter().collect();
            if let Err(e) = unmount(AT, UnmountFlags::empty()) {
                outcome.unmount = Some(e.raw_os_error());
            }
        }
    }
    losetup(&["-d", LOOP])?;
    Ok(outcome)
}

#[derive(Default)]
struct Errors(BTreeSet<i32>);

impl Errors {
    fn note<T>(&mut self, result: std::io::Result<T>) -> Option<T> {
        result
            .map_err(|e| {
                // an error without a number is none of the kernel's: std made it
                self.0.extend(e.raw_os_error());
            })
            .ok()
    }
}

fn walk_and_write(top: &Path, errors: &mut Errors) {
    let (files, dirs) = walk(top, errors);
    let few = || files.iter().take(12);
    for path in few() {
        errors.note(fs::symlink_metadata(path));
        let opened = OpenOptions::new().append(true).open(path);
        if let Some(mut f) = errors.note(opened) {
            errors.note(f.write_all(&[0x5A; 9000]));
            errors.note(f.sync_data());
        }
    }
    for (i, dir) in dirs.iter().take(8).enumerate() {
        let made = dir.join("made");
        errors.note(fs::write(&made, vec![1; 20_000]));
        errors.note(fs::hard_link(&made, dir.join("linked")));
        errors.note(fs::rename(&made, dir.join(format!("renamed-{i}"))));
        errors.note(fs::create_dir(dir.join("subdir")));
        errors.note(fs::remove_dir(dir.join("subdir")));
    }
    rustix::fs::sync();
    for path in few() {
        if let Some(f) = errors.note(OpenOptions::new().write(true).open(path)) {
            errors.note(f.set_len(100));
        }
        errors.note(fs::remove_file(path));
    }
    rustix::fs::sync();
}

/// Looks at everything, reads the beginning and the end of each file.
fn walk(top: &Path, errors: &mut Errors) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut dirs) = (Vec::new(), vec![top.to_owned()]);
    let mut todo = vec![(top.to_owned(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = todo.pop() {
        let Some(entries) = errors.note(fs::read_dir(&dir)) else {
            continue;
        };
        for entry in entries {
            seen += 1;
            if seen > MOST_ENTRIES {
                return (files, dirs);
            }
            let Some(entry) = errors.note(entry) else {
                break;
            };
            let path = entry.path();
            let Some(m) = errors.note(fs::symlink_metadata(&path)) else {
                continue;
            };
            if m.is_dir() {
                dirs.push(path.clone());
                if depth < DEEPEST {
                    todo.push((path, depth + 1));
                }
            } else if m.is_symlink() {
                errors.note(fs::read_link(&path));
            } else if m.is_file() {
                read_some(&path, m.len(), errors);
                files.push(path);
            }
        }
    }
    (files, dirs)
}

fn read_some(path: &Path, len: u64, errors: &mut Errors) {
    if let Some(mut f) = errors.note(File::open(path)) {
        let mut start = Vec::new();
        errors.note(Read::by_ref(&mut f).take(1 << 18).read_to_end(&mut start));
        errors.note(f.read_at(&mut [0; 4096], len.saturating_sub(4096)));
    }
}
