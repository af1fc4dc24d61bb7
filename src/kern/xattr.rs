// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: how the VFS asks for them, and the labels of a new inode.
//!
//! C headers: [`include/linux/xattr.h`](srctree/include/linux/xattr.h),
//! [`include/linux/security.h`](srctree/include/linux/security.h).

use super::fs::FileSystem;
use super::inode::Inode;
use super::ops::{zeroed, IntoC};
use crate::bindings;
use core::ptr;
#[cfg(CONFIG_SECURITY)]
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::as_char_ptr_in_const_context;

/// The caller's buffer for a value; without room the caller only wants to know its length.
pub struct ValueBuffer {
    at: *mut u8,
    room: usize,
}

impl ValueBuffer {
    /// Gives the caller `value`, and says how long it is.
    ///
    /// # Errors
    ///
    /// `ERANGE` where it does not fit.
    pub fn give(&self, value: &[u8]) -> Result<usize> {
        if self.room == 0 {
            return Ok(value.len());
        }
        if value.len() > self.room {
            return Err(ERANGE);
        }
        // SAFETY: The VFS passes a buffer of this many bytes, which is the call's alone.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), self.at, value.len()) };
        Ok(value.len())
    }
}

/// The caller's buffer for a list of names; without room the caller only wants to know how long
/// the list is.
pub struct NameList {
    at: *mut u8,
    room: usize,
    used: usize,
}

impl NameList {
    /// Of the buffer that `listxattr` is passed.
    ///
    /// # Safety
    ///
    /// `at` has `room` bytes that are the value's alone while it lives.
    pub(super) unsafe fn new(at: *mut c_char, room: usize) -> Self {
        Self {
            at: at.cast(),
            room,
            used: 0,
        }
    }

    /// Adds the name that `prefix` and `rest` make together.
    ///
    /// # Errors
    ///
    /// `ERANGE` where it does not fit.
    pub fn add(&mut self, prefix: &[u8], rest: &[u8]) -> Result {
        for part in [prefix, rest, &[0]] {
            let end = self.used.checked_add(part.len()).ok_or(ERANGE)?;
            if self.room != 0 {
                if end > self.room {
                    return Err(ERANGE);
                }
                // SAFETY: By `new` the bytes up to `room` are there, and ours.
                unsafe {
                    let to = self.at.add(self.used);
                    ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                }
            }
            self.used = end;
        }
        Ok(())
    }

    /// How many bytes the names take.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

/// What is to become of an attribute that is there already, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is made or replaced.
    Any,
    /// It must not be there yet.
    Create,
    /// It must be there.
    Replace,
    /// Both of them, which never is.
    CreateAndReplace,
}

/// The attributes whose names begin with a prefix.
pub trait AttributeFamily: 'static {
    /// The file system.
    type Fs: FileSystem;

    /// What the names begin with.
    const PREFIX: &'static CStr;

    /// Gives the value of the attribute whose name goes on as `name`. No lock is held, or the
    /// inode's rwsem.
    ///
    /// # Errors
    ///
    /// `ENODATA` where there is no such attribute, `ERANGE`.
    fn get(inode: &Inode<Self::Fs>, name: &[u8], value: &ValueBuffer) -> Result<usize>;

    /// Sets an attribute, or removes it where `value` is `None`. The inode's rwsem is held for
    /// write, or nobody else sees the inode.
    ///
    /// # Errors
    ///
    /// `ENODATA` and `EEXIST` as `how` has it, `ENOSPC`.
    fn set(inode: &Inode<Self::Fs>, name: &[u8], value: Option<&[u8]>, how: How) -> Result;
}

/// The bytes of a name.
///
/// # Safety
///
/// `name` is terminated, and stands still for `'a`.
unsafe fn bytes<'a>(name: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's contract.
    unsafe { CStr::from_char_ptr(name) }.to_bytes()
}

/// # Safety
///
/// The VFS calls it for an inode of `T::Fs`.
unsafe extern "C" fn get<T: AttributeFamily>(
    _handler: *const bindings::xattr_handler,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const c_char,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    let value = ValueBuffer {
        at: buffer.cast(),
        room: size,
    };
    // SAFETY: By the function's contract.
    let found = unsafe { T::get(Inode::<T::Fs>::from_raw(inode), bytes(name), &value) };
    match found {
        Ok(len) => c_int::try_from(len).unwrap_or(c_int::MAX),
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// The VFS calls it for an inode of `T::Fs`.
unsafe extern "C" fn set<T: AttributeFamily>(
    _handler: *const bindings::xattr_handler,
    _idmap: *mut bindings::mnt_idmap,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const c_char,
    value: *const c_void,
    size: usize,
    flags: c_int,
) -> c_int {
    const CREATE: c_int = bindings::XATTR_CREATE as c_int;
    const REPLACE: c_int = bindings::XATTR_REPLACE as c_int;
    const BOTH: c_int = CREATE | REPLACE;
    let how = match flags & BOTH {
        CREATE => How::Create,
        REPLACE => How::Replace,
        BOTH => How::CreateAndReplace,
        _ => How::Any,
    };
    // SAFETY: By the function's contract. A null pointer asks to remove the attribute.
    unsafe {
        let value = match size {
            _ if value.is_null() => None,
            0 => Some(&[][..]),
            _ => Some(core::slice::from_raw_parts(value.cast::<u8>(), size)),
        };
        T::set(Inode::<T::Fs>::from_raw(inode), bytes(name), value, how).into_c()
    }
}

/// A family's table in a `static`.
pub struct Handler(bindings::xattr_handler);

// SAFETY: C only reads the table, from any CPU.
unsafe impl Sync for Handler {}

impl Handler {
    /// Of the family `T`.
    pub const fn of<T: AttributeFamily>() -> Self {
        Self(bindings::xattr_handler {
            prefix: as_char_ptr_in_const_context(T::PREFIX),
            get: Some(get::<T>),
            set: Some(set::<T>),
            ..zeroed()
        })
    }
}

/// The families of a file system, ended by a null pointer, as a super block has them.
pub struct Handlers([*const bindings::xattr_handler; 4]);

// SAFETY: C only reads the tables, from any CPU.
unsafe impl Sync for Handlers {}

impl Handlers {
    /// Of these families.
    pub const fn new([a, b, c]: [&'static Handler; 3]) -> Self {
        Self([&raw const a.0, &raw const b.0, &raw const c.0, ptr::null()])
    }

    /// The pointer that C wants.
    pub const fn as_ptr(&'static self) -> *const *const bindings::xattr_handler {
        self.0.as_ptr()
    }
}

/// Asks the security modules for the labels of a new inode, and has `store` keep each: a name
/// after `security.`, and a value. A file without a name has an empty `name`.
///
/// # Errors
///
/// What the modules say, and `store`.
#[cfg(CONFIG_SECURITY)]
pub fn init_security<F: FileSystem>(
    inode: &Inode<F>,
    dir: &Inode<F>,
    name: &[u8],
    mut store: impl FnMut(&[u8], &[u8]) -> Result,
) -> Result {
    let mut name_of_dir_entry = bindings::qstr {
        name: name.as_ptr(),
        ..Default::default()
    };
    // CAST: names are short.
    name_of_dir_entry.__bindgen_anon_1.__bindgen_anon_1.len = name.len() as u32;
    // Modules read names up to the zero at their end, which those of a dentry have.
    let name: *const bindings::qstr = if name.is_empty() {
        core::ptr::null()
    } else {
        &name_of_dir_entry
    };
    let mut store: &mut dyn FnMut(&[u8], &[u8]) -> Result = &mut store;
    // SAFETY: Both inodes are live; `keep_labels` gets `store`, which outlives the call.
    let ret = unsafe {
        bindings::security_inode_init_security(
            inode.as_ptr(),
            dir.as_ptr(),
            name,
            Some(keep_labels),
            (&raw mut store).cast(),
        )
    };
    match to_result(ret) {
        // There is no module with labels.
        Err(error) if error == EOPNOTSUPP => Ok(()),
        result => result,
    }
}

/// A kernel without security modules has no labels.
#[cfg(not(CONFIG_SECURITY))]
pub fn init_security<F: FileSystem>(
    _inode: &Inode<F>,
    _dir: &Inode<F>,
    _name: &[u8],
    _store: impl FnMut(&[u8], &[u8]) -> Result,
) -> Result {
    Ok(())
}

/// # Safety
///
/// Called by [`init_security`] through C, with its `store` as `data` and an array of labels that
/// one without a name ends.
#[cfg(CONFIG_SECURITY)]
unsafe extern "C" fn keep_labels(
    _inode: *mut bindings::inode,
    mut label: *const bindings::xattr,
    data: *mut c_void,
) -> c_int {
    // SAFETY: By the function's contract.
    let store = unsafe { &mut *data.cast::<&mut dyn FnMut(&[u8], &[u8]) -> Result>() };
    // SAFETY: By the function's contract; a label's value has the bytes that it says.
    unsafe {
        while !(*label).name.is_null() {
            let value = match (*label).value_len {
                0 => &[],
                len => core::slice::from_raw_parts((*label).value.cast::<u8>().cast_const(), len),
            };
            if let Err(error) = store(bytes((*label).name), value) {
                return error.to_errno();
            }
            label = label.add(1);
        }
    }
    0
}
