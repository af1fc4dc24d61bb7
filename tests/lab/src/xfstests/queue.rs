// SPDX-License-Identifier: GPL-2.0

//! What is still to be run, handed out in batches, and how long that takes.

use super::record::{Outcome, Results};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A batch is about this long.
const BATCH_SECONDS: f64 = 120.0;
const BATCH_TESTS: usize = 20;
/// Guess for a test of which nothing is known.
const UNKNOWN_SECONDS: f64 = 30.0;

struct Item {
    config: usize,
    test: String,
    /// It was not run elsewhere, so probably cannot be here.
    idle: bool,
    expected: f64,
}

/// Tests to run, those that are expected to be short first, and those that
/// will tell least last: so most of the answer is there early.
pub struct Queue {
    waiting: VecDeque<Item>,
    pub total: usize,
    pub done: usize,
    begun: Instant,
    expected_done: f64,
}

/// Tests of one configuration.
pub struct Batch {
    /// Index of the configuration.
    pub config: usize,
    pub tests: Vec<String>,
}

impl Queue {
    /// `tests` are pairs of a configuration's index and a test; `earlier`
    /// knows how long tests took elsewhere.
    pub fn new(tests: Vec<(usize, String)>, earlier: &Results) -> Self {
        let known = |test: &str| {
            let seconds = earlier.all().filter(|r| r.test == test).map(|r| r.seconds);
            seconds.fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))))
        };
        let mut items: Vec<Item> = tests
            .into_iter()
            .map(|(config, test)| Item {
                config,
                idle: (earlier.all()).any(|r| r.test == test && r.outcome == Outcome::NotRun),
                expected: known(&test).unwrap_or(UNKNOWN_SECONDS),
                test,
            })
            .collect();
        items.sort_by(|a, b| {
            let order = (a.config, a.idle).cmp(&(b.config, b.idle));
            order.then(a.expected.total_cmp(&b.expected))
        });
        Self {
            total: items.len(),
            waiting: items.into(),
            done: 0,
            begun: Instant::now(),
            expected_done: 0.0,
        }
    }

    pub fn next_batch(&mut self) -> Option<Batch> {
        let config = self.waiting.front()?.config;
        let mut batch = Batch {
            config,
            tests: Vec::new(),
        };
        let mut seconds = 0.0;
        while let Some(item) = self.waiting.front() {
            let full = seconds >= BATCH_SECONDS || batch.tests.len() >= BATCH_TESTS;
            if item.config != config || full {
                break;
            }
            seconds += item.expected;
            self.expected_done += item.expected;
            batch.tests.extend(self.waiting.pop_front().map(|i| i.test));
        }
        Some(batch)
    }

    /// Puts tests back that were not begun.
    pub fn put_back(&mut self, config: usize, tests: Vec<String>) {
        for test in tests.into_iter().rev() {
            self.waiting.push_front(Item {
                config,
                test,
                idle: false,
                expected: UNKNOWN_SECONDS,
            });
        }
    }

    /// How long the rest takes, going by how the expectations held so far.
    pub fn left(&self) -> Duration {
        let rest: f64 = self.waiting.iter().map(|i| i.expected).sum();
        let pace = if self.expected_done > 0.0 {
            self.begun.elapsed().as_secs_f64() / self.expected_done
        } else {
            1.0
        };
        Duration::from_secs_f64(rest * pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xfstests::record::Record;

    #[test]
    fn short_tests_come_first_and_what_was_not_begun_again() {
        let mut earlier = Results::default();
        for (test, outcome, seconds) in [
            ("a/1", Outcome::Passed, 300.0),
            ("a/2", Outcome::Failed, 5.0),
            ("a/3", Outcome::Passed, 6.0),
            ("a/4", Outcome::NotRun, 1.0),
        ] {
            earlier.insert(Record {
                config: "4k".into(),
                test: test.into(),
                outcome,
                seconds,
                note: String::new(),
                trouble: Vec::new(),
            });
        }
        let tests = ["a/1", "a/2", "a/3", "a/4"]
            .map(|t| (0, t.to_owned()))
            .to_vec();
        let mut queue = Queue::new(tests, &earlier);
        let batch = queue.next_batch().unwrap();
        assert_eq!(batch.tests, ["a/2", "a/3", "a/1"]);
        assert_eq!(queue.next_batch().unwrap().tests, ["a/4"]);
        assert!(queue.next_batch().is_none());
        queue.put_back(0, vec!["a/3".into(), "a/1".into()]);
        assert_eq!(queue.next_batch().unwrap().tests, ["a/3", "a/1"]);
    }
}
