// SPDX-License-Identifier: GPL-2.0

//! Checksum helpers shared by the structures: which bytes a checksum covers, and CRC-16.

use crate::crc32c;

/// CRC-32C of `bytes` from `seed`, with `hole` bytes at `hole_at` counted as zeroes: a structure
/// that carries its own checksum is summed as if that field were 0.
///
/// A hole outside `bytes` is no hole.
pub(crate) fn crc32c_with_hole(seed: u32, bytes: &[u8], hole_at: usize, hole: usize) -> u32 {
    let zeroes = [0u8; 4];
    let end = hole_at.saturating_add(hole);
    match (bytes.get(..hole_at), zeroes.get(..hole), bytes.get(end..)) {
        (Some(before), Some(zero), Some(after)) => {
            crc32c(crc32c(crc32c(seed, before), zero), after)
        }
        _ => crc32c(seed, bytes),
    }
}

/// CRC-16 (polynomial 0x8005 reflected) of `bytes` continued from `crc`: what group descriptors
/// carried before `metadata_csum`.
pub(crate) fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |mut crc, byte| {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc >>= 1;
            if carry {
                crc ^= 0xa001;
            }
        }
        crc
    })
}
