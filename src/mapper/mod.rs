// SPDX-License-Identifier: GPL-2.0

//! The block mapper: which blocks a part of a file has, and giving it some.
//!
//! # Purpose
//!
//! Every iomap callback (read, buffered write, writeback, direct I/O, report) asks one question,
//! [`map_blocks`]: what are the blocks from here on, and make them so that I can do *this* with
//! them. Completion, truncation, short writes and `fallocate()` have their own:
//! [`convert_unwritten`], [`remove_blocks`], [`release_delayed`], [`make_way`],
//! [`shift_blocks`], [`unwrite_blocks`]. [`size`] has the rules of the on-disk size.
//!
//! # Data
//!
//! None of its own. An inode's blocks are the on-disk tree, owned by `i_data_sem`, and the
//! [`StatusTree`](crate::extent_status::StatusTree) over it. The file system around them is a
//! [`MapperEnv`]: the kernel's inode, or a model on the host which runs the same code under a
//! model checker (`tests/rooms/tests/mapper_model.rs`).
//!
//! # The re-check
//!
//! A lookup holds no lock when it is done, and a handle must be started *before* `i_data_sem` is
//! taken for write. So between finding delayed blocks and allocating for them anything can
//! happen; writeback maps further than the folio that it holds locked:
//!
//! ```text
//! writeback                              truncate to 1 block
//!   lookup: delayed [0,3), sequence 7
//!   start a handle
//!                                          drop folios 1 and 2
//!                                          lock i_data_sem for write
//!                                          drop delayed [1,3), unreserve 2: sequence 8
//!                                          unlock
//!   lock i_data_sem for write
//!   sequence is 8, not 7: unlock, look up again: delayed [0,1)
//! ```
//!
//! Without the comparison three blocks would be allocated for one that is left. While the lock
//! is held for write nothing can move the sequence, so what was found is still the truth when
//! the comparison holds, and it stays so until the allocation is in both trees. There is no
//! second lookup under the lock: the way back to the first one also trims the length.
//!
//! # Lock order
//!
//! folio lock -> handle -> `i_data_sem` -> ES lock. A handle that the mapper starts it stops
//! before it returns. It waits for space only with neither handle nor lock held. In types: a
//! `&Data` is `i_data_sem` held for read, a `&mut Data` held for write, a `&mut Handle` a running
//! handle.

mod convert;
mod env;
mod map;
mod recent;
mod remove;
mod shift;
pub mod size;

pub use convert::convert_unwritten;
pub use env::{Event, MapperEnv, Operation, Run, Want};
pub use map::{map_blocks, map_cached, Intent, MapRequest, Mapping};
pub use recent::Recent;
pub use remove::{release_delayed, remove_blocks};
pub use shift::{make_way, shift_blocks, unwrite_blocks, Shift};
