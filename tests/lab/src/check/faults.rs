// SPDX-License-Identifier: GPL-2.0

//! Failing memory and devices. An operation may fail then, with the right
//! error; the kernel must not trip, nothing may leak, and the file system must
//! be whole once the fault is gone.

use super::session::{Session, LIMIT as SESSION_LIMIT};
use super::Lab;
use crate::machine::End;
use anyhow::{ensure, Result};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1800);

/// What a device that fails makes the kernel say.
const IO_ERRORS: &[&str] = &[
    "I/O error",
    "aborting journal",
    "Aborting journal",
    "lost async page write",
    "lost sync page write",
    "EXT4-fs",
    "ext4rs (",
];

fn io_errors_are_expected(s: &mut Session) {
    s.expected.extend(IO_ERRORS.iter().map(|e| (*e).to_owned()));
}

fn sweep(lab: &Lab<'_>, s: &mut Session, kind: &str) -> Result<String> {
    s.fresh(lab, "256M", "")?;
    let text = s.sh_within(lab, &format!("guest faults $FS $DEV /mnt {kind}"), LIMIT)?;
    s.e2fsck()?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// What failing memory makes the kernel say. jbd2 warns where it takes away a directory of procfs
/// into which it could not put its file; with C ext4, too.
const MEMORY_ERRORS: &[&str] = &[
    "ext4rs (",
    "WARNING: fs/proc/generic.c",
    "Call Trace",
    "writeback error on inode",
];

/// The n-th allocation of each operation fails, for every n.
pub fn memory(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected
        .extend(MEMORY_ERRORS.iter().map(|e| (*e).to_owned()));
    sweep(lab, s, "memory")
}

/// The n-th request to the disk of each operation fails, for every n.
pub fn requests(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    io_errors_are_expected(s);
    sweep(lab, s, "requests")
}

/// A writer on a mapped device: the device changes under it, the writer gets
/// an error, the file system can be unmounted; then the device is whole again.
fn device(lab: &Lab<'_>, s: &mut Session, fault: &str) -> Result<String> {
    io_errors_are_expected(s);
    s.judged(
        lab,
        "256M",
        "",
        &format!(
            "size=$(blockdev --getsz $DEV)
            table() {{ dmsetup suspend --nolockfs faulty && dmsetup reload faulty --table \"0 $size $*\" && dmsetup resume faulty; }}
            dmsetup create faulty --table \"0 $size linear $DEV 0\" || exit 1
            mount -t $FS /dev/mapper/faulty /mnt || exit 1
            mkdir /mnt/work && cp -r /usr/share/doc/e2fsprogs /mnt/work && sync || exit 1
            ( i=0; while [ $i -lt 400 ]; do i=$((i + 1))
                dd if=/dev/zero of=/mnt/work/$i bs=20k count=3 conv=fsync 2>/dev/null || exit 5
                rm /mnt/work/$((i - 7)) 2>/dev/null; mv /mnt/work/$i /mnt/work/m$i || exit 5
              done; exit 0 ) & writer=$!
            sleep 1
            {fault}
            wait $writer; w=$?
            umount /mnt || {{ echo 'cannot be unmounted'; exit 1; }}
            table linear $DEV 0 || exit 1
            [ $w = 5 ] || {{ echo \"the writer was not told: $w\"; exit 1; }}
            mount -t $FS /dev/mapper/faulty /mnt || {{ echo 'cannot be mounted again'; exit 1; }}
            ls -lR /mnt > /dev/null && echo back > /mnt/back && sync || exit 1
            umount /mnt && dmsetup remove faulty && e2fsck -fp $DEV > /dev/null
            [ $? -le 1 ]"
        ),
    )
}

/// The device is gone in mid-write.
pub fn device_gone(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    device(lab, s, "table error")
}

/// A device that fails between freeze and thaw: the thaw ends all the same, and nobody hangs.
pub fn thaw_without_device(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    io_errors_are_expected(s);
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        size=$(blockdev --getsz $DEV)
        dmsetup create frozen --table "0 $size linear $DEV 0"
        mount -t $FS /dev/mapper/frozen /mnt; touch /mnt/before; sync
        fsfreeze -f /mnt
        dmsetup suspend --nolockfs frozen
        dmsetup reload frozen --table "0 $size error"; dmsetup resume frozen
        fsfreeze -u /mnt || true
        if timeout 20 touch /mnt/after 2>/dev/null; then echo 'written to no device'; exit 1; fi
        [ $? != 124 ] || { echo 'still frozen'; exit 1; }
        umount /mnt; dmsetup remove frozen
        e2fsck -fp $DEV > /dev/null || [ $? = 1 ]"#,
    )
}

/// Writes fail, reads do not.
pub fn writes_fail(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    device(lab, s, "table flakey $DEV 0 0 180 1 error_writes")
}

/// Bad blocks that are found when read: each call that meets one fails with
/// `EIO`, the others work.
pub fn bad_blocks(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    io_errors_are_expected(s);
    s.judged(
        lab,
        "256M",
        "",
        "size=$(blockdev --getsz $DEV)
        mount -t $FS $DEV /mnt && dd if=/dev/urandom of=/mnt/file bs=4k count=64 2>/dev/null && echo good > /mnt/good && umount /mnt || exit 1
        block=$(debugfs -R 'bmap /file 7' $DEV 2>/dev/null)
        dmsetup create dust --table \"0 $size dust $DEV 0 4096\" || exit 1
        dmsetup message dust 0 addbadblock $block
        dmsetup message dust 0 enable
        mount -t $FS /dev/mapper/dust /mnt || exit 1
        ! dd if=/mnt/file of=/dev/null bs=4k skip=7 count=1 2>/tmp/said || { echo 'a bad block was read'; exit 1; }
        grep -q 'Input/output error' /tmp/said || { cat /tmp/said; exit 1; }
        dd if=/mnt/file of=/dev/null bs=4k skip=40 count=20 2>/dev/null || exit 1
        [ \"$(cat /mnt/good)\" = good ] || exit 1
        dmsetup message dust 0 disable
        dd if=/mnt/file of=/dev/null bs=4k 2>/dev/null || exit 1
        umount /mnt && dmsetup remove dust",
    )
}

/// A device that cannot be written: no mount for writing, a clean one for
/// reading, and a file system that needs its journal replayed is refused.
pub fn read_only_device(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    io_errors_are_expected(s);
    s.judged(
        lab,
        "64M",
        "",
        "mount -t $FS $DEV /mnt && echo kept > /mnt/file && umount /mnt || exit 1
        blockdev --setro $DEV || exit 1
        mount -t $FS -o ro $DEV /mnt || exit 1
        [ \"$(cat /mnt/file)\" = kept ] || exit 1
        ! touch /mnt/no 2>/tmp/said || exit 1
        grep -q 'Read-only file system' /tmp/said || { cat /tmp/said; exit 1; }
        ! mount -o remount,rw /mnt 2>/dev/null || { echo 'a read-only device was remounted for writing'; exit 1; }
        umount /mnt
        blockdev --setrw $DEV",
    )
}

/// Two blocks of data that the device does not take, on a device that is whole
/// otherwise, so that the journal works: block 7 of /file, which is written, and
/// block 3 of /ahead, which is not.
fn bad_data(lab: &Lab<'_>, s: &mut Session) -> Result<()> {
    io_errors_are_expected(s);
    s.fresh(lab, "256M", "")?;
    s.sh(
        lab,
        "mount -t $FS $DEV /mnt || exit 1
        dd if=/dev/urandom of=/mnt/file bs=4k count=16 2>/dev/null && fallocate -l 64k /mnt/ahead || exit 1
        umount /mnt
        place() { debugfs -R \"bmap $1 $2\" $DEV 2>/dev/null | cut -d' ' -f1; }
        size=$(blockdev --getsz $DEV); at=0
        for block in $( { place /file 7; place /ahead 3; } | sort -n ); do
            bad=$((block * 8))
            echo \"$at $((bad - at)) linear $DEV $at\"; echo \"$bad 8 error\"
            at=$((bad + 8))
        done > /tmp/table
        echo \"$at $((size - at)) linear $DEV $at\" >> /tmp/table
        [ $(grep -c error /tmp/table) = 2 ] || { cat /tmp/table; exit 1; }
        dmsetup create bad < /tmp/table",
    )
    .map(|_| ())
}

/// The functions of the scripts below: an overwrite of one block, which is on
/// disk when it returns; how many completions needed the worker.
const OVERWRITE: &str = "
    overwrite() { dd if=/dev/zero of=/mnt/$1 bs=4k seek=$2 count=1 conv=notrunc,fsync 2>/tmp/said; }
    refused() { ! overwrite $1 $2 || { echo \"$1 $2 was written\"; exit 1; }
        grep -q 'Input/output error' /tmp/said || { cat /tmp/said; exit 1; }; }
    counter() { sed -n \"s/^completions_$1 //p\" /proc/fs/$FS/$(dmsetup info -c --noheadings -o blkdevname bad)/writeback; }";

/// `data_err=`: an overwrite that the device takes completes in the interrupt
/// either way. One that it does not is reported, and stops the file system only
/// where that was asked for.
pub fn data_errors(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    bad_data(lab, s)?;
    for (answer, file, block) in [
        ("ignore", "file", 7),
        ("ignore", "ahead", 3),
        ("abort", "file", 7),
        ("abort", "ahead", 3),
    ] {
        let after = match answer {
            "ignore" => "touch /mnt/after && rm /mnt/after && overwrite file 4",
            _ => {
                "! touch /mnt/after 2>/tmp/said || { echo 'the file system goes on'; exit 1; }
                grep -q 'Read-only file system' /tmp/said"
            }
        };
        s.sh(
            lab,
            &format!(
                "{OVERWRITE}
                mount -t $FS -o data_err={answer},errors=remount-ro /dev/mapper/bad /mnt || exit 1
                if [ $FS = ext4rs ]; then i=$(counter interrupt) w=$(counter worker); fi
                overwrite file 3 || {{ cat /tmp/said; exit 1; }}
                if [ $FS = ext4rs ]; then
                    [ $(counter interrupt) -gt $i ] || {{ echo 'the overwrite did not complete in the interrupt'; exit 1; }}
                    [ $(counter worker) = $w ] || {{ echo 'the overwrite went to the worker'; exit 1; }}
                fi
                refused {file} {block}
                {after} || {{ cat /tmp/said; exit 1; }}
                umount /mnt && e2fsck -fp /dev/mapper/bad > /dev/null
                [ $? -le 1 ]"
            ),
        )?;
        s.e2fsck()?;
    }
    s.sh(lab, "dmsetup remove bad")?;
    Ok("4 errors".into())
}

/// `data_err=abort` with `errors=panic` stops the machine.
pub fn data_error_panics(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    bad_data(lab, s)?;
    s.expected
        .extend(["Kernel panic - not syncing: ", "Call Trace"].map(String::from));
    let script = format!(
        "FS={} {OVERWRITE}
        mount -t $FS -o data_err=abort,errors=panic /dev/mapper/bad /mnt || exit 1
        overwrite file 7; touch /mnt/after; echo still here",
        lab.fs
    );
    let (end, text) = s.guest(lab)?.capture(&script, SESSION_LIMIT)?;
    let log = s.log_since_begin();
    s.discard();
    ensure!(
        end == End::Gone && log.contains("panic forced after"),
        "the kernel did not panic: {}",
        text.trim()
    );
    Ok(String::new())
}

/// The disk is taken away: what is in memory is not shown as if it were there, and nothing is
/// accepted any more.
pub fn device_removed(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    io_errors_are_expected(s);
    s.expected.push("borting journal".into());
    s.fresh(lab, "64M", "")?;
    s.sh(
        lab,
        "mount -t $FS $DEV /mnt && echo text > /mnt/file && sync || exit 1
        disk=$(basename $(readlink -f /sys/block/$DISK/device))
        echo $disk > /sys/bus/virtio/drivers/virtio_blk/unbind || exit 1
        for call in 'cat /mnt/file' 'touch /mnt/another'; do
            said=$($call 2>&1) && { echo \"$call: works\"; exit 1; }
            case \"$said\" in *'nput/output error'*) ;; *) echo \"$said\"; exit 1;; esac
        done
        umount /mnt && echo $disk > /sys/bus/virtio/drivers/virtio_blk/bind
        mount -t $FS $DEV /mnt && [ $(cat /mnt/file) = text ] && umount /mnt",
    )?;
    s.e2fsck()?;
    Ok(String::new())
}
