// SPDX-License-Identifier: GPL-2.0

//! The extent that a buffered write found last, for the next one: most files are written in pieces
//! that are much smaller than their extents, and each piece asks again.
//!
//! What is remembered comes with the sequence for which it was true, as every mapping does, and is
//! the truth for as long as the inode's sequence is that one. So nobody has to forget anything
//! here, whatever changes the blocks.
//!
//! The fields are single atomics, not a whole: only who holds the inode's rwsem for write reads or
//! changes them.

use crate::extent_status::{Extent, State};
use crate::format::units::{LogicalBlock, PhysicalBlock};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// An extent of one inode, and the sequence for which it is true.
#[derive(Default)]
pub struct Recent {
    sequence: AtomicU64,
    start: AtomicU32,
    /// In blocks; 0: nothing is remembered.
    len: AtomicU32,
    /// One of the three below.
    kind: AtomicU32,
    /// The place of the first block, for a state that has one.
    place: AtomicU64,
}

const WRITTEN: u32 = 0;
const UNWRITTEN: u32 = 1;
const DELAYED: u32 = 2;

impl Recent {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The extent around `at`, where that is remembered and the inode's sequence, `now`, is the
    /// one that it was true for.
    #[inline]
    pub fn recall(&self, at: LogicalBlock, now: u64) -> Option<Extent> {
        let start = LogicalBlock(self.start.load(Relaxed));
        let into = at.distance_from(start)?;
        if into >= self.len.load(Relaxed) || self.sequence.load(Relaxed) != now {
            return None;
        }
        self.extent()
    }

    /// The extent that is remembered.
    #[inline]
    pub fn extent(&self) -> Option<Extent> {
        let place = PhysicalBlock(self.place.load(Relaxed));
        let state = match self.kind.load(Relaxed) {
            WRITTEN => State::Written(place),
            UNWRITTEN => State::Unwritten(place),
            _ => State::Delayed,
        };
        let start = LogicalBlock(self.start.load(Relaxed));
        Extent::new(start, self.len.load(Relaxed), state)
    }

    /// The sequence that goes with it.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Relaxed)
    }

    /// Remembers an extent that was right at `sequence`. A hole is of no use: who writes into it
    /// changes it.
    #[inline]
    pub fn remember(&self, extent: &Extent, sequence: u64) {
        let (kind, place) = match extent.state() {
            State::Written(place) => (WRITTEN, place.0),
            State::Unwritten(place) => (UNWRITTEN, place.0),
            State::Delayed => (DELAYED, 0),
            State::Hole => return,
        };
        self.start.store(extent.start().0, Relaxed);
        self.len.store(extent.len(), Relaxed);
        self.kind.store(kind, Relaxed);
        self.place.store(place, Relaxed);
        self.sequence.store(sequence, Relaxed);
    }
}
