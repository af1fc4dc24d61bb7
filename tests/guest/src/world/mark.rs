// SPDX-License-Identifier: GPL-2.0

//! Marks among the recorded writes: how far a world has come.
//!
//! A mark is a sector behind the file system, written directly. The writes before it in the
//! record were complete when it was made.

use super::content::CELL;
use serde::{Deserialize, Serialize};

const MAGIC: u64 = 0x6b72_616d_7734_7874;

/// Bytes behind the file system in which marks are written, one sector a world.
pub const ROOM: u64 = 64 * 1024;

/// How far the task of a world has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub world: u32,
    /// So many operations had begun.
    pub begun: u32,
    /// So many had ended.
    pub ended: u32,
    /// What follows is no longer the plan's.
    pub over: bool,
}

impl Mark {
    pub fn bytes(&self) -> [u8; CELL] {
        let mut out = [0; CELL];
        let words = [
            MAGIC,
            self.world.into(),
            self.begun.into(),
            self.ended.into(),
            self.over.into(),
        ];
        for (place, word) in out.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes
            .chunks_exact(8)
            .filter_map(|w| Some(u64::from_le_bytes(w.try_into().ok()?)));
        if words.next()? != MAGIC {
            return None;
        }
        let mut number = || u32::try_from(words.next()?).ok();
        Some(Self {
            world: number()?,
            begun: number()?,
            ended: number()?,
            over: number()? != 0,
        })
    }

    /// Where it is written, from the end of the file system on.
    pub fn place(&self) -> u64 {
        u64::from(self.world) * CELL as u64 % ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark {
            world: 7,
            begun: 4,
            ended: 3,
            over: true,
        };
        assert_eq!(Mark::parse(&mark.bytes()), Some(mark));
        assert_eq!(Mark::parse(&[0; CELL]), None);
        assert_eq!(Mark::parse(&[]), None);
    }
}
