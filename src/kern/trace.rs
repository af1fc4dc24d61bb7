// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of the data path (`src/bindings/trace.h`).
//!
//! Where nobody listens a tracepoint is a jump label, tested in line: its arguments are put
//! together by a closure that runs only for a listener. Any context will do.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use super::{fs::FileSystem, inode::Inode};
use crate::bindings;

/// What a mapping is: `mflags` of `ext4rs_map_blocks_exit`.
pub(crate) mod flags {
    /// This call made it.
    pub(crate) const NEW: u32 = 1;
    /// Written blocks.
    pub(crate) const WRITTEN: u32 = 2;
    /// Unwritten blocks.
    pub(crate) const UNWRITTEN: u32 = 4;
    /// Reserved, no block chosen.
    pub(crate) const DELAYED: u32 = 8;
    /// Nothing.
    pub(crate) const HOLE: u32 = 16;
}

macro_rules! tracepoints {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*);)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<F: FileSystem>(
            inode: &Inode<F>,
            args: impl FnOnce() -> ($($type,)*),
        ) {
            kernel::macros::paste! {
                // SAFETY: The key is part of a static.
                let wanted = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        bindings::[<__tracepoint_ext4rs_ $name>],
                        kernel::bindings::tracepoint,
                        key
                    )
                };
                if wanted {
                    let ($($arg,)*) = args();
                    // SAFETY: The inode and its super block are alive.
                    unsafe {
                        bindings::[<rust_do_trace_ext4rs_ $name>](inode.as_ptr(), $($arg),*);
                    }
                }
            }
        }
    )*};
}

tracepoints! {
    /// The mapper is asked for blocks.
    fn map_blocks_enter(lblk: u32, len: u32, intent: u32);
    /// The mapper has answered, or failed.
    fn map_blocks_exit(
        lblk: u32,
        len: u32,
        pblk: u64,
        mflags: u32,
        seq: u64,
        intent: u32,
        ret: i32
    );
    /// The sequence had moved under the mapper from `seq`, that of its lookup, to `now`.
    fn map_retry(lblk: u32, len: u32, seq: u64, now: u64);
    /// A dirty range is about to be written; `kept`: to where the last mapping says.
    fn writeback_range(pos: u64, len: u64, limit: u64, kept: bool);
    /// A bio has ended whose completion goes to the worker, or is done by the submitter at once.
    fn ioend_queue(pos: u64, len: u64, unwritten: bool, merged: u32, error: i32);
    /// The worker has merged this many ioends into another one.
    fn ioend_merge(pos: u64, len: u64, unwritten: bool, merged: u32, error: i32);
    /// Blocks became written, or failed to.
    fn ioend_convert(lblk: u32, len: u32, ret: i32);
    /// The on-disk size moves up; `pending`: when the tail that lies in the way is on the device.
    fn size_grow(from: u64, to: u64, pending: bool);
}
