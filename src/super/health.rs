// SPDX-License-Identifier: GPL-2.0

//! What happens when something is found wrong: a message that names the place, a record for the
//! superblock, and what `errors=` says.
//!
//! [`error`] is for damage of which the file system can survive the rest: it goes on with
//! `errors=continue`. [`fatal`] is for what it cannot survive (the journal has aborted). Both may
//! sleep; they may be called with a handle open and with `i_data_sem` or a group's lock held, but
//! not with the superblock's mutex.
//!
//! A file system that has stopped is not turned read-only in the VFS's eyes, which would need
//! `s_umount`; instead every operation that would change something fails with `EROFS`
//! ([`SuperInfo::check_writable`](super::SuperInfo::check_writable)).

use super::options::ErrorPolicy;
use super::write_out;
use crate::format::superblock::state;
use crate::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use crate::format::Problem;
use crate::jbd_glue::Operation;
use crate::kern::jbd2::Credits;
use crate::kern::panic::panic_unless_going_down;
use crate::kern::super_block::SuperBlock;
use crate::kern::time::real_seconds;
use crate::Ext4;
use crate::{fs_err, fs_warn};
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::{new_spinlock, SpinLock};

/// Where something was found wrong: in the source, and on the disk. Made with
/// [`here!`](crate::here).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Where {
    /// The module's path.
    pub(crate) module: &'static str,
    /// The line in its file.
    pub(crate) line: u32,
    /// The inode concerned.
    pub(crate) inode: Option<InodeNumber>,
    /// The device's block concerned.
    pub(crate) block: Option<PhysicalBlock>,
    /// The block group concerned.
    pub(crate) group: Option<GroupNumber>,
}

/// This place in the source, as a [`Where`](crate::superblock::Where).
#[macro_export]
macro_rules! here {
    () => {
        $crate::superblock::Where {
            module: module_path!(),
            line: line!(),
            inode: None,
            block: None,
            group: None,
        }
    };
}

impl Where {
    /// Names the inode concerned.
    pub(crate) fn inode(self, inode: InodeNumber) -> Self {
        Self {
            inode: Some(inode),
            ..self
        }
    }

    /// Names the device's block concerned.
    pub(crate) fn block(self, block: PhysicalBlock) -> Self {
        Self {
            block: Some(block),
            ..self
        }
    }

    /// Names the block group concerned.
    pub(crate) fn group(self, group: GroupNumber) -> Self {
        Self {
            group: Some(group),
            ..self
        }
    }

    /// The module's path without the crate's name.
    pub(super) fn place(&self) -> &'static str {
        self.module
            .split_once("::")
            .map_or(self.module, |(_, rest)| rest)
    }
}

impl core::fmt::Display for Where {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}: ", self.place(), self.line)?;
        if let Some(inode) = self.inode {
            write!(f, "inode #{}: ", inode.0)?;
        }
        if let Some(block) = self.block {
            write!(f, "block {}: ", block.0)?;
        }
        if let Some(group) = self.group {
            write!(f, "group {}: ", group.0)?;
        }
        Ok(())
    }
}

/// One error, as the superblock records it.
#[derive(Clone, Copy)]
pub(super) struct Incident {
    pub(super) at: Where,
    pub(super) error: Error,
    /// Seconds since 1970.
    pub(super) time: i64,
}

/// Errors that the superblock on disk does not know of yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Unrecorded {
    pub(super) count: u32,
    pub(super) first: Option<Incident>,
    pub(super) last: Option<Incident>,
}

/// The health of a mounted file system.
#[pin_data]
pub(crate) struct Health {
    stopped: AtomicBool,
    /// See [`shutdown`](super::shutdown).
    shut_down: AtomicBool,
    /// `s_state` as it is to be at a clean unmount.
    state: AtomicU16,
    #[pin]
    unrecorded: SpinLock<Unrecorded>,
}

impl Health {
    pub(super) fn new(state: u16) -> impl PinInit<Self> {
        pin_init!(Self {
            stopped: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
            state: AtomicU16::new(state),
            unrecorded <- new_spinlock!(Unrecorded::default(), "ext4rs::health"),
        })
    }

    /// Whether nothing may be written any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed) || self.is_shut_down()
    }

    /// Whether the file system was shut down.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Relaxed)
    }

    pub(super) fn shut_down(&self) {
        self.shut_down.store(true, Relaxed);
    }

    /// Whether an error was found, in this mount or an earlier one.
    pub(crate) fn has_errors(&self) -> bool {
        self.state() & state::ERROR != 0
    }

    pub(super) fn state(&self) -> u16 {
        self.state.load(Relaxed)
    }

    pub(super) fn set_state(&self, state: u16) {
        self.state.store(state, Relaxed);
    }

    pub(super) fn mark_errors(&self) {
        self.state.fetch_or(state::ERROR, Relaxed);
    }

    fn note(&self, incident: Incident) {
        let mut unrecorded = self.unrecorded.lock();
        unrecorded.count = unrecorded.count.saturating_add(1);
        unrecorded.first.get_or_insert(incident);
        unrecorded.last = Some(incident);
    }

    /// Takes what the superblock is to record now.
    pub(super) fn take_unrecorded(&self) -> Unrecorded {
        core::mem::take(&mut *self.unrecorded.lock())
    }
}

/// Reports `problem`, found on the disk, and acts as `errors=` says. Gives back the errno.
pub(crate) fn error(sb: &SuperBlock<Ext4>, at: Where, problem: Problem) -> Error {
    if sb.info().health.is_shut_down() {
        return EIO;
    }
    fs_err!(sb, "error: {}", format_args!("{at}{problem}"));
    handle(sb, at, problem.errno(), false);
    problem.errno()
}

/// Reports `what` went wrong with `error`, and stops the file system. Gives back `error`.
pub(crate) fn fatal(sb: &SuperBlock<Ext4>, at: Where, error: Error, what: &str) -> Error {
    if sb.info().health.is_shut_down() {
        return EIO;
    }
    fs_err!(sb, "error: {} ({:?})", format_args!("{at}{what}"), error);
    handle(sb, at, error, true);
    error
}

/// Starts an operation that may dirty `credits`. The only way to start one.
///
/// # Errors
///
/// `EROFS` where the file system has stopped or is read-only, `EIO` where it was shut down, `ENOSPC` where the journal is too
/// small, `ENOMEM`.
pub(crate) fn start(sb: &SuperBlock<Ext4>, credits: Credits) -> Result<Operation<'_>> {
    let info = sb.info();
    info.check_writable()?;
    let journal = info.journal().ok_or(EROFS)?;
    if journal.is_aborted() {
        return Err(fatal(sb, crate::here!(), EROFS, "the journal has aborted"));
    }
    Operation::start(journal, info.device, credits)
}

/// How often an operation that found no space is tried again after a commit.
const RETRIES: u32 = 3;

/// Runs `attempt`, and again after a commit where it found no space and freed blocks wait for
/// one. No handle is open.
pub(crate) fn with_space(sb: &SuperBlock<Ext4>, mut attempt: impl FnMut() -> Result) -> Result {
    let mut tries = 0;
    loop {
        match attempt() {
            Err(error) if error == ENOSPC && tries < RETRIES => {
                if !sb
                    .info()
                    .groups()
                    .is_ok_and(|groups| groups.wait_for_frees())
                {
                    return Err(error);
                }
                tries += 1;
            }
            result => return result,
        }
    }
}

fn handle(sb: &SuperBlock<Ext4>, at: Where, error: Error, fatal: bool) {
    let info = sb.info();
    let policy = info.options().errors;
    let go_on = !fatal && policy == ErrorPolicy::Continue;
    info.health.mark_errors();
    if !go_on && !info.health.is_stopped() {
        if let Some(journal) = info.journal() {
            journal.abort(error);
        }
    }
    if !info.device.is_read_only() {
        info.health.note(Incident {
            at,
            error,
            time: real_seconds(),
        });
        if go_on && info.journal().is_some() {
            // Not here: the caller may have a handle open, or a lock that a commit needs.
            info.deferred.schedule(sb);
        } else if write_out::commit(info, sb.is_read_only()).is_err() {
            fs_err!(sb, "cannot record the error in the superblock");
        }
    }
    if policy == ErrorPolicy::Panic {
        panic_unless_going_down(sb.id());
    }
    if !go_on && !info.health.stopped.swap(true, Relaxed) {
        fs_warn!(sb, "stopped after an error: nothing is written any more");
    }
}
