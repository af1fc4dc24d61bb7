// SPDX-License-Identifier: GPL-2.0

//! The safe wrappers over C interfaces that the `kernel` crate lacks.
//!
//! All `unsafe` of the module lives here and in `bindings`. A file here wraps one C object or one
//! idiom, says which C header it comes from, and states the invariants on which its SAFETY
//! comments rest. Rooms above use these types and never see a raw pointer.

pub mod acl;
pub mod attr;
pub mod buffer;
pub mod crc32c;
pub mod cred;
pub mod dentry;
pub mod dir_context;
pub mod direct;
pub mod export;
mod fiemap;
pub mod file;
pub mod fs;
pub mod fs_context;
pub mod inode;
pub mod inode_ops;
pub(crate) mod ioctl;
pub mod ioend;
pub mod iomap;
pub mod jbd2;
pub mod log;
pub mod mapping;
pub mod nofs;
pub mod ops;
pub mod panic;
pub mod proc;
pub mod random;
pub mod rwsem;
pub mod super_block;
pub mod super_buffer;
pub mod super_ops;
pub(crate) mod sysfs;
pub mod time;
pub(crate) mod trace;
pub mod workqueue;
pub mod writeback;
pub mod xattr;
