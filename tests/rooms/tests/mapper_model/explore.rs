// SPDX-License-Identifier: GPL-2.0

//! All interleavings of a model's tasks: an explorer with a memory.
//!
//! The tasks of a model meet at what they share ([`super::shared`]). Before each access the
//! explorer chooses who goes on, and in the end it has chosen everybody everywhere. What lies
//! between two accesses of a task is its own affair: when it happens makes no difference to the
//! others, and neither does when a lock is released, only who takes it next.
//!
//! A moment that it has been to it does not go on from again. Moments are told apart by hashes of
//! 64 bits, of some 10,000 to 1,000,000 moments.

use super::shared::Register;
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::HashMap;
use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

/// What an exploration has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explored {
    /// How many ways there are for the tasks to take turns: schedules from beginning to end.
    pub schedules: f64,
    /// How many moments at which there is a choice.
    pub moments: usize,
    /// How many executions that took.
    pub executions: usize,
}

impl std::fmt::Display for Explored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            schedules,
            moments,
            executions,
        } = self;
        if *schedules < 1e6 {
            write!(f, "all {schedules} schedules")?;
        } else {
            write!(f, "all {schedules:.1e} schedules")?;
        }
        write!(f, " ({moments} moments, {executions} executions)")
    }
}

/// A moment at which there was a choice, on the way to where the execution is.
struct Choice {
    moment: u64,
    options: Vec<TaskId>,
    chosen: usize,
    /// Schedules from here on, of the options that are done.
    schedules: f64,
}

#[derive(Default)]
struct Explorer {
    path: Vec<Choice>,
    /// How much of the path the execution has come.
    depth: usize,
    known: HashMap<u64, f64>,
    /// Schedules from where the execution has ended: one, if it came to its end.
    ended_at: f64,
    found: Explored,
    result: Arc<Mutex<Explored>>,
}

impl Explorer {
    /// Takes the next option at the last choice that has one left. False if there is none.
    fn turn_back(&mut self) -> bool {
        let mut schedules = self.ended_at;
        while let Some(choice) = self.path.last_mut() {
            choice.schedules += schedules;
            choice.chosen += 1;
            if choice.chosen < choice.options.len() {
                return true;
            }
            schedules = choice.schedules;
            self.known.insert(choice.moment, schedules);
            self.path.pop();
        }
        self.found.schedules = schedules;
        false
    }
}

impl Scheduler for Explorer {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.found.executions > 0 && !self.turn_back() {
            self.found.moments = self.known.len();
            *self.result.lock().unwrap() = self.found;
            return None;
        }
        self.found.executions += 1;
        self.depth = 0;
        self.ended_at = 1.0;
        Register::clear();
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let runnable = runnable.iter().map(|task| task.id());
        let (on_its_way, options) = Register::with(|register| {
            let at_point = register.take_point();
            // One that is not at a point (it begins, or another one that it waited for has ended)
            // comes to its next one, which nobody notices.
            let stays = current.filter(|id| !at_point && runnable.clone().any(|r| r == *id));
            let mut others = runnable.clone();
            let on_its_way =
                stays.or_else(|| others.find(|id| register.is_on_its_way((*id).into())));
            if on_its_way.is_some() {
                return (on_its_way, Vec::new());
            }
            let can_go_on = |id: &TaskId| register.can_go_on((*id).into());
            (None, runnable.clone().filter(can_go_on).collect())
        });
        if on_its_way.is_some() {
            return on_its_way;
        }
        match options.as_slice() {
            [] => panic!("deadlock"),
            [only] => return Some(*only),
            _ => {}
        }
        let moment = Register::with(|register| register.moment());
        match self.path.get(self.depth) {
            Some(choice) => assert_eq!(choice.moment, moment, "the model is left to chance"),
            None => {
                if let Some(&schedules) = self.known.get(&moment) {
                    self.ended_at = schedules;
                    return None;
                }
                self.path.push(Choice {
                    moment,
                    options,
                    chosen: 0,
                    schedules: 0.0,
                });
            }
        }
        let choice = &self.path[self.depth];
        self.depth += 1;
        Some(choice.options[choice.chosen])
    }

    fn next_u64(&mut self) -> u64 {
        panic!("the model is left to chance");
    }
}

/// Says what was explored in a test, also where the test's output is kept back.
pub fn report(explored: &dyn std::fmt::Display) {
    let test = std::thread::current().name().unwrap_or("main").to_owned();
    let line = format!("{test}: {explored}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Executes `model` in every way that its tasks can take turns.
pub fn all_interleavings(model: impl Fn() + Send + Sync + 'static) -> Explored {
    let explorer = Explorer::default();
    let result = explorer.result.clone();
    Register::set_exploring(true);
    let reset = Reset;
    shuttle::Runner::new(explorer, shuttle::Config::new()).run(model);
    drop(reset);
    let found = *result.lock().unwrap();
    found
}

/// What a model that must fail says when it does; nothing, if it does not fail.
pub fn failure_of(model: impl FnOnce()) -> String {
    let Err(said) = catch_unwind(AssertUnwindSafe(model)) else {
        return String::new();
    };
    let text = said.downcast_ref::<&str>().map(|s| String::from(*s));
    let text = text.or_else(|| said.downcast_ref::<String>().cloned());
    text.expect("a panic with words")
}

/// Also when the model has failed, others may run in this thread.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        Register::set_exploring(false);
    }
}
