// SPDX-License-Identifier: GPL-2.0

//! Directory entries in memory, as the name operations of a directory get them.
//!
//! The VFS calls those operations with the directory's rwsem held, which keeps a dentry's name,
//! parent and inode as they are for the length of the call.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::fs::FileSystem;
use super::inode::{Inode, NewInode};
use super::ops::{CObject, IntoC};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

/// A dentry of a super block of `F`.
///
/// # Invariants
///
/// Every value is a live dentry whose name, parent and inode do not change while a shared
/// reference exists, other than by the methods here.
#[repr(transparent)]
pub struct Dentry<F: FileSystem>(Opaque<bindings::dentry>, PhantomData<fn() -> F>);

// SAFETY: Transparent over the C struct.
unsafe impl<F: FileSystem> CObject for Dentry<F> {
    type C = bindings::dentry;
}

impl<F: FileSystem> Dentry<F> {
    /// The dentry at `ptr`.
    ///
    /// # Safety
    ///
    /// As the type's invariant says, for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::dentry) -> &'a Self {
        // SAFETY: The type is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C dentry.
    pub(crate) fn as_ptr(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    /// The name, without a terminator.
    pub fn name(&self) -> &[u8] {
        // SAFETY: The type's invariant: the name does not change, and `len` bytes of it are there.
        unsafe {
            let name = &(*self.as_ptr()).__bindgen_anon_1.d_name;
            let len = name.__bindgen_anon_1.__bindgen_anon_1.len;
            core::slice::from_raw_parts(name.name.cast(), len as usize)
        }
    }

    /// What the name stands for; `None` where it stands for nothing.
    pub fn inode(&self) -> Option<&Inode<F>> {
        // SAFETY: The type's invariant; a positive dentry keeps its inode alive.
        unsafe {
            let inode = (*self.as_ptr()).d_inode;
            (!inode.is_null()).then(|| Inode::from_raw(inode))
        }
    }

    /// Makes a negative dentry stand for `inode`, and lets everybody use the inode.
    pub fn instantiate_new(&self, inode: NewInode<F>) {
        // SAFETY: Called by the operation that creates the name: the dentry is negative. The
        // dentry takes over the reference, and `I_NEW` is cleared.
        unsafe { bindings::d_instantiate_new(self.as_ptr(), inode.into_raw()) }
    }

    /// Makes a negative dentry stand for `inode`.
    pub fn instantiate(&self, inode: ARef<Inode<F>>) {
        // SAFETY: As above; the dentry takes over the reference.
        unsafe { bindings::d_instantiate(self.as_ptr(), ARef::into_raw(inode).as_ptr().cast()) }
    }

    /// Ends a lookup: the name stands for `inode`, or for nothing.
    ///
    /// The answer is what `lookup` returns.
    pub fn splice(&self, inode: Option<ARef<Inode<F>>>) -> SplicedDentry {
        let raw = match inode {
            Some(inode) => ARef::into_raw(inode).as_ptr().cast(),
            None => core::ptr::null_mut(),
        };
        // SAFETY: A dentry in lookup; the function takes over the reference.
        SplicedDentry(unsafe { bindings::d_splice_alias(raw, self.as_ptr()) })
    }
}

/// The answer of a lookup to the VFS: another dentry to use, an error, or null for "this one".
pub struct SplicedDentry(*mut bindings::dentry);

/// An errno goes into the pointer.
impl IntoC for Result<SplicedDentry> {
    type C = *mut bindings::dentry;

    fn into_c(self) -> Self::C {
        match self {
            Ok(SplicedDentry(dentry)) => dentry,
            Err(e) => e.to_ptr(),
        }
    }
}
