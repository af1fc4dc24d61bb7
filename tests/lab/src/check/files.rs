// SPDX-License-Identifier: GPL-2.0

//! Checks of undamaged file systems.

use super::session::{Session, LIMIT};
use super::Lab;
use crate::machine::End;
use anyhow::{bail, ensure, Context, Result};

/// Mount and unmount, read-only, remount, sync, statfs, and again.
pub fn mount(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "512M", "")?;
    s.sh(
        lab,
        "set -e
        mount -t $FS $DEV /mnt
        grep \"^$DEV /mnt $FS rw\" /proc/mounts
        [ \"$(stat -f -c %T /mnt)\" = ext2/ext3 ]
        ls -d /mnt/lost+found
        echo first > /mnt/file
        sync
        mount -o remount,ro /mnt
        grep \"^$DEV /mnt $FS ro\" /proc/mounts
        if touch /mnt/no 2>/dev/null; then echo 'a file was made'; exit 1; fi
        if sh -c 'echo x >> /mnt/file' 2>/dev/null; then echo 'it was written'; exit 1; fi
        [ \"$(cat /mnt/file)\" = first ]
        mount -o remount,rw /mnt
        echo second >> /mnt/file
        umount /mnt",
    )?;
    s.e2fsck()?;
    s.sh(
        lab,
        "set -e
        mount -t $FS -o ro $DEV /mnt
        [ \"$(tail -n 1 /mnt/file)\" = second ]
        if touch /mnt/no 2>/dev/null; then echo 'a file was made'; exit 1; fi
        umount /mnt
        for i in 1 2 3 4 5; do
            mount -t $FS -o noatime $DEV /mnt
            echo $i > /mnt/file$i
            umount /mnt
        done
        mount -t $FS $DEV /mnt
        cat /mnt/file[12345] | tr -d '\\n' | grep '^12345$'
        umount /mnt",
    )?;
    s.e2fsck()?;
    // 8 MiB is the smallest, with 4 KiB blocks and a journal
    for size in ["8M", "64M", "2000M"] {
        s.fresh(lab, size, "")?;
        s.sh(
            lab,
            "mount -t $FS $DEV /mnt && cp /etc/mke2fs.conf /mnt && umount /mnt",
        )
        .with_context(|| format!("a disk of {size}"))?;
        s.e2fsck().with_context(|| format!("a disk of {size}"))?;
    }
    Ok(String::new())
}

/// The superblock after the same steps on both drivers: state, counts, features and the rest are
/// equal, but for times, what depends on them, and the place of inodes.
pub fn superblock(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let mut seen = Vec::new();
    for fs in [lab.fs.as_str(), "ext4"] {
        // Inode tables are ready: C ext4 fills them at a random moment, which starts the journal.
        s.fresh(lab, "256M", "-U 2f0a4b4e-91b6-4d2c-8e1f-0c3f6f6a1d22 -E lazy_itable_init=0,hash_seed=2f0a4b4e-91b6-4d2c-8e1f-0c3f6f6a1d23")?;
        let text = s.sh(
            lab,
            &format!(
                "set -e
                show() {{
                    blockdev --flushbufs $DEV
                    echo \"== $1\"
                    dumpe2fs -h $DEV 2>/dev/null | grep -vE 'time:|hecked:|created:|hecksum:|Journal sequence|Lifetime writes|Default mount|blocks: '
                }}
                mount -t {fs} -o ro $DEV /mnt; show 'mounted read-only'; umount /mnt
                show 'after a read-only mount'
                mount -t {fs} $DEV /mnt; sync; show mounted
                mkdir /mnt/d; echo text > /mnt/d/file; ln -s file /mnt/d/link
                mount -o remount,ro /mnt; show 'remounted read-only'
                mount -o remount,rw /mnt; sync; show 'and read-write again'
                rm /mnt/d/file
                umount /mnt; show unmounted
                tune2fs -e remount-ro $DEV >/dev/null
                mount -t {fs} $DEV /mnt; echo x > /mnt/y; umount /mnt; show 'once more'"
            ),
        )
        .with_context(|| format!("as {fs}"))?;
        seen.push(text);
    }
    let lines: Vec<Vec<&str>> = seen.iter().map(|t| t.lines().collect()).collect();
    let [ours, theirs] = lines.as_slice() else {
        bail!("two texts")
    };
    ensure!(ours.len() > 100, "dumpe2fs shows too little");
    let differ: Vec<String> = ours
        .iter()
        .zip(theirs)
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("`{a}` and not `{b}`"))
        .collect();
    ensure!(differ.is_empty(), "{}", differ.join("; "));
    ensure!(ours.len() == theirs.len(), "not the same lines");
    Ok(format!("{} lines", ours.len()))
}

/// What must not be mounted, and what the log must say then.
pub fn mount_refused(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    // name, how the disk is made, mount options, part of the log that names
    // the reason on ext4rs
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "no file system",
            "dd if=/dev/zero of=$DEV bs=1M count=4",
            "",
            "",
        ),
        (
            "random bytes",
            "dd if=/dev/urandom of=$DEV bs=1M count=4",
            "",
            "",
        ),
        (
            "an unknown option",
            "mke2fs -q -F -t ext4 -b 4096 $DEV 64M",
            "frobnicate",
            "frobnicate",
        ),
        (
            "a bad value",
            "mke2fs -q -F -t ext4 -b 4096 $DEV 64M",
            "errors=perhaps",
            "",
        ),
        (
            "an unknown incompat feature",
            "mke2fs -q -F -t ext4 -b 4096 $DEV 64M && debugfs -w -R 'feature FEATURE_I29' $DEV",
            "",
            "feature",
        ),
        (
            "an external journal that is not there",
            "mke2fs -q -F -t ext4 -b 4096 $DEV 64M && debugfs -w -R 'ssv journal_inum 0' $DEV",
            "",
            "journal",
        ),
    ];
    let mut accepted = Vec::new();
    for (name, make, options, word) in cases {
        s.sh(
            lab,
            &format!("{{ {make}; }} >/dev/null 2>&1; blockdev --flushbufs $DEV"),
        )?;
        let option = if options.is_empty() {
            "defaults"
        } else {
            options
        };
        let guest = s.guest(lab)?;
        let mark = guest.log_len();
        let script = format!(
            "! mount -t {} -o {option} /dev/{} /mnt || {{ umount /mnt; exit 1; }}",
            lab.fs,
            lab.parts.disk(0)
        );
        let (end, text) = guest.capture(&script, LIMIT)?;
        let log = guest.log_from(mark)?;
        match end {
            End::Exit(0) => {}
            End::Exit(_) => accepted.push(format!("{name}: mounted")),
            _ => bail!("{name}: the guest hung or died: {text}"),
        }
        // mount(8) prints what the file system said about the options
        let said = format!("{text}{log}").to_lowercase();
        if lab.fs == "ext4rs" && !said.contains(word) {
            accepted.push(format!(
                "{name}: refused, but the log does not name `{word}`: {}",
                log.trim()
            ));
        }
    }
    s.expected
        .extend([format!("ext4rs ({})", lab.parts.disk(0)), "EXT4-fs".into()]);
    ensure!(accepted.is_empty(), "{}", accepted.join("; "));
    Ok(format!("{} disks", cases.len()))
}

/// For mke2fs: the blocks that it chooses by itself below 512 MiB, four to a page.
const SMALL_BLOCKS: &str = "-b 1024";

/// Runs the operations in a fresh file system of type `fs`, made with `options`; what they leave
/// must look the same after a remount and through C ext4.
fn operations_as(lab: &Lab<'_>, s: &mut Session, fs: &str, options: &str) -> Result<String> {
    s.fresh(lab, "1G", options)?;
    let text = s.sh(
        lab,
        &format!(
            "mount -t {fs} $DEV /mnt && guest ops /mnt && sync && guest snapshot /mnt > /tmp/first; r=$?
            umount /mnt || exit 1
            exit $r"
        ),
    )?;
    s.e2fsck()?;
    for other in [fs, "ext4"] {
        s.sh(
            lab,
            &format!(
                "rm -f /tmp/second
                mount -t {other} -o ro $DEV /mnt || exit 1
                guest snapshot /mnt > /tmp/second || exit 1
                umount /mnt || exit 1
                diff -u0 /tmp/first /tmp/second | tail -n +3 | cut -c1-300 | head -10
                cmp -s /tmp/first /tmp/second"
            ),
        )
        .with_context(|| format!("what {fs} left, seen by a fresh mount of {other}"))?;
    }
    let summary = text.lines().rev().find(|l| l.contains("as expected"));
    Ok(summary.context("no summary of the operations")?.to_owned())
}

pub fn operations(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    operations_as(lab, s, &lab.fs, "")
}

/// The same with four blocks to a page.
pub fn operations_in_small_blocks(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    operations_as(lab, s, &lab.fs, SMALL_BLOCKS)
}

pub fn operations_on_ext4(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    operations_as(lab, s, "ext4", "")
}

/// The change counter of a file and of a directory (`i_version`) moves with what
/// C ext4 counts.
pub fn change_counters(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let mut counts = Vec::new();
    for fs in [&lab.fs, "ext4"] {
        s.fresh(lab, "64M", "")?;
        let text = s.sh(
            lab,
            &format!(
                "set -e
                mount -t {fs} $DEV /mnt
                mkdir /mnt/dir
                touch /mnt/dir/file; sleep 0.1
                echo one > /mnt/dir/file; sleep 0.1
                echo two >> /mnt/dir/file; sleep 0.1
                chmod 600 /mnt/dir/file
                truncate -s 5 /mnt/dir/file; truncate -s 5 /mnt/dir/file
                ln /mnt/dir/file /mnt/dir/other; mv /mnt/dir/other /mnt/dir/third; rm /mnt/dir/third
                xfs_io -f -c 'falloc 0 8k' /mnt/dir/mapped; sleep 0.1
                xfs_io -c 'mmap -rw 0 4k' -c 'mwrite 0 4k' /mnt/dir/mapped
                cat /mnt/dir/file > /dev/null
                mkdir /mnt/new; for i in $(seq 100); do echo > /mnt/new/$i; done
                umount /mnt
                for f in /dir /dir/file /dir/mapped; do debugfs -R \"stat $f\" $DEV 2>/dev/null | grep -o 'Version: .*'; done
                # A write at the moment of the creation is not counted: the clock has ticked before some.
                for i in $(seq 100); do echo stat /new/$i; done | debugfs -f - $DEV 2>/dev/null | grep -q 'Version: 0x00000000:00000001' ||
                    {{ echo 'every first write is counted'; exit 1; }}"
            ),
        )?;
        s.e2fsck()?;
        counts.push(text);
    }
    let (found, expected) = (counts.first(), counts.last());
    ensure!(
        found == expected,
        "the counters are {found:?}, with C ext4 {expected:?}"
    );
    Ok(counts
        .concat()
        .lines()
        .take(3)
        .collect::<Vec<_>>()
        .join(", "))
}

/// Gives a script `disk_in_memory SIZE`: a new file system on `$loop`, whose device is the file
/// /tmp/disk in memory.
const DISK_IN_MEMORY: &str = "set -e
    disk_in_memory() {
        modprobe -q loop || true
        truncate -s $1 /tmp/disk
        loop=$(losetup -f)
        losetup $loop /tmp/disk
        mke2fs -q -F -t ext4 -b 4096 $loop
    }
    ";

/// The device is told of free blocks: by `fstrim`, and with `discard` when what was freed has
/// committed. It is a file in memory, which becomes smaller then.
pub fn discards(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let said = s.sh(
        lab,
        &format!("{DISK_IN_MEMORY}{}", "disk_in_memory 96M
        took() { echo $(( $(stat -c '%b * %B' /tmp/disk) >> 20 )); }
        fill() { dd if=/dev/urandom of=/mnt/$1 bs=1M count=20 2>/dev/null; sync; }
        mount -t $FS $loop /mnt
        fill gone; fill kept
        sum=$(sha256sum < /mnt/kept)
        rm /mnt/gone; sync; sleep 1
        before=$(took)
        fstrim -v /mnt
        after=$(took)
        fill more
        mount -o remount,discard /mnt
        rm /mnt/more; sync
        # a worker tells the device
        for i in 1 2 3 4 5 6 7 8 9 10; do
            later=$(took)
            [ $later -gt $((after + 2)) ] || break
            sleep 1
        done
        umount /mnt
        mount -t $FS $loop /mnt
        [ \"$sum\" = \"$(sha256sum < /mnt/kept)\" ] || { echo the file that stayed is another; exit 1; }
        umount /mnt
        e2fsck -fn $loop > /dev/null || exit 1
        losetup -d $loop; rm /tmp/disk
        echo $before $after $later"),
    )?;
    let took: Vec<u64> = said
        .lines()
        .last()
        .unwrap_or_default()
        .split(' ')
        .filter_map(|n| n.parse().ok())
        .collect();
    let [before, trimmed, discarded] = took[..] else {
        bail!("`{said}`");
    };
    ensure!(
        trimmed + 18 <= before && discarded <= trimmed + 2,
        "the device took {before} MiB, after fstrim {trimmed}, after a removal with discard {discarded}"
    );
    Ok(format!("{before} MiB, {trimmed}, {discarded}"))
}

/// What a transaction has freed that never reached the disk is not discarded: after the recovery it
/// is a file's again.
pub fn no_discard_after_an_abort(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec!["ext4rs".into(), "EXT4-fs".into(), "borting journal".into()];
    s.sh(
        lab,
        &format!(
            "{DISK_IN_MEMORY}{}",
            "disk_in_memory 48M
        mount -t $FS -o discard,commit=600 $loop /mnt
        dd if=/dev/urandom of=/mnt/kept bs=1M count=8 2>/dev/null; sync
        sum=$(sha256sum < /mnt/kept)
        rm /mnt/kept
        mount -o remount,abort /mnt || true
        umount /mnt
        mount -t $FS $loop /mnt
        [ \"$sum\" = \"$(sha256sum < /mnt/kept)\" ] || { echo the file is another; exit 1; }
        umount /mnt
        losetup -d $loop; rm /tmp/disk"
        ),
    )?;
    Ok(String::new())
}

/// `EXT4_IOC_CHECKPOINT`: the name of a file that is gone stays in the journal until that is
/// erased.
pub fn journal_erased(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "48M", "")?;
    s.sh(
        lab,
        r#"name=the_name_of_a_secret_file
        on_disk() { dd if=$DEV bs=1M count=48 iflag=direct 2>/dev/null | grep -c -a $name; }
        checkpoint() { perl -e 'open F, "<", "/mnt"; my $x = pack("L", $ARGV[0]);
            ioctl(F, 0x4004662b, $x) or die "checkpoint $ARGV[0]: $!\n"' $1; }
        mount -t $FS $DEV /mnt && touch /mnt/$name && sync && rm /mnt/$name && sync || exit 1
        checkpoint 0 && checkpoint 4 || exit 1
        [ $(on_disk) -gt 0 ] || { echo 'the journal has forgotten by itself'; exit 1; }
        for wrong in 3 8; do
            checkpoint $wrong 2>&1 | grep -q 'Invalid argument' || { echo "$wrong is taken"; exit 1; }
        done
        checkpoint 2 || exit 1
        [ $(on_disk) = 0 ] || { echo 'the name is still there'; exit 1; }
        touch /mnt/another && sync && [ -e /mnt/another ] && umount /mnt"#,
    )?;
    s.e2fsck()?;
    Ok(String::new())
}

/// `FS_IOC_SETFSLABEL` and `FS_IOC_GETFSLABEL`: sets superblock and backups, and nothing that is no
/// label or comes through a read-only mount.
pub fn label(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "512M",
        "-L before",
        r#"label() { perl -e 'open F, "<", $ARGV[0] or die; my $x = "\0" x 256;
            ioctl(F, 0x81009431, $x) or die "get: $!\n"; print $x =~ s/\0.*//sr, "\n"' $1; }
        relabel() { perl -e 'open F, "<", $ARGV[0] or die; my $x = pack("a256", $ARGV[1]);
            ioctl(F, 0x41009432, $x) or die "set: $!\n"' "$1" "$2"; }
        refused() {
            said=$(relabel "$1" "$2" 2>&1) && { echo "'$2' is taken"; exit 1; }
            case "$said" in *"$3"*) ;; *) echo "'$2': $said"; exit 1;; esac
        }
        is() { [ "$2" = "$3" ] || { echo "$1: found '$2', expected '$3'"; exit 1; }; }
        mount -t $FS $DEV /mnt && mkdir /mnt/d || exit 1
        is 'as made' "$(label /mnt)" before
        relabel /mnt/d sixteen_letters_ || exit 1
        is 'longest' "$(label /mnt)" sixteen_letters_
        refused /mnt seventeen_letters 'Invalid argument'
        mkdir /tmp/bind && mount --bind -o ro /mnt /tmp/bind || exit 1
        refused /tmp/bind other 'Read-only file system'
        umount /tmp/bind
        relabel /mnt short || exit 1
        is 'shorter' "$(label /mnt)" short
        umount /mnt || exit 1
        for at in 0 32768 98304; do
            superblock=; [ $at = 0 ] || superblock="-o superblock=$at"
            found=$(dumpe2fs $superblock -h $DEV 2>/dev/null | sed -n 's/.*volume name: *//p')
            is "superblock in block $at" "$found" short
        done"#,
    )
}

/// Runs a program of the guest's on a small disk; returns its last line.
fn on_a_small_disk(lab: &Lab<'_>, s: &mut Session, program: &str) -> Result<String> {
    s.fresh(lab, "96M", "-N 2000")?;
    let script = format!(
        "mount -t $FS $DEV /mnt && guest {program} /mnt; r=$?
        umount /mnt || exit 1
        exit $r"
    );
    let text = s.sh(lab, &script)?;
    s.e2fsck()?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// Writes until the disk is full, three times: nothing accepted is lost, nothing
/// leaks, and no reservation stays behind.
pub fn full_disk(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    on_a_small_disk(lab, s, "fill")
}

/// Writes into blocks that were allocated ahead on a disk that has no other: the
/// splits of their extents take what is kept back for that.
pub fn splits_on_a_full_disk(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    on_a_small_disk(lab, s, "split")
}

/// Space for the data and none for the node that its extent needs: the file keeps no trace of it.
pub fn no_room_for_a_node(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.judged(
        lab,
        "64M",
        "-m 0",
        "mount -t $FS $DEV /mnt && cd /mnt || exit 1
        # Four extents fill the root.
        for at in 0 8192 16384 24576; do fallocate -o $at -l 4096 many || exit 1; done
        fallocate -l 12288 spare
        i=0; size=33554432
        while [ $size -ge 4096 ]; do
            fallocate -l $size fill$i 2>/dev/null && i=$((i + 1)) || size=$((size / 2))
        done
        rm spare && sync
        fallocate -o 40960 -l 12288 many && { echo 'there was room'; exit 1; }
        cd / && umount /mnt",
    )
}

/// Directories that are full of names get an index, or a child, with one and with two blocks left:
/// where that fails, what was done until then is whole.
pub fn directories_on_a_full_disk(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "24M", "-m 0 -N 2048")?;
    let text = s.sh(
        lab,
        r#"mount -t $FS -o noatime $DEV /mnt && cd /mnt || exit 1
        name=$(printf '%0195d' 0)
        for d in $(seq 24); do
            (mkdir d$d && cd d$d && touch $(for i in $(seq 11 29); do echo $name$i; done)) || exit 1
        done
        for i in $(seq 72); do fallocate -l 4096 spare$i || exit 1; done
        i=0; size=16777216
        while [ $size -ge 4096 ]; do
            fallocate -l $size fill$i 2>/dev/null && i=$((i + 1)) || size=$((size / 2))
        done
        refused=0; spare=0
        free() { for i in $(seq $1); do spare=$((spare + 1)); rm spare$spare; done; sync; }
        for d in $(seq 24); do
            free $((d % 3 + 1))
            if [ $((d % 2)) = 0 ]; then mkdir d$d/${name}30; else touch d$d/${name}30; fi 2>/dev/null ||
                refused=$((refused + 1))
        done
        cd / && umount /mnt && echo $refused"#,
    )?;
    let refused = text.lines().last().unwrap_or_default();
    s.e2fsck()?;
    ensure!(
        refused.parse::<u32>().is_ok_and(|n| (4..24).contains(&n)),
        "{refused} of 24 refused"
    );
    Ok(format!("{refused} of 24 refused"))
}

/// fio writes through write(2) and through mmap, each verified after the page
/// cache was dropped.
pub fn fio(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "1G", "")?;
    let jobs = [
        "--name=sequential --rw=write --bs=64k --fsync_on_close=1",
        "--name=random --rw=randwrite --bs=4k --fdatasync=64",
        "--name=uneven --rw=randwrite --bs=512-20000 --bs_unaligned=1 --norandommap=0 --verify_backlog=64",
        "--name=mapped --rw=randwrite --bs=4k --ioengine=mmap --size=8m",
        "--name=four --rw=randwrite --bs=8k --numjobs=4 --size=4m --group_reporting",
        "--name=libaio --rw=randwrite --bs=4k --ioengine=libaio --direct=1 --iodepth=8",
        "--name=uring --rw=randwrite --bs=4k-64k --ioengine=io_uring --direct=1 --iodepth=16",
        "--name=uring-cached --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=8",
        // its writes overlap: those under way at the same time must not, or either may win
        "--name=parts --rw=randwrite --bs=512-8k --blockalign=512 --ioengine=libaio --direct=1 --iodepth=4 --serialize_overlap=1 --size=4m",
        // one file, two ways, side by side
        "--name=direct --filename=mixed --size=8m --rw=randwrite --bs=8k --ioengine=libaio --direct=1 --iodepth=8 \
         --name=cached --filename=mixed --offset=8m --size=8m --rw=randwrite --bs=6k --ioengine=psync --direct=0",
    ];
    let mut script = String::from(
        "set -e
        common='--directory=/mnt --size=16m --verify=crc32c --verify_fatal=1 --do_verify=1'
        try() { fio $common --minimal --output=/tmp/fio.out $* || { cat /tmp/fio.out; exit 1; }; }
        both() { try $*; sync; echo 3 > /proc/sys/vm/drop_caches; try $* --verify_only; }
        mount -t $FS $DEV /mnt\n",
    );
    for job in jobs {
        script.push_str(&format!("both {job}\n"));
    }
    script.push_str("umount /mnt");
    s.sh(lab, &script)?;
    s.e2fsck()?;
    Ok(format!("{} jobs", jobs.len()))
}

/// fsx: random operations on one file, with mmap, checked against a model.
pub fn fsx(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    fsx_with(lab, s, "", "delalloc", 20_000)
}

/// The same where a write allocates its blocks at once.
pub fn fsx_nodelalloc(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    fsx_with(lab, s, "", "nodelalloc", 10_000)
}

/// The same with four blocks to a page.
pub fn fsx_in_small_blocks(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    fsx_with(lab, s, SMALL_BLOCKS, "delalloc", 20_000)
}

fn fsx_with(
    lab: &Lab<'_>,
    s: &mut Session,
    make: &str,
    options: &str,
    operations: u32,
) -> Result<String> {
    s.fresh(lab, "256M", make)?;
    let seed = lab.seed % 1_000_000;
    // an operation has at least a byte: a posix_fallocate() of none is EINVAL everywhere,
    // and fsx takes that for a file system without it
    s.sh(
        lab,
        &format!(
            "set -e
            mount -t $FS -o {options} $DEV /mnt
            cat > /tmp/fsx.toml <<'END'
flen = 262144
[opsize]
min = 1
max = 65536
[weights]
close_open = 1
invalidate = 1
mapread = 10
mapwrite = 10
read = 10
write = 10
truncate = 5
fsync = 1
fdatasync = 1
punch_hole = 4
posix_fallocate = 2
sendfile = 1
posix_fadvise = 1
copy_file_range = 2
END
            cd /mnt
            fsx -q -f /tmp/fsx.toml -N {operations} -S {seed} -P /tmp /mnt/fsx > /tmp/fsx.out 2>&1 || {{
                echo seed {seed}; tail -n 8 /tmp/fsx.out; grep -v '^\\[' /tmp/fsx.out; exit 1
            }}
            cd /
            umount /mnt"
        ),
    )?;
    s.e2fsck()?;
    Ok(format!("{operations} operations"))
}

/// C ext4 unpacks a tree, ext4rs reads it all and changes a part, C ext4
/// reads that; e2fsck in between.
pub fn round_trip(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "1G", "")?;
    s.sh(
        lab,
        "set -e
        mount -t ext4 $DEV /mnt
        mkdir /mnt/tree
        tar -xf $DEV2 -C /mnt/tree ./fs ./mm ./ipc
        sync
        guest snapshot /mnt > /tmp/first
        umount /mnt",
    )?;
    s.e2fsck()?;
    s.sh(
        lab,
        "set -e
        mount -t $FS $DEV /mnt
        guest snapshot /mnt > /tmp/second
        diff -u0 /tmp/first /tmp/second | cut -c1-300 | head -10
        cmp -s /tmp/first /tmp/second
        cd /mnt/tree
        rm -r fs/xfs
        mv fs/ext4 moved
        cp -r moved fs/copied
        ln mm/slub.c mm/linked.c
        ln -s ../mm ipc/link
        chmod 600 mm/*.h
        for f in ipc/*.c; do echo '/* one more line */' >> $f; done
        truncate -s 1000 mm/memory.c
        cd /
        sync
        guest snapshot /mnt > /tmp/first
        umount /mnt",
    )
    .context("ext4rs on a tree that C ext4 wrote")?;
    s.e2fsck()?;
    s.sh(
        lab,
        "set -e
        mount -t ext4 $DEV /mnt
        guest snapshot /mnt > /tmp/second
        diff -u0 /tmp/first /tmp/second | cut -c1-300 | head -10
        cmp -s /tmp/first /tmp/second
        cmp /mnt/tree/moved/inode.c /mnt/tree/fs/copied/inode.c
        rm -r /mnt/tree
        umount /mnt",
    )
    .context("C ext4 on what ext4rs changed")?;
    s.e2fsck()?;
    Ok(String::new())
}
