// SPDX-License-Identifier: GPL-2.0

//! Direct I/O.
//!
//! A write gets unwritten blocks where there are none; when the data is on the device, they are
//! converted and the size moves, in one transaction, as for writeback. Writes that grow the file or
//! cover blocks in part run alone and wait; others share the rwsem, since concurrent writers to
//! whole blocks do not disturb each other.

use super::{
    read::{map_bytes, to_iomap},
    writeback::record,
};
use crate::{
    errortag::Tag,
    kern::{
        direct::DirectEnd,
        inode::Inode,
        ioend::Finished,
        iomap::{Extent, Kind, Mapper, Request},
    },
    mapper::Intent,
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// For writing past the page cache.
pub(crate) struct DirectWrite;

impl Mapper for DirectWrite {
    type Fs = Ext4;

    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        if request.purpose.nowait() {
            return Err(EAGAIN);
        }
        let end = request.pos.saturating_add(request.len);
        let mapping = map_bytes(inode, request.pos..end, Intent::AllocateUnwritten)?;
        let mut extent = to_iomap(&mapping.ok_or(EFBIG)?);
        // Unwritten says all that the library needs for zeroing the rest of the blocks.
        extent.new = matches!(extent.kind, Kind::Unwritten(_)) && extent.new;
        // What leads to the blocks may not have committed yet: a synchronous write has to ask.
        extent.dirty = true;
        Ok(extent)
    }
}

/// The end of a direct write.
pub(crate) struct DirectWriteEnd;

impl DirectEnd for DirectWriteEnd {
    type Fs = Ext4;

    fn written(inode: &Inode<Ext4>, range: Range<u64>, unwritten: bool) -> Result {
        inode.sb().info().errortags.pass(Tag::DirectDone)?;
        // Only a write that holds the rwsem for writing, and waits, gets past the end.
        if range.end > inode.size() {
            inode.set_size(range.end);
        }
        let finished = Finished {
            range,
            unwritten,
            outcome: Ok(()),
        };
        record(inode, &finished, false)
    }
}
