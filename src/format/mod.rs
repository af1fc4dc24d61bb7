// SPDX-License-Identifier: GPL-2.0

//! What ext4 looks like on disk: raw structures, checksums, and the one checked conversion of
//! each into a typed descriptor. Pure: no kernel object, no `unsafe`.

pub mod extent;
pub mod problem;
pub mod units;
