// SPDX-License-Identifier: GPL-2.0

//! Counters of the data path, shown in `/proc/fs/ext4rs/<device>/writeback`.

use crate::kern::proc::Show;
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::atomic::{ordering::Relaxed, Atomic},
};

/// One event counter. Counts are for people; no decision is made from them.
pub(crate) struct Counter(Atomic<i64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts `n` events.
    pub(crate) fn add(&self, n: u32) {
        self.0.fetch_add(i64::from(n), Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one mounted file system.
pub(crate) struct WritebackStats {
    /// Dirty ranges that iomap asked blocks for.
    pub(crate) range_calls: Counter,
    /// Mapper calls among them: the others could use the mapping that was there.
    pub(crate) map_calls: Counter,
    /// Blocks that these mapper calls mapped.
    pub(crate) mapped_blocks: Counter,
    /// How often the mapper found, under the lock, that the sequence had moved since its lookup.
    pub(crate) recheck_retries: Counter,
    /// Bios of plain overwrites: completed where they ended.
    pub(crate) completions_interrupt: Counter,
    /// Completions in task context, after merging.
    pub(crate) completions_task: Counter,
    /// Bios that were merged into another one's completion.
    pub(crate) completions_merged: Counter,
    /// Transactions that were committed.
    pub(crate) journal_commits: Counter,
}

impl WritebackStats {
    /// All zero.
    pub(crate) const fn new() -> Self {
        Self {
            range_calls: Counter::new(),
            map_calls: Counter::new(),
            mapped_blocks: Counter::new(),
            recheck_retries: Counter::new(),
            completions_interrupt: Counter::new(),
            completions_task: Counter::new(),
            completions_merged: Counter::new(),
            journal_commits: Counter::new(),
        }
    }
}

impl Show for WritebackStats {
    fn show(&self, out: &SeqFile) {
        for (key, counter) in [
            ("writeback_range_calls", &self.range_calls),
            ("writeback_map_calls", &self.map_calls),
            ("writeback_mapped_blocks", &self.mapped_blocks),
            ("recheck_retries", &self.recheck_retries),
            ("completions_interrupt", &self.completions_interrupt),
            ("completions_task", &self.completions_task),
            ("completions_merged", &self.completions_merged),
            ("journal_commits", &self.journal_commits),
        ] {
            seq_print!(out, "{} {}\n", key, counter.get());
        }
    }
}
