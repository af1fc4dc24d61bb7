// SPDX-License-Identifier: GPL-2.0

//! What is in the sectors of files: each says who wrote it, when and where.

use crate::chance::Chance;

/// The unit of lengths and places in a world: what a device writes whole.
pub const CELL: usize = 512;

/// The content of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Never written, or zeroed.
    Zero,
    /// Written by operation `op` of `world`, as cell `cell` of its file.
    Stamp { world: u32, op: u32, cell: u32 },
    /// All bytes the same: what a store through a mapping by xfs_io leaves.
    Bytes(u8),
}

impl Value {
    pub fn bytes(self) -> [u8; CELL] {
        let mut out = [0; CELL];
        match self {
            Self::Zero => {}
            Self::Bytes(b) => out = [b; CELL],
            Self::Stamp { world, op, cell } => {
                let key = (u64::from(world) << 48) ^ (u64::from(op) << 24) ^ u64::from(cell);
                let mut chance = Chance::new(key);
                for (i, word) in out.chunks_exact_mut(8).enumerate() {
                    let value = match i {
                        0 => (u64::from(world) << 32) | 0x6577_7366,
                        1 => (u64::from(op) << 32) | u64::from(cell),
                        _ => chance.word(),
                    };
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        out
    }
}

/// The byte that operation `op` stores through a mapping; never 0.
pub fn mapped_byte(op: u32) -> u8 {
    u8::try_from(op % 255).unwrap_or_default().saturating_add(1)
}

/// What a cell looks like, in a few words.
pub fn describe(cell: &[u8]) -> String {
    if cell.iter().all(|b| *b == 0) {
        return "zeros".into();
    }
    let word = |at: usize| -> u64 {
        cell.get(at..at + 8)
            .and_then(|w| w.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    let (first, second) = (word(0), word(8));
    let stamp = Value::Stamp {
        world: (first >> 32) as u32,
        op: (second >> 32) as u32,
        cell: second as u32,
    };
    if stamp.bytes().as_slice() == cell {
        return format!("{stamp:?}");
    }
    format!("{:02x?}", cell.get(..16).unwrap_or(cell))
}
