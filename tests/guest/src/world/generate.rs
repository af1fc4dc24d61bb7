// SPDX-License-Identifier: GPL-2.0

//! Lists of operations drawn by chance.

use super::model::{Kind, World, BLOCK};
use super::op::{How, Op, Space};
use crate::chance::Chance;
use serde::{Deserialize, Serialize};

/// The largest file, in cells: 192 KiB.
const LARGEST: u64 = 384;

/// What a list has most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Create, link, rename, unlink, mkdir, rmdir; seldom a sync.
    Names,
    /// Append and fsync.
    Append,
    /// Truncate down and up, and write.
    Resize,
    /// Overwrite in place: buffered, direct, through a mapping.
    Overwrite,
    /// fallocate in all its modes, and write.
    Space,
    /// Everything.
    Mixed,
}

/// How often (of 100) each group of operations is drawn; the rest writes over what is there.
struct Weights {
    names: u64,
    append: u64,
    resize: u64,
    space: u64,
    sync: u64,
}

impl Profile {
    pub const ALL: [Self; 6] = [
        Self::Names,
        Self::Append,
        Self::Resize,
        Self::Overwrite,
        Self::Space,
        Self::Mixed,
    ];

    fn weights(self) -> Weights {
        let (names, append, resize, space, sync) = match self {
            Self::Names => (92, 2, 1, 0, 4),
            Self::Append => (10, 50, 2, 0, 36),
            Self::Resize => (6, 20, 40, 2, 16),
            Self::Overwrite => (6, 10, 3, 3, 18),
            Self::Space => (6, 14, 6, 48, 14),
            Self::Mixed => (30, 18, 12, 14, 14),
        };
        Weights {
            names,
            append,
            resize,
            space,
            sync,
        }
    }
}

/// The first `count` operations of `world` that follow from a seed.
pub fn list(profile: Profile, seed: u64, world: u32, count: usize) -> Vec<Op> {
    let mut draw = Draw {
        profile,
        chance: Chance::new(seed ^ 0x6372_6173_6800_0000),
        world: World::new(world),
    };
    let mut ops = Vec::new();
    // a draw may not suit the state; the next one does sooner or later
    for _ in 0..count.saturating_mul(50) {
        if ops.len() == count {
            break;
        }
        let Some(op) = draw.op() else {
            continue;
        };
        if draw.world.suits(&op) && draw.world.apply(&op).is_ok() {
            ops.push(op);
        }
    }
    ops
}

struct Draw {
    profile: Profile,
    chance: Chance,
    world: World,
}

impl Draw {
    /// A name that is there or not: of few, so that they meet.
    fn name(&mut self) -> String {
        let top = ["", "", "a/", "b/", "a/c/"];
        let dir = self.chance.pick(&top).copied().unwrap_or_default();
        let n = self.chance.below(match self.profile {
            Profile::Names => 60,
            _ => 8,
        });
        // long ones, so that directories get a second block, and an index
        let long = match self.profile {
            Profile::Names => "-with-a-long-name".repeat(n as usize % 9),
            _ => String::new(),
        };
        format!("{dir}f{n}{long}")
    }

    fn directory(&mut self) -> String {
        let dirs = ["a", "b", "a/c", "b/d", "a/c/e"];
        self.chance.pick(&dirs).copied().unwrap_or("a").to_owned()
    }

    /// A path of this kind that is there.
    fn present(&mut self, kind: &Kind) -> Option<String> {
        let names = self.world.last().ok()?.names.clone();
        let is = |node: &usize| {
            let found = self.world.kind(*node);
            found.is_some_and(|k| std::mem::discriminant(k) == std::mem::discriminant(kind))
        };
        let list: Vec<&String> = names
            .iter()
            .filter(|(_, n)| is(n))
            .map(|(name, _)| name)
            .collect();
        self.chance.pick(&list).map(|name| (*name).clone())
    }

    fn file(&mut self) -> Option<String> {
        self.present(&Kind::File)
    }

    fn len(&self, path: &str) -> u64 {
        let state = self.world.last().ok();
        let cells = state.and_then(|s| s.files.get(s.names.get(path)?));
        cells.map_or(0, |c| c.len() as u64)
    }

    fn op(&mut self) -> Option<Op> {
        let w = self.profile.weights();
        let mut at = self.chance.below(100);
        let mut below = |part: u64| {
            let yes = at < part;
            at = at.saturating_sub(part);
            yes
        };
        if below(w.names) {
            self.names()
        } else if below(w.append) {
            self.append()
        } else if below(w.resize) {
            let path = self.file()?;
            // mostly to a place near the end, so that blocks are cut and shared
            let around = 1 + self.len(&path) + 24;
            let cells = self.chance.below(around.min(LARGEST)) as u32;
            Some(Op::Truncate { path, cells })
        } else if below(w.space) {
            self.space()
        } else if below(w.sync) {
            self.sync()
        } else {
            self.overwrite()
        }
    }

    fn names(&mut self) -> Option<Op> {
        Some(match self.chance.below(20) {
            0..=6 => Op::Create(self.name()),
            7 => Op::Mkdir(self.directory()),
            8 => Op::Symlink {
                path: self.name(),
                target: "t/".repeat(self.chance.below(60) as usize + 1),
            },
            9..=10 => Op::Link {
                from: self.file()?,
                to: self.name(),
            },
            11..=13 => Op::Rename {
                from: self.file()?,
                to: self.name(),
            },
            14 => Op::Rename {
                from: self.directory(),
                to: self.directory(),
            },
            15..=17 => Op::Unlink(self.file()?),
            18 => match self.chance.below(3) {
                0 => Op::Unlink(self.present(&Kind::Symlink(String::new()))?),
                1 => Op::Rmdir(self.directory()),
                _ => Op::Rename {
                    from: self.present(&Kind::Symlink(String::new()))?,
                    to: self.name(),
                },
            },
            _ => Op::Orphan(self.file()?),
        })
    }

    fn how(&mut self) -> How {
        match self.chance.below(10) {
            0..=6 => How::Buffered,
            7 | 8 => How::Direct,
            _ => How::Mapped,
        }
    }

    fn append(&mut self) -> Option<Op> {
        let Some(path) = self.file() else {
            return Some(Op::Create(self.name()));
        };
        let at = self.len(&path);
        if at >= LARGEST {
            return Some(Op::Truncate { path, cells: 3 });
        }
        let scale = 1 << self.chance.below(7);
        // now and then beyond the end
        let gap = match self.chance.below(6) {
            0 => self.chance.below(30),
            _ => 0,
        };
        Some(Op::Write {
            path,
            at: (at + gap) as u32,
            cells: 1 + self.chance.below(scale) as u32,
            how: match self.how() {
                How::Mapped => How::Buffered,
                how => how,
            },
        })
    }

    fn overwrite(&mut self) -> Option<Op> {
        let path = self.file()?;
        let len = self.len(&path);
        let at = self.chance.below(len);
        let how = self.how();
        let mut cells = 1 + self.chance.below(40);
        if how == How::Mapped {
            cells = cells.min(len - at);
        }
        Some(Op::Write {
            path,
            at: at as u32,
            cells: cells as u32,
            how,
        })
    }

    fn space(&mut self) -> Option<Op> {
        let path = self.file()?;
        let what = match self.chance.below(10) {
            0 | 1 => Space::Allocate,
            2 => Space::Reserve,
            3..=5 => Space::Punch,
            6 | 7 => Space::Zero,
            8 => Space::Collapse,
            _ => Space::Insert,
        };
        let len = self.len(&path);
        let mut at = self.chance.below(len + 16) as u32;
        let mut cells = 1 + self.chance.below(60) as u32;
        if matches!(what, Space::Collapse | Space::Insert) || self.chance.below(3) == 0 {
            at = at / BLOCK * BLOCK;
            cells = cells.next_multiple_of(BLOCK);
        }
        if len >= LARGEST && what == Space::Insert {
            return None;
        }
        Some(Op::Space {
            path,
            what,
            at,
            cells,
        })
    }

    fn sync(&mut self) -> Option<Op> {
        Some(match self.chance.below(10) {
            0..=4 => Op::Fsync(self.file()?),
            5 | 6 => Op::Fdatasync(self.file()?),
            7 | 8 => Op::Fsync(match self.chance.below(2) {
                0 => String::new(),
                _ => self.directory(),
            }),
            _ => Op::Sync,
        })
    }
}
