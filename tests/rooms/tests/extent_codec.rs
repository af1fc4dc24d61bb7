// SPDX-License-Identifier: GPL-2.0

//! The bytes of extent-tree nodes, against bytes taken from the format's description.

use kernel::prelude::*;
use rooms::format::extent::*;
use rooms::format::units::{LogicalBlock, PhysicalBlock};

fn extent(start: u32, len: u32, at: u64, state: State) -> Extent {
    Extent::new(LogicalBlock(start), len, PhysicalBlock(at), state).unwrap()
}

fn node(block: usize, entries: &[RawEntry]) -> Vec<u8> {
    let mut bytes = vec![0; block];
    write_header(&mut bytes, 0, capacity(block)).unwrap();
    splice(&mut bytes, 0, 0, entries).unwrap();
    seal(&mut bytes, 7);
    bytes
}

#[test]
fn capacities_are_those_of_c() {
    assert_eq!(capacity(60), 4);
    assert_eq!(capacity(1024), 84);
    assert_eq!(capacity(2048), 169);
    assert_eq!(capacity(4096), 340);
    assert_eq!(capacity(65536), 5460);
}

#[test]
fn entries_have_the_bytes_of_the_format() {
    let written = RawEntry::from(extent(0x01020304, 0x8000, 0xaabb_11223344, State::Written));
    assert_eq!(
        written.as_bytes(),
        [4, 3, 2, 1, 0, 0x80, 0xbb, 0xaa, 0x44, 0x33, 0x22, 0x11]
    );
    let unwritten = RawEntry::from(extent(9, 1, 5, State::Unwritten));
    assert_eq!(
        unwritten.as_bytes(),
        [9, 0, 0, 0, 1, 0x80, 0, 0, 5, 0, 0, 0]
    );
    let index = RawEntry::from(Index {
        first: LogicalBlock(0x01020304),
        child: PhysicalBlock(0xaabb_11223344),
    });
    assert_eq!(
        index.as_bytes(),
        [4, 3, 2, 1, 0x44, 0x33, 0x22, 0x11, 0xbb, 0xaa, 0, 0]
    );
}

#[test]
fn entries_survive_the_round_trip() {
    for (len, state) in [
        (1, State::Written),
        (MAX_WRITTEN, State::Written),
        (1, State::Unwritten),
        (MAX_UNWRITTEN, State::Unwritten),
    ] {
        let e = extent(77, len, (1 << 48) - u64::from(len), state);
        assert_eq!(RawEntry::from(e).extent(), Ok(e));
    }
    assert!(Extent::new(
        LogicalBlock(0),
        MAX_WRITTEN,
        PhysicalBlock(1),
        State::Unwritten
    )
    .is_none());
    assert!(Extent::new(LogicalBlock(u32::MAX), 1, PhysicalBlock(1), State::Written).is_none());
    let i = Index {
        first: LogicalBlock(3),
        child: PhysicalBlock((1 << 48) - 1),
    };
    assert_eq!(RawEntry::from(i).index(), i);
}

#[test]
fn a_flipped_bit_under_the_checksum_is_noticed() {
    let good = node(1024, &[extent(0, 4, 100, State::Written).into()]);
    let parsed = Node::parse(&good, 0).unwrap();
    assert_eq!(check_checksum(&good, &parsed, 7), Ok(()));
    assert!(check_checksum(&good, &parsed, 8).is_err());
    for byte in 8..1024 {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        let problem = check_checksum(&bad, &Node::parse(&bad, 0).unwrap(), 7).unwrap_err();
        assert_eq!(Error::from(problem), EFSBADCRC, "byte {byte}");
    }
}

#[test]
fn bad_headers_are_refused() {
    let good = node(1024, &[extent(0, 4, 100, State::Written).into()]);
    for (byte, value) in [(0, 0), (1, 0), (2, 85), (4, 85), (4, 81), (6, 1), (7, 1)] {
        let mut bad = good.clone();
        bad[byte] = value;
        let problem = Node::parse(&bad, 0).err().expect("must be refused");
        assert_eq!(Error::from(problem), EFSCORRUPTED);
    }
    assert!(Node::parse(&good, 1).is_err());
    assert!(Node::parse(&good[..11], 0).is_err());
}

#[test]
fn bad_entries_are_refused() {
    let e = |start, len, at| RawEntry::from(extent(start, len, at, State::Written));
    let check = |entries: &[RawEntry], first: Option<u32>, limit| {
        let bytes = node(1024, entries);
        Node::parse(&bytes, 0).unwrap().check_entries(
            first.map(LogicalBlock),
            LogicalBlock(limit),
            |at, len| at.0 + u64::from(len) <= 1000,
        )
    };
    let good = [e(10, 4, 100), e(14, 2, 300)];
    assert_eq!(check(&good, Some(10), 16), Ok(()));
    assert_eq!(check(&good, None, 16), Ok(()));
    assert!(check(&good, Some(9), 16).is_err());
    assert!(check(&good, Some(10), 15).is_err());
    assert!(check(&[e(10, 5, 100), e(14, 2, 300)], None, 100).is_err());
    assert!(check(&[e(10, 4, 998)], None, 100).is_err());
    let mut empty = e(10, 4, 100);
    empty.as_mut_bytes()[4] = 0;
    assert!(check(&[empty], None, 100).is_err());
}

#[test]
fn splice_moves_what_lies_behind() {
    let e = |start| RawEntry::from(extent(start, 1, 100, State::Written));
    let mut bytes = node(128, &[e(1), e(2), e(3), e(4)]);
    let keys = |bytes: &[u8]| -> Vec<u32> {
        let node = Node::parse(bytes, 0).unwrap();
        node.entries().iter().map(|e| e.key().0).collect()
    };
    splice(&mut bytes, 1, 2, &[e(5), e(6), e(7)]).unwrap();
    assert_eq!(keys(&bytes), [1, 5, 6, 7, 4]);
    splice(&mut bytes, 5, 0, &[e(8)]).unwrap();
    splice(&mut bytes, 0, 4, &[]).unwrap();
    assert_eq!(keys(&bytes), [4, 8]);
    assert_eq!(splice(&mut bytes, 1, 2, &[]), Err(EINVAL));
    assert_eq!(splice(&mut bytes, 0, 0, &[e(0); 8]), Err(EINVAL));
    assert_eq!(keys(&bytes), [4, 8]);
    splice(&mut bytes, 0, 0, &[e(0); 7]).unwrap();
}

#[test]
fn search_finds_the_last_entry_not_behind() {
    let e = |start| RawEntry::from(extent(start, 1, 100, State::Written));
    let bytes = node(128, &[e(2), e(4)]);
    let node = Node::parse(&bytes, 0).unwrap();
    let found: Vec<_> = (1..6).map(|at| node.search(LogicalBlock(at))).collect();
    assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1)]);
}
