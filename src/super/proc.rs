// SPDX-License-Identifier: GPL-2.0

//! The files of a mounted file system below `/proc/fs`.

use super::publish::Mounted;
use crate::alloc::GroupTable;
use crate::format::units::GroupNumber;
use crate::kern::proc::Show;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// All options as they are now, one a line.
pub(super) struct AllOptions(pub(super) Mounted);

impl Show for AllOptions {
    fn show(&self, out: &SeqFile) {
        let mode = if self.0.is_read_only() { "ro" } else { "rw" };
        seq_print!(out, "{}", mode);
        self.0.info().options().show_all(out);
        seq_print!(out, "\n");
    }
}

/// What there is to allocate in each block group.
pub(super) struct FreeInGroups(pub(super) Mounted);

impl Show for FreeInGroups {
    fn show(&self, out: &SeqFile) {
        let info = self.0.info();
        let Ok(groups) = info.groups() else {
            return;
        };
        seq_print!(out, "#group: free blocks, longest run, free inodes\n");
        for number in 0..info.geometry.groups {
            if let Some(summary) = groups.summary(GroupNumber(number)) {
                seq_print!(
                    out,
                    "#{:<5}: {} {} {}\n",
                    number,
                    summary.free_blocks(),
                    summary.longest(),
                    summary.free_inodes()
                );
            }
        }
    }
}
