// SPDX-License-Identifier: GPL-2.0

//! The ioctls of files and directories.

use crate::kern::cred::has_admin_capability;
use crate::kern::file::File;
use crate::kern::ioctl::{Argument, Ioctl};
use crate::superblock::checkpoint::checkpoint;
use crate::superblock::shutdown::{shut_down, Log};
use crate::superblock::{label, trim};
use crate::Ext4;
use kernel::ffi::c_long;
use kernel::ioctl::{_IOR, _IOW, _IOWR};
use kernel::prelude::*;

/// `FS_IOC_SHUTDOWN`.
const SHUTDOWN: u32 = _IOR::<u32>(b'X' as u32, 125);
/// `FITRIM`, with start, length and least length in bytes (`struct fstrim_range`).
const TRIM: u32 = _IOWR::<[u64; 3]>(b'X' as u32, 121);
/// `FS_IOC_GETFSLABEL` and `FS_IOC_SETFSLABEL`, with room for 256 bytes; ext4 uses the first of them.
const GET_LABEL: u32 = _IOR::<[u8; 256]>(0x94, 49);
const SET_LABEL: u32 = _IOW::<[u8; 256]>(0x94, 50);
/// `EXT4_IOC_CHECKPOINT`.
const CHECKPOINT: u32 = _IOW::<u32>(b'f' as u32, 43);
/// `EXT4_IOC_MOVE_EXT`, with the 40 bytes of `struct move_extent`. Whoever defragments takes
/// `EOPNOTSUPP` for "not on this file system".
const MOVE_EXTENTS: u32 = _IOWR::<[u64; 5]>(b'f' as u32, 15);
/// `FS_IOC_GETVERSION`, and the number that ext4 had for it first; both as programs of 64 and of 32
/// bits know them. They answer with an `int`.
const GET_GENERATION: [u32; 4] = [
    _IOR::<c_long>(b'v' as u32, 1),
    _IOR::<c_long>(b'f' as u32, 3),
    _IOR::<u32>(b'v' as u32, 1),
    _IOR::<u32>(b'f' as u32, 3),
];

impl Ioctl for Ext4 {
    fn ioctl(file: &File<Ext4>, number: u32, argument: Argument) -> Result {
        let inode = file.inode();
        let sb = inode.sb();
        match number {
            SHUTDOWN => {
                if !has_admin_capability() {
                    return Err(EPERM);
                }
                let log = match argument.read::<u32>()? {
                    0 => Log::Emptied,
                    1 => Log::Committed,
                    2 => Log::Left,
                    _ => return Err(EINVAL),
                };
                shut_down(sb, log)
            }
            TRIM => {
                if !has_admin_capability() {
                    return Err(EPERM);
                }
                let [start, len, min] = argument.read::<[u64; 3]>()?;
                let trimmed = trim::trim(sb, &trim::Request { start, len, min })?;
                argument.write(&[start, trimmed, min])
            }
            GET_LABEL => argument.write(&label::get(sb)?),
            SET_LABEL => {
                if !has_admin_capability() {
                    return Err(EPERM);
                }
                let text = argument.read::<label::Text>()?;
                let _access = file.write_access()?;
                label::set(sb, &text)
            }
            CHECKPOINT => {
                let flags = argument.read::<u32>()?;
                if !has_admin_capability() {
                    return Err(EPERM);
                }
                checkpoint(sb, flags)
            }
            MOVE_EXTENTS => Err(EOPNOTSUPP),
            number if GET_GENERATION.contains(&number) => argument.write(&inode.generation()),
            _ => Err(ENOTTY),
        }
    }
}
