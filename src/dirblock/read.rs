// SPDX-License-Identifier: GPL-2.0

//! Reading a directory in an order that survives changes.
//!
//! Positions are cookies that user space keeps, over telldir and NFS. Where entries can move
//! (indexed directories, and those of one block, which may become indexed) the cookie is the
//! name's hash and entries come in its order; elsewhere it is the entry's byte position.

use super::directory::{next_leaf, probe, read_leaf, DirBlocks, Format};
use super::entry::{file_type, Layout};
use super::hash::{Hasher, NameHash};
use crate::format::problem::Problem;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::format::BLOCK_BITS;
use crate::store::MetaBlock;
use core::ops::Range;
use kernel::prelude::*;

/// The cookie behind the last entry, in hash order.
pub const END: u64 = i64::MAX as u64;

/// Where reading goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The file position that user space sees; 0 at the start.
    pub cookie: u64,
    /// How many entries with exactly this cookie were given already: names can share a hash.
    /// Lives with the open file; 0 after a seek.
    pub skip: u32,
}

/// What a directory's reader gets for each entry: cookie, name, inode, type (a value of
/// [`file_type`]). It gives `false` where it has no room; it is asked for that entry again.
pub trait Emit: FnMut(u64, &[u8], InodeNumber, u8) -> bool {}
impl<F: FnMut(u64, &[u8], InodeNumber, u8) -> bool> Emit for F {}

/// The cookie of a hash.
fn cookie(hash: NameHash) -> u64 {
    (u64::from(hash.major >> 1) << 32) | u64::from(hash.minor)
}

/// The hash of a cookie.
fn hash_of(cookie: u64) -> NameHash {
    NameHash {
        major: ((cookie >> 32) as u32) << 1,
        minor: cookie as u32,
    }
}

/// Gives the entries from `position` on to `emit`, until that has no room or the directory ends;
/// leaves `position` where the next call goes on.
///
/// # Errors
///
/// As [`DirBlocks::read`]; corruption was reported. Entries given before stay given.
pub fn read_dir<D: DirBlocks>(
    dir: &D,
    format: &Format,
    position: &mut Position,
    mut emit: impl Emit,
) -> Result {
    if dir.is_indexed() || (format.makes_index && dir.blocks() == 1) {
        read_by_hash(dir, format, position, &mut emit)
    } else {
        read_by_place(dir, &format.layout, position, &mut emit)
    }
}

fn read_by_place<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    position: &mut Position,
    emit: &mut impl Emit,
) -> Result {
    position.skip = 0;
    let end = u64::from(dir.blocks()) << BLOCK_BITS;
    while position.cookie < end {
        // Below the end, which counts blocks in 32 bits.
        let at = LogicalBlock((position.cookie >> BLOCK_BITS) as u32);
        let start = u64::from(at.0) << BLOCK_BITS;
        let block = read_leaf(dir, layout, at)?;
        // Always from the block's start: what lay at the cookie may have been removed.
        for entry in layout.entries(block.bytes()) {
            let entry = entry.map_err(|problem| dir.report(at, problem))?;
            let here = start | entry.offset as u64;
            if here < position.cookie {
                continue;
            }
            position.cookie = here;
            if !emit(here, entry.name, entry.inode, entry.file_type) {
                return Ok(());
            }
        }
        position.cookie = start.saturating_add(1 << BLOCK_BITS);
    }
    Ok(())
}

/// Entries of some leaves, copied out and sorted.
struct Batch {
    items: KVec<Item>,
    names: KVec<u8>,
}

struct Item {
    hash: NameHash,
    inode: InodeNumber,
    file_type: u8,
    name: Range<usize>,
}

impl Batch {
    const fn new() -> Self {
        Self {
            items: KVec::new(),
            names: KVec::new(),
        }
    }

    fn push(&mut self, hash: NameHash, inode: InodeNumber, file_type: u8, name: &[u8]) -> Result {
        let start = self.names.len();
        self.names.extend_from_slice(name, GFP_KERNEL)?;
        let name = start..self.names.len();
        self.items.push(
            Item {
                hash,
                inode,
                file_type,
                name,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// Adds the entries of a leaf that do not lie before `from`.
    fn add_leaf<D: DirBlocks>(
        &mut self,
        dir: &D,
        layout: &Layout,
        hasher: &Hasher,
        at: LogicalBlock,
        from: NameHash,
    ) -> Result {
        let block = read_leaf(dir, layout, at)?;
        for entry in layout.entries(block.bytes()) {
            let entry = entry.map_err(|problem| dir.report(at, problem))?;
            let hash = match entry.name {
                b"." => DOT,
                b".." => DOTDOT,
                name => hasher.hash(name),
            };
            if hash >= from {
                self.push(hash, entry.inode, entry.file_type, entry.name)?;
            }
        }
        Ok(())
    }

    /// Gives the entries in their order; `false` where `emit` had no room.
    fn give(mut self, position: &mut Position, emit: &mut impl Emit) -> bool {
        let names = &self.names;
        // By name last: the order of equal hashes must be the same in the next call.
        crate::sort::sort_by(&mut self.items, |a, b| {
            let key = |item: &Item| names.get(item.name.clone());
            a.hash.cmp(&b.hash).then_with(|| key(a).cmp(&key(b)))
        });
        let mut already = position.skip;
        for item in &self.items {
            let here = cookie(item.hash);
            if here != position.cookie {
                *position = Position {
                    cookie: here,
                    skip: 0,
                };
                already = 0;
            }
            if already > 0 {
                already = already.saturating_sub(1);
                continue;
            }
            let name = names.get(item.name.clone()).unwrap_or(&[]);
            if !emit(here, name, item.inode, item.file_type) {
                return false;
            }
            position.skip = position.skip.saturating_add(1);
        }
        true
    }
}

/// Where `.` and `..` come in hash order.
const DOT: NameHash = NameHash { major: 0, minor: 0 };
const DOTDOT: NameHash = NameHash { major: 2, minor: 0 };

fn read_by_hash<D: DirBlocks>(
    dir: &D,
    format: &Format,
    position: &mut Position,
    emit: &mut impl Emit,
) -> Result {
    let layout = &format.layout;
    while position.cookie < END {
        let from = hash_of(position.cookie);
        let mut batch = Batch::new();
        let next = if dir.is_indexed() {
            collect(dir, format, from, &mut batch)?
        } else {
            batch.add_leaf(dir, layout, &format.hasher, LogicalBlock(0), from)?;
            None
        };
        if !batch.give(position, emit) {
            return Ok(());
        }
        *position = Position {
            cookie: next.map_or(END, |major| cookie(NameHash { major, minor: 0 })),
            skip: 0,
        };
    }
    Ok(())
}

/// Collects the entries of the leaf where `from` lies, and of those that continue it; gives the
/// lowest hash of the leaf after them.
fn collect<D: DirBlocks>(
    dir: &D,
    format: &Format,
    from: NameHash,
    batch: &mut Batch,
) -> Result<Option<u32>> {
    let layout = &format.layout;
    let (mut path, hasher) = probe(dir, format, |_| from.major)?;
    if from <= DOTDOT {
        let (dot, dotdot) = layout
            .dots(path.root.block.bytes())
            .map_err(|problem| dir.report(LogicalBlock(0), problem))?;
        for (hash, entry) in [(DOT, dot), (DOTDOT, dotdot)] {
            if hash >= from {
                batch.push(hash, entry.inode, file_type::DIRECTORY, entry.name)?;
            }
        }
    }
    loop {
        batch.add_leaf(dir, layout, &hasher, path.leaf, from)?;
        let Some(hash) = next_leaf(dir, layout, &mut path)? else {
            return Ok(None);
        };
        if hash & 1 != 0 {
            continue;
        }
        if hash > from.major {
            return Ok(Some(hash));
        }
        // Else reading would never end.
        let problem = Problem::new("directory index is out of order", hash.into());
        return Err(dir.report(path.root.at, problem));
    }
}
