// SPDX-License-Identifier: GPL-2.0

//! Access control lists on disk: the value of an attribute.
//!
//! A version, then entries: a tag and permissions, and the number of the user or group for those
//! tags that mean one.

use super::le;
use super::problem::{ensure, Problem};
use kernel::prelude::*;

/// The one version.
const VERSION: u32 = 1;
const HEADER: usize = 4;
/// Bytes of an entry without an owner, and of one with.
const SHORT: usize = 4;
const LONG: usize = 8;

/// Tags of entries.
mod tag {
    pub(super) const USER_OBJ: u16 = 0x1;
    pub(super) const USER: u16 = 0x2;
    pub(super) const GROUP_OBJ: u16 = 0x4;
    pub(super) const GROUP: u16 = 0x8;
    pub(super) const MASK: u16 = 0x10;
    pub(super) const OTHER: u16 = 0x20;
}

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This user.
    User(u32),
    /// This group.
    Group(u32),
    /// As the tag says.
    Nobody,
}

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `ACL_*`.
    pub tag: u16,
    /// The lowest three bits count.
    pub permissions: u16,
    /// Fits the tag.
    pub owner: Owner,
}

impl Entry {
    /// An entry whose owner has the number `id`, if the tag has one; `None` for an unknown tag.
    pub fn new(tag: u16, permissions: u16, id: u32) -> Option<Self> {
        let owner = match tag {
            tag::USER => Owner::User(id),
            tag::GROUP => Owner::Group(id),
            tag::USER_OBJ | tag::GROUP_OBJ | tag::MASK | tag::OTHER => Owner::Nobody,
            _ => return None,
        };
        Some(Self {
            tag,
            permissions,
            owner,
        })
    }
}

/// A list on disk, checked.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// Checks the list that an attribute's value holds.
    pub fn parse(value: &'a [u8]) -> Result<Self, Problem> {
        let version = le::u32_at(value, 0);
        ensure(
            version == Some(VERSION),
            Problem::new(
                "access control list of an unknown version",
                value.len() as u64,
            ),
        )?;
        let list = Self(value.get(HEADER..).unwrap_or_default());
        let mut rest = list.0;
        while !rest.is_empty() {
            let bad = Problem::new("bad entry of an access control list", rest.len() as u64);
            (_, rest) = first(rest).ok_or(bad)?;
        }
        Ok(list)
    }

    /// The entries.
    pub fn entries(self) -> impl Iterator<Item = Entry> + Clone + 'a {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (entry, after) = first(rest)?;
            rest = after;
            Some(entry)
        })
    }
}

/// The first entry and what follows.
fn first(list: &[u8]) -> Option<(Entry, &[u8])> {
    let tag = u16::from_le_bytes(le::array(list, 0)?);
    let permissions = u16::from_le_bytes(le::array(list, 2)?);
    let plain = Entry::new(tag, permissions, 0)?;
    if plain.owner == Owner::Nobody {
        return Some((plain, list.get(SHORT..)?));
    }
    let entry = Entry::new(tag, permissions, le::u32_at(list, SHORT)?)?;
    Some((entry, list.get(LONG..)?))
}

/// The value of an attribute that holds the list.
///
/// # Errors
///
/// `ENOMEM`.
pub fn encode(entries: impl Iterator<Item = Entry>) -> Result<KVec<u8>> {
    let mut value = KVec::new();
    value.extend_from_slice(&VERSION.to_le_bytes(), GFP_KERNEL)?;
    for entry in entries {
        value.extend_from_slice(&entry.tag.to_le_bytes(), GFP_KERNEL)?;
        value.extend_from_slice(&entry.permissions.to_le_bytes(), GFP_KERNEL)?;
        if let Owner::User(id) | Owner::Group(id) = entry.owner {
            value.extend_from_slice(&id.to_le_bytes(), GFP_KERNEL)?;
        }
    }
    Ok(value)
}
