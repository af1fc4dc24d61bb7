// SPDX-License-Identifier: GPL-2.0

//! The model: one file on a small device, with a journal and a page cache of one-block folios.
//!
//! Its locks are those of the kernel side, under shuttle's scheduler: `i_data_sem`, the ES lock,
//! folio locks, inode rwsem, invalidate_lock, and a journal whose commit waits for every handle
//! and holds off new ones. Block contents are numbers: 0 reads as zeroes, [`GARBAGE`] is what a
//! block holds when it is allocated.

use kernel::prelude::*;
use rooms::extent_status::{Extent, State, StatusTree, END_OF_FILE_SPACE};
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use rooms::mapper::{Event, Intent, MapRequest, MapperEnv, Operation, Recent, Run, Shift, Want};
use shuttle::rand::Rng;
use shuttle::sync::Arc;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::shared::{Atomic, Mutex, ReadGuard, RwLock, WriteGuard};

pub const GARBAGE: u64 = u64::MAX;

#[derive(Clone, Copy)]
pub struct Config {
    /// Blocks of the device.
    pub device: usize,
    /// Blocks of the file that the page cache can hold.
    pub folios: usize,
    /// The longest run that the allocator gives.
    pub max_run: u32,
    /// A transaction is full after one removed or converted block.
    pub short_transactions: bool,
    /// One of so many changes of the on-disk tree fails; 0: none.
    pub fail_one_in: u32,
    /// Allocations of memory fail now and then.
    pub fail_memory: bool,
    /// The protective step removed: the re-check always passes.
    pub skip_recheck: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device: 16,
            folios: 4,
            max_run: u32::MAX,
            short_transactions: false,
            fail_one_in: 0,
            fail_memory: false,
            skip_recheck: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    pub place: usize,
    pub written: bool,
}

/// What `i_data_sem` protects: the on-disk tree, block by block.
#[derive(Default, Hash)]
pub struct Tree(pub BTreeMap<u32, Block>);

impl Tree {
    /// Maximal extent or hole around `at`.
    fn lookup(&self, at: u32) -> Extent {
        let Some(&here) = self.0.get(&at) else {
            let start = self.0.range(..at).next_back().map_or(0, |(b, _)| b + 1);
            let end = self
                .0
                .range(at..)
                .next()
                .map_or(END_OF_FILE_SPACE.0, |(b, _)| *b);
            return Extent::new(LogicalBlock(start), end - start, State::Hole).unwrap();
        };
        let continues =
            |block: u32, place: usize| self.0.get(&block) == Some(&Block { place, ..here });
        let (mut start, mut place, mut end) = (at, here.place, at + 1);
        while start > 0 && place > 0 && continues(start - 1, place - 1) {
            (start, place) = (start - 1, place - 1);
        }
        while continues(end, here.place + (end - at) as usize) {
            end += 1;
        }
        let first = PhysicalBlock(place as u64);
        let state = if here.written {
            State::Written(first)
        } else {
            State::Unwritten(first)
        };
        Extent::new(LogicalBlock(start), end - start, state).unwrap()
    }
}

/// The allocator and the device.
#[derive(Hash)]
pub struct Space {
    pub used: Vec<bool>,
    /// Freed in the running transaction.
    pub freed: Vec<usize>,
    pub unclaimed: i64,
    pub reserved: i64,
    pub contents: Vec<u64>,
}

#[derive(Default, Hash)]
struct Running {
    handles: u32,
    committing: bool,
}

type Journal = Mutex<Running>;

pub struct Handle(Arc<Journal>);

impl Drop for Handle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.lock().handles -= 1;
        }
    }
}

/// The shipping status tree, which tells what it holds.
pub struct Status(StatusTree);

impl Hash for Status {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.sequence().hash(state);
        for extent in self.0.iter(LogicalBlock(0)..END_OF_FILE_SPACE) {
            let (at, len) = (extent.start().0, extent.len());
            let place = extent.state().physical().map(|place| place.0);
            (at, len, place, std::mem::discriminant(&extent.state())).hash(state);
            // What memory it has is of consequence, too.
            let need = self.0.need(&extent.range());
            need.is_nothing().hash(state);
        }
    }
}

/// What the shipping code remembers.
struct Remembered(Recent);

impl Hash for Remembered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.extent(), self.0.sequence()).hash(state);
    }
}

/// What a folio lock protects.
#[derive(Default, Hash)]
pub struct Page {
    pub present: bool,
    pub dirty: bool,
    pub content: u64,
}

#[derive(Default)]
pub struct Folio {
    pub page: Mutex<Page>,
    writeback: Mutex<bool>,
}

impl Folio {
    pub fn begin_writeback(&self) {
        let was = std::mem::replace(&mut *self.writeback.lock(), true);
        assert!(!was, "written back twice at a time");
    }

    pub fn end_writeback(&self) {
        *self.writeback.lock() = false;
    }

    pub fn wait_for_writeback(&self) {
        drop(self.writeback.lock_when(|writeback| !writeback));
    }
}

pub struct File {
    pub config: Config,
    pub data: RwLock<Tree>,
    status: Mutex<Status>,
    sequence: Atomic<u64>,
    pub space: Mutex<Space>,
    journal: Arc<Journal>,
    pub folios: Vec<Folio>,
    /// `i_size` in blocks.
    pub size: Atomic<u32>,
    /// What a buffered write found last.
    recent: Mutex<Remembered>,
    pub rwsem: Mutex<()>,
    pub invalidate: RwLock<()>,
    /// For the tests, not the tasks.
    pub retries: AtomicU32,
    pub handles: AtomicU32,
}

impl File {
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            data: RwLock::new(Tree::default()),
            status: Mutex::new(Status(StatusTree::new())),
            sequence: Atomic::new(0),
            space: Mutex::new(Space {
                used: vec![false; config.device],
                freed: Vec::new(),
                unclaimed: config.device as i64,
                reserved: 0,
                contents: vec![GARBAGE; config.device],
            }),
            journal: Arc::default(),
            folios: (0..config.folios).map(|_| Folio::default()).collect(),
            size: Atomic::new(0),
            recent: Mutex::new(Remembered(Recent::new())),
            rwsem: Mutex::new(()),
            invalidate: RwLock::new(()),
            retries: AtomicU32::new(0),
            handles: AtomicU32::new(0),
        })
    }

    /// `iomap_valid`: under a folio's lock, without any of the mapper's.
    pub fn valid(&self, sequence: u64) -> bool {
        self.sequence.load() == sequence
    }

    /// Waits until no handle runs; then freed blocks can be had again. True if there were any.
    pub fn commit(&self) -> bool {
        self.journal.lock_when(|r| !r.committing).committing = true;
        let mut running = self.journal.lock_when(|r| r.handles == 0);
        let freed = {
            let mut space = self.space.lock();
            let freed = std::mem::take(&mut space.freed);
            for &place in &freed {
                space.used[place] = false;
            }
            !freed.is_empty()
        };
        running.committing = false;
        freed
    }

    /// Makes the blocks of `range` written or unwritten, as far as a transaction goes.
    fn mark(
        &self,
        data: &mut Tree,
        range: Range<LogicalBlock>,
        written: bool,
    ) -> Result<LogicalBlock> {
        self.may_fail()?;
        for block in blocks(&range) {
            if let Some(found) = data.0.get_mut(&block) {
                found.written = written;
            }
            if self.config.short_transactions {
                return Ok(LogicalBlock(block + 1));
            }
        }
        Ok(range.end)
    }

    fn may_fail(&self) -> Result {
        let one_in = self.config.fail_one_in;
        if one_in > 0 && shuttle::rand::thread_rng().gen_ratio(1, one_in) {
            return Err(EIO);
        }
        Ok(())
    }
}

fn blocks(range: &Range<LogicalBlock>) -> Range<u32> {
    range.start.0..range.end.0
}

impl MapperEnv for File {
    type Handle = Handle;
    type Data = Tree;
    type Reading<'a> = ReadGuard<'a, Tree>;
    type Writing<'a> = WriteGuard<'a, Tree>;

    fn with_status<R>(&self, f: impl FnOnce(&mut StatusTree) -> R) -> R {
        let mut tree = self.status.lock();
        let before = tree.0.sequence();
        let result = f(&mut tree.0);
        if tree.0.sequence() != before {
            self.sequence.store(tree.0.sequence());
        }
        result
    }

    fn lock_read(&self) -> Self::Reading<'_> {
        self.data.read()
    }

    fn lock_write(&self) -> Self::Writing<'_> {
        self.data.write()
    }

    fn unchanged(&self, _held: &Tree, since: u64) -> bool {
        self.config.skip_recheck || self.with_status(|tree| tree.sequence()) == since
    }

    fn recall(&self, request: &MapRequest) -> Option<(Extent, u64)> {
        if request.intent != Intent::ReserveDelayed {
            return None;
        }
        let now = self.sequence.load();
        let extent = self.recent.lock().0.recall(request.start, now)?;
        Some((extent, now))
    }

    fn remember(&self, request: &MapRequest, extent: &Extent, sequence: u64) {
        if request.intent == Intent::ReserveDelayed {
            self.recent.lock().0.remember(extent, sequence);
        }
    }

    fn observe(&self, event: Event<'_>) {
        if matches!(event, Event::Retry(_)) {
            self.retries.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn tree_lookup(&self, data: &Tree, at: LogicalBlock) -> Result<Extent> {
        Ok(data.lookup(at.0))
    }

    fn tree_insert(&self, data: &mut Tree, _: &mut Handle, extent: Extent, _: bool) -> Result {
        self.may_fail()?;
        let (place, written) = match extent.state() {
            State::Written(place) => (place, true),
            State::Unwritten(place) => (place, false),
            other => panic!("{other:?} is not for the on-disk tree"),
        };
        for (block, place) in blocks(&extent.range()).zip(place.0 as usize..) {
            let old = data.0.insert(block, Block { place, written });
            assert_eq!(old, None, "block {block} was allocated already");
        }
        Ok(())
    }

    fn tree_convert(
        &self,
        data: &mut Tree,
        _: &mut Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        self.mark(data, range, true)
    }

    fn tree_remove(
        &self,
        data: &mut Tree,
        _: &mut Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        while let Some((&block, &found)) = data.0.range(blocks(&range)).next_back() {
            data.0.remove(&block);
            let mut space = self.space.lock();
            space.freed.push(found.place);
            space.unclaimed += 1;
            space.contents[found.place] = GARBAGE;
            if self.config.short_transactions {
                return Ok(LogicalBlock(block));
            }
        }
        Ok(range.start)
    }

    fn tree_shift(
        &self,
        data: &mut Tree,
        _: &mut Handle,
        mut shift: Shift,
    ) -> Result<Option<Shift>> {
        self.may_fail()?;
        let first = |found: (&u32, &Block)| *found.0;
        loop {
            let (block, to) = match &mut shift {
                Shift::Down { from, by } => {
                    let Some(block) = data.0.range(from.0..).next().map(first) else {
                        return Ok(None);
                    };
                    from.0 = block + 1;
                    (block, block - *by)
                }
                Shift::Up { from, end, by } => {
                    let Some(block) = data.0.range(from.0..end.0).next_back().map(first) else {
                        return Ok(None);
                    };
                    end.0 = block;
                    (block, block + *by)
                }
            };
            let found = data.0.remove(&block).unwrap();
            let old = data.0.insert(to, found);
            assert_eq!(old, None, "block {to} is in the way");
            if self.config.short_transactions {
                return Ok(Some(shift));
            }
        }
    }

    fn tree_make_way(&self, _: &mut Tree, _: &mut Handle, _: LogicalBlock, _: u32) -> Result<bool> {
        self.may_fail()?;
        Ok(true)
    }

    fn tree_unwrite(
        &self,
        data: &mut Tree,
        _: &mut Handle,
        range: Range<LogicalBlock>,
    ) -> Result<LogicalBlock> {
        self.mark(data, range, false)
    }

    fn allocate(&self, _: &mut Tree, _: &mut Handle, want: Want) -> Result<Run> {
        let mut space = self.space.lock();
        let goal = want.goal.map_or(0, |goal| goal.0 as usize);
        let free = |space: &Space, p: &usize| !space.used[*p];
        let all = (goal..self.config.device).chain(0..goal.min(self.config.device));
        let start = all.into_iter().find(|p| free(&space, p)).ok_or(ENOSPC)?;
        let most = want.len.min(self.config.max_run) as usize;
        let end = (start + most).min(self.config.device);
        let len = (start..end).take_while(|p| free(&space, p)).count();
        for place in start..start + len {
            space.used[place] = true;
            space.contents[place] = GARBAGE;
        }
        space.reserved -= len as i64;
        Ok(Run {
            start: PhysicalBlock(start as u64),
            len: len as u32,
        })
    }

    fn unallocate(&self, _: &mut Tree, _: &mut Handle, run: Run) {
        let mut space = self.space.lock();
        let start = run.start.0 as usize;
        space.freed.extend(start..start + run.len as usize);
        space.reserved += i64::from(run.len);
    }

    fn reserve(&self, blocks: u32) -> Result {
        let mut space = self.space.lock();
        if space.unclaimed < i64::from(blocks) {
            return Err(ENOSPC);
        }
        space.unclaimed -= i64::from(blocks);
        space.reserved += i64::from(blocks);
        Ok(())
    }

    fn unreserve(&self, blocks: u32) {
        if std::thread::panicking() {
            // The execution ends here; locks cannot be had any more.
            return;
        }
        let mut space = self.space.lock();
        space.reserved -= i64::from(blocks);
        space.unclaimed += i64::from(blocks);
    }

    fn start_handle(&self, _: Operation) -> Result<Handle> {
        self.handles.fetch_add(1, Ordering::SeqCst);
        self.journal.lock_when(|r| !r.committing).handles += 1;
        Ok(Handle(self.journal.clone()))
    }

    fn renew_handle(&self, handle: &mut Handle, operation: Operation) -> Result {
        // A restart: the old handle stops before the new one starts.
        handle.0.lock().handles -= 1;
        std::mem::forget(self.start_handle(operation)?);
        Ok(())
    }

    fn stop_handle(&self, handle: Handle) -> Result {
        drop(handle);
        Ok(())
    }

    fn wait_for_space(&self, attempts: u32) -> bool {
        attempts < 3 && self.commit()
    }
}
