// SPDX-License-Identifier: GPL-2.0

//! Checks that only the debug kernel can make, and those that are run for its
//! sake.

use super::session::{Session, LIMIT};
use super::Lab;
use anyhow::{ensure, Result};
use std::time::Duration;

/// Stressors of stress-ng that work on files, a few seconds each.
const STRESSORS: &str = "access,aio,chattr,chdir,chmod,chown,copy-file,dentry,dir,dirdeep,dirmany,\
    dup,fallocate,fcntl,fd-race,fiemap,file-ioctl,filename,filerace,flock,fpunch,fsize,fstat,getdent,handle,hdd,\
    inotify,io,io-uring,iomix,lease,link,locka,lockf,lockmix,lockofd,metamix,mknod,open,readahead,\
    rename,revio,rotate,seek,sendfile,splice,symlink,sync-file,touch,unlink,utime";

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
            umount /mnt || exit 1
            exit $r"
        ),
        limit,
    )?;
    s.e2fsck()?;
    Ok(format!("{kinds} kinds of stress"))
}

/// Makes kmemleak forget what it suspects of the boot, before the module is
/// loaded. It suspects nothing that is younger than five seconds, or that changed
/// since the scan before. From then on it
/// scans when [`leaks`] asks.
pub const FORGET_BOOT: &str =
    "mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
    echo scan=off > /sys/kernel/debug/kmemleak
    sleep 6; echo scan > /sys/kernel/debug/kmemleak; echo scan > /sys/kernel/debug/kmemleak
    echo clear > /sys/kernel/debug/kmemleak";

/// Whose allocations kmemleak suspects for no fault of the module: a part of
/// UML's .bss lies outside of what it scans, so whatever only a variable of the
/// kernel's refers to looks lost. The boot and interrupts, and the bookkeeping of
/// swap areas; with C ext4 the same ones are reported.
const NOT_OURS: &[&str] = &["swapper", "swapper/0", "hardirq", "swapon", "mkswap"];

/// The reports of kmemleak that are about none of [`NOT_OURS`].
fn leaked(report: &str) -> Vec<&str> {
    report
        .split("unreferenced object")
        .skip(1)
        .filter(|object| {
            let comm = object.split('"').nth(1);
            !comm.is_some_and(|comm| NOT_OURS.contains(&comm))
        })
        .collect()
}

/// After all the other checks: the module can go, and nothing of it stays.
pub fn leaks(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    // The report itself is judged, object by object.
    s.expected.push("new suspected memory leaks".into());
    let found = s.sh(
        lab,
        "scan() { echo scan > /sys/kernel/debug/kmemleak || { echo 'kmemleak is off'; exit 1; }; }
        rmmod ext4rs || exit 1
        sync; echo 3 > /proc/sys/vm/drop_caches
        # what was freed by RCU a moment ago is no leak; what is found twice is
        sleep 5; scan
        sleep 6; scan
        cat /sys/kernel/debug/kmemleak || exit 1
        echo clear > /sys/kernel/debug/kmemleak
        modprobe ext4rs",
    )?;
    let leaked = leaked(&found);
    ensure!(
        leaked.is_empty(),
        "kmemleak reports {} objects: {}",
        leaked.len(),
        leaked.concat().trim()
    );
    Ok(String::new())
}

/// Lockdep switches itself off at its first report, and whatever went before the
/// module is in no log that is looked at: without this check its silence says
/// nothing.
pub fn lockdep(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let text = s.sh(lab, "cat /proc/lockdep_stats")?;
    let value = |name: &str| -> Option<u32> {
        let line = text.lines().find(|l| l.trim().starts_with(name))?;
        line.split_once(':')?
            .1
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    ensure!(value("debug_locks") == Some(1), "lockdep is off: {text}");
    let classes = value("lock-classes").unwrap_or_default();
    Ok(format!("{classes} classes of locks"))
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

#[cfg(test)]
mod tests {
    use super::leaked;

    #[test]
    fn leaks_of_the_module_are_told_from_the_kernels() {
        let object = |comm: &str| {
            format!(
                "unreferenced object 0x64c25740 (size 8):\n  comm \"{comm}\", pid 1, jiffies 7\n"
            )
        };
        let report = ["swapper/0", "mount", "swapon", "kworker/0:2"].map(object);
        let report = report.concat();
        let found = leaked(&report);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("mount") && found[1].contains("kworker"));
        // what says nothing of its maker is not passed over
        assert_eq!(leaked("unreferenced object 0x1 (size 8):\n").len(), 1);
    }
}
