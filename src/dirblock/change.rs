// SPDX-License-Identifier: GPL-2.0

//! Changing directories: adding, removing and redirecting names.
//!
//! Whatever can fail (bad blocks, memory, a new block) comes before the first write of a step,
//! and each step leaves a sound directory.

use super::directory::{
    probe, read_leaf, read_node, DirBlocks, DirWriter, Format, Found, Path, ROOT,
};
use super::entry::Layout;
use super::hash::NameHash;
use super::index::{Node, NodeKind, MAX_LEVELS};
use super::split::{self, Failure, Split};
use crate::format::problem::Problem;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::store::MetaBlock;
use kernel::prelude::*;

/// Adds an entry. The caller knows that the name is not there.
///
/// # Errors
///
/// `ENOSPC` where there is no block, or the index is as large as it can be; `EFSCORRUPTED`,
/// `EFSBADCRC`, `EIO`, `ENOMEM`. The name was not added then; blocks may have been.
pub fn add<D: DirWriter>(
    dir: &mut D,
    format: &Format,
    name: &[u8],
    inode: InodeNumber,
    file_type: u8,
) -> Result {
    let entry = (name, inode, file_type);
    let mut new_index = false;
    if !dir.is_indexed() {
        if add_linear(dir, format, entry)? {
            return Ok(());
        }
        index_first_block(dir, format)?;
        new_index = true;
    }
    // Each round makes room in the index: at most it gets a level, then a node, then the leaf is
    // split.
    for _ in 0..=MAX_LEVELS + 2 {
        if add_indexed(dir, format, entry, new_index)? {
            return Ok(());
        }
    }
    Err(dir.report(ROOT, Problem::new("directory index does not get room", 0)))
}

/// What is added: the name, the inode it leads to, and a value of [`super::file_type`].
type NewEntry<'a> = (&'a [u8], InodeNumber, u8);

/// Adds to the first block with room, or to a new one; `false` where the directory is to get an
/// index first.
fn add_linear<D: DirWriter>(dir: &mut D, format: &Format, entry: NewEntry<'_>) -> Result<bool> {
    let layout = &format.layout;
    for at in (0..dir.blocks()).map(LogicalBlock) {
        let block = read_leaf(dir, layout, at)?;
        if add_to(dir, layout, at, &block, entry)? {
            return Ok(true);
        }
    }
    if format.makes_index && dir.blocks() == 1 {
        return Ok(false);
    }
    let at = LogicalBlock(dir.blocks());
    let block = dir.append()?;
    let (name, inode, file_type) = entry;
    let added = dir.update(&block, |bytes| {
        layout.init_leaf(bytes);
        layout.insert(bytes, name, inode, file_type)
    })?;
    block.set_verified();
    added.map_err(|problem| dir.report(at, problem))
}

/// Adds to a leaf block; `false` where it has no room.
fn add_to<D: DirWriter>(
    dir: &mut D,
    layout: &Layout,
    at: LogicalBlock,
    block: &D::Block,
    (name, inode, file_type): NewEntry<'_>,
) -> Result<bool> {
    let room = layout
        .has_room(block.bytes(), name.len())
        .map_err(|problem| dir.report(at, problem))?;
    if !room {
        return Ok(false);
    }
    dir.update(block, |bytes| layout.insert(bytes, name, inode, file_type))?
        .map_err(|problem| dir.report(at, problem))
}

/// Turns a plan's failure into an errno.
fn planned<D: DirBlocks, T>(dir: &D, at: LogicalBlock, plan: Result<T, Failure>) -> Result<T> {
    plan.map_err(|failure| match failure {
        Failure::Problem(problem) => dir.report(at, problem),
        Failure::NoMemory => ENOMEM,
    })
}

/// Overwrites a block.
fn replace<D: DirWriter>(dir: &mut D, block: &D::Block, content: &[u8]) -> Result {
    dir.update(block, |bytes| {
        for (to, from) in bytes.iter_mut().zip(content) {
            *to = *from;
        }
    })
}

/// Makes a directory of one block an index root and a leaf.
fn index_first_block<D: DirWriter>(dir: &mut D, format: &Format) -> Result {
    let child = LogicalBlock(dir.blocks());
    let first = read_leaf(dir, &format.layout, ROOT)?;
    let plan = split::make_index(&format.layout, &format.hasher, first.bytes(), child);
    let plan = planned(dir, ROOT, plan)?;
    dir.prepare(&first)?;
    append(dir, &plan)?;
    replace(dir, &first, &plan.low)?;
    dir.set_indexed();
    Ok(())
}

/// Appends the upper block of a plan.
fn append<D: DirWriter>(dir: &mut D, plan: &Split) -> Result {
    let block = dir.append()?;
    replace(dir, &block, &plan.high)?;
    block.set_verified();
    Ok(())
}

/// Adds to the leaf where the name belongs, which is split where it is full; `false` where first
/// the index had to be given room.
///
/// The only leaf of a `new_index` is split whether or not it is full: it holds a full block but
/// for `.` and `..`, and one of the next names would split it.
fn add_indexed<D: DirWriter>(
    dir: &mut D,
    format: &Format,
    entry: NewEntry<'_>,
    new_index: bool,
) -> Result<bool> {
    let layout = &format.layout;
    let (name, inode, file_type) = entry;
    let mut hash = NameHash { major: 0, minor: 0 };
    let (path, hasher) = probe(dir, format, |hasher| {
        hash = hasher.hash(name);
        hash.major
    })?;
    let leaf = read_leaf(dir, layout, path.leaf)?;
    if !new_index && add_to(dir, layout, path.leaf, &leaf, entry)? {
        return Ok(true);
    }
    let lowest = path.inner.as_ref().unwrap_or(&path.root);
    let full = Node::parse(layout, lowest.kind, lowest.block.bytes())
        .map_err(|problem| dir.report(lowest.at, problem))?
        .is_full();
    if full {
        return make_index_room(dir, layout, &path).map(|()| false);
    }

    let mut plan = planned(
        dir,
        path.leaf,
        split::split_leaf(layout, &hasher, leaf.bytes()),
    )?;
    let half = if plan.is_high(hash) {
        &mut plan.high
    } else {
        &mut plan.low
    };
    let fits = layout
        .insert(half, name, inode, file_type)
        .map_err(|problem| dir.report(path.leaf, problem))?;
    if !fits {
        return Err(dir.report(path.leaf, Problem::new("half a directory block is full", 0)));
    }
    let child = LogicalBlock(dir.blocks());
    let node = lowest.block.bytes();
    let node = split::insert_child(layout, lowest.kind, node, lowest.child, plan.hash, child);
    let node = planned(dir, lowest.at, node)?;
    dir.prepare(&leaf)?;
    dir.prepare(&lowest.block)?;
    append(dir, &plan)?;
    replace(dir, &leaf, &plan.low)?;
    replace(dir, &lowest.block, &node)?;
    Ok(true)
}

/// Makes room in the full node above a leaf: a level more below a root, else a split.
fn make_index_room<D: DirWriter>(dir: &mut D, layout: &Layout, path: &Path<D::Block>) -> Result {
    let child = LogicalBlock(dir.blocks());
    let root = &path.root;
    let Some(inner) = &path.inner else {
        let plan = planned(dir, ROOT, split::deepen(layout, root.block.bytes(), child))?;
        dir.prepare(&root.block)?;
        append(dir, &plan)?;
        return replace(dir, &root.block, &plan.low);
    };
    let full = Node::parse(layout, NodeKind::Root, root.block.bytes())
        .map_err(|problem| dir.report(ROOT, problem))?
        .is_full();
    if full {
        return Err(ENOSPC);
    }
    let plan = planned(
        dir,
        inner.at,
        split::split_node(layout, inner.block.bytes()),
    )?;
    let bytes = root.block.bytes();
    let bytes = split::insert_child(layout, NodeKind::Root, bytes, root.child, plan.hash, child);
    let bytes = planned(dir, ROOT, bytes)?;
    dir.prepare(&inner.block)?;
    dir.prepare(&root.block)?;
    append(dir, &plan)?;
    replace(dir, &inner.block, &plan.low)?;
    replace(dir, &root.block, &bytes)
}

/// Removes the entry called `name`, which was found since the last change of the directory. Not
/// for `.` and `..`.
///
/// # Errors
///
/// `EFSCORRUPTED` where it is not there any more; as [`DirWriter::update`].
pub fn remove<D: DirWriter>(
    dir: &mut D,
    format: &Format,
    name: &[u8],
    found: &Found<D::Block>,
) -> Result {
    check_still_there(dir, format, name, found)?;
    dir.update(&found.block, |bytes| {
        format.layout.delete(bytes, found.offset)
    })?
    .map_err(|problem| dir.report(found.at, problem))
}

/// Makes the entry called `name`, which was found since the last change of the directory, lead
/// to another inode. Not for `.` and `..`: see [`set_parent`].
///
/// # Errors
///
/// As [`remove`].
pub fn change<D: DirWriter>(
    dir: &mut D,
    format: &Format,
    name: &[u8],
    found: &Found<D::Block>,
    inode: InodeNumber,
    file_type: u8,
) -> Result {
    check_still_there(dir, format, name, found)?;
    dir.update(&found.block, |bytes| {
        format
            .layout
            .set_inode(bytes, found.offset, inode, file_type)
    })?
    .map_err(|problem| dir.report(found.at, problem))
}

fn check_still_there<D: DirBlocks>(
    dir: &D,
    format: &Format,
    name: &[u8],
    found: &Found<D::Block>,
) -> Result {
    match format.layout.at(found.block.bytes(), found.offset) {
        Ok(entry) if entry.inode == found.inode && entry.name == name => Ok(()),
        Ok(entry) => Err(dir.report(
            found.at,
            Problem::new("directory entry has changed", entry.inode.0.into()),
        )),
        Err(problem) => Err(dir.report(found.at, problem)),
    }
}

/// Makes `..` lead to another directory.
pub fn set_parent<D: DirWriter>(dir: &mut D, format: &Format, parent: InodeNumber) -> Result {
    let indexed = dir.is_indexed();
    let block = if indexed {
        read_node(dir, &format.layout, NodeKind::Root, ROOT)?
    } else {
        read_leaf(dir, &format.layout, ROOT)?
    };
    dir.update(&block, |bytes| {
        format.layout.set_parent(bytes, indexed, parent)
    })?
    .map_err(|problem| dir.report(ROOT, problem))
}

/// Gives a new directory, without blocks, its first one: `.` and `..`.
pub fn init<D: DirWriter>(
    dir: &mut D,
    format: &Format,
    own: InodeNumber,
    parent: InodeNumber,
) -> Result {
    let block = dir.append()?;
    dir.update(&block, |bytes| format.layout.init_first(bytes, own, parent))?;
    block.set_verified();
    Ok(())
}
