// SPDX-License-Identifier: GPL-2.0

//! Workloads for crash tests, and what a crash may leave of them.
//!
//! A [`Plan`] gives each of its worlds (a directory with one task in it) a list of operations
//! ([`op`]), drawn by chance ([`generate`]) or enumerated ([`ace`]). A recorder carries them out
//! and puts a [`Mark`] among the writes to the disk between any two of them. From the list and
//! the last mark that a crash left, [`model::World`] knows every state that the directory may be
//! in ([`verify`]):
//!
//! - names, types, links and sizes are those after some prefix of the operations, since one task
//!   makes them and the journal keeps their order; the prefix holds what was synced;
//! - each sector of a file is one that was written to that file at that place, since the file
//!   was last synced or, unless that has been written over, before; or zero where the place was
//!   new. What a truncate or a hole took away does not come back.

pub mod ace;
pub mod content;
pub mod generate;
pub mod mark;
pub mod model;
pub mod op;
pub mod sql;
pub mod verify;

pub use mark::Mark;
pub use model::World;
pub use op::Op;

use generate::Profile;
use serde::{Deserialize, Serialize};

/// What is recorded on one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// Lists of `ops` operations drawn by chance, `tasks` of them side by side.
    Random {
        profile: Profile,
        seed: u64,
        ops: usize,
        tasks: u32,
    },
    /// The sequences with these numbers, one after the other.
    Ace { sequences: Vec<u32> },
    /// Transactions of SQLite, in WAL or in rollback mode.
    Sql { wal: bool, transactions: u32 },
}

impl Plan {
    /// How many worlds there are.
    pub fn worlds(&self) -> u32 {
        match self {
            Self::Random { tasks, .. } => *tasks,
            Self::Ace { sequences } => u32::try_from(sequences.len()).unwrap_or(u32::MAX),
            Self::Sql { .. } => 1,
        }
    }

    /// The operations of a world; none where they are SQLite's.
    pub fn ops(&self, world: u32) -> Vec<Op> {
        match self {
            Self::Random {
                profile, seed, ops, ..
            } => generate::list(*profile, seed.wrapping_add(world.into()), world, *ops),
            Self::Ace { sequences } => sequences
                .get(world as usize)
                .map(|n| ace::sequence(*n))
                .unwrap_or_default(),
            Self::Sql { .. } => Vec::new(),
        }
    }

    /// How many operations of each world only set the stage.
    pub fn stage(&self) -> u32 {
        match self {
            Self::Ace { .. } => ace::STAGE,
            _ => 0,
        }
    }
}

/// A state of the disk to be judged: which slot holds it, and what it owes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Crashed {
    /// Index of the disk.
    pub slot: usize,
    /// The driver that recovers it.
    pub fs: String,
    pub plan: Plan,
    /// The last mark of each world that is looked at.
    pub marks: Vec<Mark>,
}

/// The name of a world's directory.
pub fn directory(world: u32) -> String {
    format!("w{world}")
}
