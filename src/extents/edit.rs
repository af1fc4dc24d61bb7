// SPDX-License-Identifier: GPL-2.0

//! The one change of the tree: some neighbouring extents of a leaf become a few others, or move in
//! the file without passing others.
//!
//! [`Edit::plan`] walks a path from the leaf up and notes for each node what becomes of it, until
//! a node's parent need not know. A node either
//! - keeps its block, and its parent at most the key;
//! - is split in two, and the parent gets one entry more;
//! - is dropped, being empty, and the parent gets one entry less;
//! - or, for a root that overflows, moves into a block of its own, and the root is then the
//!   index of that one: the tree is a level deeper.
//!
//! All of these replace the parent's one entry by none, one or two. So the change of the parent
//! is again a replacement of neighbours, and the same code serves all levels.

use super::list::Few;
use super::path::Path;
use super::{Root, TreeSpace};
use crate::format::extent::{self, capacity, Extent, Index, Node, RawEntry, MAX_DEPTH, ROOT_BYTES};
use crate::format::units::{LogicalBlock, PhysicalBlock};
use crate::store::MetaBlock;
use core::ops::Range;
use kernel::prelude::*;

/// How far extents move in the file, in blocks.
#[derive(Clone, Copy)]
pub(super) enum Distance {
    Up(u32),
    Down(u32),
}

impl Distance {
    fn from(self, start: LogicalBlock) -> Option<LogicalBlock> {
        match self {
            Self::Up(by) => start.checked_add(by),
            Self::Down(by) => start.checked_sub(by),
        }
    }
}

/// A change within one node.
enum Change {
    /// `removed` entries from the `from`th on become `new`.
    Replace {
        from: usize,
        removed: usize,
        new: Few<RawEntry>,
    },
    /// The extents at `which` lie elsewhere in the file, in the same order.
    Move {
        which: Range<usize>,
        distance: Distance,
    },
}

impl Change {
    /// The node's entries after the change, in order.
    fn result<'a>(&'a self, node: &Node<'a>) -> impl Iterator<Item = RawEntry> + 'a {
        let old = node.entries();
        (0..).map_while(move |position| self.entry(old, position))
    }

    /// The `position`th entry after the change of `old`.
    fn entry(&self, old: &[RawEntry], position: usize) -> Option<RawEntry> {
        match self {
            Self::Replace { from, removed, new } => match position.checked_sub(*from) {
                None => old.get(position).copied(),
                Some(behind) => new.get(behind).copied().or_else(|| {
                    let kept = position.checked_sub(new.len())?.checked_add(*removed)?;
                    old.get(kept).copied()
                }),
            },
            Self::Move { which, distance } => {
                let entry = *old.get(position)?;
                if !which.contains(&position) {
                    return Some(entry);
                }
                Some(entry.with_key(distance.from(entry.key())?))
            }
        }
    }

    /// How many entries the node has after the change.
    fn count(&self, node: &Node<'_>) -> Result<usize> {
        let old = node.entries().len();
        match self {
            Self::Replace { removed, new, .. } => {
                let kept = old.checked_sub(*removed);
                kept.and_then(|kept| kept.checked_add(new.len()))
                    .ok_or(EINVAL)
            }
            Self::Move { .. } => Ok(old),
        }
    }

    /// Whether nothing in the node lies behind what changes.
    fn is_at_end(&self, node: &Node<'_>) -> bool {
        let end = match self {
            Self::Replace { from, removed, .. } => from.saturating_add(*removed),
            Self::Move { which, .. } => which.end,
        };
        end == node.entries().len()
    }

    /// Makes the change in the node's bytes.
    fn apply(&self, bytes: &mut [u8]) -> Result {
        match self {
            Self::Replace { from, removed, new } => {
                // Entry by entry, as they are no slice; all but the first find nothing to remove.
                let (mut at, mut removed) = (*from, *removed);
                for entry in new.iter() {
                    extent::splice(bytes, at, removed.min(1), &[*entry])?;
                    at = at.saturating_add(1);
                    removed = removed.saturating_sub(1);
                }
                extent::splice(bytes, at, removed, &[])
            }
            Self::Move { which, distance } => {
                extent::rekey(bytes, which.clone(), |key| distance.from(key))
            }
        }
    }
}

/// What becomes of one node.
enum Step<B> {
    /// It is changed where it is.
    Keep { change: Change },
    /// Its new content is `all`, of which the first `cut` stay and the others go to `fresh`.
    Split {
        all: KVec<RawEntry>,
        cut: usize,
        fresh: B,
    },
    /// The root's new content goes to `fresh`, which becomes its only child.
    Grow { all: KVec<RawEntry>, fresh: B },
    /// It has become empty: a node is freed, a root begins anew as an empty leaf.
    Drop,
}

/// A planned change of the tree. It holds blocks for new nodes, so it must be brought to
/// [`Edit::commit`] or to [`Edit::abandon`].
pub(super) struct Edit<B> {
    path: Path<B>,
    /// For the leaf first, then upwards.
    steps: KVec<Step<B>>,
}

impl<B: MetaBlock> Edit<B> {
    /// Plans the replacement of `removed` extents of the path's leaf, from the `from`th on, by
    /// `new`; and gets all that it takes. On an error nothing has happened.
    ///
    /// # Errors
    ///
    /// Those of [`TreeSpace::allocate_node`] and of journal write access, `ENOMEM`, and `EFBIG`
    /// where the tree would become too deep.
    pub(super) fn plan<S: TreeSpace<Block = B>>(
        space: &mut S,
        root: &Root,
        path: Path<B>,
        from: usize,
        removed: usize,
        new: &Few<Extent>,
    ) -> Result<Self> {
        let mut raw = Few::new();
        for extent in new.iter() {
            raw.push((*extent).into())?;
        }
        let change = Change::Replace {
            from,
            removed,
            new: raw,
        };
        Self::plan_change(space, root, path, change)
    }

    /// Plans a move of the extents at `which` in the path's leaf by `distance`; what they pass, and
    /// where they come, is a hole. No node is made or dropped. On an error nothing has happened.
    ///
    /// # Errors
    ///
    /// `EFBIG` where one would come to lie beyond the logical space; those of journal write access,
    /// `ENOMEM`.
    pub(super) fn plan_move<S: TreeSpace<Block = B>>(
        space: &mut S,
        root: &Root,
        path: Path<B>,
        which: Range<usize>,
        distance: Distance,
    ) -> Result<Self> {
        // If the outermost fit, so do all between them.
        let last = which.end.checked_sub(1).ok_or(EINVAL)?;
        for position in [which.start, last] {
            let extent = path.extent(root, position)?.ok_or(EINVAL)?;
            let target = distance.from(extent.start()).ok_or(EFBIG)?;
            extent.moved_to(target).ok_or(EFBIG)?;
        }
        Self::plan_change(space, root, path, Change::Move { which, distance })
    }

    /// Of a planned removal of extents, leaves those before the `from`th where they are; then
    /// `removed` of them go, and one at least stays before them.
    pub(super) fn remove_only(&mut self, from: usize, removed: usize) {
        // The node keeps its first extent, so no other node is concerned.
        self.steps.truncate(1);
        if let Some(step) = self.steps.first_mut() {
            *step = Step::Keep {
                change: Change::Replace {
                    from,
                    removed,
                    new: Few::new(),
                },
            };
        }
    }

    /// The `position`th extent of the leaf, before the change.
    pub(super) fn extent(&self, root: &Root, position: usize) -> Result<Extent> {
        self.path.extent(root, position)?.ok_or(EINVAL)
    }

    fn plan_change<S: TreeSpace<Block = B>>(
        space: &mut S,
        root: &Root,
        path: Path<B>,
        change: Change,
    ) -> Result<Self> {
        // All at once, so that no fresh block is lost for want of memory to note it in.
        let steps = KVec::with_capacity(path.len(), GFP_KERNEL)?;
        let mut edit = Self { path, steps };
        match edit.plan_upwards(space, root, change) {
            Ok(()) => Ok(edit),
            Err(error) => {
                edit.abandon(space);
                Err(error)
            }
        }
    }

    fn plan_upwards<S: TreeSpace<Block = B>>(
        &mut self,
        space: &mut S,
        root: &Root,
        mut change: Change,
    ) -> Result {
        let mut level = usize::from(self.path.depth());
        loop {
            if let Some(block) = &self.path.level(level)?.block {
                space.prepare(block)?;
            }
            let (step, pointers) = self.plan_level(space, root, level, change)?;
            self.steps.push_within_capacity(step).map_err(|_| ENOMEM)?;
            let Some(above) = level.checked_sub(1) else {
                return Ok(());
            };
            let position = self.path.level(above)?.position;
            let parent = self.path.node(root, above)?;
            let old = parent.entries().get(position).map(|entry| entry.index());
            if pointers.len() == 1 && pointers.get(0).copied() == old {
                return Ok(());
            }
            let mut new = Few::new();
            for index in pointers.iter() {
                new.push((*index).into())?;
            }
            change = Change::Replace {
                from: position,
                removed: 1,
                new,
            };
            level = above;
        }
    }

    /// What becomes of the `level`th node by `change`, and the pointers that its parent should
    /// then have instead of the one.
    fn plan_level<S: TreeSpace<Block = B>>(
        &self,
        space: &mut S,
        root: &Root,
        level: usize,
        change: Change,
    ) -> Result<(Step<B>, Few<Index>)> {
        let node = self.path.node(root, level)?;
        let here = self.path.level(level)?.block.as_ref();
        let count = change.count(&node)?;
        let mut pointers = Few::new();
        let Some(first) = change.result(&node).next() else {
            return Ok((Step::Drop, pointers));
        };
        if let Some(block) = here {
            pointers.push(Index {
                first: first.key(),
                child: block.number(),
            })?;
        }
        if count <= node.max() {
            return Ok((Step::Keep { change }, pointers));
        }

        let mut all = KVec::with_capacity(count, GFP_KERNEL)?;
        for entry in change.result(&node) {
            all.push(entry, GFP_KERNEL)?;
        }
        let room = capacity(space.block_size());
        if here.is_none() {
            if node.depth() >= MAX_DEPTH {
                return Err(EFBIG);
            }
            if count > room {
                return Err(EINVAL);
            }
            let fresh = new_node(space, None)?;
            return Ok((Step::Grow { all, fresh }, pointers));
        }
        // A file that grows at its end fills its nodes; elsewhere both halves get room.
        let at_end = change.is_at_end(&node) && self.path.is_last(root, level)?;
        let cut = if at_end {
            node.max()
        } else {
            count.div_ceil(2)
        };
        let moved = all.get(cut).copied().ok_or(EINVAL)?;
        if cut > node.max() || count.saturating_sub(cut) > room {
            return Err(EINVAL);
        }
        let fresh = new_node(space, here.map(|block| block.number()))?;
        pointers.push(Index {
            first: moved.key(),
            child: fresh.number(),
        })?;
        Ok((Step::Split { all, cut, fresh }, pointers))
    }

    /// Gives back what the plan holds.
    pub(super) fn abandon<S: TreeSpace<Block = B>>(self, space: &mut S) {
        for step in &self.steps {
            if let Step::Split { fresh, .. } | Step::Grow { fresh, .. } = step {
                // Where this fails, the journal or the bitmap has failed before, and a lost
                // block is the least of it.
                let _ = space.free_node(fresh.number());
            }
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    ///
    /// Those of an aborted journal, and of [`TreeSpace::free_node`]; in the latter case the tree
    /// is whole, but a block stays allocated that belongs to no one.
    pub(super) fn commit<S: TreeSpace<Block = B>>(self, space: &mut S, root: &mut Root) -> Result {
        let seed = space.seed();
        let mut depth = 0u16;
        let levels = (0..=usize::from(self.path.depth())).rev();
        for (step, level) in self.steps.iter().zip(levels) {
            let block = self.path.level(level)?.block.as_ref();
            match (step, block) {
                (Step::Keep { change }, Some(block)) => {
                    edit_node(space, block, seed, |bytes| change.apply(bytes))?;
                }
                (Step::Keep { change }, None) => change.apply(root)?,
                (Step::Split { all, cut, fresh }, Some(block)) => {
                    let (left, right) = all.split_at_checked(*cut).ok_or(EINVAL)?;
                    write_node(space, fresh, seed, depth, right)?;
                    let kept = Node::parse(block.bytes(), depth)?.entries().len();
                    edit_node(space, block, seed, |bytes| {
                        extent::splice(bytes, 0, kept, left)
                    })?;
                }
                (Step::Grow { all, fresh }, None) => {
                    write_node(space, fresh, seed, depth, all)?;
                    let first = all.first().ok_or(EINVAL)?.key();
                    let child = fresh.number();
                    extent::write_header(root, depth.saturating_add(1), capacity(ROOT_BYTES))?;
                    extent::splice(root, 0, 0, &[Index { first, child }.into()])?;
                }
                (Step::Drop, None) => extent::write_header(root, 0, capacity(ROOT_BYTES))?,
                (Step::Drop, Some(_)) => {}
                (Step::Split { .. }, None) | (Step::Grow { .. }, Some(_)) => return Err(EINVAL),
            }
            depth = depth.saturating_add(1);
        }
        self.free_dropped(space)
    }

    /// Frees the nodes that are no longer in the tree; the first error, after all of them.
    fn free_dropped<S: TreeSpace<Block = B>>(&self, space: &mut S) -> Result {
        let mut result = Ok(());
        let levels = (0..=usize::from(self.path.depth())).rev();
        for (step, level) in self.steps.iter().zip(levels) {
            if let (Step::Drop, Some(block)) = (step, &self.path.level(level)?.block) {
                result = result.and(space.free_node(block.number()));
            }
        }
        result
    }
}

/// Allocates a node; what it holds is still to be written.
fn new_node<S: TreeSpace>(space: &mut S, near: Option<PhysicalBlock>) -> Result<S::Block> {
    let at = space.allocate_node(near)?;
    space.create(at).inspect_err(|_| {
        // As in `abandon`.
        let _ = space.free_node(at);
    })
}

/// Writes a fresh node.
fn write_node<S: TreeSpace>(
    space: &mut S,
    block: &S::Block,
    seed: Option<u32>,
    depth: u16,
    entries: &[RawEntry],
) -> Result {
    edit_node(space, block, seed, |bytes| {
        extent::write_header(bytes, depth, capacity(bytes.len()))?;
        extent::splice(bytes, 0, 0, entries)
    })?;
    block.set_verified();
    Ok(())
}

/// Edits a node in a block, and its checksum.
fn edit_node<S: TreeSpace>(
    space: &mut S,
    block: &S::Block,
    seed: Option<u32>,
    edit: impl FnOnce(&mut [u8]) -> Result,
) -> Result {
    let whole = 0..space.block_size();
    space.update(block, whole, |bytes| {
        edit(bytes)?;
        if let Some(seed) = seed {
            extent::seal(bytes, seed);
        }
        Ok(())
    })?
}
