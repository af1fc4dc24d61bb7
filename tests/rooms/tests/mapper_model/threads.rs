// SPDX-License-Identifier: GPL-2.0

//! Tasks of a model, each in a thread of shuttle's.

use shuttle::sync::Arc;
use shuttle::thread;

/// Lets the tasks loose on `file`, and waits for all of them.
pub fn run_all<F: Send + Sync + 'static>(file: &Arc<F>, tasks: &[fn(&F)]) {
    let threads: Vec<_> = tasks
        .iter()
        .map(|&task| {
            let file = file.clone();
            thread::spawn(move || task(&file))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
