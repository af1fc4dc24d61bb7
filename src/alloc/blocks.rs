// SPDX-License-Identifier: GPL-2.0

//! Allocating and freeing runs of blocks.
//!
//! The search keeps a file in few pieces: it takes the goal itself if it can, else a run of the
//! whole length near the goal in its group, else such a run in a later group, else the longest it
//! met. Groups that their summary rules out are passed without a lock, and only so many groups
//! are looked at before the search settles for less.

use super::bits::BitRun;
use super::counters::{Claimant, Counters};
use super::group::{Choice, Chosen, Part, Trouble};
use super::place::round;
use super::table::{freed_or_leaked, locked, GroupTable, Numbered, Summary};
use crate::format::units::{GroupNumber, PhysicalBlock};
use crate::format::{Geometry, Problem};
use crate::store::Transaction;
use kernel::prelude::*;

/// How many groups are locked (and their bitmaps read) in the hope of a long run.
const MAX_LOOKS: u32 = 64;

/// A run of blocks on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first block.
    pub start: PhysicalBlock,
    /// How many blocks.
    pub len: u32,
}

/// Where the blocks of a request come from in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The caller has set aside at least `want` blocks with [`Counters::reserve`]; as many as are
    /// allocated are claimed from that.
    Delayed,
    /// Nothing is set aside yet.
    Now(Claimant),
}

/// A request for blocks.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Where the run should begin: see [`block_goal`](super::block_goal).
    pub goal: PhysicalBlock,
    /// The goal directly follows a block of the same file, so that even one block there is worth
    /// more than a longer run elsewhere.
    pub contiguous: bool,
    /// How many blocks; fewer may come.
    pub want: u32,
    /// The fewest that are of use; at least 1.
    pub min: u32,
    /// How they are paid for.
    pub space: Space,
}

/// Blocks set aside for one allocation; gives back what was not used.
struct SetAside<'a> {
    counters: &'a Counters,
    left: u32,
}

impl<'a> SetAside<'a> {
    /// Sets aside as many blocks as there are, between `min` and `want`.
    fn new(counters: &'a Counters, min: u32, want: u32, claimant: Claimant) -> Result<Self> {
        let mut left = want;
        while let Err(error) = counters.reserve(left, claimant) {
            if left <= min {
                return Err(error);
            }
            left = (left / 2).max(min);
        }
        Ok(Self { counters, left })
    }

    fn claim(&mut self, blocks: u32) {
        self.counters.claim(blocks);
        self.left = self.left.saturating_sub(blocks);
    }
}

impl Drop for SetAside<'_> {
    fn drop(&mut self) {
        self.counters.unreserve(self.left);
    }
}

/// Allocates a run of blocks within one group, in the running transaction.
///
/// Dirties at most [`BLOCK_CREDITS`](super::BLOCK_CREDITS) blocks.
///
/// # Errors
///
/// `ENOSPC`: not `min` blocks in a row. If [`Counters::uncommitted`] is not zero then, forcing a
/// commit may help. Otherwise what memory, device or journal say. Nothing is allocated.
pub fn allocate_blocks<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    request: Request,
) -> Result<Run> {
    let min = request.min.max(1);
    let want = request.want.max(min).min(table.geometry().blocks_per_group);
    let Space::Now(claimant) = request.space else {
        let run = search(table, tx, &request, min, want)?;
        table.counters().claim(run.len);
        return Ok(run);
    };
    let mut aside = SetAside::new(table.counters(), min, want, claimant)?;
    let run = search(table, tx, &request, min, aside.left)?;
    aside.claim(run.len);
    Ok(run)
}

fn search<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    request: &Request,
    min: u32,
    want: u32,
) -> Result<Run> {
    let geo = table.geometry();
    let goal = geo.group_of(request.goal);
    let (home, bit) = goal.unwrap_or((GroupNumber(0), 0));
    // A run of a quarter of a group is long enough not to leave the neighbourhood for.
    let enough = want.min((geo.blocks_per_group / 4).max(min));
    let choice = Choice {
        goal: bit,
        contiguous: request.contiguous && goal.is_some(),
        want,
        enough,
    };

    // The goal's own group, where even a short contiguous run is welcome.
    if let Looked::Taken(run) = look(table, tx, home, choice)? {
        return Ok(run);
    }
    let choice = Choice {
        goal: 0,
        contiguous: false,
        ..choice
    };
    let longest = match scan(table, tx, home, choice, MAX_LOOKS)? {
        Looked::Taken(run) => return Ok(run),
        Looked::Longest(longest) => longest,
    };
    // No such run, or none among the first so many groups: as good as the best one seen.
    for (enough, looks) in [(longest.clamp(min, enough), MAX_LOOKS), (min, u32::MAX)] {
        let choice = Choice { enough, ..choice };
        if let Looked::Taken(run) = scan(table, tx, home, choice, looks)? {
            return Ok(run);
        }
    }
    Err(ENOSPC)
}

/// What came of looking for a run.
enum Looked {
    Taken(Run),
    /// Nothing was long enough; no run that was met is longer than this.
    Longest(u32),
}

/// Looks at the groups from `home` round, at most `looks` of them.
fn scan<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    home: GroupNumber,
    choice: Choice,
    looks: u32,
) -> Result<Looked> {
    let groups = table.geometry().groups;
    let mut longest = 0;
    let mut looks_left = looks;
    for number in round(home.0, groups) {
        let group = GroupNumber(number);
        let bound = table.summary(group).map_or(0, Summary::longest);
        if bound < choice.enough {
            longest = longest.max(bound);
            continue;
        }
        match look(table, tx, group, choice)? {
            Looked::Longest(len) => longest = longest.max(len),
            taken => return Ok(taken),
        }
        looks_left = looks_left.saturating_sub(1);
        if looks_left == 0 {
            break;
        }
    }
    Ok(Looked::Longest(longest))
}

/// Tries to allocate from one group. A corrupt group has nothing to give, but fails nobody.
fn look<T: GroupTable, X: Transaction>(
    table: &T,
    tx: &mut X,
    group: GroupNumber,
    choice: Choice,
) -> Result<Looked> {
    let geo = table.geometry();
    let result = locked(table, group, Part::Blocks, |state, summary| {
        if state.available_blocks() == 0 {
            return Ok(Chosen::TooShort(0));
        }
        state.load(geo, table.zone(), tx)?;
        let chosen = state.choose(geo, choice);
        match chosen {
            Chosen::Run(run) => state.take(geo, tx, run)?,
            Chosen::TooShort(len) => summary.found_longest(len),
        }
        Ok(chosen)
    });
    match result {
        Ok(Chosen::Run(run)) => Ok(Looked::Taken(on_device(geo, group, run)?)),
        Ok(Chosen::TooShort(len)) => Ok(Looked::Longest(len)),
        Err(Trouble::Found(_)) => Ok(Looked::Longest(0)),
        Err(Trouble::Failed(error)) => Err(error),
    }
}

/// The blocks of a group's bits.
pub(super) fn on_device(geo: &Geometry, group: GroupNumber, run: BitRun) -> Result<Run> {
    let start = geo.group_start(group).ok_or(EFSCORRUPTED)?;
    let start = start.checked_add(run.start.into()).ok_or(EFSCORRUPTED)?;
    Ok(Run {
        start,
        len: run.len,
    })
}

/// Frees the blocks of `run`, which may span groups, in the running transaction.
///
/// Dirties [`BLOCK_CREDITS`](super::BLOCK_CREDITS) blocks for each group it touches. The blocks
/// count as free at once, and are handed out again after the commit
/// ([`release_committed`]). What lies in a group of which something is wrong, known already or
/// found and reported here, stays in use: leaked blocks harm nobody, and e2fsck finds them.
///
/// # Errors
///
/// `EFSCORRUPTED`, reported, where a block lies outside the file system or is metadata; else what
/// memory, device or journal say. Blocks in the groups before the one that failed are free then.
pub fn free_blocks<T: GroupTable, X: Numbered>(table: &T, tx: &mut X, run: Run) -> Result {
    free(table, tx, run, |blocks| table.counters().freed(blocks))
}

/// Takes back an allocation of this handle that went no further: the blocks are free, after the
/// commit like all freed ones, and set aside again as before [`Space::Delayed`]. For those that
/// stay in use others are set aside.
///
/// # Errors
///
/// As [`free_blocks`].
pub fn unallocate_blocks<T: GroupTable, X: Numbered>(table: &T, tx: &mut X, run: Run) -> Result {
    let mut kept = run.len;
    let result = free(table, tx, run, |blocks| {
        kept = kept.saturating_sub(blocks);
        table.counters().unclaim(blocks);
    });
    table.counters().replace(kept);
    result
}

fn free<T: GroupTable, X: Numbered>(
    table: &T,
    tx: &mut X,
    run: Run,
    mut account: impl FnMut(u32),
) -> Result {
    let geo = table.geometry();
    if !geo.contains(run.start, run.len.into()) {
        return Err(outside(table, run.start));
    }
    each_group(table, run, |group, bits, part| {
        if !table.may_hold_data(part) {
            let what = "freeing blocks that are metadata, from block";
            let problem = Problem::new(what, part.start.0);
            table.report(group, problem);
            return Err(problem.into());
        }
        if freed_or_leaked(table, group, Part::Blocks, |state| {
            state.load(geo, table.zone(), tx)?;
            let transaction = tx.number();
            state.give_back(geo, tx, bits, || table.note_freed(transaction, part))
        })? {
            account(part.len);
        }
        Ok(())
    })
}

/// The transaction that freed `run` has committed: its blocks can be handed out.
///
/// For the journal's commit callback, with what [`GroupTable::note_freed`] noted.
///
/// # Errors
///
/// `EFSCORRUPTED` for blocks outside the file system, which were never noted.
pub fn release_committed<T: GroupTable>(table: &T, run: Run) -> Result {
    each_group(table, run, |group, bits, part| {
        table.counters().committed(part.len);
        locked(table, group, Part::Blocks, |state, summary| {
            if state.is_corrupt(Part::Blocks) {
                table.counters().lost(part.len);
            }
            state.release(bits);
            summary.run_released(part.len);
            Ok(())
        })?;
        Ok(())
    })
}

fn outside<T: GroupTable>(table: &T, at: PhysicalBlock) -> Error {
    let problem = Problem::new("a run of blocks leaves the file system, from block", at.0);
    table.report(GroupNumber(0), problem);
    problem.into()
}

/// Calls `f` with the group, the group's bits and the blocks of each part of `run`.
fn each_group<T: GroupTable>(
    table: &T,
    run: Run,
    mut f: impl FnMut(GroupNumber, BitRun, Run) -> Result,
) -> Result {
    let geo = table.geometry();
    let mut rest = run;
    while rest.len > 0 {
        let Some((group, start)) = geo.group_of(rest.start) else {
            return Err(outside(table, rest.start));
        };
        let len = rest.len.min(geo.group_blocks(group).saturating_sub(start));
        let part = Run { len, ..rest };
        f(group, BitRun { start, len }, part)?;
        let next = rest.start.checked_add(len.into()).ok_or(EFSCORRUPTED)?;
        rest = Run {
            start: next,
            len: rest.len.saturating_sub(len),
        };
    }
    Ok(())
}
