// SPDX-License-Identifier: GPL-2.0

//! Messages in the kernel log: `ext4rs (vda): ...`.
//!
//! [`fs_err!`](crate::fs_err), [`fs_warn!`](crate::fs_warn), [`fs_notice!`](crate::fs_notice) and
//! [`fs_info!`](crate::fs_info) take the super block and a format. `fs_err!` and `fs_warn!` are rate
//! limited, as a damaged disk can cause thousands.
//!
//! C headers: `include/linux/printk.h`, `include/linux/ratelimit.h`.

use super::fs::FileSystem;
use super::super_block::SuperBlock;
use crate::bindings;
use core::fmt::Write;
use kernel::prelude::*;
use kernel::print::format_strings;

/// How grave a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Damage, or an operation that was given up.
    Error,
    /// Something that should be looked at.
    Warning,
    /// Normal but rare.
    Notice,
    /// Normal.
    Info,
}

/// What stands before the colon; cut off where it does not fit.
struct Prefix {
    bytes: [u8; 56],
    len: usize,
}

impl Write for Prefix {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for &b in s.as_bytes() {
            // The last byte stays zero.
            if self.len + 1 < self.bytes.len() {
                if let Some(slot) = self.bytes.get_mut(self.len) {
                    *slot = b;
                    self.len += 1;
                }
            }
        }
        Ok(())
    }
}

/// Logs one line about the device `id`. Used through the macros.
pub fn log(level: Level, id: &CStr, args: kernel::fmt::Arguments<'_>) {
    if matches!(level, Level::Error | Level::Warning) {
        // SAFETY: the state is a static that C set up; the name is terminated.
        let print = unsafe {
            bindings::___ratelimit(&raw mut bindings::ext4rs_ratelimit, c"ext4rs".as_char_ptr())
        };
        if print == 0 {
            return;
        }
    }
    let mut prefix = Prefix {
        bytes: [0; 56],
        len: 0,
    };
    // Never fails: what does not fit is cut off.
    let _ = write!(prefix, "ext4rs ({})", id.to_str().unwrap_or("?"));
    let format = match level {
        Level::Error => &format_strings::ERR,
        Level::Warning => &format_strings::WARNING,
        Level::Notice => &format_strings::NOTICE,
        Level::Info => &format_strings::INFO,
    };
    // SAFETY: the format is one of `format_strings`, and the prefix ends in zero.
    unsafe { kernel::print::call_printk(format, &prefix.bytes, args) }
}

/// Logs one line about `sb`.
pub fn log_sb<F: FileSystem>(level: Level, sb: &SuperBlock<F>, args: kernel::fmt::Arguments<'_>) {
    log(level, sb.id(), args)
}

/// Logs an error of a mounted file system: `fs_err!(sb, "inode #{}: ...", ino)`.
#[macro_export]
macro_rules! fs_err {
    ($sb:expr, $($f:tt)*) => {
        $crate::kern::log::log_sb(
            $crate::kern::log::Level::Error, $sb, kernel::prelude::fmt!("{}\n", kernel::prelude::fmt!($($f)*)))
    };
}

/// Logs a warning of a mounted file system.
#[macro_export]
macro_rules! fs_warn {
    ($sb:expr, $($f:tt)*) => {
        $crate::kern::log::log_sb(
            $crate::kern::log::Level::Warning, $sb, kernel::prelude::fmt!("{}\n", kernel::prelude::fmt!($($f)*)))
    };
}

/// Logs a notice of a mounted file system.
#[macro_export]
macro_rules! fs_notice {
    ($sb:expr, $($f:tt)*) => {
        $crate::kern::log::log_sb(
            $crate::kern::log::Level::Notice, $sb, kernel::prelude::fmt!("{}\n", kernel::prelude::fmt!($($f)*)))
    };
}

/// Logs what a user may want to know about a mounted file system.
#[macro_export]
macro_rules! fs_info {
    ($sb:expr, $($f:tt)*) => {
        $crate::kern::log::log_sb(
            $crate::kern::log::Level::Info, $sb, kernel::prelude::fmt!("{}\n", kernel::prelude::fmt!($($f)*)))
    };
}
