// SPDX-License-Identifier: GPL-2.0

//! The rules of the on-disk size, without anybody interfering. `mapper_model::grow` lets others in.

use rooms::format::units::LogicalBlock;
use rooms::format::BlockSize;
use rooms::mapper::size::{size_after_write, PendingGrow};

/// Blocks of `1 << bits` bytes.
fn block(bits: u32) -> BlockSize {
    BlockSize::from_bits(bits).unwrap()
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

#[test]
fn blocks_begin_and_end_where_they_should() {
    let end = |bits, pos| block(bits).end_of(pos);
    let start = |bits, pos| block(bits).start_of(pos);
    let places = [0, 1, 4095, 4096, 4097];
    assert_eq!(places.map(|p| end(12, p)), [0, 4096, 4096, 4096, 8192]);
    assert_eq!(places.map(|p| start(12, p)), [0, 0, 0, 4096, 4096]);
    assert_eq!(places.map(|p| end(10, p)), [0, 1024, 4096, 4096, 5120]);
    assert_eq!(places.map(|p| start(10, p)), [0, 0, 3072, 4096, 4096]);
    assert_eq!(end(11, u64::MAX), u64::MAX - 2047);
    assert!(BlockSize::from_bits(9).is_none() && BlockSize::from_bits(13).is_none());
}

#[test]
fn bytes_touch_the_blocks_that_a_file_can_have() {
    let touched = |bits, range| {
        let blocks = block(bits).blocks_of(range, LogicalBlock(u32::MAX));
        blocks.start.0..blocks.end.0
    };
    assert_eq!(touched(10, 1023..1025), 0..2);
    assert_eq!(touched(12, 1023..1025), 0..1);
    assert_eq!(touched(10, 2048..2048), 2..2);
    assert_eq!(touched(10, 0..u64::MAX), 0..u32::MAX);
    let far = u64::from(u32::MAX) << 10;
    assert_eq!(touched(10, far..far + 1), u32::MAX..u32::MAX);
    assert_eq!(touched(11, far..far + 1), 0x7fff_ffff..0x8000_0000);
}

#[test]
fn a_grow_waits_for_the_io_that_carries_its_tail() {
    let mut grow = PendingGrow::new();
    grow.announce(5000, block(12));
    // On its way since before: not that one.
    grow.submitted(&(4096..5000));
    assert!(!grow.waits_for(&(4096..5000)));
    assert_eq!(grow.tail(), None);
    grow.dirtied();
    assert_eq!(grow.tail_to_submit(), Some(5000..8192));
    assert!(grow.aim_at(20_000));
    // Later blocks wait, earlier ones and the tail's own do not.
    assert!(grow.holds_back(8192) && !grow.holds_back(4096) && !grow.holds_back(0));
    grow.submitted(&(8192..12_288));
    assert!(grow.tail_to_submit().is_some());
    grow.submitted(&(0..8192));
    assert_eq!(grow.tail_to_submit(), None);
    assert!(!grow.waits_for(&(0..4096)) && grow.waits_for(&(4096..5000)));
    assert_eq!(grow.done(), 20_000);
    assert!(!grow.is_some() && !grow.holds_back(8192));
}

#[test]
fn a_tail_is_one_of_a_small_block() {
    let mut grow = PendingGrow::new();
    grow.announce(5000, block(10));
    grow.dirtied();
    assert_eq!(grow.tail_to_submit(), Some(5000..5120));
    // The folio has other blocks, on their own way.
    grow.submitted(&(5120..8192));
    grow.submitted(&(0..4096));
    assert!(grow.tail_to_submit().is_some());
    assert!(grow.holds_back(5120) && !grow.holds_back(4096));
    grow.submitted(&(4096..8192));
    assert!(grow.waits_for(&(4608..5000)) && !grow.waits_for(&(5120..8192)));
}

#[test]
fn a_grow_that_did_not_come_to_the_tail_is_none() {
    let mut grow = PendingGrow::new();
    grow.announce(100, block(12));
    grow.withdraw();
    assert!(!grow.is_some());
    grow.announce(100, block(12));
    assert!(!grow.aim_at(9000), "nothing is in the way");
    grow.announce(100, block(12));
    grow.dirtied();
    assert_eq!(grow.tail_to_submit(), Some(100..4096));
    grow.submitted(&(0..4096));
    grow.withdraw();
    assert!(
        grow.is_some(),
        "the tail is on its way: it has to come first"
    );
}
