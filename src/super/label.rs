// SPDX-License-Identifier: GPL-2.0

//! The file system's label while it is mounted (`FS_IOC_GETFSLABEL`, `FS_IOC_SETFSLABEL`), as
//! `tune2fs -L` and `e2label` set it: written past the mount, it could be lost to the journal's
//! copy of the superblock.

use super::health::start;
use crate::format::superblock::{RawSuperblock, MAGIC, SUPERBLOCK_SIZE};
use crate::format::units::GroupNumber;
use crate::kern::buffer::Buffer;
use crate::kern::jbd2::Credits;
use crate::kern::super_block::SuperBlock;
use crate::store::{MetaBlock, Transaction};
use crate::{fs_warn, Ext4};
use kernel::prelude::*;

/// Bytes of a label on disk (`EXT4_LABEL_MAX`); a shorter one is filled with zeros.
pub(crate) const ROOM: usize = 16;

/// A label and the zero that ends it.
pub(crate) type Text = [u8; ROOM + 1];

/// Backups that follow the primary superblock in its transaction. `sparse_super` has fewer, up to
/// the largest file system; without it, the later ones keep the old label.
const BACKUPS: usize = 32;

/// The label.
///
/// # Errors
///
/// None that a mounted file system can meet.
pub(crate) fn get(sb: &SuperBlock<Ext4>) -> Result<Text> {
    let name = sb.info().with_superblock(|raw| raw.volume_name)?;
    let mut text = [0; ROOM + 1];
    for (to, from) in text.iter_mut().zip(name) {
        *to = from;
    }
    Ok(text)
}

/// Gives the file system the label up to the first zero of `text`, in one transaction for the
/// superblock and its backups. The caller has write access to the mount; no handle is open.
///
/// # Errors
///
/// `EINVAL` where no zero ends it; `EIO`, `ENOMEM`, `EROFS`.
pub(crate) fn set(sb: &SuperBlock<Ext4>, text: &Text) -> Result {
    let fs = sb.info();
    let len = text.iter().position(|&byte| byte == 0).ok_or(EINVAL)?;
    let mut name = [0; ROOM];
    for (to, from) in name.iter_mut().zip(text.iter().take(len)) {
        *to = *from;
    }
    let _alone = fs.labelling.lock();
    let backups = backups(sb)?;
    let blocks = u32::try_from(backups.len())?.saturating_add(1);
    let mut operation = start(sb, Credits::blocks(blocks))?;
    let updated = fs.update_superblock(&mut operation, |raw| raw.volume_name = name);
    let updated = updated.and_then(|()| {
        backups.iter().try_for_each(|backup| {
            operation.update(backup, 0..SUPERBLOCK_SIZE, |bytes| {
                if let Some(raw) = RawSuperblock::mut_from(bytes) {
                    raw.volume_name = name;
                    raw.set_checksum();
                }
            })
        })
    });
    let stopped = operation.stop();
    updated.and(stopped)
}

/// The backups of the superblock, without bad ones.
fn backups(sb: &SuperBlock<Ext4>) -> Result<KVec<Buffer>> {
    let fs = sb.info();
    let mut backups = KVec::new();
    let groups = (1..fs.geometry.groups).map(GroupNumber);
    let with_backup = groups.filter(|&group| fs.geometry.has_super(group));
    for group in with_backup.take(BACKUPS) {
        let at = fs.geometry.group_start(group).ok_or(EFSCORRUPTED)?;
        let block = fs.device.read(at)?;
        let bytes = block.bytes().get(..SUPERBLOCK_SIZE).unwrap_or(&[]);
        let good = RawSuperblock::ref_from(bytes)
            .is_some_and(|raw| raw.magic.get() == MAGIC && raw.verify_checksum().is_ok());
        if good {
            backups.push(block, GFP_KERNEL)?;
        } else {
            fs_warn!(
                sb,
                "superblock's backup in group {} is bad: left alone",
                group.0
            );
        }
    }
    Ok(backups)
}
