// SPDX-License-Identifier: GPL-2.0

//! Making an inode.

use super::info::Origin;
use super::{attach, table};
use crate::alloc::{self, Placement};
use crate::format::inode::{flags, mode, DiskInode, I_BLOCK_SIZE};
use crate::format::units::GroupNumber;
use crate::format::xattr::prefix;
use crate::format::Problem;
use crate::jbd_glue::Operation;
use crate::kern::attr::IdMap;
use crate::kern::inode::{FreshInode, Inode, NewInode};
use crate::kern::random;
use crate::kern::xattr::{init_security, How};
use crate::superblock::{orphan, Switch};
use crate::{acl, extents, here, superblock, xattr, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// What is to be made.
pub(crate) struct Birth<'a> {
    /// The owners' map of the mount that the request came through.
    pub(crate) idmap: &'a IdMap,
    /// The directory that the inode gets its name in.
    pub(crate) dir: &'a Inode<Ext4>,
    /// The name, which may decide where a directory goes.
    pub(crate) name: &'a [u8],
    /// Type and permission bits.
    pub(crate) mode: u16,
    /// For a device its number, major and minor.
    pub(crate) device: (u32, u32),
    /// For a symlink its target, without a terminator.
    pub(crate) target: &'a [u8],
}

impl Birth<'_> {
    fn is(&self, kind: u16) -> bool {
        self.mode & mode::TYPE == kind
    }

    /// Whether the symlink's target fits into the inode.
    pub(crate) fn is_fast_symlink(&self) -> bool {
        self.is(mode::SYMLINK) && self.target.len() < I_BLOCK_SIZE
    }

    fn has_blocks(&self) -> bool {
        self.is(mode::REGULAR)
            || self.is(mode::DIRECTORY)
            || (self.is(mode::SYMLINK) && !self.is_fast_symlink())
    }

    fn placement(&self) -> Placement {
        if !self.is(mode::DIRECTORY) {
            return Placement::File;
        }
        let parent = self.dir;
        let top = parent.ino() == crate::format::geometry::ROOT_INODE
            || parent.info().has_flags(flags::TOPDIR);
        if top {
            Placement::TopDirectory {
                spread: crate::crc32c(0, self.name),
            }
        } else {
            Placement::Directory
        }
    }

    fn flags(&self) -> u32 {
        let inherited = self.dir.info().flags() & flags::INHERITED & !flags::JOURNAL_DATA;
        let kept = inherited & flags::fitting(self.mode);
        if self.has_blocks() {
            kept | flags::EXTENTS
        } else {
            kept
        }
    }
}

/// Makes an inode, with one link, in a running operation. Dirties at most
/// [`alloc::INODE_CREDITS`] blocks, and for what it inherits those of [`xattr::CREDITS`].
///
/// # Errors
///
/// `ENOSPC`, `ENOENT` where the directory is deleted, those of device and journal. Where an inode
/// was allocated already, `given_up` holds it then; see [`abandon`].
pub(crate) fn new_inode(
    birth: &Birth<'_>,
    operation: &mut Operation<'_>,
    given_up: &mut Option<ARef<Inode<Ext4>>>,
) -> Result<NewInode<Ext4>> {
    let sb = birth.dir.sb();
    let fs = sb.info();
    if birth.dir.nlink() == 0 {
        return Err(ENOENT);
    }
    let fresh = FreshInode::new(sb)?;
    let parent = fs
        .geometry
        .inode_group(birth.dir.ino())
        .map_or(GroupNumber(0), |(group, _)| group);
    let new = alloc::allocate_inode(fs.groups()?, operation, parent, birth.placement())?;
    let inode = fresh.hash(new.ino).map_err(|_| {
        // Somebody uses it: the bitmap lies. Its bit stays set now.
        let problem = Problem::new("an inode in use was marked free", new.ino.0.into());
        superblock::error(sb, here!().inode(new.ino), problem)
    })?;
    match fill(birth, &inode, operation) {
        Ok(()) => Ok(inode),
        Err(error) => {
            *given_up = Some(abandon(inode, operation));
            Err(error)
        }
    }
}

fn fill(birth: &Birth<'_>, inode: &NewInode<Ext4>, operation: &mut Operation<'_>) -> Result {
    let geo = &inode.sb().info().geometry;
    if inode.sb().info().is_on(Switch::Grpid) {
        birth.idmap.init_owner_as_bsd(inode, birth.dir, birth.mode);
    } else {
        birth.idmap.init_owner(inode, birth.dir, birth.mode);
    }
    let lists = inode.inherit_acls(birth.dir)?;
    let now = inode.touch_mtime();
    inode.set_atime(now);
    inode.set_generation(random::u32());
    inode.start_version();
    let info = inode.info();
    info.set_origin(Origin {
        seed: geo.inode_seed(inode.ino(), inode.generation()),
        extra_isize: geo.want_extra_isize,
        projid: 0,
        crtime: now,
    });
    info.set_fresh(true);
    super::set_flags(inode, birth.flags());

    // Not the mode that was asked for: the umask, and what the owner may not have, are off it.
    let mut disk = DiskInode::new(geo, inode.mode(), inode.generation());
    if birth.is(mode::CHAR) || birth.is(mode::BLOCK) {
        let (major, minor) = birth.device;
        disk.set_device(major, minor);
    } else if birth.is_fast_symlink() {
        let room = disk.i_block.get_mut(..birth.target.len()).ok_or(EINVAL)?;
        room.copy_from_slice(birth.target);
        info.set_target(super::iget::terminated(birth.target)?);
    } else if birth.has_blocks() {
        extents::init_root(&mut disk.i_block);
    }
    let mut data = info.data.write();
    data.i_block = disk.i_block;
    if birth.is_fast_symlink() {
        inode.set_size(birth.target.len() as u64);
        info.set_disk_size(&mut data, birth.target.len() as u64);
    }
    attach(inode, &disk)?;
    table::write_inode(inode, &data, operation)?;
    drop(data);
    acl::init(inode, &lists, operation)?;
    init_security(inode, birth.dir, birth.name, |label, value| {
        let security = prefix::SECURITY;
        xattr::set_in(inode, security, label, Some(value), How::Any, operation)
    })
}

/// Gives up an inode of which nothing is to stay: it becomes an orphan without a name. The last
/// reference frees it; it is to be dropped after the operation has ended.
#[must_use]
pub(crate) fn abandon(inode: NewInode<Ext4>, operation: &mut Operation<'_>) -> ARef<Inode<Ext4>> {
    inode.clear_nlink();
    // Where these fail, the journal has aborted, and nothing of the operation will be seen.
    let _ = orphan::add(&inode, operation);
    let _ = table::write_inode_unlocked(&inode, operation);
    inode.unlock()
}
