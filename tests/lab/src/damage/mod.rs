// SPDX-License-Identifier: GPL-2.0

//! Damaged images: good ones, changed field by field.
//!
//! [`image`] finds the structures and mends their checksums, [`fields`] lists
//! the fields with the values to try. Each pair gives two cases: the checksum
//! left alone, which must be noticed, and mended, which must be survived.
//! [`kinds`] are shapes of damage that have brought down ext4 drivers, by name.
//! [`random`] combines fields, and throws dice.

mod fields;
mod image;
mod kinds;
mod random;

use anyhow::{ensure, Context, Result};
use guest::Case;
use image::Image;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the undamaged images in `dir`: a tree of all kinds of files, and the
/// same with a journal to be replayed.
pub fn make_bases(dir: &Path) -> Result<Vec<PathBuf>> {
    let tree = dir.join("tree");
    populate(&tree)?;
    let clean = dir.join("clean.img");
    let dirty = dir.join("dirty.img");
    let _ = fs::remove_file(&clean);
    let sh = |script: &str| -> Result<()> {
        let out = Command::new("sh")
            .args(["-c", script])
            .env("TREE", &tree)
            .env("CLEAN", &clean)
            .env("DIRTY", &dirty)
            .output()?;
        ensure!(
            out.status.success(),
            "{script}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(())
    };
    // Two groups; fixed identifiers, so that a seed means the same images.
    sh(
        "mke2fs -q -F -t ext4 -b 4096 -g 2048 -N 1024 -U 65787434-7273-4000-8000-000000000001 \
        -E hash_seed=65787434-7273-4000-8000-000000000002 -d $TREE $CLEAN 16M",
    )?;
    // attributes in a block of their own, and in an inode
    fs::write(dir.join("value"), vec![b'v'; 500])?;
    sh("printf 'ea_set -f %s plain user.one\\nea_set -f %s plain user.second\\nea_set inner/deeper/bottom user.small value\\n' \
        ${TREE%tree}value ${TREE%tree}value | debugfs -w -f - $CLEAN >/dev/null 2>&1")?;
    // e2fsck makes the index of a large directory, and exits with 1 for that
    sh("e2fsck -fyD $CLEAN >/dev/null; [ $? -le 1 ] && e2fsck -fn $CLEAN >/dev/null")?;
    sh("cp $CLEAN $DIRTY && dd if=/dev/zero of=$TREE.block bs=4096 count=1 2>/dev/null && \
        printf 'jo\\njw -b 4000,4001,4002 %s\\njc\\n' $TREE.block | debugfs -w -f - $DIRTY >/dev/null 2>&1")?;
    Ok(vec![clean, dirty])
}

fn populate(tree: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(tree);
    for dir in ["linear", "indexed", "inner/deeper"] {
        fs::create_dir_all(tree.join(dir))?;
    }
    for i in 0..12 {
        fs::write(tree.join(format!("linear/name-{i}")), vec![b'a'; 1000 * i])?;
    }
    for i in 0..300 {
        fs::write(
            tree.join(format!("indexed/a-rather-long-name-of-a-file-{i:04}")),
            "",
        )?;
    }
    fs::write(tree.join("plain"), vec![b'p'; 50_000])?;
    fs::write(tree.join("inner/deeper/bottom"), "bottom")?;
    std::os::unix::fs::symlink("plain", tree.join("fast"))?;
    std::os::unix::fs::symlink("x/".repeat(60), tree.join("slow"))?;
    // a hole after each piece: more extents than an inode holds
    let sparse = fs::File::create(tree.join("pieces"))?;
    for i in 0..12 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[b's'; 4096], i * 12_288)?;
    }
    Ok(())
}

/// The undamaged images, read.
struct Bases {
    clean: Image,
    dirty: Image,
}

impl Bases {
    fn read(paths: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            clean: Image::read(paths.first().context("no base image")?)?,
            dirty: Image::read(paths.get(1).context("no second base image")?)?,
        })
    }
}

/// The undamaged images of a test, in a directory that goes away with the value.
#[cfg(test)]
struct Scratch {
    dir: PathBuf,
    paths: Vec<PathBuf>,
}

#[cfg(test)]
impl Scratch {
    /// `name` is the test's own.
    fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("ext4rs-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let paths = make_bases(&dir)?;
        Ok(Self { dir, paths })
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Numbers the cases; the two answers that a guest survives come in turn.
fn number(all: &mut [Case]) {
    for (i, case) in all.iter_mut().enumerate() {
        case.number = i;
        case.answer = if i % 3 == 2 { "remount-ro" } else { "continue" }.to_owned();
    }
}

/// All cases that are listed: some of every structure, then the named kinds.
pub fn cases(bases: &[PathBuf]) -> Result<Vec<Case>> {
    let bases = Bases::read(bases)?;
    let mut all = Vec::new();
    fields::clean(&bases.clean, &mut all)?;
    fields::dirty(&bases.dirty, &mut all)?;
    kinds::all(&bases.clean, &bases.dirty, &mut all)?;
    number(&mut all);
    Ok(all)
}

/// The cases of [`cases`], and so many that follow from the seed that there are `count`.
pub fn many_cases(bases: &[PathBuf], seed: u64, count: usize) -> Result<Vec<Case>> {
    let mut all = cases(bases)?;
    let bases = Bases::read(bases)?;
    let more = count.saturating_sub(all.len());
    random::add(&bases.clean, &bases.dirty, seed, more, &mut all)?;
    number(&mut all);
    Ok(all)
}

/// Whether a case is one of the named kinds.
pub fn is_kind(case: &Case) -> bool {
    case.name.starts_with(kinds::PREFIX)
}

/// Structures of the clean image as they lie on disk, each with the name of its kind.
pub fn structures(dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let image = Bases::read(&make_bases(dir)?)?.clean;
    let mut all = vec![("superblock", image.get(image::SUPER, 1024)?.to_vec())];
    let descriptors = image.groups()? as usize * 64;
    all.push((
        "group_desc",
        image.get(image.group(0), descriptors)?.to_vec(),
    ));
    let orphans = image.u32(image::SUPER + 0x280)?;
    let mut inodes = vec![2, 8, orphans];
    for path in [
        "plain",
        "pieces",
        "linear",
        "indexed",
        "fast",
        "slow",
        "inner/deeper/bottom",
    ] {
        inodes.push(image.find(path)?);
    }
    for inode in &inodes {
        all.push(("inode", image.get(image.inode(*inode)?, 256)?.to_vec()));
    }
    let mut block = |name, at: usize| -> Result<()> {
        all.push((name, image.get(at, image::BLOCK)?.to_vec()));
        Ok(())
    };
    let node = image.extents(image.find("pieces")?)?.1;
    block("extent_node", node.context("no extent block")?)?;
    block("xattr", image.attribute_block(image.find("plain")?)?)?;
    let first =
        |inode| -> Result<usize> { image.blocks(inode)?.first().copied().context("no block") };
    block("orphan", first(orphans)?)?;
    block("dir_block", first(2)?)?;
    block("dir_block", first(image.find("linear")?)?)?;
    for at in image.blocks(image.find("indexed")?)?.into_iter().take(2) {
        block("dir_block", at)?;
    }
    Ok(all)
}
