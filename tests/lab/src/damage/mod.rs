// SPDX-License-Identifier: GPL-2.0

//! Damaged images: good ones, changed field by field.
//!
//! [`image`] finds the structures and mends their checksums, [`fields`] lists
//! the fields with the values to try. Each pair gives two cases: the checksum
//! left alone, which must be noticed, and mended, which must be survived.

mod fields;
mod image;

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

/// All cases: some of every structure.
pub fn cases(bases: &[PathBuf]) -> Result<Vec<Case>> {
    let mut all = Vec::new();
    let clean = Image::read(bases.first().context("no base image")?)?;
    let dirty = Image::read(bases.get(1).context("no second base image")?)?;
    fields::clean(&clean, &mut all)?;
    fields::dirty(&dirty, &mut all)?;
    for (i, case) in all.iter_mut().enumerate() {
        case.number = i;
        // the two answers that a guest survives, in turn
        case.answer = if i % 3 == 2 { "remount-ro" } else { "continue" }.to_owned();
    }
    Ok(all)
}
