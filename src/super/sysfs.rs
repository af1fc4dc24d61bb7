// SPDX-License-Identifier: GPL-2.0

//! The files of a mounted file system below `/sys/fs`, with the names and meanings of C ext4's
//! (`Documentation/ABI/testing/sysfs-fs-ext4`).

use super::health::error;
use super::info::SuperInfo;
use super::publish::Mounted;
use crate::alloc::GroupTable;
use crate::format::superblock::RawSuperblock;
use crate::format::Problem;
use crate::here;
use crate::kern::cred::has_admin_capability;
use crate::kern::sysfs::{Attribute, ShowFn};
use kernel::fmt::{Display, Write};
use kernel::prelude::*;
use kernel::str::Formatter;
use zerocopy::little_endian::U32;

/// What this module can do that mke2fs and others want to know of.
pub(super) const FEATURES: &[Attribute<()>] =
    &[feature(c"lazy_itable_init"), feature(c"metadata_csum_seed")];

const fn feature(name: &'static CStr) -> Attribute<()> {
    Attribute {
        name,
        show: Some(|(), out| print(out, "supported")),
        store: None,
    }
}

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Mounted>] = &[
    shown(c"delayed_allocation_blocks", |fs, out| {
        print(out, fs.info().groups()?.counters().reserved())
    }),
    shown(c"session_write_kbytes", |fs, out| {
        print(out, session_kbytes(fs.info()))
    }),
    shown(c"lifetime_write_kbytes", |fs, out| {
        let info = fs.info();
        print(
            out,
            info.kbytes_written.saturating_add(session_kbytes(info)),
        )
    }),
    Attribute {
        name: c"reserved_clusters",
        show: Some(|fs, out| print(out, fs.info().groups()?.counters().pool())),
        store: Some(set_reserved),
    },
    Attribute {
        name: c"trigger_fs_error",
        show: None,
        store: Some(trigger_error),
    },
    shown(c"errors_count", |fs, out| {
        recorded(fs, out, |raw| raw.error_count.get())
    }),
    shown(c"first_error_time", |fs, out| {
        recorded(fs, out, |raw| {
            seconds(raw.first_error_time, raw.first_error_time_hi)
        })
    }),
    shown(c"first_error_errcode", |fs, out| {
        recorded(fs, out, |raw| raw.first_error_errcode)
    }),
    shown(c"first_error_ino", |fs, out| {
        recorded(fs, out, |raw| raw.first_error_ino.get())
    }),
    shown(c"first_error_block", |fs, out| {
        recorded(fs, out, |raw| raw.first_error_block.get())
    }),
    shown(c"first_error_func", |fs, out| {
        recorded(fs, out, |raw| Name(raw.first_error_func))
    }),
    shown(c"first_error_line", |fs, out| {
        recorded(fs, out, |raw| raw.first_error_line.get())
    }),
    shown(c"last_error_time", |fs, out| {
        recorded(fs, out, |raw| {
            seconds(raw.last_error_time, raw.last_error_time_hi)
        })
    }),
    shown(c"last_error_errcode", |fs, out| {
        recorded(fs, out, |raw| raw.last_error_errcode)
    }),
    shown(c"last_error_ino", |fs, out| {
        recorded(fs, out, |raw| raw.last_error_ino.get())
    }),
    shown(c"last_error_block", |fs, out| {
        recorded(fs, out, |raw| raw.last_error_block.get())
    }),
    shown(c"last_error_func", |fs, out| {
        recorded(fs, out, |raw| Name(raw.last_error_func))
    }),
    shown(c"last_error_line", |fs, out| {
        recorded(fs, out, |raw| raw.last_error_line.get())
    }),
];

const fn shown(name: &'static CStr, show: ShowFn<Mounted>) -> Attribute<Mounted> {
    Attribute {
        name,
        show: Some(show),
        store: None,
    }
}

/// Prints a value on a line of its own.
fn print(out: &mut Formatter<'_>, value: impl Display) -> Result {
    out.write_fmt(fmt!("{}\n", value)).map_err(|_| EOVERFLOW)
}

/// Prints something of the superblock's record of errors.
fn recorded<T: Display>(
    fs: &Mounted,
    out: &mut Formatter<'_>,
    get: impl FnOnce(&RawSuperblock) -> T,
) -> Result {
    print(out, fs.info().with_superblock(get)?)
}

/// Kilobytes written to the device since the mount.
fn session_kbytes(info: &SuperInfo) -> u64 {
    let now = info.device.sectors_written();
    now.saturating_sub(info.sectors_at_mount) / 2
}

fn seconds(low: U32, high: u8) -> u64 {
    u64::from(low.get()) | u64::from(high) << 32
}

/// The name of a function, padded with zeros.
struct Name([u8; 32]);

impl Display for Name {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        f.write_str(core::str::from_utf8(name).unwrap_or("?"))
    }
}

/// Changes how many blocks are kept back for metadata that cannot be refused any more.
fn set_reserved(fs: &Mounted, text: &str) -> Result {
    let blocks: u64 = text.parse().map_err(|_| EINVAL)?;
    let info = fs.info();
    if blocks >= info.geometry.blocks {
        return Err(EINVAL);
    }
    info.groups()?.counters().set_pool(blocks);
    Ok(())
}

/// Acts as if the file system were damaged, for tests.
fn trigger_error(fs: &Mounted, text: &str) -> Result {
    if !has_admin_capability() {
        return Err(EPERM);
    }
    if !text.is_empty() {
        crate::fs_err!(fs, "asked for an error: {}", text);
        error(fs, here!(), Problem::new("an error that was asked for", 0));
    }
    Ok(())
}
