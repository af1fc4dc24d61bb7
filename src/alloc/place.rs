// SPDX-License-Identifier: GPL-2.0

//! Where things should go: directories apart from each other, files beside their directory, a
//! file's blocks near its inode.
//!
//! Inodes are packed at the front of a flexible group's inode tables, which lie together on disk.
//! Everything here reads summaries without locks, and so gives only a first guess: the allocators
//! search on from it.

use super::inodes::Placement;
use super::table::{GroupTable, Summary};
use crate::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use crate::format::Geometry;

/// Flexible groups of at least this many groups keep their first group for directories.
const FLEX_WITH_DIRECTORY_GROUP: u32 = 4;
/// From this many blocks on, a file is worth a region of its own.
const LARGE: u32 = 256;

/// Where the first block of inode `ino` should go, if `want` blocks are to be allocated at once.
///
/// Directories and other special files go to the front of their flexible group, small files
/// together into its second group. Large pieces begin in a group picked by the inode's number:
/// files that are written at the same time do not get into each other's way there.
pub fn block_goal(geo: &Geometry, ino: InodeNumber, regular: bool, want: u32) -> PhysicalBlock {
    let own = geo
        .inode_group(ino)
        .map_or(GroupNumber(0), |(group, _)| group);
    let group = if geo.flex_size < FLEX_WITH_DIRECTORY_GROUP {
        own
    } else {
        let first = flex_start(geo, geo.flex_group(own));
        let others = geo
            .flex_size
            .min(geo.groups.saturating_sub(first))
            .saturating_sub(1);
        let step = match ino.0.checked_rem(others) {
            Some(own_region) if regular && want >= LARGE => own_region.saturating_add(1),
            Some(_) if regular => 1,
            _ => 0,
        };
        GroupNumber(first.saturating_add(step))
    };
    geo.group_start(group).unwrap_or(geo.first_data_block)
}

fn flex_start(geo: &Geometry, flex: u32) -> u32 {
    flex.saturating_mul(geo.flex_size)
}

/// The groups of a flexible group.
fn members(geo: &Geometry, flex: u32) -> impl Iterator<Item = GroupNumber> {
    let start = flex_start(geo, flex);
    (start..start.saturating_add(geo.flex_size).min(geo.groups)).map(GroupNumber)
}

/// Sums over the groups of a flexible group, or the means of all flexible groups.
#[derive(Clone, Copy, Default)]
struct Load {
    free_blocks: u64,
    free_inodes: u64,
    directories: u64,
}

impl Load {
    fn of<T: GroupTable>(table: &T, flex: u32) -> Self {
        let mut load = Self::default();
        for summary in members(table.geometry(), flex).filter_map(|group| table.summary(group)) {
            load.free_blocks += u64::from(summary.free_blocks());
            load.free_inodes += u64::from(summary.free_inodes());
            load.directories += u64::from(summary.directories());
        }
        load
    }

    fn mean<T: GroupTable>(table: &T, flexes: u32) -> Self {
        let counters = table.counters();
        let share = |sum: u64| sum.checked_div(flexes.into()).unwrap_or(0);
        Self {
            free_blocks: share(counters.free_blocks()),
            free_inodes: share(counters.free_inodes().into()),
            directories: share(counters.directories().into()),
        }
    }
}

/// The group in which the search for a free inode begins; `None` where none is free.
pub(super) fn inode_group<T: GroupTable>(
    table: &T,
    parent: GroupNumber,
    placement: Placement,
) -> Option<GroupNumber> {
    let geo = table.geometry();
    let flexes = geo.groups.div_ceil(geo.flex_size.max(1)).max(1);
    let home = geo.flex_group(parent).min(flexes.saturating_sub(1));
    let choice = match placement {
        Placement::File => front(table, home).or_else(|| near(table, home, flexes)),
        Placement::Directory => near(table, home, flexes),
        Placement::TopDirectory { spread } => apart(table, spread, flexes),
    };
    choice.or_else(|| round(home, flexes).find_map(|flex| front(table, flex)))
}

/// All numbers below `count`, from `home` up and then from 0.
pub(super) fn round(home: u32, count: u32) -> impl Iterator<Item = u32> {
    (home..count).chain(0..home.min(count))
}

/// The first group of a flexible group that has a free inode.
fn front<T: GroupTable>(table: &T, flex: u32) -> Option<GroupNumber> {
    members(table.geometry(), flex)
        .find(|group| table.summary(*group).map_or(0, Summary::free_inodes) > 0)
}

/// For a top directory: of the flexible groups that are no fuller than the mean, the one with the
/// fewest directories.
fn apart<T: GroupTable>(table: &T, spread: u32, flexes: u32) -> Option<GroupNumber> {
    let mean = Load::mean(table, flexes);
    let mut best: Option<(u64, u32)> = None;
    for flex in round(spread.checked_rem(flexes).unwrap_or(0), flexes) {
        let load = Load::of(table, flex);
        let roomy = load.free_inodes > 0
            && load.free_inodes >= mean.free_inodes
            && load.free_blocks >= mean.free_blocks;
        if roomy && best.is_none_or(|(fewest, _)| load.directories < fewest) {
            best = Some((load.directories, flex));
        }
        if best.is_some_and(|(fewest, _)| fewest == 0) {
            break;
        }
    }
    best.and_then(|(_, flex)| front(table, flex))
}

/// For any other directory: the nearest flexible group, from the parent's on, that is not much
/// fuller than the mean and does not hold far more directories.
fn near<T: GroupTable>(table: &T, home: u32, flexes: u32) -> Option<GroupNumber> {
    let geo = table.geometry();
    let mean = Load::mean(table, flexes);
    let flex_size = u64::from(geo.flex_size.min(geo.groups));
    let inodes = flex_size.saturating_mul(geo.inodes_per_group.into());
    let blocks = flex_size.saturating_mul(geo.blocks_per_group.into());
    let most_directories = mean.directories.saturating_add(inodes / 16);
    let fewest_inodes = mean.free_inodes.saturating_sub(inodes / 4).max(1);
    let fewest_blocks = mean.free_blocks.saturating_sub(blocks / 4);
    round(home, flexes).find_map(|flex| {
        let load = Load::of(table, flex);
        let roomy = load.directories < most_directories
            && load.free_inodes >= fewest_inodes
            && load.free_blocks >= fewest_blocks;
        front(table, flex).filter(|_| roomy)
    })
}
