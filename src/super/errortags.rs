// SPDX-License-Identifier: GPL-2.0

//! What happens at the error tags of one mounted file system ([`crate::errortag`]).
//!
//! A tag is set by a line of text and says what it is set to when it is read:
//!
//! | line | what happens to the next `N` tasks that come by (1 where `N` is left out) |
//! |---|---|
//! | `hold MS N` | they wait for `MS` milliseconds, or until the tag is set again |
//! | `fail ERRNO N` | they fail with this error |
//! | `off` | nothing; those that are held go on |
//!
//! Lock order: the spinlock is innermost, and not held while a task waits.

use crate::errortag::Tag;
use crate::kern::sysfs::{self, Attribute, Directory};
use kernel::fmt::Write;
use kernel::prelude::*;
use kernel::str::Formatter;
use kernel::sync::{new_spinlock, Arc, SpinLock};
use kernel::time::{delay::fsleep, Delta};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Nothing,
    Hold { millis: u32 },
    Fail { errno: i32 },
}

#[derive(Clone, Copy)]
struct Setting {
    action: Action,
    /// How many more tasks it applies to.
    left: u32,
    /// How often the tag was set: a task that is held goes on when this moves.
    version: u32,
    passed: u64,
    held: u32,
}

const OFF: Setting = Setting {
    action: Action::Nothing,
    left: 0,
    version: 0,
    passed: 0,
    held: 0,
};

/// The settings of all tags of a file system.
#[pin_data]
pub(crate) struct ErrorTags {
    #[pin]
    settings: SpinLock<[Setting; Tag::ALL.len()]>,
}

impl ErrorTags {
    /// All off.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            settings <- new_spinlock!([OFF; Tag::ALL.len()], "ext4rs::errortags"),
        })
    }

    fn with<R>(&self, tag: Tag, f: impl FnOnce(&mut Setting) -> R) -> Option<R> {
        self.settings.lock().get_mut(tag as usize).map(f)
    }

    /// A task comes by `tag`. May sleep.
    ///
    /// # Errors
    ///
    /// The one that the tag is set to.
    pub(crate) fn pass(&self, tag: Tag) -> Result {
        let taken = self.with(tag, |setting| {
            setting.passed = setting.passed.saturating_add(1);
            setting.left = setting.left.checked_sub(1)?;
            if matches!(setting.action, Action::Hold { .. }) {
                setting.held = setting.held.saturating_add(1);
            }
            Some((setting.action, setting.version))
        });
        match taken.flatten() {
            Some((Action::Fail { errno }, _)) => Err(Error::from_errno(errno.saturating_neg())),
            Some((Action::Hold { millis }, version)) => {
                self.hold(tag, millis, version);
                Ok(())
            }
            Some((Action::Nothing, _)) | None => Ok(()),
        }
    }

    /// Whether `tag` is set for tasks to come, or holds any.
    pub(crate) fn is_set(&self, tag: Tag) -> bool {
        self.with(tag, |setting| setting.left > 0 || setting.held > 0) == Some(true)
    }

    fn hold(&self, tag: Tag, millis: u32, version: u32) {
        let set_again = |setting: &mut Setting| setting.version != version;
        for _ in 0..millis {
            if self.with(tag, set_again) != Some(false) {
                break;
            }
            fsleep(Delta::from_millis(1));
        }
        self.with(tag, |setting| setting.held = setting.held.saturating_sub(1));
    }

    /// Sets `tag` to what `line` says.
    ///
    /// # Errors
    ///
    /// `EINVAL` where it says nothing that can be done.
    fn set(&self, tag: Tag, line: &str) -> Result {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().ok_or(EINVAL)?;
        let mut number = |default: Option<u32>| match words.next() {
            Some(word) => word.parse().map_err(|_| EINVAL),
            None => default.ok_or(EINVAL),
        };
        let action = match verb {
            "off" => Action::Nothing,
            "hold" => Action::Hold {
                millis: number(None)?,
            },
            "fail" => Action::Fail {
                errno: i32::try_from(number(None)?).map_err(|_| EINVAL)?,
            },
            _ => return Err(EINVAL),
        };
        let left = match action {
            Action::Nothing => 0,
            _ => number(Some(1))?,
        };
        self.with(tag, |setting| {
            setting.action = action;
            setting.left = left;
            setting.version = setting.version.wrapping_add(1);
        });
        Ok(())
    }

    /// Prints what `tag` is set to, how many tasks came by, and how many it holds right now.
    fn show(&self, tag: Tag, out: &mut Formatter<'_>) -> Result {
        let setting = self.with(tag, |setting| *setting).ok_or(EINVAL)?;
        let action = match setting.action {
            Action::Hold { millis } => ("hold ", millis),
            Action::Fail { errno } => ("fail ", errno.unsigned_abs()),
            Action::Nothing => ("off ", 0),
        };
        out.write_fmt(fmt!(
            "{}{} left {} passed {} held {}\n",
            action.0,
            action.1,
            setting.left,
            setting.passed,
            setting.held
        ))
        .map_err(|_| EOVERFLOW)
    }
}

/// A file for each tag.
pub(super) type Files = sysfs::Files<ErrorTags>;

/// Makes the directory `errortag` in that of the mounted file system.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn publish(parent: &Directory, tags: Arc<ErrorTags>) -> Result<Files> {
    Files::new(parent.subdirectory(c"errortag")?, FILES, tags)
}

/// The file of one tag. A constant each, as sysfs tells a file by its functions.
macro_rules! file {
    ($tag:ident) => {
        Attribute {
            name: Tag::$tag.name(),
            show: Some(|tags, out| tags.show(Tag::$tag, out)),
            store: Some(|tags, line| tags.set(Tag::$tag, line)),
        }
    };
}

static FILES: &[Attribute<ErrorTags>] = &[
    file!(MapFound),
    file!(MapAllocate),
    file!(Convert),
    file!(WriteMapped),
    file!(WritebackMapped),
    file!(Completion),
    file!(DirectDone),
    file!(Remove),
];
