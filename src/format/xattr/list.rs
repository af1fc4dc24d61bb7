// SPDX-License-Identifier: GPL-2.0

//! Looking at lists of attributes.

use super::{entry_bytes, RawEntry, IN_BLOCK_HEADER, IN_INODE_HEADER, MAGIC};
use crate::format::geometry::GOOD_OLD_INODE_SIZE;
use crate::format::le;
use crate::format::problem::{ensure, Problem};
use zerocopy::FromBytes;

/// Where the magic of the list lies in an inode of `extra_isize`.
pub fn start_in_inode(extra_isize: u16) -> usize {
    usize::from(GOOD_OLD_INODE_SIZE) + usize::from(extra_isize)
}

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which prefix the name has: 1 `user.`, 2 and 3 the ACLs, 4 `trusted.`, 6 `security.` ...
    pub name_index: u8,
    /// The name after the prefix.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl Attribute<'_> {
    /// Whether this is the attribute `name` with the prefix `index`.
    pub fn is(&self, index: u8, name: &[u8]) -> bool {
        self.name_index == index && self.name == name
    }
}

/// The attributes of one list, each checked as it is reached.
pub struct Attributes<'a> {
    /// What value offsets count from.
    base: &'a [u8],
    /// Where the next entry begins in `base`; `None` at the end.
    next: Option<usize>,
}

impl<'a> Attributes<'a> {
    /// The list in an attribute block; check it with [`BlockHeader::parse`] first.
    pub fn in_block(block: &'a [u8]) -> Self {
        Self {
            base: block,
            next: Some(IN_BLOCK_HEADER),
        }
    }

    /// The list in an inode of `extra_isize`, from all the inode's bytes; empty where there is
    /// none.
    pub fn in_inode(inode: &'a [u8], extra_isize: u16) -> Self {
        let at = start_in_inode(extra_isize);
        let has_list = le::u32_at(inode, at) == Some(MAGIC);
        Self {
            base: inode.get(at + IN_INODE_HEADER..).unwrap_or(&[]),
            next: has_list.then_some(0),
        }
    }

    fn step(&mut self, at: usize) -> Result<Option<Attribute<'a>>, Problem> {
        let bad = Problem::new("attribute list runs past its end", at as u64);
        if le::u32_at(self.base, at).ok_or(bad)? == 0 {
            return Ok(None);
        }
        let tail = self.base.get(at..).ok_or(bad)?;
        let (raw, rest) = RawEntry::ref_from_prefix(tail).map_err(|_| bad)?;
        let name = rest.get(..raw.name_len.into()).ok_or(bad)?;
        ensure(
            !name.contains(&0),
            Problem::new("attribute name holds a zero byte", at as u64),
        )?;
        let inode = raw.value_inode.get();
        ensure(
            inode == 0,
            Problem::new("attribute value in an inode", inode.into()),
        )?;
        let start = usize::from(raw.value_offset.get());
        let len = raw.value_size.get() as usize;
        let value = match len {
            0 => &[],
            _ => start
                .checked_add(len)
                .and_then(|end| self.base.get(start..end))
                .ok_or(Problem::new(
                    "attribute value outside its block",
                    start as u64,
                ))?,
        };
        self.next = at.checked_add(entry_bytes(name));
        Ok(Some(Attribute {
            name_index: raw.name_index,
            name,
            value,
        }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        self.step(at).transpose()
    }
}
