// SPDX-License-Identifier: GPL-2.0

//! Mount options: their values, how they are read from text, and how they are shown.
//!
//! The names and meanings are those of C ext4 (`Documentation/admin-guide/ext4.rst`). An option that
//! asks for something that ext4rs does not do is refused by its name, rather than ignored: data
//! could depend on it. Options that only tune C ext4's inside are accepted and do nothing.

use crate::format::superblock::{default_option, errors, RawSuperblock};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// What to do when the file system is found damaged (`errors=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorPolicy {
    /// Go on with what is left.
    Continue,
    /// Write nothing any more.
    RemountRo,
    /// Stop the machine.
    Panic,
}

impl ErrorPolicy {
    /// From `s_errors`; anything unknown means "write nothing any more", as in C ext4.
    fn from_disk(value: u16) -> Self {
        match value {
            errors::CONTINUE => Self::Continue,
            errors::PANIC => Self::Panic,
            _ => Self::RemountRo,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::RemountRo => "remount-ro",
            Self::Panic => "panic",
        }
    }
}

/// The options of a mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `sb=`: where the superblock is, in units of 1024 bytes.
    pub(crate) superblock_at: u64,
    /// `errors=`.
    pub(crate) errors: ErrorPolicy,
    /// `data_err=abort`: a failed write of data stops the journal.
    pub(crate) data_err_abort: bool,
    /// `commit=`: seconds between commits; 0 means the default.
    pub(crate) commit: u32,
    /// `delalloc`: blocks are allocated when data is written back, not when it is written.
    pub(crate) delalloc: bool,
    /// `barrier`: commits flush the device's cache.
    pub(crate) barrier: bool,
    /// `data=journal`, which is not supported: nothing can be written then.
    pub(crate) data_journal: bool,
    /// `nouid32`, as a default of the file system (`tune2fs -o uid16`): the same.
    pub(crate) nouid32: bool,
    /// `noload`: the journal is left alone. Read-only mounts only.
    pub(crate) noload: bool,
    /// `auto_da_alloc`: replacing a file by rename or truncation starts writing it at once.
    pub(crate) auto_da_alloc: bool,
    /// `discard`: freed blocks are discarded after the commit.
    pub(crate) discard: bool,
    /// `minixdf`: statfs counts all blocks, not only those that files can have.
    pub(crate) minixdf: bool,
    /// `grpid`: new files take their directory's group.
    pub(crate) grpid: bool,
    /// `resuid=`: who may use the reserved blocks.
    pub(crate) resuid: u32,
    /// `resgid=`: the group that may use them.
    pub(crate) resgid: u32,
    /// `min_batch_time=`, microseconds.
    pub(crate) min_batch_time: u32,
    /// `max_batch_time=`, microseconds.
    pub(crate) max_batch_time: u32,
}

/// An option that is on or off, and that is looked at with every write or sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Switch {
    /// [`Options::delalloc`].
    Delalloc = 1,
    /// [`Options::barrier`].
    Barrier = 2,
    /// [`Options::auto_da_alloc`].
    AutoDaAlloc = 4,
    /// [`Options::grpid`].
    Grpid = 8,
}

/// Seconds between commits where nothing else is asked for.
const DEFAULT_COMMIT: u32 = 5;
/// jbd2's own default upper limit of the batch time, microseconds.
const DEFAULT_MAX_BATCH_TIME: u32 = 15_000;

impl Options {
    /// What holds when nothing is asked for, on a file system with superblock `raw`.
    pub(crate) fn defaults(raw: &RawSuperblock) -> Self {
        let stored = raw.default_mount_opts.get();
        let has = |option: u32| stored & option != 0;
        let id = |lo: u16, hi: u16| u32::from(lo) | u32::from(hi) << 16;
        Self {
            superblock_at: 1,
            errors: ErrorPolicy::from_disk(raw.errors.get()),
            data_err_abort: false,
            commit: DEFAULT_COMMIT,
            delalloc: !has(default_option::NODELALLOC),
            barrier: !has(default_option::NOBARRIER),
            data_journal: stored & default_option::DATA_MODE == default_option::DATA_JOURNAL,
            nouid32: has(default_option::UID16),
            noload: false,
            auto_da_alloc: true,
            discard: has(default_option::DISCARD),
            minixdf: false,
            grpid: has(default_option::BSDGROUPS),
            resuid: id(raw.def_resuid.get(), raw.def_resuid_hi.get()),
            resgid: id(raw.def_resgid.get(), raw.def_resgid_hi.get()),
            min_batch_time: 0,
            max_batch_time: DEFAULT_MAX_BATCH_TIME,
        }
    }

    /// What is asked for that would change what is written, and is not done.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        match (self.data_journal, self.nouid32) {
            (true, _) => Some("data=journal"),
            (_, true) => Some("nouid32 (a default of this file system: tune2fs -o ^uid16)"),
            _ => None,
        }
    }

    /// Those that are on of the [`Switch`]es, a bit each.
    pub(super) fn switches(&self) -> u32 {
        [
            (self.delalloc, Switch::Delalloc),
            (self.barrier, Switch::Barrier),
            (self.auto_da_alloc, Switch::AutoDaAlloc),
            (self.grpid, Switch::Grpid),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .fold(0, |bits, (_, switch)| bits | switch as u32)
    }

    /// Seconds between commits.
    pub(crate) fn commit_seconds(&self) -> u32 {
        if self.commit == 0 {
            DEFAULT_COMMIT
        } else {
            self.commit
        }
    }

    /// Prints what differs from `defaults`, for `/proc/mounts`.
    pub(crate) fn show(&self, defaults: &Self, out: &SeqFile) {
        self.print(Some(defaults), ',', out);
    }

    /// Prints all of them, each on a line of its own after what is there already.
    pub(crate) fn show_all(&self, out: &SeqFile) {
        self.print(None, '\n', out);
    }

    /// Prints each option that differs from `defaults`, after `separator`.
    fn print(&self, defaults: Option<&Self>, separator: char, out: &SeqFile) {
        let differs = |get: fn(&Self) -> bool| defaults.is_none_or(|d| get(d) != get(self));
        let flag = |get: fn(&Self) -> bool, on: &str, off: &str| {
            if differs(get) {
                seq_print!(out, "{}{}", separator, if get(self) { on } else { off });
            }
        };
        let number = |now: u32, usual: u32, name: &str| {
            if defaults.is_none() || now != usual {
                seq_print!(out, "{}{}={}", separator, name, now);
            }
        };
        if self.superblock_at != 1 {
            seq_print!(out, "{}sb={}", separator, self.superblock_at);
        }
        flag(|o| o.minixdf, "minixdf", "bsddf");
        flag(|o| o.grpid, "grpid", "nogrpid");
        flag(|o| o.discard, "discard", "nodiscard");
        flag(|o| o.delalloc, "delalloc", "nodelalloc");
        flag(|o| o.noload, "norecovery", "recovery");
        flag(|o| o.barrier, "barrier", "nobarrier");
        flag(|o| o.auto_da_alloc, "auto_da_alloc", "noauto_da_alloc");
        number(self.resuid, 0, "resuid");
        number(self.resgid, 0, "resgid");
        if defaults.is_none_or(|d| d.errors != self.errors) {
            seq_print!(out, "{}errors={}", separator, self.errors.name());
        }
        number(self.commit_seconds(), DEFAULT_COMMIT, "commit");
        number(self.min_batch_time, 0, "min_batch_time");
        number(
            self.max_batch_time,
            DEFAULT_MAX_BATCH_TIME,
            "max_batch_time",
        );
        if defaults.is_none() {
            seq_print!(out, "{}data=ordered", separator);
        }
        if self.data_err_abort {
            seq_print!(out, "{}data_err=abort", separator);
        }
    }
}

/// The options that were asked for; the rest stays as it is.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub(crate) struct Request {
    superblock_at: Option<u64>,
    errors: Option<ErrorPolicy>,
    data_err_abort: Option<bool>,
    commit: Option<u32>,
    delalloc: Option<bool>,
    barrier: Option<bool>,
    data_journal: Option<bool>,
    noload: Option<bool>,
    auto_da_alloc: Option<bool>,
    discard: Option<bool>,
    minixdf: Option<bool>,
    grpid: Option<bool>,
    resuid: Option<u32>,
    resgid: Option<u32>,
    min_batch_time: Option<u32>,
    max_batch_time: Option<u32>,
    /// `abort`: stop the file system at once, for tests of applications.
    pub(crate) abort: bool,
}

/// Why an option is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such option.
    Unknown,
    /// C ext4 has it, and it would change what happens to data, but ext4rs does not do it.
    Unsupported,
    /// The value makes no sense.
    BadValue,
}

impl Request {
    /// Where the superblock is, in units of 1024 bytes.
    pub(crate) fn superblock_at(&self) -> u64 {
        self.superblock_at.unwrap_or(1)
    }

    /// `options` with what was asked for.
    pub(crate) fn apply(&self, options: Options) -> Options {
        Options {
            superblock_at: self.superblock_at.unwrap_or(options.superblock_at),
            errors: self.errors.unwrap_or(options.errors),
            data_err_abort: self.data_err_abort.unwrap_or(options.data_err_abort),
            commit: self.commit.unwrap_or(options.commit),
            delalloc: self.delalloc.unwrap_or(options.delalloc),
            barrier: self.barrier.unwrap_or(options.barrier),
            data_journal: self.data_journal.unwrap_or(options.data_journal),
            nouid32: options.nouid32,
            noload: self.noload.unwrap_or(options.noload),
            auto_da_alloc: self.auto_da_alloc.unwrap_or(options.auto_da_alloc),
            discard: self.discard.unwrap_or(options.discard),
            minixdf: self.minixdf.unwrap_or(options.minixdf),
            grpid: self.grpid.unwrap_or(options.grpid),
            resuid: self.resuid.unwrap_or(options.resuid),
            resgid: self.resgid.unwrap_or(options.resgid),
            min_batch_time: self.min_batch_time.unwrap_or(options.min_batch_time),
            max_batch_time: self.max_batch_time.unwrap_or(options.max_batch_time),
        }
    }

    /// Takes one option from text.
    pub(crate) fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        match value {
            None => self.set_flag(key),
            Some(value) => self.set_value(key, value),
        }
    }

    fn set_flag(&mut self, key: &str) -> Result<(), Refusal> {
        match key {
            "bsddf" => self.minixdf = Some(false),
            "minixdf" => self.minixdf = Some(true),
            "grpid" | "bsdgroups" => self.grpid = Some(true),
            "nogrpid" | "sysvgroups" => self.grpid = Some(false),
            "delalloc" => self.delalloc = Some(true),
            "nodelalloc" => self.delalloc = Some(false),
            "barrier" => self.barrier = Some(true),
            "nobarrier" => self.barrier = Some(false),
            "noload" | "norecovery" => self.noload = Some(true),
            "auto_da_alloc" => self.auto_da_alloc = Some(true),
            "noauto_da_alloc" => self.auto_da_alloc = Some(false),
            "discard" => self.discard = Some(true),
            "nodiscard" => self.discard = Some(false),
            "abort" => self.abort = true,
            // What ext4rs does anyway, or does not need.
            "user_xattr"
            | "acl"
            | "block_validity"
            | "noblock_validity"
            | "dioread_nolock"
            | "init_itable"
            | "noinit_itable"
            | "nombcache"
            | "no_mbcache"
            | "debug"
            | "prefetch_block_bitmaps"
            | "no_prefetch_block_bitmaps"
            | "journal_checksum"
            | "nojournal_checksum"
            | "i_version"
            | "noquota"
            | "warn_on_error"
            | "nowarn_on_error"
            | "orlov"
            | "oldalloc"
            | "bh"
            | "nobh"
            | "mblk_io_submit"
            | "nomblk_io_submit"
            | "nocheck"
            | "reservation"
            | "noreservation" => {}
            "journal_async_commit"
            | "dioread_lock"
            | "nodioread_nolock"
            | "nouid32"
            | "dax"
            | "quota"
            | "usrquota"
            | "grpquota"
            | "prjquota"
            | "inlinecrypt"
            | "test_dummy_encryption" => return Err(Refusal::Unsupported),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "sb" => self.superblock_at = Some(number(value)?.into()),
            "errors" => self.errors = Some(policy(value)?),
            "data_err" => self.data_err_abort = Some(either(value, "abort", "ignore")?),
            "commit" => {
                let seconds = number(value)?;
                // jbd2 counts the interval in ticks, in an `int`.
                if seconds > 1_000_000 {
                    return Err(Refusal::BadValue);
                }
                self.commit = Some(seconds);
            }
            "barrier" => self.barrier = Some(number(value)? != 0),
            "auto_da_alloc" => self.auto_da_alloc = Some(number(value)? != 0),
            "resuid" => self.resuid = Some(number(value)?),
            "resgid" => self.resgid = Some(number(value)?),
            "min_batch_time" => self.min_batch_time = Some(number(value)?),
            "max_batch_time" => self.max_batch_time = Some(number(value)?),
            "data" => match value {
                // The data is on disk before the blocks say so, whatever is asked for.
                "ordered" | "writeback" => self.data_journal = Some(false),
                "journal" => self.data_journal = Some(true),
                _ => return Err(Refusal::BadValue),
            },
            "dax" => match value {
                "never" | "inode" => {}
                "always" => return Err(Refusal::Unsupported),
                _ => return Err(Refusal::BadValue),
            },
            "stripe"
            | "inode_readahead_blks"
            | "journal_ioprio"
            | "init_itable"
            | "mb_optimize_scan" => {
                number(value)?;
            }
            "check" => {}
            "journal_dev"
            | "journal_path"
            | "usrjquota"
            | "grpjquota"
            | "jqfmt"
            | "max_dir_size_kb"
            | "debug_want_extra_isize"
            | "test_dummy_encryption" => return Err(Refusal::Unsupported),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }
}

/// A number as C writes it: decimal, hexadecimal after `0x`, octal after `0`.
fn number(value: &str) -> Result<u32, Refusal> {
    let parsed = match value.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None if value.starts_with('0') => u32::from_str_radix(value, 8),
        None => value.parse(),
    };
    parsed.map_err(|_| Refusal::BadValue)
}

fn policy(value: &str) -> Result<ErrorPolicy, Refusal> {
    match value {
        "continue" => Ok(ErrorPolicy::Continue),
        "remount-ro" => Ok(ErrorPolicy::RemountRo),
        "panic" => Ok(ErrorPolicy::Panic),
        _ => Err(Refusal::BadValue),
    }
}

fn either(value: &str, yes: &str, no: &str) -> Result<bool, Refusal> {
    if value == yes {
        Ok(true)
    } else if value == no {
        Ok(false)
    } else {
        Err(Refusal::BadValue)
    }
}
