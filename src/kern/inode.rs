// SPDX-License-Identifier: GPL-2.0

//! VFS inodes.
//!
//! An [`Inode<F>`] is a `struct inode` with the file system's own part behind it in one
//! allocation. The inode cache ([`InodeCache`]) makes them; the VFS counts references and decides
//! when one dies.
//!
//! # Life
//!
//! ```text
//! iget:    SuperBlock::iget ─► IgetResult::Cached(ARef)          somebody had it in memory
//!                           └► IgetResult::New(NewInode) ─ fill ─► unlock() ─► ARef
//!                                                  └ drop ─► iget_failed()
//! create:  FreshInode::new ─ set_ino ─► hash() ─► NewInode ─ instantiate(dentry) / unlock()
//! ```
//!
//! Nobody else looks at a [`NewInode`]: lookups of the same number wait until it is unlocked.
//!
//! # Who may change what
//!
//! The C fields keep the locks that the VFS gives them (size, mode, owner, links: the inode's
//! rwsem held for write; timestamps: none, each word is written at once). They are read without a
//! lock by `stat` and others, so every access here is a single volatile one, as `READ_ONCE()`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::fs::FileSystem;
use super::ops::CObject;
use super::super_block::{flags, SuperBlock};
use crate::bindings;
use crate::format::units::InodeNumber;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::{self, addr_of_mut, NonNull};
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::sync::atomic::{ordering, Atomic};
use kernel::types::Opaque;

/// A point in time as the VFS counts it: seconds since 1970 and nanoseconds below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds, below 10^9.
    pub nanos: u32,
}

/// What an inode is, from the type bits of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum InodeKind {
    Fifo,
    CharDevice,
    Directory,
    BlockDevice,
    Regular,
    Symlink,
    Socket,
}

impl InodeKind {
    /// From `mode`'s type bits; `None` for a value that stands for nothing.
    pub const fn from_mode(mode: u16) -> Option<Self> {
        match mode >> 12 {
            0o01 => Some(Self::Fifo),
            0o02 => Some(Self::CharDevice),
            0o04 => Some(Self::Directory),
            0o06 => Some(Self::BlockDevice),
            0o10 => Some(Self::Regular),
            0o12 => Some(Self::Symlink),
            0o14 => Some(Self::Socket),
            _ => None,
        }
    }
}

/// A flag of an inode that the VFS acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VfsFlag {
    /// Changes are on disk before the system call returns.
    Sync = bindings::S_SYNC,
    /// It may only grow.
    Append = bindings::S_APPEND,
    /// Nothing of it may change.
    Immutable = bindings::S_IMMUTABLE,
    /// Reading does not set the time of the last access.
    NoAtime = bindings::S_NOATIME,
    /// As [`Sync`](Self::Sync), for names in a directory.
    DirSync = bindings::S_DIRSYNC,
}

/// The kernel's number of a device: 12 bits of `major`, 20 of `minor`.
pub const fn device(major: u32, minor: u32) -> u32 {
    (major & 0xfff) << 20 | minor & 0xf_ffff
}

/// A VFS inode with the file system's part `F::Inode` behind it.
///
/// # Invariants
///
/// Lives in memory from `F`'s [`InodeCache`], and was initialised by the VFS for a super block
/// of `F`.
#[repr(C)]
pub struct Inode<F: FileSystem> {
    vfs: Opaque<bindings::inode>,
    info: F::Inode,
}

// SAFETY: An inode is used and released by any thread; `F::Inode` may be too.
unsafe impl<F: FileSystem> Send for Inode<F> where F::Inode: Send {}
// SAFETY: Every method below is fit for concurrent callers; `F::Inode` is `Sync`.
unsafe impl<F: FileSystem> Sync for Inode<F> where F::Inode: Sync {}

// SAFETY: Inodes of `F`'s super blocks come from `alloc_inode()` below, and begin with the C one.
unsafe impl<F: FileSystem> CObject for Inode<F> {
    type C = bindings::inode;
}

// SAFETY: `ihold()` and `iput()` count the inode's references, and all inodes have a count.
unsafe impl<F: FileSystem> AlwaysRefCounted for Inode<F> {
    fn inc_ref(&self) {
        // SAFETY: A shared reference exists only while the count is above zero.
        unsafe { bindings::ihold(self.as_ptr()) }
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: `Inode` begins with its `struct inode`, and the caller gives up a reference.
        unsafe { bindings::iput(obj.as_ptr().cast()) }
    }
}

/// Reads a field of the C inode as `READ_ONCE()` does.
macro_rules! read_field {
    ($self:expr, $($field:tt)+) => {
        // SAFETY: The type's invariant: the C inode is initialised. Somebody may write the field
        // at the same time, as C code reads and writes it: a single volatile access.
        unsafe { ptr::read_volatile(addr_of_mut!((*$self.as_ptr()).$($field)+)) }
    };
}

/// Writes a field of the C inode as `WRITE_ONCE()` does.
macro_rules! write_field {
    ($self:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: As for reading; no value of these integer fields is invalid.
        unsafe { ptr::write_volatile(addr_of_mut!((*$self.as_ptr()).$($field)+), $value) }
    };
}

impl<F: FileSystem> Inode<F> {
    /// The inode at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is an inode of a super block of `F`, and a reference to it (or the VFS's right to
    /// call into the file system for it) lasts for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: Inodes of `F`'s super blocks come from `alloc_inode()` below: this type.
        unsafe { &*ptr.cast() }
    }

    /// The C inode.
    pub(crate) fn as_ptr(&self) -> *mut bindings::inode {
        self.vfs.get()
    }

    /// The file system's part.
    pub fn info(&self) -> &F::Inode {
        &self.info
    }

    /// The super block.
    pub fn sb(&self) -> &SuperBlock<F> {
        let sb = read_field!(self, i_sb);
        // SAFETY: `i_sb` is set for life; the super block outlives its inodes.
        unsafe { SuperBlock::from_raw(sb) }
    }

    /// The inode number.
    pub fn ino(&self) -> InodeNumber {
        // CAST: Only numbers of this type are ever put in.
        InodeNumber(read_field!(self, i_ino) as u32)
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u16 {
        read_field!(self, i_mode)
    }

    /// Sets type and permission bits.
    pub fn set_mode(&self, mode: u16) {
        write_field!(self, mode, i_mode);
    }

    /// What the inode is; `None` before the mode is set.
    pub fn kind(&self) -> Option<InodeKind> {
        InodeKind::from_mode(self.mode())
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == Some(InodeKind::Directory)
    }

    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.kind() == Some(InodeKind::Regular)
    }

    /// The size in bytes, as `i_size_read()`.
    pub fn size(&self) -> u64 {
        // SAFETY: The C inode is initialised. CAST: sizes are never negative.
        unsafe { bindings::i_size_read(self.as_ptr()) as u64 }
    }

    /// `log2` of the file system's block size in bytes.
    #[inline]
    pub fn block_bits(&self) -> u8 {
        read_field!(self, i_blkbits)
    }

    /// The largest size that a file of this file system can have, in bytes.
    pub(crate) fn max_size(&self) -> u64 {
        // SAFETY: The super block outlives its inodes; the limit is constant.
        unsafe { (*self.sb().as_ptr()).s_maxbytes as u64 }
    }

    /// Sets the size in bytes, as `i_size_write()`.
    ///
    /// The caller holds the inode's rwsem for write, or nobody else sees the inode.
    pub fn set_size(&self, size: u64) {
        // SAFETY: The C inode is initialised. CAST: the VFS's limit is `s_maxbytes`, an i64.
        unsafe { bindings::i_size_write(self.as_ptr(), size as i64) }
    }

    /// The number of names.
    pub fn nlink(&self) -> u32 {
        read_field!(self, __bindgen_anon_1.__i_nlink)
    }

    /// Sets the number of names.
    pub fn set_nlink(&self, n: u32) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::set_nlink(self.as_ptr(), n) }
    }

    /// One name more.
    pub fn inc_nlink(&self) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inc_nlink(self.as_ptr()) }
    }

    /// One name less. Nothing happens at zero, which only a corrupt file system can reach.
    pub fn drop_nlink(&self) {
        if self.nlink() > 0 {
            // SAFETY: The C inode is initialised.
            unsafe { bindings::drop_nlink(self.as_ptr()) }
        }
    }

    /// No name left: the last `iput()` deletes the inode.
    pub fn clear_nlink(&self) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::clear_nlink(self.as_ptr()) }
    }

    /// The owner's number in the initial user namespace, as the disk has it.
    pub fn uid(&self) -> u32 {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::i_uid_read(self.as_ptr()) }
    }

    /// The group's number in the initial user namespace.
    pub fn gid(&self) -> u32 {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::i_gid_read(self.as_ptr()) }
    }

    /// Sets owner and group by their numbers in the initial user namespace.
    pub fn set_owner(&self, uid: u32, gid: u32) {
        // SAFETY: The C inode is initialised.
        unsafe {
            bindings::i_uid_write(self.as_ptr(), uid);
            bindings::i_gid_write(self.as_ptr(), gid);
        }
    }

    /// The time of the last read.
    pub fn atime(&self) -> Timestamp {
        Timestamp {
            secs: read_field!(self, i_atime_sec),
            nanos: read_field!(self, i_atime_nsec),
        }
    }

    /// Sets the time of the last read.
    pub fn set_atime(&self, t: Timestamp) {
        write_field!(self, t.secs, i_atime_sec);
        write_field!(self, t.nanos, i_atime_nsec);
    }

    /// The time of the last change of content.
    pub fn mtime(&self) -> Timestamp {
        Timestamp {
            secs: read_field!(self, i_mtime_sec),
            nanos: read_field!(self, i_mtime_nsec),
        }
    }

    /// Sets the time of the last change of content.
    pub fn set_mtime(&self, t: Timestamp) {
        write_field!(self, t.secs, i_mtime_sec);
        write_field!(self, t.nanos, i_mtime_nsec);
    }

    /// The time of the last change of anything.
    pub fn ctime(&self) -> Timestamp {
        // SAFETY: The C inode is initialised.
        let nanos = unsafe { bindings::inode_get_ctime_nsec(self.as_ptr()) };
        Timestamp {
            secs: read_field!(self, i_ctime_sec),
            // CAST: nanoseconds are below 10^9.
            nanos: nanos as u32,
        }
    }

    /// Sets the time of the last change of anything.
    pub fn set_ctime(&self, t: Timestamp) {
        let ts = bindings::timespec64 {
            tv_sec: t.secs,
            // CAST: nanoseconds are below 10^9.
            tv_nsec: t.nanos as isize,
        };
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_set_ctime_to_ts(self.as_ptr(), ts) };
    }

    /// Sets ctime to now, at the granularity that readers have asked for, and returns it.
    pub fn touch_ctime(&self) -> Timestamp {
        // SAFETY: The C inode is initialised.
        let now = unsafe { bindings::inode_set_ctime_current(self.as_ptr()) };
        Timestamp {
            secs: now.tv_sec,
            // CAST: nanoseconds are below 10^9.
            nanos: now.tv_nsec as u32,
        }
    }

    /// Sets mtime and ctime to now.
    pub fn touch_mtime(&self) -> Timestamp {
        let now = self.touch_ctime();
        self.set_mtime(now);
        now
    }

    /// Space used, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        read_field!(self, i_blocks)
    }

    /// Sets the space used, in units of 512 bytes, before anybody else sees the inode.
    pub fn set_blocks(&self, sectors: u64) {
        write_field!(self, sectors, i_blocks);
    }

    /// Adds `bytes` to the space used.
    pub fn add_bytes(&self, bytes: u64) {
        // SAFETY: The C inode is initialised; the function takes `i_lock`. CAST: a block count.
        unsafe { bindings::inode_add_bytes(self.as_ptr(), bytes as i64) }
    }

    /// Takes `bytes` from the space used.
    pub fn sub_bytes(&self, bytes: u64) {
        // SAFETY: The C inode is initialised; the function takes `i_lock`. CAST: a block count.
        unsafe { bindings::inode_sub_bytes(self.as_ptr(), bytes as i64) }
    }

    /// The number that tells successive users of one inode number apart.
    pub fn generation(&self) -> u32 {
        read_field!(self, i_generation)
    }

    /// Sets the generation, before anybody else sees the inode.
    pub fn set_generation(&self, generation: u32) {
        write_field!(self, generation, i_generation);
    }

    /// The VFS's flags (`S_SYNC`, `S_IMMUTABLE` ...).
    pub fn vfs_flags(&self) -> u32 {
        read_field!(self, i_flags)
    }

    /// Sets or clears one of the VFS's flags.
    pub fn set_vfs_flag(&self, flag: VfsFlag, on: bool) {
        let mask = flag as u32;
        // SAFETY: The C inode is initialised; the function changes the word atomically.
        unsafe { bindings::inode_set_flags(self.as_ptr(), if on { mask } else { 0 }, mask) }
    }

    /// Whether changes of this inode are to be on disk before the system call returns.
    pub fn is_sync(&self) -> bool {
        self.vfs_flags() & bindings::S_SYNC != 0 || self.sb().flags() & flags::SYNCHRONOUS != 0
    }

    /// Whether changes of this directory are to be on disk before the system call returns.
    pub fn is_dirsync(&self) -> bool {
        self.vfs_flags() & (bindings::S_SYNC | bindings::S_DIRSYNC) != 0
            || self.sb().flags() & flags::SYNCHRONOUS != 0
            || self.sb().flags() & flags::DIRSYNC != 0
    }

    /// Whether nothing of the inode may change.
    pub fn is_immutable(&self) -> bool {
        self.vfs_flags() & bindings::S_IMMUTABLE != 0
    }

    /// Whether the inode may only grow.
    pub fn is_append_only(&self) -> bool {
        self.vfs_flags() & bindings::S_APPEND != 0
    }

    /// Whether reading the inode from disk failed, so that it is a stand-in.
    pub fn is_bad(&self) -> bool {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::is_bad_inode(self.as_ptr()) }
    }

    /// The number of a device inode: major and minor.
    pub fn rdev(&self) -> (u32, u32) {
        let rdev: u32 = read_field!(self, i_rdev);
        (rdev >> 20, rdev & 0xf_ffff)
    }

    /// Makes it a device, fifo or socket with the VFS's own file operations.
    pub fn init_special(&self, mode: u16, rdev: u32) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::init_special_inode(self.as_ptr(), mode, rdev) }
    }

    /// The change counter.
    pub fn version(&self) -> u64 {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_peek_iversion(self.as_ptr()) }
    }

    /// Sets the change counter as read from disk.
    pub fn set_version(&self, version: u64) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_set_iversion_queried(self.as_ptr(), version) }
    }

    /// Starts the change counter of a new inode. Nobody has asked for it yet: a write at the moment
    /// of the creation need not be counted.
    pub fn start_version(&self) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_set_iversion(self.as_ptr(), 1) }
    }

    /// Counts a change.
    pub fn bump_version(&self) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_maybe_inc_iversion(self.as_ptr(), true) };
    }

    /// Puts the inode on the VFS's list of dirty ones; calls back into `dirty_inode`.
    ///
    /// The caller has no handle open, or one of the same journal.
    pub fn mark_dirty(&self) {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::__mark_inode_dirty(self.as_ptr(), bindings::I_DIRTY) }
    }

    /// Takes the inode's rwsem for write until the guard is dropped.
    pub fn lock(&self) -> InodeLock<'_, F> {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_lock(self.as_ptr()) };
        InodeLock(self)
    }

    /// As [`lock`](Self::lock), if that needs no waiting.
    pub(crate) fn try_lock(&self) -> Option<InodeLock<'_, F>> {
        // SAFETY: The C inode is initialised.
        let taken = unsafe { bindings::inode_trylock(self.as_ptr()) } != 0;
        taken.then(|| InodeLock(self))
    }

    /// As [`lock_shared`](Self::lock_shared), if that needs no waiting.
    pub(crate) fn try_lock_shared(&self) -> Option<InodeShare<'_, F>> {
        // SAFETY: The C inode is initialised.
        let taken = unsafe { bindings::inode_trylock_shared(self.as_ptr()) } != 0;
        taken.then(|| InodeShare(self))
    }

    /// Takes a share of the inode's rwsem until the guard is dropped.
    pub(crate) fn lock_shared(&self) -> InodeShare<'_, F> {
        // SAFETY: The C inode is initialised.
        unsafe { bindings::inode_lock_shared(self.as_ptr()) };
        InodeShare(self)
    }

    /// Drops the whole page cache at eviction, waiting for writeback.
    pub fn truncate_pages_final(&self) {
        let mapping = read_field!(self, i_mapping);
        // SAFETY: The C inode is initialised and being evicted.
        unsafe { bindings::truncate_inode_pages_final(mapping) }
    }

    /// Ends the VFS's part of an eviction. The page cache is empty.
    ///
    /// Only `evict_inode` calls it, once, on every path.
    pub fn clear(&self) {
        // SAFETY: The C inode is initialised and being evicted.
        unsafe { bindings::clear_inode(self.as_ptr()) }
    }

    /// Whether the page cache holds anything.
    pub fn has_cached_pages(&self) -> bool {
        read_field!(self, i_data.nrpages) != 0
    }
}

/// The inode's rwsem, held for write.
pub struct InodeLock<'a, F: FileSystem>(&'a Inode<F>);

/// The inode's rwsem, held for read.
pub(crate) struct InodeShare<'a, F: FileSystem>(&'a Inode<F>);

impl<F: FileSystem> Drop for InodeShare<'_, F> {
    fn drop(&mut self) {
        // SAFETY: The guard exists because the lock was taken.
        unsafe { bindings::inode_unlock_shared(self.0.as_ptr()) }
    }
}

impl<F: FileSystem> Drop for InodeLock<'_, F> {
    fn drop(&mut self) {
        // SAFETY: The guard exists because the lock was taken.
        unsafe { bindings::inode_unlock(self.0.as_ptr()) }
    }
}

/// An inode in the hash that nobody may use yet.
///
/// Dropped, it becomes a bad inode and leaves the hash.
///
/// # Invariants
///
/// Owns a reference; `I_NEW` is set.
pub struct NewInode<F: FileSystem>(NonNull<Inode<F>>);

impl<F: FileSystem> Deref for NewInode<F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        // SAFETY: The value owns a reference.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystem> NewInode<F> {
    /// Lets everybody use the inode.
    pub fn unlock(self) -> ARef<Inode<F>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `I_NEW` is set, and the reference moves into the result.
        unsafe {
            bindings::unlock_new_inode(this.as_ptr());
            ARef::from_raw(this.0)
        }
    }

    /// The pointer; the reference and the duty to unlock go to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::inode {
        ManuallyDrop::new(self).as_ptr()
    }
}

impl<F: FileSystem> Drop for NewInode<F> {
    fn drop(&mut self) {
        // SAFETY: `I_NEW` is set, and the value owns a reference that goes away with it.
        unsafe { bindings::iget_failed(self.as_ptr()) }
    }
}

/// What [`iget_locked`] found.
pub enum IgetResult<F: FileSystem> {
    /// The inode was in memory.
    Cached(ARef<Inode<F>>),
    /// The caller fills the inode from disk.
    New(NewInode<F>),
}

/// Looks inode `ino` up in memory, or makes a new one for the caller to fill. May sleep.
///
/// # Errors
///
/// `ENOMEM`; also where the cached one is being created and its creation fails.
pub fn iget_locked<F: FileSystem>(sb: &SuperBlock<F>, ino: InodeNumber) -> Result<IgetResult<F>> {
    // SAFETY: The super block is live, and its `alloc_inode` is ours.
    let raw = unsafe { bindings::iget_locked(sb.as_ptr(), ino.0.into()) };
    let inode = NonNull::new(raw.cast::<Inode<F>>()).ok_or(ENOMEM)?;
    // SAFETY: `iget_locked` returned a reference to an initialised inode. `I_NEW` cannot change
    // while we look: it is ours to clear where it is set, and never set again where it is not.
    let new = unsafe { bindings::inode_state_read_once(raw) }
        & bindings::inode_state_flags_enum_I_NEW
        != 0;
    Ok(if new {
        IgetResult::New(NewInode(inode))
    } else {
        // SAFETY: The reference is ours.
        IgetResult::Cached(unsafe { ARef::from_raw(inode) })
    })
}

/// An inode made from nothing, not in the hash.
///
/// # Invariants
///
/// The only reference to the inode.
pub struct FreshInode<F: FileSystem>(ARef<Inode<F>>);

impl<F: FileSystem> FreshInode<F> {
    /// Makes one, with one link, no mode, no number.
    pub fn new(sb: &SuperBlock<F>) -> Result<Self> {
        // SAFETY: The super block is live, and its `alloc_inode` is ours.
        let raw = unsafe { bindings::new_inode(sb.as_ptr()) };
        let inode = NonNull::new(raw.cast::<Inode<F>>()).ok_or(ENOMEM)?;
        // SAFETY: `new_inode` returned the only reference to an initialised inode.
        Ok(Self(unsafe { ARef::from_raw(inode) }))
    }

    /// Gives it its number and puts it in the hash, as one that nobody may use yet.
    ///
    /// # Errors
    ///
    /// `EBUSY` where a live inode has the number: the inode bitmap is corrupt. The inode goes
    /// away; its one link keeps eviction from touching the disk.
    pub fn hash(self, ino: InodeNumber) -> Result<NewInode<F>> {
        write_field!(self.0, ino.0.into(), i_ino);
        // SAFETY: The inode is initialised and in no hash.
        let ret = unsafe { bindings::insert_inode_locked(self.0.as_ptr()) };
        kernel::error::to_result(ret)?;
        Ok(NewInode(ARef::into_raw(self.0)))
    }
}

impl<F: FileSystem> Deref for FreshInode<F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        &self.0
    }
}

/// A file system whose inodes come from an [`InodeCache`].
pub trait InodeMaker: FileSystem {
    /// Where the inodes' memory comes from; a static.
    fn cache() -> &'static InodeCache;

    /// The file system's part of an inode that is about to be read or made.
    fn init() -> impl PinInit<Self::Inode, Error>;
}

/// The slab cache that a file system's inodes come from; one static each.
pub struct InodeCache(Atomic<*mut bindings::kmem_cache>);

impl Default for InodeCache {
    fn default() -> Self {
        Self::new()
    }
}

impl InodeCache {
    /// No cache yet.
    pub const fn new() -> Self {
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Creates the cache; it is destroyed when the result is dropped.
    ///
    /// Called once, when the module is loaded and before `F` is registered.
    pub fn create<F: InodeMaker>(&'static self) -> Result<InodeCacheGuard<F>> {
        let mut args = bindings::kmem_cache_args {
            // CAST: an alignment is far below 4 GiB.
            align: core::mem::align_of::<Inode<F>>() as u32,
            ctor: Some(construct),
            ..Default::default()
        };
        // SAFETY: The name is static, and `construct` initialises what it is given.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(
                c"ext4rs_inode".as_char_ptr(),
                // CAST: an inode's size is far below 4 GiB.
                core::mem::size_of::<Inode<F>>() as u32,
                &mut args,
                bindings::SLAB_RECLAIM_ACCOUNT | bindings::SLAB_ACCOUNT,
            )
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        self.0.store(cache, ordering::Release);
        Ok(InodeCacheGuard(self, PhantomData))
    }
}

/// Destroys an [`InodeCache`] when dropped; every super block is gone by then.
pub struct InodeCacheGuard<F: InodeMaker>(&'static InodeCache, PhantomData<fn() -> F>);

impl<F: InodeMaker> Drop for InodeCacheGuard<F> {
    fn drop(&mut self) {
        let cache = self.0 .0.load(ordering::Acquire);
        // SAFETY: No super block is left, so no new inode; after the barrier the last one has
        // been freed by its RCU callback.
        unsafe {
            kernel::bindings::rcu_barrier();
            bindings::kmem_cache_destroy(cache);
        }
    }
}

/// Runs once for each slot of the cache: what stays true of the C inode between two lives.
///
/// # Safety
///
/// Only the slab allocator calls it, with a slot for an inode.
unsafe extern "C" fn construct(object: *mut core::ffi::c_void) {
    // SAFETY: The slab allocator passes a slot of an inode's size and alignment.
    unsafe { bindings::inode_init_once(object.cast()) }
}

/// Super operation `alloc_inode`.
///
/// # Safety
///
/// Only the VFS calls it, for a super block of `F`.
pub(crate) unsafe extern "C" fn alloc_inode<F: InodeMaker>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    let cache = F::cache().0.load(ordering::Acquire);
    // SAFETY: `F` is registered only while its cache exists; `sb` is live.
    let object = unsafe {
        bindings::kmem_cache_alloc_lru_noprof(
            cache,
            addr_of_mut!((*sb).s_inode_lru),
            bindings::GFP_KERNEL,
        )
    }
    .cast::<Inode<F>>();
    if object.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: The slot is ours and stays where it is until `free_inode`; a failed initialiser
    // leaves nothing behind.
    let ready = unsafe { pin_init::raw_try_init(addr_of_mut!((*object).info), F::init()) };
    if ready.is_err() {
        // SAFETY: From this cache, and nobody has seen it.
        unsafe { bindings::kmem_cache_free(cache, object.cast()) };
        return ptr::null_mut();
    }
    object.cast()
}

/// Super operation `free_inode`: the last grace period is over.
///
/// # Safety
///
/// Only the VFS calls it, once for each inode that `alloc_inode` made.
pub(crate) unsafe extern "C" fn free_inode<F: InodeMaker>(inode: *mut bindings::inode) {
    let object = inode.cast::<Inode<F>>();
    // SAFETY: `alloc_inode` initialised the part, and nobody can reach the inode any more.
    unsafe {
        ptr::drop_in_place(addr_of_mut!((*object).info));
        bindings::kmem_cache_free(F::cache().0.load(ordering::Acquire), object.cast());
    }
}
