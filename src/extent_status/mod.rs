// SPDX-License-Identifier: GPL-2.0

//! What the blocks of a file are, as far as memory knows it.
//!
//! # Purpose
//!
//! Three things that the on-disk extent tree cannot tell, or not fast enough:
//!
//! - a **cache** of it: written and unwritten extents and holes, found with one binary search
//!   under a spinlock instead of a walk over buffers under `i_data_sem`;
//! - the **delayed** blocks: data in the page cache which has space reserved and no block yet.
//!   This is the only place that knows them, so they are never dropped to save memory;
//! - the **sequence** (`i_es_seq`), which moves whenever a mapping handed out earlier may have
//!   become wrong. [`StatusTree`] has the rule on its field.
//!
//! # Data
//!
//! ```text
//! StatusTree ── Leaves ── directory: [Leaf, Leaf, ...]      sorted by first block
//!    │                                └── [Extent; <= 85]   sorted, disjoint, merged
//!    └── sequence
//! ```
//!
//! The blocks in no extent are *not cached*: only the on-disk tree knows them. They are never
//! delayed.
//!
//! # Reservations
//!
//! Each delayed block has one block of the file system reserved for it, so the inode's count of
//! reserved blocks *is* [`StatusTree::delayed_blocks`] and can never drift from it. Every change
//! returns a [`Change`]: what the caller owes to, or takes from, the file system's counter.
//!
//! # Locks
//!
//! The tree lives under a spinlock (the *ES lock*), the innermost lock of all. Two rules make its
//! content stand still where it must:
//!
//! - *changes* of what is true (allocation, conversion, removal, reserving, releasing) are made
//!   by a holder of `i_data_sem` for write;
//! - *caching* what the on-disk tree says, and dropping such entries, by a holder of
//!   `i_data_sem` for read or write. A shrinker tries the lock and skips a busy inode.
//!
//! So a holder for read may trust that no block changes its state, and a holder for write that
//! the tree is altogether still. Looking up takes the ES lock alone; what it finds can be out
//! of date as soon as that is dropped, which is what the sequence is for.
//!
//! # Memory
//!
//! Nothing is allocated under the spinlock. A change that lacks room says what it
//! [`Need`]s and has then changed nothing; the caller drops the lock, fills a [`Spare`] and comes
//! back. Most changes need nothing, removal of a file's tail never does.

mod extent;
mod leaves;
mod spare;
mod tree;

pub use extent::{Extent, State, END_OF_FILE_SPACE};
pub use spare::{Need, Spare};
pub use tree::{Change, StatusTree};
