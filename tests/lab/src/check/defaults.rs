// SPDX-License-Identifier: GPL-2.0

//! What the superblock asks for where the mount does not.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// Default mount options (`tune2fs -o`, `-E mount_opts=`), and `grpid`, which is one of them.
pub fn mount_options(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["ext4rs".into()];
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        is() { [ "$2" = "$3" ] || { echo "$1: found '$2', expected '$3'"; exit 1; }; }
        shown() { cat /proc/fs/$FS/$DISK/options; }
        has() { shown | grep -qx "$1" || { echo "not $1:"; shown; exit 1; }; }
        group_of_a_new_file() { rm -f /mnt/d/f; touch /mnt/d/f; stat -c %g /mnt/d/f; }
        mount -t $FS $DEV /mnt; mkdir /mnt/d; chgrp 1000 /mnt/d
        is 'without grpid' $(group_of_a_new_file) 0
        umount /mnt
        mount -t $FS -o grpid $DEV /mnt
        is grpid $(group_of_a_new_file) 1000
        chmod g+s /mnt/d; mkdir /mnt/d/e; is 'mode of a directory' $(stat -c %a /mnt/d/e) 755
        is 'group of a directory' $(stat -c %g /mnt/d/e) 1000
        chmod g-s /mnt/d; umount /mnt

        tune2fs -o bsdgroups,nodelalloc,nobarrier $DEV > /dev/null
        mount -t $FS $DEV /mnt
        is 'default grpid' $(group_of_a_new_file) 1000
        has grpid; has nodelalloc; has nobarrier
        umount /mnt
        mount -t $FS -o nogrpid,barrier $DEV /mnt
        is 'asked otherwise' $(group_of_a_new_file) 0
        has barrier; has nodelalloc
        umount /mnt

        mount -t $FS -o commit=0x10,max_batch_time=0 $DEV /mnt
        has commit=16; has max_batch_time=0; umount /mnt

        tune2fs -o ^bsdgroups,^nodelalloc,^nobarrier -E mount_opts=commit=77 $DEV > /dev/null
        mount -t $FS $DEV /mnt; has commit=77; has barrier; has delalloc; umount /mnt

        if [ $FS = ext4rs ]; then
            tune2fs -o journal_data $DEV > /dev/null
            if mount -t $FS $DEV /mnt 2>/dev/null; then echo 'data=journal is accepted'; exit 1; fi
            mount -t $FS -o ro $DEV /mnt
            if mount -o remount,rw /mnt 2>/dev/null; then echo 'data=journal is accepted'; exit 1; fi
            umount /mnt
            mount -t $FS -o data=ordered $DEV /mnt; umount /mnt
        fi"#,
    )
}

/// A file system with `fast_commit` is used without, and can be mounted again after a crash.
pub fn fast_commit(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["ext4rs".into(), "EXT4-fs".into(), "borting journal".into()];
    s.judged(
        lab,
        "64M",
        "-O fast_commit",
        r#"set -e
        mount -t $FS $DEV /mnt; echo text > /mnt/file; sync
        mount -o remount,abort /mnt || true
        umount /mnt
        dumpe2fs -h $DEV 2>/dev/null | grep -q needs_recovery
        mount -t $FS $DEV /mnt
        [ "$(cat /mnt/file)" = text ]
        umount /mnt
        debugfs -w -R 'ssv state 1' $DEV 2>/dev/null"#,
    )
}
