// SPDX-License-Identifier: GPL-2.0

//! Checks that only the debug kernel can make, and those that are run for its
//! sake.

use super::session::{Session, LIMIT};
use super::Lab;
use anyhow::{ensure, Result};
use std::time::Duration;

/// Stressors of stress-ng that work on files, a few seconds each.
const STRESSORS: &str = "access,aio,chattr,chdir,chmod,chown,copy-file,dentry,dir,dirdeep,dirmany,\
    dup,fallocate,fcntl,fd-race,fiemap,file-ioctl,filename,flock,fpunch,fsize,fstat,getdent,handle,hdd,\
    inotify,io,io-uring,iomix,lease,link,locka,lockf,lockmix,lockofd,metamix,mknod,open,readahead,\
    rename,revio,rotate,seek,sendfile,splice,symlink,sync-file,touch,truncate,unlink,utime";

const SECONDS_EACH: u64 = 5;

/// Two of each stressor, one kind after the other, with their own checks on.
pub fn stress(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "1G", "")?;
    let kinds = STRESSORS.split(',').count();
    let limit = Duration::from_secs(SECONDS_EACH * kinds as u64 * 4) + LIMIT;
    s.sh_within(
        lab,
        &format!(
            "mount -t $FS $DEV /mnt && mkdir /mnt/stress || exit 1
            stress-ng --quiet --verify --temp-path /mnt/stress --sequential 2 --timeout {SECONDS_EACH} \
                --with {STRESSORS} --metrics-brief; r=$?
            umount /mnt; exit $r"
        ),
        limit,
    )?;
    s.e2fsck()?;
    Ok(format!("{kinds} kinds of stress"))
}

/// After all the other checks: the module can go, and nothing of it stays.
pub fn leaks(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let found = s.sh(
        lab,
        "rmmod ext4rs || exit 1
        sync; echo 3 > /proc/sys/vm/drop_caches
        # what was freed by RCU a moment ago is no leak; what is found twice is
        sleep 5; echo scan > /sys/kernel/debug/kmemleak
        sleep 6; echo scan > /sys/kernel/debug/kmemleak
        cat /sys/kernel/debug/kmemleak
        echo clear > /sys/kernel/debug/kmemleak
        modprobe ext4rs",
    )?;
    ensure!(
        !found.contains("unreferenced object"),
        "kmemleak reports: {}",
        found.trim()
    );
    Ok(String::new())
}

/// The module's KUnit suites, which ran when it was loaded.
pub fn kunit(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let text = s.sh(
        lab,
        "cd /sys/kernel/debug/kunit && for s in ext4rs_*; do cat $s/results; done",
    )?;
    // a suite is `ok` when all its cases are; its plan says how many it has
    ensure!(!text.contains("not ok "), "a suite failed: {}", text.trim());
    let passed: u32 = text
        .lines()
        .filter_map(|l| l.strip_prefix("    1..")?.parse::<u32>().ok())
        .sum();
    let suites = text.lines().filter(|l| l.starts_with("ok ")).count();
    ensure!(suites > 0 && passed > 0, "no test ran: {}", text.trim());
    Ok(format!("{passed} tests in {suites} suites"))
}
