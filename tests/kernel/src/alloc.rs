// SPDX-License-Identifier: GPL-2.0

//! As `kernel::alloc`: vectors and boxes whose every growth can fail.

use core::ops::{Deref, DerefMut};
use std::cell::Cell;

/// Allocation flags; the host has no use for them.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

/// As `kernel::alloc::flags`.
pub mod flags {
    use super::Flags;

    #[doc(hidden)]
    pub const GFP_KERNEL: Flags = Flags;
    #[doc(hidden)]
    pub const GFP_ATOMIC: Flags = Flags;
    #[doc(hidden)]
    pub const GFP_NOWAIT: Flags = Flags;
    #[doc(hidden)]
    pub const __GFP_ZERO: Flags = Flags;
}

/// Memory was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

thread_local! {
    static COUNTDOWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Lets `successes` more allocations of this thread succeed, and fails the next one, once.
pub fn fail_after(successes: u64) {
    COUNTDOWN.set(Some(successes));
}

/// Switches injected failures off; true where the failure had not come yet.
pub fn never_fail() -> bool {
    COUNTDOWN.replace(None).is_some()
}

fn charge() -> Result<(), AllocError> {
    match COUNTDOWN.get() {
        None => Ok(()),
        Some(0) => {
            COUNTDOWN.set(None);
            Err(AllocError)
        }
        Some(n) => {
            COUNTDOWN.set(Some(n - 1));
            Ok(())
        }
    }
}

/// As `kernel::alloc::KBox`.
#[derive(Debug, PartialEq, Eq)]
pub struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    #[doc(hidden)]
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        charge()?;
        Ok(Self(Box::new(value)))
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// As `kernel::alloc::KVec`.
#[derive(Debug, PartialEq, Eq)]
pub struct KVec<T>(Vec<T>);

/// As `kernel::alloc::KVVec`: like [`KVec`], for lengths that need not be contiguous in memory.
pub type KVVec<T> = KVec<T>;

impl<T> Default for KVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[doc(hidden)]
impl<T> KVec<T> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self, AllocError> {
        if capacity > 0 {
            charge()?;
        }
        Ok(Self(Vec::with_capacity(capacity)))
    }

    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        let mut v = Self::with_capacity(n, flags)?;
        v.0.resize(n, value);
        Ok(v)
    }

    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub fn reserve(&mut self, additional: usize, _flags: Flags) -> Result<(), AllocError> {
        if self.0.capacity() - self.0.len() < additional {
            charge()?;
            self.0.reserve(additional);
        }
        Ok(())
    }

    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(value);
        Ok(())
    }

    pub fn push_within_capacity(&mut self, value: T) -> Result<(), T> {
        if self.0.len() == self.0.capacity() {
            return Err(value);
        }
        self.0.push(value);
        Ok(())
    }

    pub fn insert_within_capacity(&mut self, index: usize, value: T) -> Result<(), T> {
        if self.0.len() == self.0.capacity() || index > self.0.len() {
            return Err(value);
        }
        self.0.insert(index, value);
        Ok(())
    }

    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    pub fn resize(&mut self, len: usize, value: T, flags: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        if len > self.0.len() {
            self.reserve(len - self.0.len(), flags)?;
        }
        self.0.resize(len, value);
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    pub fn remove(&mut self, index: usize) -> Result<T, RemoveError> {
        if index < self.0.len() {
            Ok(self.0.remove(index))
        } else {
            Err(RemoveError)
        }
    }

    pub fn drain_all(&mut self) -> std::vec::Drain<'_, T> {
        self.0.drain(..)
    }

    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }

    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// The index was out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoveError;

impl<T> Deref for KVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for KVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<'a, T> IntoIterator for &'a KVec<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
