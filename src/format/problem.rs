// SPDX-License-Identifier: GPL-2.0

//! What a checked conversion found wrong with bytes from the disk.

use kernel::prelude::*;

/// A corruption found on disk: what is wrong, and the value that shows it.
///
/// As an [`Error`] it is `EFSCORRUPTED`, or `EFSBADCRC` for a checksum that does not match; the
/// layer that knows inode and block logs both with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as a phrase for the log.
    pub what: &'static str,
    /// The offending value.
    pub value: u64,
}

impl Problem {
    /// The phrase of every checksum mismatch.
    const BAD_CHECKSUM: &'static str = "bad checksum";

    /// `what` is wrong, as `value` shows.
    pub const fn new(what: &'static str, value: u64) -> Self {
        Self { what, value }
    }

    /// The checksum stored with a structure, `stored`, is not that of its bytes.
    pub const fn checksum(stored: u32) -> Self {
        Self::new(Self::BAD_CHECKSUM, stored as u64)
    }

    /// Whether this is a checksum mismatch.
    pub fn is_checksum(&self) -> bool {
        self.what == Self::BAD_CHECKSUM
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        if problem.is_checksum() {
            EFSBADCRC
        } else {
            EFSCORRUPTED
        }
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.what, self.value)
    }
}
