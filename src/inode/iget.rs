// SPDX-License-Identifier: GPL-2.0

//! Bringing an inode into memory.

use super::info::Origin;
use super::{attach, report, table};
use crate::alloc::{GroupTable, Run};
use crate::format::inode::{flags, mode, DiskInode};
use crate::format::units::{InodeNumber, PhysicalBlock};
use crate::format::Problem;
use crate::kern::inode::{iget_locked, IgetResult, Inode, NewInode};
use crate::kern::super_block::SuperBlock;
use crate::{acl, fs_err, here, superblock, Ext4};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// What an inode is wanted for, which decides what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A name in a directory stands for it.
    Name,
    /// The file system itself uses it: the root at mount, the journal, the orphan file.
    Internal,
    /// It is on record as an orphan; it may have no name.
    Orphan,
    /// Somebody had a handle of it, or claims so: whatever is wrong, it is no damage.
    Handle,
}

/// The inode `ino`, from memory or from disk. May sleep.
///
/// # Errors
///
/// `ESTALE` where the inode is not in use, `EFSCORRUPTED` or `EFSBADCRC` (reported) where it is
/// damaged, `EOPNOTSUPP` (logged) where it uses a feature that is not supported, `EIO`, `ENOMEM`.
pub(crate) fn iget(
    sb: &SuperBlock<Ext4>,
    ino: InodeNumber,
    purpose: Purpose,
) -> Result<ARef<Inode<Ext4>>> {
    let geo = &sb.info().geometry;
    let may_be = match purpose {
        Purpose::Name | Purpose::Orphan | Purpose::Handle => geo.is_file_inode(ino),
        Purpose::Internal => geo.contains_inode(ino),
    };
    if !may_be && purpose == Purpose::Handle {
        return Err(ESTALE);
    }
    if !may_be {
        let problem = Problem::new("a reserved or absent inode", ino.0.into());
        return Err(superblock::error(sb, here!().inode(ino), problem));
    }
    match iget_locked(sb, ino)? {
        IgetResult::Cached(inode) if inode.is_bad() => Err(EIO),
        IgetResult::Cached(inode) => Ok(inode),
        IgetResult::New(inode) => {
            fill(&inode, purpose)?;
            Ok(inode.unlock())
        }
    }
}

fn fill(inode: &NewInode<Ext4>, purpose: Purpose) -> Result {
    let (at, parsed) = table::read(inode.sb(), inode.ino())?;
    let disk = match parsed {
        Ok(disk) => disk,
        Err(problem) if problem.errno() == ESTALE => return Err(not_in_use(inode, at, purpose)),
        // The number may be one that never was in use.
        Err(_) if purpose == Purpose::Handle => return Err(ESTALE),
        Err(problem) => return Err(report(inode, Some(at), problem)),
    };
    if disk.links == 0 && purpose != Purpose::Orphan {
        return Err(not_in_use(inode, at, purpose));
    }
    check_supported(inode, &disk)?;
    let sb = inode.sb();
    inode.set_mode(disk.mode);
    inode.set_owner(disk.uid, disk.gid);
    inode.set_nlink(disk.links.into());
    inode.set_size(disk.size);
    inode.set_blocks(disk.blocks);
    inode.set_generation(disk.generation);
    inode.set_version(disk.version);
    inode.set_atime(disk.atime.into());
    inode.set_mtime(disk.mtime.into());
    inode.set_ctime(disk.ctime.into());

    let info = inode.info();
    info.set_origin(Origin {
        seed: sb.info().geometry.inode_seed(inode.ino(), disk.generation),
        extra_isize: disk.extra_isize,
        projid: disk.projid,
        crtime: disk.crtime.into(),
    });
    check_attributes(inode, at, &disk)?;
    info.set_file_acl(disk.file_acl);
    superblock::orphan::recall(inode);
    super::set_flags(inode, disk.flags);
    let mut data = info.data.write();
    data.i_block = disk.i_block;
    info.set_disk_size(&mut data, disk.size);
    drop(data);
    if let Some(journal) = sb.info().journal() {
        // What it was last changed by is not known; anything up to now may still be on its way.
        info.touched_by(journal.newest_tid(), true);
    }
    if disk.is_symlink() {
        let target = disk.fast_symlink(inode.block_size());
        match target {
            // An orphan may have lost its target already.
            _ if purpose == Purpose::Orphan => {}
            Ok(Some(target)) => info.set_target(terminated(target)?),
            Ok(None) => {}
            Err(problem) => return Err(report(inode, Some(at), problem)),
        }
    }
    acl::note_absence(inode)?;
    attach(inode, &disk)
}

/// A name may outlive its inode in somebody's memory; what the file system itself is built on
/// must be there.
fn not_in_use(inode: &Inode<Ext4>, at: PhysicalBlock, purpose: Purpose) -> Error {
    match purpose {
        Purpose::Internal => {
            let problem = Problem::new("an inode of the file system's own is not in use", 0);
            report(inode, Some(at), problem)
        }
        Purpose::Name | Purpose::Orphan | Purpose::Handle => ESTALE,
    }
}

/// The block of attributes must be no other metadata, which a change of them would destroy.
fn check_attributes(inode: &Inode<Ext4>, at: PhysicalBlock, disk: &DiskInode) -> Result {
    let (Some(start), Ok(groups)) = (disk.file_acl, inode.sb().info().groups()) else {
        return Ok(());
    };
    if groups.may_hold_data(Run { start, len: 1 }) {
        return Ok(());
    }
    let problem = Problem::new("attributes where other metadata is, in block", start.0);
    Err(report(inode, Some(at), problem))
}

/// Refuses what this inode needs and ext4rs does not have.
fn check_supported(inode: &Inode<Ext4>, disk: &DiskInode) -> Result {
    for (flag, name) in [
        (flags::INLINE_DATA, "inline data"),
        (flags::ENCRYPT, "encryption"),
        (flags::VERITY, "verity"),
        (flags::CASEFOLD, "case folding"),
        (flags::EA_INODE, "an attribute's value"),
        (flags::JOURNAL_DATA, "journaled data"),
    ] {
        if disk.flags & flag != 0 {
            return Err(unsupported(inode, name));
        }
    }
    let has_blocks = match disk.mode & mode::TYPE {
        mode::REGULAR | mode::DIRECTORY => true,
        mode::SYMLINK => matches!(disk.fast_symlink(inode.block_size()), Ok(None)) && disk.size > 0,
        _ => false,
    };
    if has_blocks && disk.flags & flags::EXTENTS == 0 {
        return Err(unsupported(inode, "a block map instead of extents"));
    }
    Ok(())
}

fn unsupported(inode: &Inode<Ext4>, name: &str) -> Error {
    fs_err!(
        inode.sb(),
        "inode #{}: not supported: {}",
        inode.ino().0,
        name
    );
    EOPNOTSUPP
}

/// A copy of `bytes` with a zero at the end.
pub(crate) fn terminated(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::with_capacity(bytes.len().saturating_add(1), GFP_KERNEL)?;
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    copy.push(0, GFP_KERNEL)?;
    Ok(copy)
}
