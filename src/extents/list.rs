// SPDX-License-Identifier: GPL-2.0

//! A list of bounded length, which needs no memory of its own.

use kernel::prelude::*;

/// Up to `N` items.
#[derive(Clone, Copy)]
pub(super) struct List<T, const N: usize> {
    items: [Option<T>; N],
    len: usize,
}

impl<T, const N: usize> List<T, N> {
    pub(super) fn new() -> Self {
        Self {
            items: [const { None }; N],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds `item`, or fails where there is no room, which is a mistake of the caller.
    pub(super) fn push(&mut self, item: T) -> Result {
        *self.items.get_mut(self.len).ok_or(EINVAL)? = Some(item);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        self.items.get_mut(self.len)?.take()
    }

    pub(super) fn get(&self, position: usize) -> Option<&T> {
        self.items.get(position)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.items.iter().flatten()
    }
}

/// A handful of entries: five is the most, an extent in three pieces and its two neighbours.
pub(super) type Few<T> = List<T, 5>;
