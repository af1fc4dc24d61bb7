// SPDX-License-Identifier: GPL-2.0

//! An ext4 image in memory: where its structures are, and their checksums
//! (Documentation/filesystems/ext4). Knows only what mke2fs makes by default
//! with 4 KiB blocks; written from the format's documentation, apart from the
//! module's own code, so that the two check each other.

use anyhow::{bail, ensure, Context, Result};
use std::path::Path;

pub const BLOCK: usize = 4096;
pub const SUPER: usize = 1024;

#[derive(Clone)]
pub struct Image {
    pub bytes: Vec<u8>,
    seed: u32,
}

/// The kernel's crc32c: no inversion before or after.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, data)
}

/// Logical block, length, physical block.
type Extent = (u32, u32, u32);

/// What a checksum covers, so that it can be mended.
#[derive(Clone, Copy, Debug)]
pub enum Sum {
    Super,
    Group(u32),
    Inode(u32),
    /// Extent block of an inode, at an offset in the image.
    Extents(u32, usize),
    /// Linear directory block of an inode.
    Directory(u32, usize),
    /// Index root (with its dot entries) or inner index node of an inode.
    Index(u32, usize),
    BlockBitmap(u32),
    InodeBitmap(u32),
    Journal,
    Orphans(u32, usize),
    /// Block of extended attributes, at an offset in the image.
    Attributes(usize),
    /// Not covered by a checksum.
    None,
}

impl Image {
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut image = Self { bytes, seed: 0 };
        ensure!(
            image.u16(SUPER + 0x38)? == 0xEF53,
            "{} holds no ext4",
            path.display()
        );
        let uuid = image.get(SUPER + 0x68, 16)?.to_vec();
        let has_seed = image.u32(SUPER + 0x60)? & 0x2000 != 0;
        image.seed = if has_seed {
            image.u32(SUPER + 0x270)?
        } else {
            crc32c(!0, &uuid)
        };
        Ok(image)
    }

    pub fn get(&self, at: usize, len: usize) -> Result<&[u8]> {
        self.bytes.get(at..at + len).context("beyond the image")
    }

    pub fn put(&mut self, at: usize, new: &[u8]) -> Result<()> {
        let old = self
            .bytes
            .get_mut(at..at + new.len())
            .context("beyond the image")?;
        old.copy_from_slice(new);
        Ok(())
    }

    pub fn u16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes(self.get(at, 2)?.try_into()?))
    }

    pub fn u32(&self, at: usize) -> Result<u32> {
        Ok(u32::from_le_bytes(self.get(at, 4)?.try_into()?))
    }

    pub fn group(&self, number: u32) -> usize {
        BLOCK + number as usize * 64
    }

    pub fn groups(&self) -> Result<u32> {
        let (blocks, first) = (self.u32(SUPER + 0x4)?, self.u32(SUPER + 0x14)?);
        let per_group = self.u32(SUPER + 0x20)?;
        ensure!(blocks > first && per_group > 0, "no groups");
        Ok((blocks - first).div_ceil(per_group))
    }

    /// Offset of the block that a group descriptor names at `field`.
    pub fn group_block(&self, number: u32, field: usize) -> Result<usize> {
        Ok(self.u32(self.group(number) + field)? as usize * BLOCK)
    }

    pub fn inode(&self, number: u32) -> Result<usize> {
        let per_group = self.u32(SUPER + 0x28)?;
        let size = usize::from(self.u16(SUPER + 0x58)?);
        ensure!(per_group > 0, "no inodes in a group");
        let index = number - 1;
        Ok(self.group_block(index / per_group, 0x8)? + (index % per_group) as usize * size)
    }

    /// (logical block, length, physical block) of every extent of an inode,
    /// and the offset of its extent block if it has one.
    pub fn extents(&self, inode: u32) -> Result<(Vec<Extent>, Option<usize>)> {
        let root = self.inode(inode)? + 0x28;
        let (leaf, block) = match self.u16(root + 6)? {
            0 => (root, None),
            1 => {
                let at = self.u32(root + 12 + 4)? as usize * BLOCK;
                (at, Some(at))
            }
            d => bail!("inode {inode} has an extent tree of depth {d}"),
        };
        let count = usize::from(self.u16(leaf + 2)?);
        let list = (0..count)
            .map(|i| {
                let at = leaf + 12 + i * 12;
                Ok((
                    self.u32(at)?,
                    u32::from(self.u16(at + 4)?),
                    self.u32(at + 8)?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok((list, block))
    }

    /// Offsets of the data blocks of an inode.
    pub fn blocks(&self, inode: u32) -> Result<Vec<usize>> {
        let (list, _) = self.extents(inode)?;
        Ok(list
            .into_iter()
            .flat_map(|(_, len, start)| (start..start + len).map(|b| b as usize * BLOCK))
            .collect())
    }

    /// Offset of the block of extended attributes of an inode.
    pub fn attribute_block(&self, inode: u32) -> Result<usize> {
        let block = self.u32(self.inode(inode)? + 0x68)? as usize;
        ensure!(block != 0, "inode {inode} has no attribute block");
        Ok(block * BLOCK)
    }

    /// The inode of a path.
    pub fn find(&self, path: &str) -> Result<u32> {
        let mut inode = 2;
        for name in path.split('/') {
            inode = self.entry(inode, name)?.1;
        }
        Ok(inode)
    }

    /// Offset of a directory entry, and the inode that it names.
    pub fn entry(&self, dir: u32, name: &str) -> Result<(usize, u32)> {
        for block in self.blocks(dir)? {
            let mut at = block;
            while at < block + BLOCK {
                let length = usize::from(self.u16(at + 4)?);
                let name_length = usize::from(*self.get(at + 6, 1)?.first().context("empty")?);
                if self.u32(at)? != 0 && self.get(at + 8, name_length)? == name.as_bytes() {
                    return Ok((at, self.u32(at)?));
                }
                at += length.max(12);
            }
        }
        bail!("no {name} in directory {dir}")
    }

    fn inode_seed(&self, inode: u32) -> Result<u32> {
        let generation = self.u32(self.inode(inode)? + 0x64)?;
        Ok(crc32c(
            crc32c(self.seed, &inode.to_le_bytes()),
            &generation.to_le_bytes(),
        ))
    }

    /// Makes a checksum fit what it covers.
    pub fn mend(&mut self, sum: Sum) -> Result<()> {
        match sum {
            Sum::None => {}
            Sum::Super => {
                let c = crc32c(!0, self.get(SUPER, 1020)?);
                self.put(SUPER + 1020, &c.to_le_bytes())?;
            }
            Sum::Group(number) => {
                let at = self.group(number);
                self.put(at + 0x1E, &[0; 2])?;
                let c = crc32c(crc32c(self.seed, &number.to_le_bytes()), self.get(at, 64)?);
                self.put(at + 0x1E, &(c as u16).to_le_bytes())?;
            }
            Sum::Inode(number) => {
                let at = self.inode(number)?;
                let size = usize::from(self.u16(SUPER + 0x58)?);
                self.put(at + 0x7C, &[0; 2])?;
                self.put(at + 0x82, &[0; 2])?;
                let c = crc32c(self.inode_seed(number)?, self.get(at, size)?);
                self.put(at + 0x7C, &(c as u16).to_le_bytes())?;
                self.put(at + 0x82, &((c >> 16) as u16).to_le_bytes())?;
            }
            Sum::Extents(inode, at) => {
                let tail = 12 + usize::from(self.u16(at + 4)?) * 12;
                if tail + 4 <= BLOCK {
                    let c = crc32c(self.inode_seed(inode)?, self.get(at, tail)?);
                    self.put(at + tail, &c.to_le_bytes())?;
                }
            }
            Sum::Directory(inode, at) => {
                let c = crc32c(self.inode_seed(inode)?, self.get(at, BLOCK - 12)?);
                self.put(at + BLOCK - 4, &c.to_le_bytes())?;
            }
            Sum::Index(inode, at) => {
                let count_at = 0x20;
                let limit = usize::from(self.u16(at + count_at)?);
                let count = usize::from(self.u16(at + count_at + 2)?);
                let tail = count_at + limit * 8;
                if tail + 8 <= BLOCK && count_at + count * 8 <= BLOCK {
                    let mut c =
                        crc32c(self.inode_seed(inode)?, self.get(at, count_at + count * 8)?);
                    c = crc32c(c, self.get(at + tail, 4)?);
                    c = crc32c(c, &[0; 4]);
                    self.put(at + tail + 4, &c.to_le_bytes())?;
                }
            }
            Sum::BlockBitmap(number) => {
                let bits = self.u32(SUPER + 0x20)? as usize;
                self.bitmap_sum(number, 0x0, bits / 8, 0x18, 0x38)?;
            }
            Sum::InodeBitmap(number) => {
                let bits = self.u32(SUPER + 0x28)? as usize;
                self.bitmap_sum(number, 0x4, bits / 8, 0x1A, 0x3A)?;
            }
            Sum::Journal => {
                let at = *self.blocks(8)?.first().context("an empty journal")?;
                self.put(at + 0xFC, &[0; 4])?;
                let c = crc32c(!0, self.get(at, 1024)?);
                self.put(at + 0xFC, &c.to_be_bytes())?;
            }
            Sum::Attributes(at) => {
                self.put(at + 0x10, &[0; 4])?;
                let number = u64::try_from(at / BLOCK)?;
                let c = crc32c(self.seed, &number.to_le_bytes());
                let c = crc32c(c, self.get(at, BLOCK)?);
                self.put(at + 0x10, &c.to_le_bytes())?;
            }
            Sum::Orphans(inode, at) => {
                let number = u64::try_from(at / BLOCK)?;
                let c = crc32c(self.inode_seed(inode)?, &number.to_le_bytes());
                let c = crc32c(c, self.get(at, BLOCK - 8)?);
                self.put(at + BLOCK - 4, &c.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn bitmap_sum(
        &mut self,
        group: u32,
        field: usize,
        len: usize,
        low: usize,
        high: usize,
    ) -> Result<()> {
        let at = self.group_block(group, field)?;
        let c = crc32c(self.seed, self.get(at, len)?);
        let descriptor = self.group(group);
        self.put(descriptor + low, &(c as u16).to_le_bytes())?;
        self.put(descriptor + high, &((c >> 16) as u16).to_le_bytes())?;
        self.mend(Sum::Group(group))
    }

    /// The bytes in which `other` differs, as patches.
    pub fn patches(&self, other: &Self) -> Vec<(u64, Vec<u8>)> {
        let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
        let blocks = self
            .bytes
            .chunks(BLOCK)
            .zip(other.bytes.chunks(BLOCK))
            .enumerate();
        for (block, (old, new)) in blocks.filter(|(_, (old, new))| old != new) {
            for (i, (old, new)) in old.chunks(8).zip(new.chunks(8)).enumerate() {
                let at = (block * BLOCK + i * 8) as u64;
                match out.last_mut() {
                    _ if old == new => {}
                    Some((start, bytes)) if *start + bytes.len() as u64 == at => {
                        bytes.extend_from_slice(new)
                    }
                    _ => out.push((at, new.to_vec())),
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::Scratch;

    /// mke2fs made every checksum; mending a good image changes nothing.
    #[test]
    fn mending_a_good_image_changes_nothing() -> Result<()> {
        let bases = Scratch::new("damage")?;
        for base in &bases.paths {
            let good = Image::read(base)?;
            let (indexed, linear) = (good.find("indexed")?, good.find("linear")?);
            let pieces = good.find("pieces")?;
            let orphans = good.u32(SUPER + 0x280)?;
            let first = |inode| -> Result<usize> {
                good.blocks(inode)?.first().copied().context("no block")
            };
            let sums = [
                Sum::Super,
                Sum::Group(0),
                Sum::Group(1),
                Sum::Inode(2),
                Sum::Inode(pieces),
                Sum::Extents(pieces, good.extents(pieces)?.1.context("no extent block")?),
                Sum::Directory(linear, first(linear)?),
                Sum::Index(indexed, first(indexed)?),
                Sum::BlockBitmap(0),
                Sum::InodeBitmap(0),
                Sum::Orphans(orphans, first(orphans)?),
                Sum::Attributes(good.attribute_block(good.find("plain")?)?),
            ];
            for sum in sums {
                let mut mended = good.clone();
                mended.mend(sum)?;
                assert!(
                    good.patches(&mended).is_empty(),
                    "{sum:?} of {}",
                    base.display()
                );
            }
        }
        Ok(())
    }

    /// Every case differs from its base, and no two are the same.
    #[test]
    fn cases_are_many_and_differ() -> Result<()> {
        let cases = crate::damage::cases(&Scratch::new("cases")?.paths)?;
        assert!(cases.len() >= 200, "only {} cases", cases.len());
        let mut seen = std::collections::BTreeSet::new();
        for c in &cases {
            assert!(
                !c.patches.is_empty() || c.length.is_some(),
                "{} damages nothing",
                c.name
            );
            assert!(
                seen.insert((c.base, c.patches.clone(), c.length)),
                "{} is there twice",
                c.name
            );
        }
        Ok(())
    }
}
