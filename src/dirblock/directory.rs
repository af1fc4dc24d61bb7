// SPDX-License-Identifier: GPL-2.0

//! Directories as a whole, over the blocks that the kernel layer gives access to: finding names.
//!
//! The caller holds the directory's rwsem: shared to look and read, exclusive to change. A change
//! happens in one running handle.

use super::entry::{Entry, Layout};
use super::hash::Hasher;
use super::index::{Node, NodeKind, RootInfo};
use crate::format::features::compat;
use crate::format::problem::Problem;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::format::{BlockSize, Geometry};
use crate::store::MetaBlock;
use kernel::prelude::*;

/// Read access to the blocks of one directory.
pub trait DirBlocks {
    /// A block in memory.
    type Block: MetaBlock;

    /// How many blocks the directory has: its size in blocks.
    fn blocks(&self) -> u32;

    /// Whether the inode has the index flag (and the file system `dir_index`).
    fn is_indexed(&self) -> bool;

    /// Reads a block of the directory.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` for a hole, `EIO`, `ENOMEM`.
    fn read(&self, at: LogicalBlock) -> Result<Self::Block>;

    /// Tells the log, and `errors=`, what is wrong in block `at`; gives the errno to return.
    fn report(&self, at: LogicalBlock, problem: Problem) -> Error;
}

/// Write access to the blocks of one directory, in a running handle.
pub trait DirWriter: DirBlocks {
    /// Gets journal write access to a block; an [`update`](DirWriter::update) after it fails only
    /// where the journal has aborted.
    ///
    /// # Errors
    ///
    /// As `Transaction::prepare`.
    fn prepare(&mut self, block: &Self::Block) -> Result;

    /// Edits a block, with write access, and marks it dirty.
    ///
    /// # Errors
    ///
    /// As `Transaction::update`.
    fn update<R>(&mut self, block: &Self::Block, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R>;

    /// Allocates a block at the end of the directory, zeroed and with write access, and grows
    /// the directory's size by it. It is block number [`blocks`](DirBlocks::blocks) of before.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `EIO`, `ENOMEM`; nothing has changed then.
    fn append(&mut self) -> Result<Self::Block>;

    /// Sets the inode's index flag.
    fn set_indexed(&mut self);
}

/// What the directories of a file system, and one of them, are like on disk.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The size of this directory's blocks.
    pub block_size: BlockSize,
    /// Their form.
    pub layout: Layout,
    /// The hash of new indexes.
    pub hasher: Hasher,
    /// Whether a directory that outgrows its first block gets an index.
    pub makes_index: bool,
}

impl Format {
    /// The format of the directory `ino` of `generation`.
    pub fn new(geo: &Geometry, ino: InodeNumber, generation: u32) -> Self {
        Self {
            block_size: geo.block_size,
            layout: Layout::new(geo, ino, generation),
            hasher: Hasher::new(geo),
            makes_index: geo.features.has_compat(compat::DIR_INDEX),
        }
    }
}

/// An entry that was found, with its block still in memory.
pub struct Found<B> {
    /// The block, in the directory.
    pub at: LogicalBlock,
    /// The block itself.
    pub block: B,
    /// Where the entry begins in it.
    pub offset: usize,
    /// The inode it leads to.
    pub inode: InodeNumber,
    /// A value of [`super::file_type`].
    pub file_type: u8,
}

impl<B> Found<B> {
    fn new(at: LogicalBlock, block: B, (offset, inode, file_type): Place) -> Self {
        Self {
            at,
            block,
            offset,
            inode,
            file_type,
        }
    }
}

/// An entry without the borrow of its block.
type Place = (usize, InodeNumber, u8);

fn place(entry: Entry<'_>) -> Place {
    (entry.offset, entry.inode, entry.file_type)
}

/// A step on the way from the root to a leaf.
pub(super) struct Step<B> {
    pub at: LogicalBlock,
    pub block: B,
    pub kind: NodeKind,
    /// Which child was taken.
    pub child: usize,
}

/// The way from the root to a leaf.
pub(super) struct Path<B> {
    pub root: Step<B>,
    pub inner: Option<Step<B>>,
    pub leaf: LogicalBlock,
}

/// Reads a leaf block; checks it where that has not been done.
pub(super) fn read_leaf<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    at: LogicalBlock,
) -> Result<D::Block> {
    let block = dir.read(at)?;
    let checked = if block.verified() {
        layout.check_tail(block.bytes()).map(|_| ())
    } else {
        layout.check_leaf(block.bytes())
    };
    checked.map_err(|problem| dir.report(at, problem))?;
    block.set_verified();
    Ok(block)
}

/// Reads a node of the index; checks it where that has not been done.
pub(super) fn read_node<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    kind: NodeKind,
    at: LogicalBlock,
) -> Result<D::Block> {
    let block = dir.read(at)?;
    if !block.verified() {
        layout
            .check_node(kind, block.bytes(), dir.blocks())
            .map_err(|problem| dir.report(at, problem))?;
        block.set_verified();
    }
    Ok(block)
}

/// Takes the step down from a node: to where `choose` says.
fn step<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    kind: NodeKind,
    at: LogicalBlock,
    block: D::Block,
    choose: impl FnOnce(&Node<'_>) -> usize,
) -> Result<(Step<D::Block>, LogicalBlock)> {
    let (child, next) = Node::parse(layout, kind, block.bytes())
        .and_then(|node| {
            let child = choose(&node);
            let lost = Problem::new("directory index has no such child", child as u64);
            let next = node.child(child).ok_or(lost)?;
            let inside = next.0 > 0 && next.0 < dir.blocks() && next != at;
            let outside = Problem::new("directory index leads out of the directory", next.0.into());
            inside.then_some((child, next)).ok_or(outside)
        })
        .map_err(|problem| dir.report(at, problem))?;
    let step = Step {
        at,
        block,
        kind,
        child,
    };
    Ok((step, next))
}

/// The first block: that of `.` and `..`, and of the index's root.
pub(super) const ROOT: LogicalBlock = LogicalBlock(0);

/// The way to the first leaf that may hold names of `hash(hasher)`, and the directory's hasher.
pub(super) fn probe<D: DirBlocks>(
    dir: &D,
    format: &Format,
    hash: impl FnOnce(&Hasher) -> u32,
) -> Result<(Path<D::Block>, Hasher)> {
    let layout = &format.layout;
    let block = read_node(dir, layout, NodeKind::Root, ROOT)?;
    let info = RootInfo::parse(block.bytes()).map_err(|problem| dir.report(ROOT, problem))?;
    let hasher = format.hasher.with(info.algorithm);
    let hash = hash(&hasher);
    let (root, next) = step(dir, layout, NodeKind::Root, ROOT, block, |node| {
        node.search(hash)
    })?;
    if info.levels == 0 {
        let path = Path {
            root,
            inner: None,
            leaf: next,
        };
        return Ok((path, hasher));
    }
    let block = read_node(dir, layout, NodeKind::Inner, next)?;
    let (inner, leaf) = step(dir, layout, NodeKind::Inner, next, block, |node| {
        node.search(hash)
    })?;
    let path = Path {
        root,
        inner: Some(inner),
        leaf,
    };
    Ok((path, hasher))
}

/// Moves the path to the next leaf; gives that leaf's lowest hash, `None` behind the last.
pub(super) fn next_leaf<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    path: &mut Path<D::Block>,
) -> Result<Option<u32>> {
    let lowest = |step: &Step<D::Block>, child: usize| {
        Node::parse(layout, step.kind, step.block.bytes())
            .map(|node| node.hash(child).zip(node.child(child)))
            .map_err(|problem| dir.report(step.at, problem))
    };
    if let Some(inner) = path.inner.as_mut() {
        let child = inner.child.saturating_add(1);
        if let Some((hash, leaf)) = lowest(inner, child)? {
            inner.child = child;
            path.leaf = leaf;
            return Ok(Some(hash));
        }
    }
    let child = path.root.child.saturating_add(1);
    let Some((hash, next)) = lowest(&path.root, child)? else {
        return Ok(None);
    };
    path.root.child = child;
    path.leaf = next;
    if path.inner.is_some() {
        let block = read_node(dir, layout, NodeKind::Inner, next)?;
        let (inner, leaf) = step(dir, layout, NodeKind::Inner, next, block, |_| 0)?;
        path.inner = Some(inner);
        path.leaf = leaf;
    }
    Ok(Some(hash))
}

/// Finds the entry called `name`.
///
/// # Errors
///
/// As [`DirBlocks::read`]; corruption was [reported](DirBlocks::report).
pub fn lookup<D: DirBlocks>(
    dir: &D,
    format: &Format,
    name: &[u8],
) -> Result<Option<Found<D::Block>>> {
    let layout = &format.layout;
    if !dir.is_indexed() {
        for at in (0..dir.blocks()).map(LogicalBlock) {
            if let Some(found) = find_in(dir, layout, at, name)? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    if matches!(name, b"." | b"..") {
        let block = read_node(dir, layout, NodeKind::Root, ROOT)?;
        let (dot, dotdot) = layout
            .dots(block.bytes())
            .map_err(|problem| dir.report(ROOT, problem))?;
        let entry = place(if name == b"." { dot } else { dotdot });
        return Ok(Some(Found::new(ROOT, block, entry)));
    }
    let mut major = 0;
    let (mut path, _) = probe(dir, format, |hasher| {
        major = hasher.hash(name).major;
        major
    })?;
    loop {
        if let Some(found) = find_in(dir, layout, path.leaf, name)? {
            return Ok(Some(found));
        }
        match next_leaf(dir, layout, &mut path)? {
            Some(hash) if hash & !1 == major => {}
            _ => return Ok(None),
        }
    }
}

fn find_in<D: DirBlocks>(
    dir: &D,
    layout: &Layout,
    at: LogicalBlock,
    name: &[u8],
) -> Result<Option<Found<D::Block>>> {
    let block = read_leaf(dir, layout, at)?;
    let found = layout
        .find(block.bytes(), name)
        .map_err(|problem| dir.report(at, problem))?
        .map(place);
    Ok(found.map(|entry| Found::new(at, block, entry)))
}

/// The inode that `..` leads to. The block that says so was checked.
pub fn parent<D: DirBlocks>(dir: &D, format: &Format) -> Result<InodeNumber> {
    let block = if dir.is_indexed() {
        read_node(dir, &format.layout, NodeKind::Root, ROOT)?
    } else {
        read_leaf(dir, &format.layout, ROOT)?
    };
    let dots = format.layout.dots(block.bytes());
    let (_, dotdot) = dots.map_err(|problem| dir.report(ROOT, problem))?;
    Ok(dotdot.inode)
}

/// Whether the directory holds nothing but `.` and `..`.
pub fn is_empty<D: DirBlocks>(dir: &D, format: &Format) -> Result<bool> {
    let layout = &format.layout;
    let mut first = 0;
    if dir.is_indexed() {
        read_node(dir, layout, NodeKind::Root, ROOT)?;
        first = 1;
    }
    for at in (first..dir.blocks()).map(LogicalBlock) {
        let block = dir.read(at)?;
        if dir.is_indexed() && Node::parse(layout, NodeKind::Inner, block.bytes()).is_ok() {
            continue;
        }
        let block = read_leaf(dir, layout, at)?;
        let empty = layout
            .is_empty(block.bytes())
            .map_err(|problem| dir.report(at, problem))?;
        if !empty {
            return Ok(false);
        }
    }
    Ok(true)
}
