// SPDX-License-Identifier: GPL-2.0

//! The block groups of a mounted file system: the kernel's side of the `alloc` room.
//!
//! # Data
//!
//! [`Groups`] has a [`GroupState`] for each group, in a sleeping mutex of its own; the summaries
//! that are read without it; the fs-wide [`Counters`]; the [`SystemZone`]; and, for each
//! transaction that has not committed, the runs that it frees.
//!
//! # Who calls
//!
//! Mount makes it, after journal recovery. Whoever allocates or frees passes it, and a running
//! [`Operation`], to the functions of [`crate::alloc`]. The journal's commit hook calls
//! [`Groups::committed`].
//!
//! # Lock order
//!
//! handle, `i_data_sem`, one group's mutex, the mutex of the list of freed runs. That of `fstrim` comes
//! before a group's, and is not had together with the first two.

use super::health::error;
use super::{trim, SuperInfo};
use crate::alloc::{
    release_committed, Claimant, Counters, GroupState, GroupTable, Numbered, Run, Summary,
    SystemZone, ZoneBuilder,
};
use crate::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use crate::format::{Geometry, GroupDesc, Problem};
use crate::here;
use crate::jbd_glue::Operation;
use crate::kern::cred::{fsuid, has_resource_capability, in_group};
use crate::kern::jbd2::Tid;
use crate::kern::super_block::{BackReference, Filling, SuperBlock};
use crate::store::MetaBlock;
use crate::Ext4;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex, MutexGuard};
use kernel::time::{delay::fsleep, Delta};

/// Descriptor blocks that are read ahead at a time.
const READ_AHEAD: u32 = 32;
/// How long a commit hook is waited for: it may have to discard a lot.
const MAX_HOOK_MILLIS: u32 = 10_000;

struct Group {
    state: Pin<KBox<Mutex<GroupState>>>,
    summary: Summary,
    /// As in the descriptor; never changes.
    inode_table: PhysicalBlock,
}

/// What a transaction frees.
struct Freed {
    transaction: Tid,
    runs: KVVec<Run>,
}

/// All block groups of a mounted file system.
///
/// Owned by [`SuperInfo`] and by what it owns, as the reference back to the super block demands.
#[pin_data]
pub(crate) struct Groups {
    sb: BackReference<Ext4>,
    counters: Counters,
    zone: SystemZone,
    groups: KVVec<Group>,
    /// Few entries: the running transaction's, and the committing one's.
    #[pin]
    freed: Mutex<KVec<Freed>>,
    /// Whoever holds free blocks for the device to discard has it.
    #[pin]
    trimming: Mutex<()>,
    /// How many commits have handed their blocks out again.
    commits: AtomicU32,
}

impl Groups {
    /// Reads and checks the descriptors of all groups; bitmaps are read when they are needed.
    /// `journal` adds the journal's own blocks to the system zone.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` or `EFSBADCRC`, reported, where a descriptor is bad or metadata overlaps;
    /// `EIO`, `ENOMEM`.
    pub(super) fn load(
        sb: &Filling<'_, Ext4>,
        journal: impl FnOnce(&mut ZoneBuilder) -> Result,
    ) -> Result<Arc<Self>> {
        let geo = &sb.info().geometry;
        let groups = read_groups(sb)?;
        let desc = |group: GroupNumber| -> Option<GroupDesc> {
            let group = groups.get(usize::try_from(group.0).ok()?)?;
            Some(*group.state.lock().desc())
        };
        let mut zone = ZoneBuilder::of_groups(geo, desc)?;
        journal(&mut zone)?;
        let zone = zone.finish().map_err(|problem| {
            let block = PhysicalBlock(problem.value);
            error(sb, here!().block(block), problem)
        })?;
        let (blocks, inodes, directories) = totals(&groups);
        let counters = Counters::new(geo.blocks, blocks, geo.reserved_blocks, inodes, directories);
        let back = sb.back_reference();
        let groups = Arc::pin_init(
            try_pin_init!(Self {
                sb: back,
                counters,
                zone,
                groups,
                freed <- new_mutex!(KVec::new(), "ext4rs::freed"),
                trimming <- new_mutex!((), "ext4rs::trimming"),
                commits: AtomicU32::new(0),
            }? Error),
            GFP_KERNEL,
        )?;
        Ok(groups)
    }

    /// Reads all descriptors again, and forgets the bitmaps: e2fsck may have repaired them since they
    /// were read. The file system is read-only, with nothing on its way to the disk.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` or `EFSBADCRC`, reported, for a bad descriptor, or one whose metadata has moved;
    /// `EIO`.
    pub(super) fn reload(&self) -> Result {
        // What fstrim holds, also of a read-only file system, would be forgotten.
        let _trimming = self.trimming();
        for_each_descriptor(&self.sb, |number, at, desc| {
            let group = self.group(number).ok_or(EFSCORRUPTED)?;
            let mut state = group.state.lock();
            if !state.reload(desc) {
                let problem =
                    Problem::new("metadata of a group has moved, of group", number.0.into());
                return Err(error(&self.sb, here!().block(at).group(number), problem));
            }
            group.summary.restart(&state);
            Ok(())
        })?;
        let (blocks, inodes, directories) = totals(&self.groups);
        self.counters.restart(blocks, inodes, directories);
        self.refresh_reserve();
        Ok(())
    }

    /// The blocks of the device that files can never have: metadata, and what is before group 0.
    pub(crate) fn overhead(&self) -> u64 {
        let before = self.geometry().first_data_block;
        self.zone.blocks().saturating_add(before.0)
    }

    /// Where a group's inode table begins; `None` for no group.
    pub(crate) fn inode_table(&self, group: GroupNumber) -> Option<PhysicalBlock> {
        Some(self.group(group)?.inode_table)
    }

    /// Sets `blocks` aside for the current task, from root's reserve too if it may use that.
    ///
    /// # Errors
    ///
    /// `ENOSPC`; nothing is set aside then.
    pub(crate) fn reserve(&self, blocks: u32) -> Result {
        let result = self.counters.reserve(blocks, Claimant::User);
        if result.is_ok() || self.claimant() == Claimant::User {
            return result;
        }
        self.counters.reserve(blocks, Claimant::Privileged)
    }

    /// Sets root's reserve as the superblock has it now: tune2fs changes it while it is mounted.
    pub(crate) fn refresh_reserve(&self) {
        let reserved = self
            .info()
            .with_superblock(|raw| raw.reserved_blocks_count());
        if let Ok(blocks) = reserved {
            self.counters
                .set_root_reserve(blocks.min(self.geometry().blocks));
        }
    }

    /// How deep into the last free blocks the current task may reach. Asked late, because asking
    /// for a capability leaves its mark in the audit log.
    pub(crate) fn claimant(&self) -> Claimant {
        let options = self.info().options();
        let owns = fsuid() == options.resuid || options.resgid != 0 && in_group(options.resgid);
        if owns || has_resource_capability() {
            Claimant::Privileged
        } else {
            Claimant::User
        }
    }

    /// Whether `len` blocks from `start` may belong to inode `ino`. The journal's own blocks are
    /// metadata to everybody else.
    pub(crate) fn may_belong_to(&self, ino: InodeNumber, start: PhysicalBlock, len: u32) -> bool {
        let geo = self.geometry();
        if geo.journal_inode == Some(ino) {
            return geo.contains(start, len.into());
        }
        self.may_hold_data(Run { start, len })
    }

    /// Hands out again what `transaction` freed: it has committed.
    pub(super) fn committed(&self, transaction: Tid) {
        let mut freed = self.freed.lock();
        let ours = |entry: &Freed| entry.transaction == transaction;
        let taken = freed.iter().position(ours).map(|at| freed.remove(at));
        drop(freed);
        if let Some(Ok(taken)) = taken {
            trim::discard_freed(self, &taken.runs);
            for run in &taken.runs {
                // Fails only for blocks outside of the file system, which were never noted.
                let _ = release_committed(self, *run);
            }
        }
        self.commits.fetch_add(1, Release);
    }

    /// An allocation found nothing: commits, where that makes freed blocks available, and says
    /// whether to try again. No handle is open.
    pub(crate) fn wait_for_frees(&self) -> bool {
        self.refresh_reserve();
        // First: a hook that ends from here on is noticed below.
        let before = self.commits.load(Acquire);
        let missing = self.counters.uncommitted();
        if missing == 0 {
            // Or what was missing has just come back: its bits may follow the counter.
            fsleep(Delta::from_millis(1));
            return self.counters.may_have(1, self.claimant());
        }
        // What is held comes back without a commit.
        drop(self.trimming.lock());
        if self.counters.uncommitted() < missing {
            return true;
        }
        let journal = self.info().journal();
        if journal.is_none_or(|journal| journal.force_commit().is_err()) {
            return false;
        }
        // jbd2 may wake us before it has called the commit hook to the end.
        for _ in 0..MAX_HOOK_MILLIS {
            let aborted = journal.is_none_or(|journal| journal.is_aborted());
            if aborted || self.commits.load(Acquire) != before {
                break;
            }
            fsleep(Delta::from_millis(1));
        }
        true
    }

    fn group(&self, group: GroupNumber) -> Option<&Group> {
        self.groups.get(usize::try_from(group.0).ok()?)
    }

    pub(super) fn info(&self) -> &SuperInfo {
        self.sb.info()
    }

    pub(super) fn sb(&self) -> &SuperBlock<Ext4> {
        &self.sb
    }

    /// Has to be had by those who call [`hold_free`](crate::alloc::hold_free), until they give
    /// back what they hold. Taken before the group's mutex; not with a handle open.
    pub(super) fn trimming(&self) -> MutexGuard<'_, ()> {
        self.trimming.lock()
    }
}

impl GroupTable for Groups {
    fn geometry(&self) -> &Geometry {
        &self.info().geometry
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn zone(&self) -> &SystemZone {
        &self.zone
    }

    fn summary(&self, group: GroupNumber) -> Option<&Summary> {
        Some(&self.group(group)?.summary)
    }

    fn with_group<R>(
        &self,
        group: GroupNumber,
        f: impl FnOnce(&mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let group = self.group(group).ok_or(EFSCORRUPTED)?;
        f(&mut group.state.lock())
    }

    fn note_freed(&self, transaction: u32, run: Run) -> Result {
        let mut freed = self.freed.lock();
        let entry = match freed.iter().position(|e| e.transaction == transaction) {
            Some(at) => freed.get_mut(at),
            None => {
                let runs = KVVec::new();
                freed.push(Freed { transaction, runs }, GFP_KERNEL)?;
                freed.last_mut()
            }
        };
        let runs = &mut entry.ok_or(ENOMEM)?.runs;
        if let Some(last) = runs.last_mut() {
            let follows = last.start.checked_add(last.len.into()) == Some(run.start);
            if let (true, Some(len)) = (follows, last.len.checked_add(run.len)) {
                last.len = len;
                return Ok(());
            }
        }
        Ok(runs.push(run, GFP_KERNEL)?)
    }

    fn report(&self, group: GroupNumber, problem: Problem) {
        error(&self.sb, here!().group(group), problem);
    }
}

impl Numbered for Operation<'_> {
    fn number(&self) -> u32 {
        self.tid()
    }
}

fn read_groups(sb: &SuperBlock<Ext4>) -> Result<KVVec<Group>> {
    let count = usize::try_from(sb.info().geometry.groups)?;
    let mut groups = KVVec::with_capacity(count, GFP_KERNEL)?;
    for_each_descriptor(sb, |number, _, desc| {
        let state = GroupState::new(number, desc);
        let summary = Summary::new(&state);
        let state = KBox::pin_init(new_mutex!(state, "ext4rs::group"), GFP_KERNEL)?;
        let group = Group {
            state,
            summary,
            inode_table: desc.inode_table,
        };
        Ok(groups.push(group, GFP_KERNEL)?)
    })?;
    Ok(groups)
}

/// Reads the descriptors of all groups, and checks each; `take` gets it with its block.
fn for_each_descriptor(
    sb: &SuperBlock<Ext4>,
    mut take: impl FnMut(GroupNumber, PhysicalBlock, GroupDesc) -> Result,
) -> Result {
    let info = sb.info();
    let geo = &info.geometry;
    let mut read: Option<(PhysicalBlock, _)> = None;
    for number in (0..geo.groups).map(GroupNumber) {
        let (at, range) = geo.desc_location(number).ok_or(EFSCORRUPTED)?;
        let buffer = match read.take() {
            Some((last, buffer)) if last == at => buffer,
            _ => {
                read_ahead(info, number);
                info.device.read(at)?
            }
        };
        let bytes = buffer.bytes().get(range).ok_or(EFSCORRUPTED)?;
        let desc = GroupDesc::parse(geo, number, bytes)
            .map_err(|problem| error(sb, here!().block(at).group(number), problem))?;
        take(number, at, desc)?;
        read = Some((at, buffer));
    }
    Ok(())
}

/// Starts reading the next descriptor blocks, where `group` is the first of a batch of them.
fn read_ahead(info: &SuperInfo, group: GroupNumber) {
    let geo = &info.geometry;
    let per_batch = geo.descs_per_block.saturating_mul(READ_AHEAD);
    if group.0.checked_rem(per_batch) != Some(0) {
        return;
    }
    for block in 0..READ_AHEAD {
        let later = block.saturating_mul(geo.descs_per_block);
        let later = GroupNumber(group.0.saturating_add(later));
        if let Some((at, _)) = geo.desc_location(later) {
            info.device.read_ahead(at);
        }
    }
}

/// Free blocks, free inodes and directories of all groups.
fn totals(groups: &[Group]) -> (u64, u32, u32) {
    let mut free_blocks = 0u64;
    let mut free_inodes = 0u32;
    let mut directories = 0u32;
    for Group { summary, .. } in groups {
        free_blocks = free_blocks.saturating_add(summary.free_blocks().into());
        free_inodes = free_inodes.saturating_add(summary.free_inodes());
        directories = directories.saturating_add(summary.directories());
    }
    (free_blocks, free_inodes, directories)
}
