// SPDX-License-Identifier: GPL-2.0

//! Completion: the data is on disk, so the blocks become written.

use super::env::{Event, MapperEnv, Operation};
use crate::errortag::Tag;
use crate::extent_status::Spare;
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// Makes the unwritten blocks of `range` written; others in it stay what they are.
///
/// Without a `handle`, one is started and stopped, and freed blocks that wait for a commit are
/// waited for where a split finds no space. One that the caller brings has credits for
/// [`Operation::Convert`] and may go on in a new transaction for a long range; what the caller
/// does under it afterwards (the on-disk size) comes later than the conversion, or with it.
///
/// Takes `i_data_sem`. Runs in task context. Removal drains completions of its range first, so
/// `range` does not shrink under it; if it has become a hole all the same, nothing is done.
///
/// # Errors
///
/// Those of tree and journal. What was converted until then stays so.
pub fn convert_unwritten<E: MapperEnv>(
    env: &E,
    range: Range<LogicalBlock>,
    handle: Option<&mut E::Handle>,
) -> Result {
    let converted = match handle {
        Some(handle) => convert(env, range.clone(), handle),
        None => convert_or_wait(env, &range),
    };
    env.observe(Event::Converted(&range, &converted));
    converted
}

/// With a handle of its own, again where a commit makes space.
fn convert_or_wait<E: MapperEnv>(env: &E, range: &Range<LogicalBlock>) -> Result {
    let mut attempts = 0;
    loop {
        let mut own = env.start_handle(Operation::Convert)?;
        let converted = convert(env, range.clone(), &mut own);
        let stopped = env.stop_handle(own);
        match converted.and(stopped) {
            Err(error) if error == ENOSPC && env.wait_for_space(attempts) => {
                attempts = attempts.saturating_add(1);
            }
            done => return done,
        }
    }
}

fn convert<E: MapperEnv>(
    env: &E,
    mut range: Range<LogicalBlock>,
    handle: &mut E::Handle,
) -> Result {
    while !range.is_empty() {
        env.errortag(Tag::Convert)?;
        let mut data = env.lock_write();
        let result = env.tree_convert(&mut data, handle, range.clone());
        let done = *result.as_ref().unwrap_or(&range.end);
        let part = range.start..done;
        // After an error part of it may be done. What the status tree cannot be told it forgets,
        // which cannot fail: none of these blocks is delayed, so the on-disk tree knows them.
        if result.is_err() || note_written(env, &part).is_err() {
            env.with_status(|tree| tree.forget(&part));
        }
        drop(data);
        let done = result?;
        if done >= range.end {
            break;
        }
        range.start = done;
        env.renew_handle(handle, Operation::Convert)?;
    }
    Ok(())
}

/// Tells the status tree, with `i_data_sem` held for write.
fn note_written<E: MapperEnv>(env: &E, range: &Range<LogicalBlock>) -> Result {
    let mut spare = Spare::new();
    while let Err(need) = env.with_status(|tree| tree.convert(range, &mut spare)) {
        spare.fill(need)?;
    }
    Ok(())
}
