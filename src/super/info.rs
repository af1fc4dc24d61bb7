// SPDX-License-Identifier: GPL-2.0

//! Everything that one mounted file system has (`s_fs_info`).

use super::errortags::ErrorTags;
use super::groups::Groups;
use super::health::Health;
use super::options::{Options, Switch};
use super::publish::Published;
use super::write_out;
use crate::alloc::GroupTable;
use crate::format::superblock::{RawSuperblock, SUPERBLOCK_SIZE};
use crate::format::units::{GroupNumber, PhysicalBlock};
use crate::format::{orphan, Geometry, GroupDesc};
use crate::inode;
use crate::iomap::stats::WritebackStats;
use crate::kern::buffer::{Buffer, Device};
use crate::kern::fs::FileSystem;
use crate::kern::jbd2::{CommitHook, Journal, JournalParams, Tid};
use crate::kern::super_block::DeferredWork;
use crate::kern::super_buffer::SuperBuffer;
use crate::kern::workqueue::Workqueue;
use crate::store::{MetaBlock, Transaction};
use crate::Ext4;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SetOnce, SpinLock};

/// The journal of an ext4rs file system.
pub(crate) type Ext4Journal = Journal<CommitLog>;

/// What is done after each commit.
pub(crate) struct CommitLog {
    stats: Arc<WritebackStats>,
    /// Where freed blocks wait for the commit; set once the groups are loaded.
    groups: SetOnce<Arc<Groups>>,
    /// The checksum seed of the orphan file; set once that is loaded, with `metadata_csum`.
    orphan_seed: SetOnce<u32>,
}

impl CommitLog {
    pub(crate) fn new(stats: Arc<WritebackStats>) -> Result<Arc<Self>> {
        let log = Self {
            stats,
            groups: SetOnce::new(),
            orphan_seed: SetOnce::new(),
        };
        Ok(Arc::new(log, GFP_KERNEL)?)
    }

    /// Blocks of the orphan file get checksums of `seed`, at each commit.
    pub(super) fn seal_orphans(&self, seed: u32) {
        self.orphan_seed.populate(seed);
    }
}

impl CommitHook for CommitLog {
    fn committed(&self, tid: Tid) {
        self.stats.journal_commits.add(1);
        if let Some(groups) = self.groups.as_ref() {
            groups.committed(tid);
        }
    }

    /// Only blocks of the orphan file are sealed at a commit.
    fn seal(&self, at: PhysicalBlock, bytes: &mut [u8]) {
        if let Some(seed) = self.orphan_seed.copy() {
            orphan::seal_block(seed, at, bytes);
        }
    }
}

/// A mounted file system.
///
/// Fields without a lock are set while the file system is mounted and constant after that.
#[pin_data]
pub(crate) struct SuperInfo {
    /// The device's name, for messages ("vda").
    pub(crate) name: CString,
    /// The file system's shape.
    pub(crate) geometry: Geometry,
    /// The device, with the file system's block size.
    pub(crate) device: Device,
    /// The options that hold where nothing is asked for.
    pub(crate) default_options: Options,
    /// Blocks that files can never have: superblocks, descriptors, bitmaps, inode tables, journal.
    pub(crate) overhead: AtomicU64,
    /// `s_kbytes_written` at mount.
    pub(crate) kbytes_written: u64,
    /// [`Device::sectors_written`] at mount.
    pub(crate) sectors_at_mount: u64,
    /// Counters of the data path.
    pub(crate) writeback: Arc<WritebackStats>,
    /// Where completions of writeback run that need task context.
    pub(crate) completions: Workqueue,
    /// Its files in sysfs and procfs.
    pub(super) published: SetOnce<Published>,
    /// Where tests hold tasks up; nothing in a release build.
    pub(crate) errortags: Arc<ErrorTags>,
    /// What was found wrong.
    #[pin]
    pub(crate) health: Health,
    /// Writes the superblock out through the journal, when errors are to be recorded.
    #[pin]
    pub(crate) deferred: DeferredWork<Ext4>,
    /// Nothing where the file system was mounted without its journal (read-only, `noload`).
    pub(super) journal: SetOnce<Ext4Journal>,
    /// The superblock says that the file system is in use, and is to say otherwise at unmount.
    pub(super) in_use: AtomicBool,
    /// The superblock knows where this mount is, or nobody will tell it any more.
    pub(super) place_noted: AtomicBool,
    /// Inode tables and orphans.
    #[pin]
    pub(crate) inodes: inode::Shared,
    /// The block groups; set after journal recovery.
    groups: SetOnce<Arc<Groups>>,
    /// One change of the label at a time, so that the backups say what the superblock says.
    #[pin]
    pub(super) labelling: Mutex<()>,
    #[pin]
    superblock: Mutex<SuperBuffer>,
    #[pin]
    options: SpinLock<Options>,
    /// Those of the options that are read without the lock: [`Options::switches`].
    switches: AtomicU32,
}

impl SuperInfo {
    /// A file system of which only the superblock has been looked at.
    pub(super) fn new(
        name: &CStr,
        geometry: Geometry,
        device: Device,
        superblock: SuperBuffer,
        default_options: Options,
        options: Options,
    ) -> Result<Pin<KBox<Self>>> {
        let raw = RawSuperblock::ref_from(superblock.bytes()).ok_or(EINVAL)?;
        let kbytes_written = raw.kbytes_written.get();
        let state = raw.state.get();
        let switches = AtomicU32::new(options.switches());
        KBox::try_pin_init(
            try_pin_init!(Self {
                name: CString::try_from(name)?,
                geometry,
                device,
                default_options,
                overhead: AtomicU64::new(0),
                kbytes_written,
                sectors_at_mount: device.sectors_written(),
                writeback: Arc::new(WritebackStats::new(), GFP_KERNEL)?,
                completions: Workqueue::new(c"ext4rs-io", name)?,
                published: SetOnce::new(),
                errortags: Arc::pin_init(ErrorTags::new(), GFP_KERNEL)?,
                health <- Health::new(state),
                deferred <- DeferredWork::new(write_out::deferred),
                journal: SetOnce::new(),
                in_use: AtomicBool::new(false),
                place_noted: AtomicBool::new(false),
                inodes <- inode::Shared::new(),
                groups: SetOnce::new(),
                labelling <- new_mutex!((), "ext4rs::labelling"),
                superblock <- new_mutex!(superblock, "ext4rs::superblock"),
                options <- new_spinlock!(options, "ext4rs::options"),
                switches,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// The options as they are now.
    pub(crate) fn options(&self) -> Options {
        *self.options.lock()
    }

    pub(super) fn set_options(&self, options: Options) {
        *self.options.lock() = options;
        self.switches.store(options.switches(), Relaxed);
    }

    /// Whether an option is on now.
    pub(crate) fn is_on(&self, switch: Switch) -> bool {
        self.switches.load(Relaxed) & switch as u32 != 0
    }

    /// The journal; `None` where it was left alone (read-only mounts only).
    pub(crate) fn journal(&self) -> Option<&Ext4Journal> {
        self.journal.as_ref()
    }

    /// Blocks that files can never have.
    pub(crate) fn overhead(&self) -> u64 {
        self.overhead.load(Relaxed)
    }

    /// How the journal is to behave under `options`.
    pub(super) fn journal_params(options: &Options) -> JournalParams {
        JournalParams {
            commit_interval: options.commit_seconds(),
            barrier: options.barrier,
            min_batch_time: options.min_batch_time,
            max_batch_time: options.max_batch_time,
        }
    }

    /// Whether no orphan is on record in the orphan file, as far as is known: one that could not
    /// be read may have some.
    pub(crate) fn orphan_file_is_empty(&self) -> bool {
        let known = self.inodes.orphans.file_is_empty();
        known.unwrap_or(self.geometry.orphan_file_inode.is_none())
    }

    /// Looks at the superblock.
    pub(crate) fn with_superblock<R>(&self, look: impl FnOnce(&RawSuperblock) -> R) -> Result<R> {
        let buffer = self.superblock.lock();
        let raw = RawSuperblock::ref_from(buffer.bytes()).ok_or(EINVAL)?;
        Ok(look(raw))
    }

    /// Changes the superblock in a running operation; the checksum follows.
    ///
    /// # Errors
    ///
    /// As [`Transaction::update`].
    pub(crate) fn update_superblock<T: Transaction<Block = Buffer>, R>(
        &self,
        transaction: &mut T,
        edit: impl FnOnce(&mut RawSuperblock) -> R,
    ) -> Result<R> {
        let mut buffer = self.superblock.lock();
        buffer.update(transaction, |bytes| {
            let raw = RawSuperblock::mut_from(bytes).ok_or(EINVAL)?;
            let result = edit(raw);
            raw.set_checksum();
            Ok(result)
        })?
    }

    /// Changes the superblock and writes it at once, past the journal; the checksum follows.
    ///
    /// # Errors
    ///
    /// `EIO`.
    pub(super) fn write_superblock(&self, edit: impl FnOnce(&mut RawSuperblock)) -> Result {
        let barrier = self.is_on(Switch::Barrier);
        let mut buffer = self.superblock.lock();
        buffer.write_through(barrier, |bytes| {
            if let Some(raw) = RawSuperblock::mut_from(bytes) {
                edit(raw);
                raw.set_checksum();
            }
        })
    }

    /// The superblock's bytes, to look at and keep.
    pub(super) fn superblock_copy(&self) -> Result<[u8; SUPERBLOCK_SIZE]> {
        let buffer = self.superblock.lock();
        let bytes = buffer.bytes().get(..SUPERBLOCK_SIZE).ok_or(EINVAL)?;
        bytes.try_into().map_err(|_| EINVAL)
    }

    /// A group's descriptor as it is on disk, or in the journal's buffers. For use before the
    /// groups are set up: the journal's own inode must be found before recovery.
    ///
    /// # Errors
    ///
    /// `EIO`, `EFSCORRUPTED`, `EFSBADCRC`.
    pub(crate) fn read_descriptor(&self, group: GroupNumber) -> Result<GroupDesc> {
        let (block, range) = self.geometry.desc_location(group).ok_or(EFSCORRUPTED)?;
        let buffer = self.device.read(block)?;
        let bytes = buffer.bytes().get(range).ok_or(EFSCORRUPTED)?;
        Ok(GroupDesc::parse(&self.geometry, group, bytes)?)
    }

    /// Where a group's inode table begins. Once the groups are loaded this takes no lock, and
    /// reads no descriptor, which could be in the middle of a change.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` past the last group. While the file system is being mounted, when the
    /// journal's own inode must be found: a bad descriptor, `EIO`.
    pub(crate) fn inode_table(&self, group: GroupNumber) -> Result<PhysicalBlock> {
        match self.groups.as_ref() {
            Some(groups) => groups.inode_table(group).ok_or(EFSCORRUPTED),
            None => Ok(self.read_descriptor(group)?.inode_table),
        }
    }

    /// Free blocks and inodes; `None` before the groups are set up.
    pub(crate) fn free_counts(&self) -> Option<(u64, u32)> {
        let counters = self.groups.as_ref()?.counters();
        Some((counters.free_blocks(), counters.free_inodes()))
    }

    /// The block groups.
    ///
    /// # Errors
    ///
    /// `EINVAL` in the first part of a mount, when they are not loaded yet.
    pub(crate) fn groups(&self) -> Result<&Groups> {
        Ok(self.groups.as_ref().ok_or(EINVAL)?)
    }

    /// Makes `groups` the file system's block groups, and has the journal tell them of commits.
    pub(super) fn set_groups(&self, groups: Arc<Groups>) {
        self.overhead.store(groups.overhead(), Relaxed);
        if let Some(journal) = self.journal() {
            journal.hook().groups.populate(groups.clone());
        }
        self.groups.populate(groups);
    }

    /// Whether files may be read.
    ///
    /// # Errors
    ///
    /// `EIO` where the file system was shut down.
    pub(crate) fn check_running(&self) -> Result {
        if self.health.is_shut_down() {
            Err(EIO)
        } else {
            Ok(())
        }
    }

    /// Whether metadata may be changed.
    ///
    /// # Errors
    ///
    /// `EROFS` after an error that stopped the file system, `EIO` where it was shut down.
    pub(crate) fn check_writable(&self) -> Result {
        self.check_running()?;
        if self.health.is_stopped() {
            Err(EROFS)
        } else {
            Ok(())
        }
    }
}

// The info must be shareable between tasks, or it could not hang on a super block.
const _: () = {
    const fn shareable<T: Send + Sync>() {}
    shareable::<<Ext4 as FileSystem>::Super>();
};
