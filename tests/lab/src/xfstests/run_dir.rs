// SPDX-License-Identifier: GPL-2.0

//! Where runs are kept: a directory each below the cache's `xfstests-runs`,
//! named by the time it began. A run that was cut off is gone on with when the
//! same is asked for again.

use super::record::{Results, FILE};
use crate::cache::{output_of, try_lock, Cache};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// What a run is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub fs: String,
    pub kernel: String,
    pub configs: Vec<String>,
    /// The group or the tests.
    pub selection: String,
    pub xfstests: String,
    /// What the configurations' files say. Earlier runs have not noted this and what follows.
    #[serde(default)]
    pub config_texts: Vec<String>,
    /// Seconds for one test.
    #[serde(default)]
    pub limit: u64,
    /// SHA-256 of the module, where there is one.
    #[serde(default)]
    pub module: Option<String>,
}

const META: &str = "run.json";
/// There when all tests were run.
const FINISHED: &str = "finished";

pub struct RunDir {
    pub path: PathBuf,
    /// No other command runs tests for it, or takes its disks away.
    _lock: File,
}

impl RunDir {
    /// The newest run of this that is not finished, or a new one.
    pub fn open(cache: &Cache, meta: &Meta, fresh: bool) -> Result<Self> {
        for path in all(cache)?.into_iter().rev() {
            let same = read_meta(&path).is_ok_and(|m| m == *meta);
            if same && !fresh && !path.join(FINISHED).exists() {
                return Self::locked(path);
            }
        }
        let now = output_of(Command::new("date").arg("+%Y-%m-%d-%H%M%S"))?;
        let name = format!("{}-{}", now.trim(), meta.fs);
        let path = cache.path("xfstests-runs").join(name);
        fs::create_dir_all(&path)?;
        let dir = Self::locked(path)?;
        fs::write(dir.path.join(META), serde_json::to_vec_pretty(meta)?)?;
        Ok(dir)
    }

    fn locked(path: PathBuf) -> Result<Self> {
        let lock = try_lock(&path)?.with_context(|| {
            format!(
                "another command is at this run, {}: wait for it, or begin a new one with FRESH=1",
                path.display()
            )
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// What is known already.
    pub fn results(&self) -> Result<Results> {
        match self.path.join(FILE).exists() {
            true => Results::load(&self.path),
            false => Ok(Results::default()),
        }
    }

    pub fn finish(&self) -> Result<()> {
        Ok(fs::write(self.path.join(FINISHED), "")?)
    }
}

/// The newest run of a file system type that has results.
pub fn newest(cache: &Cache, fs: &str) -> Result<Option<PathBuf>> {
    let of_fs = |p: &PathBuf| read_meta(p).is_ok_and(|m| m.fs == fs) && p.join(FILE).exists();
    Ok(all(cache)?.into_iter().rev().find(of_fs))
}

/// All runs, oldest first.
fn all(cache: &Cache) -> Result<Vec<PathBuf>> {
    let dir = cache.path("xfstests-runs");
    fs::create_dir_all(&dir)?;
    let mut runs = Vec::new();
    for entry in fs::read_dir(dir)? {
        runs.push(entry?.path());
    }
    runs.sort();
    Ok(runs)
}

fn read_meta(run: &std::path::Path) -> Result<Meta> {
    let text = fs::read(run.join(META)).with_context(|| run.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::Meta;

    #[test]
    fn earlier_runs_can_be_read() {
        let meta = r#"{"fs": "ext4", "kernel": "7", "configs": ["4k"], "selection": "-g quick",
            "xfstests": "/x"}"#;
        let meta: Meta = serde_json::from_str(meta).unwrap();
        assert_eq!((meta.fs.as_str(), meta.module), ("ext4", None));
    }
}
