// SPDX-License-Identifier: GPL-2.0

//! The extent status tree against a model that keeps every block on its own.

use kernel::alloc::{fail_after, never_fail};
use proptest::prelude::*;
use rooms::extent_status::{Change, Extent, Need, Spare, State, StatusTree, END_OF_FILE_SPACE};
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use std::collections::BTreeMap;

/// Small enough to collide, large enough for many leaves.
const BLOCKS: u32 = 3000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Written,
    Unwritten,
    Delayed,
    Hole,
}

/// Places are a function of the block, in two families, so that some neighbours join.
fn state(kind: Kind, start: u32, family: u64) -> State {
    let place = PhysicalBlock(10_000 * (family + 1) + u64::from(start));
    match kind {
        Kind::Written => State::Written(place),
        Kind::Unwritten => State::Unwritten(place),
        Kind::Delayed => State::Delayed,
        Kind::Hole => State::Hole,
    }
}

fn extent(start: u32, len: u32, kind: Kind, family: u64) -> Extent {
    Extent::new(LogicalBlock(start), len, state(kind, start, family)).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u32, Kind, u64),
    Cache(u32, u32, Kind, u64, u32),
    Remove(u32, u32),
    RemoveTail(u32),
    RemoveDelayed(u32, u32),
    Convert(u32, u32),
    Forget(u32, u32),
    Shrink(usize),
    /// Every `step`th block on its own: fills leaves fast.
    Comb(u32, u32, Kind),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Written),
        Just(Kind::Unwritten),
        Just(Kind::Delayed),
        Just(Kind::Hole)
    ]
}

fn span() -> impl Strategy<Value = (u32, u32)> {
    (
        0..BLOCKS,
        prop_oneof![6 => 1u32..8, 2 => 1u32..200, 1 => 1u32..BLOCKS],
    )
        .prop_map(|(start, len)| (start, len.min(BLOCKS - start)))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (span(), kind(), 0u64..2).prop_map(|((s, l), k, f)| Op::Insert(s, l, k, f)),
        5 => (span(), kind(), 0u64..2, 0u32..200)
            .prop_map(|((s, l), k, f, at)| Op::Cache(s, l, k, f, s + at % l)),
        5 => span().prop_map(|(s, l)| Op::Remove(s, l)),
        1 => (BLOCKS / 2..BLOCKS).prop_map(Op::RemoveTail),
        2 => span().prop_map(|(s, l)| Op::RemoveDelayed(s, l)),
        4 => span().prop_map(|(s, l)| Op::Convert(s, l)),
        1 => span().prop_map(|(s, l)| Op::Forget(s, l)),
        1 => (0usize..60).prop_map(Op::Shrink),
        3 => (0..BLOCKS, 2u32..7, kind()).prop_map(|(s, p, k)| Op::Comb(s, p, k)),
    ]
}

/// Runs a change as callers do, with allocations that may fail; gives up after a few failures.
fn with_memory<R>(
    tree: &mut StatusTree,
    mut change: impl FnMut(&mut StatusTree, &mut Spare) -> Result<R, Need>,
) -> Option<R> {
    let mut spare = Spare::new();
    for _ in 0..3 {
        let before = (tree.len(), tree.delayed_blocks(), tree.sequence());
        match change(tree, &mut spare) {
            Ok(r) => return Some(r),
            Err(need) => {
                let after = (tree.len(), tree.delayed_blocks(), tree.sequence());
                assert_eq!(before, after, "a refused change changed something");
                assert!(!need.is_nothing());
                if spare.fill(need).is_err() {
                    return None;
                }
            }
        }
    }
    panic!("a spare that was filled was not enough");
}

type Model = BTreeMap<u32, State>;

fn fill(model: &mut Model, start: u32, len: u32, kind: Kind, family: u64) -> bool {
    let mut changed = false;
    for block in start..start + len {
        let new = state(kind, block, family);
        changed |= model.insert(block, new) != Some(new);
    }
    changed
}

fn delayed(model: &Model) -> u32 {
    model.values().filter(|s| **s == State::Delayed).count() as u32
}

fn settle(before: u32, after: u32, change: Change) {
    assert_eq!(change.added, after.saturating_sub(before));
    assert_eq!(change.dropped, before.saturating_sub(after));
}

/// One step on both; the sequence must move exactly where a mapping may have become wrong.
fn step(tree: &mut StatusTree, model: &mut Model, op: &Op) {
    let sequence = tree.sequence();
    let before = delayed(model);
    match *op {
        Op::Insert(start, len, kind, family) => {
            let new = extent(start, len, kind, family);
            if let Some(change) = with_memory(tree, |t, s| t.insert(new, s)) {
                let changed = fill(model, start, len, kind, family);
                settle(before, delayed(model), change);
                assert_eq!(tree.sequence() != sequence, changed);
            }
        }
        Op::Cache(start, len, kind, family, at) => {
            let new = extent(start, len, kind, family);
            if with_memory(tree, |t, s| t.cache(new, LogicalBlock(at), s)).is_some()
                && !model.contains_key(&at)
            {
                let gap = |b: &u32| !model.contains_key(b);
                let first = (start..=at).rev().take_while(gap).last().unwrap();
                let end = (at..start + len).take_while(gap).last().unwrap() + 1;
                fill(model, first, end - first, kind, family);
            }
            assert_eq!(tree.sequence(), sequence);
        }
        Op::Remove(start, len) => {
            let range = LogicalBlock(start)..LogicalBlock(start + len);
            if let Some(change) = with_memory(tree, |t, s| t.remove(range.clone(), s)) {
                model.retain(|b, _| !(start..start + len).contains(b));
                settle(before, delayed(model), change);
                assert!(tree.sequence() > sequence);
            }
        }
        Op::RemoveTail(start) => {
            let mut none = Spare::new();
            let range = LogicalBlock(start)..END_OF_FILE_SPACE;
            let change = tree
                .remove(range, &mut none)
                .expect("a tail takes no memory");
            model.retain(|b, _| *b < start);
            settle(before, delayed(model), change);
        }
        Op::RemoveDelayed(start, len) => {
            let range = LogicalBlock(start)..LogicalBlock(start + len);
            while let Some(run) = tree.next_delayed(&range) {
                let Some(change) = with_memory(tree, |t, s| t.remove_delayed(&range, s)) else {
                    break;
                };
                assert_eq!(change.dropped, run.len());
                model.retain(|b, _| !run.range().contains(&LogicalBlock(*b)));
            }
        }
        Op::Convert(start, len) => {
            let range = LogicalBlock(start)..LogicalBlock(start + len);
            let mut spare = Spare::new();
            let mut result = tree.convert(&range, &mut spare);
            while let Err(need) = result {
                if spare.fill(need).is_err() {
                    // As the mapper does; nothing delayed is among what it converts.
                    tree.forget(&range);
                    model.retain(|b, s| {
                        *s == State::Delayed || tree.lookup(LogicalBlock(*b)).is_some()
                    });
                    break;
                }
                result = tree.convert(&range, &mut spare);
            }
            for (_, state) in model.range_mut(start..start + len) {
                if let State::Unwritten(place) = *state {
                    *state = State::Written(place);
                }
            }
            assert!(tree.sequence() > sequence, "also where nothing was cached");
            assert_eq!(tree.delayed_blocks(), before);
        }
        Op::Forget(start, len) => {
            let range = LogicalBlock(start)..LogicalBlock(start + len);
            tree.forget(&range);
            model.retain(|b, s| *s == State::Delayed || tree.lookup(LogicalBlock(*b)).is_some());
            let stale = |e: Extent| !e.is_delayed();
            assert!(!tree.iter(range).any(stale), "something was not forgotten");
            assert!(tree.sequence() > sequence);
        }
        Op::Shrink(count) => {
            let entries = tree.len();
            let dropped = tree.shrink(count);
            assert!(dropped <= count);
            assert_eq!(tree.len(), entries - dropped);
            model.retain(|b, s| {
                let kept = tree.lookup(LogicalBlock(*b)).is_some();
                assert!(
                    kept || *s != State::Delayed,
                    "a delayed block was shrunk away"
                );
                kept
            });
            assert_eq!(tree.sequence(), sequence);
        }
        Op::Comb(start, pitch, kind) => {
            for block in (start..BLOCKS).step_by(pitch as usize).take(150) {
                step(tree, model, &Op::Insert(block, 1, kind, 0));
            }
        }
    }
}

fn agree(tree: &StatusTree, model: &Model) {
    assert_eq!(tree.check(), Ok(()));
    assert_eq!(tree.delayed_blocks(), delayed(model));
    let all = LogicalBlock(0)..END_OF_FILE_SPACE;
    assert_eq!(tree.delayed_in(&all), delayed(model));
    for block in 0..BLOCKS {
        let at = LogicalBlock(block);
        assert_eq!(
            tree.state_of(at),
            model.get(&block).copied(),
            "block {block}"
        );
        let next = model.range(block..).next().map(|(b, _)| LogicalBlock(*b));
        assert_eq!(
            tree.next_start(at).map(|b| b.max(at)),
            next,
            "next of {block}"
        );
    }
    let iterated: u32 = tree.iter(all.clone()).map(|e| e.len()).sum();
    assert_eq!(iterated as usize, model.len());
    let first = model.iter().find(|(_, s)| **s == State::Delayed);
    assert_eq!(
        tree.next_delayed(&all).map(|e| e.start()),
        first.map(|(b, _)| LogicalBlock(*b))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn does_what_the_model_does(ops in prop::collection::vec((op(), prop::option::of(0u64..6)), 1..60)) {
        let mut tree = StatusTree::new();
        let mut model = Model::new();
        for (op, failure) in &ops {
            if let Some(successes) = failure {
                fail_after(*successes);
            }
            step(&mut tree, &mut model, op);
            never_fail();
            prop_assert_eq!(tree.check(), Ok(()), "after {:?}", op);
        }
        agree(&tree, &model);
    }
}

#[test]
fn a_growing_file_is_one_extent_and_takes_memory_once() {
    let mut tree = StatusTree::new();
    let mut refused = 0;
    for block in 0..10_000 {
        let new = extent(block, 1, Kind::Delayed, 0);
        let mut spare = Spare::new();
        while let Err(need) = tree.insert(new, &mut spare) {
            refused += 1;
            spare.fill(need).unwrap();
        }
    }
    assert_eq!((tree.len(), refused), (1, 1));
    assert_eq!(tree.delayed_blocks(), 10_000);
}

#[test]
fn full_leaves_stay_full_when_a_scattered_file_grows() {
    let mut tree = StatusTree::new();
    let mut spare = Spare::new();
    let mut refused = 0;
    for block in (0..17_000).step_by(2) {
        while let Err(need) = tree.insert(extent(block, 1, Kind::Delayed, 0), &mut spare) {
            refused += 1;
            spare.fill(need).unwrap();
        }
    }
    assert_eq!(tree.check(), Ok(()));
    assert_eq!(tree.len(), 8_500);
    // 8500 extents in leaves of 85: about a hundred leaves and the directory's doublings.
    assert!(refused < 125, "{refused} leaves");
}

#[test]
fn an_extent_cannot_leave_the_file_or_the_device() {
    let start = LogicalBlock(u32::MAX - 2);
    assert!(Extent::new(start, 2, State::Hole).is_some());
    assert!(Extent::new(start, 3, State::Hole).is_none());
    assert!(Extent::new(start, 0, State::Hole).is_none());
    let end = PhysicalBlock(u64::MAX - 1);
    assert!(Extent::new(LogicalBlock(0), 1, State::Written(end)).is_some());
    assert!(Extent::new(LogicalBlock(0), 2, State::Written(end)).is_none());
}

#[test]
fn only_an_allocated_neighbour_is_a_goal() {
    let mut tree = StatusTree::new();
    let mut spare = Spare::new();
    spare
        .fill(tree.need(&(LogicalBlock(10)..LogicalBlock(15))))
        .unwrap();
    let written = Extent::new(LogicalBlock(10), 5, State::Written(PhysicalBlock(100))).unwrap();
    let _ = tree.insert(written, &mut spare).unwrap();
    assert_eq!(tree.allocated_before(LogicalBlock(9)), None);
    assert_eq!(tree.allocated_before(LogicalBlock(15)), Some(written));
    spare
        .fill(tree.need(&(LogicalBlock(15)..LogicalBlock(20))))
        .unwrap();
    let _ = tree
        .insert(extent(15, 5, Kind::Delayed, 0), &mut spare)
        .unwrap();
    assert_eq!(tree.allocated_before(LogicalBlock(20)), None);
}
