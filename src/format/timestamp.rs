// SPDX-License-Identifier: GPL-2.0

//! Inode times on disk: 32 bits of seconds and, in larger inodes, a word with two more and the
//! nanoseconds.

use super::geometry::GOOD_OLD_INODE_SIZE;
use zerocopy::little_endian::U32;

/// A point in time: seconds since 1970, and nanoseconds below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds; on disk 34 bits, up to the year 2446.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanos: u32,
}

impl Timestamp {
    /// From the 32-bit seconds and, where the inode has it, the extra word: two bits that extend
    /// the seconds, thirty of nanoseconds.
    pub(super) fn decode(seconds: U32, extra: Option<U32>) -> Self {
        let low = i64::from(seconds.get() as i32);
        let Some(extra) = extra.map(|e| e.get()) else {
            return Self {
                seconds: low,
                nanos: 0,
            };
        };
        Self {
            seconds: low + (i64::from(extra & 3) << 32),
            nanos: (extra >> 2).min(999_999_999),
        }
    }

    /// The 32-bit seconds and the extra word.
    pub(super) fn encode(self, has_extra: bool) -> (U32, U32) {
        if !has_extra {
            let clamped = self.seconds.clamp(MIN_SECONDS, i32::MAX.into());
            return (U32::new(clamped as i32 as u32), U32::new(0));
        }
        let clamped = self.seconds.clamp(MIN_SECONDS, MAX_SECONDS);
        let low = clamped as i32;
        let epoch = ((clamped - i64::from(low)) >> 32) as u32 & 3;
        (U32::new(low as u32), U32::new((self.nanos << 2) | epoch))
    }
}

/// The first second that an inode holds: in 1901.
const MIN_SECONDS: i64 = i32::MIN as i64;
/// The last second that an inode with extra words holds: in 2446.
const MAX_SECONDS: i64 = i32::MAX as i64 + (3 << 32);

/// The times that the inodes of a file system can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// In nanoseconds.
    pub granularity: u32,
    /// The first and the last second.
    pub range: (i64, i64),
}

impl Times {
    /// Of inodes of `inode_size` bytes: the smallest have no extra words.
    pub fn of(inode_size: u16) -> Self {
        let (granularity, last) = match inode_size {
            ..=GOOD_OLD_INODE_SIZE => (1_000_000_000, i32::MAX.into()),
            _ => (1, MAX_SECONDS),
        };
        Self {
            granularity,
            range: (MIN_SECONDS, last),
        }
    }
}
