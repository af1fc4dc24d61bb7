// SPDX-License-Identifier: GPL-2.0

//! The largest file system that 32 bits of block number allow, on a sparse
//! image, and the largest file on it.

use super::session::{boot, e2fsck, quiet, with_names, Session, LIMIT};
use super::Lab;
use crate::machine::Disk;
use crate::shell::fresh_image;
use anyhow::{Context, Result};
use std::fs::{remove_file, File};
use std::path::Path;

/// 16 TiB less a block: as much as a file of the machine's own ext4 can hold.
const SIZE: u64 = (1 << 44) - 4096;

/// Directories of the root are spread over the groups, so that some of 24 lie
/// past block 2^31.
const SCRIPT: &str = "set -e
mount -t $FS $DEV /mnt
[ $(stat -f -c %b /mnt) -gt 4200000000 ]
for i in $(seq 24); do
    mkdir /mnt/dir$i
    dd if=/dev/urandom of=/mnt/dir$i/file bs=64k count=8 2>/dev/null
done
sync
filefrag -v /mnt/dir*/file | awk -F'[ :.]+' '$2 == 0 && $5 >= 2147483648 { n++ } END { print n + 0 }' > /tmp/high
# the last block that a file can have, and the first that it cannot
echo end | dd of=/mnt/largest bs=4096 seek=4294967294 conv=notrunc 2>/dev/null
if dd if=/dev/zero of=/mnt/largest bs=4096 seek=4294967295 count=1 conv=notrunc 2>/tmp/refused; then
    exit 1
fi
grep -qi 'file too large' /tmp/refused
sha256sum /mnt/dir*/file > /tmp/sums
umount /mnt
mount -t $FS $DEV /mnt
sha256sum -c /tmp/sums >/dev/null
[ \"$(dd if=/mnt/largest bs=4096 skip=4294967294 2>/dev/null | head -c 3)\" = end ]
[ $(stat -c %b /mnt/largest) -le 16 ]
rm -r /mnt/dir1?
umount /mnt
echo $(cat /tmp/high) of 24 files past block 2^31
[ $(cat /tmp/high) -gt 0 ]";

pub fn huge(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.discard();
    let image = lab
        .cache
        .path("run")
        .join(format!("huge-{}.img", std::process::id()));
    let result = on_image(lab, &image);
    let _ = remove_file(&image);
    result
}

fn on_image(lab: &Lab<'_>, image: &Path) -> Result<String> {
    File::create(image)?
        .set_len(SIZE)
        .context("the cache's file system holds no sparse file of 16 TiB: set XDG_CACHE_HOME to one that does, such as an ext4 with 4 KiB blocks or XFS")?;
    fresh_image(image, &format!("{}k", SIZE >> 10), "")?;
    let mut guest = boot(lab, vec![Disk::new(image)])?;
    let mark = guest.log_len();
    let text = guest.sh(&with_names(lab, SCRIPT), LIMIT)?;
    e2fsck(image)?;
    quiet(&guest, mark)?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
