// SPDX-License-Identifier: GPL-2.0

//! Writing dirty folios out, and what follows when the device has them.
//!
//! # Mapping
//!
//! One call of the mapper answers for as much as it can: up to the end of the writeback's range,
//! or of the delayed extent. The answer is kept for the folios to come, and each of them checks
//! that the extent sequence has not moved since.
//!
//! # Completion
//!
//! | what was written            | completes in | does                                        |
//! |-----------------------------|--------------|---------------------------------------------|
//! | written blocks, within size | interrupt    | ends the folios' writeback                  |
//! | unwritten blocks            | task         | conversion, size, then as above             |
//! | past the on-disk size       | task         | size, then as above                         |
//! | the tail that a grow awaits | worker       | size, then as above; later blocks come after |
//! | what the device did not take | task        | error to the mapping; `data_err=abort`: stops the fs |
//!
//! The task is the inode's worker, or the submitter where the device is done at once.
//!
//! The folios' writeback ends last, so waiting for it is waiting for all of this; `fsync()` and
//! truncate rely on that.

use super::{
    read::{map_bytes, to_iomap},
    size,
    write::give_back,
};
use crate::{
    errortag::Tag,
    here,
    inode::mapping_env::InodeEnv,
    kern::{
        inode::Inode,
        ioend::{Completion, CompletionQueue, Finished},
        iomap::Extent,
        trace,
        workqueue::Workqueue,
        writeback::{Dirty, Writeback},
    },
    mapper::{convert_unwritten, Intent, MapperEnv, Operation},
    patience, superblock, Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// Writeback of regular files.
pub(crate) struct Ext4Writeback;

impl Writeback for Ext4Writeback {
    fn begin(inode: &Inode<Ext4>) -> Result {
        inode.sb().info().check_running()
    }

    fn map(inode: &Inode<Ext4>, dirty: &Dirty<'_>) -> Result<Option<Extent>> {
        let stats = &inode.sb().info().writeback;
        stats.range_calls.add(1);
        inode.info().growth(|grow| grow.submitted(&dirty.range));
        // Only a sequence that has moved can make the mapping wrong for this folio, which is
        // locked: see the sequence's own documentation.
        let kept = dirty.current.covers(dirty.range.start)
            && dirty.current.cookie() == inode.info().sequence();
        let limit = dirty.limit.max(dirty.range.end);
        trace::writeback_range(inode, || {
            let len = dirty.range.end.saturating_sub(dirty.range.start);
            (dirty.range.start, len, limit, kept)
        });
        if kept {
            return Ok(None);
        }
        let map = || map_bytes(inode, dirty.range.start..limit, Intent::Writeback);
        let mapping = patience::without_memory(map, || true)?.ok_or(EFBIG)?;
        stats.map_calls.add(1);
        stats.mapped_blocks.add(mapping.extent.len());
        inode.sb().info().errortags.pass(Tag::WritebackMapped)?;
        Ok(Some(to_iomap(&mapping, inode.block_size())))
    }

    fn discard(inode: &Inode<Ext4>, range: Range<u64>, cause: Error) {
        crate::fs_err!(
            inode.sb(),
            "inode #{}: writing bytes {} to {} failed with error {}; this data is lost",
            inode.ino().0,
            range.start,
            range.end,
            cause.to_errno()
        );
        let ended = inode.info().growth(|grow| {
            let ends = grow.waits_for(&range);
            if ends {
                grow.done();
            }
            ends
        });
        if ended {
            inode.info().completions().resume(inode);
        }
        give_back(inode, range);
    }

    fn needs_task(inode: &Inode<Ext4>, end: u64) -> bool {
        end > inode.info().disk_size()
    }
}

impl Completion for Ext4Writeback {
    type Fs = Ext4;

    fn queue(inode: &Inode<Ext4>) -> &CompletionQueue<Self> {
        inode.info().completions()
    }

    fn workqueue(inode: &Inode<Ext4>) -> &Workqueue {
        &inode.sb().info().completions
    }

    fn must_wait(inode: &Inode<Ext4>, start: u64) -> bool {
        inode.info().growth(|grow| grow.holds_back(start))
    }

    fn is_awaited(inode: &Inode<Ext4>, range: Range<u64>) -> bool {
        // A test that holds completions back looks for them in the queue.
        inode.info().growth(|grow| grow.waits_for(&range))
            || inode.sb().info().errortags.is_set(Tag::Completion)
    }

    fn complete(inode: &Inode<Ext4>, finished: &Finished) -> Result {
        let (fs, info) = (inode.sb().info(), inode.info());
        fs.writeback.completions_task.add(1);
        let ends_grow = info.growth(|grow| grow.waits_for(&finished.range));
        let done = match finished.outcome.and(fs.errortags.pass(Tag::Completion)) {
            Ok(()) => record_or_say(inode, finished, ends_grow),
            Err(error) => {
                failed(inode, finished, error);
                Err(error)
            }
        };
        if done.is_err() && ends_grow {
            // What the device holds behind the size is anyone's guess now; fsync says so.
            info.with_growth(|grow| grow.done());
        }
        done
    }

    fn completed_in_place(inode: &Inode<Ext4>) {
        inode.sb().info().writeback.completions_interrupt.add(1);
    }

    fn merged(inode: &Inode<Ext4>, n: u32) {
        inode.sb().info().writeback.completions_merged.add(n);
    }
}

/// The device did not take the data.
fn failed(inode: &Inode<Ext4>, finished: &Finished, error: Error) {
    let fs = inode.sb().info();
    crate::fs_err!(
        inode.sb(),
        "inode #{}: I/O error {} writing bytes {} to {}",
        inode.ino().0,
        error.to_errno(),
        finished.range.start,
        finished.range.end
    );
    if fs.options().data_err_abort {
        let at = here!().inode(inode.ino());
        superblock::health::fatal(inode.sb(), at, error, "data_err=abort");
    }
}

fn record_or_say(inode: &Inode<Ext4>, finished: &Finished, ends_grow: bool) -> Result {
    let record = || record(inode, finished, 0, ends_grow);
    // The end of a grow is the end of it, whatever comes then.
    patience::without_memory(record, || !ends_grow).inspect_err(|error| {
        crate::fs_err!(
            inode.sb(),
            "inode #{}: cannot record bytes {} to {} as written, error {}; data may be lost",
            inode.ino().0,
            finished.range.start,
            finished.range.end,
            error.to_errno()
        );
    })
}

/// The data is on the device: makes its blocks written, and moves the on-disk size over it.
/// `grows_to`: a size that the file has not got yet, or 0; `ends_grow`: it is what a pending grow waits
/// for.
pub(super) fn record(
    inode: &Inode<Ext4>,
    finished: &Finished,
    grows_to: u64,
    ends_grow: bool,
) -> Result {
    let sized = finished.range.end <= inode.info().disk_size();
    if !finished.unwritten && sized && !ends_grow {
        return Ok(());
    }
    let env = InodeEnv::new(inode);
    let mut handle = env.start_handle(Operation::Convert)?;
    // The size first: if the conversion has to go on in another transaction, a crash between the
    // two shows zeros. The other way round there would be written blocks past the end.
    let end = finished.range.end;
    let sized = size::written(inode, &mut handle, end, grows_to, ends_grow);
    if sized.is_err() || !finished.unwritten {
        let stopped = env.stop_handle(handle);
        return sized.and(stopped);
    }
    let blocks = inode.blocks_of(finished.range.clone());
    let converted = convert_unwritten(&env, blocks.clone(), Some(&mut handle));
    env.stop_handle(handle)?;
    match converted {
        // No space to split an extent. Without a handle open it can be waited for.
        Err(error) if error == ENOSPC => convert_unwritten(&env, blocks, None),
        converted => converted,
    }
}
