// SPDX-License-Identifier: GPL-2.0

//! How many requests the disks of User Mode Linux may have under way.
//!
//! All of them share one socket to the thread that does their I/O. A disk that
//! finds it full while nothing of its own is under way is not tried again, and
//! its I/O hangs: together they must not fill it.

use anyhow::{Context, Result};
use std::fs;

/// Requests that the socket has room for, less a few: it takes some 280.
const ROOM: usize = 256;
/// What the driver itself allows a disk.
const DEPTH: usize = 64;
/// Fewer the block layer does not take.
const FEWEST: usize = 4;

/// Disks of other machines have other names, and none is limited.
pub fn limit_requests() -> Result<()> {
    let mut queues = Vec::new();
    for disk in fs::read_dir("/sys/block").context("/sys/block")? {
        let disk = disk?;
        if disk.file_name().to_string_lossy().starts_with("ubd") {
            queues.push(disk.path().join("queue/nr_requests"));
        }
    }
    let Some(each) = ROOM.checked_div(queues.len()).filter(|n| *n < DEPTH) else {
        return Ok(());
    };
    for queue in queues {
        fs::write(&queue, each.max(FEWEST).to_string())
            .with_context(|| queue.display().to_string())?;
    }
    Ok(())
}
