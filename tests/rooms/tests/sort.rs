// SPDX-License-Identifier: GPL-2.0

//! The sort against the standard library's.

use proptest::prelude::*;
use rooms::sort::sort_by;

proptest! {
    #[test]
    fn sorts_as_std_does(mut items: Vec<(u8, u16)>) {
        let mut expected = items.clone();
        expected.sort_unstable();
        sort_by(&mut items, |a, b| a.cmp(b));
        prop_assert_eq!(items, expected);
    }
}

#[test]
fn an_order_that_contradicts_itself_ends_all_the_same() {
    let mut items: Vec<u32> = (0..1000).collect();
    let mut calls = 0u32;
    sort_by(&mut items, |_, _| {
        calls += 1;
        match calls % 3 {
            0 => core::cmp::Ordering::Less,
            1 => core::cmp::Ordering::Greater,
            _ => core::cmp::Ordering::Equal,
        }
    });
    assert!(calls < 50_000);
    items.sort_unstable();
    assert_eq!(items, (0..1000).collect::<Vec<_>>());
}
