// SPDX-License-Identifier: GPL-2.0

//! What a mounted file system tells about itself, and where: the directories
//! `/sys/fs/<name>/<device>` and `/proc/fs/<name>/<device>`, where the name is `ext4rs`, or `ext4`
//! for what is mounted by a name of C ext4 ([`types`](super::types)).
//!
//! Their files refer to the super block. They go first when it is unmounted, and wait for their
//! readers then.

use super::errortags;
use super::proc::{AllOptions, FreeInGroups};
use super::sysfs;
use crate::iomap::stats::WritebackStats;
use crate::kern::proc;
use crate::kern::super_block::{BackReference, Filling, SuperBlock};
use crate::kern::sysfs::{Directory, Files};
use crate::{fs_warn, Ext4};
use core::ops::Deref;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{Arc, SetOnce};

/// The directories that those of the devices are in.
pub(crate) struct Place {
    name: &'static CStr,
    directories: SetOnce<Directories>,
}

struct Directories {
    _features: Files<()>,
    sysfs: Directory,
    _proc: proc::Directory,
}

impl Place {
    /// Not open yet.
    pub(super) fn new(name: &'static CStr) -> Result<Arc<Self>> {
        let directories = SetOnce::new();
        Ok(Arc::new(Self { name, directories }, GFP_KERNEL)?)
    }

    /// Makes the directories. The caller knows that nobody else has made them, since it owns the
    /// file system type of that name.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn open(&self) -> Result {
        let sysfs = Directory::in_fs(self.name)?;
        let features = sysfs.subdirectory(c"features")?;
        let nothing = Arc::new((), GFP_KERNEL)?;
        self.directories.populate(Directories {
            _features: Files::new(features, sysfs::FEATURES, nothing)?,
            sysfs,
            _proc: proc::Directory::new(&self.proc_path(None)?)?,
        });
        Ok(())
    }

    fn proc_path(&self, device: Option<&CStr>) -> Result<CString> {
        let name = self.name.to_str()?;
        match device {
            None => CString::try_from_fmt(fmt!("fs/{}", name)),
            Some(device) => CString::try_from_fmt(fmt!("fs/{}/{}", name, device.to_str()?)),
        }
    }
}

/// A mounted file system, as its files in sysfs and procfs know it.
pub(crate) struct Mounted(BackReference<Ext4>);

impl Deref for Mounted {
    type Target = SuperBlock<Ext4>;

    fn deref(&self) -> &SuperBlock<Ext4> {
        &self.0
    }
}

/// A mounted file system's directories, each after the files in it.
pub(crate) struct Published {
    _errortags: errortags::Files,
    _sysfs: Files<Mounted>,
    _options: proc::File<AllOptions>,
    _groups: proc::File<FreeInGroups>,
    _writeback: proc::File<WritebackStats>,
    _proc: proc::Directory,
}

/// Makes the directories of a mounted file system. A mount does not fail for want of them.
pub(super) fn publish(sb: &Filling<'_, Ext4>) {
    if let Err(error) = try_publish(sb) {
        fs_warn!(sb.get(), "no directories in sysfs and procfs ({:?})", error);
    }
}

fn try_publish(sb: &Filling<'_, Ext4>) -> Result {
    let info = sb.info();
    let place = &sb.own_type().place;
    let mounted = || Mounted(sb.back_reference());
    let sysfs = match place.directories.as_ref() {
        Some(directories) => directories.sysfs.subdirectory(sb.id())?,
        // Mounted while the module was still being loaded.
        None => return Err(EAGAIN),
    };
    let proc = proc::Directory::new(&place.proc_path(Some(sb.id()))?)?;
    let options = Arc::new(AllOptions(mounted()), GFP_KERNEL)?;
    let groups = Arc::new(FreeInGroups(mounted()), GFP_KERNEL)?;
    info.published.populate(Published {
        _errortags: errortags::publish(&sysfs, info.errortags.clone())?,
        _sysfs: Files::new(sysfs, sysfs::ATTRIBUTES, Arc::new(mounted(), GFP_KERNEL)?)?,
        _options: proc.file(c"options", options)?,
        _groups: proc.file(c"mb_groups", groups)?,
        _writeback: proc.file(c"writeback", info.writeback.clone())?,
        _proc: proc,
    });
    Ok(())
}
