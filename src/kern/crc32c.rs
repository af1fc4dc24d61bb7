// SPDX-License-Identifier: GPL-2.0

//! CRC-32C as the kernel computes it (with the CPU's instruction where there is one).
//!
//! C header: `include/linux/crc32.h`.

use crate::bindings;

/// Goes on with the checksum `seed` over `bytes`. Neither the seed nor the result is inverted.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // SAFETY: the pointer and the length are those of a slice, which the function only reads.
    unsafe { bindings::crc32c(seed, bytes.as_ptr().cast(), bytes.len()) }
}
