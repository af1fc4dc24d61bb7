// SPDX-License-Identifier: GPL-2.0

//! [`map_blocks`]: look up, and where the intent asks for it, reserve or allocate.

use super::env::{Event, MapperEnv, Operation, Want};
use super::size::MAX_RUN;
use crate::errortag::Tag;
use crate::extent_status::{Extent, Spare, State, END_OF_FILE_SPACE};
use crate::format::units::LogicalBlock;
use core::ops::Range;
use kernel::prelude::*;

/// So many entries of one inode are enough, delayed ones aside: about 100 KiB.
const CACHE_LIMIT: usize = 4096;

/// What the blocks are wanted for. The tracepoints know the order (`src/bindings/trace.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Reading from the device: delayed blocks are as good as a hole.
    Read,
    /// Telling user space (FIEMAP, SEEK_HOLE), or deciding what to do: delayed blocks show.
    Report,
    /// A buffered write with delayed allocation: reserves space for a hole and makes it delayed.
    ReserveDelayed,
    /// Data submission: allocates unwritten blocks for delayed ones. Never for a hole: nothing
    /// was reserved for it, and data over it lies past the end of the file.
    Writeback,
    /// fallocate, direct I/O, buffered writes without delayed allocation: allocates unwritten
    /// blocks for holes and delayed blocks alike.
    AllocateUnwritten,
    /// Directories and symbolic links, whose content the journal carries: allocates blocks that
    /// count as written.
    AllocateWritten,
}

/// What is to be done where the lookup found this.
enum Step {
    Nothing,
    Reserve,
    Allocate,
}

impl Intent {
    /// An extent that is allocated already never takes a step, and so never a transaction.
    fn step(self, found: State) -> Step {
        match (self, found) {
            (_, State::Written(_) | State::Unwritten(_)) => Step::Nothing,
            (Self::ReserveDelayed, State::Hole) => Step::Reserve,
            (Self::Writeback, State::Delayed) => Step::Allocate,
            (Self::AllocateUnwritten | Self::AllocateWritten, _) => Step::Allocate,
            (Self::Read | Self::Report | Self::ReserveDelayed | Self::Writeback, _) => {
                Step::Nothing
            }
        }
    }
}

/// Which blocks, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// First block.
    pub start: LogicalBlock,
    /// How many blocks the caller has use for; it gets them in one or more mappings.
    pub len: u32,
    /// What for.
    pub intent: Intent,
}

impl MapRequest {
    fn range(&self) -> Range<LogicalBlock> {
        let end = LogicalBlock(self.start.0.saturating_add(self.len));
        self.start..end.min(END_OF_FILE_SPACE)
    }

    /// Whether nothing is left to be done where this was found.
    fn is_answered_by(&self, found: &Mapping) -> bool {
        matches!(self.intent.step(found.extent.state()), Step::Nothing)
    }
}

/// What the blocks are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// From the requested start on, not beyond the requested end: blocks of one state.
    pub extent: Extent,
    /// Whether this call reserved or allocated them.
    pub new: bool,
    /// The mapping is right for as long as `i_es_seq` is this: `iomap`'s validity cookie.
    pub sequence: u64,
}

/// Maps the blocks from `request.start` on, up to the end of the request or of the extent.
///
/// Without a `handle`, one is started if, and only if, blocks are allocated, and stopped before
/// this returns. With one, it has credits for [`Operation::Allocate`].
///
/// Takes `i_data_sem`; the caller holds neither it nor the ES lock.
///
/// # Errors
///
/// `EINVAL` for an empty request or one past the largest file; `ENOSPC`; those of tree and
/// journal. Nothing is reserved or allocated then.
#[inline(always)]
pub fn map_blocks<E: MapperEnv>(
    env: &E,
    request: MapRequest,
    handle: Option<&mut E::Handle>,
) -> Result<Mapping> {
    env.observe(Event::Asked(&request));
    let answer = match find_cached(env, request) {
        Some(found) if request.is_answered_by(&found) => Ok(found),
        found => map_or_wait(env, request, found, handle),
    };
    env.observe(Event::Answered(&request, &answer));
    answer
}

/// Takes the step, with a handle if one is needed, and waits for space where that may help. Apart,
/// so that an answer that is at hand does not pay for it. `found` is what the first look found.
#[inline(never)]
fn map_or_wait<E: MapperEnv>(
    env: &E,
    request: MapRequest,
    mut found: Option<Mapping>,
    mut handle: Option<&mut E::Handle>,
) -> Result<Mapping> {
    let mut attempts = 0;
    loop {
        let mut own = None;
        let result = map_with(env, request, found.take(), handle.as_deref_mut(), &mut own);
        let started = own.is_some();
        if let Some(own) = own {
            let stopped = env.stop_handle(own);
            if result.is_ok() {
                stopped?;
            }
        }
        // Waiting for a commit with a handle open would wait for oneself.
        let may_wait = handle.is_none() && (started || request.intent == Intent::ReserveDelayed);
        match result {
            Err(error) if error == ENOSPC && may_wait && env.wait_for_space(attempts) => {
                attempts = attempts.saturating_add(1);
            }
            result => return result,
        }
    }
}

/// As [`map_blocks`], without waiting for anything: `None` where the blocks are not cached, or a
/// step would have to be taken.
#[inline(always)]
pub fn map_cached<E: MapperEnv>(env: &E, request: MapRequest) -> Option<Mapping> {
    find_cached(env, request).filter(|found| request.is_answered_by(found))
}

/// What the status tree knows of the first block of `request`, and those behind it that are alike.
#[inline(always)]
fn find_cached<E: MapperEnv>(env: &E, request: MapRequest) -> Option<Mapping> {
    let (extent, sequence) = match env.recall(&request) {
        Some(found) => found,
        None => {
            let (extent, sequence) =
                env.with_status(|tree| Some((tree.lookup(request.start)?, tree.sequence())))?;
            env.remember(&request, &extent, sequence);
            (extent, sequence)
        }
    };
    answer(request, extent, sequence).ok()
}

/// Looks up, unless that was just done, and takes the step, again and again while others change the
/// blocks in between. Each turn means that somebody else got on.
fn map_with<E: MapperEnv>(
    env: &E,
    request: MapRequest,
    mut first: Option<Mapping>,
    mut handle: Option<&mut E::Handle>,
    own: &mut Option<E::Handle>,
) -> Result<Mapping> {
    loop {
        let found = match first.take() {
            Some(found) => found,
            None => look_up(env, request)?,
        };
        let step = request.intent.step(found.extent.state());
        if !matches!(step, Step::Nothing) {
            env.errortag(Tag::MapFound)?;
        }
        let done = match step {
            Step::Nothing => Some(found),
            Step::Reserve => reserve_delayed(env, &found)?,
            Step::Allocate => {
                // The handle comes before the semaphore. What was found may be stale by the time
                // that both are there: allocate() finds out.
                let handle = match (handle.as_deref_mut(), &mut *own) {
                    (Some(handle), _) | (None, Some(handle)) => handle,
                    (None, none) => none.insert(env.start_handle(Operation::Allocate)?),
                };
                allocate(env, handle, &found, request.intent)?
            }
        };
        if let Some(mapping) = done {
            return Ok(mapping);
        }
        env.observe(Event::Retry(&found));
    }
}

/// What the blocks are and the sequence for which that is true, without any lock left held.
fn look_up<E: MapperEnv>(env: &E, request: MapRequest) -> Result<Mapping> {
    let cached = env.with_status(|tree| Some((tree.lookup(request.start)?, tree.sequence())));
    let (extent, sequence) = match cached {
        Some(found) => found,
        None if request.range().is_empty() => return Err(EINVAL),
        None => look_up_on_disk(env, request.start)?,
    };
    answer(request, extent, sequence)
}

/// What `extent` says about the blocks that were asked for.
#[inline]
fn answer(request: MapRequest, extent: Extent, sequence: u64) -> Result<Mapping> {
    let mut extent = extent.trim(&request.range()).ok_or(EINVAL)?;
    if request.intent == Intent::Read && extent.is_delayed() {
        extent = Extent::over(&extent.range(), State::Hole).ok_or(EINVAL)?;
    }
    Ok(Mapping {
        extent,
        new: false,
        sequence,
    })
}

/// Asks the on-disk tree, and caches the answer before it can become stale.
fn look_up_on_disk<E: MapperEnv>(env: &E, at: LogicalBlock) -> Result<(Extent, u64)> {
    let data = env.lock_read();
    let on_disk = env.tree_lookup(&data, at)?;
    let mut spare = Spare::new();
    loop {
        // Since the semaphore is held, nobody can have changed a block after the tree was read.
        // Somebody may have cached it meanwhile, which makes no difference; or the status tree
        // knew it all the time, if the blocks became delayed before the semaphore was taken: then
        // it is right, and the hole on disk is what is under them.
        let (answer, sequence, need) = env.with_status(|tree| {
            if tree.len() > CACHE_LIMIT {
                tree.shrink(tree.len().saturating_sub(CACHE_LIMIT));
            }
            let need = tree.cache(on_disk, at, &mut spare).err();
            // What lies around `at` uncached is as the on-disk tree says, as far as it goes.
            let answer = tree.lookup(at).or_else(|| tree.uncached(on_disk, at));
            (answer, tree.sequence(), need)
        });
        match need {
            // Caching is no duty: without memory the answer is still right.
            Some(need) if spare.fill(need).is_ok() => {}
            _ => return Ok((answer.ok_or(EINVAL)?, sequence)),
        }
    }
}

/// Blocks reserved in the file system's books that no delayed extent accounts for yet. Given back
/// unless they are spent.
struct SetAside<'a, E: MapperEnv> {
    env: &'a E,
    blocks: u32,
}

impl<'a, E: MapperEnv> SetAside<'a, E> {
    /// Reserves `want` blocks, or as many as a few attempts with half of them find.
    fn new(env: &'a E, want: u32) -> Result<Self> {
        let mut blocks = want;
        while let Err(error) = env.reserve(blocks) {
            blocks /= 2;
            if blocks == 0 {
                return Err(error);
            }
        }
        Ok(Self { env, blocks })
    }

    /// For blocks which their delayed extent accounts for.
    fn nothing(env: &'a E) -> Self {
        Self { env, blocks: 0 }
    }

    fn spend(&mut self, blocks: u32) {
        self.blocks = self.blocks.saturating_sub(blocks);
    }
}

impl<E: MapperEnv> Drop for SetAside<'_, E> {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.env.unreserve(self.blocks);
        }
    }
}

/// Makes the hole that was found delayed; `None` where it is no longer what was found.
fn reserve_delayed<E: MapperEnv>(env: &E, found: &Mapping) -> Result<Option<Mapping>> {
    let data = env.lock_write();
    if !env.unchanged(&data, found.sequence) {
        return Ok(None);
    }
    let hole = found.extent;
    let mut aside = SetAside::new(env, hole.len())?;
    let extent = Extent::new(hole.start(), aside.blocks, State::Delayed).ok_or(EINVAL)?;
    let (change, sequence) = insert_status(env, extent, &mut Spare::new())?;
    // From here on the delayed extent accounts for them.
    aside.spend(change.added);
    Ok(Some(Mapping {
        extent,
        new: true,
        sequence,
    }))
}

/// Allocates blocks for the delayed blocks or the hole that was found; `None` where they are no
/// longer what was found.
fn allocate<E: MapperEnv>(
    env: &E,
    handle: &mut E::Handle,
    found: &Mapping,
    intent: Intent,
) -> Result<Option<Mapping>> {
    let mut data = env.lock_write();
    if !env.unchanged(&data, found.sequence) {
        return Ok(None);
    }
    // Now what was found is the truth, and stays it until the semaphore is dropped.
    env.errortag(Tag::MapAllocate)?;
    let blank = found.extent;
    let mut want = Want {
        at: blank.start(),
        goal: None,
        contiguous: false,
        len: blank.len().min(MAX_RUN),
    };
    // What can fail comes first: memory, then space.
    let mut spare = Spare::new();
    spare.fill(env.with_status(|tree| tree.need(&blank.range())))?;
    aim(env, &data, &mut want)?;
    let mut aside = if blank.is_delayed() {
        SetAside::nothing(env)
    } else {
        SetAside::new(env, want.len)?
    };
    if !blank.is_delayed() {
        want.len = aside.blocks;
    }
    let run = env.allocate(&mut data, handle, want)?;
    let state = match intent {
        Intent::AllocateWritten => State::Written(run.start),
        _ => State::Unwritten(run.start),
    };
    let extent = Extent::new(want.at, run.len, state).filter(|e| e.len() <= want.len);
    let inserted = match extent {
        Some(extent) => {
            let promised = blank.is_delayed();
            let inserted = env.tree_insert(&mut data, handle, extent, promised);
            inserted.map(|()| extent)
        }
        None => Err(EINVAL),
    };
    let extent = match inserted {
        Ok(extent) => extent,
        Err(error) => {
            // Delayed blocks stay delayed and reserved, a hole's reservation goes with `aside`.
            env.unallocate(&mut data, handle, run);
            return Err(error);
        }
    };
    // The allocation claimed this many: for a hole of what was set aside just now, for delayed
    // blocks of what the delayed extent stood for, which the insertion takes away.
    aside.spend(extent.len());
    let (_, sequence) = insert_status(env, extent, &mut spare)?;
    Ok(Some(Mapping {
        extent,
        new: true,
        sequence,
    }))
}

/// Aims behind the extent before: in the status tree, which is at hand, or else on disk.
fn aim<E: MapperEnv>(env: &E, data: &E::Data, want: &mut Want) -> Result {
    let Some(before) = want.at.checked_sub(1) else {
        return Ok(());
    };
    let allocated = |e: &Extent| e.state().physical().is_some();
    let previous = match env.with_status(|tree| tree.allocated_before(want.at)) {
        Some(extent) => extent,
        None => match env.tree_lookup(data, before)? {
            extent if allocated(&extent) => extent,
            // A hole: what ends where it begins.
            hole => match hole.start().checked_sub(1) {
                Some(before) => env.tree_lookup(data, before)?,
                None => return Ok(()),
            },
        },
    };
    want.contiguous = allocated(&previous) && previous.end() == want.at;
    want.goal = previous.state().physical().and_then(|place| {
        let distance = want.at.distance_from(previous.start())?;
        place.checked_add(u64::from(distance))
    });
    Ok(())
}

/// Inserts into the status tree with memory that was got before, under `i_data_sem` for write,
/// where it suffices.
fn insert_status<E: MapperEnv>(
    env: &E,
    extent: Extent,
    spare: &mut Spare,
) -> Result<(crate::extent_status::Change, u64)> {
    loop {
        let inserted = env.with_status(|tree| {
            let change = tree.insert(extent, spare)?;
            Ok((change, tree.sequence()))
        });
        match inserted {
            Ok(done) => return Ok(done),
            Err(need) => spare.fill(need)?,
        }
    }
}
