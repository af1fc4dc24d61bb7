// SPDX-License-Identifier: GPL-2.0

//! ext4rs: the ext4 file system in Rust, with every regular file's buffered I/O through iomap.
//!
//! This file is wiring only: the module's head and its rooms.

use kern::inode::InodeCacheGuard;
use kernel::prelude::*;

mod bindings;

pub(crate) mod acl;
pub mod alloc;
pub(crate) mod dir;
pub mod dirblock;
pub mod errortag;
pub mod extent_status;
pub mod extents;
pub(crate) mod fallocate;
pub(crate) mod file;
pub mod format;
pub mod inode;
pub(crate) mod ioctl;
pub mod iomap;
pub mod jbd_glue;
pub mod kern;
pub mod mapper;
pub(crate) mod namei;
pub(crate) mod patience;
pub mod sort;
pub mod store;
#[path = "super/mod.rs"]
pub mod superblock;
pub(crate) mod symlink;
pub(crate) mod truncate;
pub(crate) mod xattr;

pub use kern::crc32c::crc32c;

/// The file system type.
pub(crate) struct Ext4;

impl kern::fs::FileSystem for Ext4 {
    type Super = superblock::SuperInfo;
    type Inode = inode::InodeInfo;
}

/// The loaded module. Dropped in the order of the fields.
struct Ext4Rs {
    _types: superblock::types::Types,
    _inodes: InodeCacheGuard<Ext4>,
}

impl kernel::Module for Ext4Rs {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let inodes = superblock::ops::INODES.create()?;
        let stand_in = module_parameters::register_ext4.value();
        Ok(Self {
            _types: superblock::types::Types::register(module, stand_in)?,
            _inodes: inodes,
        })
    }
}

module! {
    type: Ext4Rs,
    name: "ext4rs",
    authors: ["The ext4rs developers"],
    description: "ext4 file system in Rust, with iomap",
    license: "GPL",
    alias: ["fs-ext4rs"],
    params: {
        register_ext4: bool {
            default: false,
            description: "Stand in for C ext4: mount ext4, ext3 and ext2 as well",
        },
    },
}
