// SPDX-License-Identifier: GPL-2.0

//! Directories and files below `/sys/fs` (`include/linux/kobject.h`, `include/linux/sysfs.h`).

use crate::bindings;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::prelude::*;
use kernel::str::Formatter;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// A directory; removed when dropped.
///
/// # Invariants
///
/// Points to a kobject of which we own a reference, and whose directory we made.
pub(crate) struct Directory(NonNull<bindings::kobject>);

// SAFETY: sysfs does its own locking.
unsafe impl Send for Directory {}
// SAFETY: As above.
unsafe impl Sync for Directory {}

impl Directory {
    /// The directory `/sys/fs/<name>`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where it exists; that is a bug, and the log says so.
    pub(crate) fn in_fs(name: &CStr) -> Result<Self> {
        // SAFETY: `/sys/fs` is there from boot on. The name is copied.
        unsafe { Self::create(name, bindings::fs_kobj) }
    }

    /// The directory `name` in this one.
    ///
    /// # Errors
    ///
    /// As [`in_fs`](Self::in_fs).
    pub(crate) fn subdirectory(&self, name: &CStr) -> Result<Self> {
        // SAFETY: By the type invariant.
        unsafe { Self::create(name, self.0.as_ptr()) }
    }

    /// # Safety
    ///
    /// `parent` is a kobject with a directory.
    unsafe fn create(name: &CStr, parent: *mut bindings::kobject) -> Result<Self> {
        // SAFETY: By the caller's word.
        let kobject = unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), parent) };
        // INVARIANT: Just made, or null.
        NonNull::new(kobject).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. `kobject_del` first, so that the directory is gone even
        // where somebody else still holds the kobject.
        unsafe {
            bindings::kobject_del(self.0.as_ptr());
            bindings::kobject_put(self.0.as_ptr());
        }
    }
}

/// What prints a file's content; it is at most a page.
pub(crate) type ShowFn<C> = fn(&C, &mut Formatter<'_>) -> Result;
/// What takes the text that was written to a file, without the white space around it.
pub(crate) type StoreFn<C> = fn(&C, &str) -> Result;

/// One kind of file about a `C`. May sleep in both functions.
pub(crate) struct Attribute<C: 'static> {
    /// The file's name.
    pub(crate) name: &'static CStr,
    /// How it is read, if it can be.
    pub(crate) show: Option<ShowFn<C>>,
    /// How it is written, if root can.
    pub(crate) store: Option<StoreFn<C>>,
}

/// A directory's files about one `C`, and the directory; removed when dropped, which waits for
/// those who are reading or writing.
pub(crate) struct Files<C: Send + Sync + 'static> {
    files: KVec<Pin<KBox<File<C>>>>,
    directory: Directory,
}

/// # Invariants
///
/// `raw` is initialised, and what it points to lives as long as the file.
#[pin_data]
struct File<C: Send + Sync + 'static> {
    #[pin]
    raw: Opaque<bindings::kobj_attribute>,
    about: &'static Attribute<C>,
    content: Arc<C>,
}

// SAFETY: sysfs does its own locking; the content is `Send` and `Sync`.
unsafe impl<C: Send + Sync> Send for File<C> {}
// SAFETY: As above.
unsafe impl<C: Send + Sync> Sync for File<C> {}

impl<C: Send + Sync + 'static> Files<C> {
    /// Puts a file into `directory` for each of `attributes`, about `content`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST`; the directory is removed then.
    pub(crate) fn new(
        directory: Directory,
        attributes: &'static [Attribute<C>],
        content: Arc<C>,
    ) -> Result<Self> {
        let mut this = Self {
            files: KVec::with_capacity(attributes.len(), GFP_KERNEL)?,
            directory,
        };
        for about in attributes {
            let file = KBox::pin_init(File::new(about, content.clone()), GFP_KERNEL)?;
            let kobject = this.directory.0.as_ptr();
            // SAFETY: By the invariants. The attribute is pinned in its box, and `drop` below
            // removes the file before it.
            to_result(unsafe { bindings::sysfs_create_file(kobject, file.attribute()) })?;
            // There is room for all.
            this.files.push(file, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl<C: Send + Sync + 'static> Drop for Files<C> {
    fn drop(&mut self) {
        for file in &self.files {
            // SAFETY: Made in `new`. Waits for readers and writers.
            unsafe { bindings::sysfs_remove_file(self.directory.0.as_ptr(), file.attribute()) };
        }
    }
}

impl<C: Send + Sync + 'static> File<C> {
    fn new(about: &'static Attribute<C>, content: Arc<C>) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|raw: *mut bindings::kobj_attribute| {
                let readable = if about.show.is_some() { 0o444 } else { 0 };
                let writable = if about.store.is_some() { 0o200 } else { 0 };
                // SAFETY: `raw` is valid for writes; all zero is a valid attribute, of no name.
                unsafe {
                    raw.write(core::mem::zeroed());
                    bindings::sysfs_attr_init(&raw mut (*raw).attr);
                    (*raw).attr.name = about.name.as_char_ptr();
                    (*raw).attr.mode = readable | writable;
                    (*raw).__bindgen_anon_1.show = Some(show::<C>);
                    (*raw).__bindgen_anon_2.store = Some(store::<C>);
                }
            }),
            about,
            content,
        })
    }

    fn attribute(&self) -> *const bindings::attribute {
        // SAFETY: The address alone is taken.
        unsafe { &raw const (*self.raw.get()).attr }
    }

    /// The file that `raw` is in.
    ///
    /// # Safety
    ///
    /// `raw` is the field of a `File<C>` that lives as long as `'a`.
    unsafe fn from_raw<'a>(raw: *mut bindings::kobj_attribute) -> &'a Self {
        // SAFETY: By the caller's word.
        unsafe {
            let file = raw.byte_sub(core::mem::offset_of!(Self, raw));
            &*file.cast::<Self>()
        }
    }
}

/// Prints a file.
///
/// # Safety
///
/// sysfs calls it with the attribute of a [`File<C>`], and a page.
unsafe extern "C" fn show<C: Send + Sync + 'static>(
    _: *mut bindings::kobject,
    raw: *mut bindings::kobj_attribute,
    page: *mut c_char,
) -> isize {
    // SAFETY: The attribute is a `File`'s; removing it waits for us. The page is ours.
    let (file, page) = unsafe {
        let page = core::slice::from_raw_parts_mut(page.cast::<u8>(), bindings::PAGE_SIZE);
        (File::<C>::from_raw(raw), page)
    };
    let Some(show) = file.about.show else {
        return EIO.to_errno() as isize;
    };
    let mut out = Formatter::new(page);
    match show(&file.content, &mut out) {
        // CAST: At most a page.
        Ok(()) => out.bytes_written() as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// Takes what was written to a file.
///
/// # Safety
///
/// sysfs calls it with the attribute of a [`File<C>`] and `len` bytes of text.
unsafe extern "C" fn store<C: Send + Sync + 'static>(
    _: *mut bindings::kobject,
    raw: *mut bindings::kobj_attribute,
    text: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: The attribute is a `File`'s; removing it waits for us. The text is valid.
    let (file, text) = unsafe {
        let text = core::slice::from_raw_parts(text.cast::<u8>(), len);
        (File::<C>::from_raw(raw), text)
    };
    let (Some(store), Ok(text)) = (file.about.store, core::str::from_utf8(text)) else {
        return EINVAL.to_errno() as isize;
    };
    match store(&file.content, text.trim()) {
        // CAST: Less than a page.
        Ok(()) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}
