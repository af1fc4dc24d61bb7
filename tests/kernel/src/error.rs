// SPDX-License-Identifier: GPL-2.0

//! As `kernel::error`.

use core::num::NonZeroI32;

/// A negative errno.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// As `kernel::error::Result`.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl Error {
    /// From a negative errno; anything else becomes `EINVAL`.
    pub const fn from_errno(errno: i32) -> Self {
        match NonZeroI32::new(errno) {
            Some(n) if errno < 0 => Self(n),
            _ => code::EINVAL,
        }
    }

    /// The negative errno.
    pub const fn to_errno(self) -> i32 {
        self.0.get()
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

impl From<crate::alloc::AllocError> for Error {
    fn from(_: crate::alloc::AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<core::num::TryFromIntError> for Error {
    fn from(_: core::num::TryFromIntError) -> Self {
        code::EINVAL
    }
}

/// As `kernel::error::code`.
pub mod code {
    use super::Error;

    macro_rules! codes {
        ($($name:ident = $n:literal,)*) => {
            $(
                #[doc = stringify!($name)]
                pub const $name: Error = Error(match core::num::NonZeroI32::new(-$n) {
                    Some(n) => n,
                    None => unreachable!(),
                });
            )*
        };
    }

    codes! {
        EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, EAGAIN = 11, ENOMEM = 12,
        EACCES = 13, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21,
        EINVAL = 22, ENOTTY = 25, ETXTBSY = 26, EFBIG = 27, ENOSPC = 28, EROFS = 30, EMLINK = 31,
        ERANGE = 34, ENAMETOOLONG = 36, ENOTEMPTY = 39, ELOOP = 40, ENODATA = 61, EBADMSG = 74,
        EFSBADCRC = 74, EOVERFLOW = 75, EOPNOTSUPP = 95, ESTALE = 116, EUCLEAN = 117,
        EFSCORRUPTED = 117, EDQUOT = 122,
    }
}
