// SPDX-License-Identifier: GPL-2.0

//! A reader-writer semaphore around the data that it protects.
//!
//! C header: `include/linux/rwsem.h`.

use crate::bindings;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use kernel::prelude::*;
use kernel::sync::LockClassKey;
use kernel::types::{NotThreadSafe, Opaque};

/// Many readers or one writer; sleeps. Made with [`new_rwsem!`](crate::new_rwsem).
#[pin_data]
pub struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    data: UnsafeCell<T>,
}

// SAFETY: the value goes where the lock goes.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: readers share `&T` between tasks (`Sync`), a writer gets `&mut T` in any task (`Send`).
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

/// Makes a [`RwSem`](crate::kern::rwsem::RwSem) whose lockdep class is this place in the source.
#[macro_export]
macro_rules! new_rwsem {
    ($data:expr, $name:literal) => {
        $crate::kern::rwsem::RwSem::new($data, $name, kernel::sync::static_lock_class!())
    };
}

impl<T> RwSem<T> {
    /// Wraps `data`. `name` and `key` are for lockdep.
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            sem <- Opaque::ffi_init(|sem: *mut bindings::rw_semaphore| {
                // SAFETY: `sem` is valid for writes and pinned; name and key live for ever.
                unsafe { bindings::__init_rwsem(sem, name.as_char_ptr(), key.as_ptr().cast()) }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Waits for a share of the lock.
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: initialised by `new`, and pinned since.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard {
            lock: self,
            _task: NotThreadSafe,
        }
    }

    /// Waits for the lock as its only holder.
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: initialised by `new`, and pinned since.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard {
            lock: self,
            _task: NotThreadSafe,
        }
    }

    /// The lock as its only holder, if that needs no waiting.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: initialised by `new`, and pinned since.
        if unsafe { bindings::down_write_trylock(self.sem.get()) } == 0 {
            return None;
        }
        Some(WriteGuard {
            lock: self,
            _task: NotThreadSafe,
        })
    }

    /// The data, where nobody else can hold the lock.
    pub fn get_mut(self: Pin<&mut Self>) -> &mut T {
        // SAFETY: nothing is moved: only the unpinned field is given out.
        unsafe { self.get_unchecked_mut() }.data.get_mut()
    }
}

/// A share of the lock.
///
/// # Invariants
///
/// The current task holds `lock` for reading.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'a, T> {
    lock: &'a RwSem<T>,
    _task: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant there is no writer.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant.
        unsafe { bindings::up_read(self.lock.sem.get()) }
    }
}

/// The lock as its only holder.
///
/// # Invariants
///
/// The current task holds `lock` for writing.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<'a, T> {
    lock: &'a RwSem<T>,
    _task: NotThreadSafe,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant there is no other holder.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant there is no other holder.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant.
        unsafe { bindings::up_write(self.lock.sem.get()) }
    }
}

#[cfg(CONFIG_EXT4RS_KUNIT_TEST)]
#[kunit_tests(ext4rs_rwsem)]
mod tests {
    use super::*;

    fn boxed() -> Result<Pin<KBox<RwSem<u32>>>> {
        KBox::pin_init(crate::new_rwsem!(7, c"ext4rs_rwsem_test"), GFP_KERNEL)
    }

    #[test]
    fn a_reader_keeps_the_writer_out() -> Result {
        let sem = boxed()?;
        let shared = sem.read();
        assert_eq!(*shared, 7);
        assert!(sem.try_write().is_none());
        drop(shared);
        assert!(sem.try_write().is_some());
        Ok(())
    }

    #[test]
    fn a_writer_keeps_all_out_until_it_is_dropped() -> Result {
        let sem = boxed()?;
        let mut only = sem.write();
        *only = 8;
        assert!(sem.try_write().is_none());
        drop(only);
        assert_eq!(*sem.read(), 8);
        Ok(())
    }

    #[test]
    fn the_owner_needs_no_lock() -> Result {
        let mut sem = boxed()?;
        *RwSem::get_mut(sem.as_mut()) += 1;
        assert_eq!(*sem.read(), 8);
        Ok(())
    }
}
