// SPDX-License-Identifier: GPL-2.0

//! Error tags in a release build: none. The same face as `errortags.rs`, and no code.

use crate::errortag::Tag;
use crate::kern::sysfs::Directory;
use kernel::prelude::*;
use kernel::sync::Arc;

/// No settings.
#[pin_data]
pub(crate) struct ErrorTags {}

impl ErrorTags {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {})
    }

    /// Nothing happens here.
    ///
    /// # Errors
    ///
    /// None.
    #[inline(always)]
    pub(crate) fn pass(&self, _tag: Tag) -> Result {
        Ok(())
    }

    /// Never.
    #[inline(always)]
    pub(crate) fn is_set(&self, _tag: Tag) -> bool {
        false
    }
}

/// No files.
pub(super) struct Files;

/// Makes no files.
///
/// # Errors
///
/// None.
pub(super) fn publish(_parent: &Directory, _tags: Arc<ErrorTags>) -> Result<Files> {
    Ok(Files)
}
