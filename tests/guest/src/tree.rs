// SPDX-License-Identifier: GPL-2.0

//! A tree of files as text, to compare it between drivers and with its source.

use anyhow::{bail, Context, Result};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// SHA-256 of what a reader gives, in hex.
pub fn digest(mut from: impl Read) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(buffer.get(..n).context("a read longer than its buffer")?);
    }
    let sum = hash.finalize();
    Ok(sum
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}")))
}

/// Every path below `top`, parents first, sorted.
fn walk(top: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

/// The extended attributes, each with the digest of its value. A file system
/// without any has none.
fn attributes(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut list = vec![0; 65536];
    let len = match rustix::fs::llistxattr(path, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => return Ok(all),
        result => result.with_context(|| path.display().to_string())?,
    };
    list.truncate(len);
    for name in String::from_utf8(list)?.split_terminator('\0') {
        let mut value = vec![0; 65536];
        let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice())
            .with_context(|| format!("{name} of {}", path.display()))?;
        value.truncate(len);
        all.insert(name.to_owned(), digest(value.as_slice())?);
    }
    Ok(all)
}

/// Prints a line for each file with all that must survive a remount.
pub fn snapshot(top: &Path) -> Result<()> {
    for path in walk(top)? {
        let m = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        let content = if m.is_file() && m.len() < 1 << 30 {
            digest(File::open(&path)?)?
        } else if m.is_symlink() {
            fs::read_link(&path)?.display().to_string()
        } else {
            String::new()
        };
        println!(
            "{:?} {:o} {}:{} links={} size={} sectors={} rdev={} mtime={}.{:09} ctime={}.{:09} {:?} {content}",
            path.strip_prefix(top)?,
            m.mode(),
            m.uid(),
            m.gid(),
            m.nlink(),
            m.size(),
            m.blocks(),
            m.rdev(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec(),
            attributes(&path)?,
        );
    }
    Ok(())
}

/// Compares the tree with a list in the format of sha256sum, less the paths
/// under one of `without`. The tree must hold these files and no others.
pub fn compare(top: &Path, list: &Path, without: &[PathBuf]) -> Result<()> {
    let mut expected = BTreeMap::new();
    for line in std::io::BufReader::new(File::open(list)?).lines() {
        let line = line?;
        let (sum, name) = line.split_once("  ").context("not a line of sha256sum")?;
        if !without.iter().any(|w| Path::new(name).starts_with(w)) {
            expected.insert(PathBuf::from(name), sum.to_owned());
        }
    }
    let mut bytes = 0;
    let mut wrong = Vec::new();
    let count = expected.len();
    for path in walk(top)? {
        let m = fs::symlink_metadata(&path)?;
        if !m.is_file() {
            continue;
        }
        let name = path.strip_prefix(top)?.to_owned();
        bytes += m.len();
        let found = digest(File::open(&path)?).with_context(|| path.display().to_string())?;
        match expected.remove(&name) {
            None => wrong.push(format!("{} should not be there", name.display())),
            Some(sum) if sum != found => {
                wrong.push(format!("{} has other content", name.display()))
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        expected
            .keys()
            .map(|n| format!("{} is missing", n.display())),
    );
    if !wrong.is_empty() {
        for line in wrong.iter().take(10) {
            println!("{line}");
        }
        bail!("{} of {count} files differ from the source", wrong.len());
    }
    println!("{count} files, {bytes} bytes, all as in the source");
    Ok(())
}
