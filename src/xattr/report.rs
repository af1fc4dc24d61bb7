// SPDX-License-Identifier: GPL-2.0

//! Where an inode's attributes lie, for `FIEMAP` with `FIEMAP_FLAG_XATTR`.

use super::has_list;
use crate::format::xattr::start_in_inode;
use crate::inode::table;
use crate::kern::inode::Inode;
use crate::kern::iomap::{Extent, Kind, Mapper, Request};
use crate::kern::nofs::NoFs;
use crate::Ext4;
use kernel::prelude::*;

/// One extent: what is in the inode, else the block.
pub(crate) struct ReportAttributes;

impl Mapper for ReportAttributes {
    type Fs = Ext4;

    /// `ENOENT`, which the library takes for the end, where there is nothing at `request.pos`.
    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        let (kind, length) = place(inode)?;
        if request.pos >= length {
            return Err(ENOENT);
        }
        Ok(Extent {
            offset: 0,
            length,
            kind,
            new: false,
            dirty: false,
            cookie: 0,
        })
    }
}

/// Where on the device, and how many bytes.
fn place(inode: &Inode<Ext4>) -> Result<(Kind, u64)> {
    let (info, size) = (inode.info(), inode.block_size());
    let _nofs = NoFs::enter();
    let _data = info.data.read();
    if has_list(inode)? {
        let (block, bytes) = table::locate(inode.sb(), inode.ino())?;
        let list = start_in_inode(info.origin().extra_isize);
        let first = bytes.start.saturating_add(list);
        let at = size.bytes_of(block.0).saturating_add(first as u64);
        return Ok((Kind::Inline(at), bytes.end.saturating_sub(first) as u64));
    }
    let block = info.file_acl().ok_or(ENOENT)?;
    Ok((Kind::Mapped(size.bytes_of(block.0)), size.bytes()))
}
