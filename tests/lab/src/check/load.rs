// SPDX-License-Identifier: GPL-2.0

//! `make check-load`: everything at once for a long time, in the debug kernel.

use super::session::{e2fsck, with_names, Session};
use super::{debug, Lab};
use anyhow::{Context, Result};
use std::time::Duration;

/// Workers on the file system side by side, and what is done to it meanwhile.
/// `$SECONDS_ALL` is the time they have.
const SCRIPT: &str = r#"
mount -t $FS $DEV /mnt && mkdir /mnt/stress /mnt/fsx /mnt/tree || exit 1
# A worker must not meet a file system that is read-only for a moment.
exec 9> /mnt/held
# A score of writers share one slow CPU: a sync of minutes is no hang here, on C ext4 neither.
echo 600 > /proc/sys/kernel/hung_task_timeout_secs
end=$(($(date +%s) + SECONDS_ALL))
left() { [ $(date +%s) -lt $end ]; }

stress-ng --temp-path /mnt/stress --timeout $SECONDS_ALL --oomable \
    --hdd 2 --hdd-bytes 20m --iomix 1 --iomix-bytes 20m --dir 1 --dentry 1 --rename 1 --link 1 \
    --metamix 1 --fallocate 1 --fallocate-bytes 20m --fpunch 1 --filerace 1 --aio 1 --sync-file 1 >/tmp/stress.log 2>&1 &
stress=$!
( cd /mnt/fsx; n=0; while left; do n=$((n + 1))
    fsx -q -N 2000 -S $((SEED + n)) -P /tmp /mnt/fsx/file > /tmp/fsx.out 2>&1 || exit 1
  done ) & fsx=$!
( while left; do
    cp -r /usr/share/doc/e2fsprogs /usr/share/perl5 /mnt/tree 2>/dev/null
    guest snapshot /mnt/tree > /dev/null || exit 1
    rm -rf /mnt/tree/*
  done ) & tree=$!

times=0 longest=0
while left; do
    fsfreeze -f /mnt && sleep 1 && fsfreeze -u /mnt || exit 1
    echo 3 > /proc/sys/vm/drop_caches
    mount -o remount,noatime,commit=1 /mnt || exit 1
    ! mount -o remount,ro /mnt 2>/dev/null || { echo 'read-only with a file open for writing'; exit 1; }
    stress-ng --quiet --vm 1 --vm-bytes 90% --vm-populate --timeout 5 --oomable >/dev/null 2>&1
    began=$(date +%s)
    sync -f /mnt || exit 1
    took=$(($(date +%s) - began))
    [ $took -le $longest ] || longest=$took
    mount -o remount,relatime,commit=5 /mnt || exit 1
    sleep 3
    times=$((times + 1))
done
wait $fsx || { echo 'fsx found a difference'; tail -n 8 /tmp/fsx.out; grep -v '^\[' /tmp/fsx.out; exit 1; }
wait $tree || { echo 'a tree could not be read'; exit 1; }
wait $stress; s=$?
# 3: a stressor had no memory or no space; 7: one was killed for want of memory
case $s in
0 | 3 | 7) ;;
*) echo "stress-ng ended with $s"; grep -v -e dispatching -e defaulting /tmp/stress.log | tail -n 12; exit 1 ;;
esac
exec 9>&-
mount -o remount,ro /mnt && mount -o remount,rw /mnt && umount /mnt || exit 1
echo "frozen, remounted and squeezed $times times; longest sync $longest s"
"#;

/// The load, then e2fsck and the search for leaks.
pub fn load(lab: &Lab<'_>, s: &mut Session, seconds: u64) -> Result<String> {
    s.fresh(lab, "1500M", "")?;
    let script = format!(
        "SECONDS_ALL={seconds} SEED={}\n{SCRIPT}",
        lab.seed % 100_000
    );
    let limit = Duration::from_secs(seconds * 2 + 600);
    let text = s.guest(lab)?.sh(&with_names(lab, &script), limit)?;
    e2fsck(&s.image).context("after the load")?;
    debug::leaks(lab, s)?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
