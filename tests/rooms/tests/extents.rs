// SPDX-License-Identifier: GPL-2.0

//! The extent tree against a map of single blocks: what each operation does.

mod common;

use common::tree::{moved, Tree};
use kernel::prelude::*;
use proptest::prelude::*;
use rooms::extents::*;
use rooms::format::extent::*;
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use std::collections::BTreeSet;

#[test]
fn adjoining_extents_become_one() {
    let mut tree = Tree::new(128);
    tree.insert(10, 5, 100, State::Written).unwrap();
    tree.insert(20, 5, 110, State::Written).unwrap();
    tree.insert(15, 5, 105, State::Written).unwrap();
    assert_eq!(tree.check().len(), 1);
    // Not on the device, not in the same state: not one.
    tree.insert(25, 1, 200, State::Written).unwrap();
    tree.insert(9, 1, 99, State::Unwritten).unwrap();
    assert_eq!(tree.check().len(), 3);
    tree.check_lookups(0..40);
}

#[test]
fn an_extent_is_no_longer_than_its_state_allows() {
    for state in [State::Written, State::Unwritten] {
        let mut tree = Tree::new(128);
        tree.insert(0, state.max_len(), 1, state).unwrap();
        let end = u64::from(state.max_len());
        tree.insert(state.max_len(), 1, 1 + end, state).unwrap();
        tree.insert(state.max_len() + 1, 1, 2 + end, state).unwrap();
        let lens: Vec<u32> = tree.check().iter().map(Extent::len).collect();
        assert_eq!(lens, [state.max_len(), 2]);
    }
}

#[test]
fn the_longest_written_extent_becomes_two_unwritten_ones() {
    let mut tree = Tree::new(128);
    tree.insert(0, MAX_WRITTEN, 1, State::Written).unwrap();
    assert_eq!(
        tree.convert(0..MAX_WRITTEN, State::Unwritten),
        Ok(Progress::Done)
    );
    assert_eq!(tree.check().len(), 2);
    assert_eq!(
        tree.convert(0..MAX_WRITTEN, State::Written),
        Ok(Progress::Done)
    );
    assert_eq!(tree.check().len(), 1);
}

#[test]
fn an_overlap_is_refused() {
    let mut tree = Tree::new(128);
    tree.scatter(10..100, 2);
    for (start, len) in [
        (10, 1),
        (9, 2),
        (9, 100),
        (11, 2),
        (98, 1),
        (50, 1),
        (49, 2),
    ] {
        let at = PhysicalBlock(1 << 20);
        let extent = Extent::new(LogicalBlock(start), len, at, State::Written).unwrap();
        let result = insert(&mut tree.space, &mut tree.root, extent);
        assert_eq!(result, Err(EEXIST), "{start}+{len}");
    }
    tree.check();
}

#[test]
fn a_file_written_in_order_has_full_leaves() {
    let mut tree = Tree::new(1024);
    tree.scatter(0..84 * 2 * 50, 2);
    tree.check();
    assert_eq!(tree.depth(), 1 + 1);
    // 50 full leaves and an index node above them.
    assert_eq!(tree.space.nodes.len(), 50 + 1);
}

#[test]
fn every_depth_grows_and_shrinks() {
    let mut tree = Tree::new(128);
    let mut depths = BTreeSet::new();
    for start in (0..6000).step_by(2) {
        tree.insert(start, 1, 5000 + u64::from(start) * 2, State::Written)
            .unwrap();
        depths.insert(tree.depth());
    }
    assert_eq!(depths, (0..=4).collect());
    tree.check_lookups(0..6010);
    let mut shrunk = BTreeSet::new();
    for end in (0..6000).rev().step_by(50) {
        assert_eq!(tree.remove(end..u32::MAX), Ok(Progress::Done));
        tree.check();
        shrunk.insert(tree.depth());
    }
    assert_eq!(tree.remove(0..u32::MAX), Ok(Progress::Done));
    assert!(tree.check().is_empty());
    shrunk.insert(tree.depth());
    assert_eq!(shrunk, (0..=4).collect());
    assert_eq!(tree.depth(), 0);
}

#[test]
fn insertion_in_falling_order_keeps_keys_right() {
    let mut tree = Tree::new(128);
    for start in (0..600).rev().step_by(2) {
        tree.insert(start, 1, 5000 + u64::from(start) * 2, State::Written)
            .unwrap();
        tree.check();
    }
    assert!(tree.depth() >= 3);
    // Every leaf but one at least half full.
    assert!(tree.space.nodes.len() < 300 / 4 * 5 / 4);
}

#[test]
fn without_room_for_a_node_nothing_happens() {
    let mut tree = Tree::new(128);
    tree.space.free_nodes = 3;
    let mut refused = 0;
    for start in (0..200).step_by(2) {
        let before = tree.root;
        if tree.insert(start, 1, 5000 + u64::from(start) * 2, State::Written) == Err(ENOSPC) {
            assert_eq!(tree.root, before);
            refused += 1;
        }
        tree.check();
    }
    assert!(refused > 10);
}

#[test]
fn removal_stops_and_goes_on_where_credits_run_out() {
    let mut tree = Tree::new(128);
    tree.scatter(0..700, 2);
    assert!(tree.depth() >= 3);
    let mut rest = 3..690;
    let mut rounds = 0;
    loop {
        tree.space.store.restart(Some(20));
        match tree.remove(rest.clone()).unwrap() {
            Progress::Done => break,
            Progress::More(to) => {
                assert!(to.0 < rest.end || rounds == 0);
                rest.end = to.0;
            }
        }
        tree.check();
        rounds += 1;
    }
    assert!(rounds > 3, "{rounds}");
    let left: Vec<u32> = tree.check().iter().map(|e| e.start().0).collect();
    assert_eq!(left, [0, 2, 690, 692, 694, 696, 698]);
}

#[test]
fn conversion_stays_within_its_reserve_of_nodes() {
    for (from, to) in (0..90).flat_map(|from| [(from, from + 1), (from, 90), (from, from + 7)]) {
        let mut tree = Tree::new(128);
        for start in (0..90u32).step_by(3) {
            let at = 5000 + u64::from(start) * 2;
            tree.insert(start, 3, at, State::Unwritten).unwrap();
        }
        let reserve = u64::from(nodes_for_convert(tree.depth()));
        tree.space.free_nodes = tree.space.nodes.len() as u64 + reserve;
        assert_eq!(tree.convert(from..to, State::Written), Ok(Progress::Done));
        tree.check();
    }
}

#[test]
fn shifts_move_the_tail() {
    for round in 0..2 {
        let credits = [None, Some(12)][round];
        let mut tree = Tree::new(128);
        tree.scatter(0..600, 2);
        tree.insert(701, 20, 1 << 20, State::Unwritten).unwrap();
        let before = tree.check();
        // Splits the last extent, then moves it and nothing else.
        let mut range = LogicalBlock(710)..LOGICAL_END;
        let (space, root) = (&mut tree.space, &mut tree.root);
        space.store.restart(credits);
        assert_eq!(shift_right(space, root, range, 90), Ok(Progress::Done));
        assert_eq!(lookup_at(&tree, 709), Some((1 << 20) + 8));
        assert_eq!(lookup_at(&tree, 710), None);
        assert_eq!(lookup_at(&tree, 800), Some((1 << 20) + 9));

        range = LogicalBlock(100)..LOGICAL_END;
        loop {
            let (space, root) = (&mut tree.space, &mut tree.root);
            space.store.restart(credits);
            match shift_right(space, root, range.clone(), 1000).unwrap() {
                Progress::Done => break,
                Progress::More(to) => range.end = to,
            }
        }
        tree.model = moved(&tree.model, 710, 90);
        tree.model = moved(&tree.model, 100, 1000);
        tree.check();

        for (mut from, by) in [(LogicalBlock(1100), 1000), (LogicalBlock(800), 90)] {
            loop {
                let (space, root) = (&mut tree.space, &mut tree.root);
                space.store.restart(credits);
                match shift_left(space, root, from, by).unwrap() {
                    Progress::Done => break,
                    Progress::More(at) => from = at,
                }
            }
        }
        tree.model = moved(&tree.model, 1100, -1000);
        tree.model = moved(&tree.model, 800, -90);
        // What was split has joined again.
        assert_eq!(tree.check(), before);
        let (space, root) = (&mut tree.space, &mut tree.root);
        assert_eq!(shift_left(space, root, LogicalBlock(100), 2), Err(EINVAL));
        let all = LogicalBlock(0)..LOGICAL_END;
        assert_eq!(shift_right(space, root, all, u32::MAX - 720), Err(EFBIG));
        assert_eq!(tree.check(), before);
    }
}

#[test]
fn a_change_of_many_extents_changes_each_leaf_once() {
    let changes: [fn(&mut Tree) -> Result<Progress>; 3] = [
        |tree| tree.spread(4..11),
        |tree| tree.collapse(4..11),
        |tree| tree.remove(5..595),
    ];
    let mut tree = Tree::new(128);
    tree.scatter(0..600, 2);
    tree.space.store.restart(None);
    let nodes = tree.space.nodes.len();
    for (n, change) in changes.iter().enumerate() {
        tree.space.store.updates = 0;
        assert_eq!(change(&mut tree), Ok(Progress::Done));
        tree.check();
        // A leaf, the key above it; and a few for the edge, where extents are cut and joined.
        let updates = tree.space.store.updates;
        assert!(updates <= 2 * nodes + 8, "{n}: {updates} in {nodes} nodes");
    }
}

#[test]
fn a_move_up_is_refused_before_it_begins() {
    let mut tree = Tree::new(128);
    tree.insert(10, 20, 1 << 20, State::Written).unwrap();
    let before = tree.check();
    let (space, root) = (&mut tree.space, &mut tree.root);
    let too_far = u32::MAX - 29;
    assert_eq!(make_way(space, root, LogicalBlock(29), too_far), Err(EFBIG));
    // Nothing is behind it.
    assert_eq!(make_way(space, root, LogicalBlock(30), too_far), Ok(true));
    // Nothing to be split.
    assert_eq!(make_way(space, root, LogicalBlock(10), 5), Ok(true));
    assert_eq!(
        make_way(space, root, LogicalBlock(3), too_far - 1),
        Ok(true)
    );
    assert_eq!(tree.check(), before);
}

#[test]
fn a_move_up_takes_its_space_before_it_begins() {
    let mut tree = Tree::new(128);
    // A root that is full.
    for i in 0..4 {
        let at = (1 << 20) + u64::from(i) * 100;
        tree.insert(i * 50, 20, at, State::Written).unwrap();
    }
    let before = tree.check();
    tree.space.free_nodes = 0;
    let (space, root) = (&mut tree.space, &mut tree.root);
    assert_eq!(make_way(space, root, LogicalBlock(60), 7), Err(ENOSPC));
    assert_eq!(tree.check(), before);
    tree.space.free_nodes = 1;
    let (space, root) = (&mut tree.space, &mut tree.root);
    assert_eq!(make_way(space, root, LogicalBlock(60), 7), Ok(true));
    // What is in the way is out of it now: the move takes no space.
    assert_eq!(space.nodes.len(), 1);
    let all = LogicalBlock(60)..LOGICAL_END;
    assert_eq!(shift_right(space, root, all, 7), Ok(Progress::Done));
    tree.model = moved(&tree.model, 60, 7);
    tree.check();
}

fn lookup_at(tree: &Tree, block: u32) -> Option<u64> {
    match lookup(&tree.space, &tree.root, LogicalBlock(block)).unwrap() {
        Found::Mapped(extent) => extent.place_of(LogicalBlock(block)).map(|at| at.0),
        Found::Hole { .. } => None,
    }
}

/// One operation of a random sequence.
#[derive(Clone, Debug)]
enum Op {
    Insert {
        start: u32,
        len: u32,
        gap: u64,
        state: State,
    },
    Convert {
        start: u32,
        len: u32,
        to: State,
    },
    Remove {
        start: u32,
        len: u32,
    },
    Collapse {
        start: u32,
        len: u32,
    },
    Spread {
        start: u32,
        len: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let state = || prop_oneof![Just(State::Written), Just(State::Unwritten)];
    let start = || 0..900u32;
    prop_oneof![
        4 => (start(), 1..12u32, 0..2u64, state())
            .prop_map(|(start, len, gap, state)| Op::Insert { start, len, gap, state }),
        3 => (start(), 1..60u32, state())
            .prop_map(|(start, len, to)| Op::Convert { start, len, to }),
        1 => (start(), 1..60u32).prop_map(|(start, len)| Op::Remove { start, len }),
        1 => (start(), 1..60u32).prop_map(|(start, len)| Op::Collapse { start, len }),
        1 => (start(), 1..60u32).prop_map(|(start, len)| Op::Spread { start, len }),
    ]
}

impl Tree {
    /// Does `op`. An insert takes what of its range is a hole; with `gap` 0 the same file block
    /// always gets the same place, so that neighbours adjoin.
    fn apply(&mut self, op: &Op) -> Result {
        match *op {
            Op::Insert {
                start,
                len,
                gap,
                state,
            } => {
                let len = self
                    .model
                    .range(start..start + len)
                    .next()
                    .map_or(len, |(b, _)| b - start);
                let at = 10_000 + u64::from(start) + gap * 5_000 * u64::from(start % 97);
                let taken = (at..at + u64::from(len)).any(|b| self.space.data.contains(&b));
                if len == 0 || taken {
                    return Ok(());
                }
                self.insert(start, len, at, state)
            }
            Op::Convert { start, len, to } => self.convert(start..start + len, to).map(|_| ()),
            Op::Remove { start, len } => self.remove(start..start + len).map(|_| ()),
            Op::Collapse { start, len } => self.collapse(start..start + len).map(|_| ()),
            Op::Spread { start, len } => self.spread(start..start + len).map(|_| ()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_does_what_the_model_does(
        scattered in prop_oneof![Just(0u32), 0..900u32],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut tree = Tree::new(128);
        tree.scatter(0..scattered, 3);
        for op in &ops {
            // All nodes are read and checked anew, and an insert has no more than its credits.
            let credits = insert_credits(tree.depth());
            tree.space.store.restart(matches!(op, Op::Insert { .. }).then_some(credits));
            tree.apply(op).unwrap();
            tree.check();
        }
        tree.space.store.restart(None);
        tree.check_lookups(0..920);
    }
}
