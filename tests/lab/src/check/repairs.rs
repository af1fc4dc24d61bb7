// SPDX-License-Identifier: GPL-2.0

//! What e2fsprogs change on a disk that is mounted, and what the next mount has to put right.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// A file system that was changed while it was read-only, as e2fsck does it with a root, goes on from
/// what is on the disk then. (C ext4 loses a file here: its allocator goes on from what it knew.)
pub fn remount_after_repair(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        mount -t $FS $DEV /mnt; mkdir /mnt/dir; echo old > /mnt/dir/old; umount /mnt
        mount -t $FS -o ro $DEV /mnt
        head -c 3000000 /dev/urandom > /tmp/new
        debugfs -w -R 'write /tmp/new new' $DEV > /dev/null 2>&1
        debugfs -w -R 'rm dir/old' $DEV > /dev/null 2>&1
        mount -o remount,rw /mnt
        for i in $(seq 100); do echo $i > /mnt/dir/$i; done
        cp /tmp/new /mnt/dir/copy; sync
        umount /mnt; mount -t $FS $DEV /mnt
        cmp /tmp/new /mnt/new; cmp /tmp/new /mnt/dir/copy
        umount /mnt"#,
    )
}

/// `tune2fs -m` counts at once.
pub fn reserve_changes(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "-m 50",
        r#"set -e
        mount -t $FS $DEV /mnt
        before=$(stat -f -c %a /mnt)
        tune2fs -m 0 $DEV > /dev/null
        after=$(stat -f -c %a /mnt)
        umount /mnt
        [ $after -gt $((before + 5000)) ] || { echo "$before blocks are available, then $after"; exit 1; }"#,
    )
}

/// Without `huge_file` no file gets longer than can be counted.
pub fn longest_file(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "-O ^huge_file",
        r#"set -e
        mount -t $FS $DEV /mnt
        truncate -s 2199023251456 /mnt/file
        if truncate -s 2199023255552 /mnt/file 2>/dev/null; then echo 'too long a file'; exit 1; fi
        umount /mnt"#,
    )
}

/// A list of orphans that cannot be followed is given up, and e2fsck is asked for.
pub fn broken_orphan_list(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["rphan".into()];
    s.judged(
        lab,
        "64M",
        "-O ^orphan_file",
        r#"set -e
        debugfs -w -R 'set_super_value last_orphan 5000' $DEV 2> /dev/null
        mount -t $FS $DEV /mnt; umount /mnt
        dumpe2fs -h $DEV 2>/dev/null | grep -q '^Filesystem state: *clean with errors' || exit 1
        e2fsck -fy $DEV > /dev/null || [ $? = 1 ]"#,
    )
}

/// A cut that failed stays on record once, whatever comes next: the file leaves memory, and is
/// removed. With an orphan file, and with the list.
pub fn unfinished_cut(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    for options in ["", "-O ^orphan_file"] {
        s.fresh(lab, "64M", options)?;
        s.sh(
            lab,
            r#"set -e
            mount -t $FS $DEV /mnt
            head -c 100000 /dev/urandom > /mnt/file; sync
            echo 'fail 5 1' > /sys/fs/ext4rs/$DISK/errortag/remove
            if truncate -s 0 /mnt/file 2>/dev/null; then echo 'the cut did not fail'; exit 1; fi
            sync; echo 3 > /proc/sys/vm/drop_caches
            rm /mnt/file
            umount /mnt"#,
        )?;
        s.e2fsck()?;
        s.sh(
            lab,
            "mount -t $FS $DEV /mnt && touch /mnt/after && umount /mnt",
        )?;
        s.e2fsck()?;
    }
    Ok(String::new())
}
