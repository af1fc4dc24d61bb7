// SPDX-License-Identifier: GPL-2.0

//! A run of file blocks that share one state.

use crate::format::units::{LogicalBlock, PhysicalBlock};
use core::ops::Range;

/// One past the last block that a file can have: block `u32::MAX` is never mapped, so that the
/// end of every range is a block number too.
pub const END_OF_FILE_SPACE: LogicalBlock = LogicalBlock(u32::MAX);

/// What a run of blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Allocated, data on disk; the first block's place on the device.
    Written(PhysicalBlock),
    /// Allocated, reads as zeroes until its data is on disk; the first block's place.
    Unwritten(PhysicalBlock),
    /// No block yet; one is reserved, the data waits in the page cache.
    Delayed,
    /// Known to have no block and none reserved.
    Hole,
}

impl State {
    /// The state of the block `n` further on.
    ///
    /// Saturates; [`Extent`] keeps its last block in range, so for its blocks that is exact.
    fn advance(self, n: u32) -> Self {
        let place = |p: PhysicalBlock| PhysicalBlock(p.0.saturating_add(u64::from(n)));
        match self {
            Self::Written(p) => Self::Written(place(p)),
            Self::Unwritten(p) => Self::Unwritten(place(p)),
            Self::Delayed | Self::Hole => self,
        }
    }

    /// Where the first block lies, if it is allocated.
    pub fn physical(self) -> Option<PhysicalBlock> {
        match self {
            Self::Written(p) | Self::Unwritten(p) => Some(p),
            Self::Delayed | Self::Hole => None,
        }
    }
}

/// A run of file blocks that share one state.
///
/// # Invariants
///
/// Not empty; ends at or before [`END_OF_FILE_SPACE`]; the place of its last block, if it has
/// one, does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    start: LogicalBlock,
    len: u32,
    state: State,
}

impl Extent {
    /// `len` blocks from `start`; `None` where that breaks an invariant of the type.
    pub fn new(start: LogicalBlock, len: u32, state: State) -> Option<Self> {
        let end = start.checked_add(len)?;
        if len == 0 || end > END_OF_FILE_SPACE {
            return None;
        }
        if let Some(place) = state.physical() {
            place.checked_add(u64::from(len))?;
        }
        Some(Self { start, len, state })
    }

    /// The blocks of `range`, the first of them in `state`.
    pub fn over(range: &Range<LogicalBlock>, state: State) -> Option<Self> {
        Self::new(range.start, range.end.distance_from(range.start)?, state)
    }

    /// First block.
    pub fn start(&self) -> LogicalBlock {
        self.start
    }

    /// Number of blocks, never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// One past the last block.
    pub fn end(&self) -> LogicalBlock {
        // By the type's invariant this does not saturate.
        LogicalBlock(self.start.0.saturating_add(self.len))
    }

    /// The blocks.
    pub fn range(&self) -> Range<LogicalBlock> {
        self.start..self.end()
    }

    /// The state; for allocated blocks with the place of the first.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether these blocks are delayed.
    pub fn is_delayed(&self) -> bool {
        self.state == State::Delayed
    }

    /// The part of it that lies in `range`.
    pub fn trim(&self, range: &Range<LogicalBlock>) -> Option<Self> {
        let start = self.start.max(range.start);
        let end = self.end().min(range.end);
        let len = end.distance_from(start).filter(|&len| len > 0)?;
        let state = self.state.advance(start.distance_from(self.start)?);
        Some(Self { start, len, state })
    }

    /// The part of it before `at`.
    pub(super) fn before(&self, at: LogicalBlock) -> Option<Self> {
        self.trim(&(LogicalBlock(0)..at))
    }

    /// The part of it from `at` on.
    pub(super) fn from(&self, at: LogicalBlock) -> Option<Self> {
        self.trim(&(at..END_OF_FILE_SPACE))
    }

    /// Both as one, where `next` begins at the end of `self`, in file and on the device alike.
    pub(super) fn join(&self, next: &Self) -> Option<Self> {
        if self.end() != next.start || self.state.advance(self.len) != next.state {
            return None;
        }
        Self::new(self.start, self.len.checked_add(next.len)?, self.state)
    }
}
