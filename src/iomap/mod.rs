// SPDX-License-Identifier: GPL-2.0

//! The data of regular files, between the page cache and the block mapper.
//!
//! # Who does what
//!
//! ```text
//! write(2) ── file ── write ── mapper: reserve ──► delayed extent, dirty folios
//! flusher, fsync ──── writeback ── mapper: allocate ──► unwritten extent, bio
//! end of the bio ──── completion ── mapper: convert ──► written extent, size on disk
//! read(2), fault ──── read ── mapper: look up ──► bio, or zeros
//! ```
//!
//! Everything here is policy over [`crate::kern::iomap`] and [`crate::mapper`]; the protocol of
//! the write path is written down in `Documentation/writeback.md`.
//!
//! # Lock order
//!
//! inode rwsem, mapping's invalidate lock, folio lock, journal handle, `i_data_sem`, status lock.
//! Handles begin and end inside the mapper.

pub(crate) mod direct;
pub(crate) mod read;
pub(crate) mod size;
pub(crate) mod stats;
pub(crate) mod write;
pub(crate) mod writeback;
