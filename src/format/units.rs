// SPDX-License-Identifier: GPL-2.0

//! The units in which ext4 counts, each its own type, so that a file-relative block is never
//! passed where a device block is meant.

/// Defines a counting newtype with checked arithmetic.
macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// `self + n`, or `None` where the unit's range ends.
            #[inline]
            pub const fn checked_add(self, n: $int) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// `self - n`, or `None` below zero.
            #[inline]
            pub const fn checked_sub(self, n: $int) -> Option<Self> {
                match self.0.checked_sub(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// How far `self` lies beyond `start`, or `None` where it lies before it.
            #[inline]
            pub const fn distance_from(self, start: Self) -> Option<$int> {
                self.0.checked_sub(start.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unit!(
    /// A block of a file, counted from the file's start.
    LogicalBlock(u32)
);
unit!(
    /// A block of the device, counted from the device's start.
    PhysicalBlock(u64)
);
unit!(
    /// A block group.
    GroupNumber(u32)
);
unit!(
    /// An inode number; the first is 1.
    InodeNumber(u32)
);
unit!(
    /// A byte position in a file.
    ByteOffset(u64)
);
