// SPDX-License-Identifier: GPL-2.0

//! `/proc/fs/ext4rs/<device>/`: what the file system tells about itself.

use crate::iomap::stats::WritebackStats;
use crate::kern::proc::{Directory, File};
use crate::kern::super_block::SuperBlock;
use crate::{fs_warn, Ext4};
use kernel::prelude::*;
use kernel::str::CString;

/// Where the directories of all devices are; made when the module is loaded.
pub(crate) const ROOT: &CStr = c"fs/ext4rs";

/// A mounted file system's directory and its files, which go before it.
pub(crate) struct Published {
    _writeback: File<WritebackStats>,
    _directory: Directory,
}

/// Makes the directory of a mounted file system. A mount does not fail for want of it.
pub(super) fn publish(sb: &SuperBlock<Ext4>) {
    if let Err(error) = try_publish(sb) {
        fs_warn!(sb, "no directory in /proc ({:?})", error);
    }
}

fn try_publish(sb: &SuperBlock<Ext4>) -> Result {
    let info = sb.info();
    let path = CString::try_from_fmt(fmt!("fs/ext4rs/{}", sb.id().to_str()?))?;
    let directory = Directory::new(&path)?;
    info.proc.populate(Published {
        _writeback: directory.file(c"writeback", info.writeback.clone())?,
        _directory: directory,
    });
    Ok(())
}
