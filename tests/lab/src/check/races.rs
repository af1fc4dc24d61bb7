// SPDX-License-Identifier: GPL-2.0

//! The races of Documentation/races.md, each forced with an error tag.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// Every race once; the books are true after each.
pub fn forced(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    // What the tests of errors provoke.
    s.expected.extend(
        [
            "this data is lost",
            "I/O error -5",
            "writeback error on inode",
            "data may be lost",
        ]
        .map(String::from),
    );
    s.fresh(lab, "256M", "")?;
    let text = s.sh(
        lab,
        "mount -t $FS $DEV /mnt && guest race /mnt $DISK; r=$?
        umount /mnt || exit 1
        exit $r",
    )?;
    s.e2fsck()?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
