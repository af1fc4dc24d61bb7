// SPDX-License-Identifier: GPL-2.0

//! What ext4rs keeps with each VFS inode.
//!
//! # Locks
//!
//! | field | changed by holders of | read by |
//! |---|---|---|
//! | [`data`](InodeInfo::data) | itself: this is `i_data_sem` | its holders |
//! | [`disk_size`](InodeInfo::disk_size) | `data` for write | anybody |
//! | status tree | the ES lock, and `data` as `extent_status` says | holders of the ES lock |
//! | [`sequence`](InodeInfo::sequence), [`delayed_blocks`](InodeInfo::delayed_blocks) | the ES lock | anybody |
//! | [`recent`](InodeInfo::recent) | the inode's rwsem for write | the same |
//! | [`flags`](InodeInfo::flags) | the inode's rwsem for write | anybody |
//! | half cut | the inode's rwsem for write | the same |
//! | pending grow | its lock, inside all others | holders of the lock |
//! | orphan state | the inode's rwsem for write, or the only user of the inode | the same |
//! | [`Origin`] | nobody, once the inode is unlocked | anybody |

use crate::extent_status::StatusTree;
use crate::format::inode::I_BLOCK_SIZE;
use crate::format::units::PhysicalBlock;
use crate::iomap::writeback::Ext4Writeback;
use crate::kern::inode::Timestamp;
use crate::kern::ioend::CompletionQueue;
use crate::kern::jbd2::Tid;
use crate::kern::rwsem::RwSem;
use crate::mapper::{size::PendingGrow, Recent};
use crate::new_rwsem;
use kernel::prelude::*;
use kernel::sync::atomic::ordering::{Acquire, Relaxed, Release};
use kernel::sync::atomic::Atomic;
use kernel::sync::{new_spinlock, SetOnce, SpinLock};

/// What `i_data_sem` protects.
pub struct InodeData {
    /// The root of the extent tree; in a fast symlink its target, in a device node its number.
    pub i_block: [u8; I_BLOCK_SIZE],
}

/// What an inode is born with, and keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// The checksum seed of the inode and of its blocks.
    pub seed: u32,
    /// Bytes in use of the inode on disk beyond the first 128.
    pub extra_isize: u16,
    /// The project that its blocks are counted for.
    pub projid: u32,
    /// When it was created.
    pub crtime: Timestamp,
}

/// How an inode is on record as an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanState {
    /// Not at all.
    No,
    /// In this slot of the orphan file.
    Slot(u32),
    /// In the list that begins at the super block.
    Listed,
}

/// The file system's part of an inode.
#[pin_data]
pub struct InodeInfo {
    /// `i_data_sem`. Taken after a handle is started, before the ES lock and group locks.
    #[pin]
    pub data: RwSem<InodeData>,
    #[pin]
    status: SpinLock<StatusTree>,
    #[pin]
    completions: CompletionQueue<Ext4Writeback>,
    sequence: Atomic<u64>,
    delayed: Atomic<u32>,
    recent: Recent,
    disk_size: Atomic<u64>,
    #[pin]
    growth: SpinLock<PendingGrow>,
    /// Whether `growth` has something to say, so that those whom it rarely concerns need not take
    /// its lock. Set by a grow before it dirties a folio; whoever is concerned has had the lock of
    /// that folio since.
    growing: Atomic<bool>,
    /// Its content was cut off and is being written anew: see `file`.
    replaced: Atomic<bool>,
    /// A cut has failed: blocks past the end may have been left, with what was in them.
    half_cut: Atomic<bool>,
    flags: Atomic<u32>,
    file_acl: Atomic<u64>,
    /// The last transactions that changed anything, and what `fdatasync` waits for.
    sync_tid: Atomic<u32>,
    datasync_tid: Atomic<u32>,
    /// [`OrphanState`] as a number: 0, slot + 1, or `u32::MAX`.
    orphan: Atomic<u32>,
    /// The inode on disk has bytes of an earlier user of its number.
    fresh: Atomic<bool>,
    /// Where the next block goes if nothing of the file tells better; 0: no idea.
    goal: Atomic<u64>,
    origin: SetOnce<Origin>,
    /// A symlink's target, terminated.
    target: SetOnce<KVec<u8>>,
}

impl InodeInfo {
    /// An inode's part before the inode is read or made.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            data <- new_rwsem!(InodeData { i_block: [0; I_BLOCK_SIZE] }, c"i_data_sem"),
            status <- new_spinlock!(StatusTree::new(), "ext4rs::es_lock"),
            completions <- CompletionQueue::new(),
            sequence: Atomic::new(0),
            delayed: Atomic::new(0),
            recent: Recent::new(),
            disk_size: Atomic::new(0),
            growth <- new_spinlock!(PendingGrow::new(), "ext4rs::growth"),
            growing: Atomic::new(false),
            replaced: Atomic::new(false),
            half_cut: Atomic::new(false),
            flags: Atomic::new(0),
            file_acl: Atomic::new(0),
            sync_tid: Atomic::new(0),
            datasync_tid: Atomic::new(0),
            orphan: Atomic::new(0),
            fresh: Atomic::new(false),
            goal: Atomic::new(0),
            origin: SetOnce::new(),
            target: SetOnce::new(),
        })
    }

    /// Runs `f` under the ES lock, and publishes the sequence where that has moved, and with it the
    /// number of delayed blocks, which does not change without.
    #[inline]
    pub fn with_status<R>(&self, f: impl FnOnce(&mut StatusTree) -> R) -> R {
        let mut tree = self.status.lock();
        let before = tree.sequence();
        let result = f(&mut tree);
        let sequence = tree.sequence();
        if sequence != before {
            self.delayed.store(tree.delayed_blocks(), Relaxed);
            self.sequence.store(sequence, Release);
        }
        result
    }

    /// The sequence of the status tree, without its lock: see the field there for who may.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Acquire)
    }

    /// How many blocks are delayed.
    pub(super) fn delayed_blocks(&self) -> u32 {
        self.delayed.load(Relaxed)
    }

    /// What the last buffered write found. The caller holds the inode's rwsem for write.
    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Writeback that has ended and is not recorded yet.
    pub(crate) fn completions(&self) -> &CompletionQueue<Ext4Writeback> {
        &self.completions
    }

    /// The size on disk in bytes (`i_disksize`): what a crash leaves the file with.
    pub fn disk_size(&self) -> u64 {
        self.disk_size.load(Relaxed)
    }

    /// Sets the size on disk. `_data` is `i_data_sem` held for write; the inode is written back
    /// in the same handle.
    pub fn set_disk_size(&self, _data: &mut InodeData, size: u64) {
        self.disk_size.store(size, Relaxed);
    }

    /// Runs `f` on the grow that is pending, or not.
    pub(crate) fn with_growth<R>(&self, f: impl FnOnce(&mut PendingGrow) -> R) -> R {
        let mut growth = self.growth.lock();
        let result = f(&mut growth);
        self.growing.store(growth.is_some(), Release);
        result
    }

    /// As [`with_growth`](Self::with_growth), only where a grow is announced or pending.
    pub(crate) fn growth<R: Default>(&self, f: impl FnOnce(&mut PendingGrow) -> R) -> R {
        if !self.growing.load(Acquire) {
            return R::default();
        }
        self.with_growth(f)
    }

    /// Notes that the whole content was cut off, to be written anew.
    pub(crate) fn note_replaced(&self) {
        self.replaced.store(true, Relaxed);
    }

    /// Whether [`note_replaced`](Self::note_replaced) was called since this was asked last.
    pub(crate) fn take_replaced(&self) -> bool {
        self.replaced.xchg(false, Relaxed)
    }

    /// Whether a cut has failed, and what it was to take away may still be there. The caller holds
    /// the rwsem for write.
    pub(crate) fn is_half_cut(&self) -> bool {
        self.half_cut.load(Relaxed)
    }

    /// Sets what [`is_half_cut`](Self::is_half_cut) says.
    pub(crate) fn set_half_cut(&self, half_cut: bool) {
        self.half_cut.store(half_cut, Relaxed);
    }

    /// The inode's flags ([`crate::format::inode::flags`]).
    pub fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }

    /// Whether all of `bits` are set.
    pub fn has_flags(&self, bits: u32) -> bool {
        self.flags() & bits == bits
    }

    /// Sets the flags.
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Relaxed);
    }

    /// The block of extended attributes.
    pub fn file_acl(&self) -> Option<PhysicalBlock> {
        match self.file_acl.load(Relaxed) {
            0 => None,
            block => Some(PhysicalBlock(block)),
        }
    }

    /// Sets the block of extended attributes.
    pub fn set_file_acl(&self, block: Option<PhysicalBlock>) {
        self.file_acl.store(block.map_or(0, |b| b.0), Relaxed);
    }

    /// The transaction for which `fsync` waits, or `fdatasync` where `data_only`.
    pub fn last_tid(&self, data_only: bool) -> Tid {
        if data_only {
            self.datasync_tid.load(Relaxed)
        } else {
            self.sync_tid.load(Relaxed)
        }
    }

    /// Notes that the transaction `tid` changes the inode; `data`: in a way that is needed to
    /// read the data back (its size, its blocks).
    pub fn touched_by(&self, tid: Tid, data: bool) {
        self.sync_tid.store(tid, Relaxed);
        if data {
            self.datasync_tid.store(tid, Relaxed);
        }
    }

    /// What the inode was born with; zeroes before it was read or made.
    pub fn origin(&self) -> Origin {
        self.origin.copy().unwrap_or_default()
    }

    /// Sets what the inode was born with, once.
    pub(super) fn set_origin(&self, origin: Origin) {
        self.origin.populate(origin);
    }

    /// How the inode is on record as an orphan.
    pub fn orphan(&self) -> OrphanState {
        match self.orphan.load(Relaxed) {
            0 => OrphanState::No,
            u32::MAX => OrphanState::Listed,
            n => OrphanState::Slot(n.saturating_sub(1)),
        }
    }

    /// Sets how the inode is on record as an orphan.
    pub fn set_orphan(&self, state: OrphanState) {
        let n = match state {
            OrphanState::No => 0,
            OrphanState::Slot(slot) => slot.saturating_add(1),
            OrphanState::Listed => u32::MAX,
        };
        self.orphan.store(n, Relaxed);
    }

    /// Whether the first write-back has to wipe what an earlier user of the number left.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh.load(Relaxed)
    }

    /// Sets what [`is_fresh`](Self::is_fresh) says.
    pub(super) fn set_fresh(&self, fresh: bool) {
        self.fresh.store(fresh, Relaxed);
    }

    /// A symlink's target, if it is in memory; terminated.
    pub fn target(&self) -> Option<&CStr> {
        let bytes = self.target.as_ref()?;
        CStr::from_bytes_until_nul(bytes).ok()
    }

    /// Keeps a symlink's target in memory. Of several racing callers one wins, with the same
    /// target.
    pub(crate) fn set_target(&self, terminated: KVec<u8>) {
        self.target.populate(terminated);
    }
}
