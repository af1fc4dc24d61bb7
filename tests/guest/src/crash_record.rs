// SPDX-License-Identifier: GPL-2.0

//! Carries out a plan while the host records the writes to the disk, and puts marks among them.

use anyhow::{bail, ensure, Context, Result};
use guest::direct::Aligned;
use guest::world::op::Actor;
use guest::world::{directory, sql, Mark, Plan};
use std::fs;
use std::path::Path;
use std::thread;

/// Runs `plan` (JSON) below `dir`, with marks on `device` from byte `marks_at` on.
pub fn run(plan: &str, dir: &Path, device: &Path, marks_at: u64) -> Result<()> {
    let plan: Plan = serde_json::from_str(plan)?;
    let marks = Marks {
        disk: Aligned::open(device)?,
        at: marks_at,
    };
    match &plan {
        Plan::Random { tasks, .. } => thread::scope(|scope| {
            let (plan, marks) = (&plan, &marks);
            let tasks: Vec<_> = (0..*tasks)
                .map(|world| scope.spawn(move || follow(plan, marks, dir, world)))
                .collect();
            for task in tasks {
                match task.join() {
                    Ok(result) => drop(result?),
                    Err(_) => bail!("a task panicked"),
                }
            }
            Ok(())
        })?,
        Plan::Ace { .. } => {
            for world in 0..plan.worlds() {
                let last = follow(&plan, &marks, dir, world)?;
                marks.put(Mark { over: true, ..last })?;
                fs::remove_dir_all(dir.join(directory(world)))?;
            }
        }
        Plan::Sql { wal, transactions } => transact(&marks, dir, *wal, *transactions)?,
    }
    println!("{} worlds", plan.worlds());
    Ok(())
}

struct Marks {
    disk: Aligned,
    at: u64,
}

impl Marks {
    fn put(&self, mark: Mark) -> Result<()> {
        let at = self.at + mark.place();
        self.disk.write(&mark.bytes(), at).context("a mark")
    }
}

/// Between two operations one has ended and the next one has as good as begun.
fn between(world: u32, ended: u32, more: bool) -> Mark {
    Mark {
        world,
        begun: ended + u32::from(more),
        ended,
        over: false,
    }
}

/// Carries out all operations of a world; returns the last mark.
fn follow(plan: &Plan, marks: &Marks, dir: &Path, world: u32) -> Result<Mark> {
    let ops = plan.ops(world);
    ensure!(!ops.is_empty(), "world {world} has no operations");
    let mut actor = Actor::new(world, &dir.join(directory(world)))?;
    // the directory itself is no operation: it has to be there
    rustix::fs::syncfs(fs::File::open(dir)?)?;
    let mut mark = between(world, 0, true);
    marks.put(mark)?;
    for (i, op) in ops.iter().enumerate() {
        let number = u32::try_from(i)?;
        actor
            .act(number, op)
            .with_context(|| format!("operation {i} of world {world}, {op:?}"))?;
        mark = between(world, number + 1, i + 1 < ops.len());
        marks.put(mark)?;
    }
    Ok(mark)
}

fn transact(marks: &Marks, dir: &Path, wal: bool, transactions: u32) -> Result<()> {
    let own = dir.join(directory(0));
    fs::create_dir(&own)?;
    rustix::fs::syncfs(fs::File::open(dir)?)?;
    marks.put(between(0, 0, true))?;
    let mut db = sql::Database::open(&own)?;
    db.run(&sql::stage(wal))?;
    for n in 1..=transactions {
        marks.put(between(0, n, true))?;
        let said = db.run(&sql::transaction(n))?;
        ensure!(said.is_empty(), "transaction {n}: {said:?}");
    }
    marks.put(between(0, transactions + 1, false))?;
    db.close()
}
