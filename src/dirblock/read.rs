// SPDX-License-Identifier: GPL-2.0

//! Reading a directory in an order that survives changes.
//!
//! Positions are cookies that user space keeps, over telldir and NFS. Where entries can move
//! (indexed directories, and those of one block, which may become indexed) the cookie is the
//! name's hash and entries come in its order; elsewhere it is the entry's byte position. For readers
//! who keep 31 bits only, the cookie is the upper half of the hash.

use super::directory::{next_leaf, probe, read_leaf, read_node, DirBlocks, Format, ROOT};
use super::entry::{file_type, Entry, Layout, HEADER_SIZE};
use super::hash::{Hasher, NameHash};
use super::index::NodeKind;
use crate::format::problem::Problem;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::store::MetaBlock;
use kernel::prelude::*;

/// The cookie behind the last entry, in hash order.
pub const END: u64 = i64::MAX as u64;
/// As [`END`], for readers who keep 31 bits.
pub const SHORT_END: u64 = i32::MAX as u64;

/// Where reading goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The file position that user space sees; 0 at the start.
    pub cookie: u64,
    /// How many entries with exactly this cookie were given already: names can share a hash.
    /// Lives with the open file; 0 after a seek.
    pub skip: u32,
    /// Cookies have 31 bits.
    pub short: bool,
}

impl Position {
    /// The hash of a cookie, as far as the cookie has it.
    fn hash(&self) -> u64 {
        match self.cookie {
            SHORT_END.. if self.short => END,
            cookie if self.short => cookie << 32,
            cookie => cookie,
        }
    }

    /// The cookie of a hash.
    fn short_or_long(&self, hash: u64) -> u64 {
        if self.short {
            hash >> 32
        } else {
            hash
        }
    }
}

/// What a directory's reader gets for each entry: cookie, name, inode, type (a value of
/// [`file_type`]). It gives `false` where it has no room; it is asked for that entry again.
pub trait Emit: FnMut(u64, &[u8], InodeNumber, u8) -> bool {}
impl<F: FnMut(u64, &[u8], InodeNumber, u8) -> bool> Emit for F {}

/// The cookie of a hash.
fn cookie(hash: NameHash) -> u64 {
    (u64::from(hash.major >> 1) << 32) | u64::from(hash.minor)
}

/// The major part of a cookie's hash.
fn major(cookie: u64) -> u32 {
    ((cookie >> 32) as u32) << 1
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
    if is_by_hash(dir, format) {
        read_by_hash(dir, format, position, &mut emit)
    } else {
        read_by_place(dir, format, position, &mut emit)
    }
}

/// Whether positions in the directory are hashes, and end with [`END`] or [`SHORT_END`].
pub fn is_by_hash<D: DirBlocks>(dir: &D, format: &Format) -> bool {
    dir.is_indexed() || (format.makes_index && dir.blocks() == 1)
}

fn read_by_place<D: DirBlocks>(
    dir: &D,
    format: &Format,
    position: &mut Position,
    emit: &mut impl Emit,
) -> Result {
    position.skip = 0;
    let (layout, size) = (&format.layout, format.block_size);
    let end = size.bytes_of(dir.blocks().into());
    while position.cookie < end {
        // Below the end, which counts blocks in 32 bits.
        let at = LogicalBlock(size.whole_blocks(position.cookie) as u32);
        let start = size.byte_of(at);
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
        position.cookie = start.saturating_add(size.bytes());
    }
    Ok(())
}

/// How many entries of a leaf there is room for at first: as many as fit with long names.
const ROOM: usize = 84;

/// Entries of some leaves, sorted. Their names stay in the blocks.
struct Batch<B> {
    items: KVVec<Item>,
    blocks: KVVec<B>,
}

#[derive(Clone, Copy)]
struct Item {
    cookie: u64,
    inode: InodeNumber,
    file_type: u8,
    name_len: u8,
    /// Where the name begins in its block, and which block that is.
    name: u16,
    block: u32,
}

impl<B: MetaBlock> Batch<B> {
    fn new() -> Result<Self> {
        Ok(Self {
            items: KVVec::with_capacity(ROOM, GFP_KERNEL)?,
            blocks: KVVec::new(),
        })
    }

    /// Adds those of `entries`, which are in `block`, that do not lie before `from`. The first
    /// entry with a problem is reported to `dir`, which has the block `at`.
    fn add<'a, D: DirBlocks>(
        &mut self,
        dir: &D,
        at: LogicalBlock,
        entries: impl Iterator<Item = Result<Entry<'a>, Problem>>,
        hasher: &Hasher,
        position: &Position,
    ) -> Result {
        let block = self.blocks.len() as u32;
        for entry in entries {
            let entry = entry.map_err(|problem| dir.report(at, problem))?;
            let cookie = match entry.name {
                b"." => DOT,
                b".." => DOTDOT,
                name => cookie(hasher.hash(name)),
            };
            let cookie = position.short_or_long(cookie);
            if cookie < position.cookie {
                continue;
            }
            let item = Item {
                cookie,
                inode: entry.inode,
                file_type: entry.file_type,
                // In range: a name has at most 255 bytes, a block at most 64 KiB.
                name_len: entry.name.len() as u8,
                name: entry.offset.saturating_add(HEADER_SIZE) as u16,
                block,
            };
            self.items.push(item, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// As [`Batch::add`], for all entries of a leaf.
    fn add_leaf<D: DirBlocks<Block = B>>(
        &mut self,
        dir: &D,
        layout: &Layout,
        hasher: &Hasher,
        at: LogicalBlock,
        position: &Position,
    ) -> Result {
        let block = read_leaf(dir, layout, at)?;
        self.add(dir, at, layout.entries(block.bytes()), hasher, position)?;
        self.blocks.push(block, GFP_KERNEL)?;
        Ok(())
    }

    /// Gives the entries in their order, and forgets them; `false` where `emit` had no room.
    fn give(&mut self, position: &mut Position, emit: &mut impl Emit) -> bool {
        let Self { items, blocks } = self;
        let name = |item: &Item| {
            let start = usize::from(item.name);
            let end = start.saturating_add(item.name_len.into());
            let bytes = blocks.get(item.block as usize).map(|block| block.bytes());
            bytes.and_then(|bytes| bytes.get(start..end)).unwrap_or(&[])
        };
        // By name last: the order of equal hashes must be the same in the next call.
        crate::sort::sort_by(items, |a, b| {
            a.cookie.cmp(&b.cookie).then_with(|| name(a).cmp(name(b)))
        });
        let mut already = position.skip;
        for item in items.iter() {
            if item.cookie != position.cookie {
                position.cookie = item.cookie;
                position.skip = 0;
                already = 0;
            }
            if already > 0 {
                already = already.saturating_sub(1);
                continue;
            }
            if !emit(item.cookie, name(item), item.inode, item.file_type) {
                return false;
            }
            position.skip = position.skip.saturating_add(1);
        }
        self.items.clear();
        self.blocks.clear();
        true
    }
}

/// Leaves that are read at once, as names of one hash go on in the next: far more than any real
/// directory has.
const MOST_LEAVES: u32 = 1024;

/// The cookies of `.` and `..`: with the lowest hashes.
const DOT: u64 = 0;
const DOTDOT: u64 = 1 << 32;

fn read_by_hash<D: DirBlocks>(
    dir: &D,
    format: &Format,
    position: &mut Position,
    emit: &mut impl Emit,
) -> Result {
    let layout = &format.layout;
    let mut batch = Batch::new()?;
    while position.hash() < END {
        let next = if dir.is_indexed() {
            collect(dir, format, position, &mut batch)?
        } else {
            batch.add_leaf(dir, layout, &format.hasher, ROOT, position)?;
            None
        };
        if !batch.give(position, emit) {
            return Ok(());
        }
        let next = next.map_or(END, |major| cookie(NameHash { major, minor: 0 }));
        position.cookie = position.short_or_long(next);
        position.skip = 0;
    }
    Ok(())
}

/// Collects the entries of the leaf where `position` lies, and of those that continue it;
/// gives the lowest hash of the leaf after them.
fn collect<D: DirBlocks>(
    dir: &D,
    format: &Format,
    position: &Position,
    batch: &mut Batch<D::Block>,
) -> Result<Option<u32>> {
    let layout = &format.layout;
    let from = position.hash();
    let (mut path, hasher) = probe(dir, format, |_| major(from))?;
    if from <= DOTDOT {
        let root = read_node(dir, layout, NodeKind::Root, ROOT)?;
        let (dot, dotdot) = layout
            .dots(root.bytes())
            .map_err(|problem| dir.report(ROOT, problem))?;
        let dots = [dot, dotdot].map(|entry| {
            Ok(Entry {
                file_type: file_type::DIRECTORY,
                ..entry
            })
        });
        batch.add(dir, ROOT, dots.into_iter(), &hasher, position)?;
        batch.blocks.push(root, GFP_KERNEL)?;
    }
    for _ in 0..MOST_LEAVES {
        batch.add_leaf(dir, layout, &hasher, path.leaf, position)?;
        let Some(hash) = next_leaf(dir, layout, &mut path)? else {
            return Ok(None);
        };
        if hash & 1 != 0 {
            continue;
        }
        if hash > major(from) {
            return Ok(Some(hash));
        }
        // Else reading would never end.
        let problem = Problem::new("directory index is out of order", hash.into());
        return Err(dir.report(path.root.at, problem));
    }
    let problem = Problem::new("too many directory blocks of one hash", MOST_LEAVES.into());
    Err(dir.report(path.root.at, problem))
}
