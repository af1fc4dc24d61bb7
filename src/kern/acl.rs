// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists in memory.
//!
//! C header: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h)

use super::attr::IdMap;
use super::dentry::Dentry;
use super::fs::FileSystem;
use super::inode::Inode;
use super::nofs::NoFs;
use super::ops::{CObject, FromC, IntoPtr};
use crate::bindings;
use crate::format::acl::{Entry, Owner};
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;

/// Which of the two lists that an inode can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclKind {
    /// Who may do what with the inode.
    Access,
    /// What new inodes in a directory get.
    Default,
}

// SAFETY: Any value will do; the VFS passes one of the two.
unsafe impl FromC for AclKind {
    type C = c_int;

    unsafe fn from_c(c: c_int) -> Self {
        match c as u32 {
            bindings::ACL_TYPE_DEFAULT => Self::Default,
            _ => Self::Access,
        }
    }
}

impl AclKind {
    fn number(self) -> c_int {
        match self {
            Self::Access => bindings::ACL_TYPE_ACCESS as c_int,
            Self::Default => bindings::ACL_TYPE_DEFAULT as c_int,
        }
    }
}

/// A list, which nobody changes.
#[repr(transparent)]
pub struct PosixAcl(Opaque<bindings::posix_acl>);

// SAFETY: Transparent over the C struct.
unsafe impl CObject for PosixAcl {
    type C = bindings::posix_acl;
}

// SAFETY: The functions count the list's references.
unsafe impl AlwaysRefCounted for PosixAcl {
    fn inc_ref(&self) {
        // SAFETY: A shared reference exists only while the count is above zero.
        unsafe { bindings::posix_acl_dup(self.0.get()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The type is transparent, and the caller gives up a reference.
        unsafe { bindings::posix_acl_release(obj.as_ptr().cast()) }
    }
}

impl IntoPtr for ARef<PosixAcl> {
    type C = bindings::posix_acl;

    fn into_ptr(self) -> *mut bindings::posix_acl {
        ARef::into_raw(self).as_ptr().cast()
    }
}

/// The list behind a pointer, whose reference the caller gets; null is none.
///
/// # Safety
///
/// The reference is the caller's of this function to give away.
unsafe fn owned(raw: *mut bindings::posix_acl) -> Option<ARef<PosixAcl>> {
    let acl = NonNull::new(raw.cast::<PosixAcl>())?;
    // SAFETY: By the function's contract.
    Some(unsafe { ARef::from_raw(acl) })
}

impl PosixAcl {
    /// A list with these entries. Allocates without going back into the file system.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(entries: impl Iterator<Item = Entry> + Clone) -> Result<ARef<Self>> {
        let count = entries.clone().count();
        let _nofs = NoFs::enter();
        // SAFETY: Returns a list that is ours, with room for so many entries, or null.
        let acl = unsafe {
            owned(bindings::posix_acl_alloc(
                u32::try_from(count)?,
                bindings::GFP_KERNEL,
            ))
        };
        let acl = acl.ok_or(ENOMEM)?;
        for (i, entry) in entries.take(count).enumerate() {
            let mut to = bindings::posix_acl_entry {
                // CAST: tags are small numbers.
                e_tag: entry.tag as i16,
                e_perm: entry.permissions,
                ..Default::default()
            };
            // SAFETY: The list has room for `count` entries, `i` is less, and nobody else has
            // seen the list. The functions turn numbers of the initial user namespace into ids.
            unsafe {
                let ns = &raw mut bindings::init_user_ns;
                match entry.owner {
                    Owner::User(id) => to.__bindgen_anon_1.e_uid = bindings::make_kuid(ns, id),
                    Owner::Group(id) => to.__bindgen_anon_1.e_gid = bindings::make_kgid(ns, id),
                    Owner::Nobody => {}
                }
                let first = (&raw mut (*acl.0.get()).a_entries).cast::<bindings::posix_acl_entry>();
                first.add(i).write(to);
            }
        }
        Ok(acl)
    }

    /// The entries, with owners as numbers of the initial user namespace.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let acl = self.0.get();
        // SAFETY: The list is live, has so many entries, and does not change.
        let entries = unsafe {
            core::slice::from_raw_parts(
                (&raw const (*acl).a_entries).cast::<bindings::posix_acl_entry>(),
                (*acl).__bindgen_anon_1.hdr.a_count as usize,
            )
        };
        entries.iter().filter_map(|entry| {
            // CAST: tags are small numbers.
            let plain = Entry::new(entry.e_tag as u16, entry.e_perm, 0)?;
            // SAFETY: The tag says which of the two ids the entry has.
            let owner = unsafe {
                let ns = &raw mut bindings::init_user_ns;
                match plain.owner {
                    Owner::User(_) => {
                        Owner::User(bindings::from_kuid(ns, entry.__bindgen_anon_1.e_uid))
                    }
                    Owner::Group(_) => {
                        Owner::Group(bindings::from_kgid(ns, entry.__bindgen_anon_1.e_gid))
                    }
                    Owner::Nobody => Owner::Nobody,
                }
            };
            Some(Entry { owner, ..plain })
        })
    }
}

/// What a new inode gets besides its mode.
pub struct Inherited {
    /// Who may do what with it.
    pub access: Option<ARef<PosixAcl>>,
    /// A directory: what new inodes in it get.
    pub default: Option<ARef<PosixAcl>>,
}

impl<F: FileSystem> Inode<F> {
    /// The lists that this new inode gets as a child of `dir`. Sets its mode, from which the
    /// list of the directory, or the task's umask, takes what nobody is to have.
    ///
    /// # Errors
    ///
    /// What reading the directory's list meets; `ENOMEM`.
    pub fn inherit_acls(&self, dir: &Self) -> Result<Inherited> {
        let mut mode = self.mode();
        let (mut default, mut access) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: Both inodes are live. References to the lists become ours.
        let inherited = unsafe {
            to_result(bindings::posix_acl_create(
                dir.as_ptr(),
                &mut mode,
                &mut default,
                &mut access,
            ))?;
            Inherited {
                access: owned(access),
                default: owned(default),
            }
        };
        self.set_mode(mode);
        Ok(inherited)
    }

    /// The mode of the inode once it has the list `acl`, which becomes `None` where the mode
    /// says it all.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a list that makes no sense.
    pub fn mode_with_acl(&self, idmap: &IdMap, acl: &mut Option<&PosixAcl>) -> Result<u16> {
        let Some(list) = *acl else {
            return Ok(self.mode());
        };
        let mut mode = 0;
        let mut left = list.0.get();
        // SAFETY: All are live; the function only reads the list.
        to_result(unsafe {
            bindings::posix_acl_update_mode(idmap.as_ptr(), self.as_ptr(), &mut mode, &mut left)
        })?;
        if left.is_null() {
            *acl = None;
        }
        Ok(mode)
    }

    /// Keeps the list in memory with the inode, for the VFS.
    pub fn cache_acl(&self, kind: AclKind, acl: Option<&PosixAcl>) {
        let acl = acl.map_or(ptr::null_mut(), |acl| acl.0.get());
        // SAFETY: Both are live; the function takes a reference of its own.
        unsafe { bindings::set_cached_acl(self.as_ptr(), kind.number(), acl) }
    }
}

impl<F: FileSystem> Dentry<F> {
    /// Changes the list of the inode to what its new mode says. The inode's rwsem is held for
    /// write, and no handle is open.
    ///
    /// # Errors
    ///
    /// What setting the list meets.
    pub fn follow_mode_with_acl(&self, idmap: &IdMap, inode: &Inode<F>) -> Result {
        // SAFETY: All are live; calls back into `get_acl` and `set_acl`.
        to_result(unsafe { bindings::posix_acl_chmod(idmap.as_ptr(), self.as_ptr(), inode.mode()) })
    }
}
