// SPDX-License-Identifier: GPL-2.0

//! Directories: blocks of entries, linear or indexed by the names' hashes.
//!
//! - `entry`, `leaf`: the entries of one block; [`Layout`] is what a directory's blocks share.
//! - `hash`, `index`: names' hashes and the index nodes that they order.
//! - `split`: new contents of blocks, worked out on the side.
//! - `directory`, `change`: [`lookup`], [`add`], [`remove`] ... over whole directories, through the
//!   traits [`DirBlocks`] and [`DirWriter`] that the kernel's `dir` room implements.
//! - `read`: [`read_dir`].
//!
//! Owned by the directory's rwsem: shared to look and read, exclusive to change. Pure: no kernel
//! object, no `unsafe`; the same files run on the host against images of mke2fs.
//!
//! # What a change touches, in this order
//!
//! - A name that fits into its leaf: that leaf.
//! - A leaf that is full: the new leaf (appended), the old one, the node above them.
//! - Is that node full too: first, as a change of its own, a new node is appended and either
//!   takes half of its entries and enters the root, or takes all of the root's and makes the index
//!   a level deeper.
//! - A directory that outgrows its only block: a leaf with its entries is appended and the block
//!   becomes the root.
//!
//! So one name dirties at most 2 leaves, 2 nodes and the root, besides what allocating up to 2
//! blocks dirties ([`ADD_BLOCKS`], [`ADD_APPENDS`]); removing dirties 1.
//!
//! Format: `Documentation/filesystems/ext4/directory.rst`.

mod change;
mod directory;
mod entry;
mod hash;
mod index;
mod leaf;
mod read;
mod split;

pub use change::{add, change, init, remove, set_parent};
pub use directory::{is_empty, lookup, parent, DirBlocks, DirWriter, Format, Found};
pub use entry::{file_type, Entry, Layout, NAME_MAX};
pub use hash::{Algorithm, Hasher, NameHash};
pub use index::{Node, NodeKind, RootInfo};
pub use read::{is_by_hash, read_dir, Emit, Position, END, SHORT_END};

/// Blocks of the directory that [`add`] dirties, at the most.
pub const ADD_BLOCKS: u32 = 5;
/// Blocks that [`add`] appends, at the most.
pub const ADD_APPENDS: u32 = 2;
