// SPDX-License-Identifier: GPL-2.0

//! The system zone: where the file system's own metadata lies, and so where no file's block may.
//!
//! Superblock and descriptor copies, bitmaps and inode tables of every group, and whatever the
//! `super` room adds (the journal's blocks). Built once at mount, then only read, so it needs no
//! lock. Neighbouring ranges are merged: with `flex_bg` a 16 TiB file system has a few thousand.

use crate::format::units::{GroupNumber, PhysicalBlock};
use crate::format::{Geometry, GroupDesc, Problem};
use core::ops::Range;
use kernel::prelude::*;

/// Sorted, disjoint ranges of blocks.
#[derive(Default)]
pub struct SystemZone {
    ranges: KVVec<Range<u64>>,
}

/// Collects ranges in any order.
#[derive(Default)]
pub struct ZoneBuilder {
    ranges: KVVec<Range<u64>>,
}

impl ZoneBuilder {
    /// No metadata yet.
    pub fn new() -> Self {
        Self {
            ranges: KVVec::new(),
        }
    }

    /// The metadata of every group: superblock and descriptor copies, bitmaps, inode tables.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add); `EFSCORRUPTED` where `desc` does not know a group.
    pub fn of_groups(
        geo: &Geometry,
        desc: impl Fn(GroupNumber) -> Option<GroupDesc>,
    ) -> Result<Self> {
        let mut builder = Self::new();
        // One kind at a time: with `flex_bg`, those of neighbouring groups lie side by side.
        let groups = || (0..geo.groups).map(GroupNumber);
        for group in groups() {
            let start = geo.group_start(group).ok_or(EFSCORRUPTED)?;
            builder.add(start, geo.base_meta_blocks(group).into())?;
        }
        for group in groups() {
            builder.add(desc(group).ok_or(EFSCORRUPTED)?.block_bitmap, 1)?;
        }
        for group in groups() {
            builder.add(desc(group).ok_or(EFSCORRUPTED)?.inode_bitmap, 1)?;
        }
        for group in groups() {
            let table = desc(group).ok_or(EFSCORRUPTED)?.inode_table;
            builder.add(table, geo.inode_table_blocks.into())?;
        }
        Ok(builder)
    }

    /// Adds `len` blocks from `start`.
    ///
    /// Cheap in memory where calls come in order of address: a range that continues the last one
    /// extends it.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` for a range past the end of the number space, `ENOMEM`.
    pub fn add(&mut self, start: PhysicalBlock, len: u64) -> Result {
        let end = start.0.checked_add(len).ok_or(EFSCORRUPTED)?;
        if let Some(last) = self.ranges.last_mut() {
            if last.end == start.0 {
                last.end = end;
                return Ok(());
            }
        }
        if len > 0 {
            self.ranges.push(start.0..end, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Sorts and merges.
    ///
    /// # Errors
    ///
    /// Two pieces of metadata claim the same block.
    pub fn finish(mut self) -> Result<SystemZone, Problem> {
        let ranges = self.ranges.as_mut_slice();
        crate::sort::sort_by(ranges, |a, b| a.start.cmp(&b.start));
        let mut kept = 0usize;
        for at in 0..ranges.len() {
            let Some(next) = ranges.get(at).cloned() else {
                break;
            };
            match kept.checked_sub(1).and_then(|last| ranges.get_mut(last)) {
                Some(last) if next.start < last.end => {
                    return Err(Problem::new("two pieces of metadata overlap", next.start));
                }
                Some(last) if next.start == last.end => last.end = next.end,
                _ => {
                    if let Some(slot) = ranges.get_mut(kept) {
                        *slot = next;
                    }
                    kept += 1;
                }
            }
        }
        self.ranges.truncate(kept);
        Ok(SystemZone {
            ranges: self.ranges,
        })
    }
}

impl SystemZone {
    /// The part of the zone that lies in `blocks`, in order.
    pub fn within(&self, blocks: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self
            .ranges
            .partition_point(|range| range.end <= blocks.start);
        let rest = self.ranges.get(first..).unwrap_or(&[]);
        let end = blocks.end;
        rest.iter()
            .take_while(move |range| range.start < end)
            .map(move |range| range.start.max(blocks.start)..range.end.min(end))
    }

    /// How many blocks the zone has.
    pub fn blocks(&self) -> u64 {
        let lengths = self.ranges.iter().map(|r| r.end.saturating_sub(r.start));
        lengths.fold(0, u64::saturating_add)
    }

    /// Whether any of the `len` blocks from `start` is metadata.
    pub fn overlaps(&self, start: PhysicalBlock, len: u64) -> bool {
        let end = start.0.saturating_add(len);
        self.within(start.0..end).next().is_some()
    }
}
