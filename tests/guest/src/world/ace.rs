// SPDX-License-Identifier: GPL-2.0

//! Short sequences of operations, enumerated as ACE does (Mohan et al., OSDI 2018): a few files
//! and directories that are on the disk, then one to three operations on them, each followed by
//! a point of persistence or by nothing, and the last one by a point of persistence.

use super::op::{How, Op, Space};

/// The length of a stage: what is set up before each sequence.
pub const STAGE: u32 = 8;

fn stage() -> Vec<Op> {
    let write = |path: &str, cells| Op::Write {
        path: path.into(),
        at: 0,
        cells,
        how: How::Buffered,
    };
    vec![
        Op::Mkdir("a".into()),
        Op::Mkdir("b".into()),
        Op::Create("a/foo".into()),
        write("a/foo", 20),
        Op::Create("a/bar".into()),
        write("a/bar", 3),
        Op::Create("b/baz".into()),
        Op::Sync,
    ]
}

/// The operations that sequences are made of.
fn alphabet() -> Vec<Op> {
    let path = || "a/foo".to_owned();
    let rename = |from: &str, to: &str| Op::Rename {
        from: from.into(),
        to: to.into(),
    };
    let write = |at, cells, how| Op::Write {
        path: path(),
        at,
        cells,
        how,
    };
    let space = |what, at, cells| Op::Space {
        path: path(),
        what,
        at,
        cells,
    };
    vec![
        Op::Create("a/new".into()),
        Op::Mkdir("b/dir".into()),
        Op::Symlink {
            path: "a/symlink".into(),
            target: "foo".into(),
        },
        Op::Link {
            from: path(),
            to: "b/hard".into(),
        },
        rename("a/foo", "b/foo"),
        rename("a/bar", "a/foo"),
        rename("b", "c"),
        Op::Unlink("a/foo".into()),
        Op::Unlink("b/baz".into()),
        Op::Rmdir("b".into()),
        // over the first block's end; from the middle of the last block on; after a gap
        write(5, 8, How::Buffered),
        write(20, 9, How::Buffered),
        write(40, 8, How::Buffered),
        write(0, 8, How::Direct),
        write(16, 16, How::Direct),
        write(9, 6, How::Mapped),
        Op::Truncate {
            path: path(),
            cells: 11,
        },
        Op::Truncate {
            path: path(),
            cells: 45,
        },
        space(Space::Allocate, 16, 32),
        space(Space::Reserve, 24, 16),
        space(Space::Punch, 5, 13),
        space(Space::Zero, 10, 14),
        space(Space::Collapse, 8, 8),
        space(Space::Insert, 8, 8),
    ]
}

/// The points of persistence.
fn points() -> Vec<Op> {
    vec![
        Op::Fsync("a/foo".into()),
        Op::Fdatasync("a/foo".into()),
        Op::Fsync("a".into()),
        Op::Fsync("b".into()),
        Op::Sync,
    ]
}

/// How many sequences of a length there are: each operation followed by one of the points or,
/// except the last, by none.
pub fn count(length: u32) -> u32 {
    let (ops, points) = (alphabet().len() as u32, points().len() as u32);
    let one = ops * (points + 1);
    one.pow(length - 1) * ops * points
}

/// The number of the `nth` sequence of a length.
pub fn number(length: u32, nth: u32) -> u32 {
    (1..length).map(count).sum::<u32>() + nth
}

/// Sequence `number`, with its stage; shorter ones have the lower numbers. An operation that
/// cannot be carried out after those before it is left out.
pub fn sequence(number: u32) -> Vec<Op> {
    let (ops, points) = (alphabet(), points());
    let mut length = 1;
    let mut rest = number;
    while rest >= count(length) {
        rest -= count(length);
        length += 1;
    }
    let mut digit = |base: usize| -> usize {
        let digit = rest as usize % base;
        rest /= base as u32;
        digit
    };
    let mut list = stage();
    let mut world = super::World::follow(0, &list).ok();
    let mut add = |op: Option<&Op>, list: &mut Vec<Op>| {
        if let (Some(op), Some(world)) = (op, &mut world) {
            if world.suits(op) && world.apply(op).is_ok() {
                list.push(op.clone());
            }
        }
    };
    for place in 1..=length {
        add(ops.get(digit(ops.len())), &mut list);
        let last = place == length;
        let choice = digit(points.len() + usize::from(!last));
        add(points.get(choice), &mut list);
    }
    // the last point may have lost its object
    if !matches!(
        list.last(),
        Some(Op::Sync | Op::Fsync(_) | Op::Fdatasync(_))
    ) {
        list.push(Op::Sync);
    }
    list
}

/// Pairs of operations in every order, each with one point in between (or none) and one after,
/// taken in turn, so that every operation meets every point in both places.
pub fn all_pairs() -> Vec<u32> {
    let (ops, points) = (alphabet().len() as u32, points().len() as u32);
    let mut list = Vec::new();
    for first in 0..ops {
        for second in 0..ops {
            let after = (first + second) % points;
            let between = (first + 2 * second) % (points + 1);
            let nth = first + ops * (between + (points + 1) * (second + ops * after));
            list.push(number(2, nth));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_is_there_once_and_can_be_followed() {
        assert_eq!(stage().len(), STAGE as usize);
        let pairs = all_pairs();
        let ops = alphabet();
        let mut seen = BTreeSet::new();
        for n in &pairs {
            let list = sequence(*n);
            super::super::World::follow(0, &list).unwrap();
            let acts: Vec<usize> = list
                .get(STAGE as usize..)
                .unwrap()
                .iter()
                .filter_map(|op| ops.iter().position(|o| o == op))
                .collect();
            if let [first, second] = acts.as_slice() {
                assert!(
                    seen.insert((*first, *second)),
                    "{first} {second} is there twice"
                );
            }
        }
        assert_eq!(pairs.len(), ops.len() * ops.len());
        // some second operations have nothing left to work on
        assert!(seen.len() > pairs.len() * 8 / 10, "{}", seen.len());
    }

    #[test]
    fn sequences_of_three_can_be_followed() {
        let all = count(3);
        for n in (0..all).step_by(all as usize / 500) {
            super::super::World::follow(0, &sequence(number(3, n))).unwrap();
        }
    }
}
