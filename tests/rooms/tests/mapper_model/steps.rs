// SPDX-License-Identifier: GPL-2.0

//! What each intent does to each state, without anybody interfering.

use super::fs::{Config, File};
use super::tasks::{finish, map, preallocate, punch, truncate, write, writeback};
use kernel::prelude::*;
use rooms::extent_status::State;
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use rooms::mapper::{map_blocks, Intent, MapRequest, MapperEnv, Mapping, Operation};
use std::sync::atomic::Ordering::SeqCst;

fn alone(config: Config, steps: fn(&File)) {
    shuttle::check_dfs(
        move || {
            let file = File::new(config);
            steps(&file);
            finish(&file);
        },
        Some(1),
    );
}

fn handles(file: &File) -> u32 {
    file.handles.load(SeqCst)
}

fn reserved(file: &File) -> i64 {
    file.space.lock().reserved
}

fn shape(mapping: Mapping) -> (u32, u32, State, bool) {
    let extent = mapping.extent;
    (extent.start().0, extent.len(), extent.state(), mapping.new)
}

#[test]
fn a_write_reserves_and_takes_no_transaction() {
    alone(Config::default(), |file| {
        let mapping = map(file, 1, 3, Intent::ReserveDelayed).unwrap();
        assert_eq!(shape(mapping), (1, 2, State::Delayed, true));
        assert!(file.valid(mapping.sequence));
        // Once more: it is there.
        let again = map(file, 1, 4, Intent::ReserveDelayed).unwrap();
        assert_eq!(shape(again), (1, 2, State::Delayed, false));
        assert_eq!(again.sequence, mapping.sequence);
        assert_eq!((reserved(file), handles(file)), (2, 0));
        let read = map(file, 0, 4, Intent::Read).unwrap();
        assert_eq!(shape(read), (0, 1, State::Hole, false));
        assert_eq!(
            map(file, 1, 4, Intent::Read).unwrap().extent.state(),
            State::Hole
        );
        assert_eq!(
            map(file, 1, 4, Intent::Report).unwrap().extent.state(),
            State::Delayed
        );
        punch(file, 0..4);
        assert_eq!(reserved(file), 0);
    });
}

#[test]
fn writeback_allocates_what_is_delayed_once() {
    alone(Config::default(), |file| {
        write(file, 0..3, 1, 3);
        let mapping = map(file, 0, 4, Intent::Writeback).unwrap();
        let place = State::Unwritten(PhysicalBlock(0));
        assert_eq!(shape(mapping), (0, 3, place, true));
        assert_eq!((reserved(file), handles(file)), (0, 1));
        // Allocated already: no transaction, unwritten or written.
        let again = map(file, 0, 4, Intent::Writeback).unwrap();
        assert_eq!(shape(again), (0, 3, place, false));
        assert_eq!(handles(file), 1);
        writeback(file);
        let converted = handles(file);
        let again = map(file, 1, 2, Intent::Writeback).unwrap();
        assert_eq!(
            shape(again),
            (1, 1, State::Written(PhysicalBlock(1)), false)
        );
        // Nor one for a hole, which stays one.
        let hole = map(file, 3, 4, Intent::Writeback).unwrap();
        assert_eq!(shape(hole), (3, 1, State::Hole, false));
        assert_eq!(handles(file), converted);
    });
}

#[test]
fn the_next_run_goes_behind_the_last() {
    alone(Config::default(), |file| {
        write(file, 0..1, 1, 1);
        writeback(file);
        preallocate(file, 1..3);
        // From the status tree, from the on-disk tree, and past a hole.
        file.with_status(|tree| tree.shrink(9));
        let next = map(file, 3, 4, Intent::AllocateWritten).unwrap();
        assert_eq!(next.extent.state(), State::Written(PhysicalBlock(3)));
        let far = map(file, 9, 10, Intent::AllocateUnwritten).unwrap();
        assert_eq!(far.extent.state(), State::Unwritten(PhysicalBlock(9)));
        punch(file, 3..10);
    });
}

#[test]
fn a_short_run_is_mapped_as_far_as_it_goes() {
    let config = Config {
        max_run: 2,
        ..Config::default()
    };
    alone(config, |file| {
        write(file, 0..3, 1, 3);
        let mapping = map(file, 0, 3, Intent::Writeback).unwrap();
        assert_eq!(mapping.extent.len(), 2);
        assert_eq!(reserved(file), 1);
        let mapping = map(file, 8, 14, Intent::AllocateUnwritten).unwrap();
        assert_eq!(mapping.extent.len(), 2);
        assert_eq!(reserved(file), 1);
        punch(file, 8..10);
    });
}

#[test]
fn the_last_blocks_can_be_had() {
    let config = Config {
        device: 3,
        ..Config::default()
    };
    alone(config, |file| {
        // Halves until it fits: 4, 2; then 1.
        assert_eq!(
            map(file, 0, 4, Intent::ReserveDelayed)
                .unwrap()
                .extent
                .len(),
            2
        );
        assert_eq!(
            map(file, 2, 4, Intent::ReserveDelayed)
                .unwrap()
                .extent
                .len(),
            1
        );
        assert_eq!(map(file, 3, 4, Intent::ReserveDelayed), Err(ENOSPC));
        assert_eq!(map(file, 3, 4, Intent::AllocateUnwritten), Err(ENOSPC));
        assert_eq!(reserved(file), 3);
        punch(file, 0..4);
    });
}

#[test]
fn freed_blocks_are_had_after_a_commit() {
    let config = Config {
        device: 4,
        ..Config::default()
    };
    alone(config, |file| {
        write(file, 0..4, 1, 4);
        writeback(file);
        truncate(file, 1);
        write(file, 1..4, 2, 3);
        // Reserved, but every free block waits for a commit.
        assert_eq!(file.space.lock().freed.len(), 3);
        let mapping = map(file, 1, 4, Intent::Writeback).unwrap();
        assert_eq!(mapping.extent.len(), 3);
    });
}

#[test]
fn the_callers_handle_is_used() {
    alone(Config::default(), |file| {
        let mut handle = file.start_handle(Operation::Allocate).unwrap();
        let request = MapRequest {
            start: LogicalBlock(0),
            len: 1,
            intent: Intent::AllocateWritten,
        };
        let mapping = map_blocks(file, request, Some(&mut handle)).unwrap();
        assert!(mapping.new);
        file.stop_handle(handle).unwrap();
        assert_eq!(handles(file), 1);
        punch(file, 0..1);
    });
}

#[test]
fn what_lies_past_the_largest_file_is_refused() {
    alone(Config::default(), |file| {
        for intent in [
            Intent::Read,
            Intent::ReserveDelayed,
            Intent::AllocateUnwritten,
        ] {
            assert_eq!(map(file, 5, 5, intent), Err(EINVAL));
            assert_eq!(map(file, u32::MAX, u32::MAX, intent), Err(EINVAL));
        }
        let request = MapRequest {
            start: LogicalBlock(u32::MAX - 1),
            len: 10,
            intent: Intent::Read,
        };
        assert_eq!(map_blocks(file, request, None).unwrap().extent.len(), 1);
    });
}
