// SPDX-License-Identifier: GPL-2.0

//! Allocating and freeing inodes.
//!
//! A group's inode table need not be written when the file system is made: the descriptor counts
//! the inodes at its end that were never used, and what the disk holds there is garbage. When the
//! first inode of such a table block is allocated, the block is made anew, zeroed, in the same
//! transaction and under the same lock. So whoever reads an inode-table block through the store
//! after [`allocate_inode`] finds zeroes, never garbage, in the slots that were not used yet.

use super::bits::{self, BitRun};
use super::group::{byte_range, fill_part, GroupState, Part, Trouble};
use super::place::{inode_group, round};
use super::table::{freed_or_leaked, locked, GroupTable};
use crate::format::geometry::GroupChecksum;
use crate::format::group_desc::{flags, GroupDesc};
use crate::format::units::{GroupNumber, InodeNumber};
use crate::format::{Geometry, Problem};
use crate::store::{MetaBlock, Transaction};
use kernel::prelude::*;

/// Where a new inode should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Not a directory: beside its parent.
    File,
    /// A directory: near its parent, unless it is crowded there.
    Directory,
    /// A directory in the root, or in one flagged as a top of hierarchies: far from the others.
    /// `spread` decides where the search begins; a hash of the name serves.
    TopDirectory {
        /// Any number.
        spread: u32,
    },
}

impl Placement {
    fn is_dir(self) -> bool {
        self != Self::File
    }
}

/// A newly allocated inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewInode {
    /// Its number.
    pub ino: InodeNumber,
    /// Its group.
    pub group: GroupNumber,
}

/// Allocates an inode for a child of an inode in group `parent`, in the running transaction.
///
/// The caller overwrites the inode's whole slot in the inode table: an earlier inode's bytes may
/// be there. Dirties at most [`INODE_CREDITS`](super::INODE_CREDITS) blocks.
///
/// # Errors
///
/// `ENOSPC` where no inode is free; else what memory, device or journal say. Nothing is allocated.
pub fn allocate_inode<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    parent: GroupNumber,
    placement: Placement,
) -> Result<NewInode> {
    let geo = table.geometry();
    let first = inode_group(table, parent, placement).ok_or(ENOSPC)?;
    for number in round(first.0, geo.groups) {
        let group = GroupNumber(number);
        if table.summary(group).map_or(0, |s| s.free_inodes()) == 0 {
            continue;
        }
        let result = locked(table, group, Part::Inodes, |state, _| {
            take(state, geo, tx, placement.is_dir())
        });
        match result {
            Ok(Some(ino)) => {
                table.counters().inode_allocated(placement.is_dir());
                return Ok(NewInode { ino, group });
            }
            // Taken by others since the look at the summary; or corrupt, and reported.
            Ok(None) | Err(Trouble::Found(_)) => (),
            Err(Trouble::Failed(error)) => return Err(error),
        }
    }
    Err(ENOSPC)
}

/// Frees an inode, in the running transaction; `is_dir` as it was allocated.
///
/// The inode is gone from every cache and its slot in the table says so: the number may be reused
/// at once. Dirties two blocks. In a group of which something is wrong, known already or found and
/// reported here, the inode stays in use.
///
/// # Errors
///
/// `EFSCORRUPTED`, reported, for a reserved inode; else what memory, device or journal say.
pub fn free_inode<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    ino: InodeNumber,
    is_dir: bool,
) -> Result {
    let geo = table.geometry();
    let place = geo.inode_group(ino).filter(|_| ino >= geo.first_inode);
    let Some((group, bit)) = place else {
        let problem = Problem::new("freeing a reserved or absent inode", ino.0.into());
        table.report(GroupNumber(0), problem);
        return Err(problem.into());
    };
    let freed = freed_or_leaked(table, group, Part::Inodes, |state| {
        give_back(state, geo, tx, bit, is_dir)
    })?;
    if freed {
        table.counters().inode_freed(is_dir);
    }
    Ok(())
}

/// How many inodes at the start of the table were ever used.
fn ever_used(geo: &Geometry, desc: &GroupDesc) -> u32 {
    if geo.group_checksum == GroupChecksum::None {
        geo.inodes_per_group
    } else if desc.has(flags::INODE_UNINIT) {
        0
    } else {
        geo.inodes_per_group.saturating_sub(desc.unused_inodes)
    }
}

/// The first free inode of a group; `None` where the descriptor counts none.
fn take<X: Transaction>(
    state: &mut GroupState,
    geo: &Geometry,
    tx: &mut X,
    is_dir: bool,
) -> Result<Option<InodeNumber>, Trouble> {
    if state.available_inodes() == 0 {
        return Ok(None);
    }
    let mut desc = state.desc;
    let fresh_bitmap = desc.has(flags::INODE_UNINIT);
    let read = if fresh_bitmap {
        None
    } else {
        Some(state.read_inode_bitmap(geo, tx)?)
    };
    let bit = read.as_ref().map_or(0, |map| {
        bits::next(map.bytes(), 0..geo.inodes_per_group, false)
    });
    let what = "inode bitmap has no free inode, but the descriptor counts some";
    let ino = geo.inode_at(state.number, bit);
    let ino = ino.ok_or(Problem::new(what, desc.free_inodes.into()))?;
    if ino < geo.first_inode {
        return Err(Problem::new("a reserved inode is marked free", ino.0.into()).into());
    }

    let used = ever_used(geo, &desc);
    desc.free_inodes = desc.free_inodes.saturating_sub(1);
    if is_dir {
        desc.used_dirs = desc.used_dirs.saturating_add(1);
    }
    desc.flags &= !flags::INODE_UNINIT;
    if bit >= used {
        let after = geo.inodes_per_group.saturating_sub(bit);
        desc.unused_inodes = after.saturating_sub(1);
    }

    let descriptor = state.prepare_descriptor(geo, tx)?;
    let bitmap = match read {
        Some(bitmap) => {
            tx.prepare(&bitmap)?;
            bitmap
        }
        None => tx.create(desc.inode_bitmap)?,
    };
    let slot = bit.checked_rem(geo.inodes_per_block).unwrap_or(0);
    if bit.saturating_sub(slot) >= used {
        let index = bit.checked_div(geo.inodes_per_block).unwrap_or(0);
        let at = desc.inode_table.checked_add(index.into());
        let block = tx.create(at.ok_or(EFSCORRUPTED)?)?;
        // The zeroes must reach the disk even if the caller gives up before it writes its inode.
        tx.update(&block, 0..tx.block_size(), |_| ())?;
    }

    if fresh_bitmap {
        let end = geo.inodes_per_group;
        tx.update(&bitmap, 0..tx.block_size(), |bytes| {
            let all = u32::try_from(bytes.len().saturating_mul(8)).unwrap_or(end);
            bits::fill(bytes, 0..end, false);
            bits::fill(bytes, end..all, true);
        })?;
        bitmap.set_verified();
    }
    write_bit(geo, tx, &bitmap, bit, true, &mut desc)?;
    state.write_descriptor(geo, tx, &descriptor, desc)?;
    Ok(Some(ino))
}

fn give_back<X: Transaction>(
    state: &mut GroupState,
    geo: &Geometry,
    tx: &mut X,
    bit: u32,
    is_dir: bool,
) -> Result<(), Trouble> {
    let mut desc = state.desc;
    let already = Problem::new("freeing an inode that is free, at bit", bit.into());
    if desc.has(flags::INODE_UNINIT) {
        return Err(already.into());
    }
    let bitmap = state.read_inode_bitmap(geo, tx)?;
    if !bits::all(bitmap.bytes(), bit..bit.saturating_add(1), true) {
        return Err(already.into());
    }
    desc.free_inodes = desc.free_inodes.saturating_add(1);
    if desc.free_inodes > geo.inodes_per_group {
        let what = "more free inodes than inodes in a group";
        return Err(Problem::new(what, desc.free_inodes.into()).into());
    }
    if is_dir {
        let left = desc.used_dirs.checked_sub(1);
        let what = "freeing a directory in a group that counts none, at bit";
        desc.used_dirs = left.ok_or(Problem::new(what, bit.into()))?;
    }
    let descriptor = state.prepare_descriptor(geo, tx)?;
    tx.prepare(&bitmap)?;
    write_bit(geo, tx, &bitmap, bit, false, &mut desc)?;
    state.write_descriptor(geo, tx, &descriptor, desc)
}

/// Writes one bit of the inode bitmap, and the bitmap's checksum into `desc`.
fn write_bit<X: Transaction>(
    geo: &Geometry,
    tx: &mut X,
    bitmap: &X::Block,
    bit: u32,
    set: bool,
    desc: &mut GroupDesc,
) -> Result<(), Trouble> {
    let run = BitRun { start: bit, len: 1 };
    let touched = byte_range(run);
    let base = touched.start;
    tx.update(bitmap, touched, |bytes| fill_part(bytes, base, run, set))?;
    desc.set_inode_bitmap_csum(geo, bitmap.bytes());
    Ok(())
}
