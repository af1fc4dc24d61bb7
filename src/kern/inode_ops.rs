// SPDX-License-Identifier: GPL-2.0

//! The VFS's tables for what inodes other than a regular file's data can do: attributes, names
//! in directories, reading directories, symlinks.
//!
//! A file system implements [`Attributes`], [`Directory`] and [`Symlink`]; the functions here
//! make tables of them, and [`Inode::set_operations`] gives an inode its own.
//!
//! Locks that the VFS holds at each call are in `Documentation/filesystems/locking.rst`; those
//! that matter are said on the methods.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::acl::{AclKind, PosixAcl};
use super::attr::{AttrChange, FileAttr, IdMap, Stat, StatPath};
use super::dentry::{Dentry, SplicedDentry};
use super::dir_context::DirContext;
use super::fiemap::fiemap;
use super::fs::FileSystem;
use super::inode::{Inode, NewInode};
use super::ioctl::{self, Ioctl};
use super::iomap::Mapper;
use super::ops::{shim2, shim3, shim4, shim5, shim6, zeroed, CObject, FromC, IntoC, Table};
use super::xattr::NameList;
use crate::bindings;
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

/// A table of what an inode can do.
pub type InodeTable = Table<bindings::inode_operations>;
/// A table of what an open file can do.
pub type FileTable = Table<bindings::file_operations>;

/// What every inode can do.
pub trait Attributes: Sized + 'static {
    /// The file system.
    type Fs: FileSystem;

    /// Changes attributes, the size included. The inode's rwsem is held for write.
    fn setattr(idmap: &IdMap, dentry: &Dentry<Self::Fs>, change: AttrChange<'_>) -> Result;

    /// Answers `stat`. `request` has the `STATX_*` bits asked for. No lock is held.
    fn getattr(
        idmap: &IdMap,
        path: StatPath<'_, Self::Fs>,
        stat: Stat<'_>,
        request: u32,
        flags: u32,
    ) -> Result;

    /// Lists the names of the extended attributes. No lock is held.
    fn list_attributes(dentry: &Dentry<Self::Fs>, names: &mut NameList) -> Result;
}

/// The flags of `chattr` and `lsattr`, which regular files and directories have.
pub trait FileFlags: Attributes {
    /// Answers which flags the file has. No lock is held, or the inode's rwsem for write.
    fn flags(dentry: &Dentry<Self::Fs>, answer: FileAttr<'_>) -> Result;

    /// Changes flags. The inode's rwsem is held for write; the VFS has checked owner and
    /// capabilities.
    fn set_flags(idmap: &IdMap, dentry: &Dentry<Self::Fs>, asked: FileAttr<'_>) -> Result;
}

/// Access control lists, which all inodes but symlinks have.
pub trait AccessLists: Attributes {
    /// The list of `inode`, or none. No lock is held, or the inode's rwsem.
    ///
    /// # Errors
    ///
    /// `ECHILD` in a walk that must not sleep, where that is needed.
    fn get_acl(
        inode: &Inode<Self::Fs>,
        kind: AclKind,
        must_not_sleep: bool,
    ) -> Result<Option<ARef<PosixAcl>>>;

    /// Sets the list, or removes it. The inode's rwsem is held for write.
    fn set_acl(
        idmap: &IdMap,
        dentry: &Dentry<Self::Fs>,
        acl: Option<&PosixAcl>,
        kind: AclKind,
    ) -> Result;
}

/// # Safety
///
/// The VFS calls it for a dentry of an inode of `T::Fs`, with a buffer of `room` bytes.
pub(super) unsafe extern "C" fn list_attributes<T: Attributes>(
    dentry: *mut bindings::dentry,
    list: *mut c_char,
    room: usize,
) -> isize {
    // SAFETY: By the function's contract.
    let (dentry, mut names) =
        unsafe { (Dentry::<T::Fs>::from_raw(dentry), NameList::new(list, room)) };
    T::list_attributes(dentry, &mut names)
        .map(|()| names.used())
        .into_c()
}

/// What may be asked of a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenameFlags(u32);

impl RenameFlags {
    /// Whether the two names swap what they stand for.
    pub fn exchange(self) -> bool {
        self.0 & bindings::RENAME_EXCHANGE != 0
    }

    /// Whether a whiteout is to stay under the old name. Never together with an exchange.
    pub fn whiteout(self) -> bool {
        self.0 & bindings::RENAME_WHITEOUT != 0
    }

    /// Whether anything else is asked for, beside that nothing is replaced.
    pub fn others(self) -> bool {
        let known =
            bindings::RENAME_EXCHANGE | bindings::RENAME_NOREPLACE | bindings::RENAME_WHITEOUT;
        self.0 & !known != 0
    }
}

// SAFETY: Any value will do.
unsafe impl FromC for RenameFlags {
    type C = u32;

    unsafe fn from_c(c: u32) -> Self {
        Self(c)
    }
}

/// What a directory can do. The directory's rwsem is held for write in all but `lookup` and
/// `iterate`, where it is held for read; so is that of an inode that loses a name.
pub trait Directory: FileFlags + AccessLists {
    /// Finds what `dentry` stands for.
    fn lookup(
        dir: &Inode<Self::Fs>,
        dentry: &Dentry<Self::Fs>,
        flags: u32,
    ) -> Result<SplicedDentry>;

    /// Makes a regular file.
    fn create(idmap: &IdMap, dir: &Inode<Self::Fs>, dentry: &Dentry<Self::Fs>, mode: u16)
        -> Result;

    /// Gives an inode one more name.
    fn link(old: &Dentry<Self::Fs>, dir: &Inode<Self::Fs>, dentry: &Dentry<Self::Fs>) -> Result;

    /// Removes a name.
    fn unlink(dir: &Inode<Self::Fs>, dentry: &Dentry<Self::Fs>) -> Result;

    /// Makes a symlink.
    fn symlink(
        idmap: &IdMap,
        dir: &Inode<Self::Fs>,
        dentry: &Dentry<Self::Fs>,
        target: &CStr,
    ) -> Result;

    /// Makes a directory.
    fn mkdir(idmap: &IdMap, dir: &Inode<Self::Fs>, dentry: &Dentry<Self::Fs>, mode: u16) -> Result;

    /// Removes an empty directory.
    fn rmdir(dir: &Inode<Self::Fs>, dentry: &Dentry<Self::Fs>) -> Result;

    /// Makes a device, fifo or socket.
    fn mknod(
        idmap: &IdMap,
        dir: &Inode<Self::Fs>,
        dentry: &Dentry<Self::Fs>,
        mode: u16,
        rdev: u32,
    ) -> Result;

    /// Moves a name; the rwsems of both directories are held.
    fn rename(
        idmap: &IdMap,
        old_dir: &Inode<Self::Fs>,
        old: &Dentry<Self::Fs>,
        new_dir: &Inode<Self::Fs>,
        new: &Dentry<Self::Fs>,
        flags: RenameFlags,
    ) -> Result;

    /// Makes a regular file without a name, and gives it to `file` with [`TmpFile::set`].
    fn tmpfile(idmap: &IdMap, dir: &Inode<Self::Fs>, file: &TmpFile<Self::Fs>, mode: u16)
        -> Result;

    /// Reads entries into `ctx` from its position on.
    fn iterate(dir: &DirFile<Self::Fs>, ctx: &mut DirContext) -> Result;

    /// Where the positions of an open directory end.
    fn end_position(dir: &DirFile<Self::Fs>) -> u64;

    /// Puts the directory on disk.
    fn fsync(dir: &Inode<Self::Fs>, data_only: bool) -> Result;
}

/// What a symlink can do.
pub trait Symlink: Attributes {
    /// The target, which lives as long as the inode; `None` where only a walk that may sleep
    /// could find it, and `may_sleep` is false.
    fn target(inode: &Inode<Self::Fs>, may_sleep: bool) -> Result<Option<&CStr>>;
}

/// An open directory.
///
/// # Invariants
///
/// A `struct file` of a directory of `F`, whose position lock this call holds.
#[repr(transparent)]
pub struct DirFile<F: FileSystem>(Opaque<bindings::file>, PhantomData<fn() -> F>);

// SAFETY: Transparent; only used in the tables below, for calls made under the position lock.
unsafe impl<F: FileSystem> CObject for DirFile<F> {
    type C = bindings::file;
}

impl<F: FileSystem> DirFile<F> {
    /// The directory.
    pub fn inode(&self) -> &Inode<F> {
        // SAFETY: The file is open, and holds its inode.
        unsafe { Inode::from_raw((*self.0.get()).f_inode) }
    }

    /// Whether this reader's positions have 31 bits only: a 32-bit program, or NFS said so.
    pub fn has_short_positions(&self) -> bool {
        // SAFETY: The file is open, and its mode does not change.
        let mode = unsafe { (*self.0.get()).f_mode };
        if mode & bindings::FMODE_32BITHASH != 0 {
            return true;
        }
        // SAFETY: Looks at the current task only.
        mode & bindings::FMODE_64BITHASH == 0 && unsafe { bindings::in_compat_syscall() }
    }

    /// How many entries of the position that the reader stands at have been read already; back
    /// to 0 after a seek.
    pub fn taken(&self) -> usize {
        // SAFETY: The file is open, and the position lock held; the field is ours, and holds a
        // number.
        unsafe { (*self.0.get()).private_data as usize }
    }

    /// Sets what [`taken`](Self::taken) says.
    pub fn set_taken(&self, entries: usize) {
        // SAFETY: As for reading.
        unsafe { (*self.0.get()).private_data = entries as *mut c_void }
    }
}

/// A file being opened with `O_TMPFILE`.
#[repr(transparent)]
pub struct TmpFile<F: FileSystem>(Opaque<bindings::file>, PhantomData<fn() -> F>);

// SAFETY: Transparent; only used in the table below.
unsafe impl<F: FileSystem> CObject for TmpFile<F> {
    type C = bindings::file;
}

impl<F: FileSystem> TmpFile<F> {
    /// Gives the file its inode, whose one link goes away, and lets everybody use the inode.
    pub fn set(&self, inode: NewInode<F>) {
        let inode = inode.unlock();
        // SAFETY: The VFS opens the file right now; the dentry takes over a reference.
        unsafe {
            bindings::d_tmpfile(self.0.get(), ARef::into_raw(inode).as_ptr().cast());
        }
    }
}

/// A terminated string that the VFS passes.
struct Terminated<'a>(&'a CStr);

// SAFETY: The VFS passes a terminated string that stands still during the call.
unsafe impl FromC for Terminated<'_> {
    type C = *const c_char;

    unsafe fn from_c(c: *const c_char) -> Self {
        // SAFETY: As above.
        Self(unsafe { CStr::from_char_ptr(c) })
    }
}

/// No other dentry than the one passed, or an error, as `mkdir` answers.
struct SameDentry(Result);

impl IntoC for SameDentry {
    type C = *mut bindings::dentry;

    fn into_c(self) -> Self::C {
        match self.0 {
            Ok(()) => core::ptr::null_mut(),
            Err(e) => e.to_ptr(),
        }
    }
}

fn symlink<T: Directory>(
    idmap: &IdMap,
    dir: &Inode<T::Fs>,
    dentry: &Dentry<T::Fs>,
    target: Terminated<'_>,
) -> Result {
    T::symlink(idmap, dir, dentry, target.0)
}

fn mkdir<T: Directory>(
    idmap: &IdMap,
    dir: &Inode<T::Fs>,
    dentry: &Dentry<T::Fs>,
    mode: u16,
) -> SameDentry {
    SameDentry(T::mkdir(idmap, dir, dentry, mode))
}

/// # Safety
///
/// The VFS calls it to open an unnamed file in a directory of `T::Fs`.
unsafe extern "C" fn tmpfile<T: Directory>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    file: *mut bindings::file,
    mode: u16,
) -> c_int {
    // SAFETY: By the function's contract.
    let result = unsafe {
        T::tmpfile(
            <&IdMap>::from_c(idmap),
            <&Inode<T::Fs>>::from_c(dir),
            <&TmpFile<T::Fs>>::from_c(file),
            mode,
        )
    };
    // SAFETY: The file is being opened; on success it has its inode.
    unsafe { bindings::finish_open_simple(file, result.into_c()) }
}

/// # Safety
///
/// The VFS calls it for a symlink of `T::Fs`; without a dentry the call must not sleep.
unsafe extern "C" fn get_link<T: Symlink>(
    dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    _done: *mut bindings::delayed_call,
) -> *const c_char {
    // SAFETY: By the function's contract.
    let inode = unsafe { Inode::<T::Fs>::from_raw(inode) };
    match T::target(inode, !dentry.is_null()) {
        Ok(Some(target)) => target.as_char_ptr(),
        Ok(None) => ECHILD.to_ptr(),
        Err(e) => e.to_ptr(),
    }
}

fn llseek<T: Directory>(dir: &DirFile<T::Fs>, offset: i64, whence: i32) -> Result<i64> {
    let end = T::end_position(dir).min(i64::MAX as u64) as i64;
    dir.set_taken(0);
    // SAFETY: The file is open, and the position lock held.
    let pos = unsafe { bindings::generic_file_llseek_size(dir.0.get(), offset, whence, end, end) };
    if pos < 0 {
        return to_result(i32::try_from(pos).unwrap_or(EINVAL.to_errno())).map(|()| 0);
    }
    Ok(pos)
}

fn fsync<T: Directory>(dir: &DirFile<T::Fs>, _start: i64, _end: i64, data_only: i32) -> Result {
    T::fsync(dir.inode(), data_only != 0)
}

/// The table of an inode that has attributes and lists only.
pub const fn special_inode_table<T: AccessLists>() -> Table<bindings::inode_operations> {
    Table::new(bindings::inode_operations {
        setattr: Some(shim3(&T::setattr)),
        getattr: Some(shim5(&T::getattr)),
        listxattr: Some(list_attributes::<T>),
        get_inode_acl: Some(shim3(&T::get_acl)),
        set_acl: Some(shim4(&T::set_acl)),
        ..zeroed()
    })
}

/// The table of a symlink.
pub const fn symlink_inode_table<T: Symlink>() -> Table<bindings::inode_operations> {
    Table::new(bindings::inode_operations {
        get_link: Some(get_link::<T>),
        setattr: Some(shim3(&T::setattr)),
        getattr: Some(shim5(&T::getattr)),
        listxattr: Some(list_attributes::<T>),
        ..zeroed()
    })
}

/// The table of a directory as an inode. Where its blocks lie says `Q`, where its attributes do
/// `X`.
pub(crate) const fn directory_inode_table<T, Q, X>() -> Table<bindings::inode_operations>
where
    T: Directory,
    Q: Mapper<Fs = T::Fs>,
    X: Mapper<Fs = T::Fs>,
{
    Table::new(bindings::inode_operations {
        lookup: Some(shim3(&T::lookup)),
        create: Some(shim4(&T::create)),
        link: Some(shim3(&T::link)),
        unlink: Some(shim2(&T::unlink)),
        symlink: Some(shim4(&symlink::<T>)),
        mkdir: Some(shim4(&mkdir::<T>)),
        rmdir: Some(shim2(&T::rmdir)),
        mknod: Some(shim5(&T::mknod)),
        rename: Some(shim6(&T::rename)),
        tmpfile: Some(tmpfile::<T>),
        setattr: Some(shim3(&T::setattr)),
        getattr: Some(shim5(&T::getattr)),
        listxattr: Some(list_attributes::<T>),
        get_inode_acl: Some(shim3(&T::get_acl)),
        set_acl: Some(shim4(&T::set_acl)),
        fileattr_get: Some(shim2(&T::flags)),
        fileattr_set: Some(shim3(&T::set_flags)),
        fiemap: Some(fiemap::<Q, X>),
        ..zeroed()
    })
}

/// The table of an open directory.
pub(crate) const fn directory_file_table<T>() -> Table<bindings::file_operations>
where
    T: Directory,
    T::Fs: Ioctl,
{
    Table::new(bindings::file_operations {
        llseek: Some(shim3(&llseek::<T>)),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(shim2(&T::iterate)),
        fsync: Some(shim4(&fsync::<T>)),
        unlocked_ioctl: Some(ioctl::ioctl::<T::Fs>),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(bindings::compat_ptr_ioctl),
        setlease: Some(bindings::generic_setlease),
        ..zeroed()
    })
}

impl<F: FileSystem> Inode<F> {
    /// Gives the inode its operations, before anybody else sees it. `file` is `None` for
    /// devices, fifos and sockets ([`Inode::init_special`]) and symlinks.
    pub fn set_operations(
        &self,
        inode: &'static Table<bindings::inode_operations>,
        file: Option<&'static Table<bindings::file_operations>>,
    ) {
        // SAFETY: The C inode is initialised, and nobody else looks at it yet. The tables live
        // for ever.
        unsafe {
            (*self.as_ptr()).i_op = inode.as_ptr();
            if let Some(file) = file {
                (*self.as_ptr()).__bindgen_anon_3.i_fop = file.as_ptr();
            }
        }
    }
}
