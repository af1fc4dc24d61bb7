// SPDX-License-Identifier: GPL-2.0

//! `ioctl(2)` on files and directories (`include/linux/fs.h`, `include/uapi/linux/fs.h`).

use super::file::File;
use super::fs::FileSystem;
use super::ops::FromC;
use crate::bindings;
use kernel::error::from_result;
use kernel::ffi::{c_long, c_uint, c_ulong};
use kernel::prelude::*;
use kernel::transmute::{AsBytes, FromBytes};
use kernel::uaccess::{UserPtr, UserSlice};

/// An argument in the caller's memory.
pub(crate) struct Argument(UserPtr);

impl Argument {
    /// Reads what the caller passes.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn read<T: FromBytes>(&self) -> Result<T> {
        UserSlice::new(self.0, size_of::<T>()).reader().read()
    }

    /// Answers the caller.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn write<T: AsBytes>(&self, answer: &T) -> Result {
        UserSlice::new(self.0, size_of::<T>())
            .writer()
            .write(answer)
    }
}

/// The ioctls of a file system.
pub(crate) trait Ioctl: FileSystem {
    /// Does what `number` asks for, on an open file or directory.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for an unknown number.
    fn ioctl(file: &File<Self>, number: u32, argument: Argument) -> Result;
}

/// The slot of `file_operations`.
///
/// # Safety
///
/// Called by the VFS with an open file of `F`.
pub(super) unsafe extern "C" fn ioctl<F: Ioctl>(
    file: *mut bindings::file,
    number: c_uint,
    argument: c_ulong,
) -> c_long {
    // SAFETY: By the function's contract.
    let file = unsafe { <&File<F>>::from_c(file) };
    let argument = Argument(UserPtr::from_addr(argument));
    from_result(|| F::ioctl(file, number, argument).map(|()| 0))
}
