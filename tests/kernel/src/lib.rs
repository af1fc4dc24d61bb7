// SPDX-License-Identifier: GPL-2.0

//! Host stand-in for the few names of the `kernel` crate that the pure rooms use.
//!
//! Allocation is fallible here too: [`alloc::fail_after`] makes the n-th allocation of this
//! thread fail, so that tests can walk every error path.

pub mod alloc;
pub mod error;

/// As `kernel::prelude`.
pub mod prelude {
    pub use crate::alloc::{flags::*, AllocError, Flags, KBox, KVVec, KVec};
    pub use crate::error::{code::*, Error, Result};
    pub use core::mem::{align_of, size_of};
    pub use zerocopy::{FromBytes, IntoBytes};
    pub use zerocopy_derive::{FromBytes, IntoBytes};
}
