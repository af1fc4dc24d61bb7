// SPDX-License-Identifier: GPL-2.0

//! Writes that come half-way, or are looked at there. In the debug kernel, whose module can hold
//! tasks up and let them fail (`errortag`).

use super::session::{Session, PAUSE};
use super::Lab;
use anyhow::Result;

/// A reader of a file that grows by direct writes never sees the new part before its data.
pub fn direct_append(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "",
        &[
            PAUSE,
            r#"set -e
        tag=/sys/fs/ext4rs/$DISK/errortag/convert
        mount -t $FS $DEV /mnt; cd /mnt
        head -c 4096 /dev/zero | tr '\0' a > /tmp/a
        cp /tmp/a file; sync
        echo 'hold 60000 1' > $tag
        dd if=/tmp/a of=file bs=4096 seek=1 oflag=direct conv=notrunc 2>/dev/null &
        pause $tag
        [ $(stat -c %s file) = 4096 ] || { echo 'the size is there before the data'; exit 1; }
        early=$(tr -d a < file | wc -c)
        echo off > $tag; wait
        late=$(tr -d a < file | wc -c)
        [ $(stat -c %s file) = 8192 ]; cd /; umount /mnt
        [ $early = 0 ] && [ $late = 0 ] || { echo "other bytes: $early, $late"; exit 1; }"#,
        ]
        .concat(),
    )
}

/// Where a block cannot be had for one part of a file, the other parts are written all the same.
pub fn mapping_fails(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["this data is lost".into()];
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        tag=/sys/fs/ext4rs/$DISK/errortag/map_allocate
        put() { head -c 4096 /dev/zero | tr '\0' $1 | dd of=file bs=4096 seek=$2 conv=notrunc 2>/dev/null; }
        mount -t $FS $DEV /mnt; cd /mnt
        put 1 0; sync
        put 2 0; put 3 10
        echo 'fail 28 4' > $tag
        if sync file 2>/dev/null; then echo 'nothing is said of the loss'; exit 1; fi
        echo off > $tag
        echo 3 > /proc/sys/vm/drop_caches
        first=$(head -c 4096 file | tr -d 2 | wc -c)
        cd /; umount /mnt
        [ $first = 0 ] || { echo 'what was overwritten is lost'; exit 1; }"#,
    )
}

/// Zeroing a range that the disk has no room for keeps nothing reserved; of an allocation that comes
/// half-way, the file has what there is.
pub fn zeroing_without_space(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "48M",
        "-m 0",
        r#"set -e
        mount -t $FS $DEV /mnt; cd /mnt
        truncate -s 64M file
        dd if=/dev/urandom of=file bs=1M seek=60 count=4 conv=notrunc 2>/dev/null
        if fallocate -z -o 0 -l 64M file 2>/dev/null; then echo 'there is room'; exit 1; fi
        [ $(dd if=file bs=1M skip=60 2>/dev/null | tr -d '\0' | wc -c) = 0 ]
        rm file; sync
        if fallocate -l 64M file 2>/dev/null; then echo 'there is room'; exit 1; fi
        size=$(stat -c %s file) space=$(($(stat -c %b file) * 512))
        [ $size -ge 16777216 ] && [ $space -ge $size ] && [ $space -le $((size + 65536)) ] ||
            { echo "$size bytes in a space of $space"; exit 1; }
        cd /; umount /mnt"#,
    )
}

/// A cut that a crash has interrupted is finished by the next mount: the rest of the last block, too,
/// which a mapping would show.
pub fn interrupted_truncate(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["borting journal".into(), "ext4rs (".into()];
    s.judged(
        lab,
        "64M",
        "",
        &[PAUSE, r#"set -e
        tag=/sys/fs/ext4rs/$DISK/errortag/remove
        mount -t $FS -o commit=600 $DEV /mnt
        head -c 16384 /dev/zero | tr '\0' x > /mnt/file; sync
        echo 'hold 60000 1' > $tag
        truncate -s 100 /mnt/file &
        pause $tag; touch /mnt/other; sync /mnt
        perl -e 'open(D, "<", "/mnt"); my $log = pack("L", 2);
            ioctl(D, 0x8004587d, $log) or die "shutdown: $!\n"'
        echo off > $tag; wait || true
        umount /mnt
        block=$(debugfs -R 'bmap /file 0' $DEV 2>/dev/null)
        rest() { dd if=$DEV bs=4096 skip=$block count=1 iflag=direct 2>/dev/null | tail -c 3996 | tr -d '\0' | wc -c; }
        [ $(rest) = 3996 ] || { echo "already zero: $(rest) bytes"; exit 1; }
        mount -t $FS $DEV /mnt
        [ $(stat -c '%s %b' /mnt/file | tr ' ' -) = 100-8 ] || { stat /mnt/file; exit 1; }
        umount /mnt
        [ $(rest) = 0 ] || { echo "$(rest) bytes are left"; exit 1; }"#].concat(),
    )
}

/// `fallocate()` with `O_DSYNC` has committed when it returns.
pub fn allocation_is_synchronous(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["borting journal".into()];
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        mount -t $FS -o commit=600 $DEV /mnt
        touch /mnt/file; sync
        perl -e 'use Fcntl; sysopen(F, "/mnt/file", O_RDWR | 010000) or die;
            syscall(285, fileno(F), 0, 0, 1 << 20) == 0 or die "fallocate: $!\n";
            open(D, "<", "/mnt"); my $log = pack("L", 2); ioctl(D, 0x8004587d, $log) or die "shutdown: $!\n"'
        umount /mnt; mount -t $FS $DEV /mnt
        size=$(stat -c %s /mnt/file); umount /mnt
        [ $size = 1048576 ] || { echo "$size bytes"; exit 1; }"#,
    )
}
