// SPDX-License-Identifier: GPL-2.0

//! e2fsck and debugfs read extent trees made here, in an image that mke2fs made.

mod common;

use common::tree::Tree;
use rooms::crc32c;
use rooms::extents::Progress;
use rooms::format::extent::State;
use rooms::format::units::PhysicalBlock;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const BLOCK: u64 = 1024;
/// Free in the second group of the image.
const DATA_FROM: u64 = 9_000;
const NODES_FROM: u64 = 15_000;
const GENERATION: u32 = 7;

/// The output of a tool of e2fsprogs.
fn run(tool: &str, args: &[&str], image: &Path) -> String {
    let output = Command::new(format!("/usr/sbin/{tool}"))
        .args(args)
        .arg(image)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}; it is in the package e2fsprogs"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn debugfs(image: &Path, command: &str) -> String {
    run("debugfs", &["-w", "-R", command], image)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The checksum seed of the inode.
fn seed(superblock: &[u8], inode: u32) -> u32 {
    let uses_stored_seed = le32(superblock, 0x60) & 0x2000 != 0;
    let of_fs = if uses_stored_seed {
        le32(superblock, 0x270)
    } else {
        crc32c(!0, &superblock[0x68..0x78])
    };
    let of_inode = crc32c(of_fs, &inode.to_le_bytes());
    crc32c(of_inode, &GENERATION.to_le_bytes())
}

/// Builds a tree with `build`, and has it judged as that of a file in a fresh image.
fn judge(name: &str, build: impl FnOnce(&mut Tree)) {
    let dir = std::env::temp_dir().join(format!("ext4rs-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let image = dir.join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    let made = Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^has_journal"])
        .arg(&image)
        .status();
    assert!(made.expect("mke2fs is in the package e2fsprogs").success());
    debugfs(&image, "write /dev/null f");
    debugfs(
        &image,
        &format!("set_inode_field f generation {GENERATION}"),
    );
    let stat = debugfs(&image, "stat f");
    let inode = stat.split_whitespace().nth(1).unwrap().parse().unwrap();

    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let mut superblock = [0; 1024];
    file.read_exact_at(&mut superblock, 1024).unwrap();
    let mut tree = Tree::new(BLOCK as usize);
    tree.space.seed = Some(seed(&superblock, inode));
    tree.space.nodes_from = NODES_FROM;
    build(&mut tree);
    let extents = tree.check();

    for at in &tree.space.nodes {
        let bytes = tree.space.store.bytes(PhysicalBlock(*at));
        file.write_all_at(&bytes, at * BLOCK).unwrap();
    }
    let blocks = tree.space.nodes.len() + tree.space.data.len();
    let size = tree
        .model
        .keys()
        .last()
        .map_or(0, |last| u64::from(last + 1) * BLOCK);
    let mut commands = format!(
        "set_inode_field f size {size}\nset_inode_field f blocks {}\n",
        blocks as u64 * (BLOCK / 512)
    );
    for (i, word) in tree.root.chunks(4).enumerate() {
        // debugfs has names for the last three words.
        let name = match i {
            12 => "IND".into(),
            13 => "DIND".into(),
            14 => "TIND".into(),
            _ => i.to_string(),
        };
        commands += &format!("set_inode_field f block[{name}] {}\n", le32(word, 0));
    }
    let script = dir.join("commands");
    std::fs::write(&script, commands).unwrap();
    run("debugfs", &["-w", "-f", script.to_str().unwrap()], &image);

    // The bitmaps know nothing of the tree, which only the last pass sees.
    let verdict = run("e2fsck", &["-fn"], &image);
    let (passes, _) = verdict
        .split_once("Pass 5")
        .expect("e2fsck got to its last pass");
    // That a tree has half-full nodes is a hint, and no error to e2fsck.
    let complaints: Vec<&str> = passes
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with("Pass ") && !l.ends_with("Optimize? no"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    // And it did see the blocks.
    assert_eq!(verdict.contains("Block bitmap differences"), blocks > 0);

    let dump = debugfs(&image, "dump_extents -l f");
    let seen = dump.lines().filter(|line| line.contains(" - ")).count();
    assert_eq!(seen, extents.len(), "{dump}");
    std::fs::remove_dir_all(&dir).unwrap();
}

fn scatter(tree: &mut Tree, blocks: impl Iterator<Item = u32>) {
    for start in blocks {
        let at = DATA_FROM + u64::from(start);
        tree.insert(start, 1, at, State::Written).unwrap();
    }
}

#[test]
fn a_file_written_in_order() {
    judge("order", |tree| {
        scatter(tree, (0..4000).step_by(2));
        assert_eq!(tree.depth(), 2);
    });
}

#[test]
fn a_file_written_from_its_end() {
    judge("end", |tree| {
        scatter(tree, (0..4000).rev().step_by(2));
        assert_eq!(tree.depth(), 2);
    });
}

#[test]
fn a_file_written_and_punched_and_converted_all_over() {
    judge("all-over", |tree| {
        scatter(
            tree,
            (0..3000u32)
                .step_by(2)
                .map(|i| (i * 7 % 3001) & !1)
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter(),
        );
        for start in (0..3000).step_by(300) {
            let unwritten = tree.convert(start..start + 40, State::Unwritten);
            assert_eq!(unwritten, Ok(Progress::Done));
            assert_eq!(tree.remove(start + 31..start + 90), Ok(Progress::Done));
        }
    });
}

#[test]
fn a_file_cut_to_a_few_blocks() {
    judge("cut", |tree| {
        tree.insert(0, 2000, DATA_FROM, State::Unwritten).unwrap();
        for start in (1..1000).step_by(2) {
            let written = tree.convert(start..start + 1, State::Written);
            assert_eq!(written, Ok(Progress::Done));
        }
        assert_eq!(tree.remove(300..u32::MAX), Ok(Progress::Done));
        assert_eq!(tree.depth(), 1);
    });
}
