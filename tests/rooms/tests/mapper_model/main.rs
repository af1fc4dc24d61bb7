// SPDX-License-Identifier: GPL-2.0

//! The mapper under a model checker: the files that ship, their locks under shuttle's scheduler,
//! against writers, writeback, truncate, punch, reclaim and commits.
//!
//! Of two tasks all interleavings are tried, of more a part by chance: `SHUTTLE_TIMES=100 cargo test
//! --test mapper_model` looks at a hundred times as many. The numbers are in the output.

mod explore;
mod fs;
mod grow;
mod shared;
mod steps;
mod tasks;
mod threads;

use fs::{Config, File};
use shuttle::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tasks::{
    collapse, crash, fault, finish, insert, preallocate, punch, read, reclaim, report, shrink,
    store_past_end_then_grow, truncate, write, writeback, zero,
};

type Task = fn(&File);

/// Prepares a file, lets the tasks loose on it, and judges what is left.
fn scenario(config: Config, prepare: Task, tasks: &[Task]) -> Arc<File> {
    let file = File::new(config);
    prepare(&file);
    threads::run_all(&file, tasks);
    finish(&file);
    file
}

fn times(n: usize) -> usize {
    let factor = std::env::var("SHUTTLE_TIMES")
        .ok()
        .and_then(|s| s.parse().ok());
    n * factor.unwrap_or(1)
}

/// Of two tasks that leave nothing to chance all interleavings; else random schedules, and such with
/// few but nasty switches. Returns how many re-checks failed.
fn explore(config: Config, prepare: Task, tasks: &'static [Task]) -> u32 {
    let retries = std::sync::Arc::new(AtomicU32::new(0));
    let all = retries.clone();
    let run = move || {
        let file = scenario(config, prepare, tasks);
        all.fetch_add(file.retries.load(Ordering::Relaxed), Ordering::Relaxed);
    };
    if tasks.len() == 2 && config.fail_one_in == 0 && !config.fail_memory {
        explore::report(&explore::all_interleavings(run));
    } else {
        shuttle::check_random(run.clone(), times(400));
        shuttle::check_pct(run, times(400), 3);
        explore::report(&format_args!("{} schedules by chance", times(800)));
    }
    retries.load(Ordering::Relaxed)
}

fn three_delayed(file: &File) {
    write(file, 0..3, 1, 3);
}

/// The race of the review mail.
const TRUNCATE: &[Task] = &[writeback, |f| truncate(f, 1)];

#[test]
fn writeback_against_truncate() {
    let retries = explore(Config::default(), three_delayed, TRUNCATE);
    assert!(retries > 0, "the race was never met");
}

/// What the model is worth: without the re-check it must find the leak.
#[test]
fn the_recheck_is_missed_when_it_is_gone() {
    let config = Config {
        skip_recheck: true,
        ..Config::default()
    };
    let words = explore::failure_of(|| {
        explore(config, three_delayed, TRUNCATE);
    });
    assert!(
        words.contains("reservations do not balance"),
        "without the re-check: {words}"
    );
}

#[test]
fn writeback_against_punch() {
    explore(
        Config::default(),
        three_delayed,
        &[writeback, |f| punch(f, 1..2)],
    );
}

#[test]
fn a_crash_at_any_time_shows_no_garbage() {
    explore(Config::default(), three_delayed, &[writeback, crash]);
}

#[test]
fn writeback_against_write() {
    explore(
        Config::default(),
        |f| write(f, 0..2, 1, 2),
        &[writeback, |f| write(f, 1..3, 2, 2)],
    );
}

#[test]
fn writeback_against_short_write() {
    explore(
        Config::default(),
        |f| write(f, 0..1, 1, 1),
        &[writeback, |f| write(f, 0..4, 2, 2)],
    );
}

#[test]
fn writeback_against_truncate_and_write_again() {
    explore(
        Config::default(),
        |f| write(f, 0..2, 1, 2),
        &[writeback, |f| {
            truncate(f, 1);
            write(f, 1..2, 2, 1);
        }],
    );
}

#[test]
fn two_writebacks_against_punch_in_short_transactions() {
    let config = Config {
        short_transactions: true,
        max_run: 2,
        ..Config::default()
    };
    explore(
        config,
        three_delayed,
        &[writeback, writeback, |f| punch(f, 0..2)],
    );
}

#[test]
fn reads_shrinking_and_reclaim_in_between() {
    let config = Config {
        short_transactions: true,
        ..Config::default()
    };
    explore(
        config,
        three_delayed,
        &[
            writeback,
            |f| truncate(f, 1),
            |f| {
                shrink(f, 2);
                reclaim(f, 0);
                read(f, 0);
                read(f, 2);
            },
        ],
    );
}

#[test]
fn reports_between_the_transactions_of_a_truncate() {
    let config = Config {
        short_transactions: true,
        ..Config::default()
    };
    explore(
        config,
        |f| {
            three_delayed(f);
            writeback(f);
            shrink(f, 9);
        },
        &[
            |f| truncate(f, 0),
            |f| (0..3).for_each(|block| report(f, block)),
        ],
    );
}

#[test]
fn moves_against_writeback_faults_and_reports() {
    for short_transactions in [false, true] {
        let config = Config {
            short_transactions,
            max_run: 2,
            folios: 6,
            ..Config::default()
        };
        explore(
            config,
            three_delayed,
            &[
                |f| {
                    insert(f, 1, 2);
                    collapse(f, 0..1);
                },
                writeback,
                |f| (0..3).for_each(|block| fault(f, block, 3)),
                |f| (0..4).for_each(|block| report(f, block)),
            ],
        );
    }
}

#[test]
fn zeros_against_writeback_and_faults() {
    for short_transactions in [false, true] {
        let config = Config {
            short_transactions,
            ..Config::default()
        };
        explore(
            config,
            three_delayed,
            &[
                |f| zero(f, 1..3),
                writeback,
                |f| (0..3).for_each(|block| fault(f, block, 3)),
                |f| (0..3).for_each(|block| read(f, block)),
            ],
        );
    }
}

#[test]
fn dirty_data_over_a_hole_gets_no_block() {
    explore(
        Config::default(),
        |f| write(f, 0..1, 1, 1),
        &[writeback, |f| store_past_end_then_grow(f, 1)],
    );
}

#[test]
fn preallocation_against_writeback_and_truncate() {
    let config = Config {
        max_run: 1,
        ..Config::default()
    };
    explore(
        config,
        three_delayed,
        &[writeback, |f| preallocate(f, 1..4), |f| truncate(f, 2)],
    );
}

#[test]
fn faults_against_write_preallocation_and_writeback() {
    let retries = explore(
        Config::default(),
        |f| {
            write(f, 3..4, 1, 1);
        },
        &[
            |f| {
                write(f, 0..2, 2, 2);
                preallocate(f, 0..3);
            },
            |f| (0..3).for_each(|block| fault(f, block, 3)),
            writeback,
        ],
    );
    assert!(retries > 0, "the race was never met");
}

#[test]
fn a_full_device_waits_for_the_commit_that_frees() {
    let config = Config {
        device: 4,
        ..Config::default()
    };
    explore(
        config,
        |f| {
            write(f, 0..4, 1, 4);
            writeback(f);
        },
        &[
            |f| {
                truncate(f, 1);
                write(f, 1..4, 2, 3);
            },
            writeback,
        ],
    );
}

#[test]
fn a_failing_tree_leaves_true_books() {
    let config = Config {
        fail_one_in: 3,
        ..Config::default()
    };
    // What could not be written back stays dirty and delayed, and goes with the eviction.
    explore(
        config,
        three_delayed,
        &[writeback, writeback, |f| truncate(f, 2)],
    );
}

#[test]
fn lack_of_memory_leaves_true_books() {
    let config = Config {
        fail_memory: true,
        folios: 8,
        ..Config::default()
    };
    explore(
        config,
        |f| {
            for block in [0, 2, 4, 6] {
                write(f, block..block + 1, 1, 1);
            }
        },
        &[
            writeback,
            |f| {
                write(f, 1..6, 2, 4);
                punch(f, 2..4);
            },
            |f| {
                shrink(f, 3);
                truncate(f, 5);
            },
        ],
    );
}
