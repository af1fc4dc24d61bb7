// SPDX-License-Identifier: GPL-2.0

//! Growing files under a model checker: [`PendingGrow`] as it ships, with writers, truncates,
//! writeback in any order, and a crash between any two steps.
//!
//! The file is a few blocks of two *cells*; it begins in the middle of a written block whose other
//! cell holds garbage on the device. A device may take as long as it likes, and reads the page
//! while it does. `SHUTTLE_TIMES=100 cargo test --test grow_model` looks at more schedules.

#[path = "common/threads.rs"]
mod threads;

use rooms::mapper::size::{block_end, size_after_write, PendingGrow};
use shuttle::rand::Rng;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use std::ops::Range;
use std::panic::{catch_unwind, AssertUnwindSafe};

const BLOCK: u64 = 4096;
const CELL: u64 = BLOCK / 2;
const BLOCKS: usize = 4;

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
}

#[derive(Clone, Copy, Default)]
struct Page {
    cells: [u8; 2],
    dirty: bool,
    writeback: bool,
}

/// What `i_data_sem` and the journal protect: any crash finds it as it is.
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
        *self.size.lock().unwrap()
    }

    fn announce(&self) {
        let size = self.size();
        let written = self.disk.lock().unwrap().written[(size / BLOCK) as usize];
        if size < block_end(size) && written && self.without != Without::Announcing {
            self.growth.lock().unwrap().announce(size);
        }
    }

    /// Zeroes the cells of `range`, all in one block, in the page cache.
    fn zero(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let block = (range.start / BLOCK) as usize;
        let mut page = self.pages[block].lock().unwrap();
        if !self.disk.lock().unwrap().written[block] && !page.dirty {
            return;
        }
        self.growth.lock().unwrap().dirtied();
        for at in range.step_by(CELL as usize) {
            page.cells[(at % BLOCK / CELL) as usize] = ZERO;
        }
        page.dirty = true;
    }

    fn write_tail(&self) {
        let tail = self.growth.lock().unwrap().tail_to_submit();
        if let Some(tail) = tail {
            let block = (tail.start / BLOCK) as usize;
            // As `filemap_fdatawrite_range()`: an I/O under way comes first.
            while self.pages[block].lock().unwrap().writeback {
                thread::yield_now();
            }
            write_back(self, block);
        }
        if self.without != Without::Withdrawing {
            self.growth.lock().unwrap().withdraw();
        }
    }
}

/// A buffered write of `range`.
fn write(file: &File, range: Range<u64>) {
    let _rwsem = file.rwsem.lock().unwrap();
    let size = file.size();
    if block_end(size) < range.end {
        file.announce();
    }
    if range.start > size {
        file.zero(size..block_end(size).min(range.start));
    }
    for block in (range.start / BLOCK) as usize..range.end.div_ceil(BLOCK) as usize {
        let mut page = file.pages[block].lock().unwrap();
        file.growth.lock().unwrap().dirtied();
        for (cell, at) in cells_of(block).step_by(CELL as usize).enumerate() {
            if range.contains(&at) {
                page.cells[cell] = DATA;
            }
        }
        page.dirty = true;
        let end = range.end.min(cells_of(block).end);
        let mut size = file.size.lock().unwrap();
        *size = end.max(*size);
    }
    file.write_tail();
}

/// A write that is refused the user's bytes.
fn faulting_write(file: &File) {
    let _rwsem = file.rwsem.lock().unwrap();
    file.announce();
    let page = file.pages[0].lock().unwrap();
    file.growth.lock().unwrap().dirtied();
    drop(page);
    file.write_tail();
}

/// Truncate up, or an extending `fallocate()`.
fn grow(file: &File, new: u64) {
    let _rwsem = file.rwsem.lock().unwrap();
    let old = file.size();
    if new <= old {
        return;
    }
    if file.disk.lock().unwrap().size < old {
        write_out(file);
    }
    file.announce();
    file.zero(old..block_end(old));
    {
        let mut disk = file.disk.lock().unwrap();
        *file.size.lock().unwrap() = new;
        if !file.growth.lock().unwrap().aim_at(new) {
            disk.size = new;
        }
    }
    file.write_tail();
}

fn cut(file: &File, new: u64) {
    let _rwsem = file.rwsem.lock().unwrap();
    if new >= file.size() {
        return;
    }
    if file.disk.lock().unwrap().size < new {
        write_out(file);
    }
    {
        let mut disk = file.disk.lock().unwrap();
        *file.size.lock().unwrap() = new;
        disk.size = new;
        // What lies past the end goes at once here: the inode is an orphan until it has gone.
        for block in new.div_ceil(BLOCK) as usize..BLOCKS {
            disk.written[block] = false;
            disk.cells[block] = [GARBAGE; 2];
        }
    }
    for page in &file.pages[new.div_ceil(BLOCK) as usize..] {
        loop {
            let mut page = page.lock().unwrap();
            if !page.writeback {
                *page = Page::default();
                break;
            }
            drop(page);
            thread::yield_now();
        }
    }
    file.zero(new..block_end(new));
    // The queue is drained.
    drop(file.worker.lock().unwrap());
}

/// A store through a mapping, behind the end in the last block.
fn store_behind(file: &File, block: usize) {
    let mut page = file.pages[block].lock().unwrap();
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
    let mut page = file.pages[block].lock().unwrap();
    let (size, all) = (file.size(), cells_of(block));
    if !page.dirty || page.writeback || all.start >= size {
        return None;
    }
    for (cell, at) in all.clone().step_by(CELL as usize).enumerate() {
        if at >= size {
            page.cells[cell] = ZERO;
        }
    }
    file.growth.lock().unwrap().submitted(&all);
    page.dirty = false;
    page.writeback = true;
    Some(all.start..all.end.min(size))
}

fn complete(file: &File, block: usize, range: Range<u64>) {
    // The device reads the page without its lock, bit by bit.
    for cell in 0..2 {
        let value = file.pages[block].lock().unwrap().cells[cell];
        file.disk.lock().unwrap().cells[block][cell] = value;
    }
    file.queue.lock().unwrap().push(range);
    work(file);
}

/// The worker of the completion queue; one at a time.
fn work(file: &File) {
    let _one = file.worker.lock().unwrap();
    let mut list = std::mem::take(&mut *file.queue.lock().unwrap());
    list.sort_by_key(|range| range.start);
    while !list.is_empty() {
        let holds = file.growth.lock().unwrap().holds_back(list[0].start);
        if holds && file.without != Without::Holding {
            file.queue.lock().unwrap().append(&mut list);
            return;
        }
        let range = list.remove(0);
        record(file, &range);
        file.pages[(range.start / BLOCK) as usize]
            .lock()
            .unwrap()
            .writeback = false;
    }
}

fn record(file: &File, range: &Range<u64>) {
    let waits = {
        let growth = file.growth.lock().unwrap();
        let any = file.without == Without::Telling
            && growth
                .tail()
                .is_some_and(|t| range.contains(&(t.start - 1)));
        growth.waits_for(range) || any
    };
    let mut disk = file.disk.lock().unwrap();
    let aim = waits.then(|| file.growth.lock().unwrap().done());
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
        let size = file.size();
        let busy = |page: &Mutex<Page>| {
            let page = page.lock().unwrap();
            page.writeback || page.dirty
        };
        let in_file = size.div_ceil(BLOCK) as usize;
        if !file.pages.iter().take(in_file).any(busy) {
            return;
        }
        thread::yield_now();
    }
}

/// The flusher, in any order.
fn flush(file: &File) {
    let first = shuttle::rand::thread_rng().gen_range(0..BLOCKS);
    for block in (first..BLOCKS).chain(0..first) {
        write_back(file, block);
    }
}

/// What a crash now would leave.
fn crash(file: &File) {
    let disk = file.disk.lock().unwrap();
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
    assert!(
        !file.growth.lock().unwrap().is_some(),
        "a grow is still pending"
    );
    assert_eq!(
        file.disk.lock().unwrap().size,
        file.size(),
        "the size never arrived"
    );
}

fn explore(without: Without, prepare: Task, tasks: &'static [Task]) {
    let factor = std::env::var("SHUTTLE_TIMES")
        .ok()
        .and_then(|s| s.parse().ok());
    let times = 1500 * factor.unwrap_or(1);
    shuttle::check_random(move || scenario(without, prepare, tasks), times);
    shuttle::check_pct(move || scenario(without, prepare, tasks), times, 3);
}

fn nothing(_: &File) {}

fn watch(file: &File) {
    for _ in 0..3 {
        crash(file);
    }
}

const APPEND: &[Task] = &[|f| write(f, CELL..2 * BLOCK), flush, watch];
const GAP: &[Task] = &[|f| write(f, BLOCK..3 * BLOCK), flush, watch];
const LONGER: &[Task] = &[|f| grow(f, 2 * BLOCK + CELL), flush, watch];
const CUT_AND_GROW: &[Task] = &[
    |f| {
        write(f, CELL..3 * BLOCK);
        cut(f, CELL);
        grow(f, 2 * BLOCK);
    },
    flush,
    watch,
];
const CUT_LATER: &[Task] = &[
    |f| {
        write(f, CELL..2 * BLOCK + CELL);
        cut(f, BLOCK + CELL);
        write(f, 2 * BLOCK..3 * BLOCK);
    },
    flush,
    watch,
];

const FAULT: &[Task] = &[
    |f| {
        faulting_write(f);
        cut(f, 0);
        write(f, BLOCK..2 * BLOCK);
    },
    flush,
    watch,
];

/// The last block is on its way to the device, with garbage behind the end.
fn garbage_on_its_way(file: &File) {
    store_behind(file, 0);
    let range = submit(file, 0).unwrap();
    store_behind(file, 0);
    complete(file, 0, range);
    store_behind(file, 0);
    let range = submit(file, 0).unwrap();
    store_behind(file, 0);
    file.disk.lock().unwrap().cells[0] = [DATA, GARBAGE];
    file.queue.lock().unwrap().push(range);
}

#[test]
fn an_append() {
    explore(Without::Nothing, nothing, APPEND);
    explore(
        Without::Nothing,
        garbage_on_its_way,
        &[|f| write(f, CELL..2 * BLOCK), work, watch],
    );
}

#[test]
fn a_write_past_the_end() {
    explore(Without::Nothing, nothing, GAP);
}

#[test]
fn a_longer_file() {
    explore(Without::Nothing, nothing, LONGER);
    explore(
        Without::Nothing,
        garbage_on_its_way,
        &[|f| grow(f, 2 * BLOCK), work, watch],
    );
}

#[test]
fn cut_and_grown_again() {
    explore(Without::Nothing, nothing, CUT_AND_GROW);
    explore(Without::Nothing, nothing, CUT_LATER);
    explore(Without::Nothing, nothing, FAULT);
}

#[test]
fn two_writers_and_stores() {
    explore(
        Without::Nothing,
        |f| store_behind(f, 0),
        &[
            |f| write(f, CELL..2 * BLOCK),
            |f| grow(f, 3 * BLOCK),
            flush,
            watch,
        ],
    );
}

/// What the model is worth.
#[test]
fn each_step_is_missed_when_it_is_gone() {
    let cases: [(Without, Task, &'static [Task]); 4] = [
        (Without::Announcing, nothing, LONGER),
        (Without::Holding, nothing, APPEND),
        (
            Without::Telling,
            garbage_on_its_way,
            &[|f| grow(f, 2 * BLOCK), work, watch],
        ),
        (Without::Withdrawing, nothing, FAULT),
    ];
    for (without, prepare, tasks) in cases {
        let found = catch_unwind(AssertUnwindSafe(|| explore(without, prepare, tasks)));
        assert!(found.is_err(), "without {without:?} all went well");
    }
}
