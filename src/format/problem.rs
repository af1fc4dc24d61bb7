// SPDX-License-Identifier: GPL-2.0

//! What was found wrong with something read from the disk.
//!
//! Pure code returns a [`Problem`]; the kernel layer adds inode and block, logs it, and hands the
//! errno to its caller.

use kernel::prelude::*;

/// The class of a [`Problem`]; decides the errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that no sound file system holds: `EFSCORRUPTED`.
    Corrupt,
    /// A checksum does not match: `EFSBADCRC`.
    BadChecksum,
    /// Sound as far as known, but not supported: `EINVAL`.
    Unsupported,
    /// Not an ext4 file system, or a geometry that makes no sense: `EINVAL`.
    Invalid,
    /// The structure is not in use (a free inode): `ESTALE`.
    Unused,
    /// The device does not give it: `EIO`.
    Unreadable,
}

/// Something wrong on the disk: what, and the offending value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A phrase for the log; the name of the feature where `kind` is [`Kind::Unsupported`].
    pub what: &'static str,
    /// The value found.
    pub value: u64,
    /// The class of the problem.
    pub kind: Kind,
}

impl Problem {
    /// A corrupt value: `what` is wrong, as `value` shows.
    pub const fn new(what: &'static str, value: u64) -> Self {
        Self {
            what,
            value,
            kind: Kind::Corrupt,
        }
    }

    /// A checksum that does not match; `value` is the one found on disk.
    pub const fn bad_checksum(what: &'static str, value: u32) -> Self {
        Self {
            what,
            value: value as u64,
            kind: Kind::BadChecksum,
        }
    }

    /// As [`bad_checksum`](Self::bad_checksum), where the place says enough.
    pub const fn checksum(stored: u32) -> Self {
        Self::bad_checksum("bad checksum", stored)
    }

    /// Whether this is a checksum mismatch.
    pub fn is_checksum(&self) -> bool {
        self.kind == Kind::BadChecksum
    }

    /// A sound but unsupported thing, by its name.
    pub const fn unsupported(name: &'static str, value: u64) -> Self {
        Self {
            what: name,
            value,
            kind: Kind::Unsupported,
        }
    }

    /// A geometry that makes no sense.
    pub const fn invalid(what: &'static str, value: u64) -> Self {
        Self {
            what,
            value,
            kind: Kind::Invalid,
        }
    }

    /// A structure that is not in use.
    pub const fn unused(what: &'static str, value: u64) -> Self {
        Self {
            what,
            value,
            kind: Kind::Unused,
        }
    }

    /// A block that the device does not give.
    pub const fn unreadable(what: &'static str, at: u64) -> Self {
        Self {
            what,
            value: at,
            kind: Kind::Unreadable,
        }
    }

    /// The errno for the caller.
    pub fn errno(&self) -> Error {
        match self.kind {
            Kind::Corrupt => EFSCORRUPTED,
            Kind::BadChecksum => EFSBADCRC,
            Kind::Unsupported | Kind::Invalid => EINVAL,
            Kind::Unused => ESTALE,
            Kind::Unreadable => EIO,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        problem.errno()
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.kind {
            Kind::Unsupported => write!(f, "not supported: {} ({:#x})", self.what, self.value),
            _ => write!(f, "{} ({})", self.what, self.value),
        }
    }
}

/// Turns a failed check into a [`Problem`].
pub(crate) fn ensure(good: bool, problem: Problem) -> Result<(), Problem> {
    if good {
        Ok(())
    } else {
        Err(problem)
    }
}
