// SPDX-License-Identifier: GPL-2.0

//! The families of attributes that the VFS passes through.

use super::{get, set};
use crate::format::xattr::prefix;
use crate::kern::inode::Inode;
use crate::kern::xattr::{AttributeFamily, Handler, Handlers, How, ValueBuffer};
use crate::Ext4;
use kernel::prelude::*;

/// A family, by the number of its prefix.
struct Family<const INDEX: u8>;

impl<const INDEX: u8> AttributeFamily for Family<INDEX> {
    type Fs = Ext4;

    const PREFIX: &'static CStr = match INDEX {
        prefix::USER => c"user.",
        prefix::TRUSTED => c"trusted.",
        _ => c"security.",
    };

    fn get(inode: &Inode<Ext4>, name: &[u8], buffer: &ValueBuffer) -> Result<usize> {
        inode.sb().info().check_running()?;
        get(inode, INDEX, name, |value| buffer.give(value))
    }

    fn set(inode: &Inode<Ext4>, name: &[u8], value: Option<&[u8]>, how: How) -> Result {
        set(inode, INDEX, name, value, how)
    }
}

static USER: Handler = Handler::of::<Family<{ prefix::USER }>>();
static TRUSTED: Handler = Handler::of::<Family<{ prefix::TRUSTED }>>();
static SECURITY: Handler = Handler::of::<Family<{ prefix::SECURITY }>>();

/// All of them.
pub(crate) static ALL: Handlers = Handlers::new([&USER, &TRUSTED, &SECURITY]);
