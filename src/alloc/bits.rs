// SPDX-License-Identifier: GPL-2.0

//! Searching and editing bitmaps as ext4 lays them out: bit `n` is bit `n % 8` of byte `n / 8`,
//! set means in use.
//!
//! The same functions work on a bitmap block and on the allocator's own copy of it. Searches go
//! 64 bits at a time. Bits that lie outside the slice count as in use, so no mistake in a bound
//! can hand out a block that does not exist.

use core::ops::Range;

/// A run of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitRun {
    /// The first bit.
    pub start: u32,
    /// How many bits.
    pub len: u32,
}

impl BitRun {
    /// The bits of the run.
    pub fn range(self) -> Range<u32> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// Bits `64 * index ..` of the bitmap, the lowest first.
#[inline]
fn word(bytes: &[u8], index: u32) -> u64 {
    let at = index as usize * 8;
    let word = at.checked_add(8).and_then(|end| bytes.get(at..end));
    match word.and_then(|w| w.try_into().ok()) {
        Some(w) => u64::from_le_bytes(w),
        None => u64::MAX,
    }
}

/// The first bit of `within` that is set, or clear as `set` says; the end of `within` where there
/// is none.
pub fn next(bytes: &[u8], within: Range<u32>, set: bool) -> u32 {
    let flip = if set { 0 } else { u64::MAX };
    let mut at = within.start;
    while at < within.end {
        let rest = (word(bytes, at / 64) ^ flip) >> (at % 64);
        if rest != 0 {
            return at.saturating_add(rest.trailing_zeros()).min(within.end);
        }
        at = (at | 63).saturating_add(1);
    }
    within.end
}

/// Whether each bit of `within` is set, or each is clear, as `set` says.
pub fn all(bytes: &[u8], within: Range<u32>, set: bool) -> bool {
    let end = within.end;
    next(bytes, within, !set) == end
}

/// The run of clear bits at the front of `within`; its length is zero where the first bit is set.
pub fn clear_run_at(bytes: &[u8], within: Range<u32>) -> BitRun {
    let start = within.start;
    let end = next(bytes, within, true);
    BitRun {
        start,
        len: end.saturating_sub(start),
    }
}

/// What [`find_clear`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The first run at least as long as wanted, cut to that: the search ends there.
    Enough(BitRun),
    /// No run is that long; this one is the longest.
    Longest(BitRun),
    /// No bit is clear.
    Nothing,
}

/// The first run of `want` clear bits in `within`, or the longest that there is.
pub fn find_clear(bytes: &[u8], within: Range<u32>, want: u32) -> Found {
    let mut longest = BitRun::default();
    let mut at = next(bytes, within.clone(), false);
    while at < within.end {
        let run = clear_run_at(bytes, at..at.saturating_add(want).min(within.end));
        if run.len >= want {
            return Found::Enough(run);
        }
        if run.len > longest.len {
            longest = run;
        }
        at = next(bytes, run.range().end..within.end, false);
    }
    if longest.len == 0 {
        Found::Nothing
    } else {
        Found::Longest(longest)
    }
}

/// How many bits of `within` are clear.
pub fn count_clear(bytes: &[u8], within: Range<u32>) -> u32 {
    let mut clear = 0u32;
    let mut at = within.start;
    while at < within.end {
        let end = (at | 63).saturating_add(1).min(within.end);
        let mut free = !word(bytes, at / 64) >> (at % 64);
        let bits = end.saturating_sub(at);
        if bits < 64 {
            free &= (1u64 << bits).wrapping_sub(1);
        }
        clear = clear.saturating_add(free.count_ones());
        at = end;
    }
    clear
}

/// Sets or clears every bit of `run` that lies in the slice.
pub fn fill(bytes: &mut [u8], run: Range<u32>, set: bool) {
    let mut apply = |byte: u32, mask: u8| {
        if let Some(b) = bytes.get_mut(byte as usize) {
            *b = if set { *b | mask } else { *b & !mask };
        }
    };
    if run.start >= run.end {
        return;
    }
    let last = run.end - 1;
    let (first_byte, last_byte) = (run.start / 8, last / 8);
    let head = u8::MAX << (run.start % 8);
    let tail = u8::MAX >> (7 - last % 8);
    if first_byte == last_byte {
        return apply(first_byte, head & tail);
    }
    apply(first_byte, head);
    apply(last_byte, tail);
    if let Some(middle) = bytes.get_mut(first_byte as usize + 1..last_byte as usize) {
        middle.fill(if set { u8::MAX } else { 0 });
    }
}
