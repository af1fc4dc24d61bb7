// SPDX-License-Identifier: GPL-2.0

//! The names that ext4rs can be mounted by.
//!
//! `ext4rs` always. With the module's parameter `register_ext4=1` it stands in for C ext4 as well:
//! `mount -t ext4`, `ext3` and `ext2` mean ext4rs then, and what it tells of such a mount is where
//! tools look for it, below `/sys/fs/ext4` and `/proc/fs/ext4`.

use super::publish::Place;
use crate::format::features::{Features, Generation};
use crate::format::Problem;
use crate::kern::fs_context::Registration;
use crate::Ext4;
use kernel::prelude::*;
use kernel::sync::Arc;

/// One name.
pub(crate) struct FsType {
    /// Where its mounts show what they tell.
    pub(crate) place: Arc<Place>,
    /// Which features a file system may have to be mounted by this name.
    generation: Generation,
}

impl FsType {
    /// Whether a file system with `features` may be mounted by this name.
    ///
    /// # Errors
    ///
    /// Names a feature that the name does not allow.
    pub(super) fn check(&self, features: &Features, read_only: bool) -> Result<(), Problem> {
        features.check_generation(self.generation, read_only)
    }
}

/// All registered names; unregistered when dropped.
pub(crate) struct Types {
    _registered: KVec<Pin<KBox<Registration<Ext4>>>>,
}

impl Types {
    /// Registers `ext4rs` and, where `stand_in` is asked for, the names of C ext4.
    ///
    /// # Errors
    ///
    /// `EBUSY` where a name is taken, after a message; `ENOMEM`.
    pub(crate) fn register(module: &'static ThisModule, stand_in: bool) -> Result<Self> {
        let mut registered = KVec::new();
        let mut add = |name: &'static CStr, generation, place: &Arc<Place>| -> Result {
            let place = place.clone();
            let own = FsType { place, generation };
            let registration =
                KBox::try_pin_init(Registration::new(module, name, own), GFP_KERNEL)?;
            Ok(registered.push(registration, GFP_KERNEL)?)
        };
        let own = Place::new(c"ext4rs")?;
        add(c"ext4rs", Generation::Ext4, &own)
            .inspect_err(|_| pr_err!("there is a file system type ext4rs already\n"))?;
        own.open()?;
        if stand_in {
            let ext4 = Place::new(c"ext4")?;
            add(c"ext4", Generation::Ext4, &ext4).inspect_err(|_| {
                pr_err!("register_ext4: cannot stand in for ext4, which is loaded or built in\n");
            })?;
            // Not before: where the name was taken, these directories are, too.
            ext4.open()?;
            for (name, generation) in [(c"ext3", Generation::Ext3), (c"ext2", Generation::Ext2)] {
                if let Err(error) = add(name, generation, &ext4) {
                    // As C ext4 does: a driver for ext2 alone may be there.
                    pr_warn!("register_ext4: cannot stand in for {name} ({error:?})\n");
                }
            }
        }
        Ok(Self {
            _registered: registered,
        })
    }
}
