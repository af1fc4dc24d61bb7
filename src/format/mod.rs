// SPDX-License-Identifier: GPL-2.0

//! What ext4 looks like on disk: raw structures, checksums, and the one checked conversion of
//! each into a typed descriptor. Pure: no kernel object, no `unsafe`.
//!
//! A typed descriptor ([`Geometry`], [`GroupDesc`], [`DiskInode`], ...) exists only after its
//! bytes were checked; past that point nothing re-validates and nothing trusts bytes. What is
//! found wrong is a [`Problem`].
//!
//! Called by every other room; calls none.

pub mod acl;
pub mod block_size;
mod checksum;
pub mod extent;
pub mod features;
pub mod geometry;
pub mod group_desc;
pub mod inode;
pub(crate) mod le;
pub mod orphan;
pub mod problem;
pub mod superblock;
pub mod timestamp;
pub mod units;
pub mod xattr;

pub use block_size::BlockSize;
pub use geometry::{Geometry, GroupChecksum, ROOT_INODE};
pub use group_desc::GroupDesc;
pub use inode::DiskInode;
pub use problem::{Kind, Problem};
pub use superblock::RawSuperblock;
