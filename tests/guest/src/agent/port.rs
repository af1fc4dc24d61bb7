// SPDX-License-Identifier: GPL-2.0

//! The channel to the host, a device that takes a moment to appear.

use anyhow::{bail, Result};
use rustix::termios::{isatty, tcgetattr, tcsetattr, OptionalActions};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

/// QEMU's virtio-serial port. The command line of another machine names its
/// own device.
const DEFAULT: &str = "/dev/vport0p1";

pub fn open() -> Result<File> {
    let path = std::env::var("PORT").unwrap_or_else(|_| DEFAULT.into());
    let end = Instant::now() + Duration::from_secs(10);
    let port = loop {
        let noctty = rustix::fs::OFlags::NOCTTY.bits();
        match OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(noctty)?)
            .open(&path)
        {
            Ok(port) => break port,
            Err(e) if Instant::now() > end => bail!("{path}: {e}"),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    if isatty(&port) {
        // a serial line: bytes, not lines to be edited and echoed
        let mut settings = tcgetattr(&port)?;
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Now, &settings)?;
    }
    Ok(port)
}
