// SPDX-License-Identifier: GPL-2.0

//! A mounted file system as a whole: mounting, unmounting, its options, its superblock on disk, and
//! what happens when something is found wrong.
//!
//! # Data
//!
//! | type | what | who changes it |
//! |---|---|---|
//! | [`SuperInfo`] | everything of one mounted file system | made by [`mount`], closed by [`unmount`] |
//! | [`Options`] | the mount options | mount, remount |
//! | [`Health`] | the record of errors | [`error`], from anywhere |
//! | the superblock's bytes | free counts, state, errors, orphan list | [`write_out`]; a handle, through [`SuperInfo::update_superblock`] |
//!
//! # Order at mount
//!
//! superblock, geometry, journal inode, journal recovery, superblock again, groups, root, orphans.
//! Nothing but the journal inode is looked at before recovery, since recovery may change it.
//!
//! # Lock order
//!
//! label mutex, journal handle, superblock mutex, options and health spinlocks (innermost).
//!
//! [`mount`]: mount::fill
//! [`unmount`]: unmount::close
//! [`write_out`]: write_out::commit

pub(crate) mod checkpoint;
#[cfg_attr(not(CONFIG_EXT4RS_DEBUG), path = "no_errortags.rs")]
pub(crate) mod errortags;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod label;
pub(crate) mod last_mounted;
pub(crate) mod mount;
pub(crate) mod ops;
pub(crate) mod options;
pub(crate) mod orphan;
pub(crate) mod proc;
pub(crate) mod publish;
pub(crate) mod remount;
pub(crate) mod shutdown;
pub(crate) mod sysfs;
pub(crate) mod trim;
pub(crate) mod types;
pub(crate) mod unmount;
pub(crate) mod write_out;

pub(crate) use health::{error, start, with_space, Where};
pub(crate) use info::SuperInfo;
pub(crate) use options::Switch;
