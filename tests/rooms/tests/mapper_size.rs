// SPDX-License-Identifier: GPL-2.0

//! The rules of the on-disk size, without anybody interfering. `mapper_model::grow` lets others in.

use rooms::mapper::size::{block_end, size_after_write, PendingGrow};

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
fn blocks_end_where_they_should() {
    assert_eq!(
        [0, 1, 4095, 4096, 4097].map(block_end),
        [0, 4096, 4096, 4096, 8192]
    );
}

#[test]
fn a_grow_waits_for_the_io_that_carries_its_tail() {
    let mut grow = PendingGrow::new();
    grow.announce(5000);
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
fn a_grow_that_did_not_come_to_the_tail_is_none() {
    let mut grow = PendingGrow::new();
    grow.announce(100);
    grow.withdraw();
    assert!(!grow.is_some());
    grow.announce(100);
    assert!(!grow.aim_at(9000), "nothing is in the way");
    grow.announce(100);
    grow.dirtied();
    assert_eq!(grow.tail_to_submit(), Some(100..4096));
    grow.submitted(&(0..4096));
    grow.withdraw();
    assert!(
        grow.is_some(),
        "the tail is on its way: it has to come first"
    );
}
