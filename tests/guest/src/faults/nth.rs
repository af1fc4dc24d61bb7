// SPDX-License-Identifier: GPL-2.0

//! The kernel's counter of this thread: what is asked for when it reaches zero
//! fails.

use super::Kind;
use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub struct Nth(File);

impl Nth {
    /// Lets `fail-nth` reach all allocations of this thread, or the requests
    /// to `device`.
    pub fn of(kind: Kind, device: &str) -> Result<Self> {
        let debug = Path::new("/sys/kernel/debug");
        let set = |dir: &str, name: &str, value: &str| {
            let path = debug.join(dir).join(name);
            fs::write(&path, value).with_context(|| path.display().to_string())
        };
        for dir in ["failslab", "fail_page_alloc", "fail_make_request"] {
            // one line and no stack for each
            set(dir, "verbose", "1")?;
        }
        let ignored = if kind == Kind::Memory { "N" } else { "Y" };
        for dir in ["failslab", "fail_page_alloc"] {
            set(dir, "ignore-gfp-wait", ignored)?;
        }
        // no cache is marked, so that none fails while requests do
        set(
            "failslab",
            "cache-filter",
            if kind == Kind::Memory { "N" } else { "Y" },
        )?;
        set(
            "fail_page_alloc",
            "min-order",
            if kind == Kind::Memory { "0" } else { "10" },
        )?;
        let name = device.trim_start_matches("/dev/");
        let on = if kind == Kind::Requests { "1" } else { "0" };
        fs::write(format!("/sys/block/{name}/make-it-fail"), on).context("make-it-fail")?;
        let path = "/proc/thread-self/fail-nth";
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(Self(file.context(path)?))
    }

    /// The n-th request from now on fails. There is nobody to tell when this
    /// does not work, but then nothing fails, and that is noticed.
    pub fn arm(&self, n: u32) {
        let _ = self.0.write_at(n.to_string().as_bytes(), 0);
    }

    /// Ends the counting; whether something failed.
    pub fn disarm(&self) -> Result<bool> {
        let mut text = [0; 16];
        let len = self.0.read_at(&mut text, 0)?;
        self.0.write_at(b"0", 0)?;
        let left = std::str::from_utf8(text.get(..len).unwrap_or_default())?;
        Ok(left.trim().parse::<u32>()? == 0)
    }
}
