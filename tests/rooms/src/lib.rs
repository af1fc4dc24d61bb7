// SPDX-License-Identifier: GPL-2.0

//! The pure rooms, the same files that the module is built from, as a host crate.

#[path = "../../../src/alloc/mod.rs"]
pub mod alloc;
#[path = "../../../src/dirblock/mod.rs"]
pub mod dirblock;
#[path = "../../../src/errortag.rs"]
pub mod errortag;
#[path = "../../../src/extent_status/mod.rs"]
pub mod extent_status;
#[path = "../../../src/extents/mod.rs"]
pub mod extents;
#[path = "../../../src/format/mod.rs"]
pub mod format;
#[path = "../../../src/mapper/mod.rs"]
pub mod mapper;
#[path = "../../../src/sort.rs"]
pub mod sort;
#[path = "../../../src/store.rs"]
pub mod store;

/// CRC-32C of `bytes` continued from `seed`, without the final inversion: as the kernel's
/// `crc32c()`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}
