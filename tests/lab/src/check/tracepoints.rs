// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of the data path tell what happened, with the right
//! numbers.

use super::session::{Session, PAUSE};
use super::Lab;
use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;

const BLOCK: u64 = 4096;

/// A file is written, synced, made longer past its tail and read again; an
/// empty one gets data and is synced while its completion is held.
const SCRIPT: &str = r#"set -e
trace=/sys/kernel/tracing
[ -e $trace/trace ] || mount -t tracefs none $trace
mount -t $FS $DEV /mnt
echo > $trace/trace
echo 1 > $trace/events/ext4rs/enable
mark() { echo "== $*" > $trace/trace_marker; }

touch /mnt/file
mark file $(stat -c %i /mnt/file)
dd if=/dev/zero of=/mnt/file bs=64k count=1 conv=notrunc,fsync 2>/dev/null
truncate -s 100000 /mnt/file
echo 1 > /proc/sys/vm/drop_caches
dd if=/mnt/file of=/dev/null bs=4k count=1 2>/dev/null

touch /mnt/tail
mark tail $(stat -c %i /mnt/tail)
dd if=/dev/zero of=/mnt/tail bs=5000 count=1 conv=notrunc,fsync 2>/dev/null
truncate -s 20000 /mnt/tail
sync /mnt/tail

tags=/sys/fs/ext4rs/$DISK/errortag
if [ -e $tags ]; then
    touch /mnt/held
    mark held $(stat -c %i /mnt/held)
    put() { dd if=/dev/zero of=/mnt/held bs=4k count=1 seek=$1 conv=notrunc,fsync 2>/dev/null; }
    # its size is on disk, so that cutting it does not wait for the data
    truncate -s 12288 /mnt/held
    sync /mnt/held
    dd if=/dev/zero of=/mnt/held bs=4k count=3 conv=notrunc 2>/dev/null
    echo hold 60000 > $tags/map_found
    sync /mnt/held &
    pause $tags/map_found
    truncate -s 4096 /mnt/held
    echo off > $tags/map_found
    wait
    echo hold 60000 > $tags/completion
    put 1 &
    pause $tags/completion
    put 2 &
    sleep 3
    put 3 &
    sleep 3
    echo off > $tags/completion
    wait
fi
echo 0 > $trace/events/ext4rs/enable
umount /mnt
cat $trace/trace
"#;

/// A line of the trace.
struct Event<'a> {
    name: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Event<'a> {
    /// "task-1 [000] ..... 1.2: name: key value key value"
    fn parse(line: &'a str) -> Option<Self> {
        let (before, values) = line.split_once(": dev ")?;
        let name = before.rsplit(' ').next()?;
        let mut words = values.split_whitespace().skip(1);
        let mut pairs = BTreeMap::new();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            pairs.insert(key, value);
        }
        Some(Self {
            name: name.strip_prefix("ext4rs_")?,
            values: pairs,
        })
    }

    fn get(&self, key: &str) -> &'a str {
        self.values.get(key).copied().unwrap_or("")
    }

    fn number(&self, key: &str) -> Result<u64> {
        let value = self.get(key);
        value
            .parse()
            .with_context(|| format!("{}: {key} `{value}`", self.name))
    }
}

/// The events of one file, in their order.
struct Story<'a>(Vec<Event<'a>>);

impl<'a> Story<'a> {
    fn of(text: &'a str, file: &str) -> Result<Self> {
        let ino = text
            .lines()
            .find_map(|l| l.split_once(&format!("== {file} ")))
            .with_context(|| format!("no mark of {file} in the trace:\n{text}"))?
            .1;
        let events = text.lines().filter_map(Event::parse);
        let own: Vec<_> = events.filter(|e| e.get("ino") == ino.trim()).collect();
        ensure!(!own.is_empty(), "no event of {file}");
        Ok(Self(own))
    }

    /// The first event of this name with these values.
    fn find(&self, name: &str, values: &[(&str, &str)]) -> Result<&Event<'a>> {
        let wanted = |e: &&Event<'_>| values.iter().all(|(k, v)| e.get(k) == *v);
        let mut named = self.0.iter().filter(|e| e.name == name);
        named.clone().find(wanted).with_context(|| {
            let seen: Vec<String> = named.by_ref().map(|e| format!("{:?}", e.values)).collect();
            format!("no {name} with {values:?}, but {}", seen.join("; "))
        })
    }
}

pub fn tracepoints(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    s.fresh(lab, "256M", "")?;
    let text = s.sh(lab, &format!("{PAUSE}{SCRIPT}"))?;
    s.e2fsck()?;
    written_and_read(&Story::of(&text, "file")?)?;
    grown(&Story::of(&text, "tail")?)?;
    let forced = text.contains("== held ");
    if forced {
        held(&Story::of(&text, "held")?)?;
    }
    let events = text.lines().filter_map(Event::parse).count();
    Ok(match forced {
        true => format!("{events} events, the forced ones among them"),
        false => format!("{events} events"),
    })
}

fn written_and_read(story: &Story<'_>) -> Result<()> {
    story.find(
        "map_blocks_enter",
        &[("lblk", "0"), ("len", "16"), ("intent", "RESERVE_DELAYED")],
    )?;
    let reserved = story.find(
        "map_blocks_exit",
        &[
            ("intent", "RESERVE_DELAYED"),
            ("lblk", "0"),
            ("len", "16"),
            ("pblk", "0"),
            ("mflags", "ND"),
            ("ret", "0"),
        ],
    )?;
    let first = story.find("writeback_range", &[("pos", "0"), ("mapping", "wanted")])?;
    ensure!(
        first.number("limit")? >= 16 * BLOCK,
        "writeback stops before the end: {:?}",
        first.values
    );
    story.find(
        "map_blocks_enter",
        &[("lblk", "0"), ("intent", "WRITEBACK")],
    )?;
    let allocated = story.find(
        "map_blocks_exit",
        &[
            ("intent", "WRITEBACK"),
            ("lblk", "0"),
            ("len", "16"),
            ("mflags", "NU"),
            ("ret", "0"),
        ],
    )?;
    ensure!(
        allocated.number("seq")? > reserved.number("seq")?,
        "an allocation does not move the sequence"
    );
    let place = allocated.get("pblk");
    ensure!(place != "0", "blocks allocated at block 0");
    let queued: u64 = {
        let ends = story.0.iter().filter(|e| e.name == "ioend_queue");
        let lens: Vec<u64> = ends.map(|e| e.number("len")).collect::<Result<_>>()?;
        lens.iter().sum()
    };
    ensure!(queued == 16 * BLOCK, "{queued} bytes queued for a task");
    story.find(
        "ioend_queue",
        &[("pos", "0"), ("unwritten", "1"), ("error", "0")],
    )?;
    story.find("ioend_convert", &[("lblk", "0"), ("ret", "0")])?;
    story.find("size_grow", &[("to", "65536"), ("pending", "0")])?;
    story.find(
        "size_grow",
        &[("from", "65536"), ("to", "100000"), ("pending", "0")],
    )?;
    story.find(
        "map_blocks_exit",
        &[
            ("intent", "READ"),
            ("lblk", "0"),
            ("pblk", place),
            ("mflags", "W"),
        ],
    )?;
    Ok(())
}

fn grown(story: &Story<'_>) -> Result<()> {
    let grow = |pending| [("from", "5000"), ("to", "20000"), ("pending", pending)];
    story.find("size_grow", &grow("1"))?;
    story.find("size_grow", &grow("0"))?;
    Ok(())
}

fn held(story: &Story<'_>) -> Result<()> {
    let retry = story.find("map_retry", &[("lblk", "0"), ("len", "3")])?;
    ensure!(
        retry.number("now")? > retry.number("seq")?,
        "a retry without a change: {:?}",
        retry.values
    );
    story.find(
        "map_blocks_exit",
        &[
            ("intent", "WRITEBACK"),
            ("lblk", "0"),
            ("len", "1"),
            ("mflags", "NU"),
        ],
    )?;
    story.find(
        "ioend_merge",
        &[("pos", "8192"), ("len", "8192"), ("merged", "1")],
    )?;
    story.find(
        "ioend_convert",
        &[("lblk", "2"), ("len", "2"), ("ret", "0")],
    )?;
    Ok(())
}
