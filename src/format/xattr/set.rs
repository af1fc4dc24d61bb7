// SPDX-License-Identifier: GPL-2.0

//! All attributes of an inode, on their way to be changed.
//!
//! The set borrows names and values from copies of the lists on disk, and from whoever changes
//! one. Written as lists again, the entries are in the order that C ext4 looks for in a block.

use super::list::{start_in_inode, Attribute, Attributes};
use super::{entry_bytes, padded, BlockHeader, RawEntry, IN_BLOCK_HEADER, IN_INODE_HEADER, MAGIC};
use crate::format::block_size::BlockSize;
use crate::format::geometry::Geometry;
use crate::format::le;
use crate::format::problem::Problem;
use crate::format::units::PhysicalBlock;
use crate::sort::sort_by;
use core::cmp::Ordering;
use core::mem::size_of;
use kernel::prelude::*;
use zerocopy::little_endian::{U16, U32};
use zerocopy::IntoBytes;

/// The zero word that ends a list.
const END: usize = 4;

/// Where an attribute is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the fields of the inode.
    Inode,
    /// In the attribute block.
    Block,
}

/// Why a set could not be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The lists are bad.
    Problem(Problem),
    /// No memory.
    NoMemory,
    /// Neither place has room for the attribute.
    NoSpace,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<kernel::alloc::AllocError> for Failure {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::NoMemory
    }
}

/// The attributes of an inode.
pub struct AttributeSet<'a> {
    all: KVec<(Place, Attribute<'a>)>,
    /// Bytes for a list in the inode, its end included.
    room_in_inode: usize,
    /// The same for one in a block.
    room_in_block: usize,
    changed_inode: bool,
    changed_block: bool,
}

impl<'a> AttributeSet<'a> {
    /// Reads both lists: from all the bytes of an inode of `extra_isize`, and from the attribute
    /// block, whose header is checked.
    ///
    /// # Errors
    ///
    /// [`Failure::Problem`], [`Failure::NoMemory`].
    pub fn read(
        inode: &'a [u8],
        extra_isize: u16,
        block: Option<&'a [u8]>,
        block_size: BlockSize,
    ) -> Result<Self, Failure> {
        let header = start_in_inode(extra_isize).saturating_add(IN_INODE_HEADER);
        let mut set = Self {
            all: KVec::new(),
            room_in_inode: inode.len().saturating_sub(header),
            room_in_block: block_size.as_usize().saturating_sub(IN_BLOCK_HEADER),
            changed_inode: false,
            changed_block: false,
        };
        set.take(Place::Inode, Attributes::in_inode(inode, extra_isize))?;
        if let Some(block) = block {
            set.take(Place::Block, Attributes::in_block(block))?;
        }
        // Else it could not be written again, whatever is taken out.
        let fits = |place, room| !set.uses(place) || set.bytes(place) <= room;
        if !fits(Place::Inode, set.room_in_inode) || !fits(Place::Block, set.room_in_block) {
            return Err(Problem::new("values of attributes overlap", 0).into());
        }
        Ok(set)
    }

    fn take(&mut self, place: Place, list: Attributes<'a>) -> Result<(), Failure> {
        for attribute in list {
            self.all.push((place, attribute?), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// The value of the attribute `name` with the prefix `index`.
    pub fn get(&self, index: u8, name: &[u8]) -> Option<&'a [u8]> {
        let found = self.all.iter().find(|(_, a)| a.is(index, name))?;
        Some(found.1.value)
    }

    /// Takes the attribute out, if it is there.
    pub fn remove(&mut self, index: u8, name: &[u8]) {
        let (mut inode, mut block) = (false, false);
        self.all.retain(|(place, attribute)| {
            let goes = attribute.is(index, name);
            match place {
                Place::Inode => inode |= goes,
                Place::Block => block |= goes,
            }
            !goes
        });
        self.changed_inode |= inode;
        self.changed_block |= block;
    }

    /// Puts the attribute in, in the place of one of the same name: into the inode if it fits
    /// there, and else into the block.
    ///
    /// # Errors
    ///
    /// [`Failure::NoSpace`], [`Failure::NoMemory`]; the set is of no use then.
    pub fn set(&mut self, attribute: Attribute<'a>) -> Result<(), Failure> {
        self.remove(attribute.name_index, attribute.name);
        let need = bytes_of(&attribute);
        let fits = |place, room: usize| self.bytes(place).saturating_add(need) <= room;
        let place = if fits(Place::Inode, self.room_in_inode) {
            self.changed_inode = true;
            Place::Inode
        } else if fits(Place::Block, self.room_in_block) {
            self.changed_block = true;
            Place::Block
        } else {
            return Err(Failure::NoSpace);
        };
        self.all.push((place, attribute), GFP_KERNEL)?;
        Ok(())
    }

    /// Whether the list in `place` is other than what was read.
    pub fn has_changed(&self, place: Place) -> bool {
        match place {
            Place::Inode => self.changed_inode,
            Place::Block => self.changed_block,
        }
    }

    /// Whether a list in `place` would have anything in it.
    pub fn uses(&self, place: Place) -> bool {
        self.all.iter().any(|(p, _)| *p == place)
    }

    /// Bytes of the list in `place`, its end included.
    fn bytes(&self, place: Place) -> usize {
        let own = self.all.iter().filter(|(p, _)| *p == place);
        own.fold(END, |sum, (_, a)| sum.saturating_add(bytes_of(a)))
    }

    /// Writes the inode's list into all the bytes of an inode; whoever does so sets the inode's
    /// checksum. `None` where they are not those that were read.
    #[must_use]
    pub fn encode_in_inode(&mut self, inode: &mut [u8], extra_isize: u16) -> Option<()> {
        let at = start_in_inode(extra_isize);
        let room = inode.get_mut(at..)?;
        room.fill(0);
        if !self.uses(Place::Inode) {
            return Some(());
        }
        le::put_u32(room, 0, MAGIC)?;
        // C ext4 leaves the hashes in an inode empty.
        self.encode_list(Place::Inode, room.get_mut(IN_INODE_HEADER..)?, 0, |_| 0)
    }

    /// Writes the attribute block `at`, which belongs to one inode.
    #[must_use]
    pub fn encode_block(
        &mut self,
        geo: &Geometry,
        at: PhysicalBlock,
        block: &mut [u8],
    ) -> Option<()> {
        block.fill(0);
        let mut hash = 0u32;
        self.encode_list(Place::Block, block, IN_BLOCK_HEADER, |attribute| {
            let own = hash_of(attribute);
            hash = hash.rotate_left(16) ^ own;
            own
        })?;
        BlockHeader { refcount: 1, hash }.encode(geo, at, block)
    }

    /// Writes the list of `place` into `base`, from the byte `start` on.
    fn encode_list(
        &mut self,
        place: Place,
        base: &mut [u8],
        start: usize,
        mut hash: impl FnMut(&Attribute<'_>) -> u32,
    ) -> Option<()> {
        sort_by(self.all.as_mut_slice(), |(_, a), (_, b)| order(a, b));
        let (mut entry_at, mut value_end) = (start, base.len());
        for (_, attribute) in self.all.iter().filter(|(p, _)| *p == place) {
            let value_at = value_end.checked_sub(padded(attribute.value.len()))?;
            let offset = match attribute.value {
                [] => 0,
                value => {
                    base.get_mut(value_at..)?
                        .get_mut(..value.len())?
                        .copy_from_slice(value);
                    value_at
                }
            };
            let raw = RawEntry {
                name_len: u8::try_from(attribute.name.len()).ok()?,
                name_index: attribute.name_index,
                value_offset: U16::new(u16::try_from(offset).ok()?),
                value_inode: U32::new(0),
                value_size: U32::new(u32::try_from(attribute.value.len()).ok()?),
                hash: U32::new(hash(attribute)),
            };
            let entry = base.get_mut(entry_at..value_at)?;
            let (head, name) = entry.split_at_mut_checked(size_of::<RawEntry>())?;
            head.copy_from_slice(raw.as_bytes());
            name.get_mut(..attribute.name.len())?
                .copy_from_slice(attribute.name);
            entry_at = entry_at.checked_add(entry_bytes(attribute.name))?;
            value_end = value_at;
        }
        Some(())
    }
}

/// What an attribute takes of a list.
fn bytes_of(attribute: &Attribute<'_>) -> usize {
    entry_bytes(attribute.name).saturating_add(padded(attribute.value.len()))
}

/// By prefix, then by the length of the name, then by the name.
fn order(a: &Attribute<'_>, b: &Attribute<'_>) -> Ordering {
    let key = |attribute: &Attribute<'_>| (attribute.name_index, attribute.name.len());
    key(a).cmp(&key(b)).then_with(|| a.name.cmp(b.name))
}

/// The hash of an attribute in a block.
fn hash_of(attribute: &Attribute<'_>) -> u32 {
    let named = attribute
        .name
        .iter()
        .fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    attribute.value.chunks(4).fold(named, |hash, chunk| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}
