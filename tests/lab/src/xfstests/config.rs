// SPDX-License-Identifier: GPL-2.0

//! A configuration: how the file systems under test are made and mounted, and
//! what is not run on them. One file each, tests/xfstests/NAME.toml.

use crate::cache::Cache;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(skip)]
    pub name: String,
    /// The whole file.
    #[serde(skip)]
    pub text: String,
    /// Bytes of a block.
    pub block: u32,
    /// More options for mke2fs.
    #[serde(default)]
    pub mkfs: String,
    /// Options for mount.
    #[serde(default)]
    pub mount: String,
    /// Test to reason: what is not run.
    #[serde(default)]
    pub exclude: BTreeMap<String, String>,
}

impl Config {
    pub fn load(cache: &Cache, name: &str) -> Result<Self> {
        let path = cache.repo.join(format!("tests/xfstests/{name}.toml"));
        let text = fs::read_to_string(&path)
            .with_context(|| format!("there is no configuration {name}: {}", path.display()))?;
        let config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self {
            name: name.to_owned(),
            text,
            ..config
        })
    }
}

impl Config {
    /// The options of the program that makes file systems of type `fs`.
    pub fn mkfs_options(&self, fs: &str) -> String {
        match fs {
            "xfs" => format!("-b size={}", self.block),
            _ => format!("-b {} {}", self.block, self.mkfs),
        }
    }
}

/// Test to cause: why ext4rs is known to do worse than C ext4
/// (tests/xfstests/causes.toml).
pub fn causes(cache: &Cache) -> Result<BTreeMap<String, String>> {
    let path = cache.repo.join("tests/xfstests/causes.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}
