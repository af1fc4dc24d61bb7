// SPDX-License-Identifier: GPL-2.0

//! Named tests, run one after the other, and what came of them.

use anyhow::Result;

/// How the tests ended so far.
#[derive(Default)]
pub struct Verdicts {
    pub passed: u32,
    pub failed: Vec<&'static str>,
}

impl Verdicts {
    /// Says how the test `name` went, and counts it.
    pub fn add(&mut self, name: &'static str, result: Result<()>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name}");
            }
            Err(e) => {
                self.failed.push(name);
                println!("FAILED {name}: {e:#}");
            }
        }
    }
}
