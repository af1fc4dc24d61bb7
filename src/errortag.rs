// SPDX-License-Identifier: GPL-2.0

//! Error tags: named places in the data path where a test can hold a task up, or make it fail.
//!
//! A race that needs two tasks between two certain lines is met once in a million runs by chance;
//! a test that holds the first task at a tag meets it each time. The idea and the name are those
//! of XFS. This room only names the places, so that the pure rooms can have some; what is done
//! there is set by `/sys/fs/ext4rs/<device>/errortag/` in a build with `CONFIG_EXT4RS_DEBUG`
//! ([`crate::superblock`]). In a release build a tag is no code at all.

/// A place in the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The mapper has looked blocks up that it is going to reserve or allocate; no lock is held.
    MapFound,
    /// The mapper holds `i_data_sem` and has re-checked; nothing is allocated yet. An error here
    /// is one of the allocator.
    MapAllocate,
    /// A conversion holds its handle, and not yet `i_data_sem`. An error here is one of the tree.
    Convert,
    /// A buffered write has mapped what it is going to write; no folio is locked yet.
    WriteMapped,
    /// Writeback has mapped a dirty range; its folio is locked, its bio not submitted.
    WritebackMapped,
    /// The device has the data of a writeback; nothing is recorded yet. An error here is one of
    /// the device.
    Completion,
    /// The device has the data of a direct write that changes metadata; nothing is recorded yet.
    DirectDone,
    /// The page cache over blocks that are to be removed is gone; the blocks are not.
    Remove,
}

impl Tag {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::MapFound,
        Self::MapAllocate,
        Self::Convert,
        Self::WriteMapped,
        Self::WritebackMapped,
        Self::Completion,
        Self::DirectDone,
        Self::Remove,
    ];

    /// The name of the file that sets it.
    pub const fn name(self) -> &'static core::ffi::CStr {
        match self {
            Self::MapFound => c"map_found",
            Self::MapAllocate => c"map_allocate",
            Self::Convert => c"convert",
            Self::WriteMapped => c"write_mapped",
            Self::WritebackMapped => c"writeback_mapped",
            Self::Completion => c"completion",
            Self::DirectDone => c"direct_done",
            Self::Remove => c"remove",
        }
    }
}
