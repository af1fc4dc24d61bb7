// SPDX-License-Identifier: GPL-2.0

//! Orphans: inodes that have no name any more but are still open, or whose blocks are being
//! freed in several transactions. A crash leaves them on record, and the next mount ends what was
//! begun.
//!
//! # Two records
//!
//! The *orphan file* is an array of slots, each with an inode number. Where the file system has
//! none, or it is full, inodes are chained in the *orphan list*: its head is in the superblock,
//! and each inode's `i_dtime` is the number of the next.
//!
//! # Who calls
//!
//! `namei` when a name goes, `truncate`, `inode::evict`; mount, for what a crash left. An inode's
//! own state is changed by holders of its rwsem, or by its only user.
//!
//! # Locks
//!
//! journal handle, [`Orphans`]' mutex, then table lock or superblock mutex.

use crate::dir::blocks;
use crate::format::inode::set_dtime;
use crate::format::orphan;
use crate::format::superblock::state;
use crate::format::units::{InodeNumber, LogicalBlock};
use crate::format::Problem;
use crate::inode::{self, iget, OrphanState, Purpose};
use crate::iomap::read::{Report, Valid};
use crate::jbd_glue::{credits, Operation};
use crate::kern::buffer::Buffer;
use crate::kern::inode::Inode;
use crate::kern::iomap::zero_range;
use crate::kern::nofs::NoFs;
use crate::kern::super_block::SuperBlock;
use crate::store::{MetaBlock, Transaction};
use crate::{fs_err, fs_info, here, superblock, truncate, Ext4};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Mutex};

/// A block of the orphan file, kept in memory.
struct Block {
    buffer: Buffer,
    free: usize,
}

/// The orphan file.
struct File {
    blocks: KVec<Block>,
}

/// An inode in the list, and the one that its bytes on disk name as the next.
#[derive(Clone, Copy)]
struct Link {
    ino: InodeNumber,
    next: u32,
}

struct Records {
    file: Option<File>,
    /// The list, its head last.
    list: KVec<Link>,
    /// Files whose cut has failed half-way, and how they are on record: an inode that comes back
    /// into memory must not get another record.
    unfinished: KVec<(InodeNumber, OrphanState)>,
}

/// The orphans of a file system.
#[pin_data]
pub(crate) struct Orphans {
    #[pin]
    records: Mutex<Records>,
    /// Whether there is any in `unfinished`.
    has_unfinished: AtomicBool,
}

impl Orphans {
    /// None, and no orphan file yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            records <- new_mutex!(Records {
                file: None,
                list: KVec::new(),
                unfinished: KVec::new(),
            }, "ext4rs::orphans"),
            has_unfinished: AtomicBool::new(false),
        })
    }

    /// Lets go of the orphan file's blocks: at unmount, while the device is there.
    pub(super) fn release(&self) {
        self.records.lock().file = None;
    }

    /// Whether the orphan file has nothing in it; `None` where it was not read.
    pub(super) fn file_is_empty(&self) -> Option<bool> {
        let records = self.records.lock();
        let file = records.file.as_ref()?;
        Some(file.blocks.iter().all(|b| b.free == slots(&b.buffer)))
    }
}

fn slots(block: &Buffer) -> usize {
    orphan::slots_per_block(block.bytes().len())
}

/// Puts `inode` on record as an orphan, unless it is already. Dirties at most
/// [`credits::ORPHAN`](crate::jbd_glue::credits) blocks.
///
/// # Errors
///
/// Those of device and journal; the inode is not on record then.
pub(crate) fn add(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    if inode.info().orphan() != OrphanState::No {
        return Ok(());
    }
    let info = inode.sb().info();
    let mut records = info.inodes.orphans.records.lock();
    if let Some(file) = records.file.as_mut() {
        if let Some(slot) = add_to_file(inode, file, operation)? {
            inode.info().set_orphan(OrphanState::Slot(slot));
            return Ok(());
        }
    }
    records.list.reserve(1, GFP_KERNEL)?;
    let ino = inode.ino();
    let next = info.with_superblock(|raw| raw.last_orphan.get())?;
    link(inode.sb(), ino, next, operation)?;
    info.update_superblock(operation, |raw| raw.last_orphan.set(ino.0))?;
    records.list.push(Link { ino, next }, GFP_KERNEL)?;
    inode.info().set_orphan(OrphanState::Listed);
    Ok(())
}

/// Takes a free slot; `None` where the file is full.
fn add_to_file(
    inode: &Inode<Ext4>,
    file: &mut File,
    operation: &mut Operation<'_>,
) -> Result<Option<u32>> {
    let mut first = 0usize;
    for block in &mut file.blocks {
        let per_block = slots(&block.buffer);
        if block.free > 0 {
            let bytes = block.buffer.bytes();
            let free = (0..per_block).find(|&i| orphan::slot(bytes, i) == Some(None));
            let i = free.ok_or(EFSCORRUPTED)?;
            set_slot(inode.sb(), &block.buffer, i, Some(inode.ino()), operation)?;
            block.free = block.free.saturating_sub(1);
            return Ok(Some(u32::try_from(first.saturating_add(i))?));
        }
        first = first.saturating_add(per_block);
    }
    Ok(None)
}

/// Writes a slot. The block's checksum follows when the transaction commits, once for all changes.
fn set_slot(
    sb: &SuperBlock<Ext4>,
    block: &Buffer,
    slot: usize,
    ino: Option<InodeNumber>,
    operation: &mut Operation<'_>,
) -> Result {
    operation.update(block, 0..block.bytes().len(), |bytes| {
        orphan::set_slot(bytes, slot, ino).ok_or(EFSCORRUPTED)
    })??;
    if let Some(journal) = sb.info().journal() {
        journal.seal_at_commit(block);
    }
    Ok(())
}

/// Writes the number of the next orphan into the inode `ino` on disk.
fn link(
    sb: &SuperBlock<Ext4>,
    ino: InodeNumber,
    next: u32,
    operation: &mut Operation<'_>,
) -> Result {
    let geo = &sb.info().geometry;
    inode::table::edit(sb, ino, operation, |bytes| {
        set_dtime(geo, ino, bytes, next);
    })
}

/// Takes `inode` off the record, if it is there. Dirties at most
/// [`credits::ORPHAN`](crate::jbd_glue::credits) blocks.
///
/// # Errors
///
/// Those of device and journal. The inode is not looked for again then; the record on disk waits
/// for the next mount.
pub(crate) fn remove(inode: &Inode<Ext4>, operation: &mut Operation<'_>) -> Result {
    let state = inode.info().orphan();
    inode.info().set_orphan(OrphanState::No);
    let sb = inode.sb();
    let mut records = sb.info().inodes.orphans.records.lock();
    records.unfinished.retain(|(ino, _)| *ino != inode.ino());
    match state {
        OrphanState::No => Ok(()),
        OrphanState::Slot(slot) => {
            let file = records.file.as_mut().ok_or(EINVAL)?;
            let mut slot = usize::try_from(slot)?;
            for block in &mut file.blocks {
                let per_block = slots(&block.buffer);
                if let Some(later) = slot.checked_sub(per_block) {
                    slot = later;
                    continue;
                }
                set_slot(sb, &block.buffer, slot, None, operation)?;
                block.free = block.free.saturating_add(1);
                return Ok(());
            }
            Err(EINVAL)
        }
        OrphanState::Listed => unlist(sb, &mut records.list, inode.ino(), operation),
    }
}

fn unlist(
    sb: &SuperBlock<Ext4>,
    list: &mut KVec<Link>,
    ino: InodeNumber,
    operation: &mut Operation<'_>,
) -> Result {
    let Some(place) = list.iter().position(|link| link.ino == ino) else {
        return Ok(());
    };
    let gone = list.remove(place).map_err(|_| EINVAL)?;
    match list.get_mut(place) {
        Some(before) => {
            before.next = gone.next;
            let before = *before;
            link(sb, before.ino, before.next, operation)?;
        }
        None => sb
            .info()
            .update_superblock(operation, |raw| raw.last_orphan.set(gone.next))?,
    }
    link(sb, ino, 0, operation)
}

/// The cut of `inode`, which is on record, has failed half-way: the record stays, for the next mount
/// or for whoever makes the file longer, also when the inode leaves memory before. The caller
/// holds the rwsem for write, and no handle.
pub(crate) fn keep(inode: &Inode<Ext4>) {
    // With the mutex held, which is wanted with handles open.
    let _nofs = NoFs::enter();
    let (ino, state) = (inode.ino(), inode.info().orphan());
    inode.info().set_half_cut(true);
    let orphans = &inode.sb().info().inodes.orphans;
    let mut records = orphans.records.lock();
    let known = records.unfinished.iter().any(|(i, _)| *i == ino);
    if known || state == OrphanState::No {
        return;
    }
    let kept = records.unfinished.push((ino, state), GFP_KERNEL);
    drop(records);
    orphans.has_unfinished.store(true, Relaxed);
    if kept.is_err() {
        let problem = Problem::new("no memory to keep track of an unfinished cut", 0);
        superblock::error(inode.sb(), here!().inode(ino), problem);
    }
}

/// `inode` is back in memory: sets what [`keep`] has kept of it.
pub(crate) fn recall(inode: &Inode<Ext4>) {
    let orphans = &inode.sb().info().inodes.orphans;
    if !orphans.has_unfinished.load(Relaxed) {
        return;
    }
    let records = orphans.records.lock();
    let kept = records.unfinished.iter().find(|(i, _)| *i == inode.ino());
    if let Some((_, state)) = kept {
        inode.info().set_orphan(*state);
        inode.info().set_half_cut(true);
    }
}

/// Brings the orphan file's blocks into memory, where they stay. At mount, after recovery, and
/// before anything is deleted or truncated.
///
/// # Errors
///
/// `EFSCORRUPTED` or `EFSBADCRC`, reported; `EIO`, `ENOMEM`.
pub(crate) fn load(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let Some(ino) = info.geometry.orphan_file_inode else {
        return Ok(());
    };
    if info.inodes.orphans.records.lock().file.is_some() {
        return Ok(());
    }
    let inode = iget(sb, ino, Purpose::Internal)?;
    let count = info.geometry.block_size.whole_blocks(inode.size());
    if count > orphan::MAX_BLOCKS.into() || !inode.is_regular() {
        let problem = Problem::new("bad size of the orphan file", inode.size());
        return Err(inode::report(&inode, None, problem));
    }
    let seed = inode.info().origin().seed;
    let mut blocks = KVec::new();
    for at in (0..u32::try_from(count)?).map(LogicalBlock) {
        let buffer = blocks::read(&inode, at)?;
        orphan::check_block(&info.geometry, seed, buffer.number(), buffer.bytes())
            .map_err(|problem| inode::report(&inode, Some(buffer.number()), problem))?;
        let free = slots(&buffer).saturating_sub(orphan::orphans(buffer.bytes()).count());
        blocks.push(Block { buffer, free }, GFP_KERNEL)?;
    }
    if let Some(journal) = info.journal().filter(|_| info.geometry.metadata_csum()) {
        journal.hook().seal_orphans(seed);
    }
    info.inodes.orphans.records.lock().file = Some(File { blocks });
    Ok(())
}

/// Ends what a crash interrupted: deletes the orphans without a name, and frees what lies behind
/// the end of the others. The file system is writable.
///
/// # Errors
///
/// `EIO`, `ENOMEM`. An orphan that cannot be read, or deleted, is logged and passed over.
pub(crate) fn clean_up(sb: &SuperBlock<Ext4>) -> Result {
    if sb.info().health.has_errors() {
        fs_info!(sb, "orphans are left alone, as the file system has errors");
        return Ok(());
    }
    let mut done = Done::default();
    clean_list(sb, &mut done)?;
    for (slot, ino) in found_in_file(sb)? {
        match iget(sb, ino, Purpose::Orphan) {
            Ok(inode) => {
                inode.info().set_orphan(OrphanState::Slot(slot));
                process(inode, &mut done);
            }
            Err(error) => unreadable(sb, ino, error),
        }
    }
    if done.deleted > 0 {
        fs_info!(sb, "{} orphan inodes deleted", done.deleted);
    }
    if done.truncated > 0 {
        fs_info!(sb, "{} truncates completed", done.truncated);
    }
    Ok(())
}

#[derive(Default)]
struct Done {
    deleted: u32,
    truncated: u32,
}

fn unreadable(sb: &SuperBlock<Ext4>, ino: InodeNumber, error: Error) {
    fs_err!(sb, "orphan inode #{}: cannot be read ({:?})", ino.0, error);
}

/// The slots in use, and what is in them.
fn found_in_file(sb: &SuperBlock<Ext4>) -> Result<KVec<(u32, InodeNumber)>> {
    let mut found = KVec::new();
    let records = sb.info().inodes.orphans.records.lock();
    let Some(file) = records.file.as_ref() else {
        return Ok(found);
    };
    let mut first = 0usize;
    for block in &file.blocks {
        for (slot, ino) in orphan::orphans(block.buffer.bytes()) {
            let slot = u32::try_from(first.saturating_add(slot))?;
            found.push((slot, ino), GFP_KERNEL)?;
        }
        first = first.saturating_add(slots(&block.buffer));
    }
    Ok(found)
}

/// Works the list off from its head.
fn clean_list(sb: &SuperBlock<Ext4>, done: &mut Done) -> Result {
    let info = sb.info();
    loop {
        let head = info.with_superblock(|raw| raw.last_orphan.get())?;
        if head == 0 {
            return Ok(());
        }
        let ino = InodeNumber(head);
        let next = inode::table::dtime(sb, ino).unwrap_or(0);
        let inode = match iget(sb, ino, Purpose::Orphan) {
            Ok(inode) if next != head => inode,
            result => {
                unreadable(sb, ino, result.err().unwrap_or(EFSCORRUPTED));
                return forget_list(sb);
            }
        };
        let mut records = info.inodes.orphans.records.lock();
        records.list.clear();
        records.list.push(Link { ino, next }, GFP_KERNEL)?;
        drop(records);
        inode.info().set_orphan(OrphanState::Listed);
        process(inode, done);
        if info.with_superblock(|raw| raw.last_orphan.get())? == head {
            return forget_list(sb);
        }
    }
}

/// What follows in the list cannot be found any more: e2fsck has to.
fn forget_list(sb: &SuperBlock<Ext4>) -> Result {
    fs_err!(sb, "the list of orphans is given up; run e2fsck");
    let info = sb.info();
    info.health.mark_errors();
    info.inodes.orphans.records.lock().list.clear();
    let mut operation = superblock::start(sb, credits::inode_update())?;
    info.update_superblock(&mut operation, |raw| {
        raw.last_orphan.set(0);
        raw.state.set(raw.state.get() | state::ERROR);
    })?;
    operation.stop()
}

/// Deletes or truncates one orphan.
fn process(inode: ARef<Inode<Ext4>>, done: &mut Done) {
    if inode.nlink() == 0 {
        // By its last reference, which is this one.
        done.deleted = done.deleted.saturating_add(1);
        return;
    }
    done.truncated = done.truncated.saturating_add(1);
    let lock = inode.lock();
    let result = if inode.is_regular() {
        cut(&inode)
    } else {
        off_the_record(&inode)
    };
    drop(lock);
    if let Err(error) = result {
        keep(&inode);
        fs_err!(
            inode.sb(),
            "orphan inode #{}: cannot be truncated ({:?})",
            inode.ino().0,
            error
        );
    }
}

/// Cuts a regular file off at its size: the blocks behind it, and the rest of its last one, which
/// the cut may not have written.
fn cut(inode: &Inode<Ext4>) -> Result {
    let size = inode.size();
    let tail = size..inode.block_size().end_of(size);
    let zeroed = zero_range::<Report, Valid>(inode, tail.clone());
    let zeroed = zeroed.and_then(|_| inode.write_and_wait(tail));
    truncate::remove_from(inode, inode.blocks_of(0..size).end).and(zeroed)
}

fn off_the_record(inode: &Inode<Ext4>) -> Result {
    let mut operation = superblock::start(inode.sb(), credits::unlink())?;
    remove(inode, &mut operation)?;
    operation.stop()
}
