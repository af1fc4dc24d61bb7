// SPDX-License-Identifier: GPL-2.0

//! The extent tree where something fails, or where the disk lies.

mod common;

use common::tree::{Space, Tree};
use kernel::alloc::{fail_after, never_fail};
use kernel::prelude::*;
use proptest::prelude::*;
use rooms::extents::*;
use rooms::format::extent::*;
use rooms::format::units::{LogicalBlock, PhysicalBlock};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A tree of depth 3 whose first leaves are full and hold extents of three blocks, to be split.
fn deep_tree() -> Tree {
    let mut tree = Tree::new(128);
    for start in (0..500).step_by(4) {
        let at = 10_000 + 3 * u64::from(start);
        tree.insert(start, 3, at, State::Unwritten).unwrap();
    }
    tree.scatter(500..900, 2);
    tree.scatter(1601..1603, 1);
    for start in (902..1500).rev().step_by(8) {
        let at = 10_000 + 3 * u64::from(start);
        tree.insert(start, 5, at, State::Written).unwrap();
    }
    assert_eq!(tree.depth(), 3);
    tree
}

/// Which kind of failure is injected.
#[derive(Clone, Copy, PartialEq)]
enum Failing {
    Store,
    Memory,
}

/// Fails the first, the second ... fallible operation of `change`, until none is left to fail.
/// Each time the tree must be whole, map nothing that it mapped neither before nor would have
/// after, and go on to do the same change in full.
fn sweep(name: &str, change: impl Fn(&mut Tree) -> Result) {
    let deep = deep_tree();
    let before = deep.model.clone();
    let after = {
        let mut tree = deep.clone();
        change(&mut tree).unwrap();
        tree.check();
        tree.model
    };
    assert_ne!(before, after, "{name} does nothing");
    for failing in [Failing::Store, Failing::Memory] {
        let mut n = 0;
        loop {
            let mut tree = deep.clone();
            // Else all nodes are read, and none prepared.
            tree.space.store.restart(None);
            let nodes = tree.space.nodes.len();
            match failing {
                Failing::Store => tree.space.store.fail_after(n),
                Failing::Memory => fail_after(n),
            }
            let result = change(&mut tree);
            let unused = never_fail();
            let failed = tree.space.store.never_fail();
            if (failing == Failing::Store && failed.is_none())
                || (failing == Failing::Memory && unused)
            {
                assert_eq!(result, Ok(()), "{name} {n}");
                break;
            }
            assert!(result.is_err(), "{name} {n}: {failed:?} went unnoticed");
            if failed == Some("free_node") {
                give_up_lost_node(&mut tree);
            }
            check_between(&tree, &before, &after);
            assert!(tree.space.nodes.len() <= nodes + 3, "{name} {n}");
            tree.model = tree.check_whole().1;
            let again = change(&mut tree);
            // An insert that came to pass before the failure is refused now.
            assert!(
                again.is_ok() || tree.model == after,
                "{name} {n}: {again:?}"
            );
            assert_eq!(tree.check_whole().1, after, "{name} {n}");
            // In long operations the later steps are like the earlier ones.
            n += 1 + n / 16;
        }
        assert!(n > 0, "{name}: nothing can fail");
    }
}

fn check_between(
    tree: &Tree,
    before: &BTreeMap<u32, (u64, State)>,
    after: &BTreeMap<u32, (u64, State)>,
) {
    let mapped = tree.check_whole().1;
    for block in 0..2000 {
        let now = mapped.get(&block);
        assert!(
            now == before.get(&block) || now == after.get(&block),
            "{block}: {now:?}"
        );
    }
}

/// Where freeing an emptied node fails, that one is lost, as documented; and no other.
fn give_up_lost_node(tree: &mut Tree) {
    let mut reached = std::collections::BTreeSet::new();
    let depth = tree.depth();
    tree.walk(
        &tree.root,
        depth,
        None,
        u32::MAX,
        &mut reached,
        &mut Vec::new(),
    );
    assert!(tree.space.nodes.len() <= reached.len() + 1);
    tree.space.nodes = reached;
}

fn blocks(start: u32, end: u32) -> std::ops::Range<LogicalBlock> {
    LogicalBlock(start)..LogicalBlock(end)
}

#[test]
fn a_failed_insert_changes_nothing() {
    // In order at the end of the file, in a full leaf in its middle, before all.
    for start in [1700, 603, 703, 1000] {
        sweep("insert", |tree| {
            let before = tree.root;
            let result = tree.insert(start, 1, 5_000_000, State::Written);
            assert!(result.is_ok() || tree.root == before);
            result
        });
    }
}

#[test]
fn a_failed_conversion_leaves_the_tree_whole() {
    for (from, to) in [(1, 2), (101, 300), (0, 200), (900, 1100)] {
        for state in [State::Written, State::Unwritten] {
            if (from < 500) == (state == State::Unwritten) {
                continue;
            }
            sweep("convert", |tree| {
                let done = convert(&mut tree.space, &mut tree.root, blocks(from, to), state)?;
                assert_eq!(done, Progress::Done);
                tree.model_convert(from..to, state);
                Ok(())
            });
        }
    }
}

#[test]
fn a_failed_removal_leaves_the_tree_whole() {
    for (from, to) in [
        (5, 6),
        (908, 909),
        (101, 300),
        (1400, u32::MAX),
        (0, u32::MAX),
        (0, 100),
    ] {
        sweep("remove", |tree| {
            tree.remove(from..to)
                .map(|done| assert_eq!(done, Progress::Done))
        });
    }
}

#[test]
fn a_refused_move_up_leaves_the_tree_as_it_was() {
    let deep = deep_tree();
    let before = deep.check_whole();
    for failing in [Failing::Store, Failing::Memory] {
        for n in 0.. {
            let mut tree = deep.clone();
            tree.space.store.restart(None);
            match failing {
                Failing::Store => tree.space.store.fail_after(n),
                Failing::Memory => fail_after(n),
            }
            let done = make_way(&mut tree.space, &mut tree.root, LogicalBlock(1), 7);
            let unused = never_fail();
            let failed = tree.space.store.never_fail();
            let (extents, blocks) = tree.check_whole();
            assert!(blocks == before.1, "other blocks are mapped, {n}");
            let nothing_failed = match failing {
                Failing::Store => failed.is_none(),
                Failing::Memory => unused,
            };
            if nothing_failed {
                assert_eq!(done, Ok(true));
                assert_eq!(extents.len(), before.0.len() + 1);
                assert!(n > 1);
                break;
            }
            assert!(done.is_err(), "{failed:?} went unnoticed, {n}");
            assert!(extents == before.0, "other extents, {n}");
        }
    }
}

/// Everything that can be asked of a tree or done to it; errors are welcome, and nothing else is.
fn exercise(tree: &mut Tree) {
    let (space, root) = (&mut tree.space, &mut tree.root);
    for block in (0..1700).step_by(37) {
        let _ = lookup(space, root, LogicalBlock(block));
    }
    let mut count = 0;
    let _ = for_each_extent(space, root, LogicalBlock(0), |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(count < 100_000);
    for block in (1..1700).step_by(101) {
        let at = PhysicalBlock(9_000_000 + u64::from(block));
        let extent = Extent::new(LogicalBlock(block), 1, at, State::Written).unwrap();
        if insert(space, root, extent).is_ok() {
            space.data.insert(at.0);
        }
        let _ = convert(space, root, blocks(block + 40, block + 60), State::Written);
        let _ = remove(space, root, blocks(block + 70, block + 90));
    }
    let _ = shift_left(space, root, LogicalBlock(500), 2);
    let _ = make_way(space, root, LogicalBlock(300), 10);
    let _ = shift_right(space, root, LogicalBlock(300)..LOGICAL_END, 10);
    let _ = remove(space, root, LogicalBlock(0)..LOGICAL_END);
}

/// Damages the `nth` node of the tree, or for 0 its root.
fn damage(tree: &mut Tree, nth: usize, edit: impl FnOnce(&mut [u8])) -> Option<PhysicalBlock> {
    let node = nth
        .checked_sub(1)
        .and_then(|i| tree.space.nodes.iter().nth(i));
    let Some(at) = node.copied().map(PhysicalBlock) else {
        edit(&mut tree.root);
        return None;
    };
    let mut bytes = tree.space.store.bytes(at);
    edit(&mut bytes);
    tree.space.store.write(at, &bytes);
    Some(at)
}

fn read_all(space: &Space, root: &Root) -> Result {
    for_each_extent(space, root, LogicalBlock(0), |_| ControlFlow::Continue(()))
}

#[test]
fn every_flipped_bit_under_a_checksum_is_reported_with_its_block() {
    let deep = deep_tree();
    for nth in (1..=deep.space.nodes.len()).step_by(7) {
        // All but the generation in the header, and the unused bytes behind the checksum.
        for byte in (0..124).step_by(5) {
            let mut tree = deep.clone();
            tree.space.store.restart(None);
            let at = damage(&mut tree, nth, |bytes| bytes[byte] ^= 0x10);
            let error = read_all(&tree.space, &tree.root).unwrap_err();
            assert!(error == EFSCORRUPTED || error == EFSBADCRC);
            let reports = tree.space.reports.borrow();
            assert_eq!(reports.len(), 1);
            assert_eq!(reports[0].0, at);
        }
    }
}

/// Trees without checksums, as an attacker makes them with checksums too.
fn unsealed_tree() -> Tree {
    let mut tree = deep_tree();
    tree.space.seed = None;
    tree.space.damaged = true;
    tree.space.store.restart(None);
    tree
}

#[test]
fn a_node_that_is_its_own_child_is_no_loop() {
    let unsealed = unsealed_tree();
    let nodes: Vec<u64> = unsealed.space.nodes.iter().copied().collect();
    for nth in 0..=nodes.len() {
        for &to in nodes.iter().step_by(23) {
            let mut tree = unsealed.clone();
            let mut was_index = false;
            let at = damage(&mut tree, nth, |bytes| {
                was_index = bytes[6] > 0;
                let (low, high) = (to as u32, (to >> 32) as u16);
                bytes[16..20].copy_from_slice(&low.to_le_bytes());
                bytes[20..22].copy_from_slice(&high.to_le_bytes());
            });
            let first = [at.map_or(0, |at| at.0)] == [to];
            if was_index && first {
                assert_eq!(read_all(&tree.space, &tree.root), Err(EFSCORRUPTED));
            }
            exercise(&mut tree);
        }
    }
}

#[test]
fn a_root_of_any_depth_is_no_loop() {
    let unsealed = unsealed_tree();
    for depth in (0..300u16)
        .chain([0x7fff, 0x8000, 0x8003, 0xffff])
        .filter(|d| *d != 3)
    {
        let mut tree = unsealed.clone();
        damage(&mut tree, 0, |root| {
            root[6..8].copy_from_slice(&depth.to_le_bytes())
        });
        let result = read_all(&tree.space, &tree.root);
        // Read as a leaf, the root's pointers may pass for extents.
        assert!(depth == 0 || result == Err(EFSCORRUPTED), "{depth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_damage_is_survived(
        damages in prop::collection::vec((0..120usize, 0..128usize, any::<u8>()), 1..12),
    ) {
        let mut tree = unsealed_tree();
        for (nth, byte, value) in damages {
            damage(&mut tree, nth, |bytes| {
                let byte = byte % bytes.len();
                bytes[byte] = value;
            });
        }
        exercise(&mut tree);
    }
}
