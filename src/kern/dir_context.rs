// SPDX-License-Identifier: GPL-2.0

//! Where `readdir` puts the entries that it finds.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h), `struct dir_context`

use super::inode::InodeKind;
use super::ops::FromC;
use crate::bindings;
use crate::format::units::InodeNumber;
use kernel::types::Opaque;

/// The reader's position in a directory, and its buffer.
#[repr(transparent)]
pub struct DirContext(Opaque<bindings::dir_context>);

// SAFETY: Transparent over the C struct, and the VFS lets nobody else use it during the call.
unsafe impl FromC for &mut DirContext {
    type C = *mut bindings::dir_context;

    unsafe fn from_c(c: Self::C) -> Self {
        // SAFETY: As above.
        unsafe { &mut *c.cast() }
    }
}

impl DirContext {
    /// Where the reader stands; what the number means is up to the directory.
    pub fn pos(&self) -> u64 {
        // SAFETY: Valid by construction. CAST: the VFS hands out no negative position.
        unsafe { (*self.0.get()).pos as u64 }
    }

    /// Sets where the reader stands; below 2^63.
    pub fn set_pos(&mut self, pos: u64) {
        // SAFETY: Valid by construction, and ours alone.
        unsafe { (*self.0.get()).pos = pos as i64 }
    }

    /// Hands one entry over; false where the buffer is full and the entry was not taken.
    ///
    /// `kind` is `None` where the directory does not record it.
    #[must_use]
    pub fn emit(&mut self, name: &[u8], ino: InodeNumber, kind: Option<InodeKind>) -> bool {
        let d_type = match kind {
            None => bindings::DT_UNKNOWN,
            Some(InodeKind::Fifo) => bindings::DT_FIFO,
            Some(InodeKind::CharDevice) => bindings::DT_CHR,
            Some(InodeKind::Directory) => bindings::DT_DIR,
            Some(InodeKind::BlockDevice) => bindings::DT_BLK,
            Some(InodeKind::Regular) => bindings::DT_REG,
            Some(InodeKind::Symlink) => bindings::DT_LNK,
            Some(InodeKind::Socket) => bindings::DT_SOCK,
        };
        let ctx = self.0.get();
        // SAFETY: Valid by construction; the actor copies the name. CAST: a name has at most 255
        // bytes.
        unsafe {
            match (*ctx).actor {
                Some(actor) => actor(
                    ctx,
                    name.as_ptr().cast(),
                    name.len() as i32,
                    (*ctx).pos,
                    ino.0.into(),
                    d_type,
                ),
                None => false,
            }
        }
    }
}
