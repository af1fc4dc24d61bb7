// SPDX-License-Identifier: GPL-2.0

//! The three answers to damage that is found while mounted: `errors=`.
//!
//! The damage is the same each time: the checksum of a directory block. It is
//! found when the directory is read after the mount.

use super::session::{Session, LIMIT};
use super::Lab;
use crate::machine::End;
use anyhow::{bail, ensure, Context, Result};

/// A disk with the directory /broken whose block is damaged, mounted with
/// errors=`answer`.
fn mounted_damaged(lab: &Lab<'_>, s: &mut Session, answer: &str) -> Result<()> {
    s.expected = vec![
        "borting journal".into(),
        format!("ext4rs ({})", lab.parts.disk(0)),
        "EXT4-fs".into(),
    ];
    s.fresh(lab, "64M", "")?;
    s.sh(
        lab,
        &format!(
            "set -e
            mount -t ext4 $DEV /mnt
            mkdir /mnt/broken
            touch /mnt/broken/file
            umount /mnt
            block=$(debugfs -R 'bmap /broken 0' $DEV 2>/dev/null)
            printf 'damage' | dd of=$DEV bs=1 seek=$((block * 4096 + 100)) conv=notrunc 2>/dev/null
            blockdev --flushbufs $DEV
            mount -t $FS -o errors={answer} $DEV /mnt
            touch /mnt/before"
        ),
    )
    .map(|_| ())
}

/// Whether the log names what was found.
fn named(s: &Session) -> Result<()> {
    let log = s.log_since_begin();
    let line = log
        .lines()
        .find(|l| l.contains("error") && l.contains("inode"));
    line.map(|_| ())
        .context("the kernel log has no error line that names the inode")
}

pub fn goes_on(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    mounted_damaged(lab, s, "continue")?;
    s.sh(
        lab,
        "! stat /mnt/broken/file 2>/tmp/said || exit 1
        grep -q -e 'structure needs cleaning' -e 'Structure needs cleaning' -e 'Bad message' /tmp/said || { cat /tmp/said; exit 1; }
        touch /mnt/after && grep -q '/mnt .* rw' /proc/mounts && umount /mnt",
    )?;
    named(s)?;
    let state = s.sh(lab, "dumpe2fs -h $DEV 2>/dev/null | grep -e 'Filesystem state' -e 'FS Error count' -e 'First error function'")?;
    ensure!(
        state.contains("with errors"),
        "the superblock does not say that there were errors: {}",
        state.trim()
    );
    ensure!(
        state.contains("FS Error count"),
        "the superblock does not count the errors: {}",
        state.trim()
    );
    Ok(String::new())
}

pub fn remount_ro(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    mounted_damaged(lab, s, "remount-ro")?;
    s.sh(
        lab,
        "! stat /mnt/broken/file 2>/dev/null || exit 1
        ! touch /mnt/after 2>/tmp/said || { echo 'a write was accepted after the error'; exit 1; }
        grep -q 'Read-only file system' /tmp/said || { cat /tmp/said; exit 1; }
        umount /mnt",
    )?;
    named(s)?;
    Ok(String::new())
}

pub fn panic(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    mounted_damaged(lab, s, "panic")?;
    s.expected
        .extend(["Kernel panic - not syncing: ", "Call Trace"].map(String::from));
    let (end, text) = s
        .guest(lab)?
        .capture("stat /mnt/broken/file; echo still here", LIMIT)?;
    let log = s.log_since_begin();
    s.discard();
    if end != End::Gone {
        bail!("the kernel did not panic: {}", text.trim());
    }
    ensure!(
        log.contains("Kernel panic - not syncing") && log.contains("panic forced after"),
        "the guest died of something else"
    );
    Ok(String::new())
}
