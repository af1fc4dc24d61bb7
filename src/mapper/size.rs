// SPDX-License-Identifier: GPL-2.0

//! The rules of the on-disk size (`i_disksize`), as functions of numbers. All in bytes.
//!
//! The on-disk size says which bytes a crash may show, so it follows the data: it moves when the
//! data before it is on disk, at completion, under `i_data_sem`, and never past `i_size`.
//!
//! # The tail
//!
//! The block in which the on-disk size lies has a *tail* behind it, unless the size lies between
//! two blocks. In the page cache the tail is zero as soon as anybody may look at it; on the device
//! it can hold anything: what was there before the file was cut, or what a store through a mapping
//! put behind the end while the block was on its way to the disk. That matters only in a *written*
//! block: others read as zeros after a crash. No block behind it is written, as a conversion comes
//! with or after the size that covers it.
//!
//! So a grow that passes the tail of a written block is *pending* ([`PendingGrow`]) until that
//! block has been written with the tail that the grow gave it. Meanwhile the on-disk size stays,
//! and the completions of later blocks, which would have to move it, wait:
//!
//! ```text
//!              announce                dirtied               submitted
//!   None ───────────────► Announced ──────────────► Dirty ──────────────► InFlight
//!    ▲    grow begins,        │     folio locked,           folio locked,    │
//!    │    rwsem held          │     tail gets zeroed  │     given a bio      │ its completion,
//!    └────────────────────────┴───────────────────────┴──────────────────────┘ or an error
//!              withdraw: the write did not come so far
//! ```
//!
//! The two steps under the folio's lock are what makes it exact. An I/O that was on its way when
//! the tail became zero is not taken for the one that is waited for: the folio is given to a new
//! bio only after the completion of the old one is through.

use crate::format::BlockSize;
use core::ops::Range;

/// The longest run of blocks that one extent of the disk can hold as unwritten.
pub const MAX_RUN: u32 = 32767;

/// The on-disk size after data up to `written_end` has reached the disk; `None` where it stays.
///
/// `aim` is the size that a pending grow asked for, if the I/O that completed is the one that it
/// waited for: then nothing is in the way of that size any longer.
pub fn size_after_write(
    disk_size: u64,
    inode_size: u64,
    written_end: u64,
    aim: Option<u64>,
) -> Option<u64> {
    let reached = written_end.max(aim.unwrap_or(0)).min(inode_size);
    (reached > disk_size).then_some(reached)
}

/// How far a pending grow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// None is pending.
    None,
    /// It is about to happen.
    Announced,
    /// The tail has been zeroed in the page cache; its folio is dirty.
    Dirty,
    /// The folio is on its way to the device with that tail.
    InFlight,
}

/// A grow of one file that waits for the tail of the last block; see the head of the module.
#[derive(Debug, Hash)]
pub struct PendingGrow {
    stage: Stage,
    /// The size of the file before the grow; never on a block boundary, while one is pending.
    from: u64,
    /// The block that it lies in: its first byte, and the one behind it.
    block: (u64, u64),
    /// A size that the file gets without data: of a truncate or `fallocate()`.
    aim: u64,
}

impl Default for PendingGrow {
    fn default() -> Self {
        Self::new()
    }
}

impl PendingGrow {
    /// None.
    pub const fn new() -> Self {
        Self {
            stage: Stage::None,
            from: 0,
            block: (0, 0),
            aim: 0,
        }
    }

    /// Whether a grow is announced or pending.
    pub fn is_some(&self) -> bool {
        self.stage != Stage::None
    }

    /// A grow is going to pass the tail behind `size`, the file's size, which lies inside a
    /// written block of `block` bytes. The caller keeps everybody else from changing the size, and
    /// has waited for the [tail](Self::tail) of an earlier one, with which its aim would be lost.
    pub fn announce(&mut self, size: u64, block: BlockSize) {
        *self = Self {
            stage: Stage::Announced,
            from: size,
            block: (block.start_of(size), block.end_of(size)),
            aim: 0,
        };
    }

    /// The end of a grow, whose tail was sent to the device if its folio was dirty: if it has not
    /// gone there now, the grow did not come so far, and is none. Returns whether completions may
    /// have [waited](Self::holds_back) for it.
    pub fn withdraw(&mut self) -> bool {
        if self.stage == Stage::InFlight {
            return false;
        }
        core::mem::replace(&mut self.stage, Stage::None) == Stage::Dirty
    }

    /// The tail's folio is locked, and before it is unlocked it will be dirty, with a tail that is
    /// right for the grow. Called for the first folio that is touched after the announcement, which
    /// is that one.
    pub fn dirtied(&mut self) {
        if self.stage == Stage::Announced {
            self.stage = Stage::Dirty;
        }
    }

    /// The dirty bytes of `range`, their folio locked, are given to a bio.
    pub fn submitted(&mut self, range: &Range<u64>) {
        if self.stage == Stage::Dirty && self.touches(range) {
            self.stage = Stage::InFlight;
        }
    }

    /// The file gets `size` by the grow, without data. False if nothing is in the way of that:
    /// then the on-disk size may follow at once.
    #[must_use]
    pub fn aim_at(&mut self, size: u64) -> bool {
        self.aim = size;
        self.stage != Stage::None && self.stage != Stage::Announced
    }

    /// Whether the completion of `range` is the one that the grow waits for.
    pub fn waits_for(&self, range: &Range<u64>) -> bool {
        self.stage == Stage::InFlight && self.touches(range)
    }

    /// Whether a completion of bytes from `start` on has to wait for the grow's.
    pub fn holds_back(&self, start: u64) -> bool {
        matches!(self.stage, Stage::Dirty | Stage::InFlight) && start >= self.block.1
    }

    /// The I/O that the grow waited for is done: it is not pending any more. Returns the size that
    /// it asked for.
    pub fn done(&mut self) -> u64 {
        self.stage = Stage::None;
        self.aim
    }

    /// The tail, where it is not on the device yet.
    pub fn tail(&self) -> Option<Range<u64>> {
        let pending = matches!(self.stage, Stage::Dirty | Stage::InFlight);
        pending.then(|| self.from..self.block.1)
    }

    /// The tail, where it is not even on its way.
    pub fn tail_to_submit(&self) -> Option<Range<u64>> {
        self.tail().filter(|_| self.stage == Stage::Dirty)
    }

    /// Whether `range`, widened to whole blocks, has the tail in it.
    fn touches(&self, range: &Range<u64>) -> bool {
        range.start < self.block.1 && range.end > self.block.0
    }
}
