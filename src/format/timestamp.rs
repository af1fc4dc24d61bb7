// SPDX-License-Identifier: GPL-2.0

//! Inode times on disk: 32 bits of seconds and, in larger inodes, a word with two more and the
//! nanoseconds.

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
            let clamped = self.seconds.clamp(i32::MIN.into(), i32::MAX.into());
            return (U32::new(clamped as i32 as u32), U32::new(0));
        }
        let clamped = self.seconds.clamp(i32::MIN.into(), MAX_SECONDS);
        let low = clamped as i32;
        let epoch = ((clamped - i64::from(low)) >> 32) as u32 & 3;
        (U32::new(low as u32), U32::new((self.nanos << 2) | epoch))
    }
}

/// The last second that an inode with extra words holds.
pub const MAX_SECONDS: i64 = i32::MAX as i64 + (3 << 32);
