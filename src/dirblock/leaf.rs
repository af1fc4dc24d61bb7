// SPDX-License-Identifier: GPL-2.0

//! Changing the entries of a leaf block.
//!
//! Every function leaves a block that passes [`Layout::check_leaf`] (it sets the checksum), or
//! fails and leaves the block as it was.

use super::entry::{file_type, needed, Entry, Layout, RawEntry, HEADER_SIZE, NAME_MAX};
use super::index::NodeKind;
use crate::format::problem::{ensure, Problem};
use crate::format::units::InodeNumber;
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;

impl Layout {
    /// The entry called `name`.
    pub fn find<'a>(&self, block: &'a [u8], name: &[u8]) -> Result<Option<Entry<'a>>, Problem> {
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.name == name {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry at `offset`.
    pub(super) fn at<'a>(&self, block: &'a [u8], offset: usize) -> Result<Entry<'a>, Problem> {
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.offset == offset {
                return Ok(entry);
            }
        }
        Err(Problem::new(
            "no directory entry where one was",
            offset as u64,
        ))
    }

    /// Whether an entry with a name of `name_len` bytes fits into a leaf block.
    pub(super) fn has_room(&self, block: &[u8], name_len: usize) -> Result<bool, Problem> {
        for slot in self.slots(block) {
            let slot = slot?;
            if slot.len.saturating_sub(slot.used()) >= needed(name_len) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds an entry; `false`, and nothing changed, where the block has no room for it.
    ///
    /// The caller knows that the name is not there yet. A name of 0 or more than [`NAME_MAX`]
    /// bytes is a [`Problem`].
    pub fn insert(
        &self,
        block: &mut [u8],
        name: &[u8],
        inode: InodeNumber,
        file_type: u8,
    ) -> Result<bool, Problem> {
        ensure(
            (1..=NAME_MAX).contains(&name.len()) && inode.0 != 0,
            Problem::new("cannot make such a directory entry", name.len() as u64),
        )?;
        let mut room = None;
        for slot in self.slots(block) {
            let slot = slot?;
            if slot.len.saturating_sub(slot.used()) >= needed(name.len()) {
                room = Some((slot.offset, slot.len, slot.used()));
                break;
            }
        }
        let Some((offset, len, used)) = room else {
            return Ok(false);
        };
        if used > 0 {
            set_len(block, offset, used);
        }
        let raw = RawEntry {
            inode: U32::new(inode.0),
            rec_len: U16::new(len.saturating_sub(used) as u16),
            name_len: name.len() as u8,
            file_type,
        };
        write_entry(block, offset.saturating_add(used), raw, name);
        self.seal_leaf(block);
        Ok(true)
    }

    /// Removes the entry at `offset`; its space goes to the one before it.
    pub fn delete(&self, block: &mut [u8], offset: usize) -> Result<(), Problem> {
        let mut before = None;
        let mut found = None;
        for slot in self.slots(block) {
            let slot = slot?;
            if slot.offset == offset && slot.entry.is_some() {
                found = Some(slot.len);
                break;
            }
            before = Some((slot.offset, slot.len));
        }
        let gone = Problem::new("no directory entry where one was", offset as u64);
        let len = found.ok_or(gone)?;
        if let Some(bytes) = block.get_mut(offset..offset.saturating_add(len)) {
            bytes.fill(0);
        }
        match before {
            Some((at, before_len)) => set_len(block, at, before_len.saturating_add(len)),
            None => set_len(block, offset, len),
        }
        self.seal_leaf(block);
        Ok(())
    }

    /// Makes the entry at `offset` lead to another inode.
    pub fn set_inode(
        &self,
        block: &mut [u8],
        offset: usize,
        inode: InodeNumber,
        file_type: u8,
    ) -> Result<(), Problem> {
        self.at(block, offset)?;
        let raw = block
            .get_mut(offset..)
            .and_then(|tail| RawEntry::mut_from_prefix(tail).ok());
        if let Some((raw, _)) = raw {
            raw.inode = U32::new(inode.0);
            raw.file_type = file_type;
        }
        self.seal_leaf(block);
        Ok(())
    }

    /// Whether a leaf block holds no entries other than `.` and `..`.
    pub fn is_empty(&self, block: &[u8]) -> Result<bool, Problem> {
        for entry in self.entries(block) {
            if !matches!(entry?.name, b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first two entries of a directory's first block, leaf or index root: `.` and `..`.
    pub fn dots<'a>(&self, block: &'a [u8]) -> Result<(Entry<'a>, Entry<'a>), Problem> {
        // The `..` of an index root reaches to the block's end.
        let mut entries = self.without_checksum().entries(block);
        let mut next = |name: &[u8], what| match entries.next().transpose()? {
            Some(entry) if entry.name == name => Ok(entry),
            _ => Err(Problem::new(what, 0)),
        };
        Ok((
            next(b".", "directory does not begin with '.'")?,
            next(b"..", "directory has no '..'")?,
        ))
    }

    /// Makes the `..` of a directory's first block lead to `parent`.
    pub fn set_parent(
        &self,
        block: &mut [u8],
        indexed: bool,
        parent: InodeNumber,
    ) -> Result<(), Problem> {
        let (_, dotdot) = self.dots(block)?;
        let at = dotdot.offset;
        self.without_checksum()
            .set_inode(block, at, parent, file_type::DIRECTORY)?;
        if indexed {
            self.seal_node(NodeKind::Root, block);
        } else {
            self.seal_leaf(block);
        }
        Ok(())
    }

    /// Makes `block` the first block of a new directory.
    pub fn init_first(&self, block: &mut [u8], own: InodeNumber, parent: InodeNumber) {
        self.init_leaf(block);
        // There is room in an empty block.
        let _ = self.insert(block, b".", own, file_type::DIRECTORY);
        let _ = self.insert(block, b"..", parent, file_type::DIRECTORY);
    }

    /// Makes `block` a leaf block without entries.
    pub fn init_leaf(&self, block: &mut [u8]) {
        block.fill(0);
        set_len(block, 0, self.entries_end(block.len()));
        self.init_tail(block);
        self.seal_leaf(block);
    }

    /// Makes `block` a leaf block of `entries`, packed.
    ///
    /// Fails where they do not fit; the block is then of no use.
    pub(super) fn pack<'a>(
        &self,
        block: &mut [u8],
        entries: impl Iterator<Item = Entry<'a>>,
    ) -> Result<(), Problem> {
        self.init_leaf(block);
        let end = self.entries_end(block.len());
        let (mut at, mut last) = (0usize, 0usize);
        for entry in entries {
            let len = needed(entry.name.len());
            let next = at.saturating_add(len);
            ensure(
                next <= end,
                Problem::new("directory entries do not fit", next as u64),
            )?;
            let raw = RawEntry {
                inode: U32::new(entry.inode.0),
                rec_len: U16::new(len as u16),
                name_len: entry.name.len() as u8,
                file_type: entry.file_type,
            };
            write_entry(block, at, raw, entry.name);
            (last, at) = (at, next);
        }
        // The last entry owns what is left.
        set_len(block, last, end.saturating_sub(last));
        self.seal_leaf(block);
        Ok(())
    }
}

/// Sets the length of the slot at `offset`, which lies in the block.
fn set_len(block: &mut [u8], offset: usize, len: usize) {
    let raw = block
        .get_mut(offset..)
        .and_then(|tail| RawEntry::mut_from_prefix(tail).ok());
    if let Some((raw, _)) = raw {
        raw.rec_len = U16::new(len as u16);
    }
}

/// Writes an entry at `offset`, where there is room for it.
fn write_entry(block: &mut [u8], offset: usize, entry: RawEntry, name: &[u8]) {
    let start = offset.saturating_add(HEADER_SIZE);
    if let Some(slot) = block.get_mut(start..start.saturating_add(name.len())) {
        slot.copy_from_slice(name);
    }
    let raw = block
        .get_mut(offset..)
        .and_then(|tail| RawEntry::mut_from_prefix(tail).ok());
    if let Some((raw, _)) = raw {
        *raw = entry;
    }
}
