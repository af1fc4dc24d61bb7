// SPDX-License-Identifier: GPL-2.0

//! Adding an extent. Needs `i_data_sem` for write.

use super::edit::Edit;
use super::list::Few;
use super::path::Path;
use super::{Root, TreeSpace};
use crate::format::extent::Extent;
use kernel::prelude::*;

/// Maps `extent`, over what has been a hole, as one with its neighbours where they adjoin.
///
/// Takes [`insert_credits`](super::insert_credits).
///
/// # Errors
///
/// `EEXIST` where something is mapped there already; those of allocating a node and of reading;
/// `EFBIG` where the tree would become too deep. The tree has not changed then.
pub fn insert<S: TreeSpace>(space: &mut S, root: &mut Root, extent: Extent) -> Result {
    let path = Path::find(space, root, extent.start())?;
    let behind = match path.leaf(root)?.search(extent.start()) {
        Some(before) => before.checked_add(1).ok_or(EINVAL)?,
        None => 0,
    };
    let before = match behind.checked_sub(1) {
        Some(position) => path.extent(root, position)?,
        None => None,
    };
    let next = path.extent(root, behind)?;
    let free_from = before.map_or(extent.start(), |e| e.end());
    let free_to = next.map_or(path.limit, |e| e.start());
    if extent.start() < free_from || free_to < extent.end() {
        return Err(EEXIST);
    }
    let mut new = Few::new();
    new.push(extent)?;
    plan_joined(space, root, path, behind, 0, &new)?.commit(space, root)
}

/// Plans the replacement of `removed` extents of the path's leaf, from the `from`th on, by
/// `new`, all joined with each other and with the neighbours in the leaf where they adjoin.
///
/// # Errors
///
/// As [`Edit::plan`]. Nothing has happened then.
pub(super) fn plan_joined<S: TreeSpace>(
    space: &mut S,
    root: &Root,
    path: Path<S::Block>,
    from: usize,
    removed: usize,
    new: &Few<Extent>,
) -> Result<Edit<S::Block>> {
    let mut first = from;
    let mut replaced = removed;
    let mut joined = Few::new();
    if let Some(position) = from.checked_sub(1) {
        if let Some(before) = path.extent(root, position)? {
            joined.push(before)?;
            first = position;
            replaced = replaced.saturating_add(1);
        }
    }
    for extent in new.iter() {
        push_joined(&mut joined, *extent)?;
    }
    if let Some(next) = path.extent(root, from.saturating_add(removed))? {
        push_joined(&mut joined, next)?;
        replaced = replaced.saturating_add(1);
    }
    Edit::plan(space, root, path, first, replaced, &joined)
}

/// Adds `extent` to `list`, as one with the last where that can be.
fn push_joined(list: &mut Few<Extent>, extent: Extent) -> Result {
    let Some(last) = list.pop() else {
        return list.push(extent);
    };
    match last.join(&extent) {
        Some(both) => list.push(both),
        None => {
            list.push(last)?;
            list.push(extent)
        }
    }
}
