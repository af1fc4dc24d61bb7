// SPDX-License-Identifier: GPL-2.0

//! Inodes: from the inode table into memory, back in a handle, attributes, and the end.

pub mod info;

pub use info::{InodeData, InodeInfo, Origin, OrphanState};
