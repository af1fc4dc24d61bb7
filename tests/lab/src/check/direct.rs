// SPDX-License-Identifier: GPL-2.0

//! Direct I/O that is still under way when something else happens to the file.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// A file grows while an asynchronous direct write to its last block is under way: the block, which is
/// read and written with zeros behind the end, must not come out as it was before that write.
pub fn grow_beside_a_write(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        # reads at once, writes later
        dmsetup create slow --table "0 $(blockdev --getsz $DEV) delay $DEV 0 0 $DEV 0 800"
        mount -t $FS /dev/mapper/slow /mnt
        beside() {
            head -c 5120 /dev/zero | tr '\0' a > /mnt/file; sync
            fio --name=x --filename=/mnt/file --ioengine=libaio --direct=1 --rw=write --bs=512 \
                --offset=4096 --size=512 --overwrite=1 --buffer_pattern=0x62 --output=/tmp/fio.out &
            until dmsetup status slow | grep -q 'delay 0 1'; do
                kill -0 $! || { echo 'the write is through already'; exit 1; }
            done
            "$@"
            wait $! || { cat /tmp/fio.out; exit 1; }
            umount /mnt; mount -t $FS /dev/mapper/slow /mnt
            [ $(stat -c %s /mnt/file) = 16384 ]
            lost=$(dd if=/mnt/file bs=512 skip=8 count=1 2>/dev/null | tr -d b | wc -c)
            [ $lost = 0 ] || { echo "$1: the direct write is lost"; exit 1; }
        }
        beside truncate -s 16384 /mnt/file
        beside dd if=/dev/zero of=/mnt/file bs=4096 seek=3 count=1 oflag=direct conv=notrunc
        umount /mnt; dmsetup remove slow"#,
    )
}
