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

#[cfg(CONFIG_EXT4RS_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(ext4rs_crc32c)]
mod tests {
    use super::*;

    /// The check value of CRC-32C, which inverts seed and result.
    #[test]
    fn gives_the_published_value() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn goes_on_where_it_stopped() {
        assert_eq!(
            crc32c(crc32c(!0, b"1234"), b"56789"),
            crc32c(!0, b"123456789")
        );
    }
}
