// SPDX-License-Identifier: GPL-2.0

//! Growing files under a model checker: [`PendingGrow`] as it ships, with writers, truncates,
//! writeback in any order, and a crash between any two steps.
//!
//! The file is a few blocks of two *cells*; it begins in the middle of a written block whose other
//! cell holds garbage on the device. A device may take as long as it likes, and reads the page
//! while it does. A writer and the flusher are tried in all interleavings, and a crash at any time in
//! each of them; with more tasks a part by chance.

use super::shared::Mutex;
use super::{explore, threads, times};
use rooms::format::BlockSize;
use rooms::mapper::size::{size_after_write, PendingGrow};
use shuttle::rand::Rng;
use shuttle::sync::Arc;
use std::ops::Range;

const BLOCK: u64 = 4096;
const CELL: u64 = BLOCK / 2;
const BLOCKS: usize = 3;

/// [`BLOCK`] for the rules.
fn block() -> BlockSize {
    BlockSize::from_bits(BLOCK.ilog2()).unwrap()
}

const ZERO: u8 = 0;
const DATA: u8 = 1;
/// What nobody wrote to this place since it was cut, or behind the end.
const GARBAGE: u8 = 9;

/// A protective step taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// No grow is announced.
    Announcing,
    /// Completions of later blocks do not wait.
    Holding,
    /// An I/O that was under way when the tail was zeroed will do.
    Telling,
    /// A grow that came to nothing stays pending.
    Withdrawing,
    /// A grow does not wait for an earlier one.
    Waiting,
    /// A write goes over the tail in one step.
    Steps,
}

#[derive(Clone, Copy, Default, Hash)]
struct Page {
    cells: [u8; 2],
    dirty: bool,
    writeback: bool,
}

/// What `i_data_sem` and the journal protect: any crash finds it as it is.
#[derive(Hash)]
struct Disk {
    size: u64,
    written: [bool; BLOCKS],
    cells: [[u8; 2]; BLOCKS],
}

struct File {
    without: Without,
    rwsem: Mutex<()>,
    pages: Vec<Mutex<Page>>,
    size: Mutex<u64>,
    disk: Mutex<Disk>,
    growth: Mutex<PendingGrow>,
    queue: Mutex<Vec<Range<u64>>>,
    worker: Mutex<()>,
}

fn cells_of(block: usize) -> Range<u64> {
    let start = block as u64 * BLOCK;
    start..start + BLOCK
}

impl File {
    fn new(without: Without) -> Arc<Self> {
        let mut pages = [Page::default(); BLOCKS];
        pages[0].cells = [DATA, ZERO];
        let mut cells = [[GARBAGE; 2]; BLOCKS];
        cells[0][0] = DATA;
        let mut written = [false; BLOCKS];
        written[0] = true;
        Arc::new(Self {
            without,
            rwsem: Mutex::new(()),
            pages: pages.into_iter().map(Mutex::new).collect(),
            size: Mutex::new(CELL),
            disk: Mutex::new(Disk {
                size: CELL,
                written,
                cells,
            }),
            growth: Mutex::default(),
            queue: Mutex::default(),
            worker: Mutex::default(),
        })
    }

    fn size(&self) -> u64 {
        *self.size.lock()
    }

    /// The block whose tail a grow to `end` has to wait for.
    fn awaited_block(&self, end: u64) -> Option<Range<u64>> {
        let size = self.size();
        let behind = block().end_of(size);
        let written = || self.disk.lock().written[(size / BLOCK) as usize];
        (end > behind && size < behind && written()).then(|| block().start_of(size)..behind)
    }

    fn announce(&self) {
        let tail = self.growth.lock().tail();
        if let (Some(tail), true) = (tail, self.without != Without::Waiting) {
            // As `write_quietly()`.
            let block = (tail.start / BLOCK) as usize;
            write_back(self, block);
            drop(self.pages[block].lock_when(|page| !page.writeback));
        }
        if self.without != Without::Announcing {
            self.growth.lock().announce(self.size(), block());
        }
    }

    /// Zeroes the cells of `range`, all in one block, in the page cache.
    fn zero(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let block = (range.start / BLOCK) as usize;
        let mut page = self.pages[block].lock();
        if !self.disk.lock().written[block] && !page.dirty {
            return;
        }
        self.growth.lock().dirtied();
        for at in range.step_by(CELL as usize) {
            page.cells[(at % BLOCK / CELL) as usize] = ZERO;
        }
        page.dirty = true;
    }

    fn write_tail(&self) {
        self.send_tail(|| ());
    }

    /// Sends the tail; the device has it after `meanwhile`.
    fn send_tail(&self, meanwhile: impl FnOnce()) {
        let mut sent = None;
        let tail = self.growth.lock().tail_to_submit();
        if let Some(tail) = tail {
            let block = (tail.start / BLOCK) as usize;
            // As `filemap_fdatawrite_range()`: an I/O under way comes first.
            drop(self.pages[block].lock_when(|page| !page.writeback));
            sent = submit(self, block).map(|range| (block, range));
        }
        if self.without != Without::Withdrawing {
            self.growth.lock().withdraw();
        }
        meanwhile();
        if let Some((block, range)) = sent {
            complete(self, block, range);
        }
    }
}

/// A buffered write of `range`.
fn write(file: &File, range: Range<u64>) {
    let _rwsem = file.rwsem.lock();
    let size = file.size();
    let zero_gap = || file.zero(size..block().end_of(size).min(range.start).max(size));
    let Some(last) = file.awaited_block(range.end) else {
        zero_gap();
        return copy(file, range);
    };
    if file.without == Without::Steps {
        file.announce();
        zero_gap();
        copy(file, range);
        return file.write_tail();
    }
    copy(file, range.start..last.start);
    file.announce();
    zero_gap();
    copy(file, range.start.max(last.start)..last.end);
    file.send_tail(|| copy(file, range.start.max(last.end)..range.end));
}

/// Copies what there is of `range` into the page cache.
fn copy(file: &File, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    for block in (range.start / BLOCK) as usize..range.end.div_ceil(BLOCK) as usize {
        let mut page = file.pages[block].lock();
        file.growth.lock().dirtied();
        for (cell, at) in cells_of(block).step_by(CELL as usize).enumerate() {
            if range.contains(&at) {
                page.cells[cell] = DATA;
            }
        }
        page.dirty = true;
        let end = range.end.min(cells_of(block).end);
        let mut size = file.size.lock();
        *size = end.max(*size);
    }
}

/// A write that is refused the user's bytes.
fn faulting_write(file: &File) {
    let _rwsem = file.rwsem.lock();
    if file.awaited_block(u64::MAX).is_none() {
        return;
    }
    file.announce();
    let page = file.pages[0].lock();
    file.growth.lock().dirtied();
    drop(page);
    file.write_tail();
}

/// As above, before it comes to a folio.
fn refused_write(file: &File) {
    let _rwsem = file.rwsem.lock();
    if file.awaited_block(u64::MAX).is_some() {
        file.announce();
        file.write_tail();
    }
}

/// Truncate up, or an extending `fallocate()`.
fn grow(file: &File, new: u64) {
    let _rwsem = file.rwsem.lock();
    let old = file.size();
    if new <= old {
        return;
    }
    if file.disk.lock().size < old {
        write_out(file);
    }
    if file.awaited_block(u64::MAX).is_some() {
        file.announce();
    }
    file.zero(old..block().end_of(old));
    {
        let mut disk = file.disk.lock();
        *file.size.lock() = new;
        if !file.growth.lock().aim_at(new) {
            disk.size = new;
        }
    }
    file.write_tail();
}

fn cut(file: &File, new: u64) {
    let _rwsem = file.rwsem.lock();
    if new >= file.size() {
        return;
    }
    if file.disk.lock().size < new {
        write_out(file);
    }
    {
        let mut disk = file.disk.lock();
        *file.size.lock() = new;
        disk.size = new;
        // What lies past the end goes at once here: the inode is an orphan until it has gone.
        for block in new.div_ceil(BLOCK) as usize..BLOCKS {
            disk.written[block] = false;
            disk.cells[block] = [GARBAGE; 2];
        }
    }
    for page in &file.pages[new.div_ceil(BLOCK) as usize..] {
        *page.lock_when(|page| !page.writeback) = Page::default();
    }
    file.zero(new..block().end_of(new));
    // The queue is drained.
    drop(file.worker.lock());
}

/// A store through a mapping, behind the end in the last block.
fn store_behind(file: &File, block: usize) {
    let mut page = file.pages[block].lock();
    if file.size() == block as u64 * BLOCK + CELL {
        page.cells[1] = GARBAGE;
        page.dirty = true;
    }
}

/// Writes one folio, and then lets its I/O complete.
fn write_back(file: &File, block: usize) {
    if let Some(range) = submit(file, block) {
        complete(file, block, range);
    }
}

fn submit(file: &File, block: usize) -> Option<Range<u64>> {
    let mut page = file.pages[block].lock();
    let (size, all) = (file.size(), cells_of(block));
    if !page.dirty || page.writeback || all.start >= size {
        return None;
    }
    for (cell, at) in all.clone().step_by(CELL as usize).enumerate() {
        if at >= size {
            page.cells[cell] = ZERO;
        }
    }
    file.growth.lock().submitted(&all);
    page.dirty = false;
    page.writeback = true;
    Some(all.start..all.end.min(size))
}

fn complete(file: &File, block: usize, range: Range<u64>) {
    // The device reads the page without its lock, bit by bit.
    for cell in 0..2 {
        let value = file.pages[block].lock().cells[cell];
        file.disk.lock().cells[block][cell] = value;
    }
    file.queue.lock().push(range);
    work(file);
}

/// The worker of the completion queue; one at a time.
fn work(file: &File) {
    let _one = file.worker.lock();
    let mut list = std::mem::take(&mut *file.queue.lock());
    list.sort_by_key(|range| range.start);
    while !list.is_empty() {
        let holds = file.growth.lock().holds_back(list[0].start);
        if holds && file.without != Without::Holding {
            file.queue.lock().append(&mut list);
            return;
        }
        let range = list.remove(0);
        record(file, &range);
        file.pages[(range.start / BLOCK) as usize].lock().writeback = false;
    }
}

fn record(file: &File, range: &Range<u64>) {
    let waits = {
        let growth = file.growth.lock();
        let any = file.without == Without::Telling
            && growth
                .tail()
                .is_some_and(|t| range.contains(&(t.start - 1)));
        growth.waits_for(range) || any
    };
    let mut disk = file.disk.lock();
    let aim = waits.then(|| file.growth.lock().done());
    if let Some(new) = size_after_write(disk.size, file.size(), range.end, aim) {
        disk.size = new;
    }
    if range.start < file.size() {
        disk.written[(range.start / BLOCK) as usize] = true;
    }
}

/// As `fsync()` of the whole file.
fn write_out(file: &File) {
    loop {
        for block in 0..BLOCKS {
            write_back(file, block);
        }
        let in_file = file.size().div_ceil(BLOCK) as usize;
        let mut clean = true;
        for page in file.pages.iter().take(in_file) {
            clean &= !page.lock_when(|page| !page.writeback).dirty;
        }
        if clean {
            return;
        }
    }
}

/// The flusher.
fn flush_up(file: &File) {
    (0..BLOCKS).for_each(|block| write_back(file, block));
}

/// Reclaim may send folios in any order.
fn flush_down(file: &File) {
    (0..BLOCKS).rev().for_each(|block| write_back(file, block));
}

fn flush(file: &File) {
    let first = shuttle::rand::thread_rng().gen_range(0..BLOCKS);
    for block in (first..BLOCKS).chain(0..first) {
        write_back(file, block);
    }
}

/// What a crash now would leave.
fn crash(file: &File) {
    let disk = file.disk.lock();
    for block in 0..BLOCKS {
        let written = disk.written[block];
        assert!(
            !written || cells_of(block).start < disk.size,
            "block {block} is written, and past the end at {}",
            disk.size
        );
        for (cell, at) in cells_of(block).step_by(CELL as usize).enumerate() {
            let stale = written && at < disk.size && disk.cells[block][cell] == GARBAGE;
            assert!(
                !stale,
                "byte {at} shows garbage, with a size of {}",
                disk.size
            );
        }
    }
}

type Task = fn(&File);

fn scenario(without: Without, prepare: Task, tasks: &[Task]) {
    let file = File::new(without);
    prepare(&file);
    threads::run_all(&file, tasks);
    crash(&file);
    write_out(&file);
    crash(&file);
    assert!(!file.growth.lock().is_some(), "a grow is still pending");
    assert_eq!(file.disk.lock().size, file.size(), "the size never arrived");
}

/// Every way in which `tasks` can take turns.
fn explore_all(without: Without, prepare: Task, tasks: Vec<Task>) {
    let model = move || scenario(without, prepare, &tasks);
    explore::report(&explore::all_interleavings(model));
}

/// Some of the ways, by chance.
fn explore_some(without: Without, prepare: Task, tasks: Vec<Task>) {
    let times = times(1500);
    let model = move || scenario(without, prepare, &tasks);
    shuttle::check_random(model.clone(), times);
    shuttle::check_pct(model, times, 3);
    explore::report(&format_args!("{} schedules by chance", 2 * times));
}

/// What `task` does with the flusher beside it, and a crash at any time.
fn beside_flusher(without: Without, prepare: Task, task: Task) {
    explore_all(without, prepare, vec![task, flush_up, crash]);
    explore_all(without, prepare, vec![task, flush_down, crash]);
}

fn nothing(_: &File) {}

fn watch(file: &File) {
    for _ in 0..3 {
        crash(file);
    }
}

fn append(file: &File) {
    write(file, CELL..2 * BLOCK);
}

fn leave_a_gap(file: &File) {
    write(file, BLOCK..2 * BLOCK);
}

fn grow_longer(file: &File) {
    grow(file, 2 * BLOCK + CELL);
}

fn cut_and_grow(file: &File) {
    write(file, CELL..3 * BLOCK);
    cut(file, CELL);
    grow(file, 2 * BLOCK);
}

fn cut_later(file: &File) {
    write(file, CELL..2 * BLOCK + CELL);
    cut(file, BLOCK + CELL);
    write(file, 2 * BLOCK..3 * BLOCK);
}

fn fault(file: &File) {
    faulting_write(file);
    cut(file, 0);
    write(file, BLOCK..2 * BLOCK);
}

/// Grows within the block, and a write that comes to nothing.
fn grow_and_refuse(file: &File) {
    grow(file, CELL + CELL / 2);
    refused_write(file);
}

/// The file's end, and its tail, lie in the second block, which is dirty.
fn two_blocks(file: &File) {
    *file.size.lock() = BLOCK + CELL;
    file.pages[0].lock().cells = [DATA; 2];
    let mut page = file.pages[1].lock();
    (page.cells, page.dirty) = ([DATA, GARBAGE], true);
    let mut disk = file.disk.lock();
    disk.size = BLOCK + CELL;
    disk.cells[0] = [DATA; 2];
    disk.cells[1] = [DATA, GARBAGE];
    disk.written[1] = true;
}

/// A write that begins in the block before the last one, and makes the file longer.
fn write_over_both(file: &File) {
    write(file, CELL..3 * BLOCK);
}

/// The flusher; while the device reads the second block, somebody stores behind the file's end.
fn flush_and_store(file: &File) {
    if let Some(range) = submit(file, 1) {
        store_behind(file, 1);
        complete(file, 1, range);
    }
    write_back(file, 2);
}

/// The last block is on its way to the device, with garbage behind the end.
fn garbage_on_its_way(file: &File) {
    store_behind(file, 0);
    let range = submit(file, 0).unwrap();
    store_behind(file, 0);
    complete(file, 0, range);
    store_behind(file, 0);
    let range = submit(file, 0).unwrap();
    store_behind(file, 0);
    file.disk.lock().cells[0] = [DATA, GARBAGE];
    file.queue.lock().push(range);
}

#[test]
fn an_append() {
    beside_flusher(Without::Nothing, nothing, append);
    explore_all(
        Without::Nothing,
        garbage_on_its_way,
        vec![append, work, crash],
    );
}

#[test]
fn a_write_past_the_end() {
    beside_flusher(Without::Nothing, nothing, leave_a_gap);
}

#[test]
fn a_longer_file() {
    beside_flusher(Without::Nothing, nothing, grow_longer);
    explore_all(
        Without::Nothing,
        garbage_on_its_way,
        vec![|f| grow(f, 2 * BLOCK), work, crash],
    );
}

#[test]
fn a_grow_before_the_last_one_is_through() {
    beside_flusher(Without::Nothing, nothing, grow_and_refuse);
}

#[test]
fn a_write_from_before_the_last_block() {
    explore_all(
        Without::Nothing,
        two_blocks,
        vec![write_over_both, flush_and_store, crash],
    );
    explore_some(
        Without::Nothing,
        two_blocks,
        vec![write_over_both, flush, |f| store_behind(f, 1), watch],
    );
}

#[test]
fn cut_and_grown_again() {
    for task in [cut_and_grow, cut_later, fault] {
        explore_some(Without::Nothing, nothing, vec![task, flush, watch]);
    }
    beside_flusher(Without::Nothing, nothing, fault);
}

#[test]
fn two_writers_and_stores() {
    explore_some(
        Without::Nothing,
        |f| store_behind(f, 0),
        vec![append, |f| grow(f, 3 * BLOCK), flush, watch],
    );
}

/// What the model is worth: each step is missed, and for its own reason. All interleavings are
/// tried here: chance would miss one now and then.
#[test]
fn each_step_is_missed_when_it_is_gone() {
    let cases: [(Without, &str, Task, Vec<Task>); 6] = [
        (
            Without::Announcing,
            "shows garbage",
            nothing,
            vec![grow_longer, flush_down, crash],
        ),
        (
            Without::Holding,
            "shows garbage",
            nothing,
            vec![append, flush_down, crash],
        ),
        (
            Without::Telling,
            "shows garbage",
            garbage_on_its_way,
            vec![|f| grow(f, 2 * BLOCK), work, crash],
        ),
        (
            Without::Withdrawing,
            "deadlock",
            nothing,
            vec![fault, flush_up, crash],
        ),
        (
            Without::Waiting,
            "the size never arrived",
            nothing,
            vec![grow_and_refuse, flush_up, crash],
        ),
        (
            Without::Steps,
            "shows garbage",
            two_blocks,
            vec![write_over_both, flush_and_store, crash],
        ),
    ];
    for (without, reason, prepare, tasks) in cases {
        let words = explore::failure_of(|| explore_all(without, prepare, tasks));
        assert!(words.contains(reason), "without {without:?}: {words}");
    }
}
