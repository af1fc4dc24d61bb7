// SPDX-License-Identifier: GPL-2.0

//! Images made by e2fsprogs, for tests that want real bytes.

// Each test binary uses a part.
#![allow(dead_code)]

use rooms::format::superblock::{RawSuperblock, SUPERBLOCK_OFFSET};
use rooms::format::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rooms::format::{DiskInode, Geometry, GroupDesc, Problem};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes away with the value.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ext4rs-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make a temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a tool of e2fsprogs; a status in `good` is success. Gives its output.
pub fn tool(name: &str, args: &[&str], good: &[i32]) -> String {
    let out = Command::new(name)
        .args(args)
        .env("E2FSPROGS_FAKE_TIME", "1700000000")
        .output()
        .unwrap_or_else(|e| panic!("{name} of e2fsprogs is needed: {e}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let status = out.status.code().unwrap_or(-1);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(
        good.contains(&status),
        "{name} {args:?}: {status}\n{text}{errors}"
    );
    text
}

/// An image file, and what is around it.
pub struct Image {
    pub path: PathBuf,
    pub file: File,
    pub geo: Geometry,
    dir: TempDir,
}

impl Image {
    /// `mke2fs -t ext4 options` of `size`, filled from `tree` if given.
    pub fn make(size: &str, options: &[&str], tree: Option<&Path>) -> Self {
        let dir = TempDir::new();
        let path = dir.path().join("image");
        let name = path.to_str().expect("temporary path is UTF-8");
        let mut args = vec!["-q", "-F", "-t", "ext4", "-b", "4096"];
        // Names fall on the same leaves in every run.
        args.extend_from_slice(&["-E", "hash_seed=3c1f5a52-7d54-4b0e-9a55-6e0f8b6d2a01"]);
        args.extend_from_slice(options);
        if let Some(tree) = tree {
            args.extend_from_slice(&["-d", tree.to_str().expect("path is UTF-8")]);
        }
        args.extend_from_slice(&[name, size]);
        tool("mke2fs", &args, &[0]);
        Self::open(dir, path)
    }

    fn open(dir: TempDir, path: PathBuf) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .expect("open the image");
        let raw = raw_superblock(&file);
        let bytes = file.metadata().expect("stat the image").len();
        let geo = Geometry::parse(&raw, bytes).expect("superblock");
        Self {
            path,
            file,
            geo,
            dir,
        }
    }

    /// Runs debugfs commands that change the image.
    pub fn debugfs(&self, commands: &str) -> String {
        let script = self.dir.path().join("commands");
        std::fs::write(&script, commands).expect("write commands");
        let args = ["-w", "-f", script.to_str().unwrap(), self.name()];
        tool("debugfs", &args, &[0])
    }

    /// Makes all directories indexed that are long enough, as `e2fsck -D` does.
    pub fn index_directories(&self) {
        tool("e2fsck", &["-fyD", self.name()], &[0, 1]);
    }

    /// `e2fsck -fn` finds nothing.
    pub fn assert_clean(&self) {
        tool("e2fsck", &["-fn", self.name()], &[0]);
    }

    pub fn name(&self) -> &str {
        self.path.to_str().expect("temporary path is UTF-8")
    }

    pub fn raw_superblock(&self) -> RawSuperblock {
        raw_superblock(&self.file)
    }

    pub fn read(&self, block: PhysicalBlock) -> Vec<u8> {
        let mut bytes = vec![0; self.geo.block_size.as_usize()];
        self.file
            .read_exact_at(&mut bytes, self.geo.block_size.bytes_of(block.0))
            .expect("read a block");
        bytes
    }

    pub fn write(&self, block: PhysicalBlock, bytes: &[u8]) {
        self.file
            .write_all_at(bytes, self.geo.block_size.bytes_of(block.0))
            .expect("write a block");
    }

    /// The bytes of a group descriptor.
    pub fn desc_bytes(&self, group: GroupNumber) -> Vec<u8> {
        let (block, range) = self.geo.desc_location(group).expect("group exists");
        self.read(block)[range].to_vec()
    }

    pub fn desc(&self, group: GroupNumber) -> GroupDesc {
        GroupDesc::parse(&self.geo, group, &self.desc_bytes(group)).expect("group descriptor")
    }

    /// The bytes of an inode.
    pub fn inode_bytes(&self, ino: InodeNumber) -> Vec<u8> {
        let (group, block, range) = self.geo.inode_location(ino).expect("inode exists");
        let at = self.desc(group).inode_table.0 + u64::from(block);
        self.read(PhysicalBlock(at))[range].to_vec()
    }

    pub fn inode(&self, ino: InodeNumber) -> Result<DiskInode, Problem> {
        DiskInode::parse(&self.geo, ino, &self.inode_bytes(ino))
    }

    /// The inode of a path, by debugfs.
    pub fn lookup(&self, path: &str) -> InodeNumber {
        let text = tool(
            "debugfs",
            &["-R", &format!("stat {path}"), self.name()],
            &[0],
        );
        let number = text
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no inode number in {text}"));
        InodeNumber(number)
    }

    /// Gives a directory blocks at its end, until it has `want`.
    pub fn grow_file(&self, path: &str, ino: InodeNumber, want: u32) {
        let blocks = || {
            let size = self.inode(ino).expect("inode").size;
            self.geo.block_size.whole_blocks(size) as u32
        };
        let have = blocks();
        let script = format!("expand_dir {path}\n").repeat(want.saturating_sub(have) as usize);
        self.debugfs(&script);
        assert_eq!(blocks(), want.max(have));
    }

    /// The blocks of a file in their order, by debugfs.
    pub fn blocks_of(&self, ino: InodeNumber) -> Vec<PhysicalBlock> {
        let text = tool(
            "debugfs",
            &["-R", &format!("blocks <{}>", ino.0), self.name()],
            &[0],
        );
        text.split_whitespace()
            .map(|word| PhysicalBlock(word.parse().expect("a block number")))
            .collect()
    }
}

fn raw_superblock(file: &File) -> RawSuperblock {
    let mut bytes = [0; 1024];
    file.read_exact_at(&mut bytes, SUPERBLOCK_OFFSET)
        .expect("read the superblock");
    RawSuperblock::ref_from(&bytes).expect("1024 bytes").clone()
}

/// A pseudo-random sequence, for bytes that mean nothing.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }

    /// Changes a few bytes.
    pub fn damage(&mut self, bytes: &mut [u8]) {
        for _ in 0..=self.next() % 4 {
            let at = self.next() as usize % bytes.len();
            bytes[at] = self.next() as u8;
        }
    }
}
