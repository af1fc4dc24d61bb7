// SPDX-License-Identifier: GPL-2.0

//! Telling where the bytes of an inode lie on the device (`FS_IOC_FIEMAP`).
//!
//! C header: [`include/uapi/linux/fiemap.h`](srctree/include/uapi/linux/fiemap.h)

use super::iomap::{self, Mapper};
use crate::bindings;
use kernel::ffi::c_int;

/// # Safety
///
/// Called by the VFS with an inode of the file system of `Data` and `Attributes`: the former says
/// where its data lie, the latter where its extended attributes do.
pub(super) unsafe extern "C" fn fiemap<Data: Mapper, Attributes: Mapper<Fs = Data::Fs>>(
    inode: *mut bindings::inode,
    info: *mut bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> c_int {
    // SAFETY: By the function's contract; the request is ours for the call. The lock keeps a file
    // from changing its length and losing blocks meanwhile.
    unsafe {
        let flags = &mut (*info).fi_flags;
        // Whether extents are cached first is for nobody to see. The library refuses both flags.
        let attributes = *flags & bindings::FIEMAP_FLAG_XATTR != 0;
        *flags &= !(bindings::FIEMAP_FLAG_CACHE | bindings::FIEMAP_FLAG_XATTR);
        let ops = if attributes {
            iomap::ops::<Attributes>()
        } else {
            iomap::ops::<Data>()
        };
        bindings::inode_lock_shared(inode);
        let ret = bindings::iomap_fiemap(inode, info, start, len, ops);
        bindings::inode_unlock_shared(inode);
        ret
    }
}
