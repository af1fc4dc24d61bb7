// SPDX-License-Identifier: GPL-2.0

//! Recorded writes, and the states of the disk that a cut of power could have left.
//!
//! [`log`] reads the record that QEMU's blklogwrites filter makes (it is that of dm-log-writes),
//! [`states`] draws crash states from it.

pub mod log;
pub mod states;

pub use log::Log;
pub use states::{Draw, State};
