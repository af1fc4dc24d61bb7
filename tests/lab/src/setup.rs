// SPDX-License-Identifier: GPL-2.0

//! All set-up steps, in order. The tool tree itself is made by
//! scripts/enter, before this program can run.

use crate::cache::Cache;
use crate::{guest_root, kernel};
use anyhow::Result;

pub fn all(cache: &Cache) -> Result<()> {
    let kernel = kernel::prepare(cache)?;
    guest_root::prepare(cache, &kernel)
}
