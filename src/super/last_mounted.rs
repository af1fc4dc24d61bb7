// SPDX-License-Identifier: GPL-2.0

//! Where the file system was last mounted (`s_last_mounted`), for whoever finds the disk later.
//!
//! A mount learns its place only after it was made; so the first file that is opened tells.

use super::health::start;
use crate::kern::file::File;
use crate::kern::jbd2::Credits;
use crate::kern::super_block::FreezeGuard;
use crate::Ext4;
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

/// The bytes of `s_last_mounted`, without the zero at the end that readers expect.
const ROOM: usize = 63;

/// `file` is being opened: notes where it is mounted, once a mount. It is a hint for people, so
/// what goes wrong is not their error, and is not tried again.
pub(crate) fn note(file: &File<Ext4>) {
    let sb = file.inode().sb();
    let noted = &sb.info().place_noted;
    if noted.load(Relaxed) || sb.is_read_only() {
        return;
    }
    // Opening a file for reading does not wait for the end of a freeze.
    let Some(_no_freeze) = FreezeGuard::try_new(sb) else {
        return;
    };
    if !noted.swap(true, Relaxed) {
        let _ = record(file);
    }
}

fn record(file: &File<Ext4>) -> Result {
    let mut buffer = [0; ROOM + 1];
    let place = file.mount_point(&mut buffer)?;
    let sb = file.inode().sb();
    let mut operation = start(sb, Credits::blocks(1))?;
    let updated = sb.info().update_superblock(&mut operation, |raw| {
        raw.last_mounted = [0; ROOM + 1];
        for (to, from) in raw.last_mounted.iter_mut().zip(place) {
            *to = *from;
        }
    });
    let stopped = operation.stop();
    updated.and(stopped)
}
