// SPDX-License-Identifier: GPL-2.0

//! ext4rs in the place of C ext4 (`register_ext4=1`), and what a mounted file
//! system tells in sysfs and procfs.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// `mount -t ext4` is ext4rs, with the paths that tools look at; where C ext4
/// is there, it keeps its name.
pub fn stand_in(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    // C ext4 must not be loaded yet
    s.discard();
    s.fresh(lab, "256M", "")?;
    s.sh(
        lab,
        "set -e
        is() { [ \"$(cat $1)\" = \"$2\" ] || { echo \"$1: $(cat $1), not $2\"; exit 1; }; }
        dev=${DEV#/dev/}
        rmmod ext4rs
        insmod /modules/ext4rs.ko register_ext4=1
        grep -w ext2 /proc/filesystems
        grep -w ext3 /proc/filesystems
        is /sys/fs/ext4/features/lazy_itable_init supported
        mount -t ext4 -o commit=7 $DEV /mnt
        grep \"^$DEV /mnt ext4 rw\" /proc/mounts
        grep -x commit=7 /proc/fs/ext4/$dev/options
        grep -x delalloc /proc/fs/ext4/$dev/options
        grep -c '^#[0-9]' /proc/fs/ext4/$dev/mb_groups | grep -x 2
        cd /sys/fs/ext4/$dev
        is delayed_allocation_blocks 0
        dd if=/dev/zero of=/mnt/file bs=64k count=20 2>/dev/null
        is delayed_allocation_blocks 320
        sync
        is delayed_allocation_blocks 0
        [ $(cat session_write_kbytes) -ge 1280 ]
        [ $(cat lifetime_write_kbytes) -ge $(cat session_write_kbytes) ]
        echo 100 > reserved_clusters
        is reserved_clusters 100
        if echo 99999999 > reserved_clusters 2>/dev/null; then echo 'all is reserved'; exit 1; fi
        is errors_count 0
        echo 'only a test' > trigger_fs_error
        for i in 1 2 3 4 5 6 7 8 9 10; do
            [ $(cat errors_count) = 1 ] && break
            sleep 0.5
        done
        is errors_count 1
        is first_error_errcode 5
        cd /
        umount /mnt
        [ ! -e /sys/fs/ext4/$dev ]
        [ ! -e /proc/fs/ext4/$dev ]
        e2fsck -fy $DEV >/dev/null
        if mount -t ext3 $DEV /mnt 2>/dev/null; then echo 'it is mounted as ext3'; exit 1; fi
        mount -t ext4rs $DEV /mnt
        is /sys/fs/ext4rs/$dev/errors_count 0
        umount /mnt
        rmmod ext4rs
        [ ! -e /sys/fs/ext4 ]
        [ ! -e /proc/fs/ext4 ]
        modprobe ext4
        if insmod /modules/ext4rs.ko register_ext4=1 2>/tmp/said; then echo 'there are two of ext4'; exit 1; fi
        grep -i busy /tmp/said
        modprobe ext4rs",
    )?;
    s.expected.push("only a test".into());
    s.expected.push("an error that was asked for".into());
    s.e2fsck()?;
    Ok(String::new())
}
