// SPDX-License-Identifier: GPL-2.0

//! Fuzz targets: functions over bytes that must not panic, overflow or go on without end, whatever
//! the bytes are.
//!
//! Flat structures are read from the input as they lie on disk. Trees and tables start as good
//! ones in memory; the input is a list of damages to them and of calls, so that short inputs
//! reach deep. Where a checksum would stop everything it is mended, or the format has none.
//!
//! `corpus/TARGET` holds small inputs that together reach what was ever reached; the host tests
//! replay them.

#![allow(
    clippy::unwrap_used,
    reason = "what is built here by hand is good; a panic is what is looked for"
)]

mod directory;
mod extents;
mod flat;
mod groups;
mod input;
mod memory;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("superblock", flat::superblock),
    ("group_desc", flat::group_desc),
    ("inode", flat::inode),
    ("extent_node", flat::extent_node),
    ("xattr", flat::xattr),
    ("orphan", flat::orphan),
    ("dir_block", directory::block),
    ("directory", directory::run),
    ("extents", extents::run),
    ("groups", groups::run),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
}
