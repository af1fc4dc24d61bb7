// SPDX-License-Identifier: GPL-2.0

//! A directory of the host that covers the tool tree in a UML guest: what is
//! in it hides what the tree has under the same name.

use super::root::Files;
use anyhow::{Context, Result};
use std::fs::{self, Permissions};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};

pub struct Layer {
    dir: PathBuf,
}

impl Layer {
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.into() })
    }

    /// The place of `name`, whose directory exists then.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        Ok(path)
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> Result<()> {
        Ok(symlink(target, self.place(name)?)?)
    }
}

impl Files for Layer {
    fn data(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        let path = self.place(name)?;
        fs::write(&path, data)?;
        Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
    }
}
