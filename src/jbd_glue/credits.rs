// SPDX-License-Identifier: GPL-2.0

//! How many metadata blocks each kind of operation may dirty.
//!
//! An upper bound, not a guess: jbd2 warns and fails the operation that needs more. Counted in
//! blocks; an allocation dirties a bitmap and a descriptor block in each group that it touches.

use crate::kern::jbd2::Credits;

/// A group's bitmap and the block that holds its descriptor.
const GROUP: u32 = 2;

/// The deepest extent tree that the format allows, in levels below the root.
const MAX_DEPTH: u32 = 5;

/// The block that holds an inode.
pub(crate) const INODE: u32 = 1;

/// The super block, for the orphan list's head and the feature bits that the first use sets.
pub(crate) const SUPER: u32 = 1;

/// Linking an inode to the orphans or taking it off: a slot's block in the orphan file, or the
/// super block and the neighbour in the list.
pub(crate) const ORPHAN: u32 = SUPER + INODE + 1;

/// Inserting an extent into a tree and allocating its blocks: each level may split, which
/// allocates a node and dirties it beside the old one and the group of each new node, and the
/// data comes from one group.
pub(crate) const INSERT_EXTENT: u32 = MAX_DEPTH * (2 + GROUP) + GROUP + INODE;

/// Changing an extent's state, which may split it twice.
pub(crate) const CONVERT_EXTENT: u32 = 2 * INSERT_EXTENT;

/// Adding a directory entry: the leaf, a split leaf, the index blocks with a split each, and the
/// blocks that the directory grows by.
pub(crate) const ADD_ENTRY: u32 = 8 + 2 * INSERT_EXTENT;

/// Removing a directory entry: its block, and the directory's inode.
pub(crate) const REMOVE_ENTRY: u32 = 1 + INODE;

/// Allocating or freeing an inode: the group's inode bitmap and descriptor, the inode itself, and
/// the block bitmap of a group used for the first time.
pub(crate) const ALLOCATE_INODE: u32 = GROUP + INODE + 1;

/// Changing the attributes of an inode: their block, the group that a new one comes from, and the
/// group that the old one goes back to.
pub(crate) const ATTRIBUTES: u32 = 1 + 2 * GROUP;

/// Moving a name: two directories, the entry in each, `..` of a moved directory, the inodes, and
/// the orphan that a replaced one becomes.
const RENAME: u32 = ADD_ENTRY + 2 * REMOVE_ENTRY + 4 * INODE + 1 + ORPHAN;

/// One step of a truncate: a leaf, the nodes above it, the groups of what it frees and the inode.
/// More is asked for step by step.
pub(crate) const TRUNCATE_STEP: u32 = MAX_DEPTH + 1 + 8 * GROUP + INODE + ORPHAN;

/// A change of an inode alone.
pub(crate) const fn inode_update() -> Credits {
    Credits::blocks(INODE + SUPER)
}

/// One allocation in a mapping callback.
pub(crate) const fn map() -> Credits {
    Credits::blocks(INSERT_EXTENT + INODE)
}

/// One conversion of an extent at completion.
pub(crate) const fn convert() -> Credits {
    Credits::blocks(CONVERT_EXTENT + INODE)
}

/// A start of a truncate; the revokes cover the nodes of a small tree.
pub(crate) const fn truncate() -> Credits {
    Credits {
        blocks: TRUNCATE_STEP,
        revokes: TRUNCATE_STEP,
    }
}

/// Cutting a hole into a file and moving what is behind it, with the new size, in one transaction:
/// four leaves, as many as a root points to, all of which a move changes; and some more groups for
/// what the hole frees. A larger tree, and a hole in more pieces, ask for more step by step.
pub(crate) const fn shift() -> Credits {
    const BLOCKS: u32 = TRUNCATE_STEP + INSERT_EXTENT + 4 + 8 * GROUP;
    Credits {
        blocks: BLOCKS,
        revokes: BLOCKS,
    }
}

/// Creating a name and an inode for it (create, mkdir, mknod, symlink), with a first block and the
/// attributes that it is born with.
pub(crate) const fn create() -> Credits {
    Credits::blocks(ALLOCATE_INODE + ADD_ENTRY + INSERT_EXTENT + ATTRIBUTES + 2 * INODE + ORPHAN)
}

/// Removing a name, and orphaning the inode that had it.
pub(crate) const fn unlink() -> Credits {
    Credits::blocks(REMOVE_ENTRY + INODE + ORPHAN)
}

/// Adding a name for an inode that exists.
pub(crate) const fn link() -> Credits {
    Credits::blocks(ADD_ENTRY + INODE + ORPHAN)
}

/// Moving a name.
pub(crate) const fn rename() -> Credits {
    Credits::blocks(RENAME)
}

/// The same, with a new inode that stays under the old name.
pub(crate) const fn rename_with_whiteout() -> Credits {
    Credits::blocks(RENAME + ALLOCATE_INODE + ATTRIBUTES + INODE)
}
