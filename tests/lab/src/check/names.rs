// SPDX-License-Identifier: GPL-2.0

//! Directories at their limits, and names that lead where none may.

use super::session::Session;
use super::Lab;
use anyhow::Result;

/// What a script says that goes wrong where it should not.
const REFUSED: &str = r#"refused() {
    reason=$1; shift
    said=$("$@" 2>&1) && { echo "accepted: $*"; exit 1; }
    case "$said" in *"$reason"*) ;; *) echo "$*: $said"; exit 1;; esac
}
links() { [ $(stat -c %h $1) = $2 ] || { echo "$1: $(stat -c %h $1) links, not $2"; exit 1; }; }
"#;

/// An indexed directory stops counting its children at 65,000, and has one link from then on
/// (`dir_nlink`); one without an index takes no more.
pub fn link_counts(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "64M", "")?;
    let script = r#"set -e
        name=$(printf '%0195d' 0)
        mount -t $FS $DEV /mnt; cd /mnt
        mkdir large flat from from/child
        (cd large && touch $(for i in $(seq 11 50); do echo $name$i; done))
        cd /; umount /mnt
        debugfs -w -R 'sif large links_count 64999' $DEV 2>/dev/null
        debugfs -w -R 'sif flat links_count 65000' $DEV 2>/dev/null
        mount -t $FS $DEV /mnt; cd /mnt
        mkdir large/a; links large 65000
        mkdir large/b; links large 1
        mkdir large/c; rmdir large/c; links large 1
        mv from/child large/child; links large 1
        refused 'Too many links' mkdir flat/a
        refused 'Too many links' mv large/child flat/child
        links flat 65000; [ -d large/child ]
        cd /; umount /mnt
        debugfs -w -R 'sif large links_count 5' $DEV 2>/dev/null
        debugfs -w -R 'sif flat links_count 2' $DEV 2>/dev/null"#;
    s.sh(lab, &format!("{REFUSED}{script}"))?;
    s.e2fsck()?;
    Ok(String::new())
}

/// A directory whose first block is damaged does not move to another one: `..` could not follow.
pub fn damaged_directory_stays(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec![format!("ext4rs ({})", lab.parts.disk(0)), "EXT4-fs".into()];
    s.judged(
        lab,
        "64M",
        "",
        r#"set -e
        mount -t $FS $DEV /mnt; mkdir -p /mnt/a/d /mnt/b; touch /mnt/a/d/file; umount /mnt
        block=$(debugfs -R 'bmap /a/d 0' $DEV 2>/dev/null)
        at=$((block * 4096 + 100))
        dd if=$DEV of=/tmp/byte bs=1 skip=$at count=1 2>/dev/null
        printf damage | dd of=$DEV bs=1 seek=$at count=1 conv=notrunc 2>/dev/null
        blockdev --flushbufs $DEV
        mount -t $FS -o errors=continue $DEV /mnt
        if mv /mnt/a/d /mnt/b/d 2>/dev/null; then echo 'it has moved'; exit 1; fi
        umount /mnt
        dd if=/tmp/byte of=$DEV bs=1 seek=$at conv=notrunc 2>/dev/null
        blockdev --flushbufs $DEV
        debugfs -w -R 'ssv state 1' $DEV 2>/dev/null
        mount -t $FS $DEV /mnt
        [ -e /mnt/a/d/file ] || { echo 'it is not where it was'; exit 1; }
        [ ! -e /mnt/b/d ] || { echo 'it is in both places'; exit 1; }
        umount /mnt"#,
    )
}

/// A name that leads to the orphan file opens nothing.
pub fn no_name_for_the_orphan_file(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.expected = vec![format!("ext4rs ({})", lab.parts.disk(0)), "EXT4-fs".into()];
    s.fresh(lab, "64M", "")?;
    let script = r#"set -e
        ino=$(dumpe2fs -h $DEV 2>/dev/null | sed -n 's/^Orphan file inode: *//p')
        [ -n "$ino" ]
        debugfs -w -R "ln <$ino> /orphans" $DEV 2>/dev/null
        mount -t $FS -o errors=continue $DEV /mnt
        refused 'tructure needs cleaning' cat /mnt/orphans
        umount /mnt
        debugfs -w -R 'unlink /orphans' $DEV 2>/dev/null
        debugfs -w -R 'ssv state 1' $DEV 2>/dev/null"#;
    s.sh(lab, &format!("{REFUSED}{script}"))?;
    s.e2fsck()?;
    Ok(String::new())
}
