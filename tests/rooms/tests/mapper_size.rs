// SPDX-License-Identifier: GPL-2.0

//! The rules of the on-disk size.

use rooms::mapper::size::{size_after_write, tail_to_write};

#[test]
fn a_grow_past_the_last_block_writes_its_tail_first() {
    assert_eq!(tail_to_write(100, 10_000, 4096), Some(100..4096));
    assert_eq!(tail_to_write(4097, 4098, 4096), Some(4097..4098));
    // Nothing straddles, nothing grows.
    assert_eq!(tail_to_write(8192, 10_000, 4096), None);
    assert_eq!(tail_to_write(0, 1, 4096), None);
    assert_eq!(tail_to_write(100, 100, 4096), None);
    assert_eq!(tail_to_write(100, 50, 4096), None);
}

#[test]
fn the_size_on_disk_follows_the_data_and_stays_within_the_file() {
    assert_eq!(size_after_write(0, 10_000, 4096, None), Some(4096));
    // Cut while the I/O was under way.
    assert_eq!(size_after_write(0, 1000, 4096, None), Some(1000));
    // A write before the end moves nothing, nor does one behind a file that was cut.
    assert_eq!(size_after_write(8192, 10_000, 4096, None), None);
    assert_eq!(size_after_write(1000, 1000, 8192, None), None);
    // The tail was all that the grow waited for.
    assert_eq!(
        size_after_write(100, 10_000, 4096, Some(10_000)),
        Some(10_000)
    );
    assert_eq!(size_after_write(100, 5000, 4096, Some(10_000)), Some(5000));
}
