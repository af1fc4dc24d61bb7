// SPDX-License-Identifier: GPL-2.0

//! What goes on at a file: each task takes the locks that its kernel counterpart takes, in the
//! same order, and calls the mapper as it does. And the judge.

use super::fs::{File, GARBAGE};
use kernel::alloc::{fail_after, never_fail};
use kernel::prelude::*;
use rooms::extent_status::{State, END_OF_FILE_SPACE};
use rooms::format::units::LogicalBlock;
use rooms::mapper::{
    convert_unwritten, make_way, map_blocks, release_delayed, remove_blocks, shift_blocks,
    unwrite_blocks, Intent, MapRequest, MapperEnv, Mapping, Operation, Shift,
};
use shuttle::rand::Rng;
use std::ops::Range;

/// Lets one of the next allocations of memory fail, where the model is to do so.
fn strain(file: &File) {
    if file.config.fail_memory {
        fail_after(shuttle::rand::thread_rng().gen_range(0..4));
    }
}

pub fn map(file: &File, start: u32, end: u32, intent: Intent) -> Result<Mapping> {
    strain(file);
    let request = MapRequest {
        start: LogicalBlock(start),
        len: end - start,
        intent,
    };
    map_blocks(file, request, None)
}

fn covers(mapping: &Mapping, block: u32) -> bool {
    mapping.extent.range().contains(&LogicalBlock(block))
}

/// A buffered write of `content` to `range`; what the page cache could not take is released.
pub fn write(file: &File, range: Range<u32>, content: u64, takes: usize) {
    let _rwsem = file.rwsem.lock();
    let mut mapping: Option<Mapping> = None;
    let mut reserved = range.start..range.start;
    let mut copied = range.start;
    for block in range.clone().take(takes) {
        // As iomap does: a mapping that is no longer valid under the folio's lock is made anew.
        let mut page = loop {
            let page = file.folios[block as usize].page.lock();
            match &mapping {
                Some(m) if covers(m, block) && file.valid(m.sequence) => break page,
                _ => drop(page),
            }
            let Ok(new) = map(file, block, range.end, Intent::ReserveDelayed) else {
                return;
            };
            assert_ne!(new.extent.state(), State::Hole);
            if new.new {
                reserved.end = reserved.end.max(new.extent.end().0);
            }
            mapping = Some(new);
        };
        page.present = true;
        page.dirty = true;
        page.content = content;
        copied = block + 1;
        drop(page);
        file.size.update(|size| size.max(block + 1));
    }
    if copied < reserved.end {
        // Short: nothing is dirty over the rest, and nobody can make it so under the lock.
        let _invalidate = file.invalidate.write();
        let mut clean = copied;
        for block in copied..reserved.end {
            if file.folios[block as usize].page.lock().dirty {
                let _ = release_delayed(file, LogicalBlock(clean)..LogicalBlock(block));
                clean = block + 1;
            }
        }
        let _ = release_delayed(file, LogicalBlock(clean)..LogicalBlock(reserved.end));
    }
}

/// A store through mmap: holds off removal, not writers.
pub fn fault(file: &File, block: u32, content: u64) {
    let _invalidate = file.invalidate.read();
    let mut page = file.folios[block as usize].page.lock();
    if block >= file.size.load() {
        return;
    }
    if map(file, block, block + 1, Intent::ReserveDelayed).is_ok() {
        page.present = true;
        page.dirty = true;
        page.content = content;
    }
}

/// A store through mmap to a block past the end, in a folio that reaches over it: dirty, and
/// nothing reserved. The size grows over it later.
pub fn store_past_end_then_grow(file: &File, block: u32) {
    let _rwsem = file.rwsem.lock();
    if file.size.load() > block {
        return;
    }
    let mut page = file.folios[block as usize].page.lock();
    page.present = true;
    page.dirty = true;
    page.content = 0;
    drop(page);
    file.size.store(block + 1);
}

/// Writes back what is dirty, folio by folio, with a mapping that is kept from one to the next,
/// and completes it.
pub fn writeback(file: &File) {
    let mut kept: Option<Mapping> = None;
    let mut submitted: Vec<(u32, usize, u64, bool)> = Vec::new();
    for (block, folio) in (0u32..).zip(&file.folios) {
        let mut page = folio.page.lock();
        let size = file.size.load();
        if !page.dirty || block >= size {
            continue;
        }
        folio.wait_for_writeback();
        let mapping = match kept {
            Some(m) if covers(&m, block) && file.valid(m.sequence) => m,
            _ => match map(file, block, size, Intent::Writeback) {
                Ok(m) => m,
                // Stays dirty, for a later try.
                Err(_) => continue,
            },
        };
        kept = Some(mapping);
        let one = LogicalBlock(block)..LogicalBlock(block + 1);
        let (place, unwritten) = match mapping.extent.trim(&one).unwrap().state() {
            State::Written(place) => (place, false),
            State::Unwritten(place) => (place, true),
            State::Hole => {
                page.dirty = false;
                continue;
            }
            State::Delayed => panic!("writeback was not given a block"),
        };
        page.dirty = false;
        folio.begin_writeback();
        submitted.push((block, place.0 as usize, page.content, unwritten));
    }
    for (block, place, content, unwritten) in submitted {
        {
            let mut space = file.space.lock();
            assert!(space.used[place], "data written to a free block");
            space.contents[place] = content;
        }
        let range = LogicalBlock(block)..LogicalBlock(block + 1);
        // A conversion that fails loses the data, as a failing device does; the model tries again.
        strain(file);
        while unwritten && convert_unwritten(file, range.clone(), None).is_err() {}
        file.folios[block as usize].end_writeback();
    }
}

/// Drops the folios of `range` and then its blocks.
fn remove(file: &File, range: Range<u32>, new_size: Option<u32>) {
    let _rwsem = file.rwsem.lock();
    let _invalidate = file.invalidate.write();
    if let Some(size) = new_size {
        if size >= file.size.load() {
            return;
        }
        file.size.store(size);
    }
    for folio in file
        .folios
        .get(range.start as usize..)
        .unwrap_or_default()
        .iter()
        .take(range.len())
    {
        let mut page = folio.page.lock();
        folio.wait_for_writeback();
        *page = Default::default();
    }
    let mut handle = file.start_handle(Operation::Remove).unwrap();
    let range = LogicalBlock(range.start)..LogicalBlock(range.end);
    // Without memory nothing is done; the blocks go in the end.
    strain(file);
    while remove_blocks(file, range.clone(), &mut handle).is_err() {}
    file.stop_handle(handle).unwrap();
}

pub fn truncate(file: &File, size: u32) {
    remove(file, size..END_OF_FILE_SPACE.0, Some(size));
}

pub fn punch(file: &File, range: Range<u32>) {
    remove(file, range, None);
}

/// Puts all data from block `start` on to disk, and drops the folios. Nobody can make others.
fn write_out_and_drop(file: &File, start: u32) {
    let folios = file.folios.get(start as usize..).unwrap_or_default();
    while folios.iter().any(|folio| folio.page.lock().dirty) {
        writeback(file);
    }
    for folio in folios {
        let mut page = folio.page.lock();
        folio.wait_for_writeback();
        *page = Default::default();
    }
}

/// Cuts blocks out of the file: those behind move down.
pub fn collapse(file: &File, range: Range<u32>) {
    let _rwsem = file.rwsem.lock();
    let _invalidate = file.invalidate.write();
    if range.end >= file.size.load() {
        return;
    }
    write_out_and_drop(file, range.start);
    let by = range.end - range.start;
    let mut handle = file.start_handle(Operation::Move).unwrap();
    let cut = LogicalBlock(range.start)..LogicalBlock(range.end);
    let from = cut.end;
    remove_blocks(file, cut, &mut handle).unwrap();
    shift_blocks(file, Shift::Down { from, by }, &mut handle).unwrap();
    let data = file.lock_write();
    file.size.update(|size| size - by);
    drop(data);
    file.stop_handle(handle).unwrap();
}

/// Puts a hole into the file: the blocks behind move up.
pub fn insert(file: &File, at: u32, by: u32) {
    let _rwsem = file.rwsem.lock();
    let _invalidate = file.invalidate.write();
    if at >= file.size.load() {
        return;
    }
    write_out_and_drop(file, at);
    let mut handle = file.start_handle(Operation::Move).unwrap();
    let (from, end) = (LogicalBlock(at), END_OF_FILE_SPACE);
    make_way(file, from, by, &mut handle).unwrap();
    let data = file.lock_write();
    file.size.update(|size| size + by);
    drop(data);
    shift_blocks(file, Shift::Up { from, end, by }, &mut handle).unwrap();
    file.stop_handle(handle).unwrap();
}

/// Makes blocks read as zeros, and keeps them.
pub fn zero(file: &File, range: Range<u32>) {
    let _rwsem = file.rwsem.lock();
    let _invalidate = file.invalidate.write();
    for block in range.clone() {
        let folio = &file.folios[block as usize];
        let mut page = folio.page.lock();
        folio.wait_for_writeback();
        *page = Default::default();
    }
    let mut handle = file.start_handle(Operation::Remove).unwrap();
    let blocks = LogicalBlock(range.start)..LogicalBlock(range.end);
    unwrite_blocks(file, blocks, &mut handle).unwrap();
    file.stop_handle(handle).unwrap();
    for block in range {
        let mapping = map(file, block, block + 1, Intent::AllocateUnwritten).unwrap();
        assert!(matches!(mapping.extent.state(), State::Unwritten(_)));
        file.size.update(|size| size.max(block + 1));
    }
}

/// fallocate: the size grows over what it allocates.
pub fn preallocate(file: &File, range: Range<u32>) {
    let _rwsem = file.rwsem.lock();
    let mut at = range.start;
    while at < range.end {
        let Ok(mapping) = map(file, at, range.end, Intent::AllocateUnwritten) else {
            break;
        };
        assert!(mapping.extent.state().physical().is_some());
        at = mapping.extent.end().0;
        file.size.update(|size| size.max(at));
    }
}

/// What a read from the device would show: never what was not written there. A read into the page
/// cache holds invalidate_lock: the blocks under it are not freed meanwhile.
pub fn read(file: &File, block: u32) {
    let _invalidate = file.invalidate.read();
    let page = file.folios[block as usize].page.lock();
    if page.present {
        return;
    }
    let mapping = map(file, block, block + 1, Intent::Read).unwrap();
    if let State::Written(place) = mapping.extent.state() {
        let space = file.space.lock();
        assert_ne!(
            space.contents[place.0 as usize], GARBAGE,
            "a read shows garbage"
        );
    }
}

/// Asks about the blocks from `block` on, holding off nobody; the answer is cached.
pub fn report(file: &File, block: u32) {
    map(file, block, block + 1, Intent::Report).unwrap();
}

/// What a crash would leave: no block that counts as written and has not been.
pub fn crash(file: &File) {
    let tree = file.data.read();
    let space = file.space.lock();
    for (block, found) in &tree.0 {
        let garbage = space.contents[found.place] == GARBAGE;
        assert!(
            !(found.written && garbage),
            "block {block} shows garbage after a crash"
        );
    }
}

pub fn shrink(file: &File, count: usize) {
    let _data = file.lock_read();
    file.with_status(|tree| tree.shrink(count));
}

/// Drops a clean folio, as reclaim does.
pub fn reclaim(file: &File, block: u32) {
    let folio = &file.folios[block as usize];
    let mut page = folio.page.lock();
    if !page.dirty {
        folio.wait_for_writeback();
        *page = Default::default();
    }
}

/// The books and both trees, when nothing runs.
pub fn judge(file: &File) {
    crash(file);
    judge_blocks(file);
    judge_folios(file);
}

/// Allocator, counters and on-disk tree: nothing leaked, owned twice or past the end.
fn judge_blocks(file: &File) {
    let tree = file.data.read();
    let size = file.size.load();
    let places: Vec<usize> = tree.0.values().map(|b| b.place).collect();
    {
        let space = file.space.lock();
        let mut owned = vec![0; space.used.len()];
        for &place in places.iter().chain(&space.freed) {
            owned[place] += 1;
        }
        for (place, (&used, &owned)) in space.used.iter().zip(&owned).enumerate() {
            assert_eq!(
                u32::from(used),
                owned,
                "block {place} is leaked or owned twice"
            );
        }
        let allocated = places.len() as i64;
        assert_eq!(
            space.unclaimed + space.reserved + allocated,
            space.used.len() as i64,
            "the free count is wrong"
        );
        file.with_status(|status| {
            assert_eq!(status.check(), Ok(()));
            let delayed = i64::from(status.delayed_blocks());
            assert_eq!(space.reserved, delayed, "reservations do not balance");
        });
        for (block, found) in &tree.0 {
            // A release that lacked memory left it reserved, for writeback to allocate.
            let kept = file.config.fail_memory && !found.written;
            assert!(
                *block < size || kept,
                "block {block} is allocated past the end"
            );
        }
    }
}

/// Page cache and status tree against on-disk tree and device: no data lost, none made up.
fn judge_folios(file: &File) {
    let tree = file.data.read();
    let size = file.size.load();
    for (block, folio) in (0u32..).zip(&file.folios) {
        let page = folio.page.lock();
        let cached = file.with_status(|status| status.state_of(LogicalBlock(block)));
        let on_disk = tree.0.get(&block);
        match cached {
            None => {}
            Some(State::Delayed) => {
                assert!(on_disk.is_none(), "block {block} is delayed and allocated");
                // A release that lacked memory left it for later.
                let kept = file.config.fail_memory;
                assert!(page.dirty || kept, "block {block} is reserved for nothing");
                assert!(block < size, "block {block} is delayed past the end");
            }
            Some(State::Hole) => assert_eq!(on_disk, None, "block {block}"),
            Some(State::Written(place) | State::Unwritten(place)) => {
                let found = on_disk.expect("cached and gone");
                assert_eq!(found.place as u64, place.0, "block {block}");
                assert_eq!(found.written, matches!(cached, Some(State::Written(_))));
            }
        }
        if page.present && page.content == 0 {
            assert_eq!(
                on_disk, None,
                "block {block}: allocated for a store past the end"
            );
        }
        if page.present && !page.dirty && page.content != 0 {
            let found = on_disk.expect("a clean folio without a block");
            let on_device = file.space.lock().contents[found.place];
            assert!(
                found.written,
                "block {block}: data on disk, and not marked so"
            );
            assert_eq!(on_device, page.content, "block {block}: data is lost");
        }
    }
}

/// Writes back, judges, evicts: nothing may be left.
pub fn finish(file: &File) {
    never_fail();
    judge(file);
    writeback(file);
    judge(file);
    file.size.store(u32::MAX);
    truncate(file, 0);
    judge(file);
    file.commit();
    let space = file.space.lock();
    assert_eq!(space.reserved, 0);
    assert!(space.used.iter().all(|used| !used));
}
