// SPDX-License-Identifier: GPL-2.0

//! Files in `/proc` that print something (`include/linux/proc_fs.h`).

use crate::bindings;
use core::{marker::PhantomData, ptr, ptr::NonNull};
use kernel::{ffi::c_int, prelude::*, seq_file::SeqFile, sync::Arc};

/// What can print itself.
pub(crate) trait Show: Send + Sync + 'static {
    /// Prints the file's content to `out`; may sleep. Called anew where the buffer was too small.
    fn show(&self, out: &SeqFile);
}

/// A directory; removed when dropped, with all that is left in it.
///
/// # Invariants
///
/// Points to a directory that we made.
pub(crate) struct Directory(NonNull<bindings::proc_dir_entry>);

// SAFETY: procfs does its own locking.
unsafe impl Send for Directory {}
// SAFETY: As above.
unsafe impl Sync for Directory {}

impl Directory {
    /// The directory `path` below `/proc`; all but the last part exist.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where it exists.
    pub(crate) fn new(path: &CStr) -> Result<Self> {
        // SAFETY: The string is valid for the call, which copies it.
        let entry = unsafe { bindings::proc_mkdir(path.as_char_ptr(), ptr::null_mut()) };
        // INVARIANT: Just made, or null.
        NonNull::new(entry).map(Self).ok_or(ENOMEM)
    }

    /// The file `name` in this directory, which prints `content`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn file<T: Show>(&self, name: &CStr, content: Arc<T>) -> Result<File<T>> {
        let raw = Arc::into_raw(content);
        // SAFETY: The string is copied. `raw` stays valid until the entry is gone, which waits
        // for readers: see `File`.
        let entry = unsafe {
            bindings::proc_create_single_data(
                name.as_char_ptr(),
                0o444,
                self.0.as_ptr(),
                Some(show::<T>),
                raw.cast_mut().cast(),
            )
        };
        match NonNull::new(entry) {
            // INVARIANT: Just made, with `raw` as its data.
            Some(entry) => Ok(File {
                entry,
                content: raw,
                owns: PhantomData,
            }),
            None => {
                // SAFETY: From `into_raw` above, and nobody else has it.
                drop(unsafe { Arc::from_raw(raw) });
                Err(ENOMEM)
            }
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the files in it were removed before, as they are
        // dropped first.
        unsafe { bindings::proc_remove(self.0.as_ptr()) };
    }
}

/// A file that prints a `T`; removed when dropped, which is before its directory is.
///
/// # Invariants
///
/// `entry` is a file that we made, and `content` its data: the result of `Arc::into_raw`.
pub(crate) struct File<T> {
    entry: NonNull<bindings::proc_dir_entry>,
    content: *const T,
    owns: PhantomData<Arc<T>>,
}

// SAFETY: procfs does its own locking; the content is `Send` and `Sync`.
unsafe impl<T: Show> Send for File<T> {}
// SAFETY: As above.
unsafe impl<T: Show> Sync for File<T> {}

impl<T> Drop for File<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. `proc_remove()` waits for readers inside `show`, so the
        // content is not used after it.
        unsafe {
            bindings::proc_remove(self.entry.as_ptr());
            drop(Arc::from_raw(self.content));
        }
    }
}

/// # Safety
///
/// Called by seq_file with the data of a [`File<T>`] as the private pointer.
unsafe extern "C" fn show<T: Show>(
    seq: *mut bindings::seq_file,
    _: *mut kernel::ffi::c_void,
) -> c_int {
    // SAFETY: By the function's contract; the content lives until the entry is removed. The two
    // `seq_file` types are the same C struct.
    unsafe {
        let content = (*seq).private.cast::<T>();
        (*content).show(SeqFile::from_raw(seq.cast()));
    }
    0
}
